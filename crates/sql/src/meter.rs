//! What commits through a gateway took, counted since its start.
//!
//! The counters only grow, so whoever wants "per second" takes the difference of two looks, and those
//! of several nodes add up. `SHOW COMMIT HISTOGRAM` and `SHOW CLUSTER STATS` print them.
//!
//! A histogram has 32 buckets for each doubling of the time: a bucket is at most 1/32 wide of what it
//! holds, so a percentile read off it is right to about three per cent.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use txn::CommitInfo;

/// Buckets per doubling, as a power of two.
const FINE_BITS: u32 = 5;

/// Counts of durations. Empty buckets take no room; there are fewer than two thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    counts: BTreeMap<u16, u64>,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        *self.counts.entry(bucket(micros)).or_default() += 1;
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Histogram) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Buckets that are not empty: from (included), to (excluded), count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, Duration, u64)> {
        self.counts.iter().map(|(bucket, count)| {
            let (from, to) = (floor(*bucket), floor(bucket + 1));
            (Duration::from_micros(from), Duration::from_micros(to), *count)
        })
    }

    /// The middle of the bucket below which this share of the counts lies; `None` if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.total();
        // Exact for all counts that a node lives to see.
        let wanted = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets().find_map(|(from, to, count)| {
            seen += count;
            (seen >= wanted).then(|| (from + to) / 2)
        })
    }
}

/// The bucket of a number of microseconds: the first 32 hold one number each.
fn bucket(micros: u64) -> u16 {
    let fine = 1 << FINE_BITS;
    if micros < fine {
        return u16::try_from(micros).expect("below 32");
    }
    let doubling = micros.ilog2() - FINE_BITS;
    let within = (micros >> doubling) - fine;
    let bucket = u64::from(doubling + 1) * fine + within;
    u16::try_from(bucket).expect("64 doublings of 32 buckets")
}

/// The least number of microseconds in a bucket.
fn floor(bucket: u16) -> u64 {
    let fine = 1 << FINE_BITS;
    let (doubling, within) = (u64::from(bucket) / fine, u64::from(bucket) % fine);
    if doubling == 0 { within } else { (fine + within).saturating_mul(1 << (doubling - 1).min(63)) }
}

/// What commits took: those that wrote something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStats {
    /// The whole commit as the gateway saw it.
    pub latency: Histogram,
    /// From the choice of s until it was past (T4).
    pub wait: Histogram,
    /// The part of that which passed while Paxos was at work.
    pub hidden: Histogram,
    /// The rest of it: what commit-wait cost.
    pub exposed: Histogram,
}

impl CommitStats {
    /// Adds another gateway's.
    pub fn add(&mut self, other: &CommitStats) {
        self.latency.add(&other.latency);
        self.wait.add(&other.wait);
        self.hidden.add(&other.hidden);
        self.exposed.add(&other.exposed);
    }

    /// Its histograms by name.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, &Histogram); 4] {
        [
            ("latency", &self.latency),
            ("commit_wait", &self.wait),
            ("hidden", &self.hidden),
            ("exposed", &self.exposed),
        ]
    }
}

/// Counts the commits of a gateway.
#[derive(Debug, Default)]
pub struct Meter(Mutex<CommitStats>);

impl Meter {
    /// A commit was acknowledged.
    pub fn committed(&self, info: &CommitInfo) {
        let mut stats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stats.latency.record(info.total);
        stats.wait.record(info.commit_wait);
        stats.hidden.record(info.hidden);
        stats.exposed.record(info.commit_wait.saturating_sub(info.hidden));
    }

    /// The counts so far.
    #[must_use]
    pub fn read(&self) -> CommitStats {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests;
