//! The clock guard: a node compares its clock with its peers', and stops serving when it has to
//! conclude that its own is the broken one.
//!
//! T2 refuses stamps that are too far ahead; it notices neither a clock that is a little ahead nor
//! one that is behind. The guard notices both, by readings that pings bring back anyway:
//!
//! ```text
//!   here   ──[ before ]──────────────────[ after ]──►       readings around the ping
//!                 \                    /
//!   peer   ────────[ reading ]────────────────────►
//! ```
//!
//! The peer read its clock between the two readings here. If all three intervals contained the true
//! time, `reading` meets `[before.earliest, after.latest]`. Else one of the two clocks is further off
//! than it claims: that is proof, whatever the network does, for a slow network only makes the window
//! wider. *How far* ours is off, if it is ours, lies in
//!
//! ```text
//!   [ before.earliest - reading.latest,  after.latest - reading.earliest ]
//! ```
//!
//! Each peer gives such an interval. The offset that the most of them can live with is found as
//! Marzullo did (1984). Zero, that our clock is right, has our own vote besides. If some other offset
//! has more votes than zero, this node distrusts its clock: its peers agree with each other and not
//! with it. With one peer alone there is no majority, and nobody stops.
//!
//! After a jump of this node's own clock (T6) the guard is asked the other way round: do the peers
//! *confirm* its time? What was compared before the jump is forgotten. Peers are asked at once
//! ([`Guard::alarm`]), and confirm if one of them at least, and half of those that answered, agree.
//!
//! 1. Honest clocks never stop a node: each peer's interval then contains zero, so no offset has
//!    more votes (asserted by a test over random clocks and delays).
//! 2. A node that distrusts its clock exchanges nothing but pings: to its peers it is as if cut off,
//!    which is safe for every protocol here; its leases run out and others lead. Its clients get
//!    `57P03`. It serves again once its peers agree with it.
//!
//! HAZARD: the guard needs a ping, so up to [`crate::LIVE_WINDOW`] may pass before it stops a node;
//! until then a clock that lies does harm. Within what claims and the network leave undecided it
//! notices nothing: ε of both ends and the round trip. Two clocks of one region that are wrong in
//! the same way outvote the third, if everybody else is too far away to tell.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::{Interval, Jumps, Mono, format_duration};
use keys::NodeId;
use tokio::sync::Notify;

use crate::{members::LIVE_WINDOW, time::NodeClock};

/// Left to processes of one machine that claim ε = 0: between the readings with which each began,
/// and after a step of the machine's clock, lies some time that nobody claims.
pub const SLACK: Duration = Duration::from_millis(2);

/// Whether a node may stop itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockGuard {
    /// It does.
    On,
    /// An experiment: a lying clock goes on serving, and the checkers must find what it breaks.
    UnsafeOff,
}

/// What a peer's answer says about our clock: how far it is ahead, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// At least.
    low: i128,
    /// At most.
    high: i128,
}

impl Opinion {
    /// From readings here before and after the peer's.
    #[must_use]
    pub fn new(before: Interval, reading: Interval, after: Interval) -> Opinion {
        let slack = i128::try_from(SLACK.as_nanos()).expect("short");
        let (earliest, latest) = (i128::from(before.earliest), i128::from(after.latest));
        let low = earliest - i128::from(reading.latest) - slack;
        let high = latest - i128::from(reading.earliest) + slack;
        // A clock that was stepped back meanwhile ends before it began: whatever it was in between.
        Opinion { low: low.min(high), high: low.max(high) }
    }

    fn allows(self, offset: i128) -> bool {
        (self.low..=self.high).contains(&offset)
    }
}

/// When a peer's opinion was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When the answer came.
    pub at: Mono,
    /// How many jumps the clock here had seen when the peer was asked, and when its answer came.
    pub after: Jumps,
}

/// What comes of a round of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Some peer contradicts this node: something is wrong somewhere.
    pub disputed: bool,
    /// T6: the peers confirm the time of this node, as it is after its clock's latest jump.
    pub confirmed: bool,
}

/// Why a node distrusts its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// How far its clock is off at least, in nanoseconds; positive is ahead.
    pub offset_nanos: i128,
    /// What it claims at most: its ε at the time.
    pub epsilon: Duration,
    /// The peers that agree on it.
    pub peers: Vec<NodeId>,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = u64::try_from(self.offset_nanos.unsigned_abs()).unwrap_or(u64::MAX);
        let way = if self.offset_nanos < 0 { "behind" } else { "ahead of" };
        let peers: Vec<String> = self.peers.iter().map(ToString::to_string).collect();
        write!(
            f,
            "its clock is {way} that of {} by at least {} beyond what all of them claim (its own \
             claim is ±{})",
            peers.join(", "),
            format_duration(Duration::from_nanos(size)),
            format_duration(self.epsilon),
        )
    }
}

/// What to do about it, for people.
pub const ADVICE: &str = "It serves again by itself once its clock agrees with its peers'. Check the \
                          time synchronization of its machine, or widen its claim (clock.epsilon).";

/// Compares a node's clock with its peers'.
#[derive(Debug)]
pub struct Guard {
    node: NodeId,
    /// Whether the node stopped serving; the same as `verdict`, without the lock.
    stopped: AtomicBool,
    /// The latest jump of the clock that was told by [`Guard::alarm`].
    alarmed: AtomicU64,
    alarm: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mode: ClockGuard,
    opinions: BTreeMap<NodeId, (Moment, Opinion)>,
    verdict: Option<Distrust>,
    /// Peers that contradicted this node when it judged last: each change is told once.
    disputed: Vec<NodeId>,
}

impl Guard {
    /// A guard that knows nothing yet.
    #[must_use]
    pub fn new(node: NodeId, mode: ClockGuard) -> Guard {
        let state = State { mode, opinions: BTreeMap::new(), verdict: None, disputed: Vec::new() };
        let (stopped, alarmed) = (AtomicBool::new(false), AtomicU64::new(0));
        Guard { node, stopped, alarmed, alarm: Notify::new(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node must not serve now.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Why it must not.
    #[must_use]
    pub fn distrust(&self) -> Option<Distrust> {
        self.state().verdict.clone()
    }

    /// Why the node does not serve now: it distrusts its clock, or its clock is in doubt (T6). `None`:
    /// it serves.
    #[must_use]
    pub fn why_still(&self, clock: &NodeClock) -> Option<String> {
        // Asked before every statement and request: the cheap look first.
        if self.stops()
            && let Some(why) = self.distrust()
        {
            return Some(why.to_string());
        }
        let doubt = clock.doubt()?;
        self.alarm(clock.source().jumps());
        Some(doubt.to_string())
    }

    /// T6: somebody read a clock that is in doubt after so many jumps. Ends [`Guard::alarmed`] once for
    /// each jump.
    pub fn alarm(&self, after: Jumps) {
        if self.alarmed.fetch_max(after.0, Ordering::AcqRel) < after.0 {
            self.alarm.notify_one();
        }
    }

    /// Resolves when the clock has jumped: its peers are to be asked at once. For one task.
    pub async fn alarmed(&self) {
        self.alarm.notified().await;
    }

    /// Whether it may stop the node.
    #[must_use]
    pub fn mode(&self) -> ClockGuard {
        self.state().mode
    }

    /// Turns the guard on or off. Off, the node serves again at once.
    pub fn set_mode(&self, mode: ClockGuard) {
        let mut state = self.state();
        state.mode = mode;
        if mode == ClockGuard::UnsafeOff {
            state.verdict = None;
            self.stopped.store(false, Ordering::Release);
        }
    }

    /// A peer answered a ping.
    pub fn heard(&self, peer: NodeId, opinion: Opinion, when: Moment) {
        self.state().opinions.insert(peer, (when, opinion));
    }

    /// A round of pings is over, and it is `now`: does the node trust its clock?
    pub fn judge(&self, epsilon: Duration, now: Moment) -> Judgement {
        let mut state = self.state();
        // T6: what was heard before a jump says nothing of the clock after it.
        let fresh =
            |heard: &Moment| heard.after == now.after && now.at.since(heard.at) <= LIVE_WINDOW;
        state.opinions.retain(|_, (heard, _)| fresh(heard));
        let opinions: Vec<(NodeId, Opinion)> =
            state.opinions.iter().map(|(peer, (_, opinion))| (*peer, *opinion)).collect();
        let against = opinions.iter().filter(|(_, opinion)| !opinion.allows(0));
        let against: Vec<NodeId> = against.map(|(peer, _)| *peer).collect();
        let verdict = match state.mode {
            ClockGuard::On => verdict(&opinions, epsilon),
            ClockGuard::UnsafeOff => None,
        };
        self.tell(&state, verdict.as_ref(), &against);
        let agree = opinions.len() - against.len();
        let confirmed = match state.mode {
            ClockGuard::On => verdict.is_none() && agree > 0 && agree >= against.len(),
            ClockGuard::UnsafeOff => true,
        };
        let disputed = !against.is_empty();
        state.disputed = against;
        self.stopped.store(verdict.is_some(), Ordering::Release);
        state.verdict = verdict;
        Judgement { disputed, confirmed }
    }

    /// What is new, in the log.
    fn tell(&self, before: &State, verdict: Option<&Distrust>, disputed: &[NodeId]) {
        let node = self.node;
        match (&before.verdict, verdict) {
            (None, Some(why)) => {
                tracing::error!(%node, "{node} stops serving: {why}. {ADVICE}");
            }
            (Some(_), None) => {
                tracing::warn!(%node, "{node} serves again: its clock agrees with its peers'");
            }
            (None, None) if !disputed.is_empty() && before.disputed != disputed => {
                let who: Vec<String> = disputed.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    %node,
                    "{node} and {} contradict each other about the time; {node} goes on serving",
                    who.join(", ")
                );
            }
            (None | Some(_), None | Some(_)) => {}
        }
    }
}

/// The offset with the most votes, if zero has fewer.
fn verdict(opinions: &[(NodeId, Opinion)], epsilon: Duration) -> Option<Distrust> {
    let votes = |offset: i128| opinions.iter().filter(|(_, o)| o.allows(offset)).count();
    // The most votes are found at the end of some interval.
    let ends = opinions.iter().flat_map(|(_, opinion)| [opinion.low, opinion.high]);
    let best = ends.max_by_key(|end| (votes(*end), std::cmp::Reverse(end.abs())))?;
    if votes(best) <= votes(0) + 1 {
        return None;
    }
    let against = opinions.iter().filter(|(_, o)| o.allows(best) && !o.allows(0));
    let against: Vec<(NodeId, Opinion)> = against.copied().collect();
    let least = against.iter().map(|(_, o)| if o.low > 0 { o.low } else { o.high });
    let offset_nanos = least.max_by_key(|offset| offset.abs()).expect("zero has fewer votes");
    let peers = against.into_iter().map(|(peer, _)| peer).collect();
    Some(Distrust { offset_nanos, epsilon, peers })
}

#[cfg(test)]
mod tests;
