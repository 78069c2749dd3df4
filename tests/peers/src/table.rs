//! The table of ratios.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    Options,
    systems::Kind,
    work::{Outcome, Work, millis},
};

/// What was measured is written between these, in a Markdown file.
const MARKS: [&str; 2] = ["<!-- measured: cargo xtask peers --write -->", "<!-- measured: end -->"];

/// Work, and what each side made of it, round by round.
#[derive(Debug)]
pub struct Row<'a> {
    work: &'a Work,
    ours: Vec<Outcome>,
    theirs: Vec<Outcome>,
}

impl<'a> Row<'a> {
    /// Nothing is measured yet.
    pub fn new(work: &'a Work) -> Row<'a> {
        Row { work, ours: Vec::new(), theirs: Vec::new() }
    }

    /// The ratio of each round, ordered.
    fn ratios(&self) -> Vec<f64> {
        let pairs = self.ours.iter().zip(&self.theirs);
        sorted(pairs.map(|(ours, theirs)| ours.per_second / theirs.per_second))
    }
}

/// All rows.
#[derive(Debug)]
pub struct Table<'a>(Vec<Row<'a>>);

impl<'a> Table<'a> {
    /// Of these rows.
    pub fn new(rows: Vec<Row<'a>>) -> Table<'a> {
        Table(rows)
    }

    /// One more outcome.
    pub fn add(&mut self, row: usize, side: Kind, outcome: Outcome) {
        let row = &mut self.0[row];
        let column = if side == Kind::Meridian { &mut row.ours } else { &mut row.theirs };
        column.push(outcome);
    }

    /// As Markdown.
    pub fn told(&self, options: &Options) -> String {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let mut told = format!(
            "Medians of {} rounds of {} s each, on {cores} cores.\n\n\
             | work | beside | Meridian, /s | peer, /s | ratio (least to most) | goal | \
             mean, ours and peer's | p99 | failed |\n\
             |---|---|---|---|---|---|---|---|---|\n",
            options.rounds, options.seconds
        );
        for row in &self.0 {
            let ratios = row.ratios();
            let rate = |side: &[Outcome]| median(side.iter().map(|outcome| outcome.per_second));
            let cells = [
                row.work.name.to_owned(),
                row.work.peer.name().to_owned(),
                format!("{:.0}", rate(&row.ours)),
                format!("{:.0}", rate(&row.theirs)),
                format!(
                    "**{:.2}** ({:.2} to {:.2})",
                    median(ratios.iter().copied()),
                    ratios[0],
                    ratios[ratios.len() - 1]
                ),
                row.work.goal.map_or_else(String::new, |goal| goal.to_string()),
                both(row, |outcome| Some(millis(outcome.mean))),
                both(row, |outcome| outcome.p99.map(millis)),
                both(row, |outcome| Some(format!("{:.1}%", outcome.failed * 100.0))),
            ];
            told.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        told
    }
}

/// A figure of each side, of the round with the median throughput.
fn both(row: &Row<'_>, figure: impl Fn(&Outcome) -> Option<String>) -> String {
    let of = |side: &[Outcome]| {
        let mut ordered: Vec<&Outcome> = side.iter().collect();
        ordered.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        ordered.get(ordered.len() / 2).and_then(|outcome| figure(outcome))
    };
    match (of(&row.ours), of(&row.theirs)) {
        (Some(ours), Some(theirs)) => format!("{ours}, {theirs}"),
        (ours, theirs) => ours.or(theirs).unwrap_or_default(),
    }
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle one; of an even number the upper of the two.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(figures);
    sorted[sorted.len() / 2]
}

/// Replaces what stands between the marks of a file.
pub fn write_between_marks(file: &Path, told: &str) -> Result<()> {
    let named = || file.display().to_string();
    let text = fs::read_to_string(file).with_context(named)?;
    let replaced = between_marks(&text, told).with_context(named)?;
    fs::write(file, replaced).with_context(named)
}

fn between_marks(text: &str, told: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let (before, rest) = text.split_once(begin).with_context(|| format!("it has no {begin}"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("it has no {end}"))?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", told.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let [begin, end] = MARKS;
        let text = format!("# A\n{begin}\nold\n{end}\nB\n");
        let replaced = between_marks(&text, "new\n").expect("both marks are there");
        assert_eq!(replaced, format!("# A\n{begin}\n\nnew\n\n{end}\nB\n"));
        assert!(between_marks("# A\n", "new").is_err());
    }

    #[test]
    fn the_median_is_a_figure_that_was_seen() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([2.0, 1.0].into_iter()), 2.0);
    }
}
