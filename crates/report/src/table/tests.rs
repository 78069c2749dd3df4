//! Golden tables: what programs and people get.

use super::*;
use crate::{stats::Interval, terminal::WIDTH};

fn table() -> Table {
    let mut table = Table::new([
        Column::text("topology"),
        Column::number("\u{3b5}").unit("ms"),
        Column::count("commits"),
        Column::estimate("p50").unit("ms"),
    ]);
    let estimate = Estimate { value: 14.4, interval: Some(Interval::new(14.25, 14.5)) };
    table.row(["one, region".into(), 0.1.into(), 12_000_usize.into(), estimate.into()]);
    let unsure = Estimate::exact(150.25);
    table.row(["<three>".into(), 7.0.into(), 9_usize.into(), unsure.into()]);
    table.row(["five".into(), 20.0.into(), 0_usize.into(), Cell::Missing]);
    table
}

#[test]
fn programs_get_every_digit() {
    let mut csv = Vec::new();
    table().write_csv(&mut csv).expect("memory takes it");
    let expected = "\
topology,\u{3b5} (ms),commits,p50 (ms),p50 low (ms),p50 high (ms)
\"one, region\",0.1,12000,14.4,14.25,14.5
<three>,7,9,150.25,,
five,20,0,,,
";
    assert_eq!(String::from_utf8(csv).expect("UTF-8"), expected);
}

#[test]
fn people_get_columns() {
    let expected = "
topology     ε (ms)  commits           p50 (ms)
────────────────────────────────────────────────
one, region     0.1   12,000   14.4 [14.2–14.5]
<three>         7.0        9  150.2
five           20.0        0      –
";
    assert_eq!(format!("\n{}", table().to_text()), expected);
}

#[test]
fn wide_tables_are_wrapped() {
    let name = "a rather long name of a column";
    let mut table = Table::new((0..6).map(|_| Column::text(name)));
    table.row((0..6).map(|_| Cell::from("and what stands below it, at length")));
    let text = table.to_text();
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    assert!(text.lines().count() > 3, "{text}");
}

#[test]
fn pages_get_escaped_text() {
    let html = table().to_html("a < b");
    assert!(html.contains("<caption>a &lt; b</caption>"), "{html}");
    assert!(html.contains("<td>&lt;three&gt;</td>") && !html.contains("<three>"), "{html}");
    assert!(html.contains("<th scope=\"col\" class=\"e\" colspan=\"2\">p50"), "{html}");
    assert!(html.contains("<td class=\"e\">14.4</td><td class=\"ci\">14.2\u{2013}14.5</td>"));
}

#[test]
#[should_panic(expected = "no cell of column commits")]
fn a_cell_of_another_kind_is_a_bug() {
    Table::new([Column::count("commits")]).row([1.5.into()]);
}

#[test]
#[should_panic(expected = "one cell per column")]
fn a_short_row_is_a_bug() {
    table().row(["one".into()]);
}

#[test]
#[should_panic(expected = "gets Some(NaN)")]
fn a_number_that_is_none_is_a_bug() {
    Table::new([Column::number("x")]).row([f64::NAN.into()]);
}

#[test]
fn csv_has_no_digits_of_rounding() {
    let mut table = Table::new([Column::number("x"), Column::estimate("y")]);
    table.row([(0.1 + 0.2).into(), Estimate::exact(1e-6 * 1e-3).into()]);
    let mut csv = Vec::new();
    table.write_csv(&mut csv).expect("memory takes bytes");
    assert_eq!(String::from_utf8_lossy(&csv), "x,y,y low,y high\n0.3,0.000000001,,\n");
}
