//! How rows become keys and values.
//!
//! | index | key behind the prefix | value |
//! |---|---|---|
//! | primary | its columns | all other columns, and key columns whose key loses something |
//! | secondary | its columns, then the primary key's others | stored columns, and lossy key columns |
//! | unique, without NULL | its columns | the primary key's others, stored columns, lossy ones |
//! | unique, with a NULL | its columns, then the primary key's others | as without NULL |
//!
//! So two rows with equal values in a unique index write the same key, and the transaction layer's
//! validation finds them; NULLs keep apart. "Lossy" are numbers whose key does not tell how they were
//! written (`1.50`, `-0`): [`expr::key::is_lossy`].

use bytes::Bytes;
use expr::{
    ColumnId, Datum, key,
    pushdown::{KeyColumn, Layout, ValueColumn},
    row,
};
use keys::{IndexId, Key, codec::Direction, layout::index_prefix};

use super::{Index, Table};

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where it lies.
    pub key: Key,
    /// What it holds.
    pub value: Bytes,
    /// Whether another row with this key would break the index's uniqueness.
    pub exclusive: bool,
}

/// Writes one value of a key.
///
/// # Panics
/// If no column of the value's type can be in a key: the catalog has no such index.
pub fn key_part(value: &Datum, direction: Direction, out: &mut Vec<u8>) {
    key::encode_datum(value, direction, out).expect("columns of indexes are keyable");
}

/// Positions of the primary key's columns that an index has not among its own.
fn rest_of_key(table: &Table, index: &Index) -> Vec<usize> {
    let own = table.positions(index);
    table.positions(&table.primary).into_iter().filter(|at| !own.contains(at)).collect()
}

/// The key of a row in the primary index.
#[must_use]
pub fn primary_key(table: &Table, row: &[Datum]) -> Key {
    let mut bytes = index_prefix(table.id, IndexId::PRIMARY).to_vec();
    for part in &table.primary.columns {
        key_part(&row[table.position(part.column)], part.direction, &mut bytes);
    }
    Key::from_vec(bytes)
}

/// The entry of a row in an index.
#[must_use]
pub fn entry(table: &Table, index: &Index, row: &[Datum]) -> IndexEntry {
    if index.id == IndexId::PRIMARY {
        let key = primary_key(table, row);
        return IndexEntry { key, value: value(table, index, row), exclusive: true };
    }
    let mut bytes = index_prefix(table.id, index.id).to_vec();
    let mut has_null = false;
    for part in &index.columns {
        let value = &row[table.position(part.column)];
        has_null |= value.is_null();
        key_part(value, part.direction, &mut bytes);
    }
    let exclusive = index.unique.is_unique() && !has_null;
    if !exclusive {
        for position in rest_of_key(table, index) {
            key_part(&row[position], Direction::Ascending, &mut bytes);
        }
    }
    IndexEntry { key: Key::from_vec(bytes), value: value(table, index, row), exclusive }
}

/// Positions of the columns that an entry's value holds, ascending by column id.
fn in_value(table: &Table, index: &Index) -> Vec<usize> {
    let lossy = |position: &usize| key::is_lossy(table.columns[*position].ty);
    let own = table.positions(index);
    let mut positions: Vec<usize> = if index.id == IndexId::PRIMARY {
        (0..table.columns.len()).filter(|at| !own.contains(at) || lossy(at)).collect()
    } else {
        let rest = rest_of_key(table, index);
        let kept = rest.into_iter().filter(|at| index.unique.is_unique() || lossy(at));
        let stored = index.stored.iter().map(|column| table.position(*column));
        kept.chain(stored).chain(own.iter().copied().filter(lossy)).collect()
    };
    positions.sort_by_key(|position| table.columns[*position].id);
    positions.dedup();
    positions
}

fn value(table: &Table, index: &Index, row: &[Datum]) -> Bytes {
    let columns: Vec<(ColumnId, &Datum)> = in_value(table, index)
        .into_iter()
        .map(|position| (table.columns[position].id, &row[position]))
        .collect();
    row::encode(&columns)
}

/// How entries of an index become rows of the table, as wide as it has columns, with the needed ones
/// filled in.
#[must_use]
pub fn layout(table: &Table, index: &Index, needed: &[u32]) -> Layout {
    let slot = |position: usize| {
        let position = u32::try_from(position).expect("columns are few");
        needed.contains(&position).then_some(position)
    };
    let mut parts: Vec<(usize, Direction)> = table
        .positions(index)
        .into_iter()
        .zip(index.columns.iter().map(|part| part.direction))
        .collect();
    if !index.unique.is_unique() {
        parts.extend(rest_of_key(table, index).into_iter().map(|at| (at, Direction::Ascending)));
    }
    let key = parts
        .into_iter()
        .map(|(position, direction)| KeyColumn {
            slot: slot(position),
            ty: table.columns[position].ty,
            direction,
        })
        .collect();
    let values = in_value(table, index)
        .into_iter()
        .filter_map(|position| {
            let column = &table.columns[position];
            Some(ValueColumn {
                id: column.id,
                slot: slot(position)?,
                default: column.missing.clone(),
            })
        })
        .collect();
    Layout {
        prefix_length: u32::try_from(index_prefix(table.id, index.id).len()).expect("nine"),
        key,
        values,
        width: u32::try_from(table.columns.len()).expect("columns are few"),
    }
}
