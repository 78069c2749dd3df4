//! Cycles in words: why each transaction must come before the next.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::{
    Value, WitnessEdge,
    graph::{EdgeKind, Hop},
    index::{Index, KeyId, KeyKind, VersionId},
    report::ended_before,
};

/// Explains one cycle.
pub(crate) struct Explainer<'c, 'h> {
    pub index: &'c Index<'h>,
    /// Its first transaction is called `T1`.
    pub cycle: &'c [Hop],
}

impl<'h> Explainer<'_, 'h> {
    /// The keys it runs over.
    pub(crate) fn keys(&self) -> Vec<&'h Value> {
        let keys: BTreeSet<KeyId> = self.cycle.iter().filter_map(|hop| hop.about.key).collect();
        keys.into_iter().map(|key| self.index.key_name(key)).collect()
    }

    /// The contradiction in one sentence.
    pub(crate) fn summary(&self) -> String {
        let name = |at: usize| format!("T{}", at % self.cycle.len() + 1);
        let pairs = (0..self.cycle.len()).map(|at| match at {
            0 => format!("{} must come before {}", name(0), name(1)),
            _ => format!("{} before {}", name(at), name(at + 1)),
        });
        format!("{}: no order of them is possible.", pairs.collect::<Vec<_>>().join(", "))
    }

    /// One reason per transaction.
    pub(crate) fn edges(&self) -> Vec<WitnessEdge> {
        let explain = |(at, hop): (usize, &Hop)| {
            let to = (at + 1) % self.cycle.len();
            let because = self.because(hop, &format!("T{}", at + 1), &format!("T{}", to + 1));
            WitnessEdge { from: at, to, label: self.label(hop), because }
        };
        self.cycle.iter().enumerate().map(explain).collect()
    }

    fn label(&self, hop: &Hop) -> String {
        let kinds = [
            (EdgeKind::WW, "ww"),
            (EdgeKind::WR, "wr"),
            (EdgeKind::RW, "rw"),
            (EdgeKind::PROCESS, "process"),
            (EdgeKind::REALTIME, "realtime"),
        ];
        let name = kinds.iter().find(|(kind, _)| hop.kind.has(*kind)).map(|(_, name)| *name);
        let name = name.expect("an edge has a kind");
        match hop.about.key {
            Some(key) => format!("{name} {}", self.index.key_name(key)),
            None => name.to_owned(),
        }
    }

    fn because(&self, hop: &Hop, from: &str, to: &str) -> String {
        let Some(key) = hop.about.key else { return self.because_of_time(hop, from, to) };
        let name = self.index.key_name(key);
        let kind = self.index.kind(key);
        let earlier = hop.about.from.map(|version| self.value(version));
        let later = hop.about.to.map_or_else(|| "nil".into(), |version| self.value(version));
        let mut text = if hop.kind.has(EdgeKind::WW) {
            self.because_of_writes(kind, (from, earlier), (to, later), name)
        } else if hop.kind.has(EdgeKind::WR) {
            match kind {
                KeyKind::List => format!("{to} read {name} and saw {later}, which {from} appended"),
                KeyKind::Register | KeyKind::Counter => {
                    format!("{to} read {name} = {later}, which {from} wrote")
                }
                KeyKind::Set => format!("{to} read {name} and found {later}, which {from} added"),
            }
        } else {
            let earlier = earlier.unwrap_or_else(|| self.index.initial(key).to_string());
            let missed = match kind {
                KeyKind::List => {
                    format!("{to} appended {later} to {name}, which {from} did not see")
                }
                KeyKind::Register | KeyKind::Counter => {
                    format!("{from} read {name} = {earlier} and missed {later}, which {to} wrote")
                }
                KeyKind::Set => format!("{to} added {later} to {name}, which {from} did not find"),
            };
            let (reader, writer) = (self.index.op(hop.from), self.index.op(hop.to));
            let unit = self.index.history.time_unit;
            match ended_before(unit, writer, reader) {
                Some(gap) => format!("{missed}, though {to} ended {gap} before {from} began"),
                None => missed,
            }
        };
        if let Some((earlier, later)) = hop.about.evidence {
            let (earlier, later) = (self.index.op(earlier), self.index.op(later));
            let unit = self.index.history.time_unit;
            let gap = ended_before(unit, earlier, later).unwrap_or_else(|| "some time".into());
            let _ = write!(
                text,
                " (#{}, which had the earlier of them, ended {gap} before #{}, which had the later, \
                 began)",
                earlier.index, later.index
            );
        } else if hop.kind.has(EdgeKind::BY_REALTIME) {
            text.push_str(" (in this order, as real time shows)");
        }
        text
    }

    fn because_of_writes(
        &self,
        kind: KeyKind,
        (from, earlier): (&str, Option<String>),
        (to, later): (&str, String),
        key: &Value,
    ) -> String {
        let earlier = earlier.unwrap_or_else(|| "nil".into());
        match kind {
            KeyKind::List => {
                format!("{from} appended {earlier} to {key} before {to} appended {later}")
            }
            KeyKind::Register | KeyKind::Set | KeyKind::Counter => {
                format!("{from} wrote {key} = {earlier} before {to} wrote {later}")
            }
        }
    }

    fn because_of_time(&self, hop: &Hop, from: &str, to: &str) -> String {
        let (earlier, later) = (self.index.op(hop.from), self.index.op(hop.to));
        if hop.kind.has(EdgeKind::PROCESS) {
            let process = self.index.history.process_name(earlier.process);
            return format!("process {process} did {from} before {to}");
        }
        let unit = self.index.history.time_unit;
        let gap = ended_before(unit, earlier, later).unwrap_or_else(|| "some time".into());
        format!("{from} ended {gap} before {to} began")
    }

    fn value(&self, version: VersionId) -> String {
        self.index.version(version).value.to_string()
    }
}
