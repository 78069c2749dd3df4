//! True time on paper: linear, but for stretches in which nothing happened.
//!
//! ```text
//!   BEGIN      a client thinks for 12 s      INSERT, COMMIT
//!   |==|·································|==================|      as it was
//!   |====|⋯|==============================================|      as it is drawn
//! ```

use crate::{Kind, Timeline};

/// A quiet stretch longer than this part of all that is busy is cut.
const CUT_ABOVE: f64 = 0.25;
/// What a cut takes of the width.
const CUT_WIDTH: f64 = 0.03;

/// A stretch of time and the part of the width it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Its beginning, nanoseconds since the timeline's beginning.
    pub from: u64,
    /// Its end.
    pub to: u64,
    /// Where it begins, 0 to 1.
    pub left: f64,
    /// Where it ends.
    pub right: f64,
    /// Whether nothing happened, so that it is cut short.
    pub cut: bool,
}

/// Maps moments of a timeline to 0..=1.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    begin: u64,
    stretches: Vec<Stretch>,
}

impl Axis {
    /// The axis of a timeline.
    pub fn new(timeline: &Timeline) -> Axis {
        let begin = timeline.begin();
        let length = (timeline.end() - begin).max(1);
        let mut busy: Vec<(u64, u64)> = timeline
            .spans
            .iter()
            .filter(|span| span.kind != Kind::Transaction)
            .map(|span| {
                let end = span.end.map_or(length, |end| end.nanos().saturating_sub(begin));
                let from = span.begin.nanos() - begin;
                (from, end.max(from))
            })
            .collect();
        busy.sort_unstable();
        let mut parts: Vec<(u64, u64, bool)> = Vec::new();
        let mut at = 0;
        let total = covered(&busy).max(1);
        for (from, to) in busy.into_iter().chain([(length, length)]) {
            if from > at && (from - at) as f64 > CUT_ABOVE * total as f64 {
                parts.push((at, from, true));
                at = from;
            }
            if to > at {
                match parts.last_mut() {
                    Some((_, end, false)) => *end = to,
                    Some(_) | None => parts.push((at, to, false)),
                }
                at = to;
            }
        }
        Axis { begin, stretches: weigh(&parts) }
    }

    /// The stretches, in order.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Where a moment lies, given in nanoseconds since the Unix epoch; at an end of the axis if it
    /// lies beyond.
    pub fn place(&self, nanos: u64) -> f64 {
        let at = nanos.saturating_sub(self.begin);
        let found = self.stretches.iter().find(|stretch| at <= stretch.to);
        let Some(stretch) = found else { return 1.0 };
        let part = (at.max(stretch.from) - stretch.from) as f64;
        let width = stretch.right - stretch.left;
        stretch.left + width * part / (stretch.to - stretch.from).max(1) as f64
    }

    /// Round moments for a ruler, some `count` of them: nanoseconds since the beginning, and where.
    pub fn ticks(&self, count: usize) -> Vec<(u64, f64)> {
        let busy = self.stretches.iter().filter(|stretch| !stretch.cut);
        let shown: u64 = busy.clone().map(|stretch| stretch.to - stretch.from).sum();
        let least = shown / count.max(1) as u64;
        let step = round_above(least.max(1));
        let mut ticks = Vec::new();
        for stretch in busy {
            let mut at = stretch.from.div_ceil(step) * step;
            while at <= stretch.to && ticks.len() < 4 * count {
                ticks.push((at, self.place(self.begin + at)));
                at += step;
            }
        }
        ticks
    }
}

/// How much of the time some interval covers; they are sorted.
fn covered(busy: &[(u64, u64)]) -> u64 {
    let (mut sum, mut at) = (0, 0);
    for (from, to) in busy {
        sum += to.saturating_sub(at.max(*from));
        at = at.max(*to);
    }
    sum
}

/// Gives every part its width.
fn weigh(parts: &[(u64, u64, bool)]) -> Vec<Stretch> {
    let cuts = parts.iter().filter(|(.., cut)| *cut).count() as f64 * CUT_WIDTH;
    let busy: u64 = parts.iter().filter(|(.., cut)| !cut).map(|(from, to, _)| to - from).sum();
    let mut left = 0.0;
    let widths = parts.iter().map(|(from, to, cut)| {
        let share = (to - from) as f64 / busy.max(1) as f64;
        let width = if *cut { CUT_WIDTH } else { share * (1.0 - cuts).max(0.1) };
        (*from, *to, *cut, width)
    });
    let mut stretches: Vec<Stretch> = Vec::new();
    for (from, to, cut, width) in widths {
        stretches.push(Stretch { from, to, left, right: left + width, cut });
        left += width;
    }
    // Many cuts may ask for more than there is.
    let all = left.max(f64::MIN_POSITIVE);
    for stretch in &mut stretches {
        stretch.left /= all;
        stretch.right /= all;
    }
    stretches
}

/// The least of 1, 2, 5, 10, 20, 50 ... that is at or above.
fn round_above(least: u64) -> u64 {
    let mut decade: u64 = 1;
    loop {
        for digit in [1, 2, 5] {
            let step = digit * decade;
            if step >= least {
                return step;
            }
        }
        decade = match decade.checked_mul(10) {
            Some(next) if next < u64::MAX / 10 => next,
            Some(_) | None => return least,
        };
    }
}
