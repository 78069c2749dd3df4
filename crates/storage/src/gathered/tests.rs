//! Gathered writes: an engine like any other to its one writer, and one batch to the engine.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{MemEngine, conformance};

fn over(engine: &MemEngine) -> Gathered {
    Gathered::new(Arc::new(engine.clone()))
}

fn put(engine: &dyn Engine, key: &'static str, value: &'static str) {
    let mut batch = WriteBatch::new();
    batch.put(Cf::State, key, value);
    engine.write(batch).expect("the disk works");
}

fn get(reader: &dyn Reader, key: &str) -> Option<Bytes> {
    reader.get(Cf::State, key.as_bytes()).expect("the disk works")
}

#[test]
fn to_its_writer_it_conforms() {
    conformance::one_thread(&|| Box::new(over(&MemEngine::new())));
}

#[test]
fn to_its_writer_it_equals_the_naive_twins() {
    for seed in 0..20 {
        let gathered = over(&MemEngine::new());
        let mut twin = conformance::random::Twin::default();
        let mut between = |rng: &mut dyn rand::Rng| {
            if rng.random_bool(0.5) {
                gathered.write_out().expect("the disk works");
            }
        };
        conformance::random::run(&gathered, &mut twin, seed, 2_000, &mut between);
        conformance::versions::run(&over(&MemEngine::new()), seed, 500, &mut |_| {});
    }
}

#[test]
fn nothing_is_seen_by_others_before_it_is_written_out_as_one_batch() {
    let engine = MemEngine::new();
    let gathered = over(&engine);
    for value in ["1", "2", "3"] {
        put(&gathered, "applied", value);
    }
    put(&gathered, "other", "4");
    assert_eq!(get(&gathered, "applied").as_deref(), Some(&b"3"[..]));
    assert_eq!((get(&engine, "applied"), engine.disk().unsynced()), (None, 0));
    gathered.write_out().expect("the disk works");
    assert_eq!(get(&engine, "applied").as_deref(), Some(&b"3"[..]));
    assert_eq!(engine.disk().unsynced(), 1, "one batch");
    gathered.write_out().expect("the disk works");
    assert_eq!(engine.disk().unsynced(), 1, "nothing is no batch");
}

#[test]
fn a_scan_writes_out_what_it_could_see_and_nothing_else() {
    let engine = MemEngine::new();
    let gathered = over(&engine);
    put(&gathered, "b", "1");
    let scan = |cf, start: &'static [u8], end: &'static [u8]| {
        drop(gathered.cursor(Scan::new(cf, start, end)));
        engine.disk().unsynced()
    };
    let missed =
        [scan(Cf::State, b"c", b"d"), scan(Cf::State, b"a", b"b"), scan(Cf::Log, b"a", b"d")];
    assert_eq!(missed, [0; 3]);
    assert_eq!(scan(Cf::State, b"z", b"a"), 0, "an empty span sees nothing");
    assert_eq!(scan(Cf::State, b"b", b"c"), 1);
}

#[test]
fn a_snapshot_and_a_sync_hold_all_that_was_written() {
    let engine = MemEngine::new();
    let gathered = over(&engine);
    put(&gathered, "a", "1");
    let snapshot = gathered.snapshot();
    put(&gathered, "a", "2");
    assert_eq!(get(&*snapshot, "a").as_deref(), Some(&b"1"[..]));
    gathered.sync().expect("the disk works");
    let after = engine.disk().crash_losing_unsynced();
    assert_eq!(get(&after, "a").as_deref(), Some(&b"2"[..]));
}

#[test]
fn what_it_holds_is_bounded() {
    let engine = MemEngine::new();
    let gathered = over(&engine);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut most = 0;
    for _ in 0..100 {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Data, rng.random::<[u8; 8]>().to_vec(), vec![7; GATHERED_BYTES / 10]);
        gathered.write(batch).expect("the disk works");
        most = most.max(gathered.held().bytes);
    }
    assert!(most < GATHERED_BYTES && engine.disk().unsynced() >= 9, "{most}");
}

#[test]
fn a_failed_disk_shows_in_whatever_would_have_written_out() {
    let engine = MemEngine::new();
    let failed = || {
        let gathered = over(&engine.disk().open());
        put(&gathered, "a", "1");
        engine.disk().fail_next_write();
        gathered
    };
    let cursor_failed = |gathered: &Gathered| {
        let mut cursor = gathered.cursor(Scan::new(Cf::State, b"a", b"b"));
        assert!(cursor.entry().is_none());
        cursor.advance().and(cursor.seek(b"a")).expect_err("the disk failed");
        cursor.status().expect_err("not the end of the data");
    };
    cursor_failed(&failed());
    failed().snapshot().get(Cf::State, b"a").expect_err("the disk failed");
    failed().scan(Scan::new(Cf::State, b"a", b"b"), &mut |_, _| true).expect_err("it failed");
    failed().sync().expect_err("the disk failed");
    failed().write_out().expect_err("the disk failed");
}
