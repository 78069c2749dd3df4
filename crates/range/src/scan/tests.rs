//! A scan comes to the same in one piece and in many.

use proptest::prelude::*;
use storage::{Engine, MemEngine, WriteBatch};

use super::*;

const WHOLE: Slice = Slice { keys: usize::MAX, bytes: usize::MAX, work: usize::MAX };

/// Skips values of even length, stops at a value of nine bytes, counts its work.
struct Program {
    work: usize,
    sum: usize,
}

impl Pushdown for Program {
    fn row(&mut self, _: &[u8], value: &[u8]) -> Result<PushStep, PushdownError> {
        self.work += 10;
        self.sum += value.len();
        match value.len() {
            8 => Err(PushdownError { message: "eight".to_owned(), encoded: Bytes::new() }),
            9 => Ok(PushStep::EmitAndStop(Bytes::copy_from_slice(value))),
            length if length % 2 == 0 => Ok(PushStep::Skip),
            _ => Ok(PushStep::Emit(Bytes::copy_from_slice(value))),
        }
    }

    fn finish(&mut self) -> Result<Vec<Bytes>, PushdownError> {
        Ok(vec![Bytes::from(self.sum.to_string())])
    }

    fn work(&self) -> usize {
        self.work
    }
}

#[derive(Debug)]
struct Programs;

impl PushdownFactory for Programs {
    fn open(&self, _: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        Ok(Box::new(Program { work: 0, sum: 0 }))
    }
}

fn waited() -> Waited {
    Waited { served_by: NodeId(1), waited_nanos: 3, blocked_nanos: 2 }
}

fn key(n: u8) -> Key {
    Key::from([b'k', n].as_slice())
}

/// Keys with a value of so many bytes; none: deleted.
fn engine(rows: &[(u8, Option<usize>)]) -> MemEngine {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    for (n, value) in rows {
        let value = value.map(|length| vec![*n; length]);
        mvcc::put_version(&mut batch, &key(*n), Timestamp::from_wall(5), value.as_deref());
    }
    engine.write(batch).expect("no faults");
    engine
}

/// The answer, and how many slices it took.
fn done(mut scan: Scan, reader: &dyn Reader, slice: Slice) -> (Result<Reply, KvError>, usize) {
    for slices in 1..100_000 {
        if let Progress::Done(answer) = scan.go_on(reader, slice).expect("no faults") {
            return (*answer, slices);
        }
    }
    panic!("{scan:?} goes on for ever");
}

proptest! {
    #[test]
    fn slices_make_no_difference(
        rows in prop::collection::btree_map(0_u8..60, prop::option::of(0_usize..11), 0..50),
        spans in prop::collection::vec((0_u8..60, 0_u8..60, any::<bool>()), 1..4),
        limits in (1_usize..40, 1_usize..300, 1_usize..60, 1_usize..400),
        slice in (1_usize..5, 1_usize..40, 0_usize..40),
        programmed in any::<bool>(),
    ) {
        let rows: Vec<_> = rows.into_iter().collect();
        let engine = engine(&rows);
        let spans = spans.into_iter().map(|(a, b, reverse)| {
            let span = if a == b { Span::point(key(a)) } else { Span::new(key(a.min(b)), key(a.max(b))) };
            ReadSpan { span, reverse }
        });
        let read = Read {
            at: Timestamp::from_wall(9),
            from: kv::ReadFrom::Leader,
            holder: None,
            spans: spans.collect(),
            max_rows: 0,
            program: programmed.then(Bytes::new),
            unchanged_since: None,
        };
        let (reply_rows, reply_bytes, reply_keys, reply_work) = limits;
        let config =
            Config { reply_rows, reply_bytes, reply_keys, reply_work, ..Config::default() };
        let scan = || Scan::of_rows(&read, &config, &Programs, waited()).expect("a program");
        let (keys, bytes, work) = slice;
        let (whole, slices) = done(scan(), &engine, WHOLE);
        prop_assert_eq!(slices, 1);
        let (pieces, _) = done(scan(), &engine, Slice { keys, bytes, work });
        prop_assert_eq!(format!("{pieces:?}"), format!("{whole:?}"));

        let span = Span::new(key(0), key(40));
        let sum = || Scan::of_checksum(span.clone(), read.at, waited());
        let (whole, _) = done(sum(), &engine, WHOLE);
        let (pieces, slices) = done(sum(), &engine, Slice { keys, bytes, work });
        prop_assert_eq!(format!("{pieces:?}"), format!("{whole:?}"));
        prop_assert!(slices > 1 || rows.iter().filter(|(n, _)| *n < 40).count() < keys);
    }
}

/// What is written, dropped or cleared meanwhile does not show: the view is of its own time.
#[test]
fn a_job_reads_what_was_there_when_it_began() {
    let rows: Vec<(u8, Option<usize>)> = (0..30).map(|n| (n, Some(3))).collect();
    let engine = engine(&rows);
    let scan = || Scan::of_checksum(Span::new(key(0), key(60)), Timestamp::from_wall(9), waited());
    let (before, _) = done(scan(), &engine, WHOLE);
    let mut job = Job::new(RequestToken(7), scan(), engine.snapshot());
    assert!(job.go_on(Slice { keys: 10, ..WHOLE }).is_none());
    let mut batch = WriteBatch::new();
    mvcc::clear_span(&mut batch, &Span::new(key(0), key(60)));
    engine.write(batch).expect("no faults");
    let answer = job.go_on(WHOLE).expect("that was all").expect("no faults");
    assert_eq!(format!("{answer:?}"), format!("{before:?}"));
    assert_ne!(format!("{:?}", done(scan(), &engine, WHOLE).0), format!("{before:?}"));
}
