//! A timeline as one page with nothing to load: lanes in SVG, details on hovering, a table below.
//!
//! Beside each node runs its own clock: the band from `earliest` to `latest` at the beginning and
//! end of everything it did, around the true time. On a narrow page the drawing does not shrink until
//! nobody can read it: it scrolls.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Lane, lanes, span_of_time};
use crate::{Kind, Record, SpanId, Stamp, Timeline, axis::Axis};

/// Width of the drawing in pixels.
const WIDTH: f64 = 1_240.0;
/// The names' part of it.
const NAMES: f64 = 290.0;
/// Room at the right for how long things took.
const TIMES: f64 = 80.0;
/// Height of a span's line.
const LINE: f64 = 18.0;
/// Height of a lane's head, in which its clock is drawn.
const HEAD: f64 = 26.0;
/// Height of the ruler.
const RULER: f64 = 34.0;
/// Labels on the ruler, at most about.
const TICKS: usize = 10;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2433;--faint:#6b7487;--line:#d8dde8;--paper:#fff;--lane:#f4f6fa}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8f1;--faint:#98a2b8;--line:#39425a;--paper:#141925;--lane:#1c2333}}\
body{font:14px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:24px;max-width:1290px}\
h1{font-size:18px;margin:0 0 4px}p{margin:4px 0 12px;color:var(--faint)}\
svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}text{fill:var(--ink)}\
.faint{fill:var(--faint)}.node{font-weight:600}.lane{fill:var(--lane)}.tick{stroke:var(--line)}\
.cut{fill:var(--line);opacity:.55}.link{stroke:var(--faint);fill:none;opacity:.45}\
.band{fill:#8a63d2;opacity:.28}.true{stroke:#8a63d2;stroke-width:1.5}.s{stroke:#d33;stroke-dasharray:4 3}\
.transaction,.statement,.operation,.commit{fill:#7d8aa5}.call{fill:#9db4d8}.serve{fill:#4a7fc1}\
.wait{fill:#e0a030}.replicate{fill:#3b9c8f}.accept{fill:#1f6f5c}.apply{fill:#a5cfc4}\
.commit-wait{fill:#d1495b}.open{opacity:.5}\
.wide{overflow-x:auto}.wide svg{min-width:1000px}\
.key{display:inline-block;margin-right:14px;white-space:nowrap}.key svg{display:inline-block;width:12px;height:12px;vertical-align:-2px;margin-right:4px}\
table{border-collapse:collapse;width:100%;font-size:12px}td,th{text-align:left;padding:2px 8px;border-bottom:1px solid var(--line);vertical-align:top}\
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}";

/// Draws a timeline as a page.
#[must_use]
pub fn html(timeline: &Timeline) -> String {
    let title = timeline.root().map_or("trace", |root| root.name.as_str());
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
    let _ = write!(page, "<title>{}</title><style>{STYLE}</style></head><body>", escape(title));
    page.push_str(&heading(timeline, title));
    page.push_str(&drawing(timeline));
    page.push_str(&legend(timeline));
    page.push_str(&table(timeline));
    page.push_str("</body></html>\n");
    page
}

fn heading(timeline: &Timeline, title: &str) -> String {
    let took = timeline.root().and_then(Record::nanos).map(span_of_time);
    let mut head = format!("<h1>{}</h1><p>trace {}", escape(title), timeline.id);
    if let Some(took) = took {
        let _ = write!(head, " &middot; {took}");
    }
    for (name, value) in timeline.root().map_or(&[][..], |root| &root.notes) {
        let _ = write!(head, " &middot; {}: {}", escape(name), escape(value));
    }
    let known = timeline.spans.first().is_some_and(|span| span.begin.true_nanos.is_some());
    head.push_str(if known {
        "<br>On true time. A node's band is the interval of its own clock, the tick in it the truth."
    } else {
        "<br>Each node by the middle of its own interval, its band; the true time is not known."
    });
    if timeline.is_open() {
        head.push_str(" Not over.");
    }
    if timeline.lost > 0 {
        let _ = write!(head, " {} more spans are not kept.", timeline.lost);
    }
    for node in &timeline.silent {
        let _ = write!(head, " No answer from {node}.");
    }
    head + "</p>"
}

/// Where things are drawn.
struct Sheet {
    axis: Axis,
    /// The middle of each span's line.
    lines: BTreeMap<SpanId, f64>,
}

impl Sheet {
    fn x(&self, nanos: u64) -> f64 {
        NAMES + self.axis.place(nanos) * (WIDTH - NAMES - TIMES)
    }
}

fn drawing(timeline: &Timeline) -> String {
    let lanes = lanes(timeline);
    let mut sheet = Sheet { axis: Axis::new(timeline), lines: BTreeMap::new() };
    let mut y = RULER;
    let mut tops = Vec::new();
    for lane in &lanes {
        tops.push(y);
        y += HEAD;
        for (_, span) in &lane.spans {
            sheet.lines.insert(span.id, y + LINE / 2.0);
            y += LINE;
        }
        y += 6.0;
    }
    let height = y + 4.0;
    let mut svg = String::from("<div class=\"wide\">");
    let _ = write!(svg, "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">");
    for (lane, top) in lanes.iter().zip(&tops) {
        let tall = HEAD + LINE * lane.spans.len() as f64;
        let _ = write!(
            svg,
            "<rect class=\"lane\" x=\"0\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{tall:.1}\" rx=\"4\"/>"
        );
    }
    svg.push_str(&ruler(timeline, &sheet, height));
    svg.push_str(&links(timeline, &sheet));
    for (lane, top) in lanes.iter().zip(tops) {
        svg.push_str(&head(timeline, &sheet, lane, top));
        for (depth, span) in &lane.spans {
            svg.push_str(&bar(timeline, &sheet, *depth, span));
        }
    }
    svg + "</svg></div>"
}

fn ruler(timeline: &Timeline, sheet: &Sheet, height: f64) -> String {
    let mut svg = String::new();
    for (nanos, _) in sheet.axis.ticks(TICKS) {
        let x = sheet.x(timeline.begin() + nanos);
        let _ = write!(
            svg,
            "<line class=\"tick\" x1=\"{x:.1}\" y1=\"22\" x2=\"{x:.1}\" y2=\"{height:.0}\"/>\
             <text class=\"faint\" x=\"{x:.1}\" y=\"16\" text-anchor=\"middle\">{}</text>",
            span_of_time(nanos)
        );
    }
    for cut in sheet.axis.stretches().iter().filter(|stretch| stretch.cut) {
        let (from, to) = (sheet.x(timeline.begin() + cut.from), sheet.x(timeline.begin() + cut.to));
        let _ = write!(
            svg,
            "<rect class=\"cut\" x=\"{from:.1}\" y=\"22\" width=\"{:.1}\" height=\"{:.0}\">\
             <title>nothing happened for {}</title></rect>",
            to - from,
            height - 22.0,
            span_of_time(cut.to - cut.from)
        );
    }
    let waits = timeline.spans.iter().filter(|span| span.kind == Kind::CommitWait);
    let s = waits.filter_map(|span| span.note("s")?.split('.').next()?.parse().ok()).next();
    if let Some(s) = s {
        let x = sheet.x(s);
        let _ = write!(
            svg,
            "<line class=\"s\" x1=\"{x:.1}\" y1=\"22\" x2=\"{x:.1}\" y2=\"{height:.0}\">\
             <title>the commit timestamp s</title></line>\
             <text x=\"{x:.1}\" y=\"30\" text-anchor=\"middle\">s</text>"
        );
    }
    svg
}

/// From a cause to what it caused on another node.
fn links(timeline: &Timeline, sheet: &Sheet) -> String {
    let mut svg = String::new();
    for span in &timeline.spans {
        let cause = timeline.spans.iter().find(|cause| Some(cause.id) == span.parent);
        let Some(cause) = cause.filter(|cause| cause.id.node != span.id.node) else { continue };
        let (x1, y1) = (sheet.x(cause.begin.nanos()), sheet.lines[&cause.id]);
        let (x2, y2) = (sheet.x(span.begin.nanos()), sheet.lines[&span.id]);
        let _ = write!(svg, "<path class=\"link\" d=\"M{x1:.1} {y1:.1} L{x2:.1} {y2:.1}\"/>");
    }
    svg
}

fn head(timeline: &Timeline, sheet: &Sheet, lane: &Lane<'_>, top: f64) -> String {
    let mut stamps: Vec<Stamp> =
        lane.spans.iter().flat_map(|(_, span)| [Some(span.begin), span.end]).flatten().collect();
    stamps.sort_by_key(Stamp::nanos);
    stamps.dedup_by_key(|stamp| stamp.nanos());
    let (y, text) = (top + 13.0, top + 17.0);
    let mut svg = format!(
        "<text class=\"node\" x=\"10\" y=\"{text:.1}\">{} {}</text>",
        escape(timeline.region(lane.node)),
        lane.node
    );
    let first = stamps.first().expect("a lane has a span");
    let mut clock = format!("\u{3b5} {:.3} ms", first.interval.epsilon().as_secs_f64() * 1e3);
    if let Some(offset) = first.offset_nanos() {
        let _ = write!(clock, ", clock {:+.3} ms", offset as f64 / 1e6);
    }
    let _ = write!(
        svg,
        "<text class=\"faint\" x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{clock}</text>",
        NAMES - 8.0
    );
    for stamp in &stamps {
        let (from, to) = (sheet.x(stamp.interval.earliest), sheet.x(stamp.interval.latest));
        let x = sheet.x(stamp.nanos());
        let _ = write!(
            svg,
            "<rect class=\"band\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"8\">\
             <title>{} {}: [{}, {}]</title></rect>\
             <line class=\"true\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>",
            y - 4.0,
            (to - from).max(0.5),
            lane.node,
            span_of_time(stamp.nanos().saturating_sub(timeline.begin())),
            stamp.interval.earliest,
            stamp.interval.latest,
            y - 6.0,
            y + 6.0
        );
    }
    svg
}

fn bar(timeline: &Timeline, sheet: &Sheet, depth: usize, span: &Record) -> String {
    let y = sheet.lines[&span.id];
    let end = span.end.map_or(timeline.end(), |end| end.nanos());
    let (from, to) = (sheet.x(span.begin.nanos()), sheet.x(end));
    let text = y + 4.0;
    let took = span.nanos().map_or_else(|| "...".to_owned(), span_of_time);
    let open = if span.end.is_none() { " open" } else { "" };
    let tall = match span.kind {
        Kind::Transaction | Kind::Statement | Kind::Operation | Kind::Commit => 4.0,
        Kind::Call => 7.0,
        Kind::Serve
        | Kind::Wait
        | Kind::Replicate
        | Kind::Accept
        | Kind::Apply
        | Kind::CommitWait => 12.0,
    };
    let mut about = format!("{}: {} ({took})", span.kind.name(), span.name);
    for (name, value) in &span.notes {
        let _ = write!(about, "\n{name}: {value}");
    }
    let x = 22.0 + 12.0 * depth as f64;
    format!(
        "<g><title>{}</title><text x=\"{x:.1}\" y=\"{text:.1}\">{}</text>\
         <rect class=\"{}{open}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall}\" \
         rx=\"2\"/><text class=\"faint\" x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{took}</text></g>",
        escape(&about),
        escape(&short(&span.name, ((NAMES - x) / 6.2) as usize)),
        span.kind.name(),
        y - tall / 2.0,
        (to - from).max(1.5),
        WIDTH - 8.0
    )
}

fn legend(timeline: &Timeline) -> String {
    let used = Kind::ALL.into_iter().filter(|kind| timeline.spans.iter().any(|s| s.kind == *kind));
    let key = |kind: Kind| {
        format!(
            "<span class=\"key\"><svg viewBox=\"0 0 12 12\"><rect class=\"{0}\" width=\"12\" \
             height=\"12\" rx=\"2\"/></svg>{0}</span>",
            kind.name()
        )
    };
    format!("<p>{}</p>", used.map(key).collect::<String>())
}

fn table(timeline: &Timeline) -> String {
    let mut rows = String::new();
    for span in &timeline.spans {
        let notes: Vec<String> =
            span.notes.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let ms = |nanos: u64| format!("{:.3}", nanos as f64 / 1e6);
        let _ = write!(
            rows,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{} {}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>",
            ms(span.begin.nanos() - timeline.begin()),
            span.nanos().map_or_else(|| "...".to_owned(), ms),
            escape(timeline.region(span.id.node)),
            span.id.node,
            span.kind.name(),
            escape(&span.name),
            escape(&notes.join("; "))
        );
    }
    format!(
        "<details><summary>{} spans</summary><table><tr><th>begin, ms</th><th>took, ms</th>\
         <th>node</th><th>kind</th><th>name</th><th>notes</th></tr>{rows}</table></details>",
        timeline.spans.len()
    )
}

fn short(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).collect::<String>() + "\u{2026}"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
