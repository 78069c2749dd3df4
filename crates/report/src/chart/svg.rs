//! A writer of SVG that sits in a page: colours and fonts are classes of the page's style, so that
//! one drawing serves light, dark and print.

use std::fmt::Write as _;

use crate::page::escape;

/// Colours that people with any kind of colour vision tell apart, after Okabe and Ito (*Color
/// Universal Design*, 2008), with a second set for dark paper. Charts use them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hue {
    /// Ours.
    Blue,
    /// What hurts.
    Vermillion,
    /// A third thing.
    Green,
    /// A fourth thing.
    Purple,
    /// A fifth thing.
    Orange,
    /// Lighter kin of blue.
    Sky,
    /// Somebody else's, or what is left.
    Grey,
}

impl Hue {
    /// All of them, in the order in which charts use them.
    pub const ALL: [Hue; 7] =
        [Hue::Blue, Hue::Vermillion, Hue::Green, Hue::Purple, Hue::Orange, Hue::Sky, Hue::Grey];

    /// The hue of the series at this place; begins again after seven.
    pub fn nth(place: usize) -> Hue {
        Hue::ALL[place % Hue::ALL.len()]
    }

    /// The class of the page's style.
    pub(super) fn class(self) -> &'static str {
        match self {
            Hue::Blue => "blue",
            Hue::Vermillion => "vermillion",
            Hue::Green => "green",
            Hue::Purple => "purple",
            Hue::Orange => "orange",
            Hue::Sky => "sky",
            Hue::Grey => "grey",
        }
    }
}

/// Where text stands relative to its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under way.
#[derive(Debug, Default)]
pub(super) struct Svg {
    out: String,
}

/// Font size of everything but headings of panels; the page's style says the same.
pub(super) const FONT: f64 = 13.0;

impl Svg {
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(place);
        let _ = writeln!(
            self.out,
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        );
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y, text) = (place(at.0), place(at.1), escape(text));
        let _ =
            writeln!(self.out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>");
    }

    /// A rectangle; with a `tip`, one that tells its value.
    pub(super) fn rect(
        &mut self,
        class: &str,
        at: (f64, f64),
        size: (f64, f64),
        tip: Option<&str>,
    ) {
        let [x, y, width, height] = [at.0, at.1, size.0.max(0.0), size.1.max(0.0)].map(place);
        let _ = write!(
            self.out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""
        );
        match tip {
            None => self.out += "/>\n",
            Some(tip) => {
                let _ = writeln!(self.out, "><title>{}</title></rect>", escape(tip));
            }
        }
    }

    /// A line through these places.
    pub(super) fn polyline(&mut self, class: &str, places: &[(f64, f64)]) {
        if places.is_empty() {
            return;
        }
        let path = path(places);
        let _ = writeln!(self.out, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    /// The area within these places.
    pub(super) fn area(&mut self, class: &str, places: &[(f64, f64)]) {
        if places.is_empty() {
            return;
        }
        let path = path(places);
        let _ = writeln!(self.out, "<path class=\"{class}\" d=\"{path}Z\"/>");
    }

    /// A mark of a series: its shape tells it apart where colour does not.
    pub(super) fn mark(&mut self, shape: usize, hue: Hue, (x, y): (f64, f64)) {
        let class = hue.class();
        let d = |steps: &[(f64, f64)]| {
            path(&steps.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>())
        };
        let drawn = match shape % 5 {
            0 => {
                let (x, y) = (place(x), place(y));
                let _ = writeln!(
                    self.out,
                    "<circle class=\"mark {class}\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>"
                );
                return;
            }
            1 => d(&[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)]),
            2 => d(&[(0.0, -5.0), (4.6, 3.4), (-4.6, 3.4)]),
            3 => d(&[(0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)]),
            _ => d(&[(0.0, 5.0), (4.6, -3.4), (-4.6, -3.4)]),
        };
        let _ = writeln!(self.out, "<path class=\"mark {class}\" d=\"{drawn}Z\"/>");
    }

    /// An unseen place that tells a value to a pointer near it.
    pub(super) fn spot(&mut self, hue: Hue, (x, y): (f64, f64), tip: &str) {
        let (x, y, class, tip) = (place(x), place(y), hue.class(), escape(tip));
        let _ = writeln!(
            self.out,
            "<circle class=\"spot {class}\" cx=\"{x}\" cy=\"{y}\" r=\"6\"><title>{tip}</title></circle>"
        );
    }

    /// The whole drawing, with a title and a description for those who cannot see it.
    pub(super) fn finish(self, size: (f64, f64), title: &str, description: &str) -> String {
        let (width, height) = (place(size.0), place(size.1));
        let (title, description) = (escape(title), escape(description));
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {width} {height}\"><title>{title}</title>\
             <desc>{description}</desc>\n{}</svg>\n",
            self.out
        )
    }
}

fn path(places: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, y)) in places.iter().enumerate() {
        let _ = write!(path, "{}{} {}", if at == 0 { 'M' } else { 'L' }, place(*x), place(*y));
    }
    path
}

/// A tenth of a unit is finer than any screen.
fn place(at: f64) -> String {
    let text = format!("{at:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    (if text == "-0" { "0" } else { text }).to_owned()
}

/// About how wide text is: fonts differ, so rather too wide.
pub(super) fn width_of(text: &str) -> f64 {
    let of = |char: char| match char {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.3,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '-' | '/' | '\u{b7}' => 0.38,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
        _ if char.is_uppercase() => 0.7,
        _ => 0.6,
    };
    text.chars().map(of).sum::<f64>() * FONT
}

/// Text that is no wider than `width`, cut with an ellipsis if it must be.
pub(super) fn fit(text: &str, width: f64) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for char in text.chars() {
        if width_of(&cut) + width_of("m\u{2026}") > width {
            break;
        }
        cut.push(char);
    }
    cut.trim_end().to_owned() + "\u{2026}"
}
