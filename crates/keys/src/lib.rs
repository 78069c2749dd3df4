//! Names and places: id newtypes, keys, spans, and the order-preserving encoding of columns.
//!
//! Everything that Meridian stores has a [`Key`], a string of bytes compared bytewise. The key
//! space, in order:
//!
//! | first byte | what | layout |
//! |---|---|---|
//! | `0x02` | `/system`: directory, catalog, counters, node registry | see [`layout`] |
//! | `0x03` | `/t/<table>/<index>/<columns...>` | u32 table, u32 index, encoded columns ([`codec`]) |
//!
//! A range owns a half-open [`Span`] of that space. What belongs to a range but is not user data
//! (transaction records) lives in column families of its own, under the user key it belongs to, so
//! that it splits with the range (rule X9).
//!
//! This crate knows nothing of time, values or storage.

pub mod codec;
mod ids;
mod key;
pub mod layout;
pub mod pretty;

pub use ids::{IndexId, NodeId, RangeId, SchemaVersion, TableId, TxnId};
pub use key::{Key, Span};
