//! Charts as SVG for a [`Page`](crate::Page).
//!
//! | chart | for |
//! |---|---|
//! | [`Lines`] | measurements against theory, on linear or logarithmic axes; time series |
//! | [`Bars`] | parts of a whole, or one number beside another |
//! | [`Multiples`] | distributions side by side on the same axes |
//!
//! Drawn by hand rather than by a plotting crate: `plotters` bakes colours and estimated fonts into
//! its SVG, so that there is no dark scheme and no tooltip; `charming` and `plotly` embed one to four
//! megabytes of script. What we need of a chart is a few hundred lines, and every chart of one page
//! shares a style.
//!
//! What all charts keep:
//!
//! - Colour never stands alone: series differ in marks too and have their names beside them.
//! - No text covers text: labels are moved apart, ticks without room are left out, names without
//!   room are cut (and are whole in the tip).
//! - An axis of bars begins at zero; a logarithmic axis that has to show zero is visibly broken.
//! - Intervals are drawn where they are known.
//! - Title and description are in the SVG for those who cannot see it.

mod axis;
mod bars;
mod labels;
mod lines;
mod multiples;
mod series;
mod svg;

pub use axis::{Axis, Scale};
pub use bars::Bars;
pub use lines::Lines;
pub use multiples::Multiples;
pub use series::Series;
pub use svg::Hue;

/// The width of a full chart, in units that are pixels at full size.
const WIDTH: f64 = 800.0;

/// Something drawn that a page can show.
pub trait Chart {
    /// What the reader should see, in a few words.
    fn title(&self) -> &str;

    /// What stands below: how it was measured, what to look at. May be empty.
    fn caption(&self) -> &str;

    /// The drawing: SVG, or several in HTML.
    fn markup(&self) -> String;
}

#[cfg(test)]
mod tests;
