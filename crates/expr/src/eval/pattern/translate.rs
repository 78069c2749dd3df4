//! PostgreSQL's advanced regular expressions in the words of the `regex` crates.
//!
//! The same marks mean other things in both: `\b` is a backspace there and a word's boundary here,
//! `\d` has ASCII digits there and every digit of Unicode here. So a pattern is read by
//! PostgreSQL's rules and written anew, each character escaped.
//!
//! What the crate cannot do is refused by its name (`0A000`): back references, lookaround, the
//! languages of old (`(?b)`, `(?e)`), expanded syntax (`(?x)`) and newline-sensitive matching
//! (`(?n)`, `(?m)`, `(?p)`). What PostgreSQL refuses is `2201B`.

use std::{fmt::Write, iter::Peekable, str::Chars};

use crate::error::{Result, SqlError, SqlState};

/// The greatest bound of a repetition.
const MAX_BOUND: u32 = 255;

/// What [`translate`] makes of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    /// For the `regex` crates.
    pub(super) text: String,
    /// What the pattern itself says about letters of both cases being the same.
    pub(super) case_insensitive: Option<bool>,
    /// `^` and `$` match at each line.
    pub(super) multi_line: bool,
}

/// `2201B`, as PostgreSQL words it.
pub(super) fn invalid(reason: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_REGULAR_EXPRESSION,
        format!("invalid regular expression: {reason}"),
    )
}

fn unsupported<T>(what: &str) -> Result<T> {
    Err(SqlError::unsupported(format_args!("{what} in a regular expression")))
}

/// A pattern that matches this text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Reads a pattern.
///
/// # Errors
/// See the head of this module.
pub(super) fn translate(pattern: &str) -> Result<Translated> {
    let mut out = Translated { text: String::new(), case_insensitive: None, multi_line: false };
    let mut rest = pattern;
    if let Some(literal) = rest.strip_prefix("***=") {
        out.text = escaped(literal);
        return Ok(out);
    }
    if let Some(advanced) = rest.strip_prefix("***:") {
        rest = advanced;
    } else if rest.starts_with("***") {
        return Err(invalid("invalid regexp (reg version 0.8)"));
    }
    let options = rest.strip_prefix("(?").and_then(|behind| {
        let end = behind.find(|c: char| !c.is_ascii_alphabetic())?;
        behind[end..].starts_with(')').then(|| behind.split_at(end))
    });
    if let Some((letters, behind)) = options {
        let mut literal = false;
        for letter in letters.chars() {
            match letter {
                'i' => out.case_insensitive = Some(true),
                'c' => out.case_insensitive = Some(false),
                's' => out.multi_line = false,
                'w' => out.multi_line = true,
                't' => {}
                'q' => literal = true,
                'b' | 'e' | 'm' | 'n' | 'p' | 'x' => {
                    return unsupported(&format!("the option \"{letter}\""));
                }
                _ => return Err(invalid("invalid embedded option")),
            }
        }
        rest = &behind[1..];
        if literal {
            out.text = escaped(rest);
            return Ok(out);
        }
    }
    let mut reader = Reader { rest: rest.chars().peekable(), out: String::new(), depth: 0 };
    reader.read()?;
    out.text = reader.out;
    Ok(out)
}

/// What stands before a quantifier.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing that can be repeated.
    Nothing,
    /// Something that can.
    Atom,
    /// A quantifier.
    Quantifier,
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    depth: u32,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<()> {
        let mut before = Before::Nothing;
        // Brackets still open, with what stood before the group.
        while let Some(c) = self.rest.next() {
            before = match c {
                '(' => {
                    self.open()?;
                    Before::Nothing
                }
                ')' if self.depth == 0 => return Err(invalid("parentheses () not balanced")),
                ')' => {
                    self.depth -= 1;
                    self.out.push(')');
                    Before::Atom
                }
                '|' | '^' | '$' => {
                    self.out.push(c);
                    Before::Nothing
                }
                '*' | '+' | '?' => {
                    self.quantifier(before, &c.to_string())?;
                    Before::Quantifier
                }
                '{' if self.rest.peek().is_some_and(char::is_ascii_digit) => {
                    let bounds = self.bounds()?;
                    self.quantifier(before, &bounds)?;
                    Before::Quantifier
                }
                '.' => {
                    self.out.push('.');
                    Before::Atom
                }
                '[' => self.bracket()?,
                '\\' => self.escape()?,
                c => {
                    self.literal(c);
                    Before::Atom
                }
            };
        }
        if self.depth > 0 { Err(invalid("parentheses () not balanced")) } else { Ok(()) }
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&escaped(c.encode_utf8(&mut [0; 4])));
    }

    fn open(&mut self) -> Result<()> {
        self.depth += 1;
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match self.rest.next() {
            Some(':') => {
                self.out.push_str("?:");
                Ok(())
            }
            Some('=' | '!') => unsupported("lookahead"),
            Some('<') if self.rest.next_if(|c| matches!(c, '=' | '!')).is_some() => {
                unsupported("lookbehind")
            }
            _ => Err(invalid("quantifier operand invalid")),
        }
    }

    fn quantifier(&mut self, before: Before, quantifier: &str) -> Result<()> {
        if before != Before::Atom {
            return Err(invalid("quantifier operand invalid"));
        }
        self.out.push_str(quantifier);
        // As few as possible.
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        Ok(())
    }

    /// `{m}`, `{m,}`, `{m,n}`; the bracket is read.
    fn bounds(&mut self) -> Result<String> {
        let problem = || invalid("invalid repetition count(s)");
        let low = self.number()?.ok_or_else(problem)?;
        let mut out = format!("{{{low}");
        if self.rest.next_if_eq(&',').is_some() {
            out.push(',');
            if let Some(high) = self.number()? {
                if high < low {
                    return Err(problem());
                }
                write!(out, "{high}").expect("a string takes all");
            }
        }
        match self.rest.next() {
            Some('}') => {
                out.push('}');
                Ok(out)
            }
            Some(_) => Err(problem()),
            None => Err(invalid("braces {} not balanced")),
        }
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let mut value = None;
        while let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(10)) {
            self.rest.next();
            let next = value.unwrap_or(0) * 10 + digit;
            if next > MAX_BOUND {
                return Err(invalid("invalid repetition count(s)"));
            }
            value = Some(next);
        }
        Ok(value)
    }

    /// What stands behind a backslash, outside of brackets.
    fn escape(&mut self) -> Result<Before> {
        let Some(c) = self.rest.next() else {
            return Err(invalid("invalid escape \\ sequence"));
        };
        let boundary = match c {
            'A' => "\\A",
            'Z' => "\\z",
            'm' => "\\b{start}",
            'M' => "\\b{end}",
            'y' => "\\b",
            'Y' => "\\B",
            '1'..='9' => return unsupported("a back reference"),
            _ => {
                match shorthand(c) {
                    Some((class, negated)) => {
                        let mark = if negated { "^" } else { "" };
                        write!(self.out, "[{mark}{class}]").expect("a string takes all");
                    }
                    None => {
                        let character = self.character(c)?;
                        self.literal(character);
                    }
                }
                return Ok(Before::Atom);
            }
        };
        self.out.push_str(boundary);
        Ok(Before::Nothing)
    }

    /// The character that an escape stands for.
    fn character(&mut self, c: char) -> Result<char> {
        let problem = || invalid("invalid escape \\ sequence");
        Ok(match c {
            'a' => '\x07',
            'b' => '\x08',
            'B' => '\\',
            'e' => '\x1b',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'c' => {
                let control = self.rest.next().ok_or_else(problem)?;
                char::from_u32(u32::from(control) & 0x1f).ok_or_else(problem)?
            }
            'u' => self.code(16, 4, 4)?,
            'U' => self.code(16, 8, 8)?,
            'x' => self.code(16, 1, 255)?,
            '0' => self.code(8, 0, 2)?,
            c if c.is_ascii_alphanumeric() => return Err(problem()),
            c => c,
        })
    }

    /// A character by its code, in so many digits.
    fn code(&mut self, radix: u32, least: u32, most: u32) -> Result<char> {
        let (mut value, mut count) = (0_u32, 0);
        while count < most
            && let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(radix))
        {
            self.rest.next();
            value = value.saturating_mul(radix).saturating_add(digit);
            count += 1;
        }
        char::from_u32(value)
            .filter(|_| count >= least)
            .ok_or_else(|| invalid("invalid escape \\ sequence"))
    }

    /// A bracket expression, or one of the marks of words that look like one.
    fn bracket(&mut self) -> Result<Before> {
        let ahead: String = self.rest.clone().take(6).collect();
        for (mark, boundary) in [("[:<:]]", "\\b{start}"), ("[:>:]]", "\\b{end}")] {
            if ahead == mark {
                self.rest.nth(5);
                self.out.push_str(boundary);
                return Ok(Before::Nothing);
            }
        }
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or_else(|| invalid("brackets [] not balanced"))?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let Some(low) = self.member(c)? else { continue };
            if self.rest.peek() != Some(&'-') {
                self.literal_in_bracket(low);
                continue;
            }
            let mut behind = self.rest.clone();
            behind.next();
            if behind.peek() == Some(&']') {
                self.literal_in_bracket(low);
                continue;
            }
            self.rest.next();
            let c = self.rest.next().ok_or_else(|| invalid("brackets [] not balanced"))?;
            let high = self.member(c)?.ok_or_else(|| invalid("invalid character range"))?;
            if high < low {
                return Err(invalid("invalid character range"));
            }
            self.literal_in_bracket(low);
            self.out.push('-');
            self.literal_in_bracket(high);
        }
        self.out.push(']');
        Ok(Before::Atom)
    }

    fn literal_in_bracket(&mut self, c: char) {
        if c.is_ascii_punctuation() {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    /// What a bracket expression has at a place: a character, or a class, which is written at once.
    fn member(&mut self, c: char) -> Result<Option<char>> {
        if c == '\\' {
            let c = self.rest.next().ok_or_else(|| invalid("invalid escape \\ sequence"))?;
            return match shorthand(c) {
                Some((class, negated)) => {
                    let mark = if negated { "^" } else { "" };
                    write!(self.out, "[{mark}{class}]").expect("a string takes all");
                    Ok(None)
                }
                None => self.character(c).map(Some),
            };
        }
        let Some(kind) = self.rest.peek().copied().filter(|kind| c == '[' && ".=:".contains(*kind))
        else {
            return Ok(Some(c));
        };
        self.rest.next();
        let mut name = String::new();
        loop {
            let c = self.rest.next().ok_or_else(|| invalid("brackets [] not balanced"))?;
            if c == kind && self.rest.next_if_eq(&']').is_some() {
                break;
            }
            name.push(c);
        }
        if kind == ':' {
            let class = class(&name).ok_or_else(|| invalid("invalid character class"))?;
            self.out.push_str(class);
            return Ok(None);
        }
        let mut characters = name.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) => Ok(Some(only)),
            _ => unsupported("a collating element"),
        }
    }
}

/// The class of an escape such as `\d`, for within brackets, and whether it is the opposite.
fn shorthand(c: char) -> Option<(&'static str, bool)> {
    let class = match c.to_ascii_lowercase() {
        'd' => class("digit"),
        's' => class("space"),
        'w' => class("word"),
        _ => None,
    };
    class.map(|class| (class, c.is_ascii_uppercase()))
}

/// The characters of a class of POSIX, for within brackets. Blanks that don't part words, such as
/// the non-breaking space, are no spaces.
fn class(name: &str) -> Option<&'static str> {
    Some(match name {
        "alpha" => "\\p{Alphabetic}",
        "digit" => "0-9",
        "alnum" => "\\p{Alphabetic}\\p{Nd}",
        "word" => "\\p{Alphabetic}\\p{Nd}_",
        "upper" => "\\p{Uppercase}",
        "lower" => "\\p{Lowercase}",
        "space" => {
            " \\t\\n\\x0b\\x0c\\r\\x{1680}\\x{2000}-\\x{2006}\\x{2008}-\\x{200a}\\x{2028}\\x{2029}\
             \\x{205f}\\x{3000}"
        }
        "blank" => " \\t\\x{1680}\\x{2000}-\\x{2006}\\x{2008}-\\x{200a}\\x{205f}\\x{3000}",
        "punct" => "\\p{P}\\p{S}",
        "cntrl" => "\\p{Cc}\\x{2028}\\x{2029}",
        "xdigit" => "0-9A-Fa-f",
        "graph" => "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}",
        "print" => "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Zs}",
        _ => return None,
    })
}
