//! `SHOW`: settings, tables, and the cluster as it is now.

mod knobs;
mod nodes;
mod ranges;
mod trace;

use std::{sync::Arc, time::Duration};

use expr::{Datum, SqlError, SqlState, Type};
use futures::future::join_all;
use keys::{Span, layout};
use kv::LockInfo;
use timer::Instant;
use txn::CommitInfo;

use crate::{
    bind::{table_name, undefined_table},
    catalog::{Catalog, IndexState, Table, Uniqueness},
    database::Database,
    error::{Outcome, named_span},
    exec::external::locks_in,
    parse::Show,
    session::{Execution, Notice, ResultColumn, Row, Session},
};

pub(crate) use ranges::{all_ranges, leader, region_of};

/// Names and types of a result's columns.
fn table_of(columns: &[(&str, Type)]) -> Arc<[ResultColumn]> {
    columns.iter().map(|(name, ty)| ResultColumn { name: (*name).to_owned(), ty: *ty }).collect()
}

/// The columns that a SHOW answers with.
pub(crate) fn columns(show: &Show) -> Arc<[ResultColumn]> {
    const T: Type = Type::Text;
    const I: Type = Type::Int8;
    match show {
        Show::Setting(name) => table_of(&[(name, T)]),
        Show::All => table_of(&[("name", T), ("setting", T), ("description", T)]),
        Show::Ranges(_) => table_of(&[
            ("range_id", I),
            ("table_name", T),
            ("start_key", T),
            ("end_key", T),
            ("leader", I),
            ("leader_region", T),
            ("replicas", T),
        ]),
        Show::Regions => table_of(&[("region", T), ("zones", T), ("nodes", I), ("live", I)]),
        Show::Nodes => nodes::columns(),
        Show::Clocks => nodes::clock_columns(),
        Show::Columns(_) | Show::Indexes(_) | Show::Constraints(_) | Show::Tables => {
            table_columns(show)
        }
        Show::Locks => table_of(&[
            ("range_id", I),
            ("span", T),
            ("transaction", T),
            ("mode", T),
            ("state", T),
            ("waits_for", T),
        ]),
        Show::Sessions => table_of(&[
            ("pid", I),
            ("user_name", T),
            ("application_name", T),
            ("transaction", T),
            ("statement", T),
        ]),
        Show::CommitTimestamp => table_of(&[("commit_timestamp", T)]),
        Show::ReadTimestamp => table_of(&[("read_timestamp", T)]),
        Show::CommitStats => table_of(&[
            ("commit_timestamp", T),
            ("epsilon_ms", Type::Float8),
            ("participants", I),
            ("lock_wait_ms", Type::Float8),
            ("paxos_ms", Type::Float8),
            ("two_phase_ms", Type::Float8),
            ("commit_wait_ms", Type::Float8),
            ("hidden_ms", Type::Float8),
            ("total_ms", Type::Float8),
        ]),
        Show::Knobs(show) => knobs::columns(show),
        Show::Trace(what) => trace::columns(what),
        Show::Traces => trace::list_columns(),
        Show::Checksums(..) => {
            table_of(&[("range_id", I), ("node_id", I), ("at", T), ("checksum", T), ("rows", I)])
        }
    }
}

/// The columns of those that are about tables.
fn table_columns(show: &Show) -> Arc<[ResultColumn]> {
    const T: Type = Type::Text;
    match show {
        Show::Columns(_) => table_of(&[
            ("column_name", T),
            ("data_type", T),
            ("is_nullable", Type::Bool),
            ("column_default", T),
            ("in_primary_key", Type::Bool),
        ]),
        Show::Indexes(_) => table_of(&[
            ("index_name", T),
            ("is_unique", Type::Bool),
            ("is_primary", Type::Bool),
            ("columns", T),
            ("stored", T),
            ("state", T),
        ]),
        Show::Constraints(_) => {
            table_of(&[("constraint_name", T), ("constraint_type", T), ("definition", T)])
        }
        _ => table_of(&[("table_name", T), ("table_id", Type::Int8), ("indexes", Type::Int8)]),
    }
}

/// Runs a SHOW.
pub(crate) async fn run(session: &Session, show: &Show) -> Result<Execution, SqlError> {
    let rows = match show {
        Show::Setting(name) => vec![vec![Datum::text(session.setting(name)?)]],
        Show::All => session
            .all_settings()
            .into_iter()
            .map(|(name, value, about)| {
                vec![Datum::text(name), Datum::text(value), Datum::text(about)]
            })
            .collect(),
        Show::Ranges(table) => ranges::rows(session, table.as_deref()).await?,
        Show::Regions => nodes::regions(session.database()).await,
        Show::Nodes => nodes::rows(session.database()).await,
        Show::Clocks => nodes::clocks(session.database()).await,
        Show::Tables => tables(session).await?,
        Show::Columns(name) => columns_of(&*table(session, name).await?),
        Show::Indexes(name) => indexes_of(&*table(session, name).await?),
        Show::Constraints(name) => constraints_of(&*table(session, name).await?),
        Show::Locks => locks(session).await?,
        Show::Sessions => sessions(session.database()),
        Show::CommitTimestamp => vec![vec![stamp(session.timestamps().0)]],
        Show::ReadTimestamp => vec![vec![stamp(session.timestamps().1)]],
        Show::CommitStats => session.last_commit_info().iter().map(stats).collect(),
        Show::Knobs(show) => knobs::rows(session.database(), show).await?,
        Show::Trace(what) => trace::rows(session, what).await?,
        Show::Traces => trace::list(session.database()),
        Show::Checksums(name, as_of) => {
            let table = table(session, name).await?;
            ranges::checksums(session, &table, as_of.as_ref()).await?
        }
    };
    Ok(Execution::Rows { columns: columns(show), rows, tag: "SHOW".to_owned() })
}

fn stamp(at: Option<clock::Timestamp>) -> Datum {
    at.map_or(Datum::Null, |at| Datum::text(at.to_string()))
}

fn number(value: impl Into<u64>) -> Datum {
    Datum::Int(i64::try_from(value.into()).unwrap_or(i64::MAX))
}

fn count(value: usize) -> Datum {
    number(value as u64)
}

fn millis(duration: std::time::Duration) -> Datum {
    // Microseconds are exact enough, and short.
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    Datum::Float(f64::from(micros) / 1_000.0)
}

fn stats(info: &CommitInfo) -> Row {
    vec![
        stamp(Some(info.at)),
        millis(info.epsilon),
        count(info.participants),
        millis(info.lock_wait),
        millis(info.paxos),
        millis(info.two_phase),
        millis(info.commit_wait),
        millis(info.hidden),
        millis(info.total),
    ]
}

/// The breakdown of a commit in one line, for the notice.
pub(crate) fn commit_line(info: &CommitInfo) -> String {
    let ms = |duration: std::time::Duration| {
        format!(
            "{:.3} ms",
            f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1e3
        )
    };
    format!(
        "committed at {}: {} in all, participants {}, epsilon {}, lock wait {}, paxos {}, two-phase \
         {}, commit wait {} of which {} hidden",
        info.at,
        ms(info.total),
        info.participants,
        ms(info.epsilon),
        ms(info.lock_wait),
        ms(info.paxos),
        ms(info.two_phase),
        ms(info.commit_wait),
        ms(info.hidden),
    )
}

async fn table(session: &Session, name: &[String]) -> Result<Arc<Table>, SqlError> {
    named_table(&*session.database().0.cache.strong().await?, name)
}

/// The table of a name as it was written, its parts apart.
pub(crate) fn named_table(catalog: &Catalog, name: &[String]) -> Result<Arc<Table>, SqlError> {
    let idents: Vec<_> =
        name.iter().map(|part| sqlparser::ast::Ident::with_quote('"', part)).collect();
    let name = sqlparser::ast::ObjectName::from(idents);
    let (name, _) = table_name(&name)?;
    catalog.table(&name).cloned().ok_or_else(|| undefined_table(&name))
}

async fn tables(session: &Session) -> Result<Vec<Row>, SqlError> {
    let catalog = session.database().0.cache.strong().await?;
    Ok(catalog
        .tables()
        .map(|table| {
            vec![Datum::text(&table.name), number(table.id.0), count(table.indexes().count())]
        })
        .collect())
}

fn columns_of(table: &Table) -> Vec<Row> {
    use crate::catalog::ColumnDefault;
    table
        .visible()
        .map(|(_, column)| {
            let default = match &column.default {
                ColumnDefault::Expression(sql) => Datum::text(sql),
                ColumnDefault::Serial => Datum::text("GENERATED BY DEFAULT AS IDENTITY"),
                ColumnDefault::SerialAlways => Datum::text("GENERATED ALWAYS AS IDENTITY"),
                ColumnDefault::None | ColumnDefault::RowId => Datum::Null,
            };
            let in_key = table.primary.columns.iter().any(|part| part.column == column.id);
            vec![
                Datum::text(&column.name),
                Datum::text(column.ty.to_string()),
                Datum::Bool(!column.not_null),
                default,
                Datum::Bool(in_key),
            ]
        })
        .collect()
}

fn indexes_of(table: &Table) -> Vec<Row> {
    use keys::codec::Direction;
    let name = |id| table.columns[table.position(id)].name.clone();
    let shown = table
        .indexes()
        .filter(|index| index.id != keys::IndexId::PRIMARY || !table.has_hidden_key());
    shown
        .map(|index| {
            let columns: Vec<String> = index
                .columns
                .iter()
                .map(|part| match part.direction {
                    Direction::Ascending => name(part.column),
                    Direction::Descending => format!("{} DESC", name(part.column)),
                })
                .collect();
            let stored: Vec<String> = index.stored.iter().map(|id| name(*id)).collect();
            let state = match index.state {
                IndexState::DeleteOnly => "delete-only",
                IndexState::WriteOnly => "write-only",
                IndexState::Public(_) => "public",
            };
            vec![
                Datum::text(&index.name),
                Datum::Bool(index.unique.is_unique()),
                Datum::Bool(index.id == keys::IndexId::PRIMARY),
                Datum::text(columns.join(", ")),
                Datum::text(stored.join(", ")),
                Datum::text(state),
            ]
        })
        .collect()
}

fn constraints_of(table: &Table) -> Vec<Row> {
    let names = |index: &crate::catalog::Index| {
        let names: Vec<String> = table
            .positions(index)
            .into_iter()
            .map(|position| table.columns[position].name.clone())
            .collect();
        names.join(", ")
    };
    let mut rows = Vec::new();
    if !table.has_hidden_key() {
        rows.push(("PRIMARY KEY", table.primary.name.clone(), names(&table.primary)));
    }
    for index in table.secondary.iter().filter(|index| index.unique == Uniqueness::Constraint) {
        rows.push(("UNIQUE", index.name.clone(), names(index)));
    }
    for check in &table.checks {
        rows.push(("CHECK", check.name.clone(), check.condition.clone()));
    }
    let row = |(kind, name, text): (&str, String, String)| {
        vec![Datum::text(name), Datum::text(kind), Datum::text(format!("{kind} ({text})"))]
    };
    rows.into_iter().map(row).collect()
}

/// How long the leader of a range is asked for its locks before it is left out, and named.
const LOCKS_TIMEOUT: Duration = Duration::from_secs(2);

/// `SHOW LOCKS`: what the leaders tell; a notice for each range that does not answer.
async fn locks(session: &Session) -> Result<Vec<Row>, SqlError> {
    let database = session.database();
    let catalog = database.0.cache.strong().await?;
    let deadline = session.statement_deadline().min(Instant::now() + LOCKS_TIMEOUT);
    let spans: Vec<Span> = catalog.tables().map(|table| layout::table_span(table.id)).collect();
    let asked = spans.iter().map(|span| locks_in(database, span, deadline));
    let mut rows = Vec::new();
    for answer in join_all(asked).await.into_iter().flat_map(each_range) {
        let locks = match answer.map_err(|failure| failure.into_sql(Some(&catalog))) {
            Ok(locks) => locks,
            Err(error) => {
                let message = format!("locks not shown: {}", error.message);
                let sqlstate = SqlState::WARNING;
                session.notify(Notice { severity: "WARNING", sqlstate, message, detail: None });
                continue;
            }
        };
        for lock in locks {
            let waits: Vec<String> = lock.waits_for.iter().map(|id| id.short()).collect();
            let state = match (lock.prepared, waits.is_empty()) {
                (_, false) => "waiting",
                (true, true) => "prepared",
                (false, true) => "held",
            };
            rows.push(vec![
                number(lock.range.0),
                Datum::text(named_span(&lock.span, Some(&catalog))),
                Datum::text(lock.txn.id.short()),
                Datum::text(if lock.exclusive { "exclusive" } else { "shared" }),
                Datum::text(state),
                Datum::text(waits.join(", ")),
            ]);
        }
    }
    Ok(rows)
}

/// The answers of the ranges of a table, or the one error in their place.
fn each_range(table: Outcome<Vec<Outcome<Vec<LockInfo>>>>) -> Vec<Outcome<Vec<LockInfo>>> {
    table.unwrap_or_else(|failure| vec![Err(failure)])
}

fn sessions(database: &Database) -> Vec<Row> {
    let sessions = database.sessions().into_iter();
    sessions
        .map(|session| {
            let application = session.with_settings(|settings| {
                settings.get("application_name").unwrap_or_default().to_owned()
            });
            vec![
                Datum::Int(session.pid.into()),
                Datum::text(&session.user),
                Datum::text(application),
                session.txn().map_or(Datum::Null, |id| Datum::text(id.short())),
                session.statement().map_or(Datum::Null, |running| Datum::text(running.sql())),
            ]
        })
        .collect()
}
