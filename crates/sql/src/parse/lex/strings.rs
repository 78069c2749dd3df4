//! Literals and quoted names: what stands between the quotes, decoded.
//!
//! Whatever its form, a literal becomes a plain one: `E'a\tb'`, `U&'\0061'` and `$$a$$` are texts
//! like `'a'` from here on.

use expr::{SqlError, SqlState};
use sqlparser::tokenizer::{Token, Word};

use super::{Lexer, is_blank};

/// What a backslash means between quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// Itself.
    Plain,
    /// The start of an escape.
    Escape,
}

/// One step of reading `\D83D\DE00`: characters beyond 16 bits come in two.
#[derive(Default)]
struct Pairs {
    high: Option<u32>,
}

/// What is wrong with an escape, in PostgreSQL's words.
type Wrong = &'static str;
const BROKEN_PAIR: Wrong = "invalid Unicode surrogate pair";
const NO_CHARACTER: Wrong = "invalid Unicode escape value";

impl Pairs {
    /// The character that an escape completes, if it does.
    fn take(&mut self, code: u32) -> Result<Option<char>, Wrong> {
        match (self.high.take(), code) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(code);
                Ok(None)
            }
            (Some(high), 0xdc00..=0xdfff) => {
                let whole = 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00);
                Ok(char::from_u32(whole))
            }
            (None, 0xdc00..=0xdfff) | (Some(_), _) => Err(BROKEN_PAIR),
            (None, _) => char::from_u32(code).filter(|c| *c != '\0').map(Some).ok_or(NO_CHARACTER),
        }
    }

    /// An error if a second half is awaited.
    fn none_open(&self) -> Result<(), Wrong> {
        if self.high.is_some() { Err(BROKEN_PAIR) } else { Ok(()) }
    }
}

impl Lexer<'_> {
    /// `'...'`.
    pub(super) fn plain_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.at += 1;
        let text = self.quoted(Backslash::Plain, "quoted string", start)?;
        self.emit(literal(text), start);
        Ok(())
    }

    /// `E'...'`.
    pub(super) fn escape_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.at += 2;
        let text = self.quoted(Backslash::Escape, "quoted string", start)?;
        self.emit(literal(text), start);
        Ok(())
    }

    /// `B'...'`, `X'...'`.
    pub(super) fn bit_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let binary = self.byte(0).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'b'));
        self.at += 2;
        let what = if binary { "bit string literal" } else { "hexadecimal string literal" };
        let text = self.quoted(Backslash::Plain, what, start)?;
        let token = if binary {
            Token::SingleQuotedByteStringLiteral(text)
        } else {
            Token::HexStringLiteral(text)
        };
        self.emit(token, start);
        Ok(())
    }

    /// `U&'...'`, with `UESCAPE 'c'` behind it or not.
    pub(super) fn unicode_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.at += 3;
        let text = self.quoted(Backslash::Plain, "quoted string", start)?;
        let escape = self.uescape()?;
        let text = unicode(&text, escape, start + 3)?;
        self.emit(literal(text), start);
        Ok(())
    }

    /// `"..."`, `U&"..."`.
    pub(super) fn quoted_name(&mut self, escapes: bool) -> Result<(), SqlError> {
        let start = self.at;
        self.at += if escapes { 3 } else { 1 };
        let mut name = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find('"') else {
                return Err(self.unterminated("quoted identifier", start));
            };
            name.push_str(&rest[..end]);
            self.at += end + 1;
            if self.byte(0) != Some(b'"') {
                break;
            }
            name.push('"');
            self.at += 1;
        }
        if escapes {
            let escape = self.uescape()?;
            name = unicode(&name, escape, start + 3)?;
        }
        if name.is_empty() {
            let text = &self.text[start..self.at];
            let message = format!("zero-length delimited identifier at or near \"{text}\"");
            return Err(SqlError::syntax(message).at(start));
        }
        let value = self.shorten(name, start);
        let keyword = sqlparser::keywords::Keyword::NoKeyword;
        self.emit(Token::Word(Word { value, quote_style: Some('"'), keyword }), start);
        Ok(())
    }

    /// `$tag$...$tag$`.
    pub(super) fn dollar_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let rest = &self.text[start..];
        let tag = rest[1..].find('$').map(|end| &rest[..end + 2]).filter(|tag| {
            let name = &tag[1..tag.len() - 1];
            !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii())
        });
        let Some(tag) = tag else { return Err(self.near(start, start + 1)) };
        let body = &rest[tag.len()..];
        let Some(end) = body.find(tag) else {
            return Err(self.unterminated("dollar-quoted string", start));
        };
        let text = body[..end].to_owned();
        self.at = start + tag.len() + end + tag.len();
        self.emit(literal(text), start);
        Ok(())
    }

    /// What stands up to the closing quote, and in further quotes on the lines behind it.
    fn quoted(
        &mut self,
        backslash: Backslash,
        what: &str,
        start: usize,
    ) -> Result<String, SqlError> {
        let (mut out, mut pairs) = (Vec::new(), Pairs::default());
        loop {
            match self.byte(0) {
                None => return Err(self.unterminated(what, start)),
                Some(b'\'') => {
                    pairs.none_open().map_err(|wrong| self.wrong_escape(wrong, 1))?;
                    self.at += 1;
                    if self.byte(0) == Some(b'\'') {
                        out.push(b'\'');
                        self.at += 1;
                    } else if let Some(next) = self.continuation() {
                        self.at = next;
                    } else {
                        break;
                    }
                }
                Some(b'\\') if backslash == Backslash::Escape => {
                    if self.byte(1).is_none() {
                        return Err(self.unterminated(what, start));
                    }
                    self.escape(&mut out, &mut pairs)?;
                }
                Some(byte) => {
                    pairs.none_open().map_err(|wrong| self.wrong_escape(wrong, 1))?;
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        as_text(out, start)
    }

    /// Where the literal goes on: a quote with nothing between but blanks, one line's end at least.
    fn continuation(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let (mut at, mut new_line) = (self.at, false);
        loop {
            match (bytes.get(at)?, bytes.get(at + 1)) {
                (b'\n' | b'\r', _) => new_line = true,
                (b'-', Some(b'-')) => {
                    at += bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
                    continue;
                }
                (b'\'', _) => return new_line.then_some(at + 1),
                (byte, _) if is_blank(*byte) => {}
                _ => return None,
            }
            at += 1;
        }
    }

    /// An error about so many bytes under the cursor.
    fn wrong_escape(&self, wrong: Wrong, length: usize) -> SqlError {
        let rest = &self.text[self.at..];
        let end = (length..rest.len()).find(|end| rest.is_char_boundary(*end));
        let near = &rest[..end.unwrap_or(rest.len())];
        SqlError::syntax(format!("{wrong} at or near \"{near}\"")).at(self.at)
    }

    /// An escape of `E'...'`, the backslash under the cursor.
    fn escape(&mut self, out: &mut Vec<u8>, pairs: &mut Pairs) -> Result<(), SqlError> {
        let at = self.at;
        let kind = self.byte(1).unwrap_or(b'\\');
        if matches!(kind, b'u' | b'U') {
            let length = if kind == b'u' { 4 } else { 8 };
            let code = hex(self.text.get(at + 2..at + 2 + length));
            let Some(code) = code else {
                return Err(bad_escape(
                    SqlState::INVALID_ESCAPE_SEQUENCE,
                    r"\uXXXX or \UXXXXXXXX",
                    at,
                ));
            };
            let c = pairs.take(code).map_err(|wrong| self.wrong_escape(wrong, 2 + length))?;
            self.at += 2 + length;
            if let Some(c) = c {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            return Ok(());
        }
        pairs.none_open().map_err(|wrong| self.wrong_escape(wrong, 1))?;
        self.at += 2;
        match kind {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'0'..=b'7' => {
                self.at -= 1;
                out.push(self.code(3, 8));
            }
            b'x' if self.byte(0).is_some_and(|byte| byte.is_ascii_hexdigit()) => {
                out.push(self.code(2, 16));
            }
            other => out.push(other),
        }
        Ok(())
    }

    /// A byte written in at most so many digits; what does not fit into it is dropped.
    fn code(&mut self, most: usize, radix: u32) -> u8 {
        let mut code = 0_u32;
        for _ in 0..most {
            let digit = self.byte(0).and_then(|byte| char::from(byte).to_digit(radix));
            let Some(digit) = digit else { break };
            code = code * radix + digit;
            self.at += 1;
        }
        code.to_le_bytes()[0]
    }

    /// `UESCAPE 'c'`, if it follows: else the escape character is a backslash.
    fn uescape(&mut self) -> Result<char, SqlError> {
        let behind = self.at;
        self.skip_blank()?;
        let word = self.text.get(self.at..self.at + 7).unwrap_or_default();
        let ends = !self.byte(7).is_some_and(super::continues_name);
        if !word.eq_ignore_ascii_case("uescape") || !ends {
            self.at = behind;
            return Ok('\\');
        }
        self.at += 7;
        self.skip_blank()?;
        let start = self.at;
        if self.byte(0) != Some(b'\'') {
            let message = "UESCAPE must be followed by a simple string literal";
            return Err(SqlError::syntax(message).at(start));
        }
        self.at += 1;
        let text = self.quoted(Backslash::Plain, "quoted string", start)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None)
                if !c.is_ascii_hexdigit() && !"+'\"".contains(c) && !c.is_whitespace() =>
            {
                Ok(c)
            }
            _ => {
                let text = &self.text[start..self.at];
                let message = format!("invalid Unicode escape character at or near \"{text}\"");
                Err(SqlError::syntax(message).at(start))
            }
        }
    }
}

/// A text as a token. What sqlparser would print so that it reads differently is marked as one with
/// escapes, which it prints as it should: the catalog keeps defaults and checks as texts.
fn literal(text: String) -> Token {
    if text.contains("''") || text.contains("\\'") {
        Token::EscapedStringLiteral(text)
    } else {
        Token::SingleQuotedString(text)
    }
}

fn hex(digits: Option<&str>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

fn bad_escape(state: SqlState, forms: &str, at: usize) -> SqlError {
    SqlError::new(state, "invalid Unicode escape")
        .with_hint(format!("Unicode escapes must be {forms}."))
        .at(at)
}

/// Escapes of `U&` forms replaced by what they mean; the text begins at this offset.
fn unicode(text: &str, escape: char, start: usize) -> Result<String, SqlError> {
    let (mut out, mut pairs) = (String::with_capacity(text.len()), Pairs::default());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let at = start + text.len() - rest.len();
        let here = |wrong: Wrong| SqlError::syntax(wrong).at(at);
        rest = &rest[c.len_utf8()..];
        if c != escape {
            pairs.none_open().map_err(here)?;
            out.push(c);
        } else if let Some(behind) = rest.strip_prefix(escape) {
            pairs.none_open().map_err(here)?;
            out.push(escape);
            rest = behind;
        } else {
            let (from, length) = if rest.starts_with('+') { (1, 6) } else { (0, 4) };
            let Some(code) = hex(rest.get(from..from + length)) else {
                return Err(bad_escape(SqlState::SYNTAX_ERROR, r"\XXXX or \+XXXXXX", at));
            };
            rest = &rest[from + length..];
            out.extend(pairs.take(code).map_err(here)?);
        }
    }
    pairs.none_open().map_err(|wrong| SqlError::syntax(wrong).at(start + text.len()))?;
    Ok(out)
}

/// Bytes that escapes may have made, if they are a text.
fn as_text(bytes: Vec<u8>, start: usize) -> Result<String, SqlError> {
    let zero = bytes.iter().position(|byte| *byte == 0);
    let (wrong, bytes) = match (zero, String::from_utf8(bytes)) {
        (None, Ok(text)) => return Ok(text),
        (Some(at), Ok(text)) => (at, text.into_bytes()),
        (zero, Err(error)) => {
            let at = error.utf8_error().valid_up_to();
            (zero.map_or(at, |zero| zero.min(at)), error.into_bytes())
        }
    };
    let length = match bytes[wrong] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    let shown: Vec<String> =
        bytes[wrong..].iter().take(length).map(|byte| format!("0x{byte:02x}")).collect();
    let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
    Err(SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message).at(start))
}
