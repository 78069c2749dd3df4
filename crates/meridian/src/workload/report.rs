//! What a workload saw, added up and printed.

use std::{collections::BTreeMap, io::Write};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::Instant;

use super::Window;

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
    /// Operations that were done but do not count: begun in the warm-up, or answered after the end.
    uncounted: u64,
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
            uncounted: 0,
            retries: 0,
            errors: BTreeMap::new(),
            unknown: 0,
            violations: Vec::new(),
            extra: BTreeMap::new(),
        }
    }

    /// An operation was done; it counts if it began and ended in the window.
    pub fn done(&mut self, started: Instant, window: &Window) {
        if started < window.start || window.over() {
            self.uncounted += 1;
            return;
        }
        let took = started.elapsed();
        self.latency_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// An operation failed.
    pub fn failed(&mut self, sqlstate: &str) {
        *self.errors.entry(sqlstate.to_owned()).or_default() += 1;
    }

    /// Takes another report in.
    pub fn add(&mut self, other: Report) {
        self.latency_us.add(&other.latency_us).expect("bounds are the same");
        self.uncounted += other.uncounted;
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
            "uncounted": self.uncounted,
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
        let uncounted = match self.uncounted {
            0 => String::new(),
            more => format!(" ({more} more, begun in the warm-up or answered after the end)"),
        };
        let mut out = format!(
            "{} operations in {:.1} s: {:.1} per second{uncounted}\n\
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::workload::Stop;

    /// What is counted and what is not add up to what was acknowledged.
    #[test]
    fn operations_outside_the_window_are_told_apart() {
        let start = Instant::now();
        let stop = Stop::default();
        let window = Window { start, end: start + Duration::from_secs(600), stop: stop.clone() };
        let mut report = Report::new();
        report.done(start, &window);
        report.done(start.checked_sub(Duration::from_nanos(1)).expect("late enough"), &window);
        assert!(report.text().starts_with("1 operations in 0.0 s: 0.0 per second (1 more, begun"));
        stop.now();
        report.done(start, &window);
        assert_eq!((report.latency_us.len(), report.uncounted), (1, 2));
    }
}
