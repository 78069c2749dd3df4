//! Replicas held against each other, in the background.
//!
//! All replicas of a range that have applied a closed timestamp show the same rows at it (R3). Each node
//! asks that of the ranges that it leads, one after the other: a sum of all rows from every voter, at the
//! newest time that all of them can serve. It is a read like any other: it waits behind what is urgent,
//! and is made on other threads. Sums are of the same keys, or say nothing: a replica that has not applied
//! a split yet sums up the child's rows, too.
//!
//! Looking at everything costs the more the more there is. So after each range there is a pause of many
//! times what it took ([`REST`]): more data are compared less often, not at a higher cost.
//!
//! A difference is damage that no checksum of a single value can show: a version that is missing, or was
//! never written. If all but one agree, that one's replica stops and says nothing any more, as if its
//! node were down for it; its node's other ranges go on. If no majority agrees, nobody knows who is
//! right: that is told, and nothing is stopped.

use std::{collections::BTreeMap, time::Duration};

use clock::Timestamp;
use keys::{NodeId, RangeId, Span};
use kv::{Descriptor, RangeRequest, RangeSender as _, Reply, Request};

use super::Gateway;
use crate::{message::NodeQuestion, store::StoreInput};

/// How long a replica has to say how far it is.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// How long a replica has to sum its rows up: the largest take a while, and wait behind all else.
const SUM_PATIENCE: Duration = Duration::from_secs(120);

/// How long a node has to stop a replica.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Between two ranges at least: comparing never takes a core.
const PAUSE: Duration = Duration::from_millis(100);

/// How many times as long as it took to compare a range nothing is compared: a twentieth of one reader's
/// time, at the most.
const REST: u32 = 20;

/// What a replica says of its rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sum {
    /// Of these keys.
    span: Span,
    /// The sum.
    crc: u64,
    /// How many there are.
    rows: u64,
}

/// What the sums of all voters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They are the same.
    Alike,
    /// They are of different keys: the range is being split.
    Apart,
    /// All but this one are the same, and are a majority.
    Odd(NodeId),
    /// No majority is the same.
    Undecided,
}

impl Gateway {
    /// Compares the replicas of each range led here about once in `every`, for as long as the node runs.
    pub async fn compare_replicas(self, every: Duration) {
        loop {
            let led = self.shared.of_all_shards(StoreInput::Led).await;
            let ranges = u32::try_from(led.len().max(1)).unwrap_or(u32::MAX);
            let pause = (every / ranges).max(PAUSE);
            if led.is_empty() {
                timer::sleep(pause).await;
            }
            let mut rest = Duration::ZERO;
            for range in led {
                timer::sleep(pause.max(rest)).await;
                rest = self.compare(&range).await * REST;
            }
        }
    }

    /// Compares the replicas of a range, if all of them answer; how long they looked at their rows.
    async fn compare(&self, range: &Descriptor) -> Duration {
        let Some(at) = self.served_by_all(range).await else { return Duration::ZERO };
        let began = self.shared.mono();
        let asked = range.voters.iter().map(|node| async move {
            let request = Request::Checksum { at };
            match self.ask_replica(*node, range.id, request, SUM_PATIENCE).await {
                Some(Reply::Checksum { sum: crc, rows, span }) => {
                    Some((*node, Sum { span, crc, rows }))
                }
                Some(_) | None => None,
            }
        });
        let sums: Option<BTreeMap<NodeId, Sum>> =
            futures::future::join_all(asked).await.into_iter().collect();
        let took = self.shared.mono().since(began);
        let Some(sums) = sums else { return took };
        match judge(&sums) {
            Verdict::Alike | Verdict::Apart => {}
            Verdict::Undecided => {
                let id = range.id;
                tracing::error!(
                    "the replicas of {id} differ at {at}, and none is in a majority: \
                                 {sums:?}. Nobody knows which one is right"
                );
            }
            Verdict::Odd(node) => self.stop_odd(node, range.id, at, &sums).await,
        }
        took
    }

    /// The newest time that every voter can serve.
    async fn served_by_all(&self, range: &Descriptor) -> Option<Timestamp> {
        let asked = range.voters.iter().map(|node| async move {
            match self.ask_replica(*node, range.id, Request::Status, STATUS_PATIENCE).await {
                Some(Reply::Status(status)) => Some(status.safe_time),
                Some(_) | None => None,
            }
        });
        let safe = futures::future::join_all(asked).await;
        let least = safe.into_iter().collect::<Option<Vec<_>>>()?.into_iter().min()?;
        (least > Timestamp::ZERO).then_some(least)
    }

    async fn ask_replica(
        &self,
        node: NodeId,
        range: RangeId,
        request: Request,
        patience: Duration,
    ) -> Option<Reply> {
        self.send(node, RangeRequest { range, deadline: patience, request, trace: None }).await.ok()
    }

    /// R3: its data are not what was chosen. It stops, wherever it is.
    async fn stop_odd(
        &self,
        node: NodeId,
        range: RangeId,
        at: Timestamp,
        sums: &BTreeMap<NodeId, Sum>,
    ) {
        let why = format!("its rows at {at} are not those of the others: {sums:?}");
        tracing::error!(%node, %range, "a replica differs and is stopped: {why}");
        if node == self.shared.members.local().id {
            // If the shard has ended already, so has the replica.
            drop(self.shared.shards.push(self.shared.mono(), range, StoreInput::Stop(range, why)));
        } else {
            self.ask(node, NodeQuestion::StopReplica(range, why), STOP_PATIENCE).await;
        }
    }
}

fn judge(sums: &BTreeMap<NodeId, Sum>) -> Verdict {
    let mut spans = sums.values().map(|sum| &sum.span);
    let first = spans.next();
    if spans.any(|span| Some(span) != first) {
        return Verdict::Apart;
    }
    let mut counts: BTreeMap<&Sum, usize> = BTreeMap::new();
    for sum in sums.values() {
        *counts.entry(sum).or_default() += 1;
    }
    let most = counts.iter().max_by_key(|(_, count)| **count);
    let Some((common, count)) = most else { return Verdict::Alike };
    let odd = sums.iter().find(|(_, sum)| sum != common);
    match odd {
        None => Verdict::Alike,
        Some((node, _)) if count + 1 == sums.len() && 2 * count > sums.len() => Verdict::Odd(*node),
        Some(_) => Verdict::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(of: &[u64]) -> BTreeMap<NodeId, Sum> {
        let sum = |crc: &u64| Sum { span: Span::new("a", "m"), crc: *crc, rows: 1 };
        (1..).map(NodeId).zip(of.iter().map(sum)).collect()
    }

    /// The last of three has not applied a split that the others have: its rows are right.
    #[test]
    fn sums_of_different_keys_say_nothing() {
        let mut told = sums(&[7, 7, 9]);
        let late = told.get_mut(&NodeId(3)).expect("three");
        (late.span, late.rows) = (Span::new("a", "z"), 2);
        assert_eq!(judge(&told), Verdict::Apart);
    }

    #[test]
    fn one_against_a_majority_is_odd_and_nobody_else_is() {
        assert_eq!(judge(&sums(&[7, 7, 7])), Verdict::Alike);
        assert_eq!(judge(&sums(&[7, 8, 7])), Verdict::Odd(NodeId(2)));
        assert_eq!(judge(&sums(&[8, 7, 7, 7, 7])), Verdict::Odd(NodeId(1)));
        assert_eq!(judge(&sums(&[7, 8])), Verdict::Undecided);
        assert_eq!(judge(&sums(&[7, 8, 9])), Verdict::Undecided);
        assert_eq!(judge(&sums(&[7, 7, 7, 8, 8])), Verdict::Undecided);
        assert_eq!(judge(&sums(&[])), Verdict::Alike);
    }
}
