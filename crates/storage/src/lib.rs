//! Storage: the [`Engine`] seam to the disk, MVCC on top of it, and the engine in memory.
//!
//! | module | what |
//! |---|---|
//! | (here) | the contract: [`Engine`], [`Reader`], [`Cursor`], [`WriteBatch`], [`Cf`] |
//! | [`mvcc`] | versions, intents, GC, checksums, export: pure functions over a [`Reader`] |
//! | [`records`] | where transaction records lie |
//! | [`sealed`] | checksums on stored values (S3) |
//! | [`encoding`] | user keys inside stored keys, in order |
//! | [`memory`] | [`MemEngine`] on a simulated [`memory::Disk`] that crashes, fails and forgets |
//! | [`conformance`] | what every engine must do, as a test suite |
//! | [`gathered`] | the batches of a round as one |
//! | [`mirror`] | two engines that must agree |
//!
//! This crate knows no Paxos, no transactions beyond the names in intents, no RocksDB (the crate
//! `rocks` has that) and no clock: timestamps come as arguments.

pub mod conformance;
pub mod encoding;
mod engine;
pub mod gathered;
pub mod memory;
pub mod mirror;
pub mod mvcc;
pub mod records;
pub mod sealed;

pub use engine::{Cf, Cursor, Engine, EngineError, Op, Reader, Scan, Snapshot, WriteBatch};
pub use gathered::Gathered;
pub use memory::MemEngine;
