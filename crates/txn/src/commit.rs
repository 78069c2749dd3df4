//! Commit: one message for one group, two phases for several, and the truth about what became of
//! it when answers are lost.
//!
//! ```text
//!   one group        gateway --Commit--> leader: lock, validate, choose s, log | T4 -> Committed
//!
//!   several          gateway --Prepare--> every range at once, the anchor's included
//!                            <-- p, valid_through --
//!                    s > t_r and every p;  s < every valid_through and schema bound   (X3, X3a)
//!                    gateway --Commit--> the anchor's leader: record, logged | T4 -> Committed
//!                    gateway --Resolve--> the others, behind the answer to the client       (R1a)
//! ```
//!
//! What may go wrong, and what is done then:
//!
//! | heard | what it means | what is done |
//! |---|---|---|
//! | `Aborted` | the record says so: final | locks are released; the client may retry |
//! | `Conflict` of a participant | advice only (X8) | the record is poisoned and believed |
//! | `WrongRange` | a range split or moved | divided and prepared again: prepares are idempotent |
//! | `BoundPassed` | no s fits now | prepared again, [`Config::max_commit_rounds`] times at most |
//! | no answer | it may have happened | sent again until the deadline, then the record is asked |
//! | another refusal of a commit | a copy of it may still be on its way | the record is asked |
//!
//! 1. Once a commit left this gateway, an abort is told only after the record said aborted (X8),
//!    however often the commit was refused: asking poisons the record, so that no copy of the commit
//!    that is still on its way can take effect. Of what was only prepared, an abort may be told
//!    without the record if that cannot be had: then nobody can have decided it.
//! 2. After an answer to a commit was lost, no prepare is sent any more: a prepare behind the own
//!    commit would leave intents above the commit timestamp. The record is asked instead.
//! 3. The client hears 40003 only if a commit was sent, and the anchor's range stayed silent until
//!    [`Config::outcome_timeout`] after the deadline.
//!
//! [`Config::max_commit_rounds`]: crate::Config::max_commit_rounds
//! [`Config::outcome_timeout`]: crate::Config::outcome_timeout

mod settle;

use std::{sync::Arc, time::Duration};

use clock::Timestamp;
use futures::{StreamExt, stream::FuturesUnordered};
use keys::{Key, Span, TxnId};
use kv::{
    Commit, CommitStats, Committed, Conflict, ConflictKind, Descriptor, KvError, Outcome, Prepare,
    Prepared, Push, PushKind, Reply, Request, Resolution, TxnMeta, Validate, Write,
};
use timer::Instant;

use crate::{
    CommitInfo, Coordinator, TxnError,
    heartbeat::{Heartbeat, may_wait},
    router::Partition,
    rules::Rule,
};

pub(crate) use settle::{Farewell, Traces};

/// What a transaction wants to commit.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// The transaction attempt.
    pub id: TxnId,
    /// Named if it has locked something.
    pub anchor: Option<Key>,
    /// Start of the first attempt.
    pub priority: Timestamp,
    /// Start of this attempt.
    pub start: Timestamp,
    /// What has to be validated, in key order.
    pub reads: Vec<Validate>,
    /// What is written, in key order. Never empty.
    pub writes: Vec<Write>,
    /// Keys that were to be locked before.
    pub locked: Vec<Key>,
    /// s is above this: `t_r` (X3a).
    pub above: Timestamp,
    /// s is below this: what the schema lease allows.
    pub not_after: Timestamp,
    /// When an answer has to be there.
    pub deadline: Instant,
}

/// The part of a proposal in one range.
#[derive(Clone, Debug, Default)]
struct Part {
    reads: Vec<Validate>,
    writes: Vec<Write>,
}

/// A range and its part.
type Group = (Arc<Descriptor>, Part);

/// Why a round did not commit.
#[derive(Debug)]
enum Setback {
    /// Nothing was decided and another round may do better.
    Again,
    /// The record says aborted.
    Aborted(Conflict),
    /// Refused, or not answered.
    Failed(KvError),
}

/// A commit under way.
#[derive(Debug)]
pub(crate) struct Committer {
    coordinator: Arc<Coordinator>,
    proposal: Proposal,
    heartbeat: Option<Heartbeat>,
    /// Prepares went out: something may be locked or logged until the record speaks.
    prepared: bool,
    /// A commit went out, whatever was answered: from now on only the record can say that it did
    /// not happen.
    sent: bool,
    /// A commit went out whose answer was lost, with what is known of the cause.
    lost: Option<String>,
    /// The outcome is known, or known to be unknown.
    over: bool,
    /// Ranges it was last divided over.
    participants: usize,
    begun: Instant,
    two_phase: Duration,
    /// How long it waited for locks in all rounds, in each at the range where that was longest.
    lock_wait_nanos: u64,
}

impl Committer {
    pub fn new(
        coordinator: Arc<Coordinator>,
        proposal: Proposal,
        heartbeat: Option<Heartbeat>,
    ) -> Committer {
        assert!(!proposal.writes.is_empty(), "what wrote nothing needs no commit (X4)");
        Committer {
            coordinator,
            proposal,
            heartbeat,
            prepared: false,
            sent: false,
            lost: None,
            over: false,
            participants: 0,
            begun: Instant::now(),
            two_phase: Duration::ZERO,
            lock_wait_nanos: 0,
        }
    }

    /// Commits, or finds out that it did not; and how long that waited for locks.
    pub async fn run(mut self) -> (Result<CommitInfo, TxnError>, Duration) {
        let result = self.rounds().await;
        self.over = true;
        if matches!(result, Err(TxnError::Unknown { .. })) {
            self.coordinator.give_up_below(self.proposal.not_after);
        }
        (result, Duration::from_nanos(self.lock_wait_nanos))
    }

    async fn rounds(&mut self) -> Result<CommitInfo, TxnError> {
        for round in 0..self.coordinator.config().max_commit_rounds {
            let groups = match self.divide().await {
                Ok(groups) => groups,
                Err(error) => return self.give_up(error).await,
            };
            let result = match &groups[..] {
                [group] => self.one_group(group).await,
                _ => self.several(&groups).await,
            };
            match result {
                Ok(info) => return Ok(info),
                Err(Setback::Aborted(conflict)) => {
                    self.say_farewell(Farewell::Resolve(Resolution::Abort));
                    return Err(TxnError::Retry(conflict));
                }
                Err(Setback::Failed(error)) => return self.give_up(error.into()).await,
                Err(Setback::Again) if self.lost.is_some() || self.too_late() => break,
                Err(Setback::Again) => {
                    self.coordinator.router().pause(round, self.proposal.deadline).await;
                }
            }
        }
        let kind =
            if self.too_late() { ConflictKind::Expired } else { ConflictKind::LeaderChanged };
        self.give_up(TxnError::retry(kind, self.anchor().clone(), None)).await
    }

    /// Divides the proposal over the ranges of this moment, and names the anchor.
    async fn divide(&mut self) -> Result<Vec<Group>, TxnError> {
        let (router, deadline) = (self.coordinator.router(), self.proposal.deadline);
        let mut parts: Partition<Part> = Partition::new();
        for write in &self.proposal.writes {
            let (_, part) = parts.at(router, &write.key, deadline).await?;
            part.writes.push(write.clone());
        }
        for Validate { span, since } in &self.proposal.reads {
            let put = |part: &mut Part, span| part.reads.push(Validate { span, since: *since });
            parts.split(router, span, deadline, put).await?;
        }
        if let Some(anchor) = &self.proposal.anchor {
            parts.at(router, anchor, deadline).await?;
        }
        let groups = parts.into_groups();
        if self.proposal.anchor.is_none() {
            let written = groups.iter().filter(|(_, part)| !part.writes.is_empty());
            let (_, part) = written
                .min_by_key(|(range, _)| router.distance(range))
                .expect("something is written");
            self.proposal.anchor = Some(part.writes[0].key.clone());
        }
        self.participants = groups.len();
        Ok(groups)
    }

    /// The whole transaction in one message.
    async fn one_group(&mut self, group: &Group) -> Result<CommitInfo, Setback> {
        let (range, part) = group;
        let (above, below) = (self.above_read(), self.proposal.not_after);
        let committed = self.commit(range, part, Vec::new(), above, below).await?;
        Ok(self.committed(&committed))
    }

    /// Prepares everywhere, then decides at the anchor.
    async fn several(&mut self, groups: &[Group]) -> Result<CommitInfo, Setback> {
        self.start_heartbeat();
        self.prepared = true;
        let phase = Instant::now();
        let (above, below) = self.prepare(groups).await?;
        self.two_phase = phase.elapsed();
        let anchor = self.anchor().clone();
        let here = |(range, _): &&Group| range.span.contains(&anchor);
        let (range, part) = groups.iter().find(here).expect("the anchor is in a group");
        let others = groups.iter().filter(|group| !here(group));
        let participants = others.map(|(_, part)| part.bounds()).collect();
        let committed = self.commit(range, part, participants, above, below).await?;
        Ok(self.committed(&committed))
    }

    /// The prepare phase: the bounds between which s must lie.
    async fn prepare(&mut self, groups: &[Group]) -> Result<(Timestamp, Timestamp), Setback> {
        let rules = self.coordinator.config().rules;
        let (mut above, mut below) = (self.above_read(), self.proposal.not_after);
        let router = self.coordinator.router().clone();
        let deadline = self.proposal.deadline;
        let mut answers: FuturesUnordered<_> = groups
            .iter()
            .filter(|(_, part)| !part.reads.is_empty() || !part.writes.is_empty())
            .map(|(range, part)| {
                let request = Request::Prepare(Prepare {
                    txn: self.meta(),
                    reads: part.reads.clone(),
                    writes: part.writes.clone(),
                    at_anchor: range.span.contains(self.anchor()),
                });
                let router = &router;
                async move {
                    let sent = router.sent_to_leader(range, &request, deadline).await;
                    (range, sent)
                }
            })
            .collect();
        let before = self.lock_wait_nanos;
        while let Some((range, sent)) = may_wait(self.heartbeat.as_ref(), answers.next()).await {
            let waited = sent.blocked_nanos + granted_after(&sent.result);
            self.lock_wait_nanos = self.lock_wait_nanos.max(before + waited);
            match sent.result {
                Ok(Reply::Prepared(Prepared { prepare, valid_through, .. })) => {
                    if rules.keep(Rule::AbovePrepares) {
                        above = above.max(prepare);
                    }
                    if rules.keep(Rule::ValidThrough) {
                        below = below.min(valid_through);
                    }
                }
                Ok(other) => {
                    let what = format!("{range} answered a prepare with {other:?}");
                    return Err(Setback::Failed(KvError::Invalid(what)));
                }
                Err(KvError::WrongRange { .. }) => {
                    router.follow(range, 0, deadline).await;
                    return Err(Setback::Again);
                }
                Err(KvError::BoundPassed { .. }) => return Err(Setback::Again),
                Err(KvError::Aborted(conflict)) => return Err(Setback::Aborted(conflict)),
                Err(error) => return Err(Setback::Failed(error)),
            }
        }
        if above.next() >= below { Err(Setback::Again) } else { Ok((above, below)) }
    }

    /// Sends the commit or decision to the anchor's leader.
    async fn commit(
        &mut self,
        range: &Arc<Descriptor>,
        part: &Part,
        participants: Vec<Span>,
        above: Timestamp,
        below: Timestamp,
    ) -> Result<Committed, Setback> {
        assert!(range.span.contains(self.anchor()), "{range} holds no {}", self.anchor());
        let request = Request::Commit(Commit {
            txn: self.meta(),
            reads: part.reads.clone(),
            writes: part.writes.clone(),
            participants,
            above,
            below,
        });
        self.sent = true;
        let router = self.coordinator.router();
        let sent = router.sent_to_leader(range, &request, self.proposal.deadline);
        let sent = may_wait(self.heartbeat.as_ref(), sent).await;
        if self.lost.is_none() {
            self.lost = sent.lost;
        }
        self.lock_wait_nanos += sent.blocked_nanos + granted_after(&sent.result);
        match sent.result {
            Ok(Reply::Committed(committed)) => {
                // X3a, X3: no leader of ours chose it, so what became of the commit is not known.
                let at = committed.at;
                if at <= above || at >= below || !believable(&self.coordinator, at) {
                    let what =
                        format!("{range} committed at {at}, not between {above} and {below}");
                    self.lost = Some(what.clone());
                    return Err(Setback::Failed(KvError::Invalid(what)));
                }
                Ok(committed)
            }
            Ok(other) => {
                let what = format!("{range} answered a commit with {other:?}");
                self.lost = Some(what.clone());
                Err(Setback::Failed(KvError::Invalid(what)))
            }
            Err(KvError::Aborted(conflict)) => Err(Setback::Aborted(conflict)),
            Err(KvError::WrongRange { .. }) => {
                router.follow(range, 0, self.proposal.deadline).await;
                Err(Setback::Again)
            }
            Err(KvError::BoundPassed { .. }) => Err(Setback::Again),
            Err(error) => Err(Setback::Failed(error)),
        }
    }

    /// Ends a commit that failed with `error`, or finds that it succeeded.
    async fn give_up(&mut self, error: TxnError) -> Result<CommitInfo, TxnError> {
        if !self.prepared && !self.sent {
            self.say_farewell(Farewell::Release);
            return Err(error);
        }
        let config = self.coordinator.config();
        if !config.rules.keep(Rule::AskTheRecord) {
            self.say_farewell(Farewell::AskAndResolve);
            return Err(error);
        }
        let deadline = self.proposal.deadline + config.outcome_timeout;
        match ask_record(&self.coordinator, &self.meta(), deadline).await {
            Ok(Outcome::Committed(at)) => {
                let stats = CommitStats::default();
                Ok(self.committed(&Committed { at, stats }))
            }
            Ok(Outcome::Aborted) => {
                self.say_farewell(Farewell::Resolve(Resolution::Abort));
                Err(error)
            }
            Ok(Outcome::Forgotten) if self.sent => {
                Err(self.unknown("its record was deleted long ago"))
            }
            Ok(Outcome::Forgotten) => Err(error),
            Ok(Outcome::Pending) => Err(self.nobody_tells(error, "it is not decided yet")),
            Err(silent) => Err(self.nobody_tells(error, &silent.to_string())),
        }
    }

    /// X3a: what s lies above before any prepare is answered.
    fn above_read(&self) -> Timestamp {
        let keep = self.coordinator.config().rules.keep(Rule::AboveRead);
        if keep { self.proposal.above } else { Timestamp::ZERO }
    }

    /// The record cannot be had in time: it is asked on behind the answer (X8).
    fn nobody_tells(&mut self, error: TxnError, why: &str) -> TxnError {
        if self.sent {
            self.lost.get_or_insert_with(|| error.to_string());
        }
        self.say_farewell(Farewell::AskAndResolve);
        match &self.lost {
            Some(cause) => self.unknown(&format!("{cause}; its record: {why}")),
            None => error,
        }
    }

    /// No commit timestamp can lie below the schema bound any more.
    fn too_late(&self) -> bool {
        self.coordinator.clock().now().latest_timestamp() >= self.proposal.not_after
    }

    fn unknown(&self, cause: &str) -> TxnError {
        TxnError::Unknown { txn: self.proposal.id, cause: cause.to_owned() }
    }

    /// Everything that follows a commit.
    fn committed(&mut self, committed: &Committed) -> CommitInfo {
        let Committed { at, stats } = committed;
        self.coordinator.committed(*at);
        self.say_farewell(Farewell::Resolve(Resolution::Commit(*at)));
        self.heartbeat = None;
        CommitInfo {
            at: *at,
            participants: self.participants,
            lock_wait: Duration::from_nanos(self.lock_wait_nanos),
            paxos: Duration::from_nanos(stats.paxos_nanos),
            two_phase: self.two_phase,
            commit_wait: Duration::from_nanos(stats.commit_wait_nanos),
            hidden: Duration::from_nanos(stats.commit_wait_hidden_nanos),
            epsilon: Duration::from_nanos(stats.epsilon_nanos),
            total: self.begun.elapsed(),
        }
    }

    /// Tells the ranges, behind the answer, that locks and intents can go.
    fn say_farewell(&mut self, farewell: Farewell) {
        let proposal = &self.proposal;
        // A commit in one group, refused or not, leaves nothing behind in its range; locks taken
        // before may lie elsewhere.
        if !self.prepared && self.lost.is_none() && proposal.locked.is_empty() {
            return;
        }
        let traces = Traces {
            txn: proposal.id,
            meta: proposal.anchor.is_some().then(|| self.meta()),
            keys: proposal.writes.iter().map(|write| write.key.clone()).collect(),
            spans: proposal.reads.iter().map(|read| read.span.clone()).collect(),
            locked: proposal.locked.clone(),
        };
        let work = traces.settle(self.coordinator.clone(), farewell);
        self.coordinator.behind(work);
    }

    fn start_heartbeat(&mut self) {
        if self.heartbeat.is_none() {
            let router = self.coordinator.router().clone();
            let interval = self.coordinator.config().heartbeat_interval;
            self.heartbeat = Some(Heartbeat::start(router, self.meta(), interval));
        }
    }

    fn anchor(&self) -> &Key {
        self.proposal.anchor.as_ref().expect("named when the proposal was first divided")
    }

    fn meta(&self) -> TxnMeta {
        let Proposal { id, priority, start, .. } = self.proposal;
        TxnMeta { id, anchor: self.anchor().clone(), priority, start }
    }
}

/// A commit whose caller is gone, as when a client disconnects, ends one way or the other: the
/// record is asked, which poisons it if nothing was decided (X8).
impl Drop for Committer {
    fn drop(&mut self) {
        if !self.over {
            if self.sent {
                self.coordinator.give_up_below(self.proposal.not_after);
            }
            self.say_farewell(Farewell::AskAndResolve);
        }
    }
}

impl Part {
    /// From the first to the last key that was written or read in it: X7b asks by this whether
    /// anything is left there.
    fn bounds(&self) -> Span {
        let written = self.writes.iter().map(|write| Span::point(write.key.clone()));
        let touched = written.chain(self.reads.iter().map(|read| read.span.clone()));
        let bounds =
            touched.reduce(|all, span| Span::new(all.start.min(span.start), all.end.max(span.end)));
        bounds.expect("a part is not empty")
    }
}

/// How long a prepare or commit that was granted had waited for locks, in nanoseconds.
fn granted_after(answer: &Result<Reply, KvError>) -> u64 {
    match answer {
        Ok(Reply::Prepared(prepared)) => prepared.stats.lock_wait_nanos,
        Ok(Reply::Committed(committed)) => committed.stats.lock_wait_nanos,
        Ok(_) | Err(_) => 0,
    }
}

/// How far ahead of this gateway's clock the timestamp of a commit may lie: further than any lease.
const FURTHEST_COMMIT: Duration = Duration::from_secs(600);

/// Whether a commit can have this timestamp. One that nobody can have chosen is not taken note of:
/// all later snapshots of this gateway would lie above it.
fn believable(coordinator: &Coordinator, at: Timestamp) -> bool {
    at <= coordinator.clock().now().latest_timestamp().plus(FURTHEST_COMMIT)
}

/// Asks the record for the outcome, poisoning it if there is none (X8).
async fn ask_record(
    coordinator: &Coordinator,
    txn: &TxnMeta,
    deadline: Instant,
) -> Result<Outcome, KvError> {
    let router = coordinator.router();
    let push = Push { txn: txn.clone(), kind: PushKind::Owner };
    for tries in 0.. {
        match router.send_to_key(&txn.anchor, Request::Push(push.clone()), deadline).await? {
            Reply::Outcome(Outcome::Pending) if Instant::now() < deadline => {
                router.pause(tries, deadline).await;
            }
            Reply::Outcome(Outcome::Committed(at)) if !believable(coordinator, at) => {
                return Err(KvError::Invalid(format!("the record names {at}, far ahead of time")));
            }
            Reply::Outcome(outcome) => return Ok(outcome),
            other => return Err(KvError::Invalid(format!("a push was answered by {other:?}"))),
        }
    }
    Ok(Outcome::Pending)
}

#[cfg(test)]
mod tests;
