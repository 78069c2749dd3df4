//! Whose data folder this is: cluster, node and the clock's durable bound, in the `state` column
//! family. Written once, durable before the node does anything else, and checked at every start: a
//! folder of another cluster or node is refused, and nothing in it is touched.

use clock::{Clock, DEFAULT_TOLERANCE, Hlc, Restarting, UpperBound};
use keys::NodeId;
use kv::Descriptor;
use net::ClusterId;
use serde::{Deserialize, Serialize};
use storage::{Cf, Engine, EngineError, WriteBatch};

use crate::members::Member;

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

/// The hybrid logical clock of this life of the node: waits until the bound of the former life is
/// past (T1; at most about three seconds), then makes a new bound durable.
pub async fn start_clock(engine: &dyn Engine, clock: &dyn Clock) -> Result<Hlc, EngineError> {
    let mut hlc = match read_clock_bound(engine)? {
        None => Hlc::new(DEFAULT_TOLERANCE),
        Some(bound) => loop {
            match Restarting::new(bound).start(clock.now(), DEFAULT_TOLERANCE) {
                Ok(hlc) => break hlc,
                Err(wait) => timer::sleep(wait).await,
            }
        },
    };
    if let Some(bound) = hlc.bound_to_persist(clock.now()) {
        write_clock_bound(engine, bound.0)?;
        engine.sync()?;
        hlc.persisted(bound);
    }
    Ok(hlc)
}
