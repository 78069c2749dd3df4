//! One HTML file that holds everything it shows.
//!
//! Style and script are embedded, charts are SVG in the text, and a content security policy forbids
//! the browser to load anything at all, so a page shows the same in ten years and on a plane. Light
//! or dark as the reader's system is; printed, always light. Without script charts still tell their
//! values, by the browser's own tips.

use crate::{chart::Chart, table::Table};

const COLORS: &str = include_str!("page/colors.css");
const STYLE: &str = include_str!("page/style.css");
const DRAWING: &str = include_str!("page/drawing.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Nothing may be loaded; only what is in the page itself is applied.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// A page under way, from top to bottom.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
    /// Charts so far, to number them.
    figures: usize,
}

impl Page {
    /// A page with a title and, below it, what it is about in a sentence.
    pub fn new(title: impl Into<String>, lead: &str) -> Page {
        let lead = format!("<p class=\"lead\">{}</p>\n", inline(lead));
        Page { title: title.into(), body: lead, figures: 0 }
    }

    /// Begins a section.
    pub fn heading(&mut self, text: &str) {
        self.body += &format!("<h2>{}</h2>\n", escape(text));
    }

    /// Paragraphs, with an empty line between two. Lines that begin with `- ` make a list. Text in
    /// backticks is set as code, text between two asterisks on either side is strong; all else
    /// stands as it is.
    pub fn prose(&mut self, text: &str) {
        self.body += &paragraphs(text);
    }

    /// Prose set apart: what to make of it, or what to beware of.
    pub fn note(&mut self, text: &str) {
        self.body += &format!("<aside>{}</aside>\n", paragraphs(text));
    }

    /// The few numbers that matter most, large: each a value with its unit, and what it is.
    pub fn key_numbers(&mut self, numbers: &[(&str, &str)]) {
        self.body += "<dl class=\"numbers\">";
        for (value, what) in numbers {
            self.body += &format!("<div><dd>{}</dd><dt>{}</dt></div>", escape(value), escape(what));
        }
        self.body += "</dl>\n";
    }

    /// A table under a caption, which may be empty.
    pub fn table(&mut self, caption: &str, table: &Table) {
        self.body += &table.to_html(caption);
    }

    /// A chart with its title above and its caption below.
    pub fn chart(&mut self, chart: &dyn Chart) {
        self.figures += 1;
        let (number, title) = (self.figures, escape(chart.title()));
        self.body += &format!(
            "<figure id=\"figure-{number}\"><h3><span>Figure {number}.</span> {title}</h3>\n\
             <div class=\"scroll\"><div class=\"drawing\">\n{}</div></div>\n",
            chart.markup()
        );
        if !chart.caption().is_empty() {
            self.body += &format!("<figcaption>{}</figcaption>", inline(chart.caption()));
        }
        self.body += "</figure>\n";
    }

    /// The command that makes this page again.
    pub fn command(&mut self, command: &str) {
        self.body += &format!("<pre><code>{}</code></pre>\n", escape(command));
    }

    /// Lines of characters that stand as they are.
    pub fn listing(&mut self, lines: &str) {
        self.body += &format!("<pre class=\"listing\">{}</pre>\n", escape(lines));
    }

    /// The whole file.
    pub fn render(&self) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{COLORS}{STYLE}{DRAWING}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n{}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            self.body
        )
    }
}

/// A drawing as a file of its own, with its colours on paper of its own: for documents that cannot
/// hold SVG in their text. `None`: the chart is several drawings.
pub fn drawing(chart: &dyn Chart) -> Option<String> {
    let markup = chart.markup();
    let rest = markup.strip_prefix("<svg role=\"img\" viewBox=\"0 0 ")?;
    if rest.contains("<svg ") {
        return None;
    }
    let (size, body) = rest.split_once("\">")?;
    let (width, height) = size.split_once(' ')?;
    let [width, height] = [width.parse::<f64>().ok()?, height.parse::<f64>().ok()?];
    let [wide, tall] = [width + 2.0 * MARGIN, height + 2.0 * MARGIN];
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{wide}\" height=\"{tall}\" \
         viewBox=\"-{MARGIN} -{MARGIN} {wide} {tall}\" font-family=\"{FONTS}\">\n\
         <style>\n{COLORS}{DRAWING}svg {{ background: var(--paper); }}\n</style>\n{body}"
    ))
}

/// The fonts of a drawing in a file of its own.
const FONTS: &str = "system-ui, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif";

/// The paper around it.
const MARGIN: f64 = 16.0;

/// Text as it must stand in HTML and SVG, between tags and within quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Escaped text with code in backticks and strong text in double asterisks. A mark without its
/// partner stands for itself.
fn inline(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*']) {
        html += &escape(&rest[..at]);
        rest = &rest[at..];
        let (mark, tag) = if rest.starts_with('`') { ("`", "code") } else { ("**", "strong") };
        let inner = rest.strip_prefix(mark).and_then(|inner| inner.split_once(mark));
        match inner {
            Some((inner, after)) if !inner.is_empty() => {
                html += &format!("<{tag}>{}</{tag}>", escape(inner));
                rest = after;
            }
            Some(_) | None => {
                html += &escape(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    html + &escape(rest)
}

fn paragraphs(text: &str) -> String {
    let mut html = String::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let items: Option<Vec<&str>> =
            paragraph.lines().map(|line| line.trim().strip_prefix("- ")).collect();
        match items {
            Some(items) => {
                html += "<ul>";
                for item in items {
                    html += &format!("<li>{}</li>", inline(item));
                }
                html += "</ul>\n";
            }
            None => html += &format!("<p>{}</p>\n", inline(paragraph)),
        }
    }
    html
}

#[cfg(test)]
mod tests;
