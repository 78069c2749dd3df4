//! MVCC against a naive twin under random input, golden scripts, and the edges.

mod script;

use std::{collections::BTreeMap, ops::ControlFlow};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, RangeId, Span, TxnId};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Cf, Engine, MemEngine, Reader, WriteBatch};

/// All versions, by key and timestamp: nothing could be more naive.
type Twin = BTreeMap<(Key, Timestamp), Option<Bytes>>;

/// What a read at a timestamp sees, by looking at everything.
fn twin_rows(twin: &Twin, span: &Span, at: Timestamp) -> BTreeMap<Key, (Timestamp, Bytes)> {
    let mut rows = BTreeMap::new();
    for ((key, ts), value) in twin {
        if span.contains(key) && *ts <= at {
            match value {
                Some(value) => rows.insert(key.clone(), (*ts, value.clone())),
                None => rows.remove(key),
            };
        }
    }
    rows
}

fn ts(wall: u64) -> Timestamp {
    Timestamp::from_wall(wall)
}

fn whole() -> Span {
    Span::new(b"", b"\xff\xff\xff")
}

fn key() -> impl Strategy<Value = Key> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(0xff)], 0..3)
        .prop_map(Key::from_vec)
}

fn any_span() -> impl Strategy<Value = Span> {
    let two = (key(), key()).prop_map(|(a, b)| Span::new(a.clone().min(b.clone()), a.max(b)));
    prop_oneof![3 => two, 1 => key().prop_map(Span::point), 1 => Just(whole())]
}

/// Few keys with many versions, so that reads step, give up stepping, and seek.
fn twin() -> impl Strategy<Value = Twin> {
    let version = (key(), 1..40u64, prop::option::weighted(0.7, any::<u8>()));
    prop::collection::vec(version, 0..150).prop_map(|versions| {
        let entry = |(key, wall, value): (Key, u64, Option<u8>)| {
            ((key, ts(wall)), value.map(|byte| Bytes::from(vec![byte; 3])))
        };
        versions.into_iter().map(entry).collect()
    })
}

fn engine_of(twin: &Twin) -> MemEngine {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    for ((key, ts), value) in twin {
        put_version(&mut batch, key, *ts, value.as_deref());
    }
    engine.write(batch).expect("the disk works");
    engine
}

/// All rows by repeated scans with these limits.
fn scan_all(
    engine: &MemEngine,
    span: &Span,
    options: &ScanOptions,
) -> Vec<(Key, Timestamp, Bytes)> {
    let mut rows = Vec::new();
    let mut rest = Some(span.clone());
    while let Some(span) = rest {
        let before = rows.len();
        rest = scan(engine, &span, options, &mut |row| {
            rows.push((Key::from(row.key), row.ts, Bytes::copy_from_slice(row.value)));
            ControlFlow::Continue(())
        })
        .expect("the disk works");
        assert!(rows.len() - before <= options.limits.rows);
        assert!(rest.as_ref().is_none_or(|rest| span.covers(rest) && *rest != span), "no progress");
    }
    rows
}

proptest! {
    #[test]
    fn get_finds_the_newest_at_or_below(twin in twin(), key in key(), at in 0..45u64) {
        let engine = engine_of(&twin);
        let expected = twin
            .range((key.clone(), Timestamp::ZERO)..=(key.clone(), ts(at)))
            .next_back()
            .map(|((_, ts), value)| Version { ts: *ts, value: value.clone() });
        prop_assert_eq!(get(&engine, &key, ts(at)).expect("the disk works"), expected);
    }

    #[test]
    fn scan_sees_what_the_twin_sees(
        twin in twin(), span in any_span(), at in 0..45u64,
        rows in 1..6usize, bytes in 0..20usize, keys in 1..6usize, reverse: bool,
    ) {
        let engine = engine_of(&twin);
        let mut expected: Vec<_> = twin_rows(&twin, &span, ts(at))
            .into_iter()
            .map(|(key, (ts, value))| (key, ts, value))
            .collect();
        let direction = if reverse { Direction::Reverse } else { Direction::Forward };
        if reverse {
            expected.reverse();
        }
        let limits = ScanLimits { rows, bytes, keys };
        let limited = ScanOptions { at: ts(at), direction, limits };
        prop_assert_eq!(&scan_all(&engine, &span, &limited), &expected);
        let whole = ScanOptions { limits: ScanLimits::NONE, ..limited };
        prop_assert_eq!(&scan_all(&engine, &span, &whole), &expected);
    }

    #[test]
    fn newest_is_the_newest(twin in twin(), span in any_span(), above in 0..45u64) {
        let engine = engine_of(&twin);
        let mut newest: BTreeMap<&Key, Timestamp> = BTreeMap::new();
        for (key, ts) in twin.keys().filter(|(key, _)| span.contains(key)) {
            newest.insert(key, *ts);
        }
        let expected =
            newest.iter().find(|(_, newest)| **newest > ts(above)).map(|(k, t)| ((*k).clone(), *t));
        prop_assert_eq!(newest_in_span(&engine, &span, ts(above)).expect("works"), expected);
        for (key, ts) in newest {
            prop_assert_eq!(newest_on_key(&engine, key).expect("works"), Some(ts));
        }
    }

    #[test]
    fn gc_keeps_what_is_readable(
        twin in twin(), span in any_span(), threshold in 0..45u64,
        removals in 1..5usize, keys in 1..5usize,
    ) {
        let engine = engine_of(&twin);
        let mut rest = Some(span.clone());
        let mut removed = 0;
        while let Some(span) = rest {
            let mut batch = WriteBatch::new();
            let limits = GcLimits { removals, keys };
            let stats = gc(&engine, &span, ts(threshold), limits, &mut batch).expect("works");
            engine.write(batch).expect("the disk works");
            prop_assert!(stats.removed <= removals && stats.keys <= keys);
            removed += stats.removed;
            rest = stats.rest;
            // S4, also between the calls.
            for at in threshold..45 {
                let rows = scan_all(&engine, &whole(), &ScanOptions::all(ts(at)));
                let expected = twin_rows(&twin, &whole(), ts(at));
                prop_assert_eq!(rows.len(), expected.len());
                for (key, ts, value) in rows {
                    prop_assert_eq!(&expected[&key], &(ts, value));
                }
            }
        }
        prop_assert_eq!(removed, twin_garbage(&twin, &span, ts(threshold)));
    }

    #[test]
    fn checksum_tells_visible_differences_and_no_others(twin in twin(), threshold in 1..45u64) {
        let engine = engine_of(&twin);
        let at = ts(threshold);
        let before = checksum(&engine, &whole(), at).expect("works");
        prop_assert_eq!(before.rows as usize, twin_rows(&twin, &whole(), at).len());
        let mut batch = WriteBatch::new();
        let limits = GcLimits { removals: usize::MAX, keys: usize::MAX };
        gc(&engine, &whole(), at, limits, &mut batch).expect("works");
        put_version(&mut batch, &Key::from("unseen"), at.next(), Some(b"above"));
        engine.write(batch).expect("the disk works");
        prop_assert_eq!(checksum(&engine, &whole(), at).expect("works"), before);
        let mut batch = WriteBatch::new();
        put_version(&mut batch, &Key::from("seen"), at, Some(b"at"));
        engine.write(batch).expect("the disk works");
        prop_assert_ne!(checksum(&engine, &whole(), at).expect("works"), before);
    }

    #[test]
    fn export_and_import_copy_the_span_and_nothing_else(
        twin in twin(), span in any_span(), chunk_bytes in 0..200usize,
    ) {
        let (from, to) = (engine_of(&twin), engine_of(&stale(&twin)));
        let mut batch = WriteBatch::new();
        for key in twin.keys().map(|(key, _)| key) {
            put_intent(&mut batch, key, &an_intent(key));
            batch.put(Cf::Records, crate::records::key(key, TxnId(7)), &b"record"[..]);
        }
        from.write(batch).expect("the disk works");
        let outside = dump_outside(&to, &span);
        let range = RangeId(3);
        let snapshot = from.snapshot();
        let mut position = None;
        loop {
            let mut batch = WriteBatch::new();
            let chunk = export_span(&*snapshot, &span, position.as_ref(), chunk_bytes)
                .expect("the disk works");
            stage(&mut batch, range, &span, chunk.entries).expect("it was exported so");
            to.write(batch).expect("the disk works");
            prop_assert!(chunk.next != position || position.is_none(), "an export without progress");
            position = chunk.next;
            if position.is_none() {
                break;
            }
        }
        prop_assert_eq!(dump_outside(&to, &span), outside.clone());
        let mut batch = WriteBatch::new();
        clear_span(&mut batch, &span);
        to.write(batch).expect("the disk works");
        let mut at = None;
        for turn in 0.. {
            let mut batch = WriteBatch::new();
            at = unstage(&to, &mut batch, range, at, chunk_bytes).expect("the disk works");
            to.write(batch).expect("the disk works");
            if turn == 2 {
                // As if the process had ended here: from the beginning again.
                at = Some(Bytes::copy_from_slice(&keys::layout::range_key(range)));
            }
            if at.is_none() {
                break;
            }
        }
        let mut batch = WriteBatch::new();
        clear_staged(&mut batch, range);
        to.write(batch).expect("the disk works");
        prop_assert!(!is_staged(&to, range).expect("the disk works"));
        prop_assert_eq!(dump(&to, &span), dump(&from, &span));
        prop_assert_eq!(dump_outside(&to, &span), outside);
    }
}

/// How many versions nobody can read at or above the threshold.
fn twin_garbage(twin: &Twin, span: &Span, threshold: Timestamp) -> usize {
    let mut visible: BTreeMap<&Key, bool> = BTreeMap::new();
    let mut old = 0;
    for ((key, ts), value) in twin {
        if span.contains(key) && *ts <= threshold {
            old += 1;
            visible.insert(key, value.is_some());
        }
    }
    old - visible.values().filter(|has_value| **has_value).count()
}

/// What a replica that fell behind may hold: other versions of the same keys.
fn stale(twin: &Twin) -> Twin {
    twin.keys().map(|(key, ts)| ((key.clone(), ts.next()), Some(Bytes::from("stale")))).collect()
}

fn an_intent(key: &Key) -> Intent {
    Intent {
        txn: TxnId(7),
        anchor: key.clone(),
        prepare: ts(50),
        priority: ts(1),
        start: ts(2),
        value: Some(Bytes::from("intended")),
    }
}

fn dump(engine: &MemEngine, span: &Span) -> Vec<Entry> {
    export_span(engine, span, None, usize::MAX).expect("the disk works").entries
}

fn dump_outside(engine: &MemEngine, span: &Span) -> Vec<Entry> {
    let below = Span::new(b"", span.start.clone());
    let above = Span::new(span.end.clone(), span.end.clone().max(whole().end));
    [dump(engine, &below), dump(engine, &above)].concat()
}

#[test]
fn every_flipped_bit_is_reported() {
    let engine = MemEngine::new();
    let key = Key::from("k");
    let mut batch = WriteBatch::new();
    put_version(&mut batch, &key, ts(5), Some(b"value"));
    put_intent(&mut batch, &key, &an_intent(&key));
    engine.write(batch).expect("the disk works");
    engine.sync().expect("the disk works");
    let stored_key = version_key(&key, ts(5));
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        assert!(engine.disk().flip_bit(Cf::Data, &stored_key, &mut rng));
        assert!(engine.disk().flip_bit(Cf::Intents, &key, &mut rng));
        assert!(get(&engine, &key, ts(9)).expect_err("S3").corruption);
        assert!(newest_on_key(&engine, &key).expect_err("S3").corruption);
        assert!(newest_in_span(&engine, &whole(), ts(1)).expect_err("S3").corruption);
        assert!(checksum(&engine, &whole(), ts(9)).expect_err("S3").corruption);
        assert!(export_span(&engine, &whole(), None, 1000).expect_err("S3").corruption);
        assert!(intent(&engine, &key).expect_err("S3").corruption);
        assert!(intents_in_span(&engine, &whole(), 10).expect_err("S3").corruption);
        let mut batch = WriteBatch::new();
        put_version(&mut batch, &key, ts(5), Some(b"value"));
        put_intent(&mut batch, &key, &an_intent(&key));
        engine.write(batch).expect("the disk works");
        assert!(get(&engine, &key, ts(9)).is_ok());
    }
}

#[test]
fn value_under_a_wrong_key_is_reported() {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    put_version(&mut batch, &Key::from("a"), ts(5), Some(b"value"));
    engine.write(batch).expect("the disk works");
    let stored = engine.get(Cf::Data, &version_key(&Key::from("a"), ts(5))).expect("works");
    let mut batch = WriteBatch::new();
    let elsewhere = version_key(&Key::from("a"), ts(6));
    batch.put(Cf::Data, elsewhere, stored.expect("it was written"));
    engine.write(batch).expect("the disk works");
    assert!(get(&engine, &Key::from("a"), ts(9)).expect_err("S3").corruption);
    assert!(get(&engine, &Key::from("a"), ts(5)).is_ok());
}

#[test]
fn key_that_is_no_version_is_reported() {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Data, &b"short"[..], &b""[..]);
    engine.write(batch).expect("the disk works");
    assert!(newest_in_span(&engine, &whole(), ts(1)).expect_err("S3").corruption);
    let limits = GcLimits { removals: 1, keys: 1 };
    assert!(gc(&engine, &whole(), ts(1), limits, &mut WriteBatch::new()).is_err());
}

#[test]
fn import_refuses_what_is_foreign_or_damaged() {
    let twin: Twin = [((Key::from("m"), ts(5)), Some(Bytes::from("v")))].into();
    let entries = dump(&engine_of(&twin), &whole());
    let mut batch = WriteBatch::new();
    let elsewhere = Span::new(b"n", b"z");
    let error =
        stage(&mut batch, RangeId(3), &elsewhere, entries.clone()).expect_err("not its keys");
    assert!(matches!(error, ImportError::Outside { entry: 0, cf: "data", .. }), "{error}");
    let state = vec![(Cf::State, Bytes::from("m"), Bytes::new())];
    stage(&mut batch, RangeId(3), &whole(), state).expect_err("no range's data");
    let (cf, key, mut value) = entries[0].clone();
    value = [&value[..], b"x"].concat().into();
    let error =
        stage(&mut batch, RangeId(3), &whole(), vec![(cf, key, value)]).expect_err("damaged");
    assert!(matches!(error, ImportError::Damaged { entry: 0, .. }), "{error}");
}

#[test]
fn a_million_versions_are_skipped_by_seeking() {
    // Counted, not timed: a cursor that stepped would visit every version.
    let twin: Twin = (0..50_000u64)
        .map(|i| ((Key::from(if i % 2 == 0 { "a" } else { "b" }), ts(i + 1)), Some(Bytes::new())))
        .collect();
    let engine = script::Counting::new(engine_of(&twin));
    let options = ScanOptions::all(ts(10));
    let reversed = ScanOptions { direction: Direction::Reverse, ..ScanOptions::all(ts(25_000)) };
    for options in [options, reversed] {
        let mut rows = 0;
        scan(&engine, &whole(), &options, &mut |_| {
            rows += 1;
            ControlFlow::Continue(())
        })
        .expect("the disk works");
        assert_eq!(rows, 2);
    }
    assert_eq!(newest_in_span(&engine, &whole(), ts(60_000)).expect("works"), None);
    assert!(engine.moves() < 100, "{} moves", engine.moves());
}

#[test]
#[should_panic(expected = "timestamp zero")]
fn version_at_zero_is_refused() {
    put_version(&mut WriteBatch::new(), &Key::from("k"), Timestamp::ZERO, None);
}

#[test]
#[should_panic(expected = "R1")]
fn commit_below_the_prepare_timestamp_is_refused() {
    let engine = MemEngine::new();
    let key = Key::from("k");
    let mut batch = WriteBatch::new();
    put_intent(&mut batch, &key, &an_intent(&key));
    engine.write(batch).expect("the disk works");
    let outcome = Outcome::Committed(ts(49));
    let _ = resolve_intent(&engine, &mut WriteBatch::new(), &key, TxnId(7), outcome);
}

#[test]
fn records_lie_under_their_anchor() {
    let (a, b) = (Key::from("a"), Key::from("a\0"));
    let span = Span::point(a.clone());
    let (start, end) = crate::records::bounds(&span);
    let of = |key: &Key, id| crate::records::key(key, TxnId(id));
    assert!(*start <= *of(&a, 0) && *of(&a, u128::MAX) < *end);
    assert!(*of(&b, 0) >= *end);
    assert_eq!(crate::records::parse(&of(&b, 9)).expect("well formed"), (b, TxnId(9)));
    assert!(crate::records::parse(b"a").expect_err("malformed").corruption);
}

#[test]
fn golden_scripts() {
    script::run_all("src/mvcc/testscripts");
}
