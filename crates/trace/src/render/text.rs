//! A timeline for a terminal.
//!
//! ```text
//!   lane: a node           its interval [earliest | latest] where the lane begins and ends
//!     span                 a bar on true time                                     how long
//! ```

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Lane, lanes, round_time, span_of_time};
use crate::{Kind, Record, Stamp, Timeline, axis::Axis};

/// Columns of a line.
pub const WIDTH: usize = 100;
/// Columns of names.
const NAMES: usize = 37;
/// Columns of how long something took.
const TIMES: usize = 10;
/// Columns of bars; a space on either side.
const BARS: usize = WIDTH - NAMES - TIMES - 2;
/// Labels on the ruler, at most about.
const TICKS: usize = 5;

/// Stands behind the name of what ended with an error.
const FAILED: char = '×';

/// Draws a timeline in lines of at most [`WIDTH`] columns.
#[must_use]
pub fn text(timeline: &Timeline) -> String {
    let axis = Axis::new(timeline);
    let mut out = head(timeline);
    let [labels, ruler] = rulers(timeline, &axis);
    line(&mut out, "", &labels, "");
    line(&mut out, "", &ruler, "");
    for lane in lanes(timeline) {
        draw_lane(&mut out, timeline, &axis, &lane);
    }
    out.push_str(&legend(timeline));
    if !timeline.silent.is_empty() {
        let silent: Vec<String> = timeline.silent.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "no answer from {}", silent.join(", "));
    }
    if timeline.lost > 0 {
        let _ = writeln!(out, "{} more spans are not kept", timeline.lost);
    }
    out
}

fn head(timeline: &Timeline) -> String {
    let mut out = format!("trace {}", timeline.id);
    if let Some(nanos) = timeline.root().and_then(Record::nanos) {
        let _ = write!(out, "  {}", span_of_time(nanos));
    }
    if timeline.is_open() {
        out.push_str("  (not over)");
    }
    out.push('\n');
    if let Some(root) = timeline.root() {
        for (name, value) in &root.notes {
            let _ = writeln!(out, "  {name}: {}", fitting(value, WIDTH - name.chars().count() - 4));
        }
    }
    if let Some(span) = timeline.spans.first() {
        let known = span.begin.true_nanos.is_some();
        out.push_str(if known {
            "  true time; [ | ] is a node's own interval around it\n"
        } else {
            "  each node by the middle of its own interval [ | ]; the true time is not known\n"
        });
    }
    out
}

/// The line of labels and the line of ticks.
fn rulers(timeline: &Timeline, axis: &Axis) -> [Vec<char>; 2] {
    let (mut labels, mut ruler) = (vec![' '; BARS], vec!['─'; BARS]);
    let mut free = 0;
    for (nanos, at) in axis.ticks(TICKS) {
        let column = column(at);
        ruler[column] = '┬';
        let label: Vec<char> = span_of_time(nanos).chars().collect();
        let from = column.min(BARS - label.len().min(BARS));
        if from >= free {
            labels[from..from + label.len()].copy_from_slice(&label);
            free = from + label.len() + 1;
        }
    }
    for cut in axis.stretches().iter().filter(|stretch| stretch.cut) {
        ruler[column(cut.left)..=column(cut.right)].fill('⋯');
    }
    let s = timeline.spans.iter().find_map(|span| match span.kind {
        Kind::CommitWait => span.note("s").and_then(wall),
        _ => None,
    });
    if let Some(s) = s {
        ruler[column(axis.place(s))] = 's';
    }
    [labels, ruler]
}

/// The wall part of a commit timestamp: `1795344898283064144.0000000000`.
fn wall(timestamp: &str) -> Option<u64> {
    timestamp.split('.').next()?.parse().ok()
}

fn draw_lane(out: &mut String, timeline: &Timeline, axis: &Axis, lane: &Lane<'_>) {
    let stamps = || lane.spans.iter().flat_map(|(_, span)| [Some(span.begin), span.end]).flatten();
    let first = stamps().min_by_key(Stamp::nanos).expect("a lane has a span");
    let last = stamps().max_by_key(Stamp::nanos).expect("a lane has a span");
    let mut bar = vec![' '; BARS];
    let place = |nanos| column(axis.place(nanos));
    // Two that overlap could not be told apart.
    if place(first.interval.latest) < place(last.interval.earliest) {
        interval(&mut bar, axis, &first);
    }
    interval(&mut bar, axis, &last);
    let mut name = format!("{} {}", timeline.region(lane.node), lane.node);
    if let Some(offset) = first.offset_nanos() {
        let _ = write!(name, "  clock {:+.3} ms", offset as f64 / 1e6);
    }
    let epsilon = first.interval.epsilon().as_secs_f64() * 1e3;
    line(out, &name, &bar, &format!("ε {epsilon:.3} ms"));
    for (depth, span) in &lane.spans {
        let mut bar = vec![' '; BARS];
        draw(&mut bar, axis, span, timeline.end());
        let indent = " ".repeat(2 * (1 + (*depth).min(3)) + depth.saturating_sub(3).min(3));
        let took = span.nanos().map_or_else(|| "...".to_owned(), span_of_time);
        line(out, &format!("{indent}{}", label(span)), &bar, &took);
        // The head tells why the whole failed.
        if let Some(why) = span.note("error").filter(|_| span.parent.is_some()) {
            out.push_str(&fitting(&format!("{indent}  {FAILED} {why}"), WIDTH));
            out.push('\n');
        }
    }
}

/// What a span is called on its line.
fn label(span: &Record) -> String {
    match span.kind {
        Kind::CommitWait if span.note("hidden_nanos").is_some() => {
            let exposed = span.nanos().unwrap_or(0).saturating_sub(span.number("hidden_nanos"));
            match exposed {
                0 => format!("{}, all hidden", span.name),
                _ => format!("{}, {} exposed", span.name, round_time(exposed)),
            }
        }
        _ if span.note("error").is_some() => format!("{} {FAILED}", span.name),
        _ => span.name.clone(),
    }
}

fn interval(bar: &mut [char], axis: &Axis, stamp: &Stamp) {
    let at = |nanos| column(axis.place(nanos));
    bar[at(stamp.interval.earliest)] = '[';
    bar[at(stamp.interval.latest)] = ']';
    bar[at(stamp.nanos())] = '|';
}

fn draw(bar: &mut [char], axis: &Axis, span: &Record, timeline_end: u64) {
    let end = span.end.map_or(timeline_end, |end| end.nanos());
    let (from, to) = (column(axis.place(span.begin.nanos())), column(axis.place(end)));
    let to = to.max(from);
    bar[from..=to].fill(glyph(span.kind));
    let framed = matches!(
        span.kind,
        Kind::Transaction | Kind::Statement | Kind::Operation | Kind::Commit | Kind::Call
    );
    if framed && to > from {
        (bar[from], bar[to]) = ('├', '┤');
    }
    if span.end.is_none() {
        bar[to] = '>';
    }
}

/// What a kind's bars are made of.
fn glyph(kind: Kind) -> char {
    match kind {
        Kind::Transaction | Kind::Statement | Kind::Operation | Kind::Commit => '─',
        Kind::Call => '·',
        Kind::Serve => '▒',
        Kind::Wait => '?',
        Kind::Replicate => '=',
        Kind::Accept => '█',
        Kind::Apply => '░',
        Kind::CommitWait => '~',
    }
}

fn legend(timeline: &Timeline) -> String {
    let used = |kind: &Kind| timeline.spans.iter().any(|span| span.kind == *kind);
    let what = |kind: Kind| match kind {
        Kind::Transaction | Kind::Statement | Kind::Operation | Kind::Commit => "",
        Kind::Call => "call and answer",
        Kind::Serve => "served at the replica",
        Kind::Wait => "waits",
        Kind::Replicate => "in the log until applied",
        Kind::Accept => "acceptor's disk",
        Kind::Apply => "until known chosen",
        Kind::CommitWait => "commit-wait: until s is past",
    };
    let kinds = Kind::ALL
        .into_iter()
        .filter(|kind| used(kind) && !what(*kind).is_empty())
        .map(|kind| format!("{} {}", glyph(kind), what(kind)));
    let failed = timeline.spans.iter().any(|span| span.note("error").is_some());
    let failed = failed.then(|| format!("{FAILED} ended with an error"));
    let mut lines = vec![String::new()];
    for part in kinds.chain(failed) {
        let last = lines.last_mut().expect("there is one");
        if last.chars().count() + part.chars().count() + 3 > WIDTH {
            lines.push(part);
        } else if last.is_empty() {
            *last = part;
        } else {
            *last += "   ";
            *last += &part;
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The column of a place on the axis.
fn column(place: f64) -> usize {
    ((place * BARS as f64) as usize).min(BARS - 1)
}

fn line(out: &mut String, name: &str, bar: &[char], took: &str) {
    let bar: String = bar.iter().collect();
    let name = fitting(name, NAMES);
    let padding = " ".repeat(NAMES - name.width());
    let drawn = format!("{name}{padding} {bar} {took:>TIMES$}");
    out.push_str(drawn.trim_end());
    out.push('\n');
}

/// The text in so many columns: on one line, cut with an ellipsis.
fn fitting(text: &str, columns: usize) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    if text.width() <= columns {
        return text;
    }
    let mut width = 1;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width <= columns
    };
    text.chars().take_while(fits).collect::<String>() + "…"
}
