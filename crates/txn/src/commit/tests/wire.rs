//! A sender between a gateway and the naive cluster that writes down every message, and loses,
//! refuses or precedes them by a split as a script tells it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Timestamp;
use futures::{FutureExt, future::BoxFuture};
use keys::{Key, NodeId, RangeId, Span};
use kv::{
    Conflict, ConflictKind, Descriptor, KvError, LockWait, Outcome, PushKind, RangeRequest,
    RangeSender, Reply, Request, Resolution, Validate, Write,
};

use crate::naive::NaiveCluster;

/// What befalls a message.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It is done, its answer never arrives.
    AnswerLost,
    /// It is refused with this, untouched.
    Refused(KvError),
    /// Before it arrives, the range splits.
    Split(Key, RangeId),
    /// It takes that long to arrive.
    Late(Duration),
    /// It arrives, and so long afterwards a second time.
    Twice(Duration),
}

/// A fate and whom it waits for.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind of message, as [`Wire`] writes it down.
    pub kind: String,
    /// The range it goes to. `None`: any.
    pub range: Option<RangeId>,
    /// How many messages meet it.
    pub times: u32,
    /// What befalls them.
    pub fate: Fate,
}

/// See the module's head.
pub struct Wire {
    cluster: Arc<NaiveCluster>,
    noted: Arc<Mutex<Vec<String>>>,
    faults: Mutex<Vec<Fault>>,
    /// Draws fates instead of following a script; nothing is written down then.
    dice: Option<Mutex<Dice>>,
}

/// Draws a fate for a message of a kind.
pub type Dice = Box<dyn FnMut(&str) -> Option<Fate> + Send>;

impl Wire {
    pub fn new(cluster: Arc<NaiveCluster>) -> Wire {
        Wire { cluster, noted: Arc::default(), faults: Mutex::default(), dice: None }
    }

    pub fn with_dice(cluster: Arc<NaiveCluster>, dice: Dice) -> Wire {
        Wire { dice: Some(Mutex::new(dice)), ..Wire::new(cluster) }
    }

    pub fn add(&self, fault: Fault) {
        lock(&self.faults).push(fault);
    }

    /// What was written down since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.noted))
    }

    fn fate(&self, kind: &str, range: RangeId) -> Option<Fate> {
        if let Some(dice) = &self.dice {
            lock(&self.noted).clear();
            return lock(dice)(kind);
        }
        let mut faults = lock(&self.faults);
        let meets = |fault: &Fault| fault.kind == kind && fault.range.is_none_or(|r| r == range);
        let position = faults.iter().position(meets)?;
        faults[position].times -= 1;
        if faults[position].times == 0 {
            return Some(faults.remove(position).fate);
        }
        Some(faults[position].fate.clone())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl RangeSender for Wire {
    fn send(
        &self,
        to: NodeId,
        request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        let (kind, about) = words(&request.request);
        let head = format!("{kind} {} at {to}{about}", request.range);
        let fate = self.fate(kind, request.range);
        let (cluster, noted) = (self.cluster.clone(), self.noted.clone());
        let lost = move |cause: &str| KvError::AnswerLost { node: to, cause: cause.to_owned() };
        async move {
            let answer = match fate {
                Some(Fate::Refused(error)) => Err(error),
                Some(Fate::Lost) => Err(lost("message lost")),
                Some(Fate::AnswerLost) => {
                    let answer = cluster.send(to, request).await;
                    lock(&noted).push(format!("{head}: {}, answer lost", told(&answer)));
                    return Err(lost("answer lost"));
                }
                Some(Fate::Split(at, child)) => {
                    cluster.split(&at, child);
                    cluster.send(to, request).await
                }
                Some(Fate::Late(by)) => {
                    let late = async move {
                        timer::sleep(by).await;
                        cluster.send(to, request).await
                    };
                    // It arrives, whether or not its sender still waits.
                    tokio::spawn(late).await.expect("a message does not panic")
                }
                Some(Fate::Twice(by)) => {
                    let answer = cluster.send(to, request.clone()).await;
                    tokio::spawn(async move {
                        timer::sleep(by).await;
                        // Nobody hears what the second one is answered.
                        let _ = cluster.send(to, request).await;
                    });
                    answer
                }
                None => cluster.send(to, request).await,
            };
            lock(&noted).push(format!("{head}: {}", told(&answer)));
            answer
        }
        .boxed()
    }

    fn local_node(&self) -> NodeId {
        self.cluster.local_node()
    }

    fn round_trip(&self, to: NodeId) -> Duration {
        self.cluster.round_trip(to)
    }

    fn system_range(&self) -> Descriptor {
        self.cluster.system_range()
    }

    fn observed(&self) -> Timestamp {
        self.cluster.observed()
    }
}

/// A conflict, for refusals.
pub fn conflict(key: &str) -> Conflict {
    let span = Span::point(key.into());
    Conflict { kind: ConflictKind::ReadChanged, span, winner: None, at: None }
}

/// A request's kind and what it is about, without timestamps.
fn words(request: &Request) -> (&'static str, String) {
    let keys = |keys: &[Key]| keys.iter().map(|key| format!(" {}", plain(key))).collect::<String>();
    let parts = |reads: &[Validate], writes: &[Write]| {
        let reads: String =
            reads.iter().map(|read| format!(" reads {}", span(&read.span))).collect();
        let written: String =
            writes.iter().map(|write| format!(" writes {}", plain(&write.key))).collect();
        format!("{reads}{written}")
    };
    match request {
        Request::Read(read) => {
            let spans: String =
                read.spans.iter().map(|read| format!(" {}", span(&read.span))).collect();
            ("read", format!("{}{spans}", if read.holder.is_some() { " by holder" } else { "" }))
        }
        Request::Lock(lock) => {
            let nowait = if lock.wait == LockWait::NoWait { " nowait" } else { "" };
            ("lock", format!("{}{nowait}", keys(&lock.keys)))
        }
        Request::Prepare(prepare) => {
            let anchor = if prepare.at_anchor { " (anchor)" } else { "" };
            ("prepare", format!("{anchor}{}", parts(&prepare.reads, &prepare.writes)))
        }
        Request::Commit(commit) => {
            let others = if commit.participants.is_empty() {
                String::new()
            } else {
                let firsts: Vec<Key> =
                    commit.participants.iter().map(|s| s.start.clone()).collect();
                format!(" with{}", keys(&firsts))
            };
            ("commit", format!("{}{others}", parts(&commit.reads, &commit.writes)))
        }
        Request::Resolve(resolve) => {
            let outcome = match resolve.outcome {
                Resolution::Commit(_) => "commit",
                Resolution::Abort => "abort",
            };
            ("resolve", format!(" {outcome}{}", keys(&resolve.keys)))
        }
        Request::Push(push) => match push.kind {
            PushKind::Query => ("push", " query".to_owned()),
            PushKind::Wound { .. } => ("push", " wound".to_owned()),
            PushKind::Owner => ("push", " owner".to_owned()),
            PushKind::Waiters { .. } => ("push", " waiters".to_owned()),
        },
        Request::Heartbeat(_) => ("heartbeat", String::new()),
        Request::Acknowledge(_) => ("acknowledge", String::new()),
        Request::Release { .. } => ("release", String::new()),
        Request::Split { .. } => ("split", String::new()),
        Request::TransferLeader { .. } => ("transfer", String::new()),
        Request::Status => ("status", String::new()),
        Request::Locks => ("locks", String::new()),
        Request::Checksum { .. } => ("checksum", String::new()),
    }
}

fn told(answer: &Result<Reply, KvError>) -> String {
    match answer {
        Ok(Reply::Read(read)) => {
            let rows: usize = read.spans.iter().map(|span| span.rows.len()).sum();
            format!("{rows} rows")
        }
        Ok(Reply::Locked(_)) => "locked".to_owned(),
        Ok(Reply::Prepared(_)) => "prepared".to_owned(),
        Ok(Reply::Committed(_)) => "committed".to_owned(),
        Ok(Reply::Outcome(Outcome::Committed(_))) => "was committed".to_owned(),
        Ok(Reply::Outcome(outcome)) => format!("{outcome:?}").to_lowercase(),
        Ok(Reply::Done) => "done".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(KvError::NotLeader { leader, .. }) => {
            format!("not leader{}", leader.map_or(String::new(), |node| format!(", {node} is")))
        }
        Err(KvError::WrongRange { known, .. }) => {
            let known: Vec<String> = known.iter().map(|range| range.id.to_string()).collect();
            format!("wrong range, knows {}", known.join(" "))
        }
        Err(KvError::Conflict(_)) => "conflict".to_owned(),
        Err(KvError::Aborted(_)) => "aborted".to_owned(),
        Err(KvError::LockBusy { .. }) => "busy".to_owned(),
        Err(KvError::BoundPassed { .. }) => "bound passed".to_owned(),
        Err(KvError::AnswerLost { cause, .. }) => cause.clone(),
        Err(other) => other.to_string(),
    }
}

fn plain(key: &Key) -> String {
    key.escape_ascii().to_string()
}

fn span(span: &Span) -> String {
    if span.is_point() {
        return plain(&span.start);
    }
    format!("[{} - {})", plain(&span.start), plain(&span.end))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
