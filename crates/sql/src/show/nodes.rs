//! `SHOW NODES`, `SHOW REGIONS`, `SHOW CLOCKS`: who is there, and what their clocks say.
//!
//! A gateway knows its peers by their answers: one that is gone counts as live until it has been
//! silent for a while, and clocks are asked one by one. Where the process runs all nodes, as a demo
//! does, it knows both at once ([`crate::control::Control::survey`]), and its word counts.

use std::sync::Arc;

use expr::{Datum, Type};
use keys::NodeId;

use super::{count, millis, number, table_of};
use crate::{
    cluster::{ClockInfo, NodeInfo},
    control::{NodeState, NodeView},
    database::Database,
    session::{ResultColumn, Row},
};

pub(super) fn columns() -> Arc<[ResultColumn]> {
    table_of(&[
        ("node_id", Type::Int8),
        ("region", Type::Text),
        ("zone", Type::Text),
        ("address", Type::Text),
        ("sql_address", Type::Text),
        ("live", Type::Bool),
        ("stopped", Type::Text),
    ])
}

pub(super) fn clock_columns() -> Arc<[ResultColumn]> {
    table_of(&[
        ("node_id", Type::Int8),
        ("earliest", Type::TimestampTz),
        ("latest", Type::TimestampTz),
        ("epsilon_ms", Type::Float8),
        ("source", Type::Text),
        ("true_offset_ms", Type::Float8),
        ("distrust", Type::Text),
        ("read_within_ms", Type::Float8),
    ])
}

/// What the process around this node knows of all nodes, if it does.
async fn survey(database: &Database) -> Option<Vec<NodeView>> {
    let cluster = &database.0.cluster;
    cluster.control().survey(cluster.node_id()).await
}

/// All nodes, as well as is known here.
async fn known(database: &Database) -> Vec<NodeInfo> {
    let nodes = database.0.cluster.nodes();
    let Some(views) = survey(database).await else { return nodes };
    let better = |info: NodeInfo| match view_of(&views, info.id) {
        Some(view) => seen(info, view),
        None => info,
    };
    nodes.into_iter().map(better).collect()
}

fn view_of(views: &[NodeView], node: NodeId) -> Option<&NodeView> {
    views.iter().find(|view| view.node == node)
}

/// A node with what is known better of it.
fn seen(info: NodeInfo, view: &NodeView) -> NodeInfo {
    let stopped = match view.state {
        NodeState::Runs => view.clock.as_ref().and_then(|clock| clock.distrust.clone()),
        NodeState::Paused | NodeState::Starts | NodeState::Crashed => Some(view.state.to_string()),
    };
    NodeInfo { live: view.state == NodeState::Runs && view.linked, stopped, ..info }
}

/// `SHOW NODES`.
pub(super) async fn rows(database: &Database) -> Vec<Row> {
    let row = |node: NodeInfo| {
        vec![
            number(node.id.0),
            Datum::text(node.region),
            Datum::text(node.zone),
            Datum::text(node.address),
            Datum::text(node.sql_address),
            Datum::Bool(node.live),
            node.stopped.map_or(Datum::Null, Datum::text),
        ]
    };
    known(database).await.into_iter().map(row).collect()
}

/// `SHOW REGIONS`.
pub(super) async fn regions(database: &Database) -> Vec<Row> {
    let mut nodes = known(database).await;
    nodes.sort_by(|a, b| (&a.region, a.id).cmp(&(&b.region, b.id)));
    let row = |group: &[NodeInfo]| {
        let mut zones: Vec<&str> = group.iter().map(|node| node.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        vec![
            Datum::text(&group[0].region),
            Datum::text(zones.join(", ")),
            count(group.len()),
            count(group.iter().filter(|node| node.live).count()),
        ]
    };
    nodes.chunk_by(|a, b| a.region == b.region).map(row).collect()
}

/// `SHOW CLOCKS`.
pub(super) async fn clocks(database: &Database) -> Vec<Row> {
    clock_infos(database).await.into_iter().map(clock_row).collect()
}

/// The clocks of all nodes that are not down, at one moment.
pub(super) async fn clock_infos(database: &Database) -> Vec<ClockInfo> {
    match survey(database).await {
        Some(views) => views.into_iter().filter_map(|view| view.clock).collect(),
        None => database.0.cluster.clocks().await,
    }
}

fn clock_row(clock: ClockInfo) -> Row {
    let time = |nanos| Datum::TimestampTz(expr::datetime::from_unix_nanos(nanos));
    // A nanosecond more or less is far below what is shown.
    let offset = clock
        .true_offset_nanos
        .map(|nanos| f64::from(i32::try_from(nanos / 1_000).unwrap_or(i32::MAX)) / 1_000.0);
    vec![
        number(clock.node.0),
        time(clock.earliest),
        time(clock.latest),
        millis(clock.epsilon),
        Datum::text(clock.source),
        offset.map_or(Datum::Null, Datum::Float),
        clock.distrust.map_or(Datum::Null, Datum::text),
        millis(clock.read_within),
    ]
}
