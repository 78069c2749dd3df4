//! Rows into keys: what a changed row means for the indexes, and what forbids it.
//!
//! A change becomes one [`Move`] per index, encoded once; [`Claims`] says whether the keys that
//! rows come to are free; then all entries that go are deleted before those that come are put, so
//! that a key may pass from one row to another.
//!
//! # Indexes that are not complete
//!
//! An index that is being built or dropped may hold no entry of a row, or, if it is unique and the
//! table has rows with equal values still, the entry of *another* row under a row's key. Such an
//! entry is not the row's to move or delete ([`strangers`]): else the other row would lose its
//! entry behind the backfill's back.

use bytes::Bytes;
use expr::{Datum, SqlError, SqlState};
use keys::{IndexId, Key};
use rustc_hash::FxHashSet;

use super::{
    Exec, lock,
    rows::not_null,
    unique::{Claim, Claims},
};
use crate::{
    catalog::{Index, IndexEntry, IndexState, Table, entry, layout, primary_key},
    error::{Outcome, about_constraint, key_text},
    plan::BoundCheck,
    session::Row,
};

/// A change of one row; at least one side is there.
#[derive(Debug)]
pub(super) struct Change {
    /// The row as it was.
    pub old: Option<Row>,
    /// The row as it shall be.
    pub new: Option<Row>,
}

/// Checks NOT NULL and CHECK of a new row.
pub(super) fn check_row(
    exec: &Exec<'_>,
    table: &Table,
    checks: &[BoundCheck],
    row: &[Datum],
) -> Result<(), SqlError> {
    for (column, value) in table.columns.iter().zip(row) {
        if column.not_null && value.is_null() {
            return Err(not_null(&table.name, &column.name)
                .with_detail(format!("Failing row contains {}.", row_text(exec, table, row))));
        }
    }
    for check in checks {
        if check.condition.eval(row, &exec.env.context)?.truth() == Some(false) {
            let message = format!(
                "new row for relation \"{}\" violates check constraint \"{}\"",
                table.name, check.name
            );
            return Err(SqlError::new(SqlState::CHECK_VIOLATION, message)
                .with_detail(format!("Failing row contains {}.", row_text(exec, table, row)))
                .with_objects(about_constraint(&table.name, &check.name)));
        }
    }
    Ok(())
}

fn row_text(exec: &Exec<'_>, table: &Table, row: &[Datum]) -> String {
    let values: Vec<String> = table
        .visible()
        .map(|(position, column)| {
            expr::text::output(&row[position], column.ty, &exec.env.context.timezone)
                .unwrap_or_else(|| "null".to_owned())
        })
        .collect();
    format!("({})", values.join(", "))
}

/// `23505`.
pub(super) fn duplicate(exec: &Exec<'_>, table: &Table, index: &Index, row: &[Datum]) -> SqlError {
    let key = key_text(table, index, row, &exec.env.context.timezone);
    SqlError::new(
        SqlState::UNIQUE_VIOLATION,
        format!("duplicate key value violates unique constraint \"{}\"", index.name),
    )
    .with_detail(format!("{key} already exists."))
    .with_objects(about_constraint(&table.name, &index.name))
}

/// Most bytes of a key: what a range takes ([`txn::Config::max_key_bytes`]).
fn check_key(exec: &Exec<'_>, index: &Index, key: &Key) -> Result<(), SqlError> {
    let limit = exec.env.database.0.coordinator.config().max_key_bytes;
    if key.len() <= limit {
        return Ok(());
    }
    let message = format!(
        "index row size {} exceeds maximum {limit} for index \"{}\"",
        key.len(),
        index.name
    );
    Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        .with_hint("Values larger than that cannot be indexed."))
}

/// What a change of a row means for one index.
#[derive(Debug)]
pub(super) struct Move<'t> {
    /// The index.
    pub index: &'t Index,
    /// Whether equal keys of two rows are forbidden here.
    guarded: bool,
    /// The entry that goes; `None`: there is none, or it is not this row's.
    old: Option<IndexEntry>,
    /// The entry that comes.
    new: Option<IndexEntry>,
}

impl Move<'_> {
    /// Whether the entry's key does not change.
    fn stays(&self) -> bool {
        matches!((&self.old, &self.new), (Some(old), Some(new)) if old.key == new.key)
    }

    fn unique_key(&self, entry: Option<&IndexEntry>) -> Option<Key> {
        let entry = entry.filter(|entry| self.guarded && entry.exclusive)?;
        Some(entry.key.clone())
    }

    /// The unique key that the row comes to.
    pub fn wanted(&self) -> Option<Key> {
        if self.stays() { None } else { self.unique_key(self.new.as_ref()) }
    }

    /// The unique key that the row goes away from.
    pub fn left(&self) -> Option<Key> {
        if self.stays() { None } else { self.unique_key(self.old.as_ref()) }
    }

    /// The unique key that the row stays at.
    pub fn kept(&self) -> Option<Key> {
        if self.stays() { self.unique_key(self.new.as_ref()) } else { None }
    }
}

/// Entries of rows that are another row's: the entry's key, and the primary key of the row.
pub(super) type Strangers = FxHashSet<(Key, Key)>;

/// Steps of one change of one index, each time it is looked at.
const MOVE: usize = 10;

/// Steps of making a row's entries.
pub(super) fn steps(table: &Table) -> usize {
    (MOVE + table.columns.len()) * (1 + table.secondary.len())
}

/// What a change means for every index.
pub(super) fn moves<'t>(
    exec: &mut Exec<'_>,
    table: &'t Table,
    strangers: &Strangers,
    (old, new): (Option<&[Datum]>, Option<&[Datum]>),
) -> Result<Vec<Move<'t>>, SqlError> {
    let hidden_key = table.has_hidden_key();
    let own_key = old.filter(|_| !strangers.is_empty()).map(|old| primary_key(table, old));
    let is_own = |entry: &IndexEntry| match &own_key {
        Some(own) => !strangers.contains(&(entry.key.clone(), own.clone())),
        None => true,
    };
    let mut moves = Vec::with_capacity(1 + table.secondary.len());
    for index in table.indexes() {
        let mut old = old.map(|old| entry(table, index, old)).filter(is_own);
        if let (Some(old), None) = (&mut old, &new) {
            // What only goes is never compared.
            old.value = Bytes::new();
        }
        let new = match new {
            Some(new) if index.state != IndexState::DeleteOnly => Some(entry(table, index, new)),
            Some(_) | None => None,
        };
        if let Some(new) = &new {
            check_key(exec, index, &new.key)?;
        }
        // A fresh row id is free by itself.
        let hidden = index.id == IndexId::PRIMARY && hidden_key;
        let guarded = index.unique.is_unique() && !hidden;
        let entries = old.iter().chain(&new).map(|entry| entry.key.len() + entry.value.len());
        exec.budget.bytes(entries.sum::<usize>() + size_of::<Move<'_>>())?;
        moves.push(Move { index, guarded, old, new });
    }
    Ok(moves)
}

/// Looks, where an index is not complete, for entries of these rows that are another row's.
pub(super) async fn strangers(
    exec: &mut Exec<'_>,
    table: &Table,
    rows: impl Iterator<Item = &[Datum]> + Clone,
) -> Outcome<Strangers> {
    let mut found = Strangers::default();
    let incomplete =
        |index: &&Index| index.unique.is_unique() && !matches!(index.state, IndexState::Public(_));
    let all: Vec<u32> = (0..).take(table.columns.len()).collect();
    for index in table.indexes().filter(incomplete) {
        let mut asked: Vec<(Key, Key)> = Vec::new();
        for row in rows.clone() {
            exec.tick(MOVE + row.len()).await;
            let entry = entry(table, index, row);
            if entry.exclusive {
                let own = primary_key(table, row);
                exec.budget.bytes(entry.key.len() + own.len() + size_of::<(Key, Key)>())?;
                asked.push((entry.key, own));
            }
        }
        let keys: Vec<Key> = asked.iter().map(|(key, _)| key.clone()).collect();
        lock::lock_keys(exec, keys.clone()).await?;
        let values = super::existing(exec, table, &keys).await?;
        let layout = layout(table, index, &all);
        for ((key, own), value) in asked.into_iter().zip(values) {
            exec.tick(MOVE + all.len()).await;
            let Some(value) = value else { continue };
            let holder = layout.decode(&key, &value)?;
            if primary_key(table, &holder) != own {
                found.insert((key, own));
            }
        }
    }
    Ok(found)
}

/// Buffers changes whose new rows must find their unique keys free once the statement is done.
pub(super) async fn apply(exec: &mut Exec<'_>, table: &Table, changes: &[Change]) -> Outcome<()> {
    let old_rows = changes.iter().filter_map(|change| change.old.as_deref());
    let strangers = strangers(exec, table, old_rows).await?;
    let mut all = Vec::with_capacity(changes.len());
    for change in changes {
        exec.tick(steps(table)).await;
        let sides = (change.old.as_deref(), change.new.as_deref());
        all.push(moves(exec, table, &strangers, sides)?);
    }
    let mut claims = Claims::default();
    for step in all.iter().flatten() {
        exec.tick(MOVE).await;
        if let Some(key) = step.left() {
            claims.leave(key);
        } else if !matches!(step.index.state, IndexState::Public(_))
            && let Some(key) = step.kept()
        {
            // A complete index shows by itself that the key is not free.
            claims.keep(key);
        }
    }
    let mut clash = None;
    for (row, steps) in all.iter().enumerate() {
        exec.tick(MOVE * steps.len()).await;
        clash = claim(&mut claims, row, steps);
        if clash.is_some() {
            break;
        }
    }
    if let Some(clash) = claims.prove(exec, table).await?.or(clash) {
        let row = changes[clash.row].new.as_ref().expect("it wants a key");
        return Err(duplicate(exec, table, clash.index, row).into());
    }
    write(exec, all.into_iter().flatten().collect()).await
}

/// Takes the unique keys that a row comes to; answers with the first one that another row has.
pub(super) fn claim<'t>(
    claims: &mut Claims<'t>,
    row: usize,
    steps: &[Move<'t>],
) -> Option<Claim<'t>> {
    steps.iter().find_map(|step| {
        let claim = Claim { row, index: step.index, key: step.wanted()? };
        (!claims.take(claim.clone())).then_some(claim)
    })
}

/// Buffers the deletion of rows.
pub(super) async fn delete(exec: &mut Exec<'_>, table: &Table, rows: &[&[Datum]]) -> Outcome<()> {
    let strangers = strangers(exec, table, rows.iter().copied()).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        exec.tick(steps(table)).await;
        all.extend(moves(exec, table, &strangers, (Some(row), None))?);
    }
    write(exec, all).await
}

/// Buffers what is to be written: all deletions first, so that a key may pass from one row to
/// another.
pub(super) async fn write(exec: &mut Exec<'_>, moves: Vec<Move<'_>>) -> Outcome<()> {
    for step in &moves {
        exec.tick(MOVE).await;
        if let Some(old) = &step.old
            && !step.stays()
        {
            exec.env.txn.delete(old.key.clone())?;
        }
    }
    for step in moves {
        exec.tick(MOVE).await;
        let same = step.stays()
            && step.old.as_ref().map(|old| &old.value) == step.new.as_ref().map(|new| &new.value);
        // The row itself is written even if nothing in it changed, so that who changes it meanwhile
        // is met.
        if let Some(new) = step.new
            && !(same && step.index.id != IndexId::PRIMARY)
        {
            exec.env.txn.put(new.key, new.value)?;
        }
    }
    Ok(())
}
