//! Places in sqlparser's messages, which it tells in words only.

use sqlparser::tokenizer::Location;

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
