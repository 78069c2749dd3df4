//! Ranges: where they are, who leads them, and whether their replicas agree.

use std::time::Duration;

use clock::Timestamp;
use expr::{Datum, SqlError};
use futures::future::join_all;
use keys::{NodeId, Span, layout, layout::Section};
use kv::{Descriptor, Reply, Request};
use timer::Instant;
use txn::{Access, Scan, TxnOptions};

use super::{number, table as table_named};
use crate::{
    bind,
    catalog::{Catalog, Table, store},
    database::Database,
    error::{from_txn, named_span},
    parse::AsOf,
    session::{Row, Session},
};

/// How long one replica is asked for its leader before the last known one is shown.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// Every range that lies in a span, as the directory has it, and the system range.
pub(crate) async fn all_ranges(
    database: &Database,
    span: &Span,
    deadline: Instant,
) -> Result<Vec<Descriptor>, SqlError> {
    let options = TxnOptions {
        access: Access::ReadOnly,
        after: database.0.coordinator.last_commit(),
        ..TxnOptions::default()
    };
    let mut txn = database.0.coordinator.begin(options);
    txn.set_deadline(Some(deadline));
    let scan = Scan::all(layout::section(Section::Directory));
    let read = txn.read(vec![scan]).await;
    txn.rollback().await;
    let rows = read.map_err(|error| from_txn(&error))?.into_iter().flat_map(|scan| scan.rows);
    let mut ranges = vec![database.0.router.sender().system_range()];
    for (_, value) in rows {
        let range: Descriptor = store::decode("the directory", &value)?;
        if ranges.iter().all(|known| known.id != range.id) {
            ranges.push(range);
        }
    }
    ranges.retain(|range| range.span.overlaps(span));
    Ok(ranges)
}

/// The leader of a range, as its replicas say, else as last heard.
pub(crate) async fn leader(database: &Database, range: &Descriptor) -> Option<NodeId> {
    let router = &database.0.router;
    let shared = std::sync::Arc::new(range.clone());
    let deadline = Instant::now() + STATUS_TIMEOUT;
    match router.send_nearest(&shared, Request::Status, deadline).await {
        Ok(Reply::Status(status)) if status.leader.is_some() => status.leader,
        _ => router.leader_hint(range.id),
    }
}

/// The region of a node.
pub(crate) fn region_of(database: &Database, node: NodeId) -> Option<String> {
    database.0.cluster.nodes().into_iter().find(|info| info.id == node).map(|info| info.region)
}

/// `SHOW RANGES`.
pub(super) async fn rows(session: &Session, name: Option<&[String]>) -> Result<Vec<Row>, SqlError> {
    let database = session.database();
    let (span, whole) = match name {
        Some(name) => (layout::table_span(table_named(session, name).await?.id), false),
        None => (Span::new(vec![layout::SYSTEM], vec![layout::TABLE + 1]), true),
    };
    let catalog = database.0.cache.strong().await?;
    let mut ranges = all_ranges(database, &span, session.statement_deadline()).await?;
    ranges.retain(|range| whole && is_system(range) || known_table(&catalog, range).is_some());
    ranges.sort_by(|a, b| a.span.start.cmp(&b.span.start));
    let leaders = join_all(ranges.iter().map(|range| leader(database, range))).await;
    let shown = ranges.iter().zip(leaders);
    Ok(shown.map(|(range, leader)| row(database, &catalog, range, leader)).collect())
}

fn is_system(range: &Descriptor) -> bool {
    range.span.overlaps(&layout::system_span())
}

/// The table whose keys a range holds; `None` for the system's and those of dropped tables.
fn known_table<'c>(catalog: &'c Catalog, range: &Descriptor) -> Option<&'c Table> {
    let found = catalog.tables().find(|table| layout::table_span(table.id).overlaps(&range.span));
    found.map(|table| &**table)
}

fn row(database: &Database, catalog: &Catalog, range: &Descriptor, leader: Option<NodeId>) -> Row {
    let table = known_table(catalog, range);
    let text = |key: &keys::Key| Datum::text(named_key(key, table, catalog));
    let replicas: Vec<String> = range
        .voters
        .iter()
        .map(|node| match region_of(database, *node) {
            Some(region) => format!("{} ({region})", node.0),
            None => node.0.to_string(),
        })
        .collect();
    vec![
        number(range.id.0),
        table.map_or(Datum::Null, |table| Datum::text(&table.name)),
        text(&range.span.start),
        text(&range.span.end),
        leader.map_or(Datum::Null, |node| number(node.0)),
        leader.and_then(|node| region_of(database, node)).map_or(Datum::Null, Datum::text),
        Datum::text(replicas.join(", ")),
    ]
}

/// A key in the words of the catalog.
fn named_key(key: &keys::Key, table: Option<&Table>, catalog: &Catalog) -> String {
    let whole = table.map(|table| layout::table_span(table.id));
    match whole {
        Some(whole) if whole.start == *key => "<start>".to_owned(),
        Some(whole) if whole.end == *key => "<end>".to_owned(),
        _ => named_span(&Span::point(key.clone()), Some(catalog)).replace(['[', ']'], ""),
    }
}

/// `SHOW CHECKSUMS FROM TABLE`: every replica's sum of the rows visible at one timestamp.
pub(super) async fn checksums(
    session: &Session,
    table: &Table,
    as_of: Option<&AsOf>,
) -> Result<Vec<Row>, SqlError> {
    let database = session.database();
    let at = match as_of {
        Some(as_of) => bind::as_of(as_of, &session.eval_context())?,
        None => database.0.coordinator.clock().now().latest_timestamp(),
    };
    let deadline = session.statement_deadline();
    let span = layout::table_span(table.id);
    let ranges = database.0.router.ranges_of(&span, deadline).await;
    let ranges = ranges.map_err(|error| from_txn(&error))?;
    // All replicas of all ranges at once: one that is down takes all the time there is.
    let replicas =
        ranges.iter().flat_map(|range| range.voters.iter().map(|node| (range.id, *node)));
    let asked = replicas.map(|(range, node)| async move {
        let request = Request::Checksum { at };
        let reply = database.0.router.send_to(node, range, request, deadline).await;
        checksum_row(range.0, node, at, reply)
    });
    Ok(join_all(asked).await)
}

fn checksum_row(range: u64, node: NodeId, at: Timestamp, reply: Result<Reply, kv::KvError>) -> Row {
    let (sum, rows) = match reply {
        Ok(Reply::Checksum { sum, rows, .. }) => (Datum::text(format!("{sum:016x}")), number(rows)),
        Ok(other) => (Datum::text(format!("no checksum but {other:?}")), Datum::Null),
        Err(error) => (Datum::text(error.to_string()), Datum::Null),
    };
    vec![number(range), number(node.0), Datum::text(at.to_string()), sum, rows]
}
