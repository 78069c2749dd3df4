//! The log by itself: gaps, learning, the fence, truncation, restoring.

use bytes::Bytes;
use keys::NodeId;
use proptest::prelude::*;

use super::{Fence, Log};
use crate::{Ballot, Durable, Entry, Payload, Slot, rules::Rules};

fn ballot(round: u64) -> Ballot {
    if round == 0 { Ballot::NONE } else { Ballot::new(round, NodeId(1)) }
}

fn entry(first: u64, under: u64, payload: Payload) -> Entry {
    Entry { first: ballot(first), ballot: ballot(under), payload }
}

fn command(n: u8) -> Payload {
    Payload::Command(Bytes::from(vec![n]))
}

/// Everything accepted under one ballot and chosen; answers which slots are void.
fn verdicts(entries: &[(u64, Payload)]) -> Vec<bool> {
    let mut log = Log::new();
    let mut out = Vec::new();
    for (i, (first, payload)) in entries.iter().enumerate() {
        assert!(log.accept(Slot(i as u64 + 1), entry(*first, 99, payload.clone())));
    }
    log.learn(ballot(99), log.last(), Rules::default(), &mut out);
    out.into_iter().map(|c| c.void).collect()
}

#[test]
fn fence_keeps_a_prefix_of_each_leadership() {
    use Payload::{Noop, Opening};
    let c = command;
    // A born leader, then one that opens: late entries of the first are void.
    assert_eq!(
        verdicts(&[(1, c(1)), (1, c(2)), (2, Opening), (1, c(3)), (3, Opening)]),
        [false, false, false, true, false]
    );
    // A no-op in a gap fences off what lies behind the gap.
    assert_eq!(
        verdicts(&[(1, c(1)), (2, Noop), (1, c(2)), (2, Opening)]),
        [false, false, true, false]
    );
    // A hole in a leadership: what it proposed behind the hole is void, and stays so.
    assert_eq!(
        verdicts(&[(2, Opening), (1, c(1)), (2, c(2)), (2, c(3)), (3, Opening), (3, c(4))]),
        [false, true, true, true, false, false]
    );
    // Recovered entries of others before the opening make no hole in the leadership that opens.
    assert_eq!(
        verdicts(&[(2, Noop), (1, c(1)), (2, Opening), (2, c(2))]),
        [false, true, false, false]
    );
}

#[test]
fn learning_stops_at_gaps_and_at_other_ballots() {
    let mut log = Log::new();
    let mut out = Vec::new();
    log.accept(Slot(1), entry(1, 2, command(1)));
    log.accept(Slot(2), entry(1, 1, command(2)));
    log.accept(Slot(4), entry(2, 2, command(4)));
    log.learn(ballot(2), Slot(4), Rules::default(), &mut out);
    assert_eq!(log.chosen(), Slot(1));
    assert_eq!(log.matched(ballot(2)), Slot(1));
    log.accept(Slot(2), entry(1, 2, command(2)));
    assert_eq!(log.matched(ballot(2)), Slot(2));
    log.learn(ballot(2), Slot(4), Rules::default(), &mut out);
    assert_eq!(log.chosen(), Slot(2));
    log.accept(Slot(3), entry(2, 2, command(3)));
    log.learn(ballot(2), Slot(4), Rules::default(), &mut out);
    assert_eq!(out.iter().map(|c| c.slot.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
#[should_panic(expected = "is chosen as")]
fn a_chosen_slot_never_changes() {
    let mut log = Log::new();
    log.accept(Slot(1), entry(1, 1, command(1)));
    log.learn(ballot(1), Slot(1), Rules::default(), &mut Vec::new());
    log.accept(Slot(1), entry(2, 2, command(2)));
}

#[test]
#[should_panic(expected = "one ballot, two values")]
fn one_ballot_proposes_one_value() {
    let mut log = Log::new();
    log.accept(Slot(1), entry(1, 1, command(1)));
    log.accept(Slot(1), entry(1, 1, command(2)));
}

#[test]
fn records_that_contradict_each_other_are_corrupt() {
    let durable = Durable { promised: ballot(2), truncated: Slot(2), ..Durable::default() };
    let log = |entries: Vec<(Slot, Entry)>, applied| Log::restore(&durable, entries, applied);
    log(vec![], Slot(1)).expect_err("applied below truncated");
    log(vec![], Slot(3)).expect_err("slot 3 is missing");
    log(vec![(Slot(3), entry(3, 3, command(1)))], Slot(2)).expect_err("accepted unpromised");
    log(vec![(Slot(3), entry(2, 1, command(1)))], Slot(2)).expect_err("proposed later");
    let fine = vec![(Slot(5), entry(1, 2, command(1))), (Slot(3), entry(1, 1, command(3)))];
    let log = log(fine, Slot(3)).expect("a gap above applied is normal");
    assert_eq!((log.truncated(), log.chosen(), log.last()), (Slot(2), Slot(3), Slot(5)));
}

/// The fence's naive twin: an entry counts if no lower slot has a higher ballot, and nothing of
/// another ballot lies between it and the last opening of its own.
fn naive(log: &[(u64, bool)], slot: usize) -> bool {
    let (mine, opening) = log[slot];
    if log[..slot].iter().any(|(first, _)| *first > mine) {
        return true;
    }
    if opening {
        return false;
    }
    for (first, opens) in log[..slot].iter().rev() {
        if *first != mine {
            // Below the first entry of its own ballot anything may lie.
            let started = log[..slot].iter().position(|(f, _)| *f == mine);
            let here = log[..slot].iter().rposition(|(f, _)| f == first).expect("just seen");
            return started.is_some_and(|s| s < here);
        }
        if *opens {
            return false;
        }
    }
    false
}

proptest! {
    #[test]
    fn fence_agrees_with_its_naive_twin(
        log in prop::collection::vec((1_u64..5, any::<bool>()), 0..12),
    ) {
        let payload = |(i, (first, opens)): (usize, &(u64, bool))| {
            (*first, if *opens { Payload::Opening } else { command(i as u8) })
        };
        let entries: Vec<_> = log.iter().enumerate().map(payload).collect();
        let expected: Vec<bool> = (0..log.len()).map(|slot| naive(&log, slot)).collect();
        prop_assert_eq!(verdicts(&entries), expected);
    }

    /// Wherever a log is cut, by truncation or by a restart, the verdicts stay the same.
    #[test]
    fn truncation_keeps_the_fence(
        firsts in prop::collection::vec((1_u64..5, any::<bool>()), 1..12),
        cut in 0_usize..12,
        applied in 0_usize..12,
    ) {
        let entries: Vec<Entry> = firsts
            .iter()
            .map(|(f, opens)| entry(*f, 9, if *opens { Payload::Opening } else { command(0) }))
            .collect();
        let mut whole = Log::new();
        let mut all = Vec::new();
        for (i, e) in entries.iter().enumerate() {
            whole.accept(Slot(i as u64 + 1), e.clone());
        }
        whole.learn(ballot(9), whole.last(), Rules::default(), &mut all);
        let applied = applied.min(entries.len());
        let cut = cut.min(applied);
        let fence = whole.fence_at(Slot(cut as u64)).expect("chosen, not truncated");
        let durable = Durable {
            promised: ballot(9),
            truncated: Slot(cut as u64),
            fence,
            ..Durable::default()
        };
        let suffix = entries.iter().enumerate().skip(cut);
        let suffix = suffix.map(|(i, e)| (Slot(i as u64 + 1), e.clone())).collect();
        let mut again = Log::restore(&durable, suffix, Slot(applied as u64)).expect("consistent");
        let mut rest = Vec::new();
        again.learn(ballot(9), again.last(), Rules::default(), &mut rest);
        prop_assert_eq!(&rest[..], &all[applied..]);
        prop_assert_eq!(again.fence(), whole.fence());
        whole.set_applied(Slot(applied as u64));
        whole.truncate(Slot(cut as u64));
        prop_assert_eq!(whole.fence_at(Slot(cut as u64)), Some(fence));
        prop_assert_eq!(whole.bytes(), again.bytes());
    }
}

#[test]
fn a_snapshot_keeps_what_was_accepted_above_it() {
    let mut log = Log::new();
    log.accept(Slot(2), entry(1, 1, command(2)));
    log.accept(Slot(5), entry(1, 1, command(5)));
    let mut fence = Fence::NONE;
    fence.judge(&entry(3, 3, Payload::Opening), Rules::default());
    log.install(Slot(3), fence);
    assert_eq!((log.truncated(), log.applied(), log.chosen()), (Slot(3), Slot(3), Slot(3)));
    assert_eq!(log.last(), Slot(5));
    assert!(log.get(Slot(4)).is_none());
    assert_eq!(log.bytes(), log.unchosen_bytes());
    log.install(Slot(9), fence);
    assert_eq!((log.last(), log.bytes()), (Slot(9), 0));
}
