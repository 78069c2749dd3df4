//! Large transactions go through the log a slice at a time.
//!
//! Laying or resolving a hundred thousand intents in one entry would hold up everything else that
//! the node does, at each replica. So intents are laid and resolved by entries of bounded size, a few
//! of them in the log at once, and other transactions' entries lie between them:
//!
//! ```text
//!   prepare --> slice p1 | slice p2 | other | slice p3 | ...       answered with the last p
//!   outcome --> slice s  | other    | slice s | ...                locks go with the last slice
//! ```
//!
//! Each slice of intents has a timestamp of its own (R1: timestamps of the log go up). The
//! coordinator hears of the last one only, and chooses s above it, so above all. A leader that stops
//! in between leaves some intents laid, or unresolved: the next one enters them as locks of a
//! prepared transaction, and the record says what becomes of them (X7).
//!
//! The decision itself, with what the anchor's range writes, is one entry (X7).

use std::collections::VecDeque;

use keys::{Key, TxnId};
use kv::Write;

use super::{
    Cx, Machine,
    leader::{Phase, Txn},
};
use crate::command::Command;

/// What each write takes in an entry beside key and value, and each key.
const OVERHEAD: usize = 16;

/// How much of a large transaction one entry carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// Most keys.
    pub keys: usize,
    /// About the most bytes; a single key may be larger.
    pub bytes: usize,
}

impl Slice {
    /// Takes the next slice of what is left; empty only if nothing is.
    pub fn take<T>(self, rest: &mut VecDeque<T>, weight: impl Fn(&T) -> usize) -> Vec<T> {
        let (mut bytes, mut count) = (0_usize, 0);
        for item in rest.iter().take(self.keys.max(1)) {
            bytes = bytes.saturating_add(weight(item));
            if count > 0 && bytes > self.bytes {
                break;
            }
            count += 1;
        }
        rest.drain(..count).collect()
    }
}

/// What a write takes in an entry.
pub(super) fn weight(write: &Write) -> usize {
    write.key.len() + write.value.as_ref().map_or(0, |value| value.len()) + OVERHEAD
}

/// What a key takes in an entry.
pub(super) fn key_weight(key: &Key) -> usize {
    key.len() + OVERHEAD
}

impl Machine {
    pub(super) fn slice(&self) -> Slice {
        Slice { keys: self.config.slice_keys, bytes: self.config.slice_bytes }
    }

    /// Puts further slices of a transaction's intents into the log, as many as may be there at once.
    /// Where the lease leaves no timestamp (P2), the rest is given up: its prepare is refused once
    /// what is in the log is applied.
    pub(super) fn lay_on(&mut self, cx: &Cx<'_>, txn: TxnId) {
        let (slice, at_once) = (self.slice(), self.config.slices_in_log);
        let least = cx.now.tt.earliest_timestamp();
        let leader = self.leader();
        loop {
            match leader.txns.get(&txn).map(|known| &known.phase) {
                Some(Phase::Preparing { rest, slices, .. })
                    if !rest.is_empty() && *slices < at_once => {}
                Some(_) | None => return,
            }
            // R1, R1a: above what was served and learned since the slice before.
            let assigned = leader.assign(least, clock::Timestamp::MAX);
            let Some(Txn { meta, phase, .. }) = leader.txns.get_mut(&txn) else { return };
            let Phase::Preparing { prepare, keys, rest, slices, cut_short, .. } = phase else {
                return;
            };
            let Ok(at) = assigned else {
                rest.clear();
                *cut_short = true;
                return;
            };
            assert!(at > *prepare, "R1: a slice at {at} behind one at {prepare}");
            *prepare = at;
            *slices += 1;
            let writes = slice.take(rest, weight);
            keys.extend(writes.iter().map(|write| write.key.clone()));
            let command = Command::Prepare { txn: meta.clone(), prepare: at, writes };
            leader.enqueue(command);
        }
    }

    /// Puts further slices of a transaction's resolution into the log, as many as may be there at
    /// once. No timestamp is assigned for them: they bear s, which is learned already (R1a).
    pub(super) fn resolve_on(&mut self, txn: TxnId) {
        let (slice, at_once) = (self.slice(), self.config.slices_in_log);
        let leader = self.leader();
        while let Some(Txn { phase: Phase::Resolving { outcome, rest, slices, .. }, .. }) =
            leader.txns.get_mut(&txn)
            && !rest.is_empty()
            && *slices < at_once
        {
            *slices += 1;
            let (outcome, keys) = (*outcome, slice.take(rest, key_weight));
            leader.enqueue(Command::Resolve { txn, outcome, keys });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_bounded_by_keys_and_bytes_and_a_large_one_goes_alone() {
        let slice = Slice { keys: 3, bytes: 10 };
        let mut rest = VecDeque::from([4, 4, 4, 40, 1, 1, 1, 1]);
        let mut slices = Vec::new();
        while !rest.is_empty() {
            slices.push(slice.take(&mut rest, |weight| *weight));
        }
        assert_eq!(slices, [vec![4, 4], vec![4], vec![40], vec![1, 1, 1], vec![1]]);
        assert!(slice.take(&mut rest, |weight| *weight).is_empty());
    }
}
