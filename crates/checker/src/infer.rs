//! From what transactions read and wrote to which must come before which.
//!
//! A client sees neither locks nor logs, but if every written value is a name ([`crate::History`]),
//! reads tell a lot: who wrote what was read, which versions came before it, what was not there
//! yet. After Adya's definitions and Elle's way to recover them:
//!
//! | module | what is known |
//! |---|---|
//! | [`touch`] | per transaction and key: what it saw of others, what it left; contradictions within it |
//! | [`lists`] | a read shows the whole order of versions: everything follows |
//! | [`registers`] | a read shows one version; orders come from transactions that read and then write, from the beginning (nil), from real time if the model promises it, from commit timestamps |
//! | [`sets`] | who is seen and who is missed: nothing is known of their order, and nothing is needed |
//!
//! Each finds the anomalies that need no graph (aborted, intermediate, duplicate reads) and adds
//! the edges for those that do.
//!
//! Nothing is guessed: an edge follows from the model being judged, so a cycle of edges proves that
//! the model was broken. For lists and sets the reverse holds as well: without a cycle, an order of
//! the transactions that explains every read exists.

mod lists;
mod registers;
mod sets;
mod touch;

use std::collections::BTreeMap;

use crate::{
    Kind, Options, Order, Outcome, World,
    graph::Builder,
    index::{Index, KeyId, KeyKind, TxnId, VersionId},
    report::{Found, Report},
};
pub(crate) use touch::{Seen, Touch, touches_of};

/// What inference needs and produces.
pub(crate) struct Inference<'i, 'h> {
    pub index: &'i Index<'h>,
    pub graph: Builder,
    pub report: &'i mut Report<'h>,
    pub options: Options,
    /// Whether orders of versions may be concluded from real time.
    pub realtime: bool,
    /// Transactions whose trouble has been reported as a lost update.
    pub lost: Vec<TxnId>,
}

impl<'i, 'h> Inference<'i, 'h> {
    /// Infers all dependencies of a history.
    pub(crate) fn run(&mut self) {
        let by_key = self.touches();
        for (key, touches) in by_key {
            match self.index.kind(key) {
                KeyKind::List => self.lists(key, &touches),
                KeyKind::Register => self.registers(key, &touches),
                KeyKind::Set => self.sets(key, &touches),
                // Its values repeat, so nothing is known of it here.
                KeyKind::Counter => {}
            }
        }
    }

    fn position(&self, txn: TxnId) -> usize {
        self.index.txn(txn).op
    }

    /// A version that was read: was it ever to be seen? Reports aborted and unwritten ones.
    fn judge_read_version(&mut self, reader: TxnId, version: VersionId) {
        let found = self.index.version(version);
        if found.initial {
            return;
        }
        let key = self.index.key_name(found.key);
        let (reader_at, value) = (self.position(reader), found.value);
        let Some(writer) = found.writer else {
            if self.index.history.world == World::Closed {
                self.report.add(Kind::Unwritten, Order::Data, || Found {
                    ops: vec![reader_at],
                    keys: vec![key],
                    explanation: format!("T1 read {value} from {key}, which nobody ever wrote."),
                    ..Found::default()
                });
            }
            return;
        };
        if self.index.op(writer).outcome == Outcome::Fail {
            let writer_at = self.position(writer);
            self.report.add(Kind::G1a, Order::Data, || Found {
                ops: vec![writer_at, reader_at],
                keys: vec![key],
                explanation: format!(
                    "T2 read {value} from {key}, but T1, which wrote it, aborted."
                ),
                ..Found::default()
            });
        }
    }

    /// The newest version a read shows must be the last its writer left there.
    fn judge_intermediate(&mut self, reader: TxnId, version: VersionId) {
        let found = self.index.version(version);
        let Some(writer) = found.writer.filter(|writer| *writer != reader) else { return };
        if found.last || !self.index.txn(writer).counts {
            return;
        }
        let (key, value) = (self.index.key_name(found.key), found.value);
        let ops = vec![self.position(writer), self.position(reader)];
        self.report.add(Kind::G1b, Order::Data, || Found {
            ops,
            keys: vec![key],
            explanation: format!(
                "T2 read {key} as T1 had it for a moment: {value} was there, what T1 wrote to {key} \
                 after it was not."
            ),
            ..Found::default()
        });
    }

    /// Two transactions that read the same version of a key and both wrote the key.
    fn judge_lost_updates<V: Ord>(
        &mut self,
        key: KeyId,
        updates: impl Iterator<Item = (V, TxnId)>,
    ) {
        let mut by_version: BTreeMap<V, Vec<TxnId>> = BTreeMap::new();
        for (version, txn) in updates {
            by_version.entry(version).or_default().push(txn);
        }
        let key = self.index.key_name(key);
        for txns in by_version.into_values().filter(|txns| txns.len() > 1) {
            self.lost.extend(&txns);
            let ops = vec![self.position(txns[0]), self.position(txns[1])];
            self.report.add(Kind::LostUpdate, Order::Data, || Found {
                ops,
                keys: vec![key],
                explanation: format!(
                    "T1 and T2 read the same version of {key} and both wrote {key}: one of them did \
                     not see the other's update."
                ),
                ..Found::default()
            });
        }
    }
}
