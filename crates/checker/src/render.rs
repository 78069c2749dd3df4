//! Verdicts for people: text for a terminal, drawings and a page for a browser; and for programs:
//! JSON.

mod html;
mod json;
mod svg;
mod text;

use std::collections::BTreeMap;

pub use json::SCHEMA;

use crate::{
    Anomaly, Nanos, Outcome, SHOWN_WITNESSES, Stats, TimeUnit, Verdict, WitnessOp, report::duration,
};

impl Verdict {
    /// The answer in a line: `strict-serializable: violated (G-single-realtime, G0)`.
    fn headline(&self) -> String {
        let answer = self.valid.name();
        let mut names: Vec<String> = Vec::new();
        for anomaly in self.anomalies.iter().filter(|anomaly| anomaly.forbidden) {
            let name = anomaly.name();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            format!("{}: {answer}", self.model)
        } else {
            format!("{}: {answer} ({})", self.model, names.join(", "))
        }
    }

    /// The anomalies to show at once, and those to fold away.
    fn shown(&self) -> (&[Anomaly], &[Anomaly]) {
        self.anomalies.split_at(self.anomalies.len().min(SHOWN_WITNESSES))
    }

    /// What was found and is not among these anomalies: `7 more of G0, 1 more of G1a`.
    fn besides(&self, among: &[Anomaly]) -> Option<String> {
        let mut left: BTreeMap<&str, usize> =
            self.found.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        for anomaly in among {
            if let Some(count) = left.get_mut(anomaly.name().as_str()) {
                *count = count.saturating_sub(1);
            }
        }
        let left = left.into_iter().filter(|(_, count)| *count > 0);
        let left: Vec<String> =
            left.map(|(name, count)| format!("{count} more of {name}")).collect();
        (!left.is_empty()).then(|| left.join(", "))
    }

    /// What was passed over, a line each.
    fn passed_over(&self) -> Vec<String> {
        let told = self.skipped.iter().map(|skipped| {
            let first = match (skipped.line, skipped.count) {
                (None, _) => String::new(),
                (Some(line), 1) => format!(" (line {line})"),
                (Some(line), _) => format!(" (the first at line {line})"),
            };
            format!("{}: {}{first}", skipped.reason, skipped.count)
        });
        told.collect()
    }

    /// A moment, from the beginning of the history.
    fn moment(&self, time: Nanos) -> String {
        match self.time_unit {
            TimeUnit::Positions => format!("line {}", time.0 + 1),
            TimeUnit::Nanoseconds => duration(self.time_unit, time.0.saturating_sub(self.origin.0)),
        }
    }

    /// When an operation ran: `3 ms .. 5 ms`.
    fn span(&self, op: &WitnessOp) -> String {
        let begin = self.moment(op.invoked);
        match op.completed {
            Some(end) => format!("{begin} .. {}", self.moment(end)),
            None => format!("{begin} .. ?"),
        }
    }
}

/// Who it was: `#12 of process 3, ok`.
fn identity(op: &WitnessOp) -> String {
    let outcome = match op.outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "failed",
        Outcome::Unknown => "unknown",
    };
    format!("#{} of process {}, {outcome}", op.index, op.process)
}

/// The database's timestamps, if it gave any.
fn stamps(op: &WitnessOp) -> Option<String> {
    let read = op.timestamps.read.map(|stamp| format!("read at {stamp}"));
    let commit = op.timestamps.commit.map(|stamp| format!("committed at {stamp}"));
    let both: Vec<String> = read.into_iter().chain(commit).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// How much was judged, in a sentence or two.
fn summary(stats: &Stats) -> String {
    let mut text = format!(
        "{} operations: {} ok, {} failed, {} unknown",
        stats.operations, stats.ok, stats.fail, stats.unknown
    );
    if stats.unknown_seen > 0 {
        text.push_str(&format!(" ({} of these seen to have happened)", stats.unknown_seen));
    }
    text.push_str(&format!("; {} keys; {} dependencies", stats.keys, stats.dependencies));
    let counts = [
        (stats.timestamped_reads, "reads judged by timestamps"),
        (stats.totals, "totals of the bank"),
        (stats.registers, "registers judged call by call"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("; {count} {what}"));
    }
    text
}
