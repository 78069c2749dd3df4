//! How the nodes on a join list become a cluster.
//!
//! Every node is started with the same list of addresses. It says hello to each until all have
//! answered; so each knows all members, and all know the same. The node with the lowest id draws
//! the cluster's id, makes it durable, and tells it in its hello; the others take it over from
//! whoever has it. From then on the data folder says which cluster the node belongs to, who its
//! members are and where, and a restart finds them without the list.
//!
//! A restart that contradicts the folder is refused with both values: another
//! region or zone, by which replicas were placed, or a list of another number of nodes, since a list
//! changes no membership. Addresses may change: a list of as many nodes with other addresses is taken,
//! whoever answers there is checked, and one that is no member is named in the log and not connected.
//!
//! HAZARD: nodes started with different lists would found different clusters. The lists' hashes
//! are compared in the handshake, and a node with another list is refused by name.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{bail, ensure};
use keys::NodeId;
use net::{ClusterId, GrpcOptions, GrpcTransport, NodeInfo, hello};
use node::{Identity, Member};
use tokio::time::sleep;

/// Pause between two rounds of hellos.
const PAUSE: Duration = Duration::from_millis(200);
/// After that many silent rounds, who is missing is told.
const ROUNDS_UNTIL_WORD: u32 = 25;

/// What a node knows once it belongs to a cluster.
#[derive(Debug)]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// All members, by id.
    pub members: Vec<Member>,
}

/// Joins the cluster of the join list, or founds it with the others. Waits for all of them if this
/// is the first start.
pub async fn join(
    transport: &Arc<GrpcTransport>,
    join: &[String],
    stored: Option<Identity>,
    draw: impl FnOnce() -> ClusterId,
) -> anyhow::Result<Joined> {
    if let Some(identity) = stored {
        check_restart(&identity, &transport.info(), join)?;
        return Ok(rejoin(transport, join, identity));
    }
    let local = transport.info();
    let mut silent = 0;
    let mut draw = Some(draw);
    loop {
        let answers = ask_all(join, &local).await;
        let missing: Vec<&String> = join.iter().filter(|a| !answers.contains_key(*a)).collect();
        let others = others(&local, &answers)?;
        if missing.is_empty() {
            let known = others.values().find_map(|i| i.cluster.is_some().then_some(i.cluster));
            let founder = others.keys().all(|id| *id > local.node);
            if let Some(cluster) =
                known.or_else(|| founder.then(|| draw.take().map(|draw| draw())).flatten())
            {
                let mut members: Vec<Member> = others.values().map(member).collect();
                members.push(member(&local));
                members.sort_by_key(|m| m.id);
                connect(transport, &members);
                return Ok(Joined { cluster, members });
            }
        } else {
            silent += 1;
            if silent % ROUNDS_UNTIL_WORD == 0 {
                tracing::info!("waiting for {missing:?} to found the cluster");
            }
        }
        sleep(PAUSE).await;
    }
}

/// Whether a node that was here before may start with these settings.
///
/// # Errors
/// If its data folder contradicts them: with both values.
fn check_restart(identity: &Identity, local: &NodeInfo, join: &[String]) -> anyhow::Result<()> {
    let node = local.node;
    // A folder of another node is refused where it is claimed.
    if let Some(known) = identity.members.iter().find(|m| m.id == node) {
        let places = [("region", &known.region, &local.region), ("zone", &known.zone, &local.zone)];
        for (what, known, wanted) in places {
            ensure!(
                known == wanted,
                "--{what} {wanted}: by its data folder {node} is in {what} {known}, and replicas were \
                 placed by that. Start it with --{what} {known}; a node in another {what} is a new \
                 node, with an id and a folder of its own"
            );
        }
    }
    // The node itself is on every list: alone, none was given.
    let given = join.iter().any(|address| *address != local.address);
    let members = &identity.members;
    ensure!(
        !given || join.len() == members.len(),
        "--join names {} nodes, {}; the data folder knows {}: {}. A list changes no membership: name \
         each member once, where it is reached now, or leave --join out",
        join.len(),
        join.join(", "),
        members.len(),
        listed(members)
    );
    Ok(())
}

/// The data folder knows the cluster. Members that moved are found by the join list, in the
/// background.
fn rejoin(transport: &Arc<GrpcTransport>, join: &[String], identity: Identity) -> Joined {
    let local = transport.info();
    let mut members = identity.members;
    for m in &mut members {
        if m.id == local.node {
            *m = member(&local);
        }
    }
    connect(transport, &members);
    for address in join.iter().filter(|a| **a != local.address) {
        let (transport, local, address) = (Arc::clone(transport), local.clone(), address.clone());
        let members = members.clone();
        tokio::spawn(async move {
            loop {
                if let Ok(info) = hello(&address, &local, GrpcOptions::default()).await {
                    match stranger(&local, &members, &info) {
                        None => transport.connect(info.node, &address),
                        Some(why) => {
                            tracing::error!(node = %local.node, "--join {address}: {why}");
                        }
                    }
                    return;
                }
                sleep(PAUSE * 5).await;
            }
        });
    }
    Joined { cluster: ClusterId(identity.cluster), members }
}

/// Why whoever answers at an address of the list is not connected; `None`: it is a member.
fn stranger(local: &NodeInfo, members: &[Member], answered: &NodeInfo) -> Option<String> {
    if answered.cluster != local.cluster {
        let (theirs, ours) = (answered.cluster, local.cluster);
        return Some(format!("{} there belongs to cluster {theirs}, not {ours}", answered.node));
    }
    if answered.node == local.node {
        return Some(format!("{} answers there, as which this node was started", local.node));
    }
    if members.iter().any(|m| m.id == answered.node) {
        return None;
    }
    let all = listed(members);
    Some(format!("{} there is no member of the cluster, which has {all}", answered.node))
}

fn listed(members: &[Member]) -> String {
    let each = members.iter().map(|m| format!("{} at {}", m.id, m.address));
    each.collect::<Vec<_>>().join(", ")
}

async fn ask_all(join: &[String], local: &NodeInfo) -> BTreeMap<String, NodeInfo> {
    let asked = join.iter().map(|address| async move {
        let answer = hello(address, local, GrpcOptions::default()).await;
        answer.ok().map(|info| (address.clone(), info))
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// The other nodes that answered, by id; two of one id, or one of another cluster or list, is a
/// mistake that no waiting mends.
fn others(
    local: &NodeInfo,
    answers: &BTreeMap<String, NodeInfo>,
) -> anyhow::Result<BTreeMap<NodeId, NodeInfo>> {
    let mut found: BTreeMap<NodeId, NodeInfo> = BTreeMap::new();
    for (address, info) in answers {
        if *address == local.address || info.address == local.address {
            continue;
        }
        // A founder may be ahead of us: its cluster is not ours yet, all else must fit.
        let ahead = NodeInfo { cluster: local.cluster, ..info.clone() };
        local.check(&ahead)?;
        if let Some(twin) = found.insert(info.node, info.clone()) {
            bail!("{} and {} both claim to be {}", twin.address, info.address, info.node);
        }
    }
    Ok(found)
}

fn connect(transport: &GrpcTransport, members: &[Member]) {
    let local = transport.info().node;
    for m in members.iter().filter(|m| m.id != local) {
        transport.connect(m.id, &m.address);
    }
}

fn member(info: &NodeInfo) -> Member {
    Member {
        id: info.node,
        region: info.region.clone(),
        zone: info.zone.clone(),
        address: info.address.clone(),
        sql_address: info.sql_address.clone(),
    }
}
