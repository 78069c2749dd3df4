//! The judge judged: small histories by hand, each with one thing wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};

use super::{Violation, judge};
use crate::{
    history::{Attempt, History, Kind, Outcome, ReadRecord, TrueTime},
    key,
};

fn ms(n: u64) -> TrueTime {
    TrueTime(n * 1_000_000)
}

fn at(n: u64) -> Timestamp {
    ms(n).timestamp()
}

fn value(id: u64) -> Option<Bytes> {
    Some(Bytes::from(format!("{id}.0")))
}

/// An attempt that writes keys and commits at its end.
fn writer(id: u64, begin: u64, end: u64, keys: &[u8]) -> Attempt {
    Attempt {
        id,
        who: "c0".to_owned(),
        kind: Kind::Serializable,
        begin: ms(begin),
        end: ms(end),
        snapshot: Some(at(begin)),
        reads: Vec::new(),
        writes: keys.iter().map(|k| (key(*k), value(id))).collect(),
        since: keys.iter().map(|k| (key(*k), at(begin))).collect(),
        outcome: Outcome::Committed(at(end - 1)),
    }
}

fn read(begin: u64, keys: std::ops::Range<u8>, found: &[(u8, u64)]) -> ReadRecord {
    ReadRecord {
        at: at(begin),
        span: Span::new(key(keys.start), key(keys.end)),
        reverse: false,
        limit: None,
        own: BTreeMap::new(),
        rows: found.iter().map(|(k, id)| (key(*k), value(*id).expect("a value"))).collect(),
    }
}

/// The history in which everything happened as the attempts say.
fn history(attempts: Vec<Attempt>) -> History {
    let mut versions: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for attempt in &attempts {
        if let Outcome::Committed(at) = attempt.outcome {
            for (key, value) in &attempt.writes {
                versions.entry(key.clone()).or_default().push((at, value.clone()));
            }
        }
    }
    versions.values_mut().for_each(|list| list.sort_by_key(|(at, _)| *at));
    History { attempts, versions }
}

fn kinds(history: &History) -> Vec<&'static str> {
    let name = |violation: &Violation| match violation {
        Violation::Lost(_) => "lost",
        Violation::Undead(_) => "undead",
        Violation::Unexplained(_) => "unexplained",
        Violation::Torn(_) => "torn",
        Violation::WrongRead(_) => "wrong read",
        Violation::NotSerializable(_) => "not serializable",
        Violation::LostUpdate(_) => "lost update",
        Violation::RealTime(_) => "real time",
        Violation::Tie(_) => "tie",
    };
    judge(history).violations.iter().map(name).collect()
}

#[test]
fn a_good_history_is_accepted() {
    let mut second = writer(2, 20, 30, &[1]);
    second.reads.push(read(20, 0..4, &[(0, 1)]));
    let mut backwards = read(40, 0..4, &[(1, 2)]);
    (backwards.reverse, backwards.limit) = (true, Some(1));
    let third = Attempt {
        kind: Kind::ReadOnly,
        reads: vec![read(40, 0..4, &[(0, 1), (1, 2)]), backwards],
        writes: BTreeMap::new(),
        outcome: Outcome::Committed(at(40)),
        ..writer(3, 40, 50, &[])
    };
    assert_eq!(kinds(&history(vec![writer(1, 0, 10, &[0]), second, third])), [""; 0]);
}

#[test]
fn own_writes_are_read_on_top() {
    let mut second = writer(2, 20, 30, &[0, 1]);
    let mut seen = read(20, 0..4, &[(1, 2)]);
    seen.own = BTreeMap::from([(key(0), None), (key(1), value(2))]);
    second.reads.push(seen);
    assert_eq!(kinds(&history(vec![writer(1, 0, 10, &[0]), second])), [""; 0]);
}

#[test]
fn a_lost_write_is_found() {
    let mut lost = history(vec![writer(1, 0, 10, &[0])]);
    lost.versions.clear();
    assert_eq!(kinds(&lost), ["lost"]);
}

#[test]
fn half_a_transaction_is_found() {
    let mut torn = history(vec![writer(1, 0, 10, &[0, 1])]);
    torn.versions.remove(&key(1));
    assert_eq!(kinds(&torn), ["torn"]);
}

#[test]
fn an_aborted_transaction_that_took_effect_is_found() {
    let mut undead = history(vec![writer(1, 0, 10, &[0])]);
    undead.attempts[0].outcome = Outcome::Aborted;
    assert_eq!(kinds(&undead), ["undead"]);
}

#[test]
fn an_unknown_outcome_may_be_either() {
    let mut unknown = history(vec![writer(1, 0, 10, &[0])]);
    unknown.attempts[0].outcome = Outcome::Unknown;
    assert_eq!(kinds(&unknown), [""; 0]);
    unknown.versions.clear();
    assert_eq!(kinds(&unknown), [""; 0]);
}

#[test]
fn a_deletion_by_nobody_is_found() {
    let mut deleted = history(vec![writer(1, 0, 10, &[0])]);
    deleted.versions.get_mut(&key(0)).expect("written").push((at(12), None));
    assert_eq!(kinds(&deleted), ["unexplained"]);
}

#[test]
fn a_dirty_read_is_found() {
    let mut second = writer(2, 20, 30, &[1]);
    second.reads.push(read(20, 0..1, &[(0, 1)]));
    let mut dirty = history(vec![writer(1, 0, 10, &[0]), second]);
    dirty.attempts[0].outcome = Outcome::Aborted;
    dirty.versions.remove(&key(0));
    assert_eq!(kinds(&dirty), ["wrong read", "not serializable"]);
}

#[test]
fn write_skew_is_found() {
    let mut doctors = [writer(1, 0, 10, &[0]), writer(2, 0, 11, &[1])];
    doctors[0].reads.push(read(0, 0..2, &[]));
    doctors[1].reads.push(read(0, 0..2, &[]));
    assert_eq!(kinds(&history(doctors.to_vec())), ["not serializable"]);
    doctors.iter_mut().for_each(|doctor| doctor.kind = Kind::Snapshot);
    assert_eq!(kinds(&history(doctors.to_vec())), [""; 0]);
}

#[test]
fn a_lost_update_is_found() {
    let mut updates = [writer(1, 0, 10, &[0]), writer(2, 0, 11, &[0])];
    updates.iter_mut().for_each(|update| update.kind = Kind::Snapshot);
    assert_eq!(kinds(&history(updates.to_vec())), ["lost update"]);
}

#[test]
fn a_stale_read_that_claims_to_be_fresh_is_found() {
    let fresh = Attempt {
        kind: Kind::ReadOnly,
        snapshot: Some(at(5)),
        reads: vec![read(5, 0..2, &[])],
        outcome: Outcome::Committed(at(5)),
        ..writer(2, 20, 30, &[])
    };
    let mut both = history(vec![writer(1, 0, 10, &[0]), fresh]);
    assert_eq!(kinds(&both), ["real time"]);
    both.attempts[1].kind = Kind::Stale;
    assert_eq!(kinds(&both), [""; 0]);
}

#[test]
fn commits_against_real_time_are_found() {
    let mut late = writer(1, 0, 10, &[0]);
    late.outcome = Outcome::Committed(at(100));
    assert_eq!(kinds(&history(vec![late, writer(2, 20, 30, &[1])])), ["real time"]);
}
