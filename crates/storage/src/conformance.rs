//! What every engine must do, as a test suite: the contract of [`Engine`] in executable form.
//!
//! Each function takes a factory of empty engines and panics where the engine deviates. [`all`]
//! runs everything but the long random comparisons with naive twins, [`random::run`] and [`versions::run`]. Used by the
//! tests of [`crate::MemEngine`] and of the crate `rocks`; whoever writes a third engine starts
//! here.
//!
//! What it cannot check: that `sync` really reaches the disk. The engines' own tests crash them.

pub mod random;
pub mod versions;

use std::ops::Bound;

use bytes::Bytes;

use crate::{Cf, Cursor, Engine, Reader, Scan, WriteBatch};

/// Makes an empty engine.
pub type Factory<'a> = &'a dyn Fn() -> Box<dyn Engine>;

/// A key with its value, copied.
type Pair = (Vec<u8>, Vec<u8>);

/// The whole suite.
pub fn all(factory: Factory<'_>) {
    one_thread(factory);
    batches_are_atomic_for_concurrent_readers(factory);
    sync_succeeds_beside_writes(factory);
}

/// All that needs no second writer or reader at the same time.
pub fn one_thread(factory: Factory<'_>) {
    point_reads_see_the_last_write(factory);
    families_are_separate(factory);
    batch_applies_in_order(factory);
    empty_keys_and_values_are_allowed(factory);
    delete_range_is_half_open(factory);
    scan_respects_bounds_and_direction(factory);
    scan_stops_when_told(factory);
    cursor_seeks_to_and_fro(factory);
    cursor_stays_within_bounds(factory);
    cursor_and_scan_see_one_moment(factory);
    snapshot_sees_its_moment(factory);
    snapshot_can_be_sent_and_outlives_the_engine(factory);
    reads_within_one_key_find_all_versions(factory);
}

/// A read returns what was put last; a deleted or unknown key has no value.
pub fn point_reads_see_the_last_write(factory: Factory<'_>) {
    let engine = factory();
    assert_eq!(get(&*engine, Cf::State, b"a"), None);
    put(&*engine, Cf::State, &[("a", "1")]);
    put(&*engine, Cf::State, &[("a", "2"), ("b", "3")]);
    assert_eq!(get(&*engine, Cf::State, b"a").as_deref(), Some(&b"2"[..]));
    write(&*engine, |batch| {
        batch.delete(Cf::State, &b"a"[..]);
        batch.delete(Cf::State, &b"never there"[..]);
    });
    assert_eq!(get(&*engine, Cf::State, b"a"), None);
    assert_eq!(get(&*engine, Cf::State, b"b").as_deref(), Some(&b"3"[..]));
    assert!(!engine.name().is_empty());
}

/// The same key in two column families is two keys.
pub fn families_are_separate(factory: Factory<'_>) {
    let engine = factory();
    for cf in Cf::ALL {
        put(&*engine, cf, &[("k", cf.name())]);
    }
    write(&*engine, |batch| batch.delete(Cf::Log, &b"k"[..]));
    for cf in Cf::ALL {
        let expected = (cf != Cf::Log).then(|| Bytes::from_static(cf.name().as_bytes()));
        assert_eq!(get(&*engine, cf, b"k"), expected, "{cf:?}");
    }
}

/// Later operations of a batch act on the result of the earlier ones.
pub fn batch_applies_in_order(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Log, &[("a", "old"), ("b", "old"), ("c", "old")]);
    write(&*engine, |batch| {
        batch.put(Cf::Log, &b"b"[..], &b"gone"[..]);
        batch.delete_range(Cf::Log, &b"a"[..], &b"c"[..]);
        batch.put(Cf::Log, &b"a"[..], &b"new"[..]);
        batch.put(Cf::Log, &b"a"[..], &b"newer"[..]);
        batch.put(Cf::Log, &b"d"[..], &b"gone"[..]);
        batch.delete(Cf::Log, &b"d"[..]);
    });
    let expected = pairs(&[("a", "newer"), ("c", "old")]);
    assert_eq!(collect(&*engine, everything(Cf::Log)), expected);
    write(&*engine, |_| {});
    assert_eq!(collect(&*engine, everything(Cf::Log)), expected, "an empty batch");
}

/// The empty key is a key, the least one; the empty value is a value.
pub fn empty_keys_and_values_are_allowed(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Intents, &[("", ""), ("\0", "zero")]);
    assert_eq!(get(&*engine, Cf::Intents, b"").as_deref(), Some(&b""[..]));
    let expected = pairs(&[("", ""), ("\0", "zero")]);
    assert_eq!(collect(&*engine, everything(Cf::Intents)), expected);
}

/// The start is removed, the end is not; an interval without keys or upside down removes nothing.
pub fn delete_range_is_half_open(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Data, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    let delete = |start: &'static str, end: &'static str| {
        write(&*engine, |batch| batch.delete_range(Cf::Data, start, end));
    };
    delete("bb", "bc");
    delete("b", "b");
    delete("d", "a");
    assert_eq!(collect(&*engine, everything(Cf::Data)).len(), 4);
    delete("b", "d");
    assert_eq!(collect(&*engine, everything(Cf::Data)), pairs(&[("a", "1"), ("d", "4")]));
    put(&*engine, Cf::Data, &[("c", "again")]);
    assert_eq!(get(&*engine, Cf::Data, b"c").as_deref(), Some(&b"again"[..]));
}

/// All kinds of bounds, both ways, on keys and between them, and bounds that hold nothing.
pub fn scan_respects_bounds_and_direction(factory: Factory<'_>) {
    let engine = factory();
    let keys = ["a", "b", "b\0", "c", "e"];
    put(&*engine, Cf::Log, &keys.map(|key| (key, key)));
    let ends = ["", "a", "b", "b\0", "bb", "d", "e", "f"];
    let bounds: Vec<Bound<&[u8]>> = ends
        .iter()
        .flat_map(|end| [Bound::Included(end.as_bytes()), Bound::Excluded(end.as_bytes())])
        .chain([Bound::Unbounded])
        .collect();
    for &start in &bounds {
        for &end in &bounds {
            let mut expected: Vec<Pair> =
                keys.iter().map(|key| (key.as_bytes().to_vec(), key.as_bytes().to_vec())).collect();
            expected.retain(|(key, _)| is_within(start, end, key));
            for reverse in [false, true] {
                let scan = Scan { cf: Cf::Log, start, end, reverse };
                let what = format!("{scan:?}");
                assert_eq!(collect(&*engine, scan.clone()), expected, "{what}");
                assert_eq!(walk(&mut *engine.cursor(scan)), expected, "cursor, {what}");
                expected.reverse();
            }
        }
    }
}

/// A visitor that answers `false` is not called again.
pub fn scan_stops_when_told(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Log, &[("a", "1"), ("b", "2"), ("c", "3")]);
    for (reverse, last) in [(false, b"b"), (true, b"b")] {
        let mut seen = Vec::new();
        let scan = Scan { reverse, ..everything(Cf::Log) };
        let result = engine.scan(scan, &mut |key, _| {
            seen.push(key.to_vec());
            seen.len() < 2
        });
        result.expect("the disk works");
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1], last);
    }
}

/// Seeks find the nearest key in the scan's direction, also backwards and from behind the end.
pub fn cursor_seeks_to_and_fro(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Log, &[("b", "1"), ("d", "2"), ("f", "3")]);
    let expect = |cursor: &mut dyn Cursor, seek: &[u8], found: Option<&[u8]>| {
        cursor.seek(seek).expect("the disk works");
        let what = seek.escape_ascii().to_string();
        assert_eq!(cursor.entry().map(|(key, _)| key), found, "seek {what}");
        cursor.status().expect("no key is not an error");
    };
    let mut up = engine.cursor(everything(Cf::Log));
    assert_eq!(up.entry(), Some((&b"b"[..], &b"1"[..])));
    expect(&mut *up, b"c", Some(b"d"));
    expect(&mut *up, b"g", None);
    expect(&mut *up, b"f", Some(b"f"));
    expect(&mut *up, b"", Some(b"b"));
    up.advance().expect("the disk works");
    assert_eq!(up.entry().map(|(key, _)| key), Some(&b"d"[..]));
    let mut down = engine.cursor(everything(Cf::Log).reversed());
    assert_eq!(down.entry(), Some((&b"f"[..], &b"3"[..])));
    expect(&mut *down, b"e", Some(b"d"));
    expect(&mut *down, b"a", None);
    expect(&mut *down, b"b", Some(b"b"));
    expect(&mut *down, b"z", Some(b"f"));
    down.advance().expect("the disk works");
    assert_eq!(down.entry().map(|(key, _)| key), Some(&b"d"[..]));
    down.advance().expect("the disk works");
    down.advance().expect("the disk works");
    assert_eq!(down.entry(), None);
    down.advance().expect("behind the end it stays there");
    assert_eq!(down.entry(), None);
}

/// A seek to before the bounds lands on the first entry within, one to behind them on none.
pub fn cursor_stays_within_bounds(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Log, &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")]);
    let bounds = Scan::new(Cf::Log, b"b", b"d");
    let key_after_seek = |scan: Scan<'static>, seek: &[u8]| {
        let mut cursor = engine.cursor(scan);
        cursor.seek(seek).expect("the disk works");
        cursor.entry().map(|(key, _)| key.to_vec())
    };
    for (seek, up, down) in [
        (&b"a"[..], Some(b"b"), None),
        (b"b", Some(b"b"), Some(b"b")),
        (b"bb", Some(b"c"), Some(b"b")),
        (b"d", None, Some(b"c")),
        (b"e", None, Some(b"c")),
    ] {
        let what = seek.escape_ascii().to_string();
        assert_eq!(key_after_seek(bounds.clone(), seek).as_deref(), up.map(|k| &k[..]), "{what}");
        let reversed = bounds.clone().reversed();
        assert_eq!(key_after_seek(reversed, seek).as_deref(), down.map(|k| &k[..]), "{what}");
    }
}

/// What is written while a cursor lives is not seen by it; a visitor may write.
pub fn cursor_and_scan_see_one_moment(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Log, &[("a", "1"), ("b", "2"), ("c", "3")]);
    let before = collect(&*engine, everything(Cf::Log));
    let mut cursor = engine.cursor(everything(Cf::Log));
    write(&*engine, |batch| {
        batch.delete(Cf::Log, &b"b"[..]);
        batch.put(Cf::Log, &b"c"[..], &b"changed"[..]);
        batch.put(Cf::Log, &b"d"[..], &b"new"[..]);
    });
    assert_eq!(walk(&mut *cursor), before);
    cursor.seek(b"b").expect("the disk works");
    assert_eq!(cursor.entry(), Some((&b"b"[..], &b"2"[..])));
    drop(cursor);
    let now = collect(&*engine, everything(Cf::Log));
    let mut seen = Vec::new();
    let result = engine.scan(everything(Cf::Log), &mut |key, value| {
        write(&*engine, |batch| batch.put(Cf::Log, [key, b"+"].concat(), &b""[..]));
        seen.push((key.to_vec(), value.to_vec()));
        true
    });
    result.expect("the disk works");
    assert_eq!(seen, now);
}

/// A snapshot answers as the engine did when it was taken, whatever is written afterwards.
pub fn snapshot_sees_its_moment(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Data, &[("a", "1"), ("b", "2"), ("c", "3")]);
    let snapshot = engine.snapshot();
    write(&*engine, |batch| {
        batch.delete_range(Cf::Data, &b"a"[..], &b"c"[..]);
        batch.put(Cf::Data, &b"c"[..], &b"4"[..]);
        batch.put(Cf::State, &b"s"[..], &b"5"[..]);
    });
    let later = engine.snapshot();
    put(&*engine, Cf::Data, &[("a", "6")]);
    let old = pairs(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(collect_from(&*snapshot, everything(Cf::Data)), old);
    assert_eq!(walk(&mut *snapshot.cursor(everything(Cf::Data))), old);
    assert_eq!(snapshot.get(Cf::Data, b"b").expect("works").as_deref(), Some(&b"2"[..]));
    assert_eq!(snapshot.get(Cf::State, b"s").expect("works"), None);
    assert_eq!(collect_from(&*later, everything(Cf::Data)), pairs(&[("c", "4")]));
    drop(snapshot);
    assert_eq!(collect(&*engine, everything(Cf::Data)), pairs(&[("a", "6"), ("c", "4")]));
}

/// A snapshot goes to another thread, and its owner need not care whether the node still runs.
pub fn snapshot_can_be_sent_and_outlives_the_engine(factory: Factory<'_>) {
    let engine = factory();
    put(&*engine, Cf::Data, &[("a", "1")]);
    let snapshot = engine.snapshot();
    drop(engine);
    let reader = std::thread::spawn(move || collect_from(&*snapshot, everything(Cf::Data)));
    assert_eq!(reader.join().expect("the thread ends"), pairs(&[("a", "1")]));
}

/// Bounds that begin with one encoded user key invite an engine to ask its filters: nothing may be
/// missed, and the neighbours not be found.
pub fn reads_within_one_key_find_all_versions(factory: Factory<'_>) {
    let engine = factory();
    let user_keys: [&[u8]; 5] = [b"", b"k", b"k\0", b"k\0\x01", b"ka"];
    for round in 0..3u8 {
        write(&*engine, |batch| {
            for user_key in user_keys {
                let mut key = crate::encoding::encode(user_key, 1);
                key.push(b'0' + round);
                batch.put(Cf::Data, key, user_key.to_vec());
            }
        });
    }
    for user_key in user_keys {
        let start = crate::encoding::encode(user_key, 1);
        let end = [&start[..], b"2"].concat();
        let found = collect(&*engine, Scan::new(Cf::Data, &start, &end));
        let keys: Vec<u8> = found.iter().map(|(key, _)| key[key.len() - 1]).collect();
        assert_eq!(keys, b"01", "versions of {}", user_key.escape_ascii());
        assert!(found.iter().all(|(_, value)| value == user_key));
        let mut cursor = engine.cursor(Scan::new(Cf::Data, &start, &end));
        cursor.seek(&[&start[..], b"1"].concat()).expect("the disk works");
        assert_eq!(cursor.entry().map(|(_, value)| value), Some(user_key));
    }
    let absent = crate::encoding::encode(b"kb", 1);
    let end = [&absent[..], b"9"].concat();
    assert_eq!(collect(&*engine, Scan::new(Cf::Data, &absent, &end)), []);
}

/// A reader beside a writer sees all of a batch or nothing.
pub fn batches_are_atomic_for_concurrent_readers(factory: Factory<'_>) {
    const BATCHES: u32 = 500;
    let engine = factory();
    let write_round = |round: u32| {
        write(&*engine, |batch| {
            for key in [&b"a"[..], b"m", b"z"] {
                batch.put(Cf::Log, key, round.to_be_bytes().to_vec());
            }
        });
    };
    write_round(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..BATCHES).for_each(write_round));
        while !writer.is_finished() {
            let snapshot = engine.snapshot();
            for seen in [
                collect(&*engine, everything(Cf::Log)),
                walk(&mut *engine.cursor(everything(Cf::Log))),
                collect_from(&*snapshot, everything(Cf::Log)),
            ] {
                assert!(seen.iter().all(|(_, value)| *value == seen[0].1), "torn: {seen:?}");
            }
        }
    });
}

/// `sync` may be called beside writes, and again when there is nothing to do.
pub fn sync_succeeds_beside_writes(factory: Factory<'_>) {
    let engine = factory();
    engine.sync().expect("nothing to sync is no error");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in 0..200u32 {
                write(&*engine, |batch| batch.put(Cf::Log, key.to_be_bytes().to_vec(), "x"));
            }
        });
        for _ in 0..10 {
            engine.sync().expect("the disk works");
        }
    });
    engine.sync().expect("the disk works");
    assert_eq!(collect(&*engine, everything(Cf::Log)).len(), 200);
}

fn everything(cf: Cf) -> Scan<'static> {
    Scan { cf, start: Bound::Unbounded, end: Bound::Unbounded, reverse: false }
}

fn is_within(start: Bound<&[u8]>, end: Bound<&[u8]>, key: &[u8]) -> bool {
    let above = match start {
        Bound::Included(start) => start <= key,
        Bound::Excluded(start) => start < key,
        Bound::Unbounded => true,
    };
    let below = match end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    above && below
}

fn write(engine: &dyn Engine, fill: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    engine.write(batch).expect("the disk works");
}

fn put(engine: &dyn Engine, cf: Cf, pairs: &[(&str, &str)]) {
    write(engine, |batch| {
        for (key, value) in pairs {
            batch.put(cf, key.as_bytes().to_vec(), value.as_bytes().to_vec());
        }
    });
}

fn get(engine: &dyn Engine, cf: Cf, key: &[u8]) -> Option<Bytes> {
    engine.get(cf, key).expect("the disk works")
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
}

fn collect(engine: &dyn Engine, scan: Scan<'_>) -> Vec<Pair> {
    collect_from(engine, scan)
}

fn collect_from<R: Reader + ?Sized>(reader: &R, scan: Scan<'_>) -> Vec<Pair> {
    let mut found = Vec::new();
    let result = reader.scan(scan, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    });
    result.expect("the disk works");
    found
}

fn walk(cursor: &mut dyn Cursor) -> Vec<Pair> {
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.entry() {
        found.push((key.to_vec(), value.to_vec()));
        cursor.advance().expect("the disk works");
    }
    cursor.status().expect("the end is not an error");
    found
}
