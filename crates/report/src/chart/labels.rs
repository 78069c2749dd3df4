//! Labels that do not cover each other: names beside their lines, and rows of keys.

use super::svg::{Anchor, FONT, Hue, Svg, width_of};

/// From one line of text to the next.
pub(super) const LINE: f64 = FONT + 4.0;

/// Moves wanted heights apart until no two are closer than `gap`, staying between `top` and
/// `bottom` if there is room, and keeping their order. Answers in the order of the wishes.
pub(super) fn spread(wanted: &[f64], gap: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    // Labels that touch become one block around the middle of what they wanted.
    // (sum of wishes less the offset within the block, labels)
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    let height = |count: usize| gap * (count - 1) as f64;
    let start =
        |&(sum, count): &(f64, usize)| (sum / count as f64).min(bottom - height(count)).max(top);
    for index in &order {
        let mut block = (wanted[*index], 1);
        while let Some(above) = blocks.pop() {
            if start(&above) + height(above.1) + gap <= start(&block) {
                blocks.push(above);
                break;
            }
            let shift = gap * above.1 as f64 * block.1 as f64;
            block = (above.0 + block.0 - shift, above.1 + block.1);
        }
        blocks.push(block);
    }
    let mut placed = vec![0.0; wanted.len()];
    let mut next = order.into_iter();
    for block in &blocks {
        for (at, index) in next.by_ref().take(block.1).enumerate() {
            placed[index] = start(block) + gap * at as f64;
        }
    }
    placed
}

/// What a key shows beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swatch {
    /// A patch of a colour.
    Patch(Hue),
    /// A line with a mark on it.
    Measured,
    /// A dashed line.
    Theory,
}

/// A row of keys from (`left`, `y`), wrapped before `right`. Returns the height it takes.
pub(super) fn key(
    svg: &mut Svg,
    (left, right): (f64, f64),
    y: f64,
    entries: &[(Swatch, String)],
) -> f64 {
    const SWATCH: f64 = 34.0;
    let (mut x, mut row) = (left, 0.0);
    for (swatch, name) in entries {
        let beside = if let Swatch::Patch(_) = swatch { SWATCH - 10.0 } else { SWATCH };
        let width = beside + width_of(name) + 14.0;
        if x > left && x + width > right {
            (x, row) = (left, row + 1.0);
        }
        let middle = y + row * LINE + LINE / 2.0;
        match swatch {
            Swatch::Patch(hue) => {
                let class = format!("fill {}", hue.class());
                svg.rect(&class, (x, middle - 6.0), (18.0, 12.0), None);
            }
            Swatch::Measured => {
                svg.line("curve ink", (x, middle), (x + 28.0, middle));
                svg.mark(0, Hue::Grey, (x + 14.0, middle));
            }
            Swatch::Theory => svg.line("curve theory ink", (x, middle), (x + 28.0, middle)),
        }
        svg.text("label", (x + beside, middle + FONT * 0.35), Anchor::Start, name);
        x += width;
    }
    if entries.is_empty() { 0.0 } else { (row + 1.0) * LINE }
}
