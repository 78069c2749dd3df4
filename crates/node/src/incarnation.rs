//! Which data folder stands behind a node id, and how a node notices that it is not the one it was.
//!
//! A replica's promises and acceptances live in its node's data folder. A node that comes back
//! under its old id with a new folder has forgotten them, and could help to choose a second value
//! for a slot. It cannot know by itself: to it, this is its first start. The others can.
//!
//! ```text
//!   first start      draws its incarnation, makes it durable
//!                       |--- Introduce(incarnation) --> every other member
//!                       |                               first heard of: remembers it, durably
//!                       |<-- Done ----------------------|
//!                    admitted by all: durable; only now it makes replicas
//!   later starts     admitted before: see `epoch` for whom they need
//!
//!   folder lost      another incarnation
//!                       |--- Introduce(incarnation) --> remembers another one
//!                       |<-- Objection(the first) ------|
//!                    stops: see `DataLost`
//! ```
//!
//! 1. A node makes no replica before **every** other member has made its incarnation durable
//!    (asserted in the store). So as long as one other member keeps its folder, a second
//!    incarnation of the node is refused by somebody, and it never votes.
//! 2. What a member remembers of another is never replaced (asserted in [`remember`]).
//!
//! All members have to be up when a cluster is founded; they have to be for the join list anyway.
//!
//! HAZARD: if the folders of *all* members are lost, nothing is left to notice it: that is a new,
//! empty cluster. If a majority's are lost, each of those nodes is refused by the rest, and the
//! ranges they held a quorum of stay without one: their newest data is lost in any case. A
//! folder that is put back from an *older copy* has the right incarnation, and has forgotten promises
//! all the same: [`crate::epoch`] sees to that.

use std::fmt;

use keys::NodeId;
use serde::{Deserialize, Serialize};
use storage::{Cf, Engine, EngineError, WriteBatch};

/// Keys in `state`; like all of a node's, longer than those of ranges.
const OWN: &[u8] = b"node/incarnation";
const ADMITTED: &[u8] = b"node/admitted";
const PEER: &[u8] = b"node/peer/";

/// Names a data folder among all that ever stood behind a node id. Drawn once, at the folder's
/// first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// When the folder was used first, by the node's clock: nanoseconds since the Unix epoch.
    pub since: u64,
    /// Drawn at random: two folders made at one moment still differ.
    pub nonce: u64,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use expr::datetime::{format_timestamp, from_unix_nanos};
        let since = format_timestamp(from_unix_nanos(self.since));
        write!(f, "{:016x}, first used at {since} UTC", self.nonce)
    }
}

/// A node's data folder is not the one with which it became a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{node} came back without the data folder with which it became a member: {peer} knows it by \
     the folder {known}; this one is {found}. What {node} promised and stored lies in the first \
     folder, and without it this node could overwrite what the cluster has acknowledged, so it does \
     not take part. Start it with its first folder (--data). If that is lost, leave this node \
     switched off: its id cannot be used again, and the cluster goes on with the others"
)]
pub struct DataLost {
    /// The node, which is this one.
    pub node: NodeId,
    /// Who refused it.
    pub peer: NodeId,
    /// The folder that the peer knows.
    pub known: Incarnation,
    /// This folder.
    pub found: Incarnation,
}

/// Whether every other member has made this node's incarnation durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Not yet, as far as known: no replica is made.
    Pending,
    /// Yes, in this life or a former one.
    Granted,
}

/// The folder's incarnation; `new` from now on if it had none. Durable when this returns: nobody
/// ever hears of an incarnation that a crash could take back.
pub fn of(engine: &dyn Engine, new: Incarnation) -> Result<Incarnation, EngineError> {
    if let Some(known) = read(engine, OWN)? {
        return Ok(known);
    }
    write(engine, OWN, new)?;
    engine.sync()?;
    Ok(new)
}

/// Whether this folder was admitted.
pub fn admission(engine: &dyn Engine) -> Result<Admission, EngineError> {
    let known = engine.get(Cf::State, ADMITTED)?.is_some();
    Ok(if known { Admission::Granted } else { Admission::Pending })
}

/// Notes that every other member remembers this folder; durable after the next sync.
pub fn admit(engine: &dyn Engine) -> Result<(), EngineError> {
    let mut batch = WriteBatch::new();
    batch.put(Cf::State, ADMITTED, Vec::new());
    engine.write(batch)
}

/// Remembers a peer by this incarnation, from after the next sync; or tells by which other it is
/// known.
pub fn remember(
    engine: &dyn Engine,
    peer: NodeId,
    heard: Incarnation,
) -> Result<Result<(), Incarnation>, EngineError> {
    let key = [PEER, &peer.0.to_be_bytes()].concat();
    match read(engine, &key)? {
        Some(known) if known != heard => return Ok(Err(known)),
        Some(_) => {}
        None => write(engine, &key, heard)?,
    }
    assert_eq!(read(engine, &key)?, Some(heard), "{peer} is remembered as it was heard of");
    Ok(Ok(()))
}

fn read(engine: &dyn Engine, key: &[u8]) -> Result<Option<Incarnation>, EngineError> {
    let Some(bytes) = engine.get(Cf::State, key)? else { return Ok(None) };
    postcard::from_bytes(&bytes).map(Some).map_err(|error| EngineError {
        doing: format!("read {}", String::from_utf8_lossy(key)),
        cause: error.to_string(),
        corruption: true,
    })
}

fn write(engine: &dyn Engine, key: &[u8], incarnation: Incarnation) -> Result<(), EngineError> {
    let bytes = postcard::to_stdvec(&incarnation).expect("two numbers can be encoded");
    let mut batch = WriteBatch::new();
    batch.put(Cf::State, key.to_vec(), bytes);
    engine.write(batch)
}

#[cfg(test)]
mod tests {
    use storage::MemEngine;

    use super::*;

    const FIRST: Incarnation = Incarnation { since: 1, nonce: 11 };
    const SECOND: Incarnation = Incarnation { since: 2, nonce: 22 };

    #[test]
    fn a_folder_keeps_its_incarnation_over_crashes() {
        let engine = MemEngine::new();
        assert_eq!(of(&engine, FIRST).expect("a healthy disk"), FIRST);
        let engine = engine.disk().crash_losing_unsynced();
        assert_eq!(of(&engine, SECOND).expect("a healthy disk"), FIRST);
    }

    #[test]
    fn a_peer_is_remembered_by_its_first_folder_only() {
        let engine = MemEngine::new();
        let hear = |peer, of| remember(&engine, NodeId(peer), of).expect("a healthy disk");
        assert_eq!([hear(3, FIRST), hear(3, FIRST)], [Ok(()), Ok(())]);
        assert_eq!(hear(3, SECOND), Err(FIRST));
        assert_eq!(hear(4, SECOND), Ok(()), "another peer");
    }

    #[test]
    fn the_error_says_what_happened_and_what_to_do() {
        let (node, peer) = (NodeId(3), NodeId(1));
        let text = DataLost { node, peer, known: FIRST, found: SECOND }.to_string();
        for part in ["000000000000000b", "0000000000000016", "--data", "switched off"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
