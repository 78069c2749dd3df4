//! A summary for a terminal of [`WIDTH`] columns: wrapped prose, histograms, sparklines.

use unicode_width::UnicodeWidthStr;

use crate::{
    number,
    stats::{Percentile, Sample},
};

/// The columns of the narrowest terminal that is written for.
pub const WIDTH: usize = 100;

/// The longest bar of a histogram.
const BAR_WIDTH: usize = 50;

/// The most values a sparkline shows: it fits a line beside a name.
const SPARKLINE_WIDTH: usize = 60;

/// Bars in eighths of a character.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Levels of a sparkline.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Prose wrapped at [`WIDTH`] columns. Line ends are kept, so that lists stay lists. A word longer
/// than a line stays whole.
pub fn wrap(prose: &str) -> String {
    let mut wrapped = String::new();
    for line in prose.lines() {
        let mut width = 0;
        for word in line.split_whitespace() {
            if width > 0 && width + 1 + word.width() > WIDTH {
                wrapped.push('\n');
                width = 0;
            } else if width > 0 {
                wrapped.push(' ');
                width += 1;
            }
            wrapped += word;
            width += word.width();
        }
        wrapped.push('\n');
    }
    wrapped
}

/// A line in words: `n 1,000 · mean 14.4 · p50 14.1 · p99 19.9 · max 22.1 ms`.
pub fn describe(sample: &Sample, unit: &str) -> String {
    let [median, p99] = [Percentile::MEDIAN, Percentile::P99].map(|p| sample.percentile(p));
    let short = number::short;
    format!(
        "n {} · mean {} · p50 {} · p99 {} · max {} {unit}",
        number::fixed(sample.count() as f64, 0),
        short(sample.mean()),
        short(median),
        short(p99),
        short(sample.max())
    )
}

/// A histogram of at most `most` lines, each with its range, a bar and a count. Equal bins; a bin
/// that is not empty has a bar one can see.
///
/// # Panics
///
/// If `most` is below 2.
pub fn histogram(sample: &Sample, unit: &str, most: usize) -> String {
    let bins = sample.bins(most);
    let decimals = number::decimals_of_step(bins.width);
    let edge = |bin: usize| number::fixed(bins.edge(bin), decimals);
    let ranges: Vec<(String, String)> =
        (0..bins.counts.len()).map(|bin| (edge(bin), edge(bin + 1))).collect();
    let width = |text: &String| text.chars().count();
    let left = ranges.iter().map(|(low, _)| width(low)).max().unwrap_or(0);
    let right = ranges.iter().map(|(_, high)| width(high)).max().unwrap_or(0);
    let largest = bins.counts.iter().copied().max().unwrap_or(0).max(1);
    let mut lines = String::new();
    for ((low, high), count) in ranges.iter().zip(&bins.counts) {
        let bar = bar(*count as f64 / largest as f64);
        let line = format!("{low:>left$} \u{2013} {high:>right$} {unit} │{bar} {count}");
        lines += line.trim_end();
        lines.push('\n');
    }
    lines
}

/// A bar for a share of the longest one.
fn bar(share: f64) -> String {
    let eighths = (share * BAR_WIDTH as f64 * 8.0).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

/// Values in the order of time as one line, from the smallest to the largest; a time series longer
/// than 60 values is shown by the means of 60 stretches.
///
/// # Panics
///
/// If a value is not finite.
pub fn sparkline(values: &[f64]) -> String {
    let shown = values.len().min(SPARKLINE_WIDTH);
    let means: Vec<f64> = (0..shown)
        .map(|at| {
            let stretch = &values[at * values.len() / shown..(at + 1) * values.len() / shown];
            stretch.iter().sum::<f64>() / stretch.len() as f64
        })
        .collect();
    let Some(sample) = Sample::new(means.iter().copied()) else { return String::new() };
    let (low, span) = (sample.min(), sample.max() - sample.min());
    let level = |value: f64| if span > 0.0 { (value - low) / span * 7.0 } else { 3.0 };
    means.into_iter().map(|mean| LEVELS[level(mean).round() as usize]).collect()
}

#[cfg(test)]
mod tests;
