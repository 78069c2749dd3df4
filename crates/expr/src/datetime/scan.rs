//! The pieces of a date's or an interval's text: numbers, words, what is joined by signs.
//!
//! Where a piece ends depends on how it begins, not only on blanks: `1h30m` is four pieces, and
//! `2026-03-01T12:30+01` is four as well. Punctuation that means nothing parts pieces.

use super::parse::is_date_word;

/// The most pieces of a text.
const MAX_PIECES: usize = 25;

/// What a piece looks like; what it means depends on its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Digits, maybe a point and a fraction.
    Number,
    /// Digits and letters joined by one of `-`, `/`, `.`; also names of zones.
    Date,
    /// Digits with colons.
    Time,
    /// Letters.
    Word,
    /// A sign and letters: `-infinity`.
    Signed,
    /// A sign and digits: an offset of a zone, or a signed number.
    Offset,
}

/// A piece, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) shape: Shape,
    pub(super) text: String,
}

/// Takes a text apart; `None` if it has a character that belongs to no piece, or if its pieces
/// don't fit into so many bytes, each counted with one that ends it.
pub(super) fn pieces(text: &str, room: usize) -> Option<Vec<Piece>> {
    let mut scanner = Scanner { rest: text, pieces: Vec::new() };
    let mut used = 0;
    while let Some(c) = scanner.peek() {
        if is_blank(c) {
            scanner.skip();
            continue;
        }
        if scanner.pieces.len() == MAX_PIECES {
            return None;
        }
        let (before, text) = (scanner.pieces.len(), scanner.rest);
        match c {
            '0'..='9' => scanner.number(),
            '.' => {
                let end = 1 + digits(&text[1..]);
                scanner.take(end, Shape::Number);
            }
            'a'..='z' | 'A'..='Z' => scanner.word(),
            '+' | '-' => scanner.signed()?,
            c if c.is_ascii_punctuation() => scanner.skip(),
            _ => return None,
        }
        if let Some(piece) = scanner.pieces.get(before) {
            // The last character must leave a byte free behind it.
            if used + piece.text.len() >= room {
                return None;
            }
            used += piece.text.len() + 1;
        }
    }
    Some(scanner.pieces)
}

/// What C calls a space.
pub(crate) const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// How many digits a text begins with.
pub(super) fn digits(text: &str) -> usize {
    length(text, |c| c.is_ascii_digit())
}

/// How many bytes of a text are such characters, which are ASCII.
fn length(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

struct Scanner<'a> {
    rest: &'a str,
    pieces: Vec<Piece>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        self.rest = &self.rest[1..];
    }

    fn take(&mut self, length: usize, shape: Shape) {
        let (taken, rest) = self.rest.split_at(length);
        self.pieces.push(Piece { shape, text: taken.to_ascii_lowercase() });
        self.rest = rest;
    }

    /// What begins with a digit: a number, a time, or a date.
    fn number(&mut self) {
        let text = self.rest;
        let end = digits(text);
        let behind = &text[end..];
        match behind.chars().next() {
            Some(':') => {
                let end = end + length(behind, |c| c.is_ascii_digit() || c == ':' || c == '.');
                self.take(end, Shape::Time);
            }
            Some(mark @ ('-' | '/' | '.')) => {
                let second = digits(&behind[1..]);
                if second == 0 {
                    let more = length(&behind[1..], |c| c.is_ascii_alphanumeric() || c == mark);
                    return self.take(end + 1 + more, Shape::Date);
                }
                let third = &behind[1 + second..];
                if third.starts_with(mark) {
                    let more = length(third, |c| c.is_ascii_digit() || c == mark);
                    return self.take(end + 1 + second + more, Shape::Date);
                }
                let shape = if mark == '.' { Shape::Number } else { Shape::Date };
                self.take(end + 1 + second, shape);
            }
            _ => self.take(end, Shape::Number),
        }
    }

    /// What begins with a letter: a word, a date with a month's name, or the name of a zone.
    fn word(&mut self) {
        let text = self.rest;
        let end = length(text, |c| c.is_ascii_alphabetic());
        let joined = match text[end..].chars().next() {
            Some('-' | '/' | '.') => true,
            // A unit or a word such as `t` ends where digits begin; a zone's name goes on.
            Some('+' | '0'..='9') => !is_date_word(&text[..end].to_ascii_lowercase()),
            _ => false,
        };
        if !joined {
            return self.take(end, Shape::Word);
        }
        let more = length(&text[end..], |c| {
            c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '/' | '_' | '.' | ':')
        });
        self.take(end + more, Shape::Date);
    }

    /// What begins with a sign; `None` if neither digits nor letters follow.
    fn signed(&mut self) -> Option<()> {
        let (sign, behind) = self.rest.split_at(1);
        let behind = behind.trim_start_matches(is_blank);
        let (shape, end) = match behind.chars().next()? {
            '0'..='9' => {
                let inside = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | '-');
                (Shape::Offset, length(behind, inside))
            }
            'a'..='z' | 'A'..='Z' => (Shape::Signed, length(behind, |c| c.is_ascii_alphabetic())),
            _ => return None,
        };
        let text = format!("{sign}{}", behind[..end].to_ascii_lowercase());
        self.pieces.push(Piece { shape, text });
        self.rest = &behind[end..];
        Some(())
    }
}

/// A number is outside its type.
pub(super) struct TooLarge;

/// The integer a text begins with (0 if none), and what follows it.
pub(super) fn leading_int(text: &str) -> Result<(i64, &str), TooLarge> {
    let signed = usize::from(text.starts_with(['+', '-']));
    let end = signed + digits(&text[signed..]);
    if end == signed {
        return Ok((0, text));
    }
    let value = text[..end].parse::<i64>().map_err(|_| TooLarge)?;
    Ok((value, &text[end..]))
}

/// The same within the bounds of 32 bits.
pub(super) fn leading_int32(text: &str) -> Result<(i64, &str), TooLarge> {
    let (value, rest) = leading_int(text)?;
    if i32::try_from(value).is_ok() { Ok((value, rest)) } else { Err(TooLarge) }
}

/// The fraction that a point and digits up to the end are; `None` if other characters follow.
pub(super) fn fraction(text: &str) -> Option<f64> {
    let places = text.strip_prefix('.')?;
    if places.is_empty() {
        return Some(0.0);
    }
    if digits(places) != places.len() {
        return None;
    }
    format!("0.{places}").parse().ok()
}

/// A fraction of a second in microseconds, rounded.
pub(super) fn fraction_micros(text: &str) -> Option<i64> {
    fraction(text).map(|fraction| (fraction * 1e6).round_ties_even() as i64)
}
