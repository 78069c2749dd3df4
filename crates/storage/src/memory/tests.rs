//! The engine in memory: conformance, and what its disk keeps through crashes and faults.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Op, conformance, mirror::Mirror};

fn batch(value: u32) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(Cf::State, &b"last"[..], value.to_be_bytes().to_vec());
    batch.put(Cf::Log, value.to_be_bytes().to_vec(), vec![7; value as usize % 50]);
    batch
}

/// The number of the last batch, and that the log holds exactly the batches up to it.
fn last_batch(engine: &MemEngine) -> u32 {
    let last = engine
        .get(Cf::State, b"last")
        .expect("the disk works")
        .map_or(0, |value| u32::from_be_bytes(value.as_ref().try_into().expect("it is a u32")));
    let mut count = 0u32;
    let all = Scan::new(Cf::Log, b"", b"\xff");
    let result = engine.scan(all, &mut |key, _| {
        count += 1;
        key == count.to_be_bytes().as_slice()
    });
    result.expect("the disk works");
    assert_eq!(count, last, "a batch survived in part, or one from the middle was lost");
    last
}

#[test]
fn memory_engine_conforms() {
    conformance::all(&|| Box::new(MemEngine::new()));
}

#[test]
fn memory_engine_equals_the_naive_twin() {
    for seed in 0..20 {
        let engine = MemEngine::new();
        let mut twin = conformance::random::Twin::default();
        conformance::random::run(&engine, &mut twin, seed, 2_000, &mut |_| {});
    }
}

#[test]
fn mvcc_in_memory_equals_the_naive_twin() {
    for seed in 0..10 {
        conformance::versions::run(&MemEngine::new(), seed, 2_000, &mut |_| {});
    }
}

#[test]
fn mirror_of_equal_engines_conforms() {
    conformance::one_thread(&|| {
        Box::new(Mirror::new(Box::new(MemEngine::new()), Box::new(MemEngine::new())))
    });
}

#[test]
#[should_panic(expected = "engines differ")]
fn mirror_notices_a_difference() {
    let one = MemEngine::new();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Log, &b"only here"[..], &b""[..]);
    one.write(batch).expect("the disk works");
    let mirror = Mirror::new(Box::new(one), Box::new(MemEngine::new()));
    let _ = mirror.get(Cf::Log, b"only here");
}

proptest! {
    #[test]
    fn crash_keeps_a_prefix_and_all_synced(synced in 0..30u32, unsynced in 0..30u32, seed: u64) {
        let engine = MemEngine::new();
        for value in 1..=synced {
            engine.write(batch(value)).expect("the disk works");
        }
        engine.sync().expect("the disk works");
        for value in synced + 1..=synced + unsynced {
            engine.write(batch(value)).expect("the disk works");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (after, report) = engine.disk().crash_with_report(&mut rng);
        let last = last_batch(&after);
        prop_assert_eq!(last as usize, synced as usize + report.kept);
        prop_assert_eq!(report.kept + report.lost, unsynced as usize);
        prop_assert!(!report.torn || report.lost > 0);
        // What survived is on the disk: a second crash takes nothing more.
        prop_assert_eq!(last_batch(&after.disk().crash_losing_unsynced()), last);
    }

    #[test]
    fn taking_back_restores_what_random_batches_changed(
        before in prop::collection::vec(random_op(), 0..40),
        after in prop::collection::vec(random_op(), 0..40),
    ) {
        let engine = MemEngine::new();
        engine.write(WriteBatch { ops: before }).expect("the disk works");
        engine.sync().expect("the disk works");
        let expected = dump(&engine);
        for ops in after.chunks(3) {
            engine.write(WriteBatch { ops: ops.to_vec() }).expect("the disk works");
        }
        prop_assert_eq!(dump(&engine.disk().crash_losing_unsynced()), expected);
    }
}

fn random_op() -> impl Strategy<Value = Op> {
    let key = || prop::collection::vec(0..4u8, 0..3).prop_map(Bytes::from);
    prop_oneof![
        4 => (key(), key()).prop_map(|(key, value)| Op::Put(Cf::Data, key, value)),
        2 => key().prop_map(|key| Op::Delete(Cf::Data, key)),
        1 => (key(), key()).prop_map(|(start, end)| Op::DeleteRange(Cf::Data, start, end)),
    ]
}

fn dump(engine: &MemEngine) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let scan = Scan::new(Cf::Data, b"", b"\xff");
    let result = engine.scan(scan, &mut |key, value| {
        found.insert(key.to_vec(), value.to_vec());
        true
    });
    result.expect("the disk works");
    found
}

#[test]
fn crashes_tear_batches_and_keep_others() {
    let (mut torn, mut all, mut none) = (0, 0, 0);
    for seed in 0..300 {
        let engine = MemEngine::new();
        for value in 1..=3 {
            engine.write(batch(value)).expect("the disk works");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let report = engine.disk().crash_with_report(&mut rng).1;
        torn += usize::from(report.torn);
        none += usize::from(report.kept == 0);
        all += usize::from(report.lost == 0);
    }
    assert!(torn > 0 && all > 0 && none > 0, "torn {torn}, all kept {all}, none kept {none}");
}

#[test]
fn failed_sync_leaves_a_disk_that_refuses_until_opened_again() {
    let engine = MemEngine::new();
    engine.write(batch(1)).expect("the disk works");
    engine.disk().fail_next_sync();
    assert_eq!(engine.sync().expect_err("as ordered").cause, "input/output error");
    engine.sync().expect_err("S3: never retried");
    engine.write(batch(2)).expect_err("S3: the state is unknown");
    let engine = engine.disk().crash_losing_unsynced();
    assert_eq!(last_batch(&engine), 0);
    engine.write(batch(1)).expect("opened again");
    engine.sync().expect("opened again");
}

#[test]
fn full_disk_refuses_the_batch_and_all_after_it() {
    let engine = MemEngine::new();
    engine.write(batch(1)).expect("the disk works");
    engine.disk().fail_next_write();
    assert_eq!(engine.write(batch(2)).expect_err("as ordered").cause, "no space left on device");
    engine.write(batch(2)).expect_err("S3");
    assert_eq!(last_batch(&engine.disk().open()), 1);
}

#[test]
fn lying_disk_loses_what_it_said_was_synced() {
    let engine = MemEngine::new();
    engine.write(batch(1)).expect("the disk works");
    engine.sync().expect("honest");
    engine.disk().set_sync(SyncMode::Lying);
    engine.write(batch(2)).expect("the disk works");
    engine.sync().expect("it lies");
    assert_eq!(last_batch(&engine.disk().crash_losing_unsynced()), 1);
}

#[test]
fn engine_of_an_earlier_life_is_refused() {
    let old = MemEngine::new();
    old.write(batch(1)).expect("the disk works");
    let new = old.disk().open();
    old.write(batch(2)).expect_err("its node is dead");
    old.sync().expect_err("its node is dead");
    old.get(Cf::Log, b"").expect_err("its node is dead");
    let cursor = old.cursor(Scan::new(Cf::Log, b"", b"z"));
    assert!(cursor.entry().is_none());
    cursor.status().expect_err("not the end of the data: its node is dead");
    old.snapshot().get(Cf::Log, b"").expect_err("its node is dead");
    assert_eq!(last_batch(&new), 1, "a killed process loses nothing");
}

#[test]
fn old_unsynced_batches_become_durable_at_the_limit() {
    let engine = MemEngine::new();
    let value = vec![0; UNSYNCED_BYTES_MAX / 4];
    for key in 0..8u8 {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Log, vec![key], value.clone());
        engine.write(batch).expect("the disk works");
    }
    assert_eq!(engine.disk().unsynced(), 3);
    let engine = engine.disk().crash_losing_unsynced();
    let all = Scan::new(Cf::Log, b"", b"\xff");
    let mut kept = 0;
    let result = engine.scan(all, &mut |_, _| {
        kept += 1;
        true
    });
    result.expect("the disk works");
    assert_eq!(kept, 5);
}

#[test]
fn flipped_bit_is_one_bit() {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Log, &b"k"[..], vec![0; 10]);
    engine.write(batch).expect("the disk works");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert!(engine.disk().flip_bit(Cf::Log, b"k", &mut rng));
    let value =
        engine.get(Cf::Log, b"k").expect("the engine does not notice").expect("it is there");
    assert_eq!(value.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert!(!engine.disk().flip_bit(Cf::Log, b"no such key", &mut rng));
}

#[test]
fn large_tree_survives_deletion_of_most_keys() {
    let mut tree = Tree::default();
    let key = |i: u32| Bytes::from(i.wrapping_mul(2_654_435_761).to_be_bytes().to_vec());
    for i in 0..10_000 {
        assert_eq!(tree.insert(key(i), Bytes::new()), None);
    }
    let copy = tree.clone();
    for i in 0..10_000 {
        if i % 100 != 0 {
            assert!(tree.remove(&key(i)).is_some());
            assert!(tree.remove(&key(i)).is_none());
        }
    }
    assert_eq!(tree.keys_between(&[], &[0xff; 5]).len(), 100);
    assert_eq!(copy.keys_between(&[], &[0xff; 5]).len(), 10_000);
    assert!((0..10_000).all(|i| tree.get(&key(i)).is_some() == (i % 100 == 0)));
}

/// An older copy of a folder is put back: all that came after it is gone, and stays gone in a crash.
#[test]
fn a_copy_that_is_put_back_is_what_it_was() {
    let disk = Disk::new();
    let engine = disk.open();
    (1..=3).for_each(|value| engine.write(batch(value)).expect("the disk works"));
    let copy = disk.image();
    (4..=6).for_each(|value| engine.write(batch(value)).expect("the disk works"));
    engine.sync().expect("the disk works");
    disk.put_back(&copy);
    assert!(engine.get(Cf::State, b"last").is_err(), "the engine of the folder that was there");
    assert_eq!(last_batch(&disk.open()), 3);
    assert_eq!(last_batch(&disk.crash_losing_unsynced()), 3, "a copy is durable");
}
