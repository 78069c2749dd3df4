//! Drawings of random witnesses: nothing is printed over something else, nothing beyond the edge.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Area, LETTER};
use crate::{
    Anomaly, History, Kind, Model, Nanos, Options, Order, Outcome, Timestamps, Verdict, Witness,
    WitnessEdge, WitnessOp, check,
};

fn verdict() -> Verdict {
    let mut verdict = check(&History::default(), Model::Serializable, Options::default());
    verdict.origin = Nanos(0);
    verdict
}

fn op(process: String, (begin, end): (u64, Option<u64>)) -> WitnessOp {
    WitnessOp {
        index: 0,
        process,
        invoked: Nanos(begin),
        completed: end.map(Nanos),
        outcome: if end.is_some() { Outcome::Ok } else { Outcome::Unknown },
        timestamps: Timestamps::default(),
        text: "read <x>".into(),
        steps: 1,
        note: None,
    }
}

fn anomaly(ops: Vec<WitnessOp>, labels: &[String]) -> Anomaly {
    let edges = labels.iter().enumerate().map(|(at, label)| WitnessEdge {
        from: at % ops.len(),
        to: (at + 1) % ops.len(),
        label: label.clone(),
        because: "of \"this\"".into(),
    });
    let edges = edges.collect();
    let witness = Witness { ops, edges, keys: Vec::new() };
    let (kind, order) = (Kind::GSingle, Order::Data);
    Anomaly { kind, order, forbidden: true, explanation: String::new(), witness }
}

/// The value of an attribute of the element that begins here.
fn attribute<'s>(element: &'s str, name: &str) -> Option<&'s str> {
    let element = &element[..element.find('>')?];
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

fn number(element: &str, name: &str) -> f64 {
    attribute(element, name).expect("it has one").parse().expect("a number")
}

/// Where all texts of a drawing are.
fn texts(svg: &str) -> Vec<(String, Area)> {
    let texts = svg.split("<text").skip(1).map(|text| {
        let text = &text[..text.find("</text>").expect("it ends")];
        let shown = text.rsplit('>').next().expect("a text");
        let width = LETTER * shown.replace("&lt;", "<").chars().count() as f64;
        let (x, y) = (number(text, "x"), number(text, "y"));
        let left =
            if attribute(text, "text-anchor") == Some("middle") { x - width / 2.0 } else { x };
        (shown.to_owned(), Area(left, y - 10.0, width, 12.0))
    });
    texts.collect()
}

fn judge(svg: &str, labels: usize) {
    let texts = texts(svg);
    let (width, height) = (number(svg, "width"), number(svg, "height"));
    for (at, (text, area)) in texts.iter().enumerate() {
        let inside =
            area.0 >= 0.0 && area.1 >= 0.0 && area.0 + area.2 <= width && area.1 + area.3 <= height;
        assert!(inside, "{text:?} at {area:?} is outside of {width} x {height}:\n{svg}");
        for (other, other_area) in &texts[..at] {
            assert!(!area.overlaps(other_area), "{text:?} over {other:?}:\n{svg}");
        }
    }
    let drawn = texts.iter().filter(|(text, _)| text.contains("rw ")).count();
    assert_eq!(drawn, labels, "every arrow has its label:\n{svg}");
}

#[test]
fn labels_of_two_transactions_stand_apart() {
    for key in ["x", "orders/customer", "a-very-long-key-that-does-not-fit-anywhere-at-all"] {
        for (a, b) in [((0, 10), (5, 20)), ((0, 10), (0, 10)), ((0, 10), (30, 40))] {
            let ops = vec![
                op("1".into(), (a.0, Some(a.1))),
                op("client-of-the-second-region".into(), (b.0, Some(b.1))),
            ];
            let labels = [format!("rw {key}"), format!("rw {key}")];
            judge(&verdict().render_svg(&anomaly(ops, &labels)), 2);
        }
    }
}

#[test]
fn nothing_is_printed_over_something_else() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..400 {
        let count = rng.random_range(1..=7);
        let mut ops = Vec::new();
        for at in 0..count {
            let scale = [1, 1_000_003, 98_765_432_101][rng.random_range(0..3)];
            let begin = rng.random_range(0..12) * scale;
            let end = (rng.random_range(0..8) > 0).then(|| begin + rng.random_range(1..9) * scale);
            // One thing at a time: a process of its own each, names short and long.
            ops.push(op(format!("{at}{}", "-client".repeat(rng.random_range(0..5))), (begin, end)));
        }
        let label = |rng: &mut ChaCha8Rng| format!("rw {}", "key".repeat(rng.random_range(1..20)));
        let labels: Vec<String> =
            (0..if count > 1 { count } else { 0 }).map(|_| label(&mut rng)).collect();
        judge(&verdict().render_svg(&anomaly(ops, &labels)), labels.len());
    }
}
