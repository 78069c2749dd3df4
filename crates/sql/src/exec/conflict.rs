//! INSERT ... ON CONFLICT, row by row.
//!
//! Each proposed row meets the table as the rows before it left it, as in PostgreSQL: a key that an
//! earlier row's update went away from is free, one that it came to is taken, and a row that the
//! command itself inserted or updated cannot be updated again (`21000`; DO NOTHING skips it).
//!
//! The rows' fates depend on each other, their look-ups do not. So there are no round trips per
//! row:
//!
//! ```text
//!   1. all unique keys of all proposed rows                          one round
//!   2. rows that are met through a secondary unique index            one round, if there are any;
//!      both again while READ COMMITTED finds that they moved
//!      the fates, row by row, in memory
//!   3. keys that updates came to and nobody proposed                 one round, if there are any
//! ```
//!
//! Invariant: of a row that is there at most one change is made; asserted by `Slot::Own` at all its
//! unique keys from then on.
//!
//! What replaces a row whatever it is reads nothing at all ([`OnConflict::replaces`]): what is written does
//! not depend on what was there, so neither does the order of those who write it, and the commit is the
//! only round trip. In READ COMMITTED a row is locked before it is written, as there is nobody to try the
//! transaction again; so it is where a `lock_timeout` says how long that may take.

use bytes::Bytes;
use expr::{Datum, Expr, SqlError, SqlState};
use keys::{IndexId, Key};
use rustc_hash::{FxHashMap, FxHashSet};
use txn::Isolation;

use super::{
    Exec, insert, lock,
    unique::{Claims, Slot},
    update::ready_assignments,
    writer::{self, Move, Strangers},
};
use crate::{
    catalog::{Index, Table, layout, primary_key},
    error::{Failure, Outcome},
    plan::{BoundCheck, ColumnValue, OnConflict},
    session::Row,
};

/// Inserts rows; what is there already is left alone or updated. Answers with the rows written.
pub(super) async fn run(
    exec: &mut Exec<'_>,
    table: &Table,
    on_conflict: &OnConflict,
    checks: &[BoundCheck],
    proposed: Vec<Row>,
) -> Outcome<Vec<Row>> {
    let isolation = exec.env.txn.isolation();
    let unlocked = exec.env.lock_timeout.is_none() && isolation != Isolation::ReadCommitted;
    if on_conflict.replaces && unlocked {
        return replace(exec, table, checks, proposed).await;
    }
    let mut proposals = Vec::with_capacity(proposed.len());
    let none = Strangers::default();
    for row in proposed {
        exec.tick(writer::steps(table)).await;
        let moves = writer::moves(exec, table, &none, (None, Some(&row)))?;
        proposals.push((row, moves));
    }
    let mut upsert = Upsert::new(exec, table, on_conflict, checks);
    upsert.look_up(exec, &proposals).await?;
    let mut failed = None;
    for (row, moves) in proposals {
        exec.next_row(row.len()).await;
        if let Err(failure) = upsert.propose(exec, row, moves).await {
            failed = Some(failure);
            break;
        }
    }
    let Upsert { claims, moves, written, .. } = upsert;
    if let Some(clash) = claims.prove(exec, table).await? {
        return Err(writer::duplicate(exec, table, clash.index, &written[clash.row]).into());
    }
    match failed {
        Some(failure) => Err(failure),
        None => {
            writer::write(exec, moves).await?;
            Ok(written)
        }
    }
}

/// Puts rows in the place of whatever is there, unread.
async fn replace(
    exec: &mut Exec<'_>,
    table: &Table,
    checks: &[BoundCheck],
    proposed: Vec<Row>,
) -> Outcome<Vec<Row>> {
    assert!(table.secondary.is_empty(), "entries of {} may have to go with a row", table.name);
    // X6: what an attempt before this one met is locked first, though nothing is read.
    exec.env.txn.begin_statement().await?;
    let none = Strangers::default();
    let (mut seen, mut moves) = (FxHashSet::default(), Vec::with_capacity(proposed.len()));
    for row in &proposed {
        exec.next_row(writer::steps(table) + row.len()).await;
        writer::check_row(exec, table, checks, row)?;
        for step in writer::moves(exec, table, &none, (None, Some(row)))? {
            let key = step.wanted().expect("a row has a key of its own, which is unique");
            exec.budget.bytes(key.len() + size_of::<Key>())?;
            if !seen.insert(key) {
                return Err(twice().into());
            }
            moves.push(step);
        }
    }
    writer::write(exec, moves).await?;
    Ok(proposed)
}

/// `DO UPDATE`, ready to be run.
struct Update {
    assignments: Vec<(usize, ColumnValue)>,
    condition: Option<Expr>,
}

/// An INSERT ... ON CONFLICT under way.
struct Upsert<'t> {
    table: &'t Table,
    targets: &'t [IndexId],
    /// `None`: DO NOTHING.
    update: Option<Update>,
    checks: &'t [BoundCheck],
    claims: Claims<'t>,
    /// The rows that entries of the target index stand for, by the entries' keys.
    there: FxHashMap<Key, Row>,
    /// Entries of rows that may be updated and are not theirs.
    strangers: Strangers,
    /// What is to be written.
    moves: Vec<Move<'t>>,
    /// The rows inserted and updated, in order. The last one may have failed.
    written: Vec<Row>,
}

/// An entry of a unique index that a proposed row meets.
struct Met<'t> {
    index: &'t Index,
    /// The entry's key.
    key: Key,
    /// What of the row the entry holds.
    row: Row,
    /// The key of the row itself.
    row_key: Key,
}

impl<'t> Upsert<'t> {
    fn new(
        exec: &Exec<'_>,
        table: &'t Table,
        on_conflict: &'t OnConflict,
        checks: &'t [BoundCheck],
    ) -> Upsert<'t> {
        let update = on_conflict.update.as_ref().map(|update| Update {
            assignments: ready_assignments(exec, &update.assignments),
            condition: update.condition.as_ref().map(|condition| exec.ready(condition)),
        });
        Upsert {
            table,
            targets: &on_conflict.targets,
            update,
            checks,
            claims: Claims::default(),
            there: FxHashMap::default(),
            strangers: Strangers::default(),
            moves: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Whether a row that is there with an equal key of this index is a conflict, not a fault.
    fn counts(&self, index: &Index) -> bool {
        self.targets.is_empty() || self.targets.contains(&index.id)
    }

    /// Reads what the proposed rows may meet. Entries and the rows that they stand for are of one
    /// snapshot: where locking the rows came to a later one, the entries are looked at again. A lock
    /// on an entry may be gone by then, to an older transaction or with its leader, and the row with
    /// it.
    async fn look_up(
        &mut self,
        exec: &mut Exec<'_>,
        proposals: &[(Row, Vec<Move<'t>>)],
    ) -> Outcome<()> {
        let wanted = |(_, moves): &'_ (Row, Vec<Move<'t>>)| {
            moves.iter().filter_map(|step| Some((step.index, step.wanted()?))).collect::<Vec<_>>()
        };
        let wanted: Vec<(&Index, Key)> = proposals.iter().flat_map(wanted).collect();
        let keys: Vec<Key> = wanted.iter().map(|(_, key)| key.clone()).collect();
        for _ in 0..lock::MAX_ROUNDS {
            self.lock(exec, keys.clone()).await?;
            let found = super::existing(exec, self.table, &keys).await?;
            exec.tick(2 * wanted.len()).await;
            let met = self.met(&wanted, &found)?;
            let elsewhere = met.iter().filter(|met| met.index.id != IndexId::PRIMARY);
            let rows = elsewhere.map(|met| met.row_key.clone()).collect();
            if self.lock(exec, rows).await? {
                continue;
            }
            self.fetch(exec, met).await?;
            for (key, found) in keys.into_iter().zip(found) {
                exec.tick(1).await;
                exec.budget.bytes(found.as_ref().map_or(0, Bytes::len))?;
                self.claims.know(key, found);
            }
            let there = self.there.values().map(Vec::as_slice);
            self.strangers = writer::strangers(exec, self.table, there).await?;
            return Ok(());
        }
        Err(lock::kept_changing().into())
    }

    /// Locks what may be written, where that is done before the commit; whether the snapshot has moved.
    async fn lock(&self, exec: &mut Exec<'_>, keys: Vec<Key>) -> Outcome<bool> {
        if self.update.is_some() && exec.env.txn.locks_at_read() && !keys.is_empty() {
            return lock::lock_upserted(exec, keys).await;
        }
        lock::lock_keys(exec, keys).await
    }

    /// The entries among those found whose rows may be updated.
    fn met(&self, wanted: &[(&'t Index, Key)], found: &[Option<Bytes>]) -> Outcome<Vec<Met<'t>>> {
        let all: Vec<u32> = (0..).take(self.table.columns.len()).collect();
        let mut met = Vec::new();
        for ((index, key), found) in wanted.iter().zip(found) {
            if let Some(value) = found
                && self.update.is_some()
                && self.counts(index)
            {
                let row = layout(self.table, index, &all).decode(key, value)?;
                let row_key = primary_key(self.table, &row);
                met.push(Met { index, key: key.clone(), row, row_key });
            }
        }
        Ok(met)
    }

    /// Reads the rows that these entries of unique indexes stand for.
    async fn fetch(&mut self, exec: &mut Exec<'_>, met: Vec<Met<'t>>) -> Outcome<()> {
        let table = self.table;
        let all: Vec<u32> = (0..).take(table.columns.len()).collect();
        let mut entries = Vec::new();
        for met in met {
            exec.tick(2 + all.len()).await;
            if met.index.id == IndexId::PRIMARY {
                exec.budget.row(&met.row)?;
                self.there.insert(met.key, met.row);
            } else {
                entries.push(met);
            }
        }
        let keys: Vec<Key> = entries.iter().map(|met| met.row_key.clone()).collect();
        let values = super::existing(exec, table, &keys).await?;
        let layout = layout(table, &table.primary, &all);
        for (Met { index, key, row_key, .. }, value) in entries.into_iter().zip(values) {
            exec.tick(2 + all.len()).await;
            let value = value.ok_or_else(|| no_row(index, &row_key))?;
            let row = layout.decode(&row_key, &value)?;
            exec.budget.row(&row)?;
            self.there.insert(key, row);
        }
        Ok(())
    }

    /// Decides what becomes of a proposed row.
    async fn propose(
        &mut self,
        exec: &mut Exec<'_>,
        row: Row,
        moves: Vec<Move<'t>>,
    ) -> Outcome<()> {
        writer::check_row(exec, self.table, self.checks, &row)?;
        let met = moves.iter().filter(|step| self.counts(step.index)).find_map(|step| {
            let key = step.wanted()?;
            match self.claims.slot(&key) {
                None | Some(Slot::Free) => None,
                Some(slot @ (Slot::Row(_) | Slot::Own)) => Some((*slot == Slot::Own, key)),
            }
        });
        match met {
            None => self.take(exec, row, moves),
            Some(_) if self.update.is_none() => Ok(()),
            Some((true, _)) => Err(twice().into()),
            Some((false, key)) => {
                let there = self.there[&key].clone();
                self.update(exec, there, &row).await
            }
        }
    }

    /// Updates the row that is there.
    async fn update(&mut self, exec: &mut Exec<'_>, old: Row, proposed: &[Datum]) -> Outcome<()> {
        let Update { assignments, condition } =
            self.update.as_ref().expect("DO NOTHING updates nothing");
        let both = [old.as_slice(), proposed].concat();
        if let Some(condition) = condition
            && condition.eval(&both, &exec.env.context)?.truth() != Some(true)
        {
            return Ok(());
        }
        let mut new = old.clone();
        for (position, value) in assignments {
            let column = &self.table.columns[*position];
            new[*position] = insert::column_value(exec, self.table, column, value, &both).await?;
        }
        writer::check_row(exec, self.table, self.checks, &new)?;
        exec.budget.row(&new)?;
        let sides = (Some(old.as_slice()), Some(new.as_slice()));
        let moves = writer::moves(exec, self.table, &self.strangers, sides)?;
        for step in &moves {
            if let Some(key) = step.left() {
                self.claims.leave(key);
            } else if let Some(key) = step.kept() {
                self.claims.keep(key);
            }
        }
        self.take(exec, new, moves)
    }

    /// Writes a row if the keys it comes to are free.
    fn take(&mut self, exec: &Exec<'_>, row: Row, moves: Vec<Move<'t>>) -> Outcome<()> {
        let clash = writer::claim(&mut self.claims, self.written.len(), &moves);
        self.written.push(row);
        self.moves.extend(moves);
        match clash {
            None => Ok(()),
            Some(clash) => {
                let row = &self.written[clash.row];
                Err(writer::duplicate(exec, self.table, clash.index, row).into())
            }
        }
    }
}

fn twice() -> SqlError {
    SqlError::new(
        SqlState::CARDINALITY_VIOLATION,
        "ON CONFLICT DO UPDATE command cannot affect row a second time",
    )
    .with_hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate \
         constrained values.",
    )
}

fn no_row(index: &Index, key: &Key) -> Failure {
    let message = format!("index \"{}\" has an entry for a row that is not there", index.name);
    SqlError::new(SqlState::DATA_CORRUPTED, message)
        .with_detail(format!("The row's key is {key}."))
        .into()
}
