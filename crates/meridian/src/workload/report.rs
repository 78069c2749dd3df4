//! What a workload saw, added up and printed.

use std::{collections::BTreeMap, io::Write, time::Duration};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde_json::json;

/// Latencies are kept from 1 µs to 5 minutes with three significant digits.
const LONGEST_US: u64 = 300_000_000;

/// How to print a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What one client, or all of them, saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// Length of the counted window.
    pub seconds: f64,
    /// Latencies of operations that were done, in microseconds, retries included.
    latency_us: Histogram<u64>,
    /// Attempts beyond the first, after conflicts.
    pub retries: u64,
    /// Operations that failed, by SQLSTATE (`08006` for broken connections).
    pub errors: BTreeMap<String, u64>,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Promises the database broke, for people; empty if it kept them.
    pub violations: Vec<String>,
    /// Further figures of the workload.
    pub extra: BTreeMap<String, u64>,
}

impl Report {
    /// Nothing seen yet.
    pub fn new() -> Report {
        Report {
            seconds: 0.0,
            latency_us: Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds are valid"),
            retries: 0,
            errors: BTreeMap::new(),
            unknown: 0,
            violations: Vec::new(),
            extra: BTreeMap::new(),
        }
    }

    /// An operation was done.
    pub fn done(&mut self, took: Duration) {
        self.latency_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// An operation failed.
    pub fn failed(&mut self, sqlstate: &str) {
        *self.errors.entry(sqlstate.to_owned()).or_default() += 1;
    }

    /// Takes another report in.
    pub fn add(&mut self, other: Report) {
        self.latency_us.add(&other.latency_us).expect("bounds are the same");
        self.retries += other.retries;
        self.unknown += other.unknown;
        self.violations.extend(other.violations);
        for (state, count) in other.errors {
            *self.errors.entry(state).or_default() += count;
        }
        for (name, count) in other.extra {
            *self.extra.entry(name).or_default() += count;
        }
    }

    fn throughput(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let count = self.latency_us.len() as f64;
        if self.seconds > 0.0 { count / self.seconds } else { 0.0 }
    }

    fn latency_ms(&self, quantile: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds stay far below 2^52")]
        let micros = self.latency_us.value_at_quantile(quantile) as f64;
        micros / 1000.0
    }

    /// Prints the report to standard output.
    pub fn print(&self, format: Format) -> std::io::Result<()> {
        let text = match format {
            Format::Json => format!("{}\n", self.json()),
            Format::Text => self.text(),
        };
        match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever read our output has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "throughput_per_s": self.throughput(),
            "operations": self.latency_us.len(),
            "seconds": self.seconds,
            "latency_ms": {
                "p50": self.latency_ms(0.50),
                "p95": self.latency_ms(0.95),
                "p99": self.latency_ms(0.99),
                "max": self.latency_ms(1.0),
            },
            "retries": self.retries,
            "errors": self.errors,
            "unknown": self.unknown,
            "violations": self.violations,
            "extra": self.extra,
        })
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} operations in {:.1} s: {:.1} per second\n\
             latency ms: p50 {:.2}  p95 {:.2}  p99 {:.2}  max {:.2}\n\
             retries {}, unknown outcomes {}\n",
            self.latency_us.len(),
            self.seconds,
            self.throughput(),
            self.latency_ms(0.50),
            self.latency_ms(0.95),
            self.latency_ms(0.99),
            self.latency_ms(1.0),
            self.retries,
            self.unknown,
        );
        for (state, count) in &self.errors {
            out += &format!("errors {state}: {count}\n");
        }
        for (name, count) in &self.extra {
            out += &format!("{name}: {count}\n");
        }
        for violation in &self.violations {
            out += &format!("VIOLATION: {violation}\n");
        }
        out
    }
}
