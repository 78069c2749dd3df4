//! The buffer against a plain map.

use std::collections::BTreeMap;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};
use proptest::prelude::*;

use super::{ENTRY_BYTES, Room, WriteBuffer, cost};

const LIMIT: u64 = 1 << 20;

fn room(limit: u64) -> Room {
    Room { taken: 0, limit }
}

fn key(n: u8) -> Key {
    Key::from_vec(vec![b'a' + n])
}

fn value(n: u8) -> Bytes {
    Bytes::from(vec![n; usize::from(n)])
}

/// What a client does to a buffer.
#[derive(Clone, Debug)]
enum Step {
    Write(u8, Option<u8>),
    Savepoint(u8),
    RollbackTo(u8),
    Release(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12u8, proptest::option::weighted(0.7, 0..9u8))
            .prop_map(|(k, v)| Step::Write(k, v)),
        1 => (0..3u8).prop_map(Step::Savepoint),
        1 => (0..3u8).prop_map(Step::RollbackTo),
        1 => (0..3u8).prop_map(Step::Release),
    ]
}

/// The naive twin: savepoints are copies of the whole map.
#[derive(Default)]
struct Twin {
    now: BTreeMap<u8, Option<u8>>,
    savepoints: Vec<(u8, BTreeMap<u8, Option<u8>>)>,
}

impl Twin {
    fn apply(&mut self, step: &Step) -> bool {
        match step {
            Step::Write(key, value) => {
                self.now.insert(*key, *value);
            }
            Step::Savepoint(name) => self.savepoints.push((*name, self.now.clone())),
            Step::RollbackTo(name) | Step::Release(name) => {
                let found = self.savepoints.iter().rposition(|(known, _)| known == name);
                let Some(position) = found else { return false };
                if let Step::RollbackTo(_) = step {
                    self.now = self.savepoints[position].1.clone();
                    self.savepoints.truncate(position + 1);
                } else {
                    self.savepoints.truncate(position);
                }
            }
        }
        true
    }
}

fn apply(buffer: &mut WriteBuffer, step: &Step) -> bool {
    let name = |n: &u8| n.to_string();
    match step {
        Step::Write(k, v) => {
            buffer
                .write(key(*k), v.map(value), Timestamp::ZERO, room(LIMIT))
                .expect("below the limit");
            true
        }
        Step::Savepoint(n) => {
            buffer.savepoint(&name(n));
            true
        }
        Step::RollbackTo(n) => buffer.rollback_to(&name(n)).is_ok(),
        Step::Release(n) => buffer.release(&name(n)).is_ok(),
    }
}

fn check_sizes(buffer: &WriteBuffer) {
    let bytes: u64 = buffer.entries.iter().map(|(key, entry)| cost(key, entry)).sum();
    assert_eq!(buffer.bytes, bytes);
    let kept = buffer
        .undo
        .iter()
        .map(|undo| undo.before.as_ref().map_or(0, |entry| cost(&undo.key, entry)) + ENTRY_BYTES);
    assert_eq!(buffer.undo_bytes, kept.sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn writes_and_savepoints_do_what_a_copied_map_does(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let (mut buffer, mut twin) = (WriteBuffer::default(), Twin::default());
        for step in &steps {
            prop_assert_eq!(apply(&mut buffer, step), twin.apply(step), "{:?}", step);
            check_sizes(&buffer);
            let entries = buffer.iter().map(|(key, entry)| (key.clone(), entry.value.clone()));
            let expected = twin.now.iter().map(|(k, v)| (key(*k), v.map(value)));
            prop_assert!(entries.eq(expected), "after {:?}", step);
        }
    }

    #[test]
    fn a_merge_is_the_union_where_own_writes_win(
        rows in proptest::collection::btree_map(0..16u8, 0..9u8, 0..16),
        own in proptest::collection::btree_map(0..16u8, proptest::option::of(0..9u8), 0..16),
        bounds in (0..17u8, 0..17u8),
        reverse in any::<bool>(),
    ) {
        let (start, end) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let covered = Span::new(key(start), key(end));
        let mut buffer = WriteBuffer::default();
        let mut expected: BTreeMap<u8, u8> =
            rows.range(start..end).map(|(k, v)| (*k, *v)).collect();
        let mut theirs: Vec<_> = expected.iter().map(|(k, v)| (key(*k), value(*v))).collect();
        for (k, v) in &own {
            buffer.write(key(*k), v.map(value), Timestamp::ZERO, room(LIMIT)).expect("below the limit");
            if (start..end).contains(k) {
                match v {
                    Some(v) => expected.insert(*k, *v),
                    None => expected.remove(k),
                };
            }
        }
        let mut expected: Vec<_> = expected.iter().map(|(k, v)| (key(*k), value(*v))).collect();
        if reverse {
            theirs.reverse();
            expected.reverse();
        }
        prop_assert_eq!(buffer.merge(&covered, reverse, theirs), expected);
    }
}

#[test]
fn a_write_beyond_the_limit_is_refused_and_changes_nothing() {
    let mut buffer = WriteBuffer::default();
    let limit = 2 * ENTRY_BYTES + 100;
    buffer.write(key(0), Some(value(90)), Timestamp::ZERO, room(limit)).expect("fits");
    let error = buffer.write(key(1), Some(value(90)), Timestamp::ZERO, room(limit)).unwrap_err();
    assert_eq!(error.sqlstate(), "54000");
    assert!(buffer.get(&key(1)).is_none());
    check_sizes(&buffer);
    buffer.write(key(0), None, Timestamp::ZERO, room(limit)).expect("smaller than before");
    buffer.write(key(1), Some(value(90)), Timestamp::ZERO, room(limit)).expect("fits now");
}

#[test]
fn the_first_write_of_a_key_sets_its_snapshot() {
    let mut buffer = WriteBuffer::default();
    let (early, late) = (Timestamp::from_wall(1), Timestamp::from_wall(2));
    let since = |buffer: &WriteBuffer| buffer.iter().next().map(|(_, entry)| entry.since);
    buffer.write(key(0), Some(value(1)), early, room(LIMIT)).expect("fits");
    buffer.savepoint("s");
    buffer.write(key(0), Some(value(2)), late, room(LIMIT)).expect("fits");
    assert_eq!(since(&buffer), Some(early));
    buffer.rollback_to("s").expect("set");
    assert_eq!(since(&buffer), Some(early));
}
