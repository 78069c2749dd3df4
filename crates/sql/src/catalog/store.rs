//! Reading and writing the catalog's keys within a transaction.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use clock::Timestamp;
use expr::SqlError;
use keys::{Key, NodeId, SchemaVersion, TableId, layout, layout::Section};
use serde::{Serialize, de::DeserializeOwned};
use txn::{Scan, Txn};

use super::{Catalog, Table};
use crate::error::{Failure, from_txn};

/// Where the catalog's version lies.
pub(super) fn version_key() -> Key {
    layout::system_key(Section::SchemaVersion, &[])
}

/// Where a table's descriptor lies.
pub fn table_key(id: TableId) -> Key {
    layout::system_key(Section::Catalog, &id.0.to_be_bytes())
}

fn name_key(name: &str) -> Key {
    layout::system_key(Section::Names, name.as_bytes())
}

/// A value as the system's keys hold it.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    postcard::to_stdvec(value).expect("plain data always serializes").into()
}

/// A value of the system's keys.
pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, SqlError> {
    postcard::from_bytes(bytes).map_err(|error| SqlError::corrupted(format!("{what}: {error}")))
}

/// The catalog's version in this transaction's snapshot; zero before the first change.
pub async fn version(txn: &mut Txn) -> Result<SchemaVersion, SqlError> {
    let values = txn.get(&[version_key()]).await.map_err(|error| from_txn(&error))?;
    values[0].as_ref().map_or(Ok(SchemaVersion(0)), |value| decode("the schema version", value))
}

/// The whole catalog in this transaction's snapshot.
pub async fn load(txn: &mut Txn) -> Result<Catalog, SqlError> {
    let scans = vec![Scan::point(version_key()), Scan::all(layout::section(Section::Catalog))];
    let mut results = txn.read(scans).await.map_err(|error| from_txn(&error))?.into_iter();
    let versions = results.next().unwrap_or_default().rows;
    let version = match versions.first() {
        Some((_, value)) => decode("the schema version", value)?,
        None => SchemaVersion(0),
    };
    let rows = results.next().unwrap_or_default().rows;
    let tables: Result<Vec<Table>, SqlError> =
        rows.iter().map(|(key, value)| decode(&format!("{key}"), value)).collect();
    let read_at = txn.read_timestamp().expect("it has just read");
    Ok(Catalog::new(version, read_at, tables?))
}

/// Writes a table's descriptor.
pub fn put_table(txn: &mut Txn, table: &Table) -> Result<(), SqlError> {
    table.check();
    txn.put(table_key(table.id), encode(table)).map_err(|error| from_txn(&error))
}

/// Writes a table's name.
pub fn put_name(txn: &mut Txn, name: &str, table: TableId) -> Result<(), SqlError> {
    txn.put(name_key(name), encode(&table)).map_err(|error| from_txn(&error))
}

/// Removes a table's name.
pub fn delete_name(txn: &mut Txn, name: &str) -> Result<(), SqlError> {
    txn.delete(name_key(name)).map_err(|error| from_txn(&error))
}

fn dropped_key(id: TableId) -> Key {
    layout::system_key(Section::Dropped, &id.0.to_be_bytes())
}

/// A table that was dropped and whose rows are still to be deleted.
pub(crate) async fn dropped(txn: &mut Txn) -> Result<Option<TableId>, Failure> {
    let page = txn.scan_page(&Scan::all(layout::section(Section::Dropped)), 1).await?;
    let first = page.rows.first();
    Ok(first.map(|(_, value)| decode("a dropped table", value)).transpose()?)
}

/// The rows of a dropped table are deleted.
pub(crate) fn forget_dropped(txn: &mut Txn, id: TableId) -> Result<(), Failure> {
    Ok(txn.delete(dropped_key(id))?)
}

/// Removes a table's descriptor and name, and notes that its rows are to be deleted. Nothing refers
/// to them any more, and the table id is never used again.
pub fn drop_table(txn: &mut Txn, table: &Arc<Table>) -> Result<(), SqlError> {
    txn.delete(table_key(table.id)).map_err(|error| from_txn(&error))?;
    let note = encode(&table.id);
    txn.put(dropped_key(table.id), note).map_err(|error| from_txn(&error))?;
    delete_name(txn, &table.name)
}

/// Writes the catalog's version.
pub fn put_version(txn: &mut Txn, version: SchemaVersion) -> Result<(), SqlError> {
    txn.put(version_key(), encode(&version)).map_err(|error| from_txn(&error))
}

/// Where a gateway says until when it may use the catalog.
pub(super) fn lease_key(gateway: NodeId) -> Key {
    layout::system_key(Section::Lease, &gateway.0.to_be_bytes())
}

/// A gateway and until when it may use the catalog, zero for never again.
type Registration = (NodeId, Timestamp);

fn registration(value: &Bytes) -> Result<Registration, SqlError> {
    decode("a catalog lease", value)
}

/// Until when a gateway may use the catalog, as it said last; `None`: it never said anything.
pub(super) async fn lease(txn: &mut Txn, gateway: NodeId) -> Result<Option<Timestamp>, Failure> {
    let value = txn.get(&[lease_key(gateway)]).await?.swap_remove(0);
    Ok(value.as_ref().map(registration).transpose()?.map(|(_, until)| until))
}

/// Until when each gateway may use the catalog that ever did.
pub(super) async fn leases(txn: &mut Txn) -> Result<BTreeMap<NodeId, Timestamp>, Failure> {
    let scan = Scan::all(layout::section(Section::Lease));
    let rows = txn.read(vec![scan]).await?.swap_remove(0).rows;
    Ok(rows.iter().map(|(_, value)| registration(value)).collect::<Result<_, SqlError>>()?)
}

/// Writes until when a gateway may use the catalog.
pub(super) fn put_lease(txn: &mut Txn, gateway: NodeId, until: Timestamp) -> Result<(), Failure> {
    Ok(txn.put(lease_key(gateway), encode(&(gateway, until)))?)
}
