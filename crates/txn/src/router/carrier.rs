//! Carries a request to the replica of one range that may answer it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use keys::{NodeId, RangeId};
use kv::{Descriptor, KvError, Push, PushKind, RangeRequest, RangeSender, Reply, Request};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use timer::{Instant, sleep_until, timeout_at};

use super::{
    call, lock,
    look::{FIRST_LOOK, LOOK_PAUSE_MAX, Looks},
    tour::{Step, Tour, nearest_first},
};
use crate::{RouterConfig, cache::RoutingCache};

/// How much longer than a request's deadline its answer is waited for.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

/// For each byte of a request, how much longer one node is waited for: what is large takes its time on
/// the wire, in the log and on disks. A second for a MiB.
const PER_BYTE: Duration = Duration::from_nanos(1_000);

/// The outcome of a request to a leader.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The last answer.
    pub result: Result<Reply, KvError>,
    /// Set if some try of the request got no answer: it may have happened, whatever `result` says.
    pub lost: Option<String>,
    /// How long tries that ended in an error waited for other transactions.
    pub blocked_nanos: u64,
}

/// Knows leaders, not keys.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub sender: Arc<dyn RangeSender>,
    config: RouterConfig,
    cache: Mutex<RoutingCache>,
    looks: Looks,
    rng: Mutex<ChaCha8Rng>,
}

/// What the replicas of a range said last; for the error at the deadline.
#[derive(Debug, Default)]
struct Heard(BTreeMap<NodeId, String>);

/// What an error means for the search for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    /// It does not lead; perhaps it knows who does.
    AskAnother(Option<NodeId>),
    /// It did not answer, or could not: what was asked may have happened.
    Silent,
    /// Its own, shorter deadline passed while it waited for a lock.
    AskAgain,
    /// It has too much to do.
    AskLater,
    /// It does not own the keys.
    Elsewhere,
    /// It has answered, as only a leader does.
    Final,
}

fn advice(error: &KvError) -> Advice {
    match error {
        KvError::NotLeader { leader, .. } => Advice::AskAnother(*leader),
        KvError::AnswerLost { .. } | KvError::Unavailable { .. } => Advice::Silent,
        KvError::Blocked { .. } => Advice::AskAgain,
        KvError::Overloaded(_) => Advice::AskLater,
        KvError::WrongRange { .. } => Advice::Elsewhere,
        KvError::Conflict(_)
        | KvError::Aborted(_)
        | KvError::LockBusy { .. }
        | KvError::TooOld { .. }
        | KvError::InFuture { .. }
        | KvError::BoundPassed { .. }
        | KvError::TooLarge { .. }
        | KvError::Program(_)
        | KvError::Invalid(_) => Advice::Final,
        KvError::AfterWait { error, .. } => advice(error),
    }
}

impl Carrier {
    pub fn new(sender: Arc<dyn RangeSender>, config: RouterConfig, seed: u64) -> Carrier {
        let cache = Mutex::new(RoutingCache::new(config.max_descriptors));
        let (looks, rng) = (Looks::default(), Mutex::new(ChaCha8Rng::seed_from_u64(seed)));
        Carrier { sender, config, cache, looks, rng }
    }

    pub fn cache(&self) -> MutexGuard<'_, RoutingCache> {
        lock(&self.cache)
    }

    /// Sends to the leader, whoever that is, until there is an answer or the deadline has come.
    pub async fn to_leader(
        &self,
        range: &Arc<Descriptor>,
        request: &Request,
        deadline: Instant,
    ) -> Sent {
        let hint = self.cache().leader(range.id);
        let mut tour = Tour::new(range, hint, |node| self.sender.round_trip(node));
        let (mut heard, mut patience) = (Heard::default(), self.attempt(request));
        let (mut lost, mut overloaded, mut blocked_nanos) = (None, 0, 0);
        // Since when nobody has answered as the leader.
        let (mut leaderless, mut named) = (Instant::now(), None);
        loop {
            let node = self.next(&mut tour, deadline).await;
            let begun = Instant::now();
            if begun >= deadline || begun.duration_since(leaderless) >= self.patience(request) {
                return Sent { result: Err(heard.unavailable(range)), lost, blocked_nanos };
            }
            let end = deadline.min(begun + patience);
            let error = match self.once_unless_succeeded(node, range, request, end).await {
                Ok(Ok(reply)) => {
                    self.led_by(range.id, hint, Some(node));
                    return Sent { result: Ok(reply), lost, blocked_nanos };
                }
                Ok(Err(error)) => {
                    blocked_nanos += error.blocked_nanos();
                    error.split_wait().0
                }
                Err(successor) => {
                    lost = Some(format!("no answer from {node}, and {successor} leads by now"));
                    self.led_by(range.id, Some(node), Some(successor));
                    // One that leads without a lease says so again and again, and cannot answer.
                    if named.replace(successor) != Some(successor) {
                        leaderless = Instant::now();
                    }
                    tour.succeeded(node, successor);
                    continue;
                }
            };
            match advice(&error) {
                Advice::AskAnother(named) => tour.not_leader(node, named),
                Advice::Silent => {
                    lost = Some(error.to_string());
                    self.led_by(range.id, Some(node), None);
                    tour.failed(node);
                }
                Advice::AskAgain if end < deadline => {
                    leaderless = Instant::now();
                    patience *= 2;
                    self.pace(begun, deadline).await;
                    tour.again(node);
                }
                Advice::AskLater if overloaded < self.config.max_overloaded => {
                    self.pause(overloaded, deadline).await;
                    leaderless = Instant::now();
                    overloaded += 1;
                    tour.again(node);
                }
                Advice::Elsewhere => {
                    self.learn_from(&error);
                    return Sent { result: Err(error), lost, blocked_nanos };
                }
                Advice::AskAgain | Advice::AskLater | Advice::Final => {
                    self.led_by(range.id, hint, Some(node));
                    return Sent { result: Err(error), lost, blocked_nanos };
                }
            }
            heard.0.insert(node, error.to_string());
        }
    }

    /// How long one node is waited for at first.
    fn attempt(&self, request: &Request) -> Duration {
        let bytes = u32::try_from(request.weight()).unwrap_or(u32::MAX);
        self.config.attempt_timeout + PER_BYTE * bytes
    }

    /// The next replica to ask, after a pause if all were asked.
    async fn next(&self, tour: &mut Tour, deadline: Instant) -> NodeId {
        loop {
            match tour.step() {
                Step::Ask(node) => return node,
                Step::Pause(rounds) => self.pause(rounds, deadline).await,
            }
        }
    }

    /// Lets time pass after an answer that came at once, and none after a slow one.
    async fn pace(&self, begun: Instant, deadline: Instant) {
        if begun.elapsed() < self.config.attempt_timeout / 2 {
            self.pause(0, deadline).await;
        }
    }

    /// How long nobody may lead. What became of a commit is asked for to the end: whoever asks would
    /// have to say that it is unknown (X8).
    fn patience(&self, request: &Request) -> Duration {
        if let Request::Push(Push { kind: PushKind::Owner, .. }) = request {
            Duration::MAX
        } else {
            self.config.leaderless_patience
        }
    }

    /// Sends once, and waits for the answer unless another replica leads by now: that one.
    async fn once_unless_succeeded(
        &self,
        node: NodeId,
        range: &Descriptor,
        request: &Request,
        end: Instant,
    ) -> Result<Result<Reply, KvError>, NodeId> {
        tokio::select! {
            biased;
            answer = self.asked(node, range.id, request.clone(), end) => Ok(answer),
            successor = self.successor(range, node) => Err(successor),
        }
    }

    /// Resolves once another replica than the one that was asked says that itself it leads: two
    /// leases never overlap (P2), so the other one's answer need not be waited for. It may have
    /// done what it was asked; whoever asks again must know.
    async fn successor(&self, range: &Descriptor, asked: NodeId) -> NodeId {
        let mut pause = FIRST_LOOK;
        loop {
            sleep_until(Instant::now() + pause).await;
            match self.looks.leader(&self.sender, range).await {
                Some(leader) if leader != asked => return leader,
                Some(_) | None => pause = LOOK_PAUSE_MAX.min(pause * 2),
            }
        }
    }

    /// Sends to the replicas from near to far until one answers or the deadline has come.
    pub async fn to_nearest(
        &self,
        range: &Arc<Descriptor>,
        request: &Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        let order = nearest_first(range, |node| self.sender.round_trip(node));
        let mut heard = Heard::default();
        let mut useless = Instant::now();
        for round in 0.. {
            for node in &order {
                let now = Instant::now();
                if now >= deadline || now >= useless + self.config.leaderless_patience {
                    return Err(heard.unavailable(range));
                }
                let end = deadline.min(now + self.config.attempt_timeout);
                match self.once(*node, range.id, request.clone(), end).await {
                    Err(
                        error @ (KvError::NotLeader { .. }
                        | KvError::AnswerLost { .. }
                        | KvError::Unavailable { .. }
                        | KvError::Overloaded(_)
                        | KvError::Blocked { .. }),
                    ) => {
                        if matches!(error, KvError::Blocked { .. } | KvError::Overloaded(_)) {
                            useless = Instant::now();
                        }
                        heard.0.insert(*node, error.to_string());
                    }
                    Err(error) => {
                        self.learn_from(&error);
                        return Err(error);
                    }
                    Ok(reply) => return Ok(reply),
                }
            }
            self.pause(round, deadline).await;
        }
        Err(heard.unavailable(range))
    }

    /// Sends once.
    pub async fn once(
        &self,
        node: NodeId,
        range: RangeId,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        let result = self.asked(node, range, request, deadline).await;
        result.map_err(|error| error.split_wait().0)
    }

    /// Sends once. An error may be [`KvError::AfterWait`].
    async fn asked(
        &self,
        node: NodeId,
        range: RangeId,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        let mut call = call::begin(node, range, &request);
        let (trace, remaining) =
            (call.context(), deadline.saturating_duration_since(Instant::now()));
        let request = RangeRequest { range, deadline: remaining, request, trace };
        let answer = self.sender.send(node, request);
        let result = timeout_at(deadline + ANSWER_GRACE, answer).await.unwrap_or_else(|_| {
            Err(KvError::AnswerLost { node, cause: "no answer in time".to_owned() })
        });
        call::note(&mut call, &result);
        result
    }

    /// A pause that doubles with each try, with jitter, and ends at the deadline at the latest.
    pub async fn pause(&self, tries: u32, deadline: Instant) {
        let longest = self.config.backoff.saturating_mul(1 << tries.min(16));
        let longest = longest.min(self.config.backoff_max);
        let part = lock(&self.rng).random_range(0.5..=1.0);
        sleep_until(deadline.min(Instant::now() + longest.mul_f64(part))).await;
    }

    /// Takes in what a replica knows of the ranges it was wrongly asked for.
    fn learn_from(&self, error: &KvError) {
        if let KvError::WrongRange { known, .. } = error {
            let mut cache = self.cache();
            known.iter().for_each(|descriptor| {
                cache.learn(descriptor.clone());
            });
        }
    }

    /// Remembers a leader if it is not what was thought of before.
    fn led_by(&self, range: RangeId, before: Option<NodeId>, leader: Option<NodeId>) {
        if before != leader {
            let mut cache = self.cache();
            if leader.is_some() || cache.leader(range) == before {
                cache.set_leader(range, leader);
            }
        }
    }
}

impl Heard {
    fn unavailable(&self, range: &Descriptor) -> KvError {
        let mut missing = format!("no leader answered in time among {}", names(&range.voters));
        for (node, words) in &self.0 {
            write!(missing, "; {node}: {words}").expect("writing to a string");
        }
        KvError::Unavailable { range: range.id, missing }
    }
}

fn names(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names.join(", ")
}
