//! Where things are in a query text: from the tokenizer's lines and columns to byte offsets, which
//! is how errors name a place.

use sqlparser::tokenizer::Location;

/// The byte offset of a line and column of a text, at most the text's length; `None` for the empty
/// location that made-up tokens carry.
#[must_use]
pub fn offset(text: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let (mut line, mut column) = (1, 1);
    for (offset, c) in text.char_indices() {
        if (line, column) >= (location.line, location.column) {
            return Some(offset);
        }
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    Some(text.len())
}

/// The location in a message of sqlparser (`... at Line: 1, Column: 5`), and the message without
/// it.
#[must_use]
pub fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((head, tail)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let mut numbers = tail.split(", Column: ").map(|digits| digits.trim().parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(line), Some(column)) => (head, Some(Location { line, column })),
        _ => (message, None),
    }
}
