//! Golden pictures in text.

use super::*;

fn sample(values: &[f64]) -> Sample {
    Sample::new(values.iter().copied()).expect("values")
}

#[test]
fn a_histogram_is_a_picture() {
    let values = [9.5, 10.0, 10.2, 10.9, 11.0, 11.5, 14.0];
    let drawn = histogram(&sample(&values), "ms", 6);
    let expected = "
 9 – 10 ms │████████████████▋ 1
10 – 11 ms │██████████████████████████████████████████████████ 3
11 – 12 ms │█████████████████████████████████▍ 2
12 – 13 ms │ 0
13 – 14 ms │████████████████▋ 1
";
    assert_eq!(format!("\n{drawn}"), expected);
}

#[test]
fn a_rare_value_is_still_seen() {
    let mut values = vec![1.0; 100_000];
    values.push(2.0);
    let drawn = histogram(&sample(&values), "ms", 4);
    assert!(drawn.trim_end().ends_with("│▏ 1"), "{drawn}");
    assert!(drawn.lines().all(|line| line.width() <= WIDTH), "{drawn}");
}

#[test]
fn a_sparkline_is_a_line() {
    assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), "▁▂▃▄▅▆▇█");
    assert_eq!(sparkline(&[5.0, 5.0]), "▄▄");
    assert_eq!(sparkline(&[]), "");
    let sawtooth: Vec<f64> = (0..1_000).map(|at| f64::from(at % 100)).collect();
    assert_eq!(sparkline(&sawtooth).chars().count(), SPARKLINE_WIDTH);
}

#[test]
fn prose_is_wrapped() {
    let wrapped = wrap(&format!("{}\n- a list\n- of two", "twelve chars ".repeat(10)));
    let lines: Vec<&str> = wrapped.lines().collect();
    assert_eq!(lines.len(), 4, "{wrapped}");
    assert_eq!(lines[2..], ["- a list", "- of two"]);
    assert!(lines.iter().all(|line| line.width() <= WIDTH && !line.ends_with(' ')));
}

#[test]
fn a_sample_in_one_line() {
    let line = describe(&sample(&[1.0, 2.0, 3.0, 12.26]), "ms");
    assert_eq!(line, "n 4 · mean 4.56 · p50 2 · p99 12.3 · max 12.3 ms");
}
