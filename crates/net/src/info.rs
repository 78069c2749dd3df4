//! Who a node is, as it tells others before they exchange frames.

use std::{fmt, str::FromStr};

use keys::NodeId;

/// The version of what nodes say to each other. Nodes of different versions refuse each other.
pub const PROTOCOL_VERSION: u32 = 6;

/// A cluster, named at random when it is born. Zero: the node belongs to none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// Whether the node belongs to a cluster.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != ClusterId::default()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_some() { write!(f, "{:032x}", self.0) } else { f.write_str("none") }
    }
}

impl FromStr for ClusterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<ClusterId, Self::Err> {
        u128::from_str_radix(text, 16).map(ClusterId)
    }
}

/// What a node tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
    /// Its region.
    pub region: String,
    /// Its zone within the region.
    pub zone: String,
    /// Where other nodes reach it: `host:port`.
    pub address: String,
    /// Where it serves SQL: `host:port`; empty if nowhere.
    pub sql_address: String,
    /// [`PROTOCOL_VERSION`] of its program.
    pub protocol: u32,
    /// [`join_hash`] of the addresses it was told to join.
    pub join_hash: u64,
}

/// A fingerprint of a join list, whatever the order of its addresses: nodes that shall form one
/// cluster must have been told the same list.
#[must_use]
pub fn join_hash(addresses: &[String]) -> u64 {
    let mut sorted: Vec<&str> = addresses.iter().map(|address| address.trim()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    // FNV-1a: stable over versions and machines, which the standard library's hashers are not.
    let bytes = sorted.iter().flat_map(|address| address.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Why two nodes do not talk. All but [`Refusal::Joining`] are mistakes of an operator, so each says
/// which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The peer belongs to another cluster.
    #[error(
        "{peer} at {address} belongs to cluster {theirs}, this node to cluster {ours}: check the \
         data folders and the join lists"
    )]
    OtherCluster {
        /// The peer's id.
        peer: NodeId,
        /// Its address.
        address: String,
        /// Its cluster.
        theirs: ClusterId,
        /// Our cluster.
        ours: ClusterId,
    },
    /// One of the two has not joined its cluster yet: so it is for a moment when a cluster is
    /// founded, and no mistake. The caller tries again.
    #[error("{peer} at {address} and this node do not belong to one cluster yet")]
    Joining {
        /// The peer's id.
        peer: NodeId,
        /// Its address.
        address: String,
    },
    /// The address belongs to another node than was meant.
    #[error(
        "the address of {wanted} reaches {found} ({address}): two nodes were given one address"
    )]
    OtherNode {
        /// The node that was dialled.
        wanted: NodeId,
        /// The node that answered.
        found: NodeId,
        /// The address it advertises.
        address: String,
    },
    /// The peer claims the id of the local node.
    #[error("{address} claims to be {node}, as this node does: give each node an id of its own")]
    SameNode {
        /// The id that both claim.
        node: NodeId,
        /// The peer's address.
        address: String,
    },
    /// The peer's program speaks another version.
    #[error("{peer} speaks protocol version {theirs}, this node version {ours}: upgrade the older")]
    OtherVersion {
        /// The peer's id.
        peer: NodeId,
        /// Its version.
        theirs: u32,
        /// Our version.
        ours: u32,
    },
    /// Neither belongs to a cluster yet, and they were told different join lists.
    #[error("{peer} at {address} was started with another join list than this node")]
    OtherJoinList {
        /// The peer's id.
        peer: NodeId,
        /// Its address.
        address: String,
    },
}

impl NodeInfo {
    /// Whether this node may exchange frames with a peer. The join lists matter only until the
    /// cluster is born: afterwards its id decides, and a restart may name other addresses.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, peer: &NodeInfo) -> Result<(), Refusal> {
        let address = || peer.address.clone();
        if self.protocol != peer.protocol {
            let (theirs, ours) = (peer.protocol, self.protocol);
            return Err(Refusal::OtherVersion { peer: peer.node, theirs, ours });
        }
        if self.cluster != peer.cluster {
            let (theirs, ours) = (peer.cluster, self.cluster);
            let (peer, address) = (peer.node, address());
            if !ours.is_some() || !theirs.is_some() {
                return Err(Refusal::Joining { peer, address });
            }
            return Err(Refusal::OtherCluster { peer, address, theirs, ours });
        }
        if self.node == peer.node {
            return Err(Refusal::SameNode { node: self.node, address: address() });
        }
        if !self.cluster.is_some() && self.join_hash != peer.join_hash {
            return Err(Refusal::OtherJoinList { peer: peer.node, address: address() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
