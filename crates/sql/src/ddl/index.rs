//! CREATE INDEX and DROP INDEX, online: readers and writers never stop.
//!
//! ```text
//!   delete-only -> all gateways -> write-only -> all gateways -> backfill -> public
//! ```
//!
//! DROP INDEX goes the same way back. Each step begins in the state that it expects, so that two who change
//! one index do not skip what the gateways have to be told in between.
//!
//! From write-only on every gateway keeps the entries of the rows it writes; the backfill adds those
//! of the rows that were there, in bounded serializable transactions, so a row that changes under it
//! makes it try that part again. Snapshots older than the last of these do not read the index.

use bytes::Bytes;
use clock::Timestamp;
use expr::{Datum, SqlError, SqlState};
use keys::{IndexId, Key, Span, TableId, layout};
use rustc_hash::FxHashMap;
use sqlparser::ast;
use txn::{Retriable, Scan, Txn, TxnOptions};

use super::{
    checked_name, define, no_index,
    publish::{self, publish},
    skipped,
    table::taken,
};
use crate::{
    bind::{table_name, undefined_table},
    catalog::{Index, IndexEntry, IndexState, Table, Uniqueness, entry, layout as row_layout},
    database::Database,
    error::{Outcome, about_constraint, key_text},
    session::Session,
};

/// Runs CREATE INDEX.
pub(super) async fn create(session: &Session, create: &ast::CreateIndex) -> Result<(), SqlError> {
    refuse_options(create)?;
    let (table, _) = table_name(&create.table_name)?;
    let given = create.name.as_ref().map(super::new_name).transpose()?;
    let unique = if create.unique { Uniqueness::Unique } else { Uniqueness::None };
    build(session, &table, create.if_not_exists, |draft, taken| {
        let columns = define::index_columns(draft, &create.columns, "does not exist")?;
        let stored = define::stored_columns(draft, &create.include)?;
        let names: Vec<&str> = columns
            .iter()
            .map(|part| draft.columns[draft.position(part.column)].name.as_str())
            .collect();
        let name = match &given {
            Some(name) => name.clone(),
            None => {
                let generated = format!("{}_{}_idx", draft.name, names.join("_"));
                define::free_name(&checked_name(generated)?, taken)
            }
        };
        define::new_index(draft, name, unique, columns, stored)
    })
    .await
}

fn refuse_options(create: &ast::CreateIndex) -> Result<(), SqlError> {
    let tree = match &create.using {
        None | Some(ast::IndexType::BTree) => true,
        Some(_) => false,
    };
    let refused = [
        (!tree, "an index method other than btree"),
        (create.predicate.is_some(), "a partial index"),
        (create.nulls_distinct == Some(false), "NULLS NOT DISTINCT"),
        (!create.with.is_empty(), "a storage parameter of an index"),
        (
            !create.index_options.is_empty() || !create.alter_options.is_empty(),
            "this option of CREATE INDEX",
        ),
    ];
    match refused.into_iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}

/// Makes an index and fills it.
pub(super) async fn build(
    session: &Session,
    table: &str,
    if_not_exists: bool,
    define: impl Fn(&Table, &dyn Fn(&str) -> bool) -> Result<Index, SqlError> + Send + Sync,
) -> Result<(), SqlError> {
    let database = session.database();
    let first = publish(database, |catalog, draft| {
        let found = catalog.table(table).ok_or_else(|| undefined_table(table))?;
        let mut changed = (**found).clone();
        let mut index = define(&changed, &|name| taken(catalog, name))?;
        if taken(catalog, &index.name) {
            if if_not_exists {
                return Ok((index.name, None));
            }
            return Err(super::exists(&index.name));
        }
        index.state = IndexState::DeleteOnly;
        let made = (index.name.clone(), Some((changed.id, index.id)));
        changed.secondary.push(index);
        changed.next_index += 1;
        draft.tables.push(changed);
        Ok(made)
    })
    .await?;
    let (name, Some((table, index))) = first.value else {
        let message = format!("relation \"{}\" already exists, skipping", first.value.0);
        skipped(session, SqlState::DUPLICATE_TABLE, message);
        return Ok(());
    };
    publish::adopted(database, first.step).await;
    let (none, some) = (IndexState::DeleteOnly, IndexState::WriteOnly);
    let second = set_state(database, table, index, (none, some)).await?;
    publish::adopted(database, second).await;
    match backfill(database, table, index).await {
        Ok(filled) => {
            let all = IndexState::Public(filled);
            let third = set_state(database, table, index, (some, all)).await?;
            publish::adopted(database, third).await;
            Ok(())
        }
        Err(error) => {
            // It was never public, so it goes at once.
            remove(database, table, index).await?;
            Err(match error.sqlstate {
                SqlState::UNIQUE_VIOLATION => SqlError {
                    message: format!("could not create unique index \"{name}\""),
                    ..error
                },
                _ => error,
            })
        }
    }
}

async fn set_state(
    database: &Database,
    table: TableId,
    index: IndexId,
    (from, to): (IndexState, IndexState),
) -> Result<publish::Step, SqlError> {
    let published = publish(database, |catalog, draft| {
        let Some(found) = catalog.table_by_id(table) else { return Err(dropped_meanwhile()) };
        let mut changed = (**found).clone();
        let place = changed.secondary.iter().position(|candidate| candidate.id == index);
        let place = place.filter(|place| changed.secondary[*place].state == from);
        let Some(place) = place else { return Err(dropped_meanwhile()) };
        changed.secondary[place].state = to;
        draft.tables.push(changed);
        Ok(())
    })
    .await?;
    Ok(published.step)
}

fn dropped_meanwhile() -> SqlError {
    SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the table or index was dropped while the index was built",
    )
}

/// Takes an index away that nobody reads. If it became public meanwhile it stays, and `false` is answered.
async fn remove(database: &Database, table: TableId, index: IndexId) -> Result<bool, SqlError> {
    let published = publish(database, |catalog, draft| {
        let Some(found) = catalog.table_by_id(table) else { return Ok(true) };
        let is_public = |candidate: &Index| matches!(candidate.state, IndexState::Public(_));
        let mut changed = (**found).clone();
        if changed.secondary.iter().any(|candidate| candidate.id == index && is_public(candidate)) {
            return Ok(false);
        }
        changed.secondary.retain(|candidate| candidate.id != index);
        draft.tables.push(changed);
        Ok(true)
    })
    .await?;
    publish::adopted(database, published.step).await;
    Ok(published.value)
}

/// From here on nobody reads an index, on any gateway. Whatever state it is in, that is told to all, and
/// with it what others told before.
async fn hide(database: &Database, table: TableId, index: IndexId) -> Result<(), SqlError> {
    let published = publish(database, |catalog, draft| {
        let Some(found) = catalog.table_by_id(table) else { return Ok(()) };
        let mut changed = (**found).clone();
        let found = changed.secondary.iter_mut().find(|candidate| candidate.id == index);
        if let Some(found) = found
            && matches!(found.state, IndexState::Public(_))
        {
            found.state = IndexState::WriteOnly;
        }
        draft.tables.push(changed);
        Ok(())
    })
    .await?;
    publish::adopted(database, published.step).await;
    Ok(())
}

/// Adds the entries of all rows; answers with the timestamp from which on the index is complete.
async fn backfill(
    database: &Database,
    table: TableId,
    index: IndexId,
) -> Result<Timestamp, SqlError> {
    let catalog = database.0.cache.strong().await.map_err(|error| error.into_sql(None))?;
    let table = catalog.table_by_id(table).ok_or_else(dropped_meanwhile)?.clone();
    let index = table.secondary.iter().find(|candidate| candidate.id == index);
    let index = index.ok_or_else(dropped_meanwhile)?.clone();
    let mut rest = Some(layout::index_span(table.id, IndexId::PRIMARY));
    let mut complete = database.0.coordinator.last_commit();
    while let Some(span) = rest {
        let (at, next) = chunk(database, &table, &index, &span).await?;
        complete = complete.max(at);
        rest = next;
    }
    Ok(complete)
}

/// One transaction of the backfill, run until it commits.
async fn chunk(
    database: &Database,
    table: &Table,
    index: &Index,
    span: &Span,
) -> Result<(Timestamp, Option<Span>), SqlError> {
    let coordinator = &database.0.coordinator;
    let options = TxnOptions { after: coordinator.last_commit(), ..TxnOptions::default() };
    let deadline = database.deadline(None);
    let mut attempts = coordinator.attempts(options, deadline);
    loop {
        let mut txn = attempts.begin();
        txn.set_deadline(Some(deadline));
        let failure = match fill(database, &mut txn, table, index, span).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let again = match failure.txn_error() {
            Some(error) => attempts.again(error, &mut txn).await,
            None => false,
        };
        if !again {
            if !txn.is_finished() {
                txn.rollback().await;
            }
            return Err(failure.into_sql(None));
        }
    }
}

async fn fill(
    database: &Database,
    txn: &mut Txn,
    table: &Table,
    index: &Index,
    span: &Span,
) -> Outcome<(Timestamp, Option<Span>)> {
    let page = txn.scan_page(&Scan::all(span.clone()), database.0.config.backfill_rows).await?;
    let all: Vec<u32> =
        (0..table.columns.len()).map(|at| u32::try_from(at).expect("few")).collect();
    let layout = row_layout(table, &table.primary, &all);
    let mut entries: Vec<(IndexEntry, Vec<Datum>)> = Vec::with_capacity(page.rows.len());
    for (key, value) in &page.rows {
        let row = layout.decode(key, value)?;
        entries.push((entry(table, index, &row), row));
    }
    let keys: Vec<Key> = entries.iter().map(|(entry, _)| entry.key.clone()).collect();
    let there = if keys.is_empty() { Vec::new() } else { txn.get(&keys).await? };
    let mut seen: FxHashMap<Key, Bytes> =
        keys.into_iter().zip(there).filter_map(|(key, value)| Some((key, value?))).collect();
    for (entry, row) in entries {
        match seen.get(&entry.key) {
            Some(known) if *known == entry.value => {}
            Some(_) if entry.exclusive => return Err(duplicate(table, index, &row).into()),
            _ => {
                txn.put(entry.key.clone(), entry.value.clone())?;
                seen.insert(entry.key, entry.value);
            }
        }
    }
    let read_at = txn.read_timestamp().expect("it has read");
    let info = txn.commit().await?;
    Ok((info.at.max(read_at), page.resume))
}

fn duplicate(table: &Table, index: &Index, row: &[Datum]) -> SqlError {
    let key = key_text(table, index, row, &expr::TimeZone::default());
    SqlError::new(
        SqlState::UNIQUE_VIOLATION,
        format!("could not create unique index \"{}\"", index.name),
    )
    .with_detail(format!("{key} is duplicated."))
    .with_objects(about_constraint(&table.name, &index.name))
}

/// Runs DROP INDEX.
pub(super) async fn drop(
    session: &Session,
    names: &[ast::ObjectName],
    if_exists: bool,
) -> Result<(), SqlError> {
    for name in names {
        let (name, _) = table_name(name)?;
        drop_one(session, &name, if_exists, DropKind::Index).await?;
    }
    Ok(())
}

/// By which statement an index goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropKind {
    /// DROP INDEX, which leaves constraints alone.
    Index,
    /// DROP CONSTRAINT.
    Constraint,
}

/// Drops an index: first nobody reads it any more, then it is gone.
pub(super) async fn drop_one(
    session: &Session,
    name: &str,
    if_exists: bool,
    kind: DropKind,
) -> Result<(), SqlError> {
    let database = session.database();
    let catalog = database.0.cache.strong().await.map_err(|error| error.into_sql(None))?;
    let Some((table, index)) = catalog.index(name) else {
        if !if_exists {
            return Err(no_index(name));
        }
        let message = format!("index \"{name}\" does not exist, skipping");
        skipped(session, SqlState::SUCCESSFUL_COMPLETION, message);
        return Ok(());
    };
    if index.unique == Uniqueness::Constraint && kind == DropKind::Index {
        let message = format!(
            "cannot drop index {name} because constraint {name} on table {} requires it",
            table.name
        );
        return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).with_hint(
            format!("You can drop constraint {name} on table {} instead.", table.name),
        ));
    }
    if index.id == IndexId::PRIMARY {
        return Err(SqlError::unsupported("dropping a primary key"));
    }
    // Whoever makes it may be about to show it.
    loop {
        hide(database, table.id, index.id).await?;
        if remove(database, table.id, index.id).await? {
            return Ok(());
        }
    }
}
