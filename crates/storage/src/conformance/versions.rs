//! MVCC on an engine, at random, against a naive twin: what the engine's filters must not break.
//!
//! [`super::random`] compares entries; this compares what [`crate::mvcc`] makes of them, with the
//! very cursors that nodes use: reads of one key, scans that step and seek, validation, GC. Its own
//! tests do the same in memory; here table files, compactions and range deletions come in between.

use std::{collections::BTreeMap, ops::ControlFlow};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    Engine, WriteBatch,
    mvcc::{self, Direction, GcLimits, ScanLimits, ScanOptions, Version},
};

/// Keys in play: few, so that each has many versions.
const KEYS: u8 = 20;

/// All versions.
type Twin = BTreeMap<(Key, Timestamp), Option<Bytes>>;

/// Random steps of writing, reading and collecting garbage. `between` is called every hundred
/// steps: the place to flush or compact.
pub fn run(engine: &dyn Engine, seed: u64, steps: u64, between: &mut dyn FnMut(&mut dyn Rng)) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut twin = Twin::new();
    let mut threshold = Timestamp::ZERO;
    for step in 1..=steps {
        let now = Timestamp::from_wall(step);
        match rng.random_range(0..10) {
            0..4 => put(engine, &mut twin, now, &mut rng),
            4..6 => get(engine, &twin, threshold, now, &mut rng),
            6..8 => scan(engine, &twin, threshold, now, &mut rng),
            8 => newest(engine, &twin, threshold, now, &mut rng),
            _ => {
                if rng.random_ratio(1, 10) {
                    threshold = between_inclusive(threshold, now, &mut rng);
                }
                gc(engine, &mut twin, threshold, &mut rng);
            }
        }
        if step % 100 == 0 {
            between(&mut rng);
        }
    }
}

fn put(engine: &dyn Engine, twin: &mut Twin, now: Timestamp, rng: &mut ChaCha8Rng) {
    let mut batch = WriteBatch::new();
    if rng.random_ratio(1, 100) {
        // As a range's data is replaced by a snapshot of another replica.
        let span = random_span(rng);
        mvcc::clear_span(&mut batch, &span);
        twin.retain(|(key, _), _| !span.contains(key));
    }
    for _ in 0..rng.random_range(1..4) {
        let value = rng.random_ratio(3, 4).then(|| Bytes::from(vec![rng.random(); 30]));
        let key = random_key(rng);
        mvcc::put_version(&mut batch, &key, now, value.as_deref());
        twin.insert((key, now), value);
    }
    engine.write(batch).expect("the disk works");
}

fn get(
    engine: &dyn Engine,
    twin: &Twin,
    threshold: Timestamp,
    now: Timestamp,
    rng: &mut ChaCha8Rng,
) {
    let (key, at) = (random_key(rng), between_inclusive(threshold, now, rng));
    let expected = twin
        .range((key.clone(), Timestamp::ZERO)..=(key.clone(), at))
        .next_back()
        .map(|((_, ts), value)| Version { ts: *ts, value: value.clone() });
    let found = mvcc::get(engine, &key, at).expect("the disk works");
    assert_eq!(found, expected, "{key} at {at}");
}

fn scan(
    engine: &dyn Engine,
    twin: &Twin,
    threshold: Timestamp,
    now: Timestamp,
    rng: &mut ChaCha8Rng,
) {
    let (span, at) = (random_span(rng), between_inclusive(threshold, now, rng));
    let mut visible = BTreeMap::new();
    for ((key, ts), value) in twin {
        if span.contains(key) && *ts <= at {
            visible.insert(key.clone(), (*ts, value.clone()));
        }
    }
    let mut expected: Vec<_> = visible
        .into_iter()
        .filter_map(|(key, (ts, value))| value.map(|value| (key, ts, value)))
        .collect();
    let direction = if rng.random() { Direction::Reverse } else { Direction::Forward };
    if direction == Direction::Reverse {
        expected.reverse();
    }
    let rows = rng.random_range(1..30);
    let options = ScanOptions { at, direction, limits: ScanLimits { rows, ..ScanLimits::NONE } };
    let mut found = Vec::new();
    let rest = mvcc::scan(engine, &span, &options, &mut |row| {
        found.push((Key::from(row.key), row.ts, Bytes::copy_from_slice(row.value)));
        ControlFlow::Continue(())
    });
    rest.expect("the disk works");
    expected.truncate(rows);
    assert_eq!(found, expected, "{span} at {at}, {direction:?}");
}

fn newest(
    engine: &dyn Engine,
    twin: &Twin,
    threshold: Timestamp,
    now: Timestamp,
    rng: &mut ChaCha8Rng,
) {
    let (span, above) = (random_span(rng), between_inclusive(threshold, now, rng));
    let newest: BTreeMap<&Key, Timestamp> =
        twin.keys().filter(|(key, _)| span.contains(key)).map(|(key, ts)| (key, *ts)).collect();
    let expected =
        newest.into_iter().find(|(_, ts)| *ts > above).map(|(key, ts)| (key.clone(), ts));
    let found = mvcc::newest_in_span(engine, &span, above).expect("the disk works");
    assert_eq!(found, expected, "{span} above {above}");
}

/// What is not visible at or above the threshold goes from the twin at once; nothing reads below.
fn gc(engine: &dyn Engine, twin: &mut Twin, threshold: Timestamp, rng: &mut ChaCha8Rng) {
    let span = random_span(rng);
    let mut batch = WriteBatch::new();
    let limits = GcLimits { removals: usize::MAX, keys: usize::MAX };
    let stats = mvcc::gc(engine, &span, threshold, limits, &mut batch).expect("the disk works");
    engine.write(batch).expect("the disk works");
    let mut visible = BTreeMap::new();
    for (key, ts) in twin.keys().filter(|(key, ts)| span.contains(key) && *ts <= threshold) {
        visible.insert(key.clone(), *ts);
    }
    let before = twin.len();
    twin.retain(|(key, ts), value| match visible.get(key) {
        Some(newest) if ts <= newest => ts == newest && value.is_some(),
        Some(_) | None => true,
    });
    assert_eq!(stats.removed, before - twin.len(), "GC of {span} up to {threshold}");
}

fn between_inclusive(low: Timestamp, high: Timestamp, rng: &mut ChaCha8Rng) -> Timestamp {
    Timestamp::from_wall(rng.random_range(low.wall..=high.wall))
}

/// Some keys are prefixes of others and hold zero bytes.
fn random_key(rng: &mut ChaCha8Rng) -> Key {
    let i = rng.random_range(0..KEYS);
    Key::from_vec(
        [&b"k\0\xff\x01"[..usize::from(i % 4) + 1], &[i / 4; 2][..usize::from(i % 3)]].concat(),
    )
}

fn random_span(rng: &mut ChaCha8Rng) -> Span {
    let (a, b) = (random_key(rng), random_key(rng));
    match rng.random_range(0..4) {
        0 => Span::point(a),
        1 => Span::new(b"", b"z"),
        _ => Span::new(a.clone().min(b.clone()), a.max(b)),
    }
}
