//! Bars: the parts of a whole in a stack, or several numbers side by side.

use super::{
    Chart, WIDTH,
    axis::{Axis, Ends, Placed, Scale, Tick},
    labels::{Swatch, key},
    lines::draw_x_axis,
    svg::{Anchor, FONT, Hue, Svg, fit, width_of},
};
use crate::{number, stats::Estimate};

/// The widest name of a row.
const NAME: f64 = 230.0;

/// The thickness of a bar that is a stack.
const STACK: f64 = 22.0;

/// The thickness of one of several bars of a row.
const BAR: f64 = 15.0;

/// Between rows.
const GAP: f64 = 9.0;

/// The height of a heading between rows.
const HEADING: f64 = 30.0;

/// Whether the parts of a row are one bar or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stacked,
    Grouped,
}

#[derive(Clone, Debug)]
enum Row {
    Heading(String),
    /// One value per part, or none where nothing is known.
    Values(String, Vec<Option<Estimate>>),
}

/// A chart of bars that begin at zero and lie on their side, since names of rows need the room.
#[derive(Clone, Debug)]
pub struct Bars {
    title: String,
    caption: String,
    axis: Axis,
    kind: Kind,
    parts: Vec<(String, Hue)>,
    rows: Vec<Row>,
}

impl Bars {
    /// Stacks: each row is one bar of these parts, in this order. Intervals of parts are only told
    /// by tips.
    ///
    /// # Panics
    ///
    /// If the axis is logarithmic: bars are read by their length, which begins at zero.
    pub fn stacked<N: Into<String>>(
        title: impl Into<String>,
        axis: Axis,
        parts: impl IntoIterator<Item = (N, Hue)>,
    ) -> Bars {
        Bars::of(Kind::Stacked, title, axis, parts)
    }

    /// Groups: each row has one bar per part, with its interval.
    ///
    /// # Panics
    ///
    /// If the axis is logarithmic.
    pub fn grouped<N: Into<String>>(
        title: impl Into<String>,
        axis: Axis,
        parts: impl IntoIterator<Item = (N, Hue)>,
    ) -> Bars {
        Bars::of(Kind::Grouped, title, axis, parts)
    }

    fn of<N: Into<String>>(
        kind: Kind,
        title: impl Into<String>,
        axis: Axis,
        parts: impl IntoIterator<Item = (N, Hue)>,
    ) -> Bars {
        assert_eq!(axis.scale, Scale::Linear, "bars of {} begin at zero", axis.label);
        let axis = Axis { from_zero: true, ..axis };
        let parts = parts.into_iter().map(|(name, hue)| (name.into(), hue)).collect();
        Bars { title: title.into(), caption: String::new(), axis, kind, parts, rows: Vec::new() }
    }

    /// With a text below.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Bars {
        self.caption = caption.into();
        self
    }

    /// A heading over the rows that follow.
    #[must_use]
    pub fn heading(mut self, text: impl Into<String>) -> Bars {
        self.rows.push(Row::Heading(text.into()));
        self
    }

    /// A row with one value per part; `None` where nothing is known.
    ///
    /// # Panics
    ///
    /// If there are more or fewer values than parts, or one is below zero.
    #[must_use]
    pub fn row<V: Into<Estimate>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = Option<V>>,
    ) -> Bars {
        let values: Vec<Option<Estimate>> =
            values.into_iter().map(|value| value.map(Into::into)).collect();
        assert_eq!(values.len(), self.parts.len(), "one value per part of {}", self.title);
        for value in values.iter().flatten() {
            assert!(value.value >= 0.0, "a bar of {}", value.value);
        }
        self.rows.push(Row::Values(name.into(), values));
        self
    }

    fn row_height(&self, row: &Row) -> f64 {
        match (row, self.kind) {
            (Row::Heading(_), _) => HEADING,
            (Row::Values(..), Kind::Stacked) => STACK + GAP,
            (Row::Values(..), Kind::Grouped) => BAR * self.parts.len() as f64 + GAP,
        }
    }

    /// The ends of all bars and of their intervals.
    fn ends(&self) -> Vec<f64> {
        let mut ends = Vec::new();
        for row in &self.rows {
            let Row::Values(_, values) = row else { continue };
            let known = values.iter().flatten();
            match self.kind {
                Kind::Stacked => ends.push(known.map(|value| value.value).sum()),
                Kind::Grouped => ends.extend(known.map(reach)),
            }
        }
        ends
    }

    /// A value as it stands beside its bar: all with as many digits after the point as the smallest
    /// needs, but not more than the largest is worth.
    fn show(&self, value: f64) -> String {
        let of = |row: &Row| match row {
            Row::Heading(_) => Vec::new(),
            Row::Values(_, values) => values.iter().flatten().map(|value| value.value).collect(),
        };
        let values: Vec<f64> = self.rows.iter().flat_map(of).collect();
        let worth = match values.iter().copied().fold(0.0, f64::max) {
            largest if largest >= 1_000.0 => 0,
            largest if largest >= 10.0 => 1,
            largest if largest >= 1.0 => 2,
            _ => 3,
        };
        number::fixed(value, number::decimals_for(values).min(worth))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(|row| match row {
            Row::Heading(_) => None,
            Row::Values(name, _) => Some(name.as_str()),
        })
    }

    fn draw_stack(
        &self,
        svg: &mut Svg,
        x: &Placed,
        y: f64,
        name: &str,
        values: &[Option<Estimate>],
    ) {
        let mut total = 0.0;
        for ((part, hue), value) in self.parts.iter().zip(values) {
            let Some(value) = value else { continue };
            let (from, to) = (x.at(total), x.at(total + value.value));
            total += value.value;
            if value.value == 0.0 {
                continue;
            }
            // A hair of paper between the parts.
            let width = (to - from - 1.0).max(0.5);
            let class = format!("fill {}", hue.class());
            svg.rect(&class, (from, y), (width, STACK), Some(&self.tip(name, part, value)));
            let text = self.show(value.value);
            if width_of(&text) + 8.0 < width {
                let class = format!("on {}", hue.class());
                let at = ((from + to) / 2.0, y + STACK / 2.0 + FONT * 0.35);
                svg.text(&class, at, Anchor::Middle, &text);
            }
        }
        let at = (x.at(total) + 6.0, y + STACK / 2.0 + FONT * 0.35);
        svg.text("total", at, Anchor::Start, &self.show(total));
    }

    fn draw_group(
        &self,
        svg: &mut Svg,
        x: &Placed,
        y: f64,
        name: &str,
        values: &[Option<Estimate>],
    ) {
        for (at, ((part, hue), value)) in self.parts.iter().zip(values).enumerate() {
            let y = y + at as f64 * BAR;
            let middle = y + BAR / 2.0;
            let Some(value) = value else {
                let at = (x.from() + 6.0, middle + FONT * 0.35);
                svg.text("note", at, Anchor::Start, "not known");
                continue;
            };
            let size = (x.at(value.value) - x.from(), BAR - 2.0);
            let class = format!("fill {}", hue.class());
            svg.rect(&class, (x.from(), y + 1.0), size, Some(&self.tip(name, part, value)));
            if let Some(interval) = value.interval {
                let (low, high) = (x.at(interval.low().max(0.0)), x.at(interval.high()));
                svg.line("whisker ink", (low, middle), (high, middle));
                for end in [low, high] {
                    svg.line("whisker ink", (end, middle - 3.0), (end, middle + 3.0));
                }
            }
            let at = (x.at(reach(value)) + 6.0, middle + FONT * 0.35);
            svg.text("label", at, Anchor::Start, &self.show(value.value));
        }
    }

    fn tip(&self, row: &str, part: &str, value: &Estimate) -> String {
        let mut tip = format!("{row}\n{part}: {}", self.axis.show(value.value));
        if let Some(interval) = value.interval {
            tip += &format!("\ninterval {interval}");
        }
        tip
    }
}

/// How far a bar and its interval reach.
fn reach(value: &Estimate) -> f64 {
    value.interval.map_or(value.value, |interval| interval.high().max(value.value))
}

impl Chart for Bars {
    fn title(&self) -> &str {
        &self.title
    }

    fn caption(&self) -> &str {
        &self.caption
    }

    fn markup(&self) -> String {
        let mut svg = Svg::default();
        let keys: Vec<_> =
            self.parts.iter().map(|(name, hue)| (Swatch::Patch(*hue), name.clone())).collect();
        let top = key(&mut svg, (0.0, WIDTH), 0.0, &keys) + 10.0;
        let bottom = top + self.rows.iter().map(|row| self.row_height(row)).sum::<f64>();
        let ends = self.ends();
        let value_width =
            ends.iter().map(|end| width_of(&self.show(*end))).fold(0.0, f64::max).max(40.0);
        let left = self.names().map(|name| width_of(name).min(NAME)).fold(0.0, f64::max) + 10.0;
        let x = self.axis.place(ends, (left, WIDTH - value_width - 10.0), Ends::AtValues);
        for Tick { at, .. } in x.ticks() {
            svg.line("grid", (at, top), (at, bottom));
        }
        let mut y = top;
        for row in &self.rows {
            match row {
                Row::Heading(text) => {
                    let text = fit(text, WIDTH);
                    svg.text("total", (0.0, y + HEADING - 10.0), Anchor::Start, &text);
                }
                Row::Values(name, values) => {
                    let middle = y + (self.row_height(row) - GAP) / 2.0;
                    let at = (left - 8.0, middle + FONT * 0.35);
                    svg.text("label", at, Anchor::End, &fit(name, NAME));
                    match self.kind {
                        Kind::Stacked => self.draw_stack(&mut svg, &x, y, name, values),
                        Kind::Grouped => self.draw_group(&mut svg, &x, y, name, values),
                    }
                }
            }
            y += self.row_height(row);
        }
        let height = draw_x_axis(&mut svg, &x, bottom, &self.axis.heading());
        let parts: Vec<&str> = self.parts.iter().map(|(name, _)| name.as_str()).collect();
        let rows: Vec<&str> = self.names().collect();
        let description =
            format!("{}: {} of {}", self.axis.heading(), parts.join(", "), rows.join(", "));
        svg.finish((WIDTH, height), &self.title, &description)
    }
}
