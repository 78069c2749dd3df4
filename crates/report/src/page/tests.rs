//! A page is safe and needs nothing else.

use super::*;
use crate::{
    chart::{Axis, Bars, Hue, Lines, Multiples, Series},
    stats::Sample,
    table::Column,
};

/// A page of everything, with a hostile text wherever one can go.
fn hostile() -> String {
    let evil = "<img src=x onerror=alert(1)>\"'&`*";
    let mut page = Page::new(evil, evil);
    page.heading(evil);
    page.prose(&format!("{evil}\n\n- {evil}\n- **{evil}**"));
    page.note(evil);
    page.key_numbers(&[(evil, evil)]);
    page.command(evil);
    page.listing(evil);
    let mut table = Table::new([Column::text(evil).unit(evil)]);
    table.row([evil.into()]);
    page.table(evil, &table);
    let axis = || Axis::linear(evil).unit(evil);
    let lines = Lines::new(evil, axis(), axis())
        .caption(evil)
        .series(Series::measured(evil, [(0.0, 1.0), (1.0, 2.0)]))
        .series(Series::theory(evil, [(0.0, 1.0)]).hue(Hue::Blue))
        .event(0.5, evil)
        .bound(1.5, evil);
    page.chart(&lines);
    let sample = Sample::new([1.0, 2.0]).expect("values");
    let panel = [(evil, Hue::Blue, sample.clone()), ("other", Hue::Sky, sample)];
    for multiples in [Multiples::histograms(evil, axis()), Multiples::cumulative(evil, axis())] {
        page.chart(&multiples.caption(evil).panel(evil, panel.clone()).mark(1.0, evil));
    }
    for bars in [
        Bars::stacked(evil, axis(), [(evil, Hue::Blue)]),
        Bars::grouped(evil, axis(), [(evil, Hue::Blue)]),
    ] {
        page.chart(&bars.caption(evil).heading(evil).row(evil, [Some(1.0)]));
    }
    page.render()
}

#[test]
fn text_stays_text() {
    let page = hostile();
    assert!(!page.contains("<img"), "a tag got through");
    assert!(page.matches("&lt;img src=x onerror=alert(1)&gt;").count() > 30);
    // Within an attribute a quote would end it: nothing of ours is put there but numbers.
    let (_, after) = page.split_once("<body>").expect("a body");
    let tags = after.split('<').filter_map(|part| part.split_once('>')).map(|(tag, _)| tag);
    assert!(tags.filter(|tag| !tag.contains('\n')).all(|tag| !tag.contains("onerror")));
}

#[test]
fn a_page_loads_nothing() {
    let page = hostile();
    let own_text = page.replace("img src=x onerror", "");
    for loads in ["src=", "href", "url(", "@import", "http:", "https:", "//www", "fetch(", "<link"]
    {
        assert!(!own_text.contains(loads), "the page may load something: {loads}");
    }
    assert!(page.contains("content=\"default-src 'none';"), "and forbids itself to");
}

#[test]
fn every_tag_is_closed() {
    let page = hostile();
    for tag in
        ["svg", "figure", "div", "table", "tr", "td", "p", "ul", "li", "text", "title", "desc"]
    {
        let opened =
            page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("<svg role=\"img\"").count());
    assert_eq!(page.matches("<svg").count(), page.matches("<desc>").count());
}

#[test]
fn prose_has_little_markup() {
    let mut page = Page::new("t", "l");
    page.prose("two **strong** words and `a < b`\n\n- one\n- 2 * 3 ** 4");
    let expected = "<p>two <strong>strong</strong> words and <code>a &lt; b</code></p>\n\
                    <ul><li>one</li><li>2 * 3 ** 4</li></ul>\n";
    assert!(page.render().contains(expected), "{}", page.body);
}

#[test]
fn one_drawing_is_a_file_and_several_are_none() {
    let lines = Lines::new("flat", Axis::linear("x"), Axis::linear("y"));
    let file = drawing(&lines).expect("it is one");
    assert!(
        file.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"832\"")
    );
    assert!(file.contains("<style>") && file.trim_end().ends_with("</svg>"), "{file}");
    assert_eq!(file.matches("<svg").count(), 1);
    let sample = Sample::new([1.0, 2.0]).expect("values");
    let panels = Multiples::cumulative("m", Axis::linear("x"))
        .panel("one", [("a", Hue::Blue, sample.clone())])
        .panel("two", [("a", Hue::Blue, sample)]);
    assert_eq!(drawing(&panels), None);
}

#[test]
fn figures_are_counted() {
    let mut page = Page::new("t", "l");
    let chart = Lines::new("flat", Axis::linear("x"), Axis::linear("y"));
    page.chart(&chart);
    page.chart(&chart);
    assert!(page.render().contains("<figure id=\"figure-2\"><h3><span>Figure 2.</span> flat</h3>"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(hostile(), hostile());
}
