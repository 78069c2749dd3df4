//! Rust with its comments, strings and characters blanked out: same lines, same columns.

/// The code alone.
pub fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, string or character that begins here; `at` itself if none does.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => position(chars, at, |c| c == '\n'),
        ('/', Some('*')) => block_comment(chars, at),
        ('"', _) => string(chars, at),
        ('r', Some('"' | '#')) if !continues_word(chars, at) => raw_string(chars, at),
        ('b', Some('"')) if !continues_word(chars, at) => string(chars, at + 1),
        ('b', Some('r')) if !continues_word(chars, at) => {
            let end = raw_string(chars, at + 1);
            if end == at + 1 { at } else { end }
        }
        ('\'', _) => character(chars, at),
        _ => at,
    }
}

fn continues_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn position(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    let found = chars[from..].iter().position(|c| wanted(*c));
    found.map_or(chars.len(), |offset| from + offset)
}

fn block_comment(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// A string with escapes that begins with the quote at `start`.
fn string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A raw string that begins with the `r` at `start`; `start` itself if it is an identifier.
fn raw_string(chars: &[char], start: usize) -> usize {
    let quote = position(chars, start + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return start;
    }
    let hashes = quote - start - 1;
    let mut at = quote + 1;
    while at < chars.len() {
        let closing = chars[at] == '"' && chars[at + 1..].iter().take(hashes).all(|c| *c == '#');
        if closing && at + hashes < chars.len() {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// A character that begins with the quote at `start`; `start` itself if it is a lifetime.
fn character(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => (position(chars, start + 3, |c| c == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// The paths of a group of imports, from behind its opening brace: `fmt, io::{Read, Write}, fs}`.
pub fn group(code: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut paths) = (0_usize, 0, Vec::new());
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                paths.push(code[begin..at].trim());
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

/// A function in blanked code: the line of its `fn` and the number of its lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub line: usize,
    pub lines: usize,
}

/// The functions with a body, also those within others.
pub fn functions(code: &str) -> Vec<Function> {
    let chars: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    let mut line = 1;
    for (at, c) in chars.iter().enumerate() {
        if *c == '\n' {
            line += 1;
        }
        let is_fn = chars[at..].starts_with(&['f', 'n', ' ']) && !continues_word(&chars, at);
        if let Some(lines) = is_fn.then(|| body_lines(&chars[at..])).flatten() {
            found.push(Function { line, lines });
        }
    }
    found
}

/// The lines from a `fn` to the end of its body; `None` if it has none.
fn body_lines(chars: &[char]) -> Option<usize> {
    let (mut lines, mut brackets, mut braces) = (1, 0, 0);
    for c in chars {
        match c {
            '\n' => lines += 1,
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            // Declared without a body. Within brackets it is the length of an array.
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces <= 0 {
                    return (braces == 0).then_some(lines);
                }
            }
            _ => {}
        }
    }
    None
}
