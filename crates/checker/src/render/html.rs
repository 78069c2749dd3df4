//! A verdict as one page that needs nothing else: no scripts, no fonts, no network.
//!
//! The plainest witnesses stand open, the others are folded away. The page follows the reader's choice
//! of light or dark, and is as wide as its window: a drawing that is wider scrolls by itself.

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
        let (shown, folded) = self.shown();
        for (at, anomaly) in shown.iter().enumerate() {
            self.section(at + 1, anomaly, &mut page);
        }
        if !folded.is_empty() {
            let noun = if folded.len() == 1 { "witness" } else { "witnesses" };
            let _ = writeln!(page, "<details><summary>{} more {noun}</summary>", folded.len());
            for (at, anomaly) in folded.iter().enumerate() {
                self.section(shown.len() + at + 1, anomaly, &mut page);
            }
            page.push_str("</details>\n");
        }
        if let Some(besides) = self.besides(&self.anomalies) {
            let _ = writeln!(page, "<p>Found and not drawn: {}.</p>", escape(&besides));
        }
        list("Notes", &self.notes, &mut page);
        list("Skipped", &self.passed_over(), &mut page);
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
        let _ = writeln!(page, "<div class=\"wide\">{}</div>", self.render_svg(anomaly));
        page.push_str("<div class=\"wide\"><table>");
        for (at, op) in anomaly.witness.ops.iter().enumerate() {
            let extra: Vec<String> = stamps(op).into_iter().chain(op.note.clone()).collect();
            let _ = write!(
                page,
                "<tr><th>T{}</th><td class=\"when\">{}<br><small>{}</small></td><td><code>{}</code><br>\
                 <small>{}</small></td></tr>",
                at + 1,
                escape(&self.span(op)),
                escape(&identity(op)),
                escape(&op.text),
                escape(&extra.join("; "))
            );
        }
        page.push_str("</table></div>\n");
        if !anomaly.witness.edges.is_empty() {
            page.push_str("<div class=\"wide\"><table>");
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
            page.push_str("</table></div>\n");
        }
        page.push_str("</section>\n");
    }
}

fn list(title: &str, lines: &[String], page: &mut String) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2>\n<ul>");
    for line in lines {
        let _ = write!(page, "<li>{}</li>", escape(line));
    }
    page.push_str("</ul>\n");
}

/// Colours are variables, which the drawings use too.
const STYLE: &str = ":root{color-scheme:light dark;--page:#fff;--text:#1f2937;--soft:#6b7280;\
    --line:#e3e6ea;--bar:#dbeafe;--open:#fef3c7;--edge:#475569;--ww:#7c3aed;--wr:#0f766e;\
    --rw:#dc2626}@media(prefers-color-scheme:dark){:root{--page:#14181f;--text:#e5e7eb;\
    --soft:#9aa4b2;--line:#323a46;--bar:#1e3a5f;--open:#4a3b10;--edge:#9aa4b2;--ww:#b794f6;\
    --wr:#4fd1c5;--rw:#fc8181}}body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;\
    margin:2rem auto;padding:0 1rem;color:var(--text);background:var(--page);\
    overflow-wrap:break-word}h1{font-size:1.4rem;border-left:.4rem solid;padding-left:.7rem}\
    .yes{border-color:#16a34a}.no{border-color:#dc2626}.undecided{border-color:#d97706}\
    section{border-top:1px solid var(--line);margin-top:1.5rem}h2{font-size:1.1rem}\
    summary{cursor:pointer;margin-top:1.5rem}.meaning,small{color:var(--soft)}\
    .wide{overflow-x:auto}table{border-collapse:collapse;margin:.6rem 0}th,td{text-align:left;\
    vertical-align:top;padding:.25rem .9rem .25rem 0}th,.when{white-space:nowrap}\
    code{white-space:pre-wrap}";
