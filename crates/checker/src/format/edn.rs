//! The syntax of EDN, as far as data goes: nil, booleans, numbers, strings, characters, keywords,
//! symbols, lists, vectors, sets, maps, tags, comments and discards (`#_`). Commas are blanks.

use super::{
    LoadError,
    form::{Data, Form, MAX_DEPTH},
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

    fn must_form(&mut self) -> Result<Form, LoadError> {
        let end = LoadError::new(self.line, "something is missing at the end of the file");
        self.next_form(None)?.ok_or(end)
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
                Data::Text(character(name).to_owned())
            }
            '#' if self.rest.starts_with("#{") => {
                self.advance(1);
                Data::Set(self.members('{', '}')?)
            }
            '#' => {
                self.advance(1);
                self.token();
                return self.must_form();
            }
            ')' | ']' | '}' => return Err(self.error(format!("`{first}` closes nothing"))),
            _ => self.atom(),
        };
        Ok(Form { line, data })
    }

    fn members(&mut self, open: char, close: char) -> Result<Vec<Form>, LoadError> {
        self.advance(open.len_utf8());
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("data is nested deeper than {MAX_DEPTH} levels")));
        }
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
                    Some(escaped @ ('"' | '\\' | '/')) => escaped,
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).map(|(_, d)| d).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
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
                match digits.parse() {
                    Ok(int) => Data::Int(int),
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

fn character(name: &str) -> &str {
    match name {
        "newline" => "\n",
        "space" => " ",
        "tab" => "\t",
        "return" => "\r",
        _ => name,
    }
}
