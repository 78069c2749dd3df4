//! Where things lie in the key space.

use crate::{IndexId, Key, RangeId, Span, TableId};

/// First byte of the system's keys.
pub const SYSTEM: u8 = 0x02;
/// First byte of the tables' keys.
pub const TABLE: u8 = 0x03;

/// Sections of the system's keys (the second byte).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Section {
    /// Range directory: end key of a range -> its descriptor. (The end key, so that the first
    /// entry above a key is the descriptor of the range that may hold it.)
    Directory = 0x10,
    /// Descriptors of tables, by table id.
    Catalog = 0x20,
    /// Table names -> table ids.
    Names = 0x21,
    /// The catalog's version (one key).
    SchemaVersion = 0x22,
    /// Tables that were dropped and whose rows are still to be deleted, by table id.
    Dropped = 0x23,
    /// Until when each gateway may use the catalog that it read, by node id.
    Lease = 0x24,
    /// Counters from which ids are taken, by name.
    Counter = 0x30,
    /// Cluster settings, by name.
    Setting = 0x40,
}

/// The span of the system range.
#[must_use]
pub fn system_span() -> Span {
    Span::new(vec![SYSTEM], vec![SYSTEM + 1])
}

/// The span of a section of the system's keys.
#[must_use]
pub fn section(section: Section) -> Span {
    Span::prefix(Key::from_vec(vec![SYSTEM, section as u8]))
}

/// A key in a section of the system's keys.
#[must_use]
pub fn system_key(section: Section, suffix: &[u8]) -> Key {
    let mut bytes = Vec::with_capacity(2 + suffix.len());
    bytes.extend_from_slice(&[SYSTEM, section as u8]);
    bytes.extend_from_slice(suffix);
    Key::from_vec(bytes)
}

/// The directory's key for the range that ends at `end`.
#[must_use]
pub fn directory_key(end: &Key) -> Key {
    system_key(Section::Directory, end)
}

/// The prefix of all keys of a table.
#[must_use]
pub fn table_prefix(table: TableId) -> Key {
    let mut bytes = Vec::with_capacity(5);
    bytes.push(TABLE);
    bytes.extend_from_slice(&table.0.to_be_bytes());
    Key::from_vec(bytes)
}

/// All keys of a table, all its indexes.
#[must_use]
pub fn table_span(table: TableId) -> Span {
    Span::prefix(table_prefix(table))
}

/// The prefix of all keys of an index; encoded columns follow ([`crate::codec`]).
#[must_use]
pub fn index_prefix(table: TableId, index: IndexId) -> Key {
    let mut bytes = Vec::with_capacity(9);
    bytes.push(TABLE);
    bytes.extend_from_slice(&table.0.to_be_bytes());
    bytes.extend_from_slice(&index.0.to_be_bytes());
    Key::from_vec(bytes)
}

/// All keys of an index.
#[must_use]
pub fn index_span(table: TableId, index: IndexId) -> Span {
    Span::prefix(index_prefix(table, index))
}

/// The key of a range's own record in the `state` column family is its id, big-endian.
#[must_use]
pub fn range_key(range: RangeId) -> [u8; 8] {
    range.0.to_be_bytes()
}
