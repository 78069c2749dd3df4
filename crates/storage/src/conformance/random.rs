//! A long random run against a naive twin: one `BTreeMap` per column family.
//!
//! Keys are short and few so that they collide; half of those in [`Cf::Data`] have the form of
//! versions, so that reads within one key, and the filters behind them, are exercised as MVCC does
//! it.

use std::{collections::BTreeMap, ops::Bound};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{is_within, walk};
use crate::{Cf, Engine, Scan, WriteBatch, encoding};

/// Operations in one batch, at most.
const BATCH_OPS_MAX: usize = 8;

/// What an engine should hold.
#[derive(Clone, Debug, Default)]
pub struct Twin {
    families: [BTreeMap<Vec<u8>, Vec<u8>>; Cf::ALL.len()],
}

/// Random steps of writing and reading; every answer is compared with the twin's, which goes on
/// from one run to the next. `between` is called every hundred steps: the place to flush, compact
/// or reopen.
pub fn run(
    engine: &dyn Engine,
    twin: &mut Twin,
    seed: u64,
    steps: usize,
    between: &mut dyn FnMut(&mut dyn Rng),
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for step in 0..steps {
        match rng.random_range(0..10) {
            0..4 => write(engine, twin, &mut rng),
            4..6 => get(engine, twin, &mut rng),
            6..8 => scan(engine, twin, &mut rng),
            8 => seek(engine, twin, &mut rng),
            _ => one_key(engine, twin, &mut rng),
        }
        if step % 100 == 99 {
            between(&mut rng);
            check(engine, twin);
        }
    }
}

/// Compares everything.
pub fn check(reader: &dyn Engine, twin: &Twin) {
    for cf in Cf::ALL {
        let scan = Scan { cf, start: Bound::Unbounded, end: Bound::Unbounded, reverse: false };
        let found = walk(&mut *reader.cursor(scan));
        let expected: Vec<_> =
            twin.families[cf as usize].iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(found, expected, "{cf:?}");
    }
}

fn write(engine: &dyn Engine, twin: &mut Twin, rng: &mut ChaCha8Rng) {
    let mut batch = WriteBatch::new();
    for _ in 0..rng.random_range(1..=BATCH_OPS_MAX) {
        let (cf, key) = (random_cf(rng), random_key(rng));
        let family = &mut twin.families[cf as usize];
        match rng.random_range(0..12) {
            0..8 => {
                let mut value = vec![0; rng.random_range(0..40)];
                rng.fill(&mut value[..]);
                batch.put(cf, key.clone(), value.clone());
                family.insert(key, value);
            }
            8..11 => {
                batch.delete(cf, key.clone());
                family.remove(&key);
            }
            _ => {
                let end = random_key(rng);
                batch.delete_range(cf, key.clone(), end.clone());
                family.retain(|k, _| !(key <= *k && *k < end));
            }
        }
    }
    engine.write(batch).expect("the disk works");
    if rng.random_ratio(1, 20) {
        engine.sync().expect("the disk works");
    }
}

fn get(engine: &dyn Engine, twin: &Twin, rng: &mut ChaCha8Rng) {
    let (cf, key) = (random_cf(rng), random_key(rng));
    let found = engine.get(cf, &key).expect("the disk works");
    assert_eq!(found.as_deref(), twin.families[cf as usize].get(&key).map(|v| &v[..]), "{key:?}");
}

fn scan(engine: &dyn Engine, twin: &Twin, rng: &mut ChaCha8Rng) {
    let (cf, start, end) = (random_cf(rng), random_key(rng), random_key(rng));
    let scan = Scan {
        cf,
        start: random_bound(rng, &start),
        end: random_bound(rng, &end),
        reverse: rng.random(),
    };
    let expected = within(twin, &scan);
    let limit = rng.random_range(1..20);
    let mut found = Vec::new();
    let result = engine.scan(scan.clone(), &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        found.len() < limit
    });
    result.expect("the disk works");
    assert_eq!(found, expected[..limit.min(expected.len())], "{scan:?}");
}

fn seek(engine: &dyn Engine, twin: &Twin, rng: &mut ChaCha8Rng) {
    let (cf, start, end) = (random_cf(rng), random_key(rng), random_key(rng));
    let scan = Scan {
        cf,
        start: random_bound(rng, &start),
        end: random_bound(rng, &end),
        reverse: rng.random(),
    };
    let all = within(twin, &scan);
    let reverse = scan.reverse;
    let mut cursor = engine.cursor(scan);
    for _ in 0..8 {
        let key = random_key(rng);
        let found = all.iter().position(|(k, _)| if reverse { *k <= key } else { *k >= key });
        cursor.seek(&key).expect("the disk works");
        for (expected_key, expected_value) in all.iter().skip(found.unwrap_or(all.len())).take(3) {
            assert_eq!(cursor.entry(), Some((&expected_key[..], &expected_value[..])));
            cursor.advance().expect("the disk works");
        }
        if found.is_none() {
            assert_eq!(cursor.entry(), None, "seek {key:?} in {start:?} .. {end:?}");
        }
    }
}

/// As MVCC reads one key.
fn one_key(engine: &dyn Engine, twin: &Twin, rng: &mut ChaCha8Rng) {
    let (start, mut end) = (random_version(rng), random_version(rng));
    let len = encoding::encoded_len(&start).expect("a version begins with an encoded key");
    end = [&start[..len], &end[end.len() - 1..]].concat();
    let scan = Scan::new(Cf::Data, &start, &end);
    let expected = within(twin, &scan);
    let mut cursor = engine.cursor(scan);
    assert_eq!(walk(&mut *cursor), expected, "{start:?} .. {end:?}");
    let snapshot = engine.snapshot();
    assert_eq!(walk(&mut *snapshot.cursor(Scan::new(Cf::Data, &start, &end))), expected);
}

/// What a scan should find, in its direction.
fn within(twin: &Twin, scan: &Scan<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<_> = twin.families[scan.cf as usize]
        .iter()
        .filter(|(key, _)| is_within(scan.start, scan.end, key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if scan.reverse {
        found.reverse();
    }
    found
}

fn random_cf(rng: &mut ChaCha8Rng) -> Cf {
    Cf::ALL[[0, 0, 0, 1, 2, 3, 4, 5][rng.random_range(0..8)]]
}

fn random_key(rng: &mut ChaCha8Rng) -> Vec<u8> {
    if rng.random() { random_version(rng) } else { random_bytes(rng) }
}

fn random_version(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut key = encoding::encode(&random_bytes(rng), 1);
    key.push(rng.random_range(0..10));
    key
}

fn random_bytes(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let len = rng.random_range(0..4);
    (0..len).map(|_| [0, 1, 2, b'a', b'b', 0xff][rng.random_range(0..6)]).collect()
}

fn random_bound<'a>(rng: &mut ChaCha8Rng, key: &'a [u8]) -> Bound<&'a [u8]> {
    match rng.random_range(0..7) {
        0 => Bound::Unbounded,
        1..4 => Bound::Excluded(key),
        _ => Bound::Included(key),
    }
}
