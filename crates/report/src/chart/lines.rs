//! Lines: measurements with error bars or bands, theory dashed over them, and time series.

use super::{
    Chart, WIDTH,
    axis::{Axis, Ends, Placed, Scale, Tick},
    labels::{LINE, Swatch, key, spread},
    series::{Kind, Series},
    svg::{Anchor, FONT, Hue, Svg, fit, width_of},
};
use crate::stats::Estimate;

/// The most points of a series that are drawn.
const POINTS: usize = 2_000;

/// The most points of a series that tell their values.
const SPOTS: usize = 200;

/// The most marks on a line with a band: it tells where it is by itself.
const MARKS: usize = 12;

/// The widest name beside a line.
const NAME: f64 = 210.0;

/// The widest name of an event.
const EVENT: f64 = 380.0;

/// A chart of lines.
#[derive(Clone, Debug)]
pub struct Lines {
    title: String,
    caption: String,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
    /// Upright lines with names: events.
    events: Vec<(f64, String)>,
    /// Level lines with names: bounds.
    bounds: Vec<(f64, String)>,
    /// Of the area of the lines.
    height: f64,
}

/// Where everything goes.
struct Layout {
    x: Placed,
    y: Placed,
    /// The bottom of the whole drawing.
    bottom: f64,
}

/// A name in the right margin.
struct Label {
    text: String,
    /// Where its line ends.
    end: (f64, f64),
    /// None for a bound.
    series: Option<(Hue, Option<usize>)>,
}

impl Lines {
    /// A chart without lines.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Lines {
        Lines {
            title: title.into(),
            caption: String::new(),
            x,
            y,
            series: Vec::new(),
            events: Vec::new(),
            bounds: Vec::new(),
            height: 300.0,
        }
    }

    /// With a text below.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Lines {
        self.caption = caption.into();
        self
    }

    /// With one more line.
    #[must_use]
    pub fn series(mut self, series: Series) -> Lines {
        self.series.push(series);
        self
    }

    /// With a named upright line: something happened here.
    #[must_use]
    pub fn event(mut self, x: f64, name: impl Into<String>) -> Lines {
        self.events.push((x, name.into()));
        self
    }

    /// With a named level line: a bound.
    #[must_use]
    pub fn bound(mut self, y: f64, name: impl Into<String>) -> Lines {
        self.bounds.push((y, name.into()));
        self
    }

    /// With lines this high, 300 if nothing is said; more if the names need it.
    #[must_use]
    pub fn height(mut self, height: f64) -> Lines {
        self.height = height;
        self
    }

    fn hue(&self, index: usize) -> Hue {
        let series = &self.series[index];
        let takes_next = |series: &&Series| series.hue.is_none() && series.kind != Kind::Theory;
        let next = match series.kind {
            Kind::Theory => Hue::Grey,
            Kind::Measured | Kind::Banded | Kind::Trace | Kind::Steps => {
                Hue::nth(self.series[..index].iter().filter(takes_next).count())
            }
        };
        series.hue.unwrap_or(next)
    }

    /// The shape of the marks of a series: the first has the first.
    fn shape(&self, index: usize) -> usize {
        self.series[..index].iter().filter(|series| series.has_marks()).count()
    }

    /// Whether a series is the theory of a measured one, and needs no name.
    fn is_theory_of_another(&self, index: usize) -> bool {
        let theory = &self.series[index];
        let same = |other: usize| {
            self.series[other].kind != Kind::Theory && Some(self.hue(other)) == theory.hue
        };
        theory.kind == Kind::Theory && (0..self.series.len()).any(same)
    }

    /// The heads of series, bounds and their hues, but for what is known by its hue.
    fn names(&self) -> Vec<&str> {
        let series = (0..self.series.len()).filter(|index| !self.is_theory_of_another(*index));
        let series = series.map(|index| self.series[index].name.as_str());
        series.chain(self.bounds.iter().map(|(_, name)| name.as_str())).collect()
    }

    fn keys(&self) -> Vec<(Swatch, String)> {
        if !(0..self.series.len()).any(|index| self.is_theory_of_another(index)) {
            return Vec::new();
        }
        vec![(Swatch::Measured, "measured".to_owned()), (Swatch::Theory, "theory".to_owned())]
    }

    fn all_x(&self) -> impl Iterator<Item = f64> {
        let points = self.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x);
        points.chain(self.events.iter().map(|(x, _)| *x))
    }

    fn all_y(&self) -> impl Iterator<Item = f64> {
        let is_log = self.y.scale == Scale::Log;
        let of = move |estimate: &Estimate| {
            // An interval that reaches below zero does not make a logarithmic axis show zero.
            let ends = estimate.interval.map(|interval| [interval.low(), interval.high()]);
            let ends = ends.into_iter().flatten().filter(move |end| !is_log || *end > 0.0);
            [estimate.value].into_iter().chain(ends)
        };
        let points = self.series.iter().flat_map(|series| &series.points);
        points.flat_map(move |(_, y)| of(y)).chain(self.bounds.iter().map(|(y, _)| *y))
    }

    /// Draws heads, keys and axes, and says where the lines go.
    fn frame(&self, svg: &mut Svg) -> Layout {
        let names = self.names();
        let height = self.height.max(names.len() as f64 * LINE);
        let place_y = |from_to| self.y.place(self.all_y(), from_to, Ends::Rounded);
        // How wide ticks are does not depend on where they are.
        let ticks = place_y((1.0, 0.0)).ticks();
        let tick_width = ticks.iter().map(|tick| width_of(&tick.text)).fold(0.0, f64::max);
        let name_width = names.iter().map(|name| width_of(name).min(NAME)).fold(0.0, f64::max);
        let right = WIDTH - if name_width > 0.0 { name_width + 36.0 } else { 12.0 };
        let x = self.x.place(self.all_x(), (tick_width + 10.0, right), Ends::AtValues);
        let events = self.event_rows(&x);
        let rows = events.iter().map(|(row, _)| row + 1).max().unwrap_or(0);

        let keys_height = key(svg, (0.0, WIDTH), 0.0, &self.keys());
        let head = if keys_height > 0.0 { keys_height + 6.0 } else { 0.0 };
        svg.text("head", (0.0, head + FONT), Anchor::Start, &self.y.heading());
        let top = head + LINE + rows as f64 * LINE + 8.0;
        let bottom = top + height;
        let y = place_y((bottom, top));
        for Tick { at, text } in y.ticks() {
            svg.line("grid", (x.from(), at), (right, at));
            svg.text("tick", (x.from() - 7.0, at + FONT * 0.35), Anchor::End, &text);
        }
        if let Some(at) = y.break_at() {
            let left = x.from();
            svg.line("axis", (left - 4.0, at + 1.0), (left + 4.0, at - 5.0));
            svg.line("axis", (left - 4.0, at + 5.0), (left + 4.0, at - 1.0));
        }
        for ((row, anchor), (at, name)) in events.into_iter().zip(&self.events) {
            let (x, middle) = (x.at(*at), top - 4.0 - (row as f64 + 0.5) * LINE);
            svg.line("event", (x, middle - 6.0), (x, bottom));
            let dx = if matches!(anchor, Anchor::End) { -5.0 } else { 5.0 };
            svg.text("note", (x + dx, middle + FONT * 0.35), anchor, &fit(name, EVENT));
        }
        let axis_bottom = draw_x_axis(svg, &x, bottom, &self.x.heading());
        Layout { x, y, bottom: axis_bottom }
    }

    /// The row above the lines that the name of each event has, from below, and the side of its
    /// line that it begins at: names in one row do not touch.
    fn event_rows(&self, x: &Placed) -> Vec<(usize, Anchor)> {
        let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut place = |(value, name): &(f64, String)| {
            let (at, width) = (x.at(*value), width_of(&fit(name, EVENT)) + 10.0);
            let is_right = at + width > WIDTH;
            let (from, to) = if is_right { (at - width, at) } else { (at, at + width) };
            let is_free = |row: &Vec<(f64, f64)>| row.iter().all(|(a, b)| to <= *a || from >= *b);
            let row = taken.iter().position(is_free).unwrap_or_else(|| {
                taken.push(Vec::new());
                taken.len() - 1
            });
            taken[row].push((from, to));
            (row, if is_right { Anchor::End } else { Anchor::Start })
        };
        self.events.iter().map(&mut place).collect()
    }

    fn draw_series(&self, svg: &mut Svg, layout: &Layout, index: usize) {
        let series = &self.series[index];
        let class = self.hue(index).class();
        let points = series.thinned(POINTS);
        let place = |(x, y): &(f64, Estimate)| (layout.x.at(*x), layout.y.at(y.value));
        let places: Vec<(f64, f64)> = points.iter().map(place).collect();
        match series.kind {
            Kind::Measured => svg.polyline(&format!("curve {class}"), &places),
            Kind::Banded => {
                svg.area(&format!("band {class}"), &band(&points, layout));
                svg.polyline(&format!("curve {class}"), &places);
            }
            Kind::Theory => svg.polyline(&format!("curve theory {class}"), &places),
            Kind::Trace => svg.polyline(&format!("curve thin {class}"), &places),
            Kind::Steps => svg.polyline(&format!("curve thin {class}"), &stepped(&places)),
        }
        let stride = match series.kind {
            Kind::Measured => 1,
            Kind::Banded => points.len().div_ceil(MARKS).max(1),
            Kind::Theory | Kind::Trace | Kind::Steps => return,
        };
        for ((x, y), place) in points.iter().zip(&places).step_by(stride) {
            if let (Kind::Measured, Some(interval)) = (series.kind, y.interval) {
                let x = layout.x.at(*x);
                let (low, high) = (layout.y.at(interval.low()), layout.y.at(interval.high()));
                let class = format!("whisker {class}");
                svg.line(&class, (x, low), (x, high));
                svg.line(&class, (x - 4.0, low), (x + 4.0, low));
                svg.line(&class, (x - 4.0, high), (x + 4.0, high));
            }
            svg.mark(self.shape(index), self.hue(index), *place);
        }
    }

    fn draw_spots(&self, svg: &mut Svg, layout: &Layout, index: usize) {
        let series = &self.series[index];
        let stride = series.points.len().div_ceil(SPOTS).max(1);
        for (x, y) in series.points.iter().step_by(stride) {
            let mut tip = format!("{}\n{} {}", series.name, self.x.label, self.x.show(*x));
            tip += &format!("\n{} {}", self.y.label, self.y.show(y.value));
            if let Some(interval) = y.interval {
                tip += &format!("\ninterval {interval}");
            }
            svg.spot(self.hue(index), (layout.x.at(*x), layout.y.at(y.value)), &tip);
        }
    }

    fn draw_labels(&self, svg: &mut Svg, layout: &Layout) {
        let mut labels = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            if let (false, Some((x, y))) = (self.is_theory_of_another(index), series.points.last())
            {
                let mark = series.has_marks().then(|| self.shape(index));
                let end = (layout.x.at(*x), layout.y.at(y.value));
                let series_label = Some((self.hue(index), mark));
                labels.push(Label { text: series.name.clone(), end, series: series_label });
            }
        }
        for (y, name) in &self.bounds {
            let end = (layout.x.to(), layout.y.at(*y));
            svg.line("event", (layout.x.from(), end.1), end);
            labels.push(Label { text: name.clone(), end, series: None });
        }
        let wanted: Vec<f64> = labels.iter().map(|label| label.end.1).collect();
        let heights = spread(&wanted, LINE, (layout.y.to(), layout.y.from()));
        let right = layout.x.to();
        for (label, y) in labels.iter().zip(heights) {
            let class = label.series.map_or("", |(hue, _)| hue.class());
            svg.line(&format!("leader {class}"), label.end, (right + 13.0, y));
            if let Some((hue, Some(mark))) = label.series {
                svg.mark(mark, hue, (right + 18.0, y));
            } else {
                svg.line(&format!("curve {class}"), (right + 13.0, y), (right + 23.0, y));
            }
            let class = if label.series.is_some() { "label" } else { "note" };
            let text = fit(&label.text, NAME);
            svg.text(class, (right + 29.0, y + FONT * 0.35), Anchor::Start, &text);
        }
    }
}

impl Chart for Lines {
    fn title(&self) -> &str {
        &self.title
    }

    fn caption(&self) -> &str {
        &self.caption
    }

    fn markup(&self) -> String {
        let mut svg = Svg::default();
        let layout = self.frame(&mut svg);
        // Theory is drawn over what was measured, so that it is seen where both agree.
        let is_theory = |index: &usize| self.series[*index].kind == Kind::Theory;
        let (theory, measured): (Vec<_>, Vec<_>) = (0..self.series.len()).partition(is_theory);
        for index in measured.iter().chain(&theory) {
            self.draw_series(&mut svg, &layout, *index);
        }
        self.draw_labels(&mut svg, &layout);
        for index in measured {
            self.draw_spots(&mut svg, &layout, index);
        }
        let names = self.names().join(", ");
        let description = format!("{} by {}: {names}", self.y.heading(), self.x.heading());
        svg.finish((WIDTH, layout.bottom), &self.title, &description)
    }
}

/// Draws the level axis below everything, and says where it ends.
pub(super) fn draw_x_axis(svg: &mut Svg, x: &Placed, y: f64, heading: &str) -> f64 {
    svg.line("axis", (x.from(), y), (x.to(), y));
    let mut free_from = f64::NEG_INFINITY;
    for Tick { at, text } in x.ticks() {
        svg.line("axis", (at, y), (at, y + 4.0));
        let half = width_of(&text) / 2.0;
        if at - half > free_from {
            svg.text("tick", (at, y + FONT + 6.0), Anchor::Middle, &text);
            free_from = at + half + 4.0;
        }
    }
    if let Some(at) = x.break_at() {
        svg.line("axis", (at - 5.0, y + 4.0), (at + 1.0, y - 4.0));
        svg.line("axis", (at - 1.0, y + 4.0), (at + 5.0, y - 4.0));
    }
    svg.text("head", ((x.from() + x.to()) / 2.0, y + FONT + 26.0), Anchor::Middle, heading);
    y + FONT + 34.0
}

/// The area between the ends of intervals: up one side, down the other.
fn band(points: &[(f64, Estimate)], layout: &Layout) -> Vec<(f64, f64)> {
    let ends = |(x, y): &(f64, Estimate)| {
        let x = layout.x.at(*x);
        y.interval.map(|i| ((x, layout.y.at(i.high())), (x, layout.y.at(i.low()))))
    };
    let (upper, lower): (Vec<_>, Vec<_>) = points.iter().filter_map(ends).unzip();
    upper.into_iter().chain(lower.into_iter().rev()).collect()
}

/// Each value held until the next.
fn stepped(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let holds = |pair: &[(f64, f64)]| [pair[0], (pair[1].0, pair[0].1)];
    places.windows(2).flat_map(holds).chain(places.last().copied()).collect()
}
