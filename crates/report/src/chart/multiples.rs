//! Small multiples: one distribution per panel, all on the same axes.

use super::{
    Chart,
    axis::{Axis, Ends, Placed, Scale, Tick},
    labels::{Swatch, key},
    svg::{Anchor, FONT, Hue, Svg, fit, width_of},
};
use crate::{
    number,
    stats::{Bins, Percentile, Sample},
};

/// Size of a panel.
const PANEL: (f64, f64) = (260.0, 190.0);

/// Room in a panel at the left, top, right and bottom of its axes.
const MARGIN: (f64, f64, f64, f64) = (42.0, 44.0, 12.0, 24.0);

/// The most bins of a histogram.
const BINS: usize = 40;

/// The share of the values of each sample that a histogram's axis reaches, in percent: one straggler
/// must not squeeze everything else. How many lie beyond is said.
const REACHED: f64 = 99.5;

/// The most places of a cumulative curve.
const PLACES: usize = 300;

/// Where a cumulative curve tells its values, in percent.
const TOLD: [f64; 9] = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Histogram,
    Cumulative,
}

#[derive(Clone, Debug)]
struct Panel {
    name: String,
    samples: Vec<(String, Hue, Sample)>,
    /// Dashed upright lines with names: what theory expects.
    marks: Vec<(f64, String)>,
}

/// Panels of distributions that share their axes.
#[derive(Clone, Debug)]
pub struct Multiples {
    title: String,
    caption: String,
    axis: Axis,
    kind: Kind,
    panels: Vec<Panel>,
}

impl Multiples {
    /// Histograms: the share of the values by bin.
    ///
    /// # Panics
    ///
    /// If the axis is logarithmic: bins are of one width.
    pub fn histograms(title: impl Into<String>, axis: Axis) -> Multiples {
        assert_eq!(axis.scale, Scale::Linear, "bins of {} are of one width", axis.label);
        Multiples::of(Kind::Histogram, title, axis)
    }

    /// Cumulative distributions: the share of the values up to each value.
    pub fn cumulative(title: impl Into<String>, axis: Axis) -> Multiples {
        Multiples::of(Kind::Cumulative, title, axis)
    }

    fn of(kind: Kind, title: impl Into<String>, axis: Axis) -> Multiples {
        Multiples { title: title.into(), caption: String::new(), axis, kind, panels: Vec::new() }
    }

    /// With a text below.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Multiples {
        self.caption = caption.into();
        self
    }

    /// With one more panel, of named samples that may be compared within it.
    #[must_use]
    pub fn panel<N: Into<String>>(
        mut self,
        name: impl Into<String>,
        samples: impl IntoIterator<Item = (N, Hue, Sample)>,
    ) -> Multiples {
        let samples =
            samples.into_iter().map(|(name, hue, sample)| (name.into(), hue, sample)).collect();
        self.panels.push(Panel { name: name.into(), samples, marks: Vec::new() });
        self
    }

    /// With a dashed line in the latest panel.
    ///
    /// # Panics
    ///
    /// If there is no panel yet.
    #[must_use]
    pub fn mark(mut self, value: f64, name: impl Into<String>) -> Multiples {
        let panel = self.panels.last_mut().expect("a mark belongs to a panel");
        panel.marks.push((value, name.into()));
        self
    }

    fn samples(&self) -> impl Iterator<Item = &(String, Hue, Sample)> {
        self.panels.iter().flat_map(|panel| &panel.samples)
    }

    /// Names of samples, each once, if there is more than one to tell apart.
    fn keys(&self) -> Vec<(Swatch, String)> {
        let mut keys: Vec<(Swatch, String)> = Vec::new();
        for (name, hue, _) in self.samples() {
            let entry = (Swatch::Patch(*hue), name.clone());
            if !keys.contains(&entry) {
                keys.push(entry);
            }
        }
        if keys.len() > 1 { keys } else { Vec::new() }
    }

    /// The common axis of the values, and the bins on it.
    fn x_axis(&self) -> (Placed, Bins) {
        let reached = Percentile::new(REACHED);
        let last = |sample: &Sample| match self.kind {
            Kind::Histogram => sample.percentile(reached),
            Kind::Cumulative => sample.max(),
        };
        let mut ends: Vec<f64> =
            self.samples().flat_map(|(_, _, sample)| [sample.min(), last(sample)]).collect();
        ends.extend(self.panels.iter().flat_map(|panel| &panel.marks).map(|(value, _)| *value));
        let low = ends.iter().copied().reduce(f64::min).unwrap_or(0.0);
        let high = ends.iter().copied().reduce(f64::max).unwrap_or(1.0);
        let bins = Bins::spanning(low, high, BINS);
        if self.kind == Kind::Histogram {
            ends.extend([bins.start, bins.end()]);
        }
        let across = (MARGIN.0, PANEL.0 - MARGIN.2);
        (self.axis.place(ends, across, Ends::AtValues), bins)
    }

    /// The common axis of shares, in percent.
    fn y_axis(&self, bins: &Bins) -> Placed {
        let highest = match self.kind {
            Kind::Cumulative => 100.0,
            Kind::Histogram => {
                let shares = self.samples().flat_map(|(_, _, sample)| shares(bins, sample));
                shares.map(|(_, share)| share).fold(0.1, f64::max)
            }
        };
        let upright = (PANEL.1 - MARGIN.3, MARGIN.1);
        Axis::linear("share of values").unit("%").place([highest], upright, Ends::AtValues)
    }

    fn draw(&self, panel: &Panel, x: &Placed, y: &Placed, bins: &Bins) -> String {
        let mut svg = Svg::default();
        let (left, right, base) = (x.from(), x.to(), y.from());
        svg.text("total", (0.0, FONT), Anchor::Start, &fit(&panel.name, PANEL.0));
        for Tick { at, text } in y.few_ticks() {
            svg.line("grid", (left, at), (right, at));
            svg.text("tick", (left - 6.0, at + FONT * 0.35), Anchor::End, &format!("{text}%"));
        }
        let mut free_from = f64::NEG_INFINITY;
        for Tick { at, text } in x.few_ticks() {
            // The last text must not leave the panel.
            let half = width_of(&text) / 2.0;
            let middle = at.min(PANEL.0 - half);
            svg.line("axis", (at, base), (at, base + 4.0));
            if middle - half > free_from {
                svg.text("tick", (middle, base + FONT + 5.0), Anchor::Middle, &text);
                free_from = middle + half + 6.0;
            }
        }
        for (at, (name, hue, sample)) in panel.samples.iter().enumerate() {
            // Broad below narrow, so that curves that agree are all seen.
            let class = if at + 1 < panel.samples.len() { "curve under" } else { "curve" };
            match self.kind {
                Kind::Histogram => self.draw_bins(&mut svg, (x, y), bins, (name, *hue, sample)),
                Kind::Cumulative => {
                    self.draw_curve(&mut svg, class, (x, y), (name, *hue, sample));
                }
            }
        }
        svg.line("axis", (left, base), (right, base));
        self.draw_notes(&mut svg, panel, (x, y));
        let of = |(name, _, sample): &(String, Hue, Sample)| {
            let median = self.axis.show(sample.percentile(Percentile::MEDIAN));
            let p99 = self.axis.show(sample.percentile(Percentile::P99));
            format!("{name}: median {median}, p99 {p99}")
        };
        let told: Vec<String> = panel.samples.iter().map(of).collect();
        let title = format!("{}: {}", self.title, panel.name);
        svg.finish(PANEL, &title, &told.join("; "))
    }

    fn draw_bins(
        &self,
        svg: &mut Svg,
        (x, y): (&Placed, &Placed),
        bins: &Bins,
        (name, hue, sample): (&str, Hue, &Sample),
    ) {
        let class = format!("fill see-through {}", hue.class());
        for (bin, share) in shares(bins, sample) {
            if share == 0.0 {
                continue;
            }
            let (low, high) = (bins.edge(bin), bins.edge(bin + 1));
            let (from, to, top) = (x.at(low), x.at(high), y.at(share));
            let range = format!("{} to {}", number::short(low), self.axis.show(high));
            let tip = format!("{name}\n{range}\n{}% of {}", number::short(share), sample.count());
            let size = (to - from - 0.5, y.from() - top);
            svg.rect(&class, (from, top), size, Some(&tip));
        }
    }

    fn draw_curve(
        &self,
        svg: &mut Svg,
        class: &str,
        (x, y): (&Placed, &Placed),
        (name, hue, sample): (&str, Hue, &Sample),
    ) {
        let sorted = sample.sorted();
        let count = sorted.len();
        let kept = count.min(PLACES);
        let mut places = vec![(x.at(sorted[0]), y.from())];
        for step in 1..=kept {
            let rank = step * count / kept;
            let share = rank as f64 / count as f64 * 100.0;
            let last = places[places.len() - 1].1;
            let at = x.at(sorted[rank - 1]);
            places.extend([(at, last), (at, y.at(share))]);
        }
        places.push((x.to(), y.at(100.0)));
        svg.polyline(&format!("{class} {}", hue.class()), &places);
        for percent in TOLD {
            let percentile = Percentile::new(percent);
            let value = sample.percentile(percentile);
            let tip = format!("{name}\n{percentile} {}", self.axis.show(value));
            svg.spot(hue, (x.at(value), y.at(percent)), &tip);
        }
    }

    /// Marks with their names, and how much lies beyond the axis.
    fn draw_notes(&self, svg: &mut Svg, panel: &Panel, (x, y): (&Placed, &Placed)) {
        for (value, name) in &panel.marks {
            let at = x.at(*value);
            svg.line("event", (at, y.to() - 6.0), (at, y.from()));
            let half = width_of(name) / 2.0;
            let middle = at.clamp(half, (PANEL.0 - half).max(half));
            svg.text("note", (middle, y.to() - 10.0), Anchor::Middle, &fit(name, PANEL.0));
        }
        let beyond = |(_, _, sample): &(String, Hue, Sample)| {
            let beyond = sample.sorted().iter().filter(|value| !x.contains(**value)).count();
            beyond as f64 / sample.count() as f64 * 100.0
        };
        let most = panel.samples.iter().map(beyond).fold(0.0, f64::max);
        if most > 0.0 {
            let text = format!("{}% beyond \u{2192}", number::short(most));
            svg.text("note", (PANEL.0, FONT), Anchor::End, &text);
        }
    }
}

/// The share of the values by bin, in percent.
fn shares(bins: &Bins, sample: &Sample) -> Vec<(usize, f64)> {
    let share = |count: usize| count as f64 / sample.count() as f64 * 100.0;
    bins.filled(sample).counts.into_iter().map(share).enumerate().collect()
}

impl Chart for Multiples {
    fn title(&self) -> &str {
        &self.title
    }

    fn caption(&self) -> &str {
        &self.caption
    }

    fn markup(&self) -> String {
        let (x, bins) = self.x_axis();
        let y = self.y_axis(&bins);
        let mut html = String::new();
        let keys = self.keys();
        if !keys.is_empty() {
            let mut svg = Svg::default();
            let height = key(&mut svg, (0.0, super::WIDTH), 0.0, &keys);
            html += &svg.finish((super::WIDTH, height), "Key", "Colours of the samples");
        }
        html += "<div class=\"multiples\">\n";
        for panel in &self.panels {
            html += &self.draw(panel, &x, &y, &bins);
        }
        let what = match self.kind {
            Kind::Histogram => "share of values",
            Kind::Cumulative => "share of values up to",
        };
        let heading = crate::page::escape(&format!("{what}, by {}", self.axis.heading()));
        html + &format!("</div>\n<p class=\"axes\">{heading}</p>\n")
    }
}
