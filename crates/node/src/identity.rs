//! Whose data folder this is: cluster, node and the clock's durable bound, in the `state` column
//! family. Written once, durable before the node does anything else, and checked at every start: a
//! folder of another cluster or node is refused, and nothing in it is touched.

use std::time::Duration;

use clock::{
    Clock, DEFAULT_TOLERANCE, Hlc, Interval, LONGEST_WAIT, PERSIST_AHEAD, Restarting, UpperBound,
};
use keys::NodeId;
use kv::Descriptor;
use net::ClusterId;
use serde::{Deserialize, Serialize};
use storage::{Cf, Engine, EngineError, WriteBatch};

use crate::{members::Member, start::StartError};

/// Keys of the node in `state`; ranges use eight bytes, these are longer, so they never meet.
const IDENTITY: &[u8] = b"node/identity";
const CLOCK_BOUND: &[u8] = b"node/clock-bound";

/// What a data folder says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: u128,
    /// The node.
    pub node: NodeId,
    /// The system range as the cluster was founded.
    pub system: Descriptor,
    /// All members as the cluster was founded; their addresses may have changed since.
    pub members: Vec<Member>,
}

/// Why a data folder cannot be used by this node.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It belongs to somebody else.
    #[error("the data folder belongs to node {} of cluster {}, this is node {node} of cluster \
             {cluster}", found.node.0, ClusterId(found.cluster), node = node.0)]
    Foreign {
        /// What the folder says.
        found: Box<Identity>,
        /// Who wanted it.
        cluster: ClusterId,
        /// Who wanted it.
        node: NodeId,
    },
    /// The disk failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The identity in the folder; `None` if it is new.
pub fn read(engine: &dyn Engine) -> Result<Option<Identity>, EngineError> {
    let Some(bytes) = engine.get(Cf::State, IDENTITY)? else { return Ok(None) };
    postcard::from_bytes(&bytes).map(Some).map_err(|error| EngineError {
        doing: "read the data folder's identity".into(),
        cause: error.to_string(),
        corruption: true,
    })
}

/// Makes the folder this node's, or checks that it is. Durable when it returns. Answers whether
/// the folder was new.
pub fn claim(engine: &dyn Engine, wanted: &Identity) -> Result<Freshness, IdentityError> {
    match read(engine)? {
        Some(found) if found.cluster == wanted.cluster && found.node == wanted.node => {
            Ok(Freshness::Known)
        }
        Some(found) => Err(IdentityError::Foreign {
            found: Box::new(found),
            cluster: ClusterId(wanted.cluster),
            node: wanted.node,
        }),
        None => {
            let bytes = postcard::to_stdvec(wanted).expect("an identity can be encoded");
            let mut batch = WriteBatch::new();
            batch.put(Cf::State, IDENTITY, bytes);
            engine.write(batch)?;
            engine.sync()?;
            Ok(Freshness::New)
        }
    }
}

/// Whether a data folder was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Claimed just now.
    New,
    /// Claimed in a former life.
    Known,
}

/// Writes the clock's upper bound (T1); durable after the next sync.
pub fn write_clock_bound(engine: &dyn Engine, bound: u64) -> Result<(), EngineError> {
    let mut batch = WriteBatch::new();
    batch.put(Cf::State, CLOCK_BOUND, bound.to_be_bytes().to_vec());
    engine.write(batch)
}

/// The clock's upper bound that is in the folder; `None` if it is new.
pub fn read_clock_bound(engine: &dyn Engine) -> Result<Option<UpperBound>, EngineError> {
    let Some(bytes) = engine.get(Cf::State, CLOCK_BOUND)? else { return Ok(None) };
    let bytes: [u8; 8] = bytes.as_ref().try_into().map_err(|_| EngineError {
        doing: "read the clock's durable bound".into(),
        cause: format!("{} bytes instead of 8", bytes.len()),
        corruption: true,
    })?;
    Ok(Some(UpperBound(u64::from_be_bytes(bytes))))
}

/// The clock of this life is so far behind that of the former one that nobody would wait for it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the clock here is {} behind what the data folder's former life may have given out: this machine's \
     clock is wrong now, or was wrong then. Set it right (chronyc tracking tells how far it is off) and \
     start again; a node waits {} at most", clock::format_duration(*.behind),
    clock::format_duration(LONGEST_WAIT)
)]
pub struct ClockBehind {
    /// How long it would take until timestamps are past that may have been given out.
    pub behind: Duration,
}

/// How often a node that waits for its clock says so.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The hybrid logical clock of this life of the node: waits until the bound of the former life is
/// past (T1; at most about three seconds, if no clock was wrong), then makes a new bound durable.
pub async fn start_clock(engine: &dyn Engine, clock: &dyn Clock) -> Result<Hlc, StartError> {
    let mut hlc = match read_clock_bound(engine)? {
        None => {
            wait_for_bound(clock).await;
            Hlc::new(DEFAULT_TOLERANCE)
        }
        Some(bound) => wait_out(bound, clock).await?,
    };
    if let Some(bound) = hlc.bound_to_persist(wait_for_bound(clock).await) {
        write_clock_bound(engine, bound.0)?;
        engine.sync()?;
        hlc.persisted(bound);
    }
    Ok(hlc)
}

/// T1: waits until a former life's bound is past, and says so: a clock that was ahead then, or is
/// behind now, would let it last.
async fn wait_out(bound: UpperBound, clock: &dyn Clock) -> Result<Hlc, ClockBehind> {
    loop {
        let tt = wait_for_bound(clock).await;
        match Restarting::new(bound).start(tt, DEFAULT_TOLERANCE) {
            Ok(hlc) => return Ok(hlc),
            Err(behind) if behind > LONGEST_WAIT => return Err(ClockBehind { behind }),
            Err(wait) => {
                if wait > PERSIST_AHEAD + 2 * tt.epsilon() {
                    tracing::warn!(
                        "the clock is behind what the former life of this node may have given out \
                         (T1): waiting, {} are left. It was ahead then, or is behind now",
                        clock::format_duration(wait)
                    );
                }
                timer::sleep(wait.min(TELL_EVERY)).await;
            }
        }
    }
}

/// T6: a reading with an upper end. Nothing that this life did rests on an earlier reading, and no peer
/// can be asked yet, so a jump before now needs no voucher: what the source claims is enough.
async fn wait_for_bound(clock: &dyn Clock) -> Interval {
    loop {
        let mut tt = clock.now();
        if !tt.is_bounded() {
            clock.vouch(clock.jumps());
            tt = clock.now();
        }
        if tt.is_bounded() {
            return tt;
        }
        if let Some(doubt) = clock.doubt() {
            tracing::warn!("waiting for the clock to be trusted (T6): {doubt}");
        }
        timer::sleep(TELL_EVERY / 5).await;
    }
}

#[cfg(test)]
mod tests;
