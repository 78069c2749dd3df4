//! The border between generated messages and the types of this crate.

use keys::NodeId;
use proto::v1;
use tonic::Status;

use crate::{ClusterId, Lane, NodeInfo};

/// The longest name or address that is accepted from a peer, in bytes.
const NAME_LIMIT_BYTES: usize = 256;

pub(super) fn to_wire(info: &NodeInfo) -> v1::NodeInfo {
    let cluster = if info.cluster.is_some() {
        info.cluster.0.to_be_bytes().to_vec().into()
    } else {
        bytes::Bytes::new()
    };
    v1::NodeInfo {
        cluster_id: cluster,
        node_id: info.node.0,
        region: info.region.clone(),
        zone: info.zone.clone(),
        address: info.address.clone(),
        sql_address: info.sql_address.clone(),
        protocol_version: info.protocol,
        join_hash: info.join_hash,
    }
}

pub(super) fn lane_to_wire(lane: Lane) -> u32 {
    u32::try_from(lane.index()).expect("few lanes")
}

/// Reads in which lane a stream's frames travel.
///
/// # Errors
/// `INVALID_ARGUMENT`: there is no such lane.
pub(super) fn lane_from_wire(lane: u32) -> Result<Lane, Status> {
    let mut lanes = Lane::ALL.into_iter();
    let found = lanes.find(|known| lane_to_wire(*known) == lane);
    found.ok_or_else(|| Status::invalid_argument(format!("there is no lane {lane}")))
}

/// Reads what a peer tells of itself.
///
/// # Errors
/// `INVALID_ARGUMENT` with what is wrong: the peer is not of our making.
pub(super) fn from_wire(info: Option<v1::NodeInfo>) -> Result<NodeInfo, Status> {
    let info = info.ok_or_else(|| Status::invalid_argument("the node does not say who it is"))?;
    let cluster = match info.cluster_id.as_ref() {
        [] => ClusterId::default(),
        id => ClusterId(u128::from_be_bytes(
            id.try_into().map_err(|_| Status::invalid_argument("a cluster id has 16 bytes"))?,
        )),
    };
    let names = [&info.region, &info.zone, &info.address, &info.sql_address];
    if names.iter().any(|name| name.len() > NAME_LIMIT_BYTES) {
        return Err(Status::invalid_argument("a name is longer than 256 bytes"));
    }
    if info.node_id == 0 {
        return Err(Status::invalid_argument("0 is no node id"));
    }
    Ok(NodeInfo {
        cluster,
        node: NodeId(info.node_id),
        region: info.region,
        zone: info.zone,
        address: info.address,
        sql_address: info.sql_address,
        protocol: info.protocol_version,
        join_hash: info.join_hash,
    })
}
