//! A verdict as one page that needs nothing else: no scripts, no fonts, no network.

use std::fmt::Write as _;

use super::{identity, stamps, summary};
use crate::{Anomaly, Validity, Verdict};

/// Text inside of HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

impl Verdict {
    /// The whole verdict as a page.
    pub fn render_html(&self) -> String {
        let class = match self.valid {
            Validity::Yes => "yes",
            Validity::No => "no",
            Validity::Undecided => "undecided",
        };
        let headline = escape(&self.headline());
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{headline}</title>\
             <style>{STYLE}</style></head><body>\n<h1 class=\"{class}\">{headline}</h1>\n<p>{}</p>\n",
            escape(&summary(&self.stats))
        );
        for (at, anomaly) in self.anomalies.iter().enumerate() {
            self.section(at + 1, anomaly, &mut page);
        }
        if !self.notes.is_empty() {
            page.push_str("<h2>Notes</h2>\n<ul>");
            for note in &self.notes {
                let _ = write!(page, "<li>{}</li>", escape(note));
            }
            page.push_str("</ul>\n");
        }
        page.push_str("</body></html>\n");
        page
    }

    fn section(&self, number: usize, anomaly: &Anomaly, page: &mut String) {
        let allowed =
            if anomaly.forbidden { String::new() } else { format!(" ({} allows it)", self.model) };
        let _ = write!(
            page,
            "<section><h2>{number}. {}</h2>\n<p class=\"meaning\">{}{allowed}</p>\n<p>{}</p>\n",
            escape(&anomaly.name()),
            escape(anomaly.kind.meaning()),
            escape(&anomaly.explanation)
        );
        let _ = write!(page, "<div class=\"drawing\">{}</div>\n<table>", self.render_svg(anomaly));
        for (at, op) in anomaly.witness.ops.iter().enumerate() {
            let extra: Vec<String> = stamps(op).into_iter().chain(op.note.clone()).collect();
            let _ = write!(
                page,
                "<tr><th>T{}</th><td>{}<br><small>{}</small></td><td><code>{}</code><br>\
                 <small>{}</small></td></tr>",
                at + 1,
                escape(&self.span(op)),
                escape(&identity(op)),
                escape(&op.text),
                escape(&extra.join("; "))
            );
        }
        page.push_str("</table>\n");
        if !anomaly.witness.edges.is_empty() {
            page.push_str("<table>");
            for edge in &anomaly.witness.edges {
                let _ = write!(
                    page,
                    "<tr><th>T{} &rarr; T{}</th><td>{}</td><td>{}</td></tr>",
                    edge.from + 1,
                    edge.to + 1,
                    escape(&edge.label),
                    escape(&edge.because)
                );
            }
            page.push_str("</table>\n");
        }
        page.push_str("</section>\n");
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;\
    padding:0 1rem;color:#1f2937}h1{font-size:1.4rem;border-left:.4rem solid;padding-left:.7rem}\
    .yes{border-color:#16a34a}.no{border-color:#dc2626}.undecided{border-color:#d97706}\
    section{border-top:1px solid #e5e7eb;margin-top:1.5rem}h2{font-size:1.1rem}\
    .meaning,small{color:#6b7280}.drawing{overflow-x:auto}table{border-collapse:collapse;\
    margin:.6rem 0}th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0}\
    code{white-space:pre-wrap}";
