//! One line of a chart: what it is made of, and how it is drawn.

use super::svg::Hue;
use crate::stats::Estimate;

/// How a series came to be, which decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Few points, each measured: marks on a line, with error bars.
    Measured,
    /// Few points, each measured: marks on a line, with a band around it.
    Banded,
    /// Computed, not measured: dashed.
    Theory,
    /// Many points in the order of time: a thin line.
    Trace,
    /// A value that holds until the next one.
    Steps,
}

/// A named line of points.
#[derive(Clone, Debug)]
pub struct Series {
    pub(super) name: String,
    /// None: the next hue that the chart has.
    pub(super) hue: Option<Hue>,
    pub(super) kind: Kind,
    pub(super) points: Vec<(f64, Estimate)>,
}

impl Series {
    /// Measured points, in the order of x, with error bars where there are intervals.
    pub fn measured<Y: Into<Estimate>>(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, Y)>,
    ) -> Series {
        Series::of(Kind::Measured, name, points)
    }

    /// A curve that theory demands: dashed. Given the hue of a measured series it is taken to be
    /// the theory of that one, and has no label of its own.
    pub fn theory<Y: Into<Estimate>>(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, Y)>,
    ) -> Series {
        Series::of(Kind::Theory, name, points)
    }

    /// Something over time: straight between its points. Of more than 2,000 points the smallest
    /// and the largest of each stretch are drawn, so that no spike is lost.
    pub fn trace<Y: Into<Estimate>>(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, Y)>,
    ) -> Series {
        Series::of(Kind::Trace, name, points)
    }

    /// Something over time that holds until it changes; as many points as of a trace.
    pub fn steps<Y: Into<Estimate>>(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, Y)>,
    ) -> Series {
        Series::of(Kind::Steps, name, points)
    }

    fn of<Y: Into<Estimate>>(
        kind: Kind,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, Y)>,
    ) -> Series {
        let points = points.into_iter().map(|(x, y)| (x, y.into())).collect();
        Series { name: name.into(), hue: None, kind, points }
    }

    /// In this hue.
    #[must_use]
    pub fn hue(mut self, hue: Hue) -> Series {
        self.hue = Some(hue);
        self
    }

    /// With a band between the ends of the intervals in place of error bars, where there are many
    /// points.
    ///
    /// # Panics
    ///
    /// If the series was not measured.
    #[must_use]
    pub fn banded(mut self) -> Series {
        assert_eq!(self.kind, Kind::Measured, "{} is not measured and has no band", self.name);
        self.kind = Kind::Banded;
        self
    }

    /// Whether its points are marked.
    pub(super) fn has_marks(&self) -> bool {
        matches!(self.kind, Kind::Measured | Kind::Banded)
    }

    /// At most `most` of the points: of each stretch its smallest and its largest, in their order,
    /// and the last point of all.
    pub(super) fn thinned(&self, most: usize) -> Vec<(f64, Estimate)> {
        if self.points.len() <= most {
            return self.points.clone();
        }
        let stretch = self.points.len().div_ceil((most - 1) / 2);
        let mut kept = Vec::new();
        for points in self.points.chunks(stretch) {
            let by_value =
                |a: &&(f64, Estimate), b: &&(f64, Estimate)| a.1.value.total_cmp(&b.1.value);
            let least = points.iter().min_by(by_value).expect("chunks are not empty");
            let most = points.iter().max_by(by_value).expect("chunks are not empty");
            let (first, second) = if least.0 <= most.0 { (least, most) } else { (most, least) };
            kept.extend([*first, *second]);
        }
        kept.extend(self.points.last());
        kept
    }
}
