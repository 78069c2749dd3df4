//! From values to places on paper: ranges, ticks, and zero on a logarithmic axis.

use crate::number;

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are equally far apart. Zero, which has no place there, gets one of its own
    /// before a break in the axis. Below zero there is nothing.
    Log,
}

/// What an axis measures.
#[derive(Clone, Debug)]
pub struct Axis {
    pub(super) label: String,
    /// Empty where there is none.
    pub(super) unit: String,
    pub(super) scale: Scale,
    /// Whether a linear axis begins at zero even if no value is near it.
    pub(super) from_zero: bool,
}

/// Where an axis ends: at the values, or at a round value beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    AtValues,
    Rounded,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) text: String,
}

/// An axis laid out between two places.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    scale: Scale,
    /// The first value, above zero on a logarithmic axis.
    low: f64,
    /// The last value, above `low`.
    high: f64,
    /// Where an axis begins on paper.
    from: f64,
    /// Where it ends; before `from` where it points up.
    to: f64,
    /// The room for zero at the beginning of a logarithmic axis; 0 if nothing is zero.
    gutter: f64,
}

/// The room for zero before the break of a logarithmic axis.
const GUTTER: f64 = 40.0;

/// How many ticks a linear axis has, roughly.
const TICKS: f64 = 6.0;

impl Axis {
    /// A linear axis from zero, or from the smallest value if that is below.
    pub fn linear(label: impl Into<String>) -> Axis {
        let (label, unit) = (label.into(), String::new());
        Axis { label, unit, scale: Scale::Linear, from_zero: true }
    }

    /// A logarithmic axis. Values below zero are a bug of the caller.
    pub fn log(label: impl Into<String>) -> Axis {
        Axis { scale: Scale::Log, ..Axis::linear(label) }
    }

    /// With a unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Axis {
        self.unit = unit.into();
        self
    }

    /// Beginning at the smallest value, where zero means nothing (a time of day) or hides what
    /// matters.
    #[must_use]
    pub fn tight(mut self) -> Axis {
        self.from_zero = false;
        self
    }

    /// The label with its unit.
    pub(super) fn heading(&self) -> String {
        if self.unit.is_empty() {
            self.label.clone()
        } else {
            format!("{} ({})", self.label, self.unit)
        }
    }

    /// A value with the unit.
    pub(super) fn show(&self, value: f64) -> String {
        match self.unit.as_str() {
            "" => number::short(value),
            "%" => format!("{}%", number::short(value)),
            unit => format!("{} {unit}", number::short(value)),
        }
    }

    /// Lays the axis out from place `from` to place `to`, so that every value has its place.
    ///
    /// # Panics
    ///
    /// If a value is not finite, or below zero on a logarithmic axis.
    pub(super) fn place(
        &self,
        values: impl IntoIterator<Item = f64>,
        (from, to): (f64, f64),
        ends: Ends,
    ) -> Placed {
        let values: Vec<f64> = values.into_iter().collect();
        for value in &values {
            assert!(value.is_finite(), "{} is {value}", self.label);
        }
        let (low, high, gutter) = match self.scale {
            Scale::Linear => {
                let (low, high) = linear_range(&values, self.from_zero, ends);
                (low, high, 0.0)
            }
            Scale::Log => {
                let least = values.iter().copied().fold(0.0, f64::min);
                assert!(least >= 0.0, "{} is {least}, on a logarithmic axis", self.label);
                let (low, high) = log_range(&values, ends);
                (low, high, if values.contains(&0.0) { GUTTER } else { 0.0 })
            }
        };
        Placed { scale: self.scale, low, high, from, to, gutter }
    }
}

fn linear_range(values: &[f64], from_zero: bool, ends: Ends) -> (f64, f64) {
    let zero = from_zero.then_some(0.0);
    let with_zero = || values.iter().copied().chain(zero);
    let low = with_zero().fold(f64::INFINITY, f64::min);
    let high = with_zero().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = match (low, high) {
        (low, _) if low.is_infinite() => (0.0, 1.0),
        (low, high) if low == high => (low, low + low.abs().max(1.0)),
        both => both,
    };
    let step = number::round_step((high - low) / TICKS);
    match ends {
        Ends::AtValues => (low, high),
        // A hair of tolerance, lest a value on a step ask for another.
        Ends::Rounded => ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step),
    }
}

fn log_range(values: &[f64], ends: Ends) -> (f64, f64) {
    let positive = || values.iter().copied().filter(|value| *value > 0.0);
    let low = positive().fold(f64::INFINITY, f64::min);
    let high = positive().fold(0.0, f64::max);
    match ends {
        Ends::AtValues | Ends::Rounded if low.is_infinite() => (0.1, 1.0),
        Ends::AtValues if low < high => (low, high),
        Ends::AtValues => (low / 2.0, high * 2.0),
        Ends::Rounded => {
            // The next 1, 2 or 5 outward: upward for a value is downward for its inverse.
            let below = 1.0 / number::round_step(1.0 / low);
            let above = number::round_step(high);
            (below, if above > below { above } else { below * 10.0 })
        }
    }
}

impl Placed {
    /// The place of a value. On a logarithmic axis everything up to zero is where zero is, and the
    /// rest of what is too small where the axis begins.
    pub(super) fn at(&self, value: f64) -> f64 {
        let toward = (self.to - self.from).signum();
        let start = self.from + toward * self.gutter;
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value <= 0.0 => return self.from,
            Scale::Log => ((value / self.low).ln() / (self.high / self.low).ln()).max(0.0),
        };
        start + share * (self.to - start)
    }

    /// Where the axis is broken, between zero and the first value.
    pub(super) fn break_at(&self) -> Option<f64> {
        let middle = self.gutter / 2.0 * (self.to - self.from).signum();
        (self.gutter > 0.0).then_some(self.from + middle)
    }

    /// Where the axis begins on paper.
    pub(super) fn from(&self) -> f64 {
        self.from
    }

    /// Where it ends.
    pub(super) fn to(&self) -> f64 {
        self.to
    }

    /// Whether a value lies beyond neither end.
    pub(super) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value) || (value == 0.0 && self.gutter > 0.0)
    }

    /// The marks of the axis, in its order.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => self.linear_ticks(TICKS),
            Scale::Log => self.log_ticks(),
        }
    }

    /// The marks of a small axis: about two.
    pub(super) fn few_ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => self.linear_ticks(2.5),
            Scale::Log => self.log_ticks(),
        }
    }

    fn linear_ticks(&self, about: f64) -> Vec<Tick> {
        let step = number::round_step((self.high - self.low) / about);
        let decimals = number::decimals_of_step(step);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let tick = |at: i64| {
            let value = at as f64 * step;
            Tick { at: self.at(value), text: number::fixed(value, decimals) }
        };
        (first..=last).map(tick).collect()
    }

    fn log_ticks(&self) -> Vec<Tick> {
        let factors: &[f64] = match (self.high / self.low).log10() {
            decades if decades <= 3.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        // With many decades only some have room.
        let stride = ((last - first) / 8 + 1) as usize;
        let tolerance = 1e-9;
        let is_within = |value: &f64| {
            (self.low * (1.0 - tolerance)..=self.high * (1.0 + tolerance)).contains(value)
        };
        let zero = (self.gutter > 0.0).then(|| Tick { at: self.from, text: "0".to_owned() });
        let values = (first..=last).step_by(stride).flat_map(|exponent| {
            factors.iter().map(move |factor| number::power_of_ten(*factor, exponent))
        });
        let tick = |value: f64| Tick { at: self.at(value), text: number::short(value) };
        zero.into_iter().chain(values.filter(is_within).map(tick)).collect()
    }
}
