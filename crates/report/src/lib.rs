//! What an experiment found, told honestly and drawn well. Knows nothing of databases.
//!
//! An experiment measures: it ends with many values per configuration. This crate turns them into
//! what a reader can judge:
//!
//! ```text
//!  values --> Sample --> Estimate (value and interval) --> Table --> CSV, terminal, page
//!                                                     \--> Lines, Bars, Multiples --> page
//! ```
//!
//! - [`Sample`] has exact percentiles and confidence intervals; two samples are compared by the
//!   interval of their difference, never by eye ([`stats`]).
//! - [`Table`] has typed columns with units, and is written as CSV, as text, or on a page.
//! - [`terminal`] draws within [`terminal::WIDTH`] columns of text.
//! - [`Lines`], [`Bars`] and [`Multiples`] are charts as SVG ([`chart`]).
//! - [`Page`] is one HTML file that loads nothing; [`drawing`] makes one chart a file of its own.
//!
//! Invariants, each with its tests: the same input gives the same bytes (no clock, no generator of
//! random numbers); every text is escaped; a page asks the network for nothing, and forbids itself
//! to; every chart has a title and a description for those who cannot see it.
//!
//! Values and labels come from our own experiments, so a value that is not finite is a bug of the
//! caller and panics with the value in the message.

pub mod chart;
mod number;
mod page;
pub mod stats;
mod table;
pub mod terminal;

pub use chart::{Axis, Bars, Chart, Hue, Lines, Multiples, Series};
pub use page::{Page, drawing};
pub use stats::{Confidence, Difference, Estimate, Interval, Percentile, Sample, Verdict};
pub use table::{Cell, Column, Table};
