//! The syntax of EDN, as far as data goes: nil, booleans, numbers, strings, characters, keywords,
//! symbols, lists, vectors, sets, maps, tags, comments and discards (`#_`). Commas are blanks. Tags are
//! dropped; ratios, fractions and integers beyond 64 bits become texts; what is no EDN (metadata,
//! regular expressions, quotes) is refused with its line. Nothing is recursed into without a bound.

use super::{
    LoadError,
    form::{Data, Form, MAX_DEPTH, short},
};

/// All forms of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Form>, LoadError> {
    let mut reader = Reader { rest: text, line: 1, depth: 0 };
    let mut forms = Vec::new();
    while let Some(form) = reader.next_form(None)? {
        forms.push(form);
    }
    Ok(forms)
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// The next form, or `None` at the end of the text or at `closing`, which is then consumed.
    fn next_form(&mut self, closing: Option<char>) -> Result<Option<Form>, LoadError> {
        loop {
            self.skip_blanks();
            let Some(char) = self.rest.chars().next() else {
                return match closing {
                    None => Ok(None),
                    Some(closing) => Err(self.error(format!("the file ends before a `{closing}`"))),
                };
            };
            if Some(char) == closing {
                self.advance(char.len_utf8());
                return Ok(None);
            }
            if self.rest.starts_with("#_") {
                self.advance(2);
                self.must_form()?;
                continue;
            }
            return self.form(char).map(Some);
        }
    }

    /// What a tag or a discard is about: one level deeper, as those can be heaped up.
    fn must_form(&mut self) -> Result<Form, LoadError> {
        let end = LoadError::new(self.line, "something is missing at the end of the file");
        self.deeper()?;
        let form = self.next_form(None)?.ok_or(end)?;
        self.depth -= 1;
        Ok(form)
    }

    fn deeper(&mut self) -> Result<(), LoadError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("data is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    fn form(&mut self, first: char) -> Result<Form, LoadError> {
        let line = self.line;
        let data = match first {
            '(' => Data::List(self.members('(', ')')?),
            '[' => Data::List(self.members('[', ']')?),
            '{' => self.map()?,
            '"' => Data::Text(self.string()?),
            '\\' => {
                self.advance(1);
                let name = self.token();
                Data::Text(character(name).ok_or_else(|| {
                    self.error(format!("there is no character `\\{}`", short(name)))
                })?)
            }
            '#' if self.rest.starts_with("#{") => {
                self.advance(1);
                Data::Set(self.members('{', '}')?)
            }
            // `##Inf`, `##NaN`.
            '#' if self.rest.starts_with("##") => {
                self.advance(2);
                Data::Text(self.token().to_owned())
            }
            '#' => {
                self.advance(1);
                if !self.rest.starts_with(|char: char| char.is_alphabetic() || char == ':') {
                    return Err(self.error("a `#` that is neither a set nor a tag nor a discard"));
                }
                self.token();
                return self.must_form();
            }
            '^' | '`' | '~' | '@' | '\'' => {
                return Err(self.error(format!("`{first}` is Clojure, not EDN")));
            }
            ')' | ']' | '}' => return Err(self.error(format!("`{first}` closes nothing"))),
            _ => self.atom(),
        };
        Ok(Form { line, data })
    }

    fn members(&mut self, open: char, close: char) -> Result<Vec<Form>, LoadError> {
        self.advance(open.len_utf8());
        self.deeper()?;
        let mut members = Vec::new();
        while let Some(form) = self.next_form(Some(close))? {
            members.push(form);
        }
        self.depth -= 1;
        Ok(members)
    }

    fn map(&mut self) -> Result<Data, LoadError> {
        let line = self.line;
        let mut members = self.members('{', '}')?.into_iter();
        let mut pairs = Vec::with_capacity(members.len() / 2);
        while let Some(key) = members.next() {
            let value = members.next();
            let value = value.ok_or_else(|| LoadError::new(line, "a map lacks its last value"))?;
            pairs.push((key, value));
        }
        Ok(Data::Map(pairs))
    }

    fn string(&mut self) -> Result<String, LoadError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.advance(at + 1);
                    return Ok(text);
                }
                '\\' => text.push(match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('b') => '\u{8}',
                    Some('f') => '\u{c}',
                    Some(escaped @ ('"' | '\\' | '/')) => escaped,
                    Some('u') => {
                        let code = escaped(&mut chars.by_ref().map(|(_, char)| char));
                        code.ok_or_else(|| self.error("a string has an unknown `\\u` escape"))?
                    }
                    _ => return Err(self.error("a string has an unknown escape")),
                }),
                _ => text.push(char),
            }
        }
        Err(self.error("a string does not end"))
    }

    fn atom(&mut self) -> Data {
        let token = self.token();
        match token {
            "nil" => Data::Nil,
            "true" => Data::Bool(true),
            "false" => Data::Bool(false),
            _ => {
                let digits = token.strip_suffix('N').unwrap_or(token);
                let digits = digits.strip_prefix('+').unwrap_or(digits);
                let is_integer = digits.strip_prefix('-').unwrap_or(digits);
                let is_integer = is_integer.bytes().all(|byte| byte.is_ascii_digit());
                match digits.parse() {
                    Ok(int) => Data::Int(int),
                    // One name for one number, with or without its `N`.
                    Err(_) if is_integer && digits.len() > 1 => Data::Text(digits.to_owned()),
                    Err(_) => Data::Text(token.strip_prefix(':').unwrap_or(token).to_owned()),
                }
            }
        }
    }

    /// Up to the next delimiter; at least one character.
    fn token(&mut self) -> &'t str {
        let is_end = |char: char| char.is_whitespace() || ",()[]{}\";".contains(char);
        let first = self.rest.chars().next().map_or(0, char::len_utf8);
        let end = self.rest[first..].find(is_end).map_or(self.rest.len(), |end| first + end);
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn skip_blanks(&mut self) {
        loop {
            let blank = |char: char| char.is_whitespace() || char == ',';
            let end = self.rest.find(|char| !blank(char)).unwrap_or(self.rest.len());
            self.advance(end);
            if !self.rest.starts_with(';') {
                return;
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.advance(end);
        }
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.rest = rest;
    }

    fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::new(self.line, message)
    }
}

/// The character of a `\u` escape: four hexadecimal digits, or two such escapes for one that needs
/// more than 16 bits.
fn escaped(chars: &mut impl Iterator<Item = char>) -> Option<char> {
    fn unit(chars: &mut impl Iterator<Item = char>) -> Option<u32> {
        let digits: String = chars.take(4).collect();
        let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(&digits, 16).ok().filter(|_| is_hex)
    }
    let first = unit(chars)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first);
    }
    if (chars.next(), chars.next()) != (Some('\\'), Some('u')) {
        return None;
    }
    let second = unit(chars).filter(|unit| (0xDC00..0xE000).contains(unit))?;
    char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
}

/// The character that is called so: `a`, `newline`, `u00e9`, `o101`.
fn character(name: &str) -> Option<String> {
    let known = match name {
        "newline" => "\n",
        "space" => " ",
        "tab" => "\t",
        "return" => "\r",
        "backspace" => "\u{8}",
        "formfeed" => "\u{c}",
        _ if name.chars().count() == 1 => name,
        _ => {
            let (base, digits) = match name.split_at_checked(1)? {
                ("u", digits) => (16, digits),
                ("o", digits) => (8, digits),
                _ => return None,
            };
            let code = u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
            return code.map(String::from);
        }
    };
    Some(known.to_owned())
}
