//! Cross-crate suites: real processes and real clients in `tests/tests/`, and what they share.

pub mod cluster;
pub mod demo;
pub mod process;
pub mod sql;
pub mod terminal;
pub mod wire;
