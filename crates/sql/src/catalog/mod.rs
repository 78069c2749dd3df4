//! The catalog: what tables, columns, indexes and checks there are.
//!
//! A [`Catalog`] is the whole of it as of one strong read at a timestamp, immutable and shared. It
//! lies in the system range as ordinary keys and is changed by ordinary transactions:
//!
//! | section | key | value (postcard) |
//! |---|---|---|
//! | `Catalog` | table id, 4 bytes big-endian | [`Table`] |
//! | `Names` | the table's name | [`keys::TableId`] |
//! | `SchemaVersion` | - | [`keys::SchemaVersion`] |
//! | `Dropped` | table id, 4 bytes big-endian | [`keys::TableId`]: its rows are still to be deleted |
//! | `Lease` | node id, 4 bytes big-endian | [`keys::NodeId`], and until when it uses the catalog |
//! | `Counter` | counter's name | `u64`, the next free id ([`ids`]) |
//! | `Directory` | end key of the range | [`kv::Descriptor`] |
//!
//! # Leases
//!
//! A gateway that registered until `U` may use the catalog that it reads behind that, for transactions
//! that commit before `U` ([`cache`]). The bound goes into the commit itself, which picks a timestamp
//! below it or fails, so a gateway that sleeps through a schema change can do no harm:
//!
//! ```text
//!   gateway A   registers U, reads ---- uses v ----------- commit s < U
//!   gateway B          CREATE INDEX: v+1 (delete-only) | A on v+1, or U past? | v+2 ...
//! ```
//!
//! A change that older gateways must not miss waits until every gateway that is registered has adopted
//! the new version, or its `U` is past ([`lease`]); so at most two versions are in use at once and each
//! step of a change only has to be compatible with the one before it.
//!
//! Invariants, asserted in [`Table::check`]: column and index ids are unique within a table and never
//! reused; every index names columns that exist; the primary index has id 1 and covers no NULL.

pub mod cache;
pub mod ids;
mod layout;
pub(crate) mod lease;
pub mod store;

use std::{collections::BTreeMap, sync::Arc};

use clock::Timestamp;
use expr::{ColumnId, Datum, Type};
use keys::{IndexId, SchemaVersion, TableId, codec::Direction};
use serde::{Deserialize, Serialize};

pub use layout::{IndexEntry, entry, key_part, layout, primary_key};

/// The most columns a table may have.
pub const MAX_COLUMNS: usize = 1_000;
/// The most indexes a table may have.
pub const MAX_INDEXES: usize = 64;
/// The longest name, in bytes; longer ones are cut, as in PostgreSQL.
pub const MAX_NAME_BYTES: usize = 63;

/// The whole catalog as of one moment.
#[derive(Debug)]
pub struct Catalog {
    /// Its version.
    pub version: SchemaVersion,
    /// The snapshot it was read at.
    pub read_at: Timestamp,
    /// Transactions that use it commit, and read, below this. Zero: it is only to be looked at.
    pub until: Timestamp,
    tables: BTreeMap<String, Arc<Table>>,
    by_id: BTreeMap<TableId, Arc<Table>>,
}

impl Catalog {
    /// A catalog of these tables, which nobody may use yet.
    #[must_use]
    pub fn new(version: SchemaVersion, read_at: Timestamp, tables: Vec<Table>) -> Catalog {
        let tables: BTreeMap<String, Arc<Table>> = tables
            .into_iter()
            .map(|table| {
                table.check();
                (table.name.clone(), Arc::new(table))
            })
            .collect();
        let by_id = tables.values().map(|table| (table.id, table.clone())).collect();
        Catalog { version, read_at, until: Timestamp::ZERO, tables, by_id }
    }

    /// The same tables, known to be current as of a later moment. Nobody may use it yet.
    #[must_use]
    pub fn seen_again(&self, read_at: Timestamp) -> Catalog {
        Catalog {
            version: self.version,
            read_at,
            until: Timestamp::ZERO,
            tables: self.tables.clone(),
            by_id: self.by_id.clone(),
        }
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// The table with this id.
    #[must_use]
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.by_id.get(&id)
    }

    /// The table that has an index of this name, and the index.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<(&Arc<Table>, &Index)> {
        self.tables
            .values()
            .find_map(|table| Some((table, table.indexes().find(|index| index.name == name)?)))
    }

    /// All tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its id, never reused.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// The catalog's version with which this table last changed.
    pub version: SchemaVersion,
    /// The columns in their order; a hidden row id comes last.
    pub columns: Vec<Column>,
    /// The rows themselves, in the order of the primary key.
    pub primary: Index,
    /// The other indexes.
    pub secondary: Vec<Index>,
    /// Conditions that every row fulfils (is not false).
    pub checks: Vec<Check>,
    /// The next free column id.
    pub next_column: u32,
    /// The next free index id.
    pub next_index: u32,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its id within the table.
    pub id: ColumnId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether it may hold no NULL.
    pub not_null: bool,
    /// What it is filled with.
    pub default: ColumnDefault,
    /// What rows have in it that were written before it was added.
    pub missing: Datum,
    /// Whether `*` leaves it out: the row id of a table without a primary key.
    pub hidden: bool,
}

/// What a column is filled with when an INSERT says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnDefault {
    /// NULL.
    None,
    /// An expression, as SQL.
    Expression(String),
    /// A number that is unique and grows on each node ([`ids::RowIds`]): hidden row ids.
    RowId,
    /// The next number of the column's own counter: `SERIAL`, `GENERATED BY DEFAULT AS IDENTITY`.
    Serial,
    /// As `Serial`, and an INSERT may not give a value: `GENERATED ALWAYS AS IDENTITY`.
    SerialAlways,
}

/// An index, the primary one included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its id within the table; 1 is the primary index.
    pub id: IndexId,
    /// Its name.
    pub name: String,
    /// Whether no two rows have the same values in all its columns, NULLs apart.
    pub unique: Uniqueness,
    /// Its columns in order.
    pub columns: Vec<IndexColumn>,
    /// Further columns whose values it keeps (`INCLUDE`).
    pub stored: Vec<ColumnId>,
    /// Who may use it.
    pub state: IndexState,
}

/// Whether an index forbids equal rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Uniqueness {
    /// It does.
    Unique,
    /// It does, and stands for a UNIQUE or PRIMARY KEY constraint, which cannot be dropped as an
    /// index.
    Constraint,
    /// It does not.
    None,
}

/// A column of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// Which one.
    pub column: ColumnId,
    /// Its direction. NULLs come last ascending and first descending.
    pub direction: Direction,
}

/// The states a new index goes through; each is on every gateway before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexState {
    /// Rows that go take their entries along; none are added.
    DeleteOnly,
    /// Entries are added and removed; the index is not read.
    WriteOnly,
    /// Complete: snapshots at or above this timestamp may read it. Zero: from the table's birth.
    Public(Timestamp),
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The condition, as SQL.
    pub condition: String,
}

impl Table {
    /// All indexes, the primary one first.
    pub fn indexes(&self) -> impl Iterator<Item = &Index> {
        std::iter::once(&self.primary).chain(&self.secondary)
    }

    /// The position of the column with this id in a row.
    ///
    /// # Panics
    /// If there is none: indexes name columns of their own table only ([`Table::check`]).
    #[must_use]
    pub fn position(&self, column: ColumnId) -> usize {
        self.columns
            .iter()
            .position(|candidate| candidate.id == column)
            .unwrap_or_else(|| panic!("table {} has no column {}", self.name, column.0))
    }

    /// The position and column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name == name)
    }

    /// Positions of an index's columns.
    #[must_use]
    pub fn positions(&self, index: &Index) -> Vec<usize> {
        index.columns.iter().map(|part| self.position(part.column)).collect()
    }

    /// The columns that `*` stands for, with their positions.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.hidden)
    }

    /// Whether the key is a hidden row id.
    #[must_use]
    pub fn has_hidden_key(&self) -> bool {
        let parts = self.primary.columns.iter();
        parts.map(|part| self.position(part.column)).any(|at| self.columns[at].hidden)
    }

    /// Asserts what every descriptor keeps.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self) {
        assert_eq!(self.primary.id, IndexId::PRIMARY, "table {}", self.name);
        assert!(!self.primary.columns.is_empty(), "table {} has no key", self.name);
        assert!(self.primary.unique.is_unique(), "table {}: its key is not unique", self.name);
        for (i, column) in self.columns.iter().enumerate() {
            assert!(column.id.0 < self.next_column, "column id {} of {}", column.id.0, self.name);
            let twice = self.columns[..i].iter().any(|other| other.id == column.id);
            assert!(!twice, "column id {} twice in {}", column.id.0, self.name);
        }
        for index in self.indexes() {
            assert!(index.id.0 < self.next_index, "index id {} of {}", index.id.0, self.name);
            let parts = index.columns.iter().map(|part| part.column);
            for column in parts.chain(index.stored.iter().copied()) {
                let _exists = self.position(column);
            }
        }
        for part in &self.primary.columns {
            let column = &self.columns[self.position(part.column)];
            assert!(column.not_null, "key column {} of {} may be NULL", column.name, self.name);
        }
    }
}

impl Index {
    /// Whether a snapshot at this timestamp may read it.
    #[must_use]
    pub fn readable_at(&self, snapshot: Timestamp) -> bool {
        matches!(self.state, IndexState::Public(since) if since <= snapshot)
    }
}

impl Uniqueness {
    /// Whether equal rows are forbidden.
    #[must_use]
    pub const fn is_unique(self) -> bool {
        matches!(self, Uniqueness::Unique | Uniqueness::Constraint)
    }
}
