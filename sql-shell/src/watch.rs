//! `\\watch`: a line per interval about what commits take and how good the clocks are, a line for
//! each knob that was turned, and for people a histogram at the end.
//!
//! The servers count since their start ([`SHOW_SQL`]); what happened in an interval is the difference
//! of two looks, and so is what was turned, whoever turned it. A node that was restarted counts from
//! zero again: what would be negative is nothing.

mod knobs;
mod stream;

use std::{collections::BTreeMap, time::Duration};

use crate::client::Answer;
use knobs::Knobs;
pub use stream::{Moment, Stream};

/// What is asked at each look.
pub const SHOW_SQL: &str = "SHOW COMMIT HISTOGRAM; SHOW CLUSTER STATS; SHOW CLUSTER SETTINGS";

/// The widest bar of the histogram.
const BAR: f64 = 40.0;

/// Counts by bucket: from and to in microseconds.
type Counts = BTreeMap<(u64, u64), u64>;

/// What a look saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Counts of durations, by the name of what took them.
    counts: BTreeMap<String, Counts>,
    /// ε in milliseconds, of the node of each region that is most uncertain.
    epsilons: BTreeMap<String, f64>,
    /// How the knobs stand.
    knobs: Knobs,
}

/// What an interval comes to. Durations are in milliseconds; `None` without commits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    commits_per_s: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    /// Medians of the commit-wait that passed behind replication, and of the rest.
    hidden: Option<f64>,
    exposed: Option<f64>,
}

impl Look {
    /// Reads the answers to [`SHOW_SQL`].
    ///
    /// # Errors
    /// If they are something else: a server of another version.
    pub fn read(answers: &[Answer]) -> Result<Look, String> {
        let [histogram, stats, settings] = answers else { return Err(strange("three answers")) };
        let mut look = Look::default();
        for row in &histogram.rows {
            let [Some(metric), Some(from), Some(to), Some(count)] = row.as_slice() else {
                return Err(strange("SHOW COMMIT HISTOGRAM"));
            };
            let bucket = (micros(from)?, micros(to)?);
            let count = count.parse().map_err(|_| strange("a count"))?;
            look.counts.entry(metric.clone()).or_default().insert(bucket, count);
        }
        for row in &stats.rows {
            let [_, Some(region), epsilon, ..] = row.as_slice() else {
                return Err(strange("SHOW CLUSTER STATS"));
            };
            let Some(epsilon) = epsilon else { continue };
            let epsilon = epsilon.parse::<f64>().map_err(|_| strange("ε"))?;
            let widest = look.epsilons.entry(region.clone()).or_default();
            *widest = widest.max(epsilon);
        }
        look.knobs = Knobs::read(settings).ok_or_else(|| strange("SHOW CLUSTER SETTINGS"))?;
        Ok(look)
    }

    /// What was counted since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Look) -> Look {
        let none = Counts::new();
        let counts = self.counts.iter().map(|(metric, counts)| {
            let before = earlier.counts.get(metric).unwrap_or(&none);
            let more = counts.iter().map(|(bucket, count)| {
                (*bucket, count.saturating_sub(before.get(bucket).copied().unwrap_or(0)))
            });
            (metric.clone(), more.filter(|(_, count)| *count > 0).collect())
        });
        Look {
            counts: counts.collect(),
            epsilons: self.epsilons.clone(),
            knobs: self.knobs.clone(),
        }
    }

    fn total(&self, metric: &str) -> u64 {
        self.counts.get(metric).map_or(0, |counts| counts.values().sum())
    }

    /// The middle of the bucket below which this share lies, in milliseconds.
    fn quantile(&self, metric: &str, share: f64) -> Option<f64> {
        let wanted = (share * self.total(metric) as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.counts.get(metric)?.iter().find_map(|((from, to), count)| {
            seen += count;
            (seen >= wanted).then(|| (from + to) as f64 / 2e3)
        })
    }

    fn figures(&self, lasting: Duration) -> Figures {
        Figures {
            commits_per_s: self.total("latency") as f64 / lasting.as_secs_f64(),
            p50: self.quantile("latency", 0.5),
            p99: self.quantile("latency", 0.99),
            hidden: self.quantile("hidden", 0.5),
            exposed: self.quantile("exposed", 0.5),
        }
    }

    /// How the latencies are spread, one bar per half doubling.
    fn histogram(&self) -> String {
        let Some(counts) = self.counts.get("latency").filter(|counts| !counts.is_empty()) else {
            return "no commits\n".to_owned();
        };
        let mut bars: BTreeMap<i32, u64> = BTreeMap::new();
        for ((from, to), count) in counts {
            let middle = ((from + to) as f64 / 2.0).max(1.0);
            *bars.entry((middle.log2() * 2.0).floor() as i32).or_default() += count;
        }
        let most = bars.values().max().copied().unwrap_or(1) as f64;
        let (first, last) = (bars.keys().next(), bars.keys().next_back());
        let (first, last) = (*first.expect("not empty"), *last.expect("not empty"));
        let mut text = "commit latency\n".to_owned();
        for half in first..=last {
            let count = bars.get(&half).copied().unwrap_or(0);
            let from = 2f64.powf(f64::from(half) / 2.0) / 1e3;
            let length = (count as f64 / most * BAR).round() as usize;
            let line = format!("{from:10.2} ms {count:8} {}", "█".repeat(length));
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

fn micros(text: &str) -> Result<u64, String> {
    let millis = text.parse::<f64>().map_err(|_| strange("a duration"))?;
    Ok((millis * 1e3).round() as u64)
}

fn strange(what: &str) -> String {
    format!("the server answers {what} in another way than this shell reads it")
}

#[cfg(test)]
mod tests;
