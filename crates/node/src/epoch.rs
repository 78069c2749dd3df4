//! Which start of a node this is, how far its folder reached in those before, and how its peers notice
//! that an older copy of the folder was put back (P0a).
//!
//! A folder that is turned back has the right [incarnation], and has forgotten
//! what the node promised and accepted since the copy was made. It cannot know by itself. So the
//! node leaves two marks with its peers, each durable in the folder before anybody hears of it: the
//! *start epoch*, raised at each start, and the clock's durable bound (T1), which goes up every one
//! and a half seconds while the node runs. The folder keeps, of each start, how far it reached:
//!
//! ```text
//!                     start 7                          start 8
//!   the folder        |-----+-----+-----+-----+--|     |---------
//!   shown to peers          m1    m2    m3    m4
//!                                 ^copied
//!
//!   put back instead of start 8: shows "9, after 8 of ours, after 7 until m2"
//!       who heard m4 of start 7 objects:     7 went on beyond m2
//!   put back after start 8: shows "8, with another nonce, after 7 until m2"
//!       who heard of start 8 objects:        8 was another start
//! ```
//!
//! 1. An epoch is durable before it is shown, and each belongs to one start: two starts from one
//!    copy have the same number and differ in their nonce (asserted in [`begin`]).
//! 2. What a peer remembers of a node only goes up (asserted in [`Reached::hear`]).
//! 3. An honest start is never objected to: where its predecessor ended in the folder is at least what
//!    anybody was shown of it (test `an_honest_node_is_never_objected_to`).
//! 4. A copy stays one: whatever it does later, and however often it is started, where it broke off
//!    stands in its history (test `a_copy_is_refused_for_ever`).
//! 5. A replica takes part only once a majority of its voters, this node among them, remember this
//!    start (`store::standing`). A range without such a majority could do nothing anyway, so the
//!    wait costs no range that could be served without it.
//!
//! HAZARD: a copy is noticed if its node went on for longer than [`SHOWN_EVERY`] and one step of the
//! bound, about three seconds together, before the copy was put back. What was promised within them
//! and is missing in the copy is not noticed. And a majority is not everybody: if all peers that
//! heard of the node after the copy was made are silent when the copy starts, those that answer know
//! nothing of it. It is found when the first of the others comes back, and the node stops; until
//! then a slot may have been chosen twice. A process that is turned back together with its memory,
//! without a start (a virtual machine's snapshot), shows no new epoch and is not noticed here.

use std::{cmp::Ordering, collections::BTreeSet, fmt, time::Duration};

use clock::UpperBound;
use keys::NodeId;
use serde::{Deserialize, Serialize};
use storage::{Cf, Engine, EngineError, WriteBatch};

use crate::{
    identity,
    incarnation::{self, Incarnation},
};

/// How often a node shows its start and its mark to each peer that knows it. As often as the clock's
/// bound moves.
pub const SHOWN_EVERY: Duration = Duration::from_millis(1_500);

const _: () = assert!(
    SHOWN_EVERY.as_millis() == clock::PERSIST_AHEAD.as_millis() / 2,
    "a mark is shown as often as it moves"
);

/// How long a start waits for peers that do not answer. Those that do within it are heard before
/// any replica takes part, so that a majority that knows nothing does not outrun the one that does.
pub const GRACE: Duration = Duration::from_secs(1);

/// Former starts that a folder keeps and shows, the latest. A peer that was away for more of them
/// goes by the number alone.
pub const PAST_STARTS: usize = 256;

/// Keys in `state`; like all of a node's, longer than those of ranges.
const OWN: &[u8] = b"node/starts";
const PEER: &[u8] = b"node/peer-start/";

/// Names one start of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts the starts on a folder, from 1.
    pub number: u64,
    /// Drawn at random: two starts from one copy of a folder still differ.
    pub nonce: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "start {} ({:016x})", self.number, self.nonce)
    }
}

/// A start, and how far it got: what a peer remembers of a node's latest one, and what a folder keeps
/// of its former ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The start.
    pub epoch: Epoch,
    /// The highest bound of the clock that was durable in it, as far as known. At a peer: that it was
    /// shown, so the folder has it or a higher one.
    pub mark: UpperBound,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use expr::datetime::{format_timestamp, from_unix_nanos};
        // The bound runs ahead of the clock: this is when it was written, or a little later.
        let ahead = u64::try_from(clock::PERSIST_AHEAD.as_nanos()).expect("short");
        let at = format_timestamp(from_unix_nanos(self.mark.0.saturating_sub(ahead)));
        write!(f, "{}, up to about {at} UTC", self.epoch)
    }
}

/// The starts on a folder, as far back as it keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    /// This one, and the clock's bound that it found.
    pub now: Reached,
    /// Those before it, the latest last, one number after the other; [`PAST_STARTS`] at most.
    pub past: Vec<Reached>,
}

/// What a node shows of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Showing {
    /// Its folder.
    pub incarnation: Incarnation,
    /// The starts on it.
    pub starts: Starts,
}

/// Whether peers look at starts at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochCheck {
    /// They do.
    On,
    /// An experiment: an older copy of a folder is taken for the folder, and the checkers must find
    /// what it has forgotten.
    UnsafeOff,
}

/// What a peer remembers that contradicts what a node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objection {
    /// The node had this other folder.
    OtherFolder(Incarnation),
    /// The node went on in this folder beyond what it shows.
    OlderCopy(Reached),
}

/// A node's data folder is an older copy of the one with which it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{node} came back with an older copy of its data folder: {peer} remembers {known}; this folder \
     {}. What {node} promised and stored in between is missing in the copy, and without it this node \
     could overwrite what the cluster has acknowledged, so it does not take part. Start it with the \
     folder as it was last in use (--data). If that is lost, leave this node switched off: no copy \
     can be used again, and the cluster goes on with the others",
    Instead { known: *known, found }
)]
pub struct OlderCopy {
    /// The node, which is this one.
    pub node: NodeId,
    /// Who refused it.
    pub peer: NodeId,
    /// What the peer remembers.
    pub known: Reached,
    /// What this start showed.
    pub found: Box<Showing>,
}

/// What the folder has in the place of what is remembered.
struct Instead<'a> {
    known: Reached,
    found: &'a Showing,
}

impl fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.known.epoch.number;
        let starts = &self.found.starts;
        match starts.of(number) {
            Some(other) => write!(f, "has {other}"),
            None => write!(f, "has had {} starts, this one included", starts.now.epoch.number),
        }
    }
}

impl Starts {
    /// The start of this number, as this folder has it.
    fn of(&self, number: u64) -> Option<&Reached> {
        self.past.iter().chain([&self.now]).find(|start| start.epoch.number == number)
    }
}

impl Reached {
    /// What is remembered once this was shown by a node that starts, of the same folder.
    ///
    /// # Errors
    /// If it contradicts what is remembered: then that.
    pub fn hear(self, shown: &Starts) -> Result<Reached, Reached> {
        let fits = match shown.now.epoch.number.cmp(&self.epoch.number) {
            // P0a: it has been started since, on another folder than this.
            Ordering::Less => false,
            Ordering::Equal => shown.now.epoch == self.epoch,
            // P0a: the start that is remembered is one of this folder's, and reached as far in it.
            Ordering::Greater => match shown.of(self.epoch.number) {
                Some(past) => past.epoch == self.epoch && past.mark >= self.mark,
                // So long ago that the folder keeps no record of it.
                None => shown.past.first().is_some_and(|oldest| {
                    oldest.epoch.number > self.epoch.number && shown.past.len() == PAST_STARTS
                }),
            },
        };
        if fits { Ok(self.raised(shown.now)) } else { Err(self) }
    }

    /// What is remembered once a node that runs has shown how far it is.
    ///
    /// # Errors
    /// As [`Reached::hear`]. A later start than is remembered is not judged: it is introduced.
    pub fn follow(self, shown: Reached) -> Result<Reached, Reached> {
        match shown.epoch.number.cmp(&self.epoch.number) {
            Ordering::Less => Err(self),
            Ordering::Equal if shown.epoch != self.epoch => Err(self),
            // Messages may overtake each other: a lower mark of one start means nothing.
            Ordering::Equal => Ok(self.raised(shown)),
            Ordering::Greater => Ok(self),
        }
    }

    fn raised(self, shown: Reached) -> Reached {
        let mark = if shown.epoch == self.epoch { self.mark.max(shown.mark) } else { shown.mark };
        let now = Reached { epoch: shown.epoch, mark };
        assert!(
            now.epoch.number > self.epoch.number
                || (now.epoch == self.epoch && now.mark >= self.mark),
            "P0a: what is remembered goes up: {now:?} after {self:?}"
        );
        now
    }
}

/// Who remembers this start, as far as this node has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// Peers are still being asked: no replica takes part.
    Asking,
    /// These do, and nobody who answered objected.
    By(BTreeSet<NodeId>),
}

impl Confirmed {
    /// Whether a range of these voters may have a replica here that takes part.
    #[must_use]
    pub fn suffices(&self, voters: &[NodeId], node: NodeId) -> bool {
        match self {
            Confirmed::Asking => false,
            Confirmed::By(peers) => suffices(voters, node, peers),
        }
    }
}

/// Whether this start is known to so many of a range's voters that its replica here may take part.
#[must_use]
pub fn suffices(voters: &[NodeId], node: NodeId, confirmed: &BTreeSet<NodeId>) -> bool {
    let know = voters.iter().filter(|voter| **voter == node || confirmed.contains(voter));
    2 * know.count() > voters.len()
}

/// Begins a start: raises the folder's epoch, and notes where the last one ended. To be called before
/// the clock writes another bound, which the last start did not reach. Durable when this returns:
/// nobody ever hears of an epoch that a crash could take back.
pub fn begin(engine: &dyn Engine, nonce: u64) -> Result<Starts, EngineError> {
    let mark = identity::read_clock_bound(engine)?.unwrap_or(UpperBound(0));
    let mut past: Vec<Reached> = read(engine, OWN)?.unwrap_or_default();
    let number = past.last().map_or(1, |last| last.epoch.number + 1);
    if let Some(last) = past.last_mut() {
        // Where the start before this one ended: at what it showed last, or beyond.
        last.mark = last.mark.max(mark);
    }
    let now = Reached { epoch: Epoch { number, nonce }, mark };
    past.push(now);
    past.drain(..past.len().saturating_sub(PAST_STARTS + 1));
    write(engine, OWN.to_vec(), &past)?;
    engine.sync()?;
    assert_eq!(
        read::<Vec<Reached>>(engine, OWN)?.as_ref(),
        Some(&past),
        "P0a: an epoch is durable before it is shown"
    );
    past.pop();
    Ok(Starts { now, past })
}

/// Remembers what a peer that starts showed, from after the next sync; or tells what it contradicts.
pub fn remember(
    engine: &dyn Engine,
    peer: NodeId,
    shown: &Showing,
    check: EpochCheck,
) -> Result<Result<(), Objection>, EngineError> {
    if let Err(known) = incarnation::remember(engine, peer, shown.incarnation)? {
        return Ok(Err(Objection::OtherFolder(known)));
    }
    let known = match check {
        EpochCheck::On => remembered(engine, peer)?,
        EpochCheck::UnsafeOff => None,
    };
    match known.map_or(Ok(shown.starts.now), |known| known.hear(&shown.starts)) {
        Ok(heard) => write(engine, key(peer), &heard).map(Ok),
        Err(known) => Ok(Err(Objection::OlderCopy(known))),
    }
}

/// Remembers how far a peer is that runs, from after the next sync; or tells what it contradicts.
pub fn follow(
    engine: &dyn Engine,
    peer: NodeId,
    shown: Reached,
    check: EpochCheck,
) -> Result<Result<(), Objection>, EngineError> {
    let (Some(known), EpochCheck::On) = (remembered(engine, peer)?, check) else {
        return Ok(Ok(()));
    };
    match known.follow(shown) {
        Ok(heard) => write(engine, key(peer), &heard).map(Ok),
        Err(known) => Ok(Err(Objection::OlderCopy(known))),
    }
}

/// What is remembered of a peer; `None`: it has not been introduced.
fn remembered(engine: &dyn Engine, peer: NodeId) -> Result<Option<Reached>, EngineError> {
    read(engine, &key(peer))
}

fn key(peer: NodeId) -> Vec<u8> {
    [PEER, &peer.0.to_be_bytes()].concat()
}

fn read<T: for<'a> Deserialize<'a>>(
    engine: &dyn Engine,
    key: &[u8],
) -> Result<Option<T>, EngineError> {
    let Some(bytes) = engine.get(Cf::State, key)? else { return Ok(None) };
    postcard::from_bytes(&bytes).map(Some).map_err(|error| EngineError {
        doing: format!("read {}", String::from_utf8_lossy(key)),
        cause: error.to_string(),
        corruption: true,
    })
}

fn write<T: Serialize>(engine: &dyn Engine, key: Vec<u8>, what: &T) -> Result<(), EngineError> {
    let bytes = postcard::to_stdvec(what).expect("numbers can be encoded");
    let mut batch = WriteBatch::new();
    batch.put(Cf::State, key, bytes);
    engine.write(batch)
}

#[cfg(test)]
mod tests;
