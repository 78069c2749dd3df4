//! The model itself: programs beside the data, pages, and the words of its refusals.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span};
use kv::{
    KvError, PushStep, Pushdown, PushdownError, PushdownFactory, RangeRequest, RangeSender, Reply,
    Request,
};

use super::NaiveCluster;
use crate::{Scan, TxnOptions};

/// `even` keeps values of even length, `count` counts rows, `first` stops at the first row, and
/// `fail` fails at one.
#[derive(Debug)]
struct Programs;

struct Program {
    what: Vec<u8>,
    rows: u64,
}

impl PushdownFactory for Programs {
    fn open(&self, program: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        Ok(Box::new(Program { what: program.to_vec(), rows: 0 }))
    }
}

impl Pushdown for Program {
    fn row(&mut self, _: &[u8], value: &[u8]) -> Result<PushStep, PushdownError> {
        self.rows += 1;
        match &self.what[..] {
            b"even" if value.len().is_multiple_of(2) => {
                Ok(PushStep::Emit(Bytes::copy_from_slice(value)))
            }
            b"first" => Ok(PushStep::EmitAndStop(Bytes::copy_from_slice(value))),
            b"fail" => {
                let (message, encoded) = ("division by zero".to_owned(), Bytes::new());
                Err(PushdownError { message, encoded })
            }
            _ => Ok(PushStep::Skip),
        }
    }

    fn finish(&mut self) -> Result<Vec<Bytes>, PushdownError> {
        let count = self.rows.to_string().into();
        Ok(if self.what == b"count" { vec![count] } else { Vec::new() })
    }

    fn work(&self) -> usize {
        0
    }
}

/// Rows `a1` to `a9` of as many bytes, in two ranges of pages of two rows.
async fn cluster() -> Arc<NaiveCluster> {
    let boundaries = ["a", "a5", "b"].map(Key::from);
    let cluster = NaiveCluster::new(3, &boundaries, Some(Arc::new(Programs)));
    cluster.set_page_rows(2);
    let mut txn = cluster.coordinator().begin(TxnOptions::default());
    for n in 1..=9 {
        txn.put(format!("a{n}").as_str().into(), vec![b'x'; n].into()).expect("small");
    }
    txn.commit().await.expect("alone");
    cluster
}

async fn run(cluster: &Arc<NaiveCluster>, program: &'static str, limit: Option<u64>) -> String {
    let mut txn = cluster.coordinator().begin(TxnOptions::default());
    let program = Some(Bytes::from_static(program.as_bytes()));
    let scan = Scan { program, limit, ..Scan::all(Span::new("a", "b")) };
    match txn.read(vec![scan]).await {
        Ok(mut found) => {
            let row = |(key, value): (Key, Bytes)| {
                let value = if value.starts_with(b"x") {
                    String::new()
                } else {
                    format!("={}", value.escape_ascii())
                };
                format!("{}{value}", key.escape_ascii())
            };
            found.remove(0).rows.into_iter().map(row).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("{} {error}", error.sqlstate()),
    }
}

#[tokio::test(start_paused = true)]
async fn programs_run_beside_the_data() {
    let cluster = cluster().await;
    assert_eq!(run(&cluster, "even", None).await, "a2 a4 a6 a8");
    assert_eq!(run(&cluster, "even", Some(3)).await, "a2 a4 a6");
    assert_eq!(run(&cluster, "count", None).await, "=4 =5", "one partial count per range");
    assert_eq!(run(&cluster, "first", None).await, "a1 a5", "the program stops per request");
    assert_eq!(run(&cluster, "fail", None).await, "XX000 division by zero");
}

#[tokio::test(start_paused = true)]
async fn replicas_agree_on_their_checksum() {
    let cluster = cluster().await;
    let mut sums = Vec::new();
    for node in 1..=3 {
        let (range, deadline) = (RangeId(2), Duration::from_secs(1));
        let request = Request::Checksum { at: Timestamp::MAX };
        let asked = RangeRequest { range, deadline, request, trace: None };
        match cluster.send(NodeId(node), asked).await {
            Ok(Reply::Checksum { sum, rows, .. }) => sums.push((sum, rows)),
            other => panic!("{other:?}"),
        }
    }
    assert!(sums.iter().all(|sum| *sum == sums[0] && sum.1 == 4), "{sums:?}");
}

#[tokio::test(start_paused = true)]
async fn a_split_is_idempotent_by_its_child() {
    let cluster = cluster().await;
    let split = |at: &str| {
        let request = Request::Split { at: at.into(), child: RangeId(9) };
        RangeRequest { range: RangeId(2), deadline: Duration::from_secs(1), request, trace: None }
    };
    let first = cluster.send(NodeId(1), split("a3")).await.expect("inside the range");
    let again = cluster.send(NodeId(1), split("a3")).await.expect("known");
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
    let outside = RangeRequest {
        request: Request::Split { at: "q".into(), child: RangeId(10) },
        ..split("q")
    };
    assert!(matches!(cluster.send(NodeId(1), outside).await, Err(KvError::Invalid(_))));
}
