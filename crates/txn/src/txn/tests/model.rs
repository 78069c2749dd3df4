//! Random statements of one transaction against a plain map: same rows in every direction, with
//! every limit, page by page, whatever splits and however small the pages of the ranges are; and
//! the read set holds what was read, and with limits no more than that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use keys::{Key, RangeId, Span};
use proptest::prelude::*;

use crate::{Config, RouterConfig, Scan, Txn, TxnOptions, naive::NaiveCluster};

const KEYS: u8 = 30;

fn key(n: u8) -> Key {
    Key::from_vec(vec![b'a', n])
}

fn value(n: u8) -> Bytes {
    Bytes::from(vec![n])
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Read(Vec<(u8, u8, bool, Option<u8>)>),
    Pages(u8, u8, bool, u8),
    Split(u8),
    Savepoint,
    Rollback,
}

fn step() -> impl Strategy<Value = Step> {
    let bound = || 0..=KEYS;
    let scan = (bound(), bound(), any::<bool>(), proptest::option::of(0..6u8));
    prop_oneof![
        4 => (0..KEYS, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => (0..KEYS).prop_map(Step::Delete),
        3 => proptest::collection::vec(scan, 1..4).prop_map(Step::Read),
        2 => (bound(), bound(), any::<bool>(), 1..5u8)
            .prop_map(|(a, b, reverse, rows)| Step::Pages(a, b, reverse, rows)),
        1 => (1..KEYS).prop_map(Step::Split),
        1 => Just(Step::Savepoint),
        1 => Just(Step::Rollback),
    ]
}

type Map = BTreeMap<u8, u8>;

fn expected(map: &Map, span: (u8, u8), reverse: bool, limit: Option<u8>) -> Vec<(Key, Bytes)> {
    let rows = map.range(span.0..span.1).map(|(k, v)| (key(*k), value(*v)));
    let limit = limit.map_or(usize::MAX, usize::from);
    if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() }
}

fn ordered(a: u8, b: u8) -> (u8, u8) {
    (a.min(b), a.max(b))
}

/// The keys a scan of the model has looked at: up to its last row if a limit ended it.
fn looked_at(map: &Map, span: (u8, u8), reverse: bool, limit: Option<u8>) -> (u8, u8) {
    let rows = expected(map, span, reverse, limit);
    let ended = limit.is_some_and(|limit| rows.len() == usize::from(limit));
    match rows.last().map(|(key, _)| key[1]) {
        Some(last) if ended && reverse => (last, span.1),
        Some(last) if ended => (span.0, last + 1),
        None if ended => (span.0, span.0),
        Some(_) | None => span,
    }
}

/// What the model has looked at, and which of it no own write answered.
#[derive(Default)]
struct Seen {
    looked_at: BTreeSet<u8>,
    relied_on: BTreeSet<u8>,
    /// Keys it wrote, taken back or not.
    written: BTreeSet<u8>,
}

impl Seen {
    fn look_at(&mut self, txn: &Txn, (from, to): (u8, u8)) {
        self.looked_at.extend(from..to);
        self.relied_on.extend((from..to).filter(|k| txn.buffer.get(&key(*k)).is_none()));
    }

    fn check(&self, txn: &Txn, before: &Map) {
        let spans: Vec<Span> = txn.reads.iter().collect();
        let held = |k: u8| spans.iter().any(|span| span.contains(&key(k)));
        for k in &self.relied_on {
            assert!(held(*k), "{k} was read, the set is {spans:?}");
        }
        // Where a limit ended a scan, the set may go on to the next row that was there.
        for k in before.keys().filter(|k| held(**k) && !self.written.contains(k)) {
            assert!(self.looked_at.contains(k), "{k} was never looked at, the set is {spans:?}");
        }
    }
}

async fn pages(txn: &mut Txn, span: (u8, u8), reverse: bool, rows: u8) -> Vec<(Key, Bytes)> {
    let mut all = Vec::new();
    let mut rest = Some(Span::new(key(span.0), key(span.1)));
    while let Some(span) = rest {
        let scan = Scan { reverse, ..Scan::all(span) };
        let page = txn.scan_page(&scan, rows.into()).await.expect("no faults");
        assert!(page.rows.len() <= usize::from(rows));
        assert!(page.resume.is_none() || page.rows.len() == usize::from(rows), "{page:?}");
        all.extend(page.rows);
        rest = page.resume;
    }
    all
}

async fn run(before: Map, page_rows: u64, steps: Vec<Step>) {
    let cluster = NaiveCluster::new(3, &["a".into(), key(KEYS / 2), "b".into()], None);
    cluster.set_page_rows(page_rows);
    let coordinator = cluster.coordinator_with(Config::default(), RouterConfig::default());
    let mut writer = coordinator.begin(TxnOptions::default());
    for (k, v) in &before {
        writer.put(key(*k), value(*v)).expect("small");
    }
    writer.commit().await.expect("alone");
    let (mut map, mut saved) = (before.clone(), Vec::new());
    let mut seen = Seen::default();
    let mut txn = coordinator.begin(TxnOptions::default());
    for (i, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(k, v) => {
                txn.put(key(k), value(v)).expect("small");
                map.insert(k, v);
                seen.written.insert(k);
            }
            Step::Delete(k) => {
                txn.delete(key(k)).expect("small");
                map.remove(&k);
                seen.written.insert(k);
            }
            Step::Savepoint => {
                txn.savepoint(&saved.len().to_string());
                saved.push(map.clone());
            }
            Step::Rollback => {
                if let Some(before) = saved.last() {
                    txn.rollback_to(&(saved.len() - 1).to_string()).expect("set");
                    map = before.clone();
                }
            }
            Step::Split(at) => {
                if cluster.ranges().iter().all(|range| range.span.start != key(at)) {
                    cluster.split(&key(at), RangeId(100 + i as u64));
                }
            }
            Step::Pages(a, b, reverse, rows) => {
                let span = ordered(a, b);
                let found = pages(&mut txn, span, reverse, rows).await;
                assert_eq!(found, expected(&map, span, reverse, None));
                seen.look_at(&txn, span);
            }
            Step::Read(scans) => {
                let asked = scans.iter().map(|(a, b, reverse, limit)| {
                    let (a, b) = ordered(*a, *b);
                    let span = Span::new(key(a), key(b));
                    Scan { reverse: *reverse, limit: limit.map(u64::from), ..Scan::all(span) }
                });
                let found = txn.read(asked.collect()).await.expect("no faults");
                for ((a, b, reverse, limit), rows) in scans.into_iter().zip(found) {
                    let span = ordered(a, b);
                    assert_eq!(rows.rows, expected(&map, span, reverse, limit));
                    seen.look_at(&txn, looked_at(&map, span, reverse, limit));
                }
            }
        }
    }
    seen.check(&txn, &before);
    txn.commit().await.expect("alone");
    let mut reader = coordinator.begin(TxnOptions::default());
    let scan = Scan::all(Span::new("a", "b"));
    let found = reader.read(vec![scan]).await.expect("no faults").remove(0).rows;
    assert_eq!(found, expected(&map, (0, KEYS), false, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_transaction_sees_what_a_map_would(
        before in proptest::collection::btree_map(0..KEYS, any::<u8>(), 0..20),
        page_rows in 1..6u64,
        steps in proptest::collection::vec(step(), 0..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(before, page_rows, steps));
    }
}
