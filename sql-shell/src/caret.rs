//! The line of a statement where an error is, and a caret under the place.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a line that are shown; of a longer one the part around the caret, as psql does it.
const SHOWN: usize = 60;

/// Columns behind the caret that are shown at least.
const BEHIND: usize = 10;

/// The line that holds the `position`th character (from 1), and a caret under it; nothing if there is
/// no such line.
pub fn caret(sql: &str, position: usize) -> String {
    let before: String = sql.chars().take(position.saturating_sub(1)).collect();
    let number = before.matches('\n').count() + 1;
    let Some(line) = sql.lines().nth(number - 1) else { return String::new() };
    let start = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    // Tabs would shift the caret, and so would whatever moves the cursor.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let line: Vec<char> = line.chars().map(plain).collect();
    let at = start.min(line.len());
    let width = |chars: &[char]| chars.iter().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    let (mut from, mut to) = (0, line.len());
    while width(&line[from..to]) > SHOWN && from < at && width(&line[from..at]) > SHOWN - BEHIND {
        from += 1;
    }
    while width(&line[from..to]) > SHOWN && to > at + 1 {
        to -= 1;
    }
    let (left, right) = (mark(from > 0), mark(to < line.len()));
    let label = format!("LINE {number}: {left}");
    let indent = label.width() + width(&line[from..at]);
    let shown: String = line[from..to].iter().collect();
    format!("\n{label}{shown}{right}\n{}^", " ".repeat(indent))
}

fn mark(cut: bool) -> &'static str {
    if cut { "..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_character() {
        assert_eq!(caret("select x", 8), "\nLINE 1: select x\n               ^");
        assert_eq!(caret("a\nbä c", 6), "\nLINE 2: bä c\n           ^");
        assert_eq!(caret("a", 99), "\nLINE 1: a\n         ^");
        assert_eq!(caret("a", 0), "\nLINE 1: a\n        ^");
        assert_eq!(caret("", 1), "");
    }

    #[test]
    fn wide_characters_move_it_by_their_width() {
        assert_eq!(
            caret("select '日本' x", 13),
            "\nLINE 1: select '日本' x\n                      ^"
        );
        assert_eq!(caret("a\tb", 3), "\nLINE 1: a b\n          ^");
    }

    /// It never wraps on a terminal of 80 columns, wherever the error is.
    #[test]
    fn of_a_long_line_the_part_around_it_is_shown() {
        let line: String = (0..300).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
        for position in 1..=line.len() {
            let drawn = caret(&line, position);
            let [_, shown, under] = drawn.split('\n').collect::<Vec<_>>()[..] else {
                panic!("{drawn}")
            };
            assert!(shown.width() <= 76, "{drawn}");
            let pointed = shown.chars().nth(under.chars().count() - 1);
            assert_eq!(pointed, line.chars().nth(position - 1), "{drawn}");
        }
        assert!(caret(&line, 150).contains("..."));
    }
}
