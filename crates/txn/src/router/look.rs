//! Who leads a range now: asked of its voters while a request waits there, once for all requests that
//! wait, and ever more rarely.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use keys::{NodeId, RangeId};
use kv::{Descriptor, RangeRequest, RangeSender, Reply, Request};
use timer::{Instant, timeout};

use super::lock;

/// How long a request waits before the voters are asked for the first time; how long they have to
/// answer, and how long what they said counts.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(300);

/// The longest pause between two looks of one request.
pub(super) const LOOK_PAUSE_MAX: Duration = Duration::from_millis(1_200);

/// A question to all voters, shared by all who want to know.
type Answer = Shared<BoxFuture<'static, Option<NodeId>>>;

/// Looks under way, and those whose answer still counts: as many as ranges that are waited for.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<BTreeMap<RangeId, (Instant, Answer)>>);

impl Looks {
    /// The voter that says that it leads, under the highest ballot if several do: two leases never
    /// overlap (P2). `None`: nobody says so.
    pub async fn leader(
        &self,
        sender: &Arc<dyn RangeSender>,
        range: &Descriptor,
    ) -> Option<NodeId> {
        let now = Instant::now();
        let answer = {
            let mut looks = lock(&self.0);
            looks.retain(|_, (begun, _)| now < *begun + FIRST_LOOK);
            let ask = || (now, ask(Arc::clone(sender), range).boxed().shared());
            looks.entry(range.id).or_insert_with(ask).1.clone()
        };
        answer.await
    }
}

/// Asks every voter.
fn ask(
    sender: Arc<dyn RangeSender>,
    range: &Descriptor,
) -> impl Future<Output = Option<NodeId>> + Send + 'static {
    let (id, voters) = (range.id, range.voters.clone());
    async move {
        let questions = voters.into_iter().map(|voter| {
            let request = Request::Status;
            let asked = RangeRequest { range: id, deadline: FIRST_LOOK, request, trace: None };
            let answer = timeout(FIRST_LOOK, sender.send(voter, asked));
            async move {
                match answer.await {
                    Ok(Ok(Reply::Status(status))) if status.leader == Some(voter) => {
                        status.leading.map(|leading| (leading.round, voter))
                    }
                    Ok(_) | Err(_) => None,
                }
            }
        });
        let answers = futures::future::join_all(questions).await;
        answers.into_iter().flatten().max().map(|(_, voter)| voter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use clock::Timestamp;
    use keys::Span;
    use kv::KvError;

    use super::*;

    /// Counts what it is asked, and takes its time to know nothing.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl RangeSender for Counting {
        fn send(
            &self,
            _to: NodeId,
            request: RangeRequest,
        ) -> BoxFuture<'static, Result<Reply, KvError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let error = KvError::NotLeader { range: request.range, leader: None };
            async move {
                timer::sleep(Duration::from_millis(50)).await;
                Err(error)
            }
            .boxed()
        }

        fn local_node(&self) -> NodeId {
            NodeId(1)
        }

        fn round_trip(&self, _to: NodeId) -> Duration {
            Duration::ZERO
        }

        fn system_range(&self) -> Descriptor {
            range(1)
        }

        fn observed(&self) -> Timestamp {
            Timestamp::ZERO
        }
    }

    fn range(id: u64) -> Descriptor {
        let voters = vec![NodeId(1), NodeId(2), NodeId(3)];
        let (id, span) = (RangeId(id), Span::new("a", "b"));
        Descriptor { id, span, generation: 1, voters, preferred_leader: NodeId(1) }
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_wait_the_voters_are_asked_once_at_a_time() {
        let counting = Arc::new(Counting::default());
        let (looks, sender) = (Looks::default(), Arc::clone(&counting) as Arc<dyn RangeSender>);
        for (pause_ms, ranges, asked) in [(0, 1, 3), (100, 1, 3), (300, 2, 9)] {
            timer::sleep(Duration::from_millis(pause_ms)).await;
            let all = (0..200).map(|i| {
                let (looks, sender) = (&looks, &sender);
                async move { looks.leader(sender, &range(i % ranges + 7)).await }
            });
            let answers = futures::future::join_all(all).await;
            assert!(answers.iter().all(Option::is_none));
            assert_eq!(counting.0.load(Ordering::Relaxed), asked);
        }
    }
}
