//! Where one statement ends and the next begins: semicolons outside quotes, dollar quotes and
//! comments. The server parses; the shell only has to know when to send.

/// A piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A statement without its semicolon.
    Statement(String),
    /// A backslash command: a line of its own that starts with a backslash.
    Meta(String),
}

/// Splits input into pieces; the second part is what is not ended yet.
#[must_use]
pub fn split(input: &str) -> (Vec<Piece>, String) {
    let mut pieces = Vec::new();
    let mut rest = input;
    loop {
        let start = rest.trim_start();
        if start.starts_with('\\') {
            let (line, after) = start.split_once('\n').unwrap_or((start, ""));
            pieces.push(Piece::Meta(line.trim().trim_end_matches(';').to_owned()));
            rest = after;
        } else if let Some(end) = statement_end(start) {
            let statement = start[..end].trim();
            if !statement.is_empty() {
                pieces.push(Piece::Statement(statement.to_owned()));
            }
            rest = &start[end + 1..];
        } else {
            return (pieces, start.to_owned());
        }
    }
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

/// The offset of the semicolon that ends the first statement.
fn statement_end(text: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        at += match first {
            ';' => return Some(at),
            '\'' | '"' => quoted_length(rest, first)?,
            '$' => dollar_quoted_length(rest)?,
            '-' | '/' => comment_length(rest).unwrap_or(1),
            other => other.len_utf8(),
        };
    }
    None
}

/// Length of a quoted string or name at the start; `None` if it does not end.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    // A doubled quote ends one string and begins the next: the same to us.
    text[1..].find(quote).map(|end| end + 2)
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
mod tests {
    use super::*;

    fn statements(input: &str) -> (Vec<String>, String) {
        let (pieces, rest) = split(input);
        let text = |piece| match piece {
            Piece::Statement(text) => text,
            Piece::Meta(text) => format!("META {text}"),
        };
        (pieces.into_iter().map(text).collect(), rest)
    }

    #[test]
    fn semicolons_inside_quotes_and_comments_end_nothing() {
        let (found, rest) = statements(
            "select ';', \";\" ; -- no; end\n select $a$ ; $a$, $1; /* ; /* ; */ ; */ select 2; x",
        );
        assert_eq!(
            found,
            [
                "select ';', \";\"",
                "-- no; end\n select $a$ ; $a$, $1",
                "/* ; /* ; */ ; */ select 2"
            ]
        );
        assert_eq!(rest, "x");
    }

    #[test]
    fn a_backslash_command_is_a_line() {
        let (found, rest) = statements("\\dt\nselect 1;\n\\x on\n");
        assert_eq!(found, ["META \\dt", "select 1", "META \\x on"]);
        assert_eq!(rest, "");
    }

    #[test]
    fn an_open_quote_waits_for_more() {
        assert_eq!(statements("select 'a;"), (vec![], "select 'a;".to_owned()));
        assert_eq!(statements("select 'it''s'; "), (vec!["select 'it''s'".into()], String::new()));
    }

    #[test]
    fn blank_is_white_space_and_comments() {
        assert!(is_blank(" -- x\n /* y */ "));
        assert!(!is_blank(" -- x\n z"));
    }
}
