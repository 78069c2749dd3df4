//! The words of a backslash command.
//!
//! White space separates them. `'...'` is one word, without its quotes; `"..."` is a name for SQL and
//! keeps them, as in `\d "My Table"`. `--` on its own begins a comment up to the end of the line;
//! `--unsafe` is a word.

/// The words of a line.
///
/// # Errors
/// What is wrong with it, for people.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !is_comment(rest) {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn is_comment(text: &str) -> bool {
    text.strip_prefix("--")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// The first word, and what follows it.
fn word(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next().filter(|c| !c.is_whitespace()) {
        rest = match c {
            '\'' | '"' => {
                let (quoted, after) = quoted(rest, c).ok_or("a quote is not closed")?;
                match c {
                    '\'' => word += &quoted.replace("''", "'"),
                    _ => word += &format!("\"{quoted}\""),
                }
                after
            }
            _ => {
                word.push(c);
                &rest[c.len_utf8()..]
            }
        };
    }
    Ok((word, rest))
}

/// What stands in the quotes at the start, doubled ones as they are, and what follows.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let inner = &text[1..];
    let mut at = 0;
    loop {
        at += inner[at..].find(quote)?;
        match inner[at + 1..].starts_with(quote) {
            true => at += 2,
            false => return Some((&inner[..at], &inner[at + 1..])),
        }
    }
}

/// A name for SQL as what it names: `"My ""Table"""` is `My "Table"`.
#[must_use]
pub fn unquoted(word: &str) -> String {
    let inner = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| word.to_owned(), |inner| inner.replace("\"\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together_and_comments_end_them() {
        for (line, expected) in [
            ("\\x", vec!["\\x"]),
            ("\\clock ε 20ms   -- why", vec!["\\clock", "ε", "20ms"]),
            ("\\clock step n3 -2s --unsafe --", vec!["\\clock", "step", "n3", "-2s", "--unsafe"]),
            ("\\i 'my file.sql'", vec!["\\i", "my file.sql"]),
            ("\\i 'it''s'x", vec!["\\i", "it'sx"]),
            ("\\d \"My \"\"T\"\"\"", vec!["\\d", "\"My \"\"T\"\"\""]),
            ("\\d ''", vec!["\\d", ""]),
        ] {
            assert_eq!(split(line).expect(line), expected, "{line}");
        }
        assert!(split("\\i 'open").is_err() && split("\\d \"open").is_err());
    }

    #[test]
    fn a_quoted_name_is_what_it_names() {
        assert_eq!(unquoted("\"My \"\"T\"\"\""), "My \"T\"");
        assert_eq!(unquoted("plain"), "plain");
    }
}
