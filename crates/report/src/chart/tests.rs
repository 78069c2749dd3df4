//! Charts tell the truth and their texts do not cover each other.

use super::{axis::*, labels::spread, svg::*, *};
use crate::stats::{Estimate, Interval, Sample};

fn texts(ticks: &[Tick]) -> Vec<&str> {
    ticks.iter().map(|tick| tick.text.as_str()).collect()
}

#[test]
fn a_linear_axis_begins_at_zero_and_has_round_ticks() {
    let placed = Axis::linear("x").place([3.0, 97.0], (0.0, 100.0), Ends::Rounded);
    assert_eq!(texts(&placed.ticks()), ["0", "20", "40", "60", "80", "100"]);
    assert_eq!(placed.at(50.0), 50.0);
    let tight = Axis::linear("x").tight().place([7.2, 7.4], (0.0, 100.0), Ends::Rounded);
    assert_eq!(texts(&tight.ticks()), ["7.20", "7.25", "7.30", "7.35", "7.40"]);
    let negative = Axis::linear("x").place([-5.0, 5.0], (0.0, 100.0), Ends::Rounded);
    assert_eq!(negative.at(0.0), 50.0);
}

#[test]
fn a_logarithmic_axis_has_a_place_for_zero() {
    let placed = Axis::log("x").place([0.0, 0.1, 10.0], (0.0, 240.0), Ends::AtValues);
    assert_eq!(texts(&placed.ticks()), ["0", "0.1", "0.2", "0.5", "1", "2", "5", "10"]);
    assert_eq!(
        [0.0, 0.1, 1.0, 10.0].map(|value| placed.at(value).round()),
        [0.0, 40.0, 140.0, 240.0]
    );
    assert_eq!(placed.break_at(), Some(20.0));
    let upward = Axis::log("y").place([3.0, 4_000_000.0], (300.0, 0.0), Ends::Rounded);
    assert_eq!(upward.break_at(), None);
    assert_eq!(texts(&upward.ticks()).last(), Some(&"1,000,000"));
    assert_eq!((upward.at(2.0).round(), upward.at(5e6).round()), (300.0, 0.0));
}

#[test]
#[should_panic(expected = "x is -1, on a logarithmic axis")]
fn below_zero_there_is_no_logarithm() {
    Axis::log("x").place([-1.0], (0.0, 1.0), Ends::AtValues);
}

#[test]
#[should_panic(expected = "x is inf")]
fn an_endless_value_is_a_bug() {
    Axis::linear("x").place([f64::INFINITY], (0.0, 1.0), Ends::AtValues);
}

#[test]
fn axes_stand_anything_else() {
    for axis in [Axis::linear("x"), Axis::linear("x").tight(), Axis::log("x")] {
        for ends in [Ends::AtValues, Ends::Rounded] {
            for values in
                [vec![], vec![0.0], vec![5.0], vec![1e-9, 1e9], vec![0.3, 0.3], vec![0.0, 7.0]]
            {
                let placed = axis.place(values.clone(), (0.0, 100.0), ends);
                for value in &values {
                    let at = placed.at(*value);
                    assert!(
                        (-0.001..=100.001).contains(&at),
                        "{axis:?} {values:?}: {value} at {at}"
                    );
                }
                let ticks = placed.ticks();
                assert!(ticks.len() < 40, "{axis:?} {values:?}: {ticks:?}");
                assert!(ticks.windows(2).all(|pair| pair[0].at < pair[1].at), "{ticks:?}");
            }
        }
    }
}

#[test]
fn labels_move_apart_as_little_as_needed() {
    assert_eq!(spread(&[10.0, 50.0], 15.0, (0.0, 100.0)), [10.0, 50.0]);
    assert_eq!(spread(&[50.0, 50.0], 10.0, (0.0, 100.0)), [45.0, 55.0]);
    assert_eq!(spread(&[98.0, 99.0], 10.0, (0.0, 100.0)), [90.0, 100.0]);
    assert_eq!(spread(&[30.0, 1.0, 2.0], 10.0, (0.0, 100.0)), [30.0, 0.0, 10.0]);
    let crowd: Vec<f64> = (0..9).map(|at| f64::from(at * 7 % 5)).collect();
    let mut placed = spread(&crowd, 10.0, (0.0, 100.0));
    placed.sort_by(f64::total_cmp);
    assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= 10.0 - 1e-9), "{placed:?}");
}

#[test]
fn long_names_are_cut() {
    assert_eq!(fit("short", 100.0), "short");
    let cut = fit("a name that goes on and on", 100.0);
    assert!(cut.ends_with('\u{2026}') && width_of(&cut) <= 100.0, "{cut}");
}

fn estimate(value: f64, half: f64) -> Estimate {
    Estimate { value, interval: Some(Interval::new(value - half, value + half)) }
}

#[test]
fn a_small_chart_is_drawn_like_this() {
    let chart = Lines::new("t", Axis::linear("x").unit("s"), Axis::linear("y"))
        .height(100.0)
        .series(Series::measured("a", [(0.0, estimate(5.0, 1.0)), (10.0, estimate(8.0, 2.0))]));
    let drawn = chart.markup();
    let expected = [
        "<svg role=\"img\" viewBox=\"0 0 800 172\"><title>t</title><desc>y by x (s): a</desc>",
        "<text class=\"head\" x=\"0\" y=\"13\">y</text>",
        "<line class=\"grid\" x1=\"25.6\" y1=\"125\" x2=\"756.2\" y2=\"125\"/>",
        "<text class=\"tick\" x=\"18.6\" y=\"129.6\" text-anchor=\"end\">0</text>",
        "<path class=\"curve blue\" d=\"M25.6 75L756.2 45\"/>",
        "<line class=\"whisker blue\" x1=\"756.2\" y1=\"65\" x2=\"756.2\" y2=\"25\"/>",
        "<circle class=\"mark blue\" cx=\"756.2\" cy=\"45\" r=\"4\"/>",
        "<title>a\nx 10 s\ny 8\ninterval 6 to 10</title>",
        "<text class=\"label\" x=\"785.2\" y=\"49.5\">a</text>",
    ];
    for part in expected {
        assert!(drawn.contains(part), "no {part} in {drawn}");
    }
}

#[test]
fn theory_shares_the_name_of_what_it_explains() {
    let chart = Lines::new("t", Axis::linear("x"), Axis::linear("y"))
        .series(Series::measured("waits", [(0.0, 1.0), (1.0, 2.0)]))
        .series(Series::theory("of waits", [(0.0, 1.0), (1.0, 2.0)]).hue(Hue::Blue))
        .series(Series::theory("a law", [(0.0, 3.0), (1.0, 3.0)]));
    let drawn = chart.markup();
    assert!(drawn.contains(">theory</text>") && drawn.contains(">a law</text>"), "{drawn}");
    assert!(!drawn.contains("of waits"), "{drawn}");
    assert!(drawn.contains("curve theory blue") && drawn.contains("curve theory grey"), "{drawn}");
}

#[test]
fn names_of_events_have_rows_where_they_would_touch() {
    let chart = |second: f64| {
        let lines = Lines::new("t", Axis::linear("x"), Axis::linear("y"))
            .series(Series::trace("", [(0.0, 1.0), (100.0, 1.0)]));
        lines.event(50.0, "an event").event(second, "another").event(100.0, "the last").markup()
    };
    let heights = |drawn: String| -> Vec<String> {
        let notes = drawn.split("<text class=\"note\"").skip(1);
        notes.map(|note| note.split('"').nth(3).expect("a height").to_owned()).collect()
    };
    let apart = heights(chart(10.0));
    assert!(apart[0] == apart[1] && apart[1] == apart[2], "{apart:?}");
    let close = heights(chart(51.0));
    assert!(close[0] != close[1] && close[0] == close[2], "{close:?}");
}

#[test]
fn a_law_is_nobodys_theory_for_its_colour() {
    let mut chart = Lines::new("t", Axis::linear("x"), Axis::linear("y"))
        .series(Series::theory("a law", [(0.0, 3.0), (1.0, 3.0)]));
    for index in 0..7 {
        chart = chart.series(Series::measured(format!("s{index}"), [(0.0, 1.0)]));
    }
    let drawn = chart.markup();
    assert!(drawn.contains(">a law</text>") && !drawn.contains(">theory</text>"), "{drawn}");
    assert!(drawn.contains("mark grey"), "the seventh is grey too: {drawn}");
}

#[test]
fn a_long_series_keeps_its_spikes() {
    let mut points: Vec<(f64, f64)> = (0..100_000).map(|at| (f64::from(at), 1.0)).collect();
    points[54_321].1 = 77.0;
    let thinned = Series::trace("t", points).thinned(2_000);
    assert!(thinned.len() <= 2_001, "{}", thinned.len());
    assert!(thinned.contains(&(54_321.0, Estimate::exact(77.0))));
    assert_eq!(thinned.last().map(|(x, _)| *x), Some(99_999.0));
    assert!(thinned.windows(2).all(|pair| pair[0].0 <= pair[1].0));
}

#[test]
fn steps_hold_until_the_next_value() {
    let chart = Lines::new("t", Axis::linear("x"), Axis::linear("y"))
        .height(100.0)
        .series(Series::steps("", [(0.0, 0.0), (5.0, 10.0), (10.0, 10.0)]));
    // Level up to the middle, then upright.
    let drawn = chart.markup();
    let path = drawn.split("curve thin blue\" d=\"").nth(1).expect("a path");
    let path = path.split('"').next().expect("an end");
    let numbers: Vec<&str> = path.split(['M', 'L', ' ']).skip(1).collect();
    assert_eq!(numbers[1], numbers[3], "{path}");
    assert_eq!(numbers[2], numbers[4], "{path}");
}

#[test]
fn bars_are_as_long_as_their_values() {
    let chart = Bars::stacked("t", Axis::linear("ms"), [("a", Hue::Blue), ("b", Hue::Sky)])
        .row("x", [Some(10.0), Some(30.0)])
        .row("y", [Some(20.0), None]);
    let drawn = chart.markup();
    let width = |hue: &str, nth: usize| -> f64 {
        let class = format!("<rect class=\"fill {hue}\"");
        // The first of each hue is in the key.
        let rect = drawn.split(&class).nth(nth + 2).expect("a bar");
        let width = rect.split("width=\"").nth(1).expect("a width");
        width.split('"').next().expect("an end").parse().expect("a number")
    };
    let unit = (width("blue", 0) + 1.0) / 10.0;
    assert!((width("blue", 1) + 1.0 - 20.0 * unit).abs() < 0.3, "{drawn}");
    assert!((width("sky", 0) + 1.0 - 30.0 * unit).abs() < 0.3, "{drawn}");
    assert!(drawn.contains("text-anchor=\"middle\">30.0</text>"), "parts tell their values");
    assert!(drawn.contains(">40.0</text>"), "and the whole its sum: {drawn}");
}

#[test]
#[should_panic(expected = "bars of ms begin at zero")]
fn bars_have_no_logarithm() {
    let _ = Bars::grouped("t", Axis::log("ms"), [("a", Hue::Blue)]);
}

#[test]
fn unknown_bars_say_so() {
    let chart = Bars::grouped("t", Axis::linear("ms"), [("paper", Hue::Grey), ("ours", Hue::Blue)])
        .row("x", [None, Some(estimate(10.0, 1.0))]);
    let drawn = chart.markup();
    assert!(drawn.contains(">not known</text>") && drawn.contains("whisker ink"), "{drawn}");
}

#[test]
fn panels_share_their_axes() {
    let sample = |values: &[f64]| Sample::new(values.iter().copied()).expect("values");
    let mut tail = vec![10.0; 1_000];
    tail.push(5_000.0);
    let of = |multiples: Multiples| {
        multiples
            .panel("near", [("a", Hue::Blue, sample(&tail))])
            .panel("far", [("a", Hue::Blue, sample(&[20.0]))])
            .mark(15.0, "expected")
            .markup()
    };
    let axis = || Axis::linear("wait").unit("ms");
    let drawn = of(Multiples::histograms("t", axis()));
    assert_eq!(drawn.matches(">20</text>").count(), 2, "{drawn}");
    assert!(drawn.contains(">0.0999% beyond \u{2192}</text>"), "{drawn}");
    assert!(drawn.contains(">expected</text>"), "{drawn}");
    let drawn = of(Multiples::cumulative("t", axis()));
    assert!(!drawn.contains("beyond"), "{drawn}");
    assert!(drawn.contains("<title>a\np99 10 ms</title>"), "{drawn}");
}
