//! Where one statement ends and the next begins: semicolons outside quotes, dollar quotes and
//! comments. The server parses; the shell only has to know when to send.
//!
//! | input | is |
//! |---|---|
//! | `...;` | a statement |
//! | `... \g`, `... \gx` | a statement; the second is shown a column on a line |
//! | a line that begins with `\` | a command, also in the middle of a statement, which waits |
//! | `help`, `quit`, `exit` on a line where a statement would begin | a command |

/// A piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A statement without what ended it.
    Statement(String),
    /// The same, to be shown a column on a line.
    Expanded(String),
    /// A backslash command.
    Meta(String),
}

/// Splits input into pieces; the second part is what is not ended yet.
#[must_use]
pub fn split(input: &str) -> (Vec<Piece>, String) {
    let mut pieces = Vec::new();
    // The beginning of a statement, before a command in its middle.
    let mut begun = String::new();
    let mut rest = input;
    loop {
        if is_blank(&begun) {
            rest = rest.trim_start();
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if let Some(command) = is_blank(&begun).then(|| word_command(line)).flatten() {
            pieces.push(Piece::Meta(command.to_owned()));
            rest = after;
            continue;
        }
        match end(rest) {
            None => return (pieces, begun + rest),
            Some((at, End::Command)) => {
                let (line, after) = rest[at..].split_once('\n').unwrap_or((&rest[at..], ""));
                pieces.push(Piece::Meta(line.trim().trim_end_matches(';').to_owned()));
                begun += &rest[..at];
                rest = after;
            }
            Some((at, ends)) => {
                let statement = std::mem::take(&mut begun) + &rest[..at];
                let statement = statement.trim().to_owned();
                rest = &rest[at + ends.length()..];
                match ends {
                    _ if statement.is_empty() => {}
                    End::Expanded => pieces.push(Piece::Expanded(statement)),
                    End::Semicolon | End::Go | End::Command => {
                        pieces.push(Piece::Statement(statement));
                    }
                }
            }
        }
    }
}

/// The command that a word on a line of its own stands for.
fn word_command(line: &str) -> Option<&'static str> {
    match line.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
        "help" => Some("\\?"),
        "quit" | "exit" => Some("\\q"),
        _ => None,
    }
}

/// Whether a line may end something: no other line need be looked at with those before it.
#[must_use]
pub fn may_end(line: &str) -> bool {
    line.contains([';', '\\']) || word_command(line).is_some()
}

/// Whether everything in this input can be run now: nothing waits for its end, or a command was
/// given in the last line, which is not to wait.
#[must_use]
pub fn is_finished(input: &str) -> bool {
    let (pieces, rest) = split(input);
    let last = input.trim_end().lines().next_back().unwrap_or_default().trim();
    let commanded = match pieces.last() {
        Some(Piece::Meta(command)) => last.trim_end_matches(';') == command,
        _ => false,
    };
    is_blank(&rest) || commanded
}

/// Whether there is nothing to send in this text: white space and comments.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some(length) = comment_length(rest) else { return false };
        rest = rest[length..].trim_start();
    }
    true
}

/// What ends a statement, or interrupts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Semicolon,
    /// `\g`.
    Go,
    /// `\gx`.
    Expanded,
    /// A line that begins with a backslash.
    Command,
}

impl End {
    fn length(self) -> usize {
        match self {
            End::Semicolon => 1,
            End::Go => 2,
            End::Expanded => 3,
            End::Command => 0,
        }
    }
}

/// Where the first statement ends, or a command interrupts it, and what it is.
fn end(text: &str) -> Option<(usize, End)> {
    let (mut at, mut begins_line) = (0, true);
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        let length = match first {
            ';' => return Some((at, End::Semicolon)),
            '\\' => match backslash(rest, begins_line) {
                Some(end) => return Some((at, end)),
                None => 1,
            },
            '\'' if is_escaped(&text[..at]) => escaped_length(rest)?,
            '\'' | '"' => quoted_length(rest, first)?,
            '$' => dollar_quoted_length(rest)?,
            '-' | '/' => comment_length(rest).unwrap_or(1),
            other => other.len_utf8(),
        };
        begins_line = match first {
            '\n' => true,
            '-' if length > 1 => true,
            other => begins_line && other.is_whitespace(),
        };
        at += length;
    }
    None
}

/// What a backslash outside quotes means.
fn backslash(text: &str, begins_line: bool) -> Option<End> {
    let word = text.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default();
    match word {
        "\\g" => Some(End::Go),
        "\\gx" => Some(End::Expanded),
        _ if begins_line => Some(End::Command),
        _ => None,
    }
}

/// Length of a quoted string or name at the start; `None` if it does not end.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    // A doubled quote ends one string and begins the next: the same to us.
    text[1..].find(quote).map(|end| end + 2)
}

/// Whether an `E` before the quote makes backslashes in the string escapes.
fn is_escaped(before: &str) -> bool {
    let mut back = before.chars().rev();
    let prefixed = matches!(back.next(), Some('e' | 'E'));
    prefixed && !back.next().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// Length of a string with escapes at the start; `None` if it does not end.
fn escaped_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text[1..].find(|c: char| {
        let ends = c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// Length of a `$tag$ ... $tag$` string at the start, 1 if it is none (a parameter); `None` if it
/// does not end.
fn dollar_quoted_length(text: &str) -> Option<usize> {
    let Some(close) = text[1..].find('$').map(|end| end + 2) else { return Some(1) };
    let tag = &text[..close];
    let inner = &tag[1..tag.len() - 1];
    let is_tag = inner.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !inner.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return Some(1);
    }
    text[close..].find(tag).map(|end| close + end + tag.len())
}

/// Length of a comment at the start, up to the end of the text if it does not end before.
fn comment_length(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').map_or(text.len(), |end| end + 1));
    }
    if !text.starts_with("/*") {
        return None;
    }
    // PostgreSQL's comments nest.
    let (mut depth, mut at) = (0_u32, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests;
