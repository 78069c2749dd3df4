//! A witness drawn: a lane per process, a bar per operation, an arrow per dependency.
//!
//! ```text
//!                  3 ms      5 ms      9 ms
//!   process 0       [== T1 ==]
//!                        \        ^
//!                      rw x\     / wr x
//!   process 4               [== T2 ==]
//! ```
//!
//! The axis is ordinal: between two events lies the same distance whether nanoseconds or minutes
//! passed, and every event has its time written above.
//!
//! Nothing is printed over something else. A column is as wide as the widest time above it; names
//! of processes and keys that are longer than the room for them end in `…` (the whole text shows where
//! the pointer rests, and stands in the table below). A label looks for a free place along its arrow; if
//! there is none it goes below the drawing, named after its arrow.

use std::{collections::BTreeSet, fmt::Write as _};

use super::html::escape;
use crate::{Anomaly, Nanos, Verdict, WitnessEdge, WitnessOp};

const TOP: f64 = 50.0;
const STEP: f64 = 96.0;
const LANE: f64 = 96.0;
const BAR: f64 = 28.0;
const RIGHT: f64 = 40.0;
/// A letter's width at most, on average, of the font that is asked for: no two fonts agree.
const LETTER: f64 = 7.2;
/// A line of text.
const LINE: f64 = 16.0;
/// Arrows leave a bar right of its middle and arrive left of it, so opposite ones stay apart.
const APART: f64 = 12.0;
/// Letters of a label, of a process's name.
const LABEL_LETTERS: usize = 24;
const PROCESS_LETTERS: usize = 20;

/// A rectangle: left, top, width, height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area(f64, f64, f64, f64);

impl Area {
    fn overlaps(&self, other: &Area) -> bool {
        self.0 < other.0 + other.2
            && other.0 < self.0 + self.2
            && self.1 < other.1 + other.3
            && other.1 < self.1 + self.3
    }

    fn is_within(&self, left: f64, right: f64) -> bool {
        self.0 >= left && self.0 + self.2 <= right
    }

    /// Of a text around a point.
    fn of_text(text: &str, (x, y): (f64, f64)) -> Area {
        let width = LETTER * text.chars().count() as f64 + 4.0;
        Area(x - width / 2.0, y - LINE + 4.0, width, LINE)
    }
}

/// Where things are.
struct Layout<'w> {
    ops: &'w [WitnessOp],
    /// Moments at which something began or ended, ascending.
    moments: Vec<Nanos>,
    /// By lane.
    processes: Vec<&'w str>,
    left: f64,
    step: f64,
    /// What is drawn already: bars, labels.
    taken: Vec<Area>,
    /// Labels that found no place.
    below: Vec<(String, &'static str)>,
}

impl Verdict {
    /// The witness of an anomaly as one `<svg>` element.
    pub fn render_svg(&self, anomaly: &Anomaly) -> String {
        let mut layout = Layout::new(self, &anomaly.witness.ops);
        let mut body = String::new();
        for (at, op) in anomaly.witness.ops.iter().enumerate() {
            self.bar(&layout, (at, op), &mut body);
        }
        // Arrows first, so that none crosses out a label.
        let mut labels = String::new();
        for edge in &anomaly.witness.edges {
            layout.arrow(edge, &mut body, &mut labels);
        }
        let lanes = layout.lanes_end();
        let below = layout.below.iter().map(|(text, _)| LETTER * text.chars().count() as f64);
        let width = below.fold(layout.width(), |width, text| width.max(layout.left + text + 10.0));
        let height = lanes + LINE * layout.below.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\
             <title>{}</title>{MARKERS}",
            escape(&anomaly.name())
        );
        self.axis(&layout, &mut svg);
        svg.push_str(&body);
        svg.push_str(&labels);
        for (at, (text, colour)) in layout.below.iter().enumerate() {
            let y = lanes + LINE * at as f64 + 8.0;
            let _ = write!(
                svg,
                "<text x=\"{:.0}\" y=\"{y:.0}\" fill=\"{colour}\">{}</text>",
                layout.left,
                escape(text)
            );
        }
        svg.push_str("</svg>");
        svg
    }

    fn axis(&self, layout: &Layout<'_>, svg: &mut String) {
        for moment in &layout.moments {
            let x = layout.x(*moment);
            let _ = write!(
                svg,
                "<line x1=\"{x:.0}\" y1=\"{:.0}\" x2=\"{x:.0}\" y2=\"{:.0}\" \
                 stroke=\"var(--line, #e3e6ea)\"/><text x=\"{x:.0}\" y=\"20\" \
                 text-anchor=\"middle\" fill=\"var(--soft, #6b7280)\" font-size=\"11\">{}</text>",
                TOP - 22.0,
                layout.lanes_end(),
                escape(&self.moment(*moment))
            );
        }
        for (lane, process) in layout.processes.iter().enumerate() {
            let y = TOP + LANE * lane as f64 + BAR / 2.0;
            let _ = write!(
                svg,
                "<g><title>{}</title><text x=\"8\" y=\"{:.0}\" \
                 fill=\"var(--text, #374151)\">{}</text></g>\
                 <line x1=\"{:.0}\" y1=\"{y:.0}\" x2=\"{:.0}\" y2=\"{y:.0}\" \
                 stroke=\"var(--line, #d1d5db)\"/>",
                escape(process),
                y + 4.0,
                escape(&lane_name(process)),
                layout.left - 10.0,
                layout.width() - 10.0
            );
        }
    }

    fn bar(&self, layout: &Layout<'_>, (at, op): (usize, &WitnessOp), svg: &mut String) {
        let Area(x, y, width, _) = layout.bar(op);
        let (fill, dashes) = match op.completed {
            Some(_) => ("var(--bar, #dbeafe)", ""),
            None => ("var(--open, #fef3c7)", " stroke-dasharray=\"4 3\""),
        };
        let _ = write!(
            svg,
            "<g><title>{}</title><rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" \
             height=\"{BAR:.0}\" rx=\"5\" fill=\"{fill}\" stroke=\"var(--edge, #475569)\"{dashes}/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-weight=\"600\" \
             fill=\"var(--text, #111827)\">T{}</text></g>",
            escape(&format!("{}: {}", self.span(op), op.text)),
            x + width / 2.0,
            y + BAR / 2.0 + 4.0,
            at + 1
        );
    }
}

fn lane_name(process: &str) -> String {
    format!("process {}", short(process, PROCESS_LETTERS))
}

/// The beginning of a text that is too long.
fn short(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}

impl<'w> Layout<'w> {
    fn new(verdict: &Verdict, ops: &'w [WitnessOp]) -> Self {
        let moments: BTreeSet<Nanos> =
            ops.iter().flat_map(|op| [Some(op.invoked), op.completed]).flatten().collect();
        let mut processes: Vec<&str> = Vec::new();
        for op in ops {
            if !processes.contains(&op.process.as_str()) {
                processes.push(&op.process);
            }
        }
        let width = |text: &str| LETTER * text.chars().count() as f64;
        let names = processes.iter().map(|process| width(&lane_name(process)));
        let times = moments.iter().map(|moment| width(&verdict.moment(*moment)));
        let left = names.fold(80.0, f64::max) + 30.0;
        let step = times.fold(STEP, |widest, time| widest.max(time + 10.0));
        let moments = moments.into_iter().collect();
        let mut layout =
            Self { ops, moments, processes, left, step, taken: Vec::new(), below: Vec::new() };
        layout.taken = ops.iter().map(|op| layout.bar(op)).collect();
        layout
    }

    fn width(&self) -> f64 {
        self.left + self.step * self.moments.len() as f64 + RIGHT
    }

    fn lanes_end(&self) -> f64 {
        TOP + LANE * self.processes.len() as f64
    }

    fn x(&self, moment: Nanos) -> f64 {
        let before = self.moments.partition_point(|before| *before < moment) as f64;
        self.left + self.step * (before + 0.5)
    }

    /// Who never ended reaches to the right edge. Operations of one process that ran at once lie over
    /// each other, as they should not be there.
    fn bar(&self, op: &WitnessOp) -> Area {
        let lane = self.processes.iter().position(|process| *process == op.process);
        let y = TOP + LANE * lane.expect("every process has a lane") as f64;
        let begin = self.x(op.invoked);
        let end = match op.completed {
            Some(end) => self.x(end),
            None => self.left + self.step * self.moments.len() as f64 + RIGHT / 2.0,
        };
        Area(begin, y, (end - begin).max(30.0), BAR)
    }

    fn arrow(&mut self, edge: &WitnessEdge, svg: &mut String, labels: &mut String) {
        let from = self.bar(&self.ops[edge.from]);
        let to = self.bar(&self.ops[edge.to]);
        let (x1, x2) = (from.0 + from.2 / 2.0 + APART, to.0 + to.2 / 2.0 - APART);
        // In one lane the arrow bows below the bars; between lanes it runs from edge to edge.
        let (y1, y2, bow) = if from.1 == to.1 {
            (from.1 + BAR, to.1 + BAR, 44.0)
        } else if from.1 < to.1 {
            (from.1 + BAR, to.1, 0.0)
        } else {
            (from.1, to.1 + BAR, 0.0)
        };
        let middle = ((x1 + x2) / 2.0, (y1 + y2) / 2.0 + bow);
        let (colour, dashes) = match edge.label.split(' ').next() {
            Some("ww") => ("var(--ww, #7c3aed)", ""),
            Some("wr") => ("var(--wr, #0f766e)", ""),
            Some("rw") => ("var(--rw, #dc2626)", ""),
            _ => ("var(--edge, #475569)", " stroke-dasharray=\"5 4\""),
        };
        let because = escape(&edge.because);
        let _ = write!(
            svg,
            "<g><title>{because}</title><path d=\"M{x1:.0} {y1:.0} Q{:.0} {:.0} \
             {x2:.0} {y2:.0}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dashes} \
             marker-end=\"url(#head)\"/></g>",
            middle.0, middle.1
        );
        let label = short(&edge.label, LABEL_LETTERS);
        match self.place(&label, [(x1, y1), middle, (x2, y2)]) {
            Some((x, y)) => {
                let _ = write!(
                    labels,
                    "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\" fill=\"{colour}\" \
                     stroke=\"var(--page, #fff)\" stroke-width=\"4\" paint-order=\"stroke\">\
                     <title>{because}</title>{}</text>",
                    escape(&label)
                );
            }
            None => {
                let name = format!("T{} → T{}: {label}", edge.from + 1, edge.to + 1);
                self.below.push((name, colour));
            }
        }
    }

    /// A free place for a label at its curve: on it, or else beside it; the middle is best.
    fn place(&mut self, label: &str, [from, bend, to]: [(f64, f64); 3]) -> Option<(f64, f64)> {
        let along = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8];
        let points = along.map(|t: f64| {
            let mix = |a: f64, b: f64, c: f64| {
                (1.0 - t) * (1.0 - t) * a + 2.0 * (1.0 - t) * t * b + t * t * c
            };
            (mix(from.0, bend.0, to.0), mix(from.1, bend.1, to.1) + 4.0)
        });
        let half = LETTER * label.chars().count() as f64 / 2.0 + 6.0;
        let beside = [0.0, half, -half];
        let mut places = beside.iter().flat_map(|by| points.map(|(x, y)| (x + by, y)));
        let (left, right, bottom) = (self.left - 20.0, self.width(), self.lanes_end());
        let found = places.find(|place| {
            let area = Area::of_text(label, *place);
            area.is_within(left, right)
                && area.1 + area.3 <= bottom
                && !self.taken.iter().any(|taken| taken.overlaps(&area))
        })?;
        self.taken.push(Area::of_text(label, found));
        Some(found)
    }
}

const MARKERS: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
                       markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
                       <path d=\"M0 0L8 4L0 8z\" fill=\"context-stroke\"/></marker></defs>";

#[cfg(test)]
mod tests;
