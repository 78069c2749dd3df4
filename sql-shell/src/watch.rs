//! `\\watch`: a line per interval about what commits take and how good the clocks are, and a histogram
//! at the end.
//!
//! The servers count since their start ([`SHOW_SQL`]); what happened in an interval is the difference
//! of two looks. A node that was restarted counts from zero again: what would be negative is nothing.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::client::Answer;

/// What is asked at each look.
pub const SHOW_SQL: &str = "SHOW COMMIT HISTOGRAM; SHOW CLUSTER STATS";

/// Lines between two heads.
pub const HEAD_EVERY: u64 = 20;

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
}

impl Look {
    /// Reads the answers to [`SHOW_SQL`].
    ///
    /// # Errors
    /// If they are something else: a server of another version.
    pub fn read(answers: &[Answer]) -> Result<Look, String> {
        let [histogram, stats] = answers else { return Err(strange("two answers")) };
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
        Look { counts: counts.collect(), epsilons: self.epsilons.clone() }
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

    /// The line of an interval.
    #[must_use]
    pub fn line(&self, lasting: Duration) -> String {
        let rate = self.total("latency") as f64 / lasting.as_secs_f64();
        let cell = |metric, share| match self.quantile(metric, share) {
            Some(millis) => format!("{millis:9.1}"),
            None => format!("{:>9}", "-"),
        };
        let mut line = format!(
            "{rate:9.1} {} {} {} {}  ",
            cell("latency", 0.5),
            cell("latency", 0.99),
            cell("hidden", 0.5),
            cell("exposed", 0.5)
        );
        for (region, epsilon) in &self.epsilons {
            // Writing into a text cannot fail.
            let _never = write!(line, " {region} {epsilon:.1}");
        }
        line.push('\n');
        line
    }

    /// How the latencies are spread, one bar per half doubling.
    #[must_use]
    pub fn histogram(&self) -> String {
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

/// The head over the lines.
#[must_use]
pub fn head() -> String {
    format!(
        "{:>9} {:>9} {:>9} {:>9} {:>9}   {}\n",
        "commits/s", "p50 ms", "p99 ms", "hidden", "exposed", "ε ms by region"
    )
}

fn micros(text: &str) -> Result<u64, String> {
    let millis = text.parse::<f64>().map_err(|_| strange("a duration"))?;
    Ok((millis * 1e3).round() as u64)
}

fn strange(what: &str) -> String {
    format!("the server answers {what} in another way than this shell reads it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[&[&str]]) -> Answer {
        let row = |row: &&[&str]| row.iter().map(|cell| Some((*cell).to_owned())).collect();
        Answer { rows: rows.iter().map(row).collect(), ..Answer::default() }
    }

    fn look(rows: &[&[&str]]) -> Look {
        let stats =
            answer(&[&["1", "us-east", "4"], &["2", "us-east", "6.5"], &["3", "west", "1"]]);
        Look::read(&[answer(rows), stats]).expect("well-formed")
    }

    #[test]
    fn an_interval_is_the_difference_of_two_looks() {
        let before = look(&[&["latency", "1", "1.02", "5"], &["hidden", "8", "8.2", "5"]]);
        let after = look(&[
            &["latency", "1", "1.02", "5"],
            &["latency", "41", "42", "10"],
            &["hidden", "8", "8.2", "15"],
        ]);
        let since = after.since(&before);
        let expected = "      5.0      41.5      41.5       8.1         -   us-east 6.5 west 1.0\n";
        assert_eq!(since.line(Duration::from_secs(2)), expected);
        assert!(since.histogram().contains("      10 ████"), "{}", since.histogram());
        assert_eq!(before.since(&after).histogram(), "no commits\n");
    }

    #[test]
    fn answers_of_another_kind_are_told() {
        assert!(Look::read(&[Answer::default()]).is_err());
        let bad = answer(&[&["latency", "soon", "later", "1"]]);
        assert!(Look::read(&[bad, Answer::default()]).is_err());
    }
}
