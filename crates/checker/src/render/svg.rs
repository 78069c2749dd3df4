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

use std::{collections::BTreeSet, fmt::Write as _};

use super::html::escape;
use crate::{Anomaly, Nanos, Verdict, WitnessEdge, WitnessOp};

const LEFT: f64 = 110.0;
const TOP: f64 = 50.0;
const STEP: f64 = 96.0;
const LANE: f64 = 92.0;
const BAR: f64 = 28.0;
const RIGHT: f64 = 40.0;
/// Arrows leave a bar right of its middle and arrive left of it, so opposite ones stay apart.
const APART: f64 = 12.0;

/// Where things are.
struct Layout<'w> {
    ops: &'w [WitnessOp],
    /// Moments at which something began or ended, ascending.
    moments: Vec<Nanos>,
    /// By lane.
    processes: Vec<u64>,
}

impl Verdict {
    /// The witness of an anomaly as one `<svg>` element.
    pub fn render_svg(&self, anomaly: &Anomaly) -> String {
        let layout = Layout::new(&anomaly.witness.ops);
        let width = LEFT + STEP * layout.moments.len() as f64 + RIGHT;
        let height = TOP + LANE * layout.processes.len() as f64;
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\
             <title>{}</title>{}",
            escape(&anomaly.name()),
            MARKERS
        );
        self.axis(&layout, (width, height), &mut svg);
        for (at, op) in anomaly.witness.ops.iter().enumerate() {
            self.bar(&layout, (at, op), &mut svg);
        }
        for edge in &anomaly.witness.edges {
            layout.arrow(edge, &mut svg);
        }
        svg.push_str("</svg>");
        svg
    }

    fn axis(&self, layout: &Layout<'_>, (width, height): (f64, f64), svg: &mut String) {
        for moment in &layout.moments {
            let x = layout.x(*moment);
            let _ = write!(
                svg,
                "<line x1=\"{x:.0}\" y1=\"{:.0}\" x2=\"{x:.0}\" y2=\"{height:.0}\" \
                 stroke=\"#e3e6ea\"/><text x=\"{x:.0}\" y=\"20\" text-anchor=\"middle\" \
                 fill=\"#6b7280\" font-size=\"11\">{}</text>",
                TOP - 22.0,
                escape(&self.moment(*moment))
            );
        }
        for (lane, process) in layout.processes.iter().enumerate() {
            let y = TOP + LANE * lane as f64 + BAR / 2.0;
            let _ = write!(
                svg,
                "<text x=\"8\" y=\"{:.0}\" fill=\"#374151\">process {process}</text>\
                 <line x1=\"{:.0}\" y1=\"{y:.0}\" x2=\"{:.0}\" y2=\"{y:.0}\" stroke=\"#d1d5db\"/>",
                y + 4.0,
                LEFT - 10.0,
                width - 10.0
            );
        }
    }

    fn bar(&self, layout: &Layout<'_>, (at, op): (usize, &WitnessOp), svg: &mut String) {
        let (x, y, width) = layout.bar(op);
        let (fill, dashes) = match op.completed {
            Some(_) => ("#dbeafe", ""),
            None => ("#fef3c7", " stroke-dasharray=\"4 3\""),
        };
        let _ = write!(
            svg,
            "<g><title>{}</title><rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" \
             height=\"{BAR:.0}\" rx=\"5\" fill=\"{fill}\" stroke=\"#475569\"{dashes}/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-weight=\"600\" \
             fill=\"#111827\">T{}</text></g>",
            escape(&format!("{}: {}", self.span(op), op.text)),
            x + width / 2.0,
            y + BAR / 2.0 + 4.0,
            at + 1
        );
    }
}

impl<'w> Layout<'w> {
    fn new(ops: &'w [WitnessOp]) -> Self {
        let moments: BTreeSet<Nanos> =
            ops.iter().flat_map(|op| [Some(op.invoked), op.completed]).flatten().collect();
        let mut processes: Vec<u64> = Vec::new();
        for op in ops {
            if !processes.contains(&op.process) {
                processes.push(op.process);
            }
        }
        Self { ops, moments: moments.into_iter().collect(), processes }
    }

    fn x(&self, moment: Nanos) -> f64 {
        LEFT + STEP * (self.moments.partition_point(|before| *before < moment) as f64 + 0.5)
    }

    /// Left, top and width. Who never ended reaches to the right edge.
    fn bar(&self, op: &WitnessOp) -> (f64, f64, f64) {
        let lane = self.processes.iter().position(|process| *process == op.process);
        let y = TOP + LANE * lane.expect("every process has a lane") as f64;
        let begin = self.x(op.invoked);
        let end = match op.completed {
            Some(end) => self.x(end),
            None => LEFT + STEP * self.moments.len() as f64 + RIGHT / 2.0,
        };
        (begin, y, (end - begin).max(30.0))
    }

    fn arrow(&self, edge: &WitnessEdge, svg: &mut String) {
        let (from_x, from_y, from_width) = self.bar(&self.ops[edge.from]);
        let (to_x, to_y, to_width) = self.bar(&self.ops[edge.to]);
        let (x1, x2) = (from_x + from_width / 2.0 + APART, to_x + to_width / 2.0 - APART);
        // In one lane the arrow bows below the bars; between lanes it runs from edge to edge.
        let (y1, y2, bow) = if from_y == to_y {
            (from_y + BAR, to_y + BAR, 44.0)
        } else if from_y < to_y {
            (from_y + BAR, to_y, 0.0)
        } else {
            (from_y, to_y + BAR, 0.0)
        };
        let (middle_x, middle_y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0 + bow);
        let (colour, dashes) = match edge.label.split(' ').next() {
            Some("ww") => ("#7c3aed", ""),
            Some("wr") => ("#0f766e", ""),
            Some("rw") => ("#dc2626", ""),
            _ => ("#475569", " stroke-dasharray=\"5 4\""),
        };
        let _ = write!(
            svg,
            "<g><title>{}</title><path d=\"M{x1:.0} {y1:.0} Q{middle_x:.0} {middle_y:.0} \
             {x2:.0} {y2:.0}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dashes} \
             marker-end=\"url(#head)\"/><text x=\"{middle_x:.0}\" y=\"{:.0}\" \
             text-anchor=\"middle\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\"4\" \
             paint-order=\"stroke\">{}</text></g>",
            escape(&edge.because),
            (y1 + y2) / 4.0 + middle_y / 2.0 + 4.0,
            escape(&edge.label)
        );
    }
}

const MARKERS: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
                       markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
                       <path d=\"M0 0L8 4L0 8z\" fill=\"context-stroke\"/></marker></defs>";
