//! LIKE: short patterns character by character, long ones piece by piece.
//!
//! A `%` cuts the pattern into pieces. The first one must begin the text, the last one must end it,
//! and each of the others may be taken at the first place where it fits: so nothing is tried again
//! once a piece was found. A piece of characters alone is found in a time that grows with the text
//! alone; one with `_` in it may take a time for each place, which is counted.

use crate::{
    context::EvalContext,
    error::{Result, SqlError, SqlState},
};

/// Text times pattern up to here is looked at character by character: preparing pieces costs more.
const SHORT: usize = 1 << 14;

/// Whether a text matches a LIKE pattern: `%` stands for any text, `_` for any one character.
///
/// # Errors
/// The pattern ends with its escape character: `22025`. The statement shall end: `57014`.
pub(crate) fn like(
    text: &str,
    pattern: &str,
    escape: Option<char>,
    ctx: &EvalContext,
) -> Result<bool> {
    if text.len().saturating_mul(pattern.len()) <= SHORT {
        return by_characters(text, pattern, escape);
    }
    ctx.work(text.len().saturating_add(pattern.len()))?;
    by_pieces(text, pattern, escape, ctx)
}

fn ends_with_escape() -> SqlError {
    SqlError::new(
        SqlState::INVALID_ESCAPE_SEQUENCE,
        "LIKE pattern must not end with escape character",
    )
}

/// As [`like`], in up to as many steps as text and pattern are long, multiplied.
fn by_characters(text: &str, pattern: &str, escape: Option<char>) -> Result<bool> {
    // Both advance as far as they agree. At a disagreement the last `%` takes one more character.
    let (mut text_rest, mut pattern_rest) = (text.chars(), pattern.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before = text_rest.clone();
        let matched = match pattern_rest.next() {
            Some('%') if escape != Some('%') => {
                retry = Some((before, pattern_rest.clone()));
                continue;
            }
            Some('_') if escape != Some('_') => text_rest.next().is_some(),
            Some(c) if Some(c) == escape => match pattern_rest.next() {
                Some(literal) => text_rest.next() == Some(literal),
                None if text_rest.as_str().is_empty() => false,
                None => {
                    return Err(ends_with_escape());
                }
            },
            Some(c) => text_rest.next() == Some(c),
            None if text_rest.as_str().is_empty() => return Ok(true),
            None => false,
        };
        if matched {
            continue;
        }
        let Some((mut from, after)) = retry else {
            return Ok(false);
        };
        if from.next().is_none() {
            return Ok(false);
        }
        (text_rest, pattern_rest) = (from.clone(), after.clone());
        retry = Some((from, after));
    }
}

/// What stands between two `%`.
#[derive(Default)]
struct Piece {
    /// So many characters of any kind, then these.
    parts: Vec<(usize, String)>,
    /// How many bytes looking at it takes at most, about.
    length: usize,
}

impl Piece {
    fn any(&mut self) {
        match self.parts.last_mut() {
            Some((count, literal)) if literal.is_empty() => *count += 1,
            Some(_) | None => self.parts.push((1, String::new())),
        }
        self.length += 1;
    }

    fn literal(&mut self, c: char) {
        match self.parts.last_mut() {
            Some((_, literal)) => literal.push(c),
            None => self.parts.push((0, c.to_string())),
        }
        self.length += c.len_utf8();
    }

    fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is left of a text that begins with the piece.
    fn begins<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.parts.iter().try_fold(text, |text, (any, literal)| {
            skipped(text, *any)?.strip_prefix(literal.as_str())
        })
    }

    /// What is left of a text behind the first place where the piece fits.
    fn found<'t>(&self, text: &'t str, ctx: &EvalContext) -> Result<Option<&'t str>> {
        let Some(((any, first), rest)) = self.parts.split_first() else { return Ok(Some(text)) };
        let Some(mut text) = skipped(text, *any) else { return Ok(None) };
        loop {
            let Some(at) = text.find(first.as_str()) else { return Ok(None) };
            let behind = &text[at + first.len()..];
            let left = rest.iter().try_fold(behind, |text, (any, literal)| {
                skipped(text, *any)?.strip_prefix(literal.as_str())
            });
            if left.is_some() {
                return Ok(left);
            }
            ctx.work(self.length)?;
            let next = text[at..].chars().next().map_or(1, char::len_utf8);
            let Some(more) = text.get(at + next..) else { return Ok(None) };
            text = more;
        }
    }

    /// Whether a text ends with the piece.
    fn ends(&self, text: &str) -> bool {
        self.parts
            .iter()
            .rev()
            .try_fold(text, |text, (any, literal)| {
                let text = text.strip_suffix(literal.as_str())?;
                match any.checked_sub(1) {
                    None => Some(text),
                    Some(before) => {
                        text.char_indices().rev().nth(before).map(|(at, _)| &text[..at])
                    }
                }
            })
            .is_some()
    }
}

/// A text without its first characters; `None`: it has not so many.
fn skipped(text: &str, count: usize) -> Option<&str> {
    match count.checked_sub(1) {
        None => Some(text),
        Some(before) => text.char_indices().nth(before).map(|(at, c)| &text[at + c.len_utf8()..]),
    }
}

/// The pieces of a pattern, and whether it ends with its escape character.
fn pieces(pattern: &str, escape: Option<char>) -> (Vec<Piece>, bool) {
    let mut pieces = vec![Piece::default()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let last = pieces.last_mut().expect("there is always one");
        if Some(c) == escape {
            match chars.next() {
                Some(literal) => last.literal(literal),
                None => return (pieces, true),
            }
        } else if c == '%' {
            pieces.push(Piece::default());
        } else if c == '_' {
            last.any();
        } else {
            last.literal(c);
        }
    }
    (pieces, false)
}

/// As [`like`], in steps as many as text and pattern are long, unless `_` stand within.
fn by_pieces(text: &str, pattern: &str, escape: Option<char>, ctx: &EvalContext) -> Result<bool> {
    let (mut pieces, dangling) = pieces(pattern, escape);
    let last = pieces.pop().expect("there is always one");
    // Where an escape character has nothing behind it, it matters whether one comes to it.
    let escaped = |left: Option<&str>| match left {
        Some(left) if !left.is_empty() => Err(ends_with_escape()),
        Some(_) | None => Ok(false),
    };
    let mut pieces = pieces.into_iter();
    let Some(first) = pieces.next() else {
        let left = last.begins(text);
        return if dangling { escaped(left) } else { Ok(left == Some("")) };
    };
    let Some(mut rest) = first.begins(text) else { return Ok(false) };
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        match piece.found(rest, ctx)? {
            Some(left) => rest = left,
            None => return Ok(false),
        }
    }
    if dangling { escaped(last.found(rest, ctx)?) } else { Ok(last.ends(rest)) }
}

#[cfg(test)]
mod tests;
