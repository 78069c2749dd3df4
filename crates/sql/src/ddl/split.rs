//! Ranges by hand: splits, and where leaders sit.

use std::time::Duration;

use expr::{Datum, SqlError, SqlState};
use keys::{IndexId, Key, NodeId, RangeId, layout};
use kv::{Descriptor, Reply, Request};
use sqlparser::ast;
use txn::TxnError;

use super::publish::publish;
use crate::{
    bind::{self, undefined_table},
    catalog::{Table, ids, key_part},
    cluster::NodeInfo,
    control::Place,
    database::Database,
    session::{Execution, Session},
};

async fn table_named(
    session: &Session,
    name: &[String],
) -> Result<std::sync::Arc<Table>, SqlError> {
    let catalog = session.database().0.cache.strong().await?;
    let last = name.last().expect("a name has a part");
    catalog.table(last).cloned().ok_or_else(|| undefined_table(last))
}

/// `ALTER TABLE .. SPLIT AT VALUES (..), (..)`: values of leading columns of the primary key.
pub(crate) async fn split_table(
    session: &Session,
    name: &[String],
    rows: &[Vec<ast::Expr>],
) -> Result<Execution, SqlError> {
    let table = table_named(session, name).await?;
    let context = session.eval_context();
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let parts = &table.primary.columns;
        if row.is_empty() || row.len() > parts.len() {
            return Err(SqlError::syntax(format!(
                "SPLIT AT takes 1 to {} values for the primary key of \"{}\"",
                parts.len(),
                table.name
            )));
        }
        let mut bytes = layout::index_prefix(table.id, IndexId::PRIMARY).to_vec();
        for (expr, part) in row.iter().zip(parts) {
            let column = &table.columns[table.position(part.column)];
            let value: Datum = bind::constant(expr, column.ty, &context)?;
            if value.is_null() {
                return Err(SqlError::invalid_parameter("SPLIT AT takes no NULL"));
            }
            key_part(&value, part.direction, &mut bytes);
        }
        keys.push(Key::from_vec(bytes));
    }
    let database = session.database();
    for key in keys {
        split_at(database, &key, session.statement_deadline()).await?;
    }
    Ok(Execution::Done { tag: "ALTER TABLE".to_owned() })
}

/// Splits the range that holds a key, unless it starts there already.
async fn split_at(
    database: &Database,
    key: &Key,
    deadline: timer::Instant,
) -> Result<(), SqlError> {
    let span = keys::Span::point(key.clone());
    let router = &database.0.router;
    let ranges = router.ranges_of(&span, deadline).await.map_err(|e| crate::error::from_txn(&e))?;
    if ranges.iter().any(|range| range.span.start == *key) {
        return Ok(());
    }
    let child = database.fresh_id(ids::RANGES.name, ids::RANGES.first).await?;
    let request = Request::Split { at: key.clone(), child: RangeId(child) };
    let reply = router.send_to_key(key, request, deadline).await;
    let (left, right) =
        match reply.map_err(TxnError::from).map_err(|e| crate::error::from_txn(&e))? {
            Reply::Split { left, right } => (left, right),
            other => return Err(SqlError::internal(format!("{other:?} to a split"))),
        };
    record(database, vec![left, right]).await
}

/// Tells the directory, and this gateway.
async fn record(database: &Database, ranges: Vec<Descriptor>) -> Result<(), SqlError> {
    publish(database, |_catalog, draft| {
        draft.ranges.clone_from(&ranges);
        Ok(())
    })
    .await?;
    Ok(())
}

/// `ALTER TABLE .. TRANSFER LEADER TO REGION ..`, `move_leader`: the leaders of all its ranges.
pub(crate) async fn transfer_table(
    session: &Session,
    name: &[String],
    place: &Place,
) -> Result<Execution, SqlError> {
    let table = table_named(session, name).await?;
    let database = session.database();
    let nodes = database.0.cluster.nodes();
    let fits = |node: &&NodeInfo| match place {
        Place::Region(region) => node.region == *region,
        Place::Node(id) => node.id == *id,
    };
    if !nodes.iter().any(|node| fits(&node)) {
        return Err(super::table::no_region(session, &place.to_string()));
    }
    let deadline = session.statement_deadline();
    let span = layout::table_span(table.id);
    let ranges = database.0.router.ranges_of(&span, deadline).await;
    for range in ranges.map_err(|error| crate::error::from_txn(&error))? {
        let voters = nodes.iter().filter(|node| node.live && range.voters.contains(&node.id));
        let Some(to) = voters.clone().find(fits).map(|node| node.id) else {
            let elsewhere: Vec<String> =
                voters.map(|node| format!("{} ({})", node.id, node.region)).collect();
            let message = format!("range {} has no live replica in {place}", range.id.0);
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint(format!("Its live replicas: {}.", elsewhere.join(", "))));
        };
        transfer(database, &range, to, deadline).await?;
    }
    Ok(Execution::Done { tag: "ALTER TABLE".to_owned() })
}

/// `ALTER RANGE .. TRANSFER LEADER TO NODE ..`.
pub(crate) async fn transfer_range(
    session: &Session,
    range: u64,
    node: u64,
) -> Result<Execution, SqlError> {
    let database = session.database();
    let deadline = session.statement_deadline();
    let everything = keys::Span::new(vec![layout::SYSTEM], vec![layout::TABLE + 1]);
    let ranges = crate::show::all_ranges(database, &everything, deadline).await?;
    let found = ranges.into_iter().find(|candidate| candidate.id == RangeId(range));
    let found = found.ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_OBJECT, format!("range {range} does not exist"))
    })?;
    let to = u32::try_from(node).ok().map(NodeId).filter(|to| found.voters.contains(to));
    let to = to.ok_or_else(|| {
        let voters: Vec<String> = found.voters.iter().map(|voter| voter.0.to_string()).collect();
        SqlError::invalid_parameter(format!("node {node} has no replica of range {range}"))
            .with_hint(format!("Replicas are on nodes {}.", voters.join(", ")))
    })?;
    transfer(database, &std::sync::Arc::new(found), to, deadline).await?;
    Ok(Execution::Done { tag: "ALTER RANGE".to_owned() })
}

async fn transfer(
    database: &Database,
    range: &std::sync::Arc<Descriptor>,
    to: NodeId,
    deadline: timer::Instant,
) -> Result<(), SqlError> {
    let request = Request::TransferLeader { to };
    let reply = database.0.router.send_to_leader(range, request, deadline).await;
    reply.map_err(TxnError::from).map_err(|error| crate::error::from_txn(&error))?;
    taken_over(database, range, to, deadline.min(timer::Instant::now() + TAKE_OVER)).await
}

/// Waits until a node leads a range whose leader has just given way to it.
async fn taken_over(
    database: &Database,
    range: &std::sync::Arc<Descriptor>,
    to: NodeId,
    deadline: timer::Instant,
) -> Result<(), SqlError> {
    loop {
        let asked = database.0.router.send_to(to, range.id, Request::Status, deadline).await;
        if matches!(&asked, Ok(Reply::Status(status)) if status.leader == Some(to)) {
            return Ok(());
        }
        if timer::Instant::now() >= deadline {
            return Err(SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("{to} has not taken over range {} yet", range.id.0),
            )
            .with_hint("The leader before has given way; who leads now is told by SHOW RANGES."));
        }
        timer::sleep(TAKE_OVER_LOOK).await;
    }
}

/// How long a node may take to lead after the leader before gave way.
const TAKE_OVER: Duration = Duration::from_secs(3);

/// How often it is asked whether it leads.
const TAKE_OVER_LOOK: Duration = Duration::from_millis(5);
