//! `\trace` and `meridian trace`: the timeline of a transaction, drawn by the server.

use crate::client::Client;

/// How a timeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For a terminal of 100 columns.
    Text,
    /// One page, with nothing to load.
    Html,
    /// For Chrome's `about:tracing` and Perfetto.
    Chrome,
    /// For OpenTelemetry's collectors, as JSON.
    Otlp,
}

impl Form {
    /// Its name in SQL.
    fn keyword(self) -> &'static str {
        match self {
            Form::Text => "TEXT",
            Form::Html => "HTML",
            Form::Chrome => "CHROME",
            Form::Otlp => "OTLP",
        }
    }
}

/// A timeline that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The trace's id; `None`: this session's newest.
    pub id: Option<String>,
    /// How.
    pub form: Form,
    /// The file it goes to; `None`: the terminal.
    pub file: Option<String>,
}

/// Understands the words behind `\trace`.
///
/// # Errors
/// What is wrong with them, for people.
pub fn parse<'w>(mut words: impl Iterator<Item = &'w str>) -> Result<Wanted, String> {
    let mut wanted = Wanted { id: None, form: Form::Text, file: None };
    let mut which = false;
    while let Some(word) = words.next() {
        let form = match word {
            "--html" => Some(Form::Html),
            "--chrome" => Some(Form::Chrome),
            "--otlp" => Some(Form::Otlp),
            _ => None,
        };
        match form {
            Some(_) if wanted.file.is_some() => return Err("\\trace: one file at a time".into()),
            Some(form) => {
                let file = words.next().ok_or_else(|| format!("\\trace: {word} needs a file"))?;
                (wanted.form, wanted.file) = (form, Some(file.to_owned()));
            }
            None if which || word.starts_with('-') => {
                return Err(format!("\\trace: unexpected argument {word}"));
            }
            None => {
                which = true;
                wanted.id = (word != "last").then(|| word.to_owned());
            }
        }
    }
    Ok(wanted)
}

/// Asks the server to draw it.
///
/// # Errors
/// The server's error, for people.
pub async fn draw(client: &Client, id: Option<&str>, form: Form) -> Result<String, String> {
    let which = match id {
        None => "LAST".to_owned(),
        Some(id) => format!("'{}'", id.replace('\'', "''")),
    };
    let answers = client.run(&format!("SHOW TRACE {which} AS {}", form.keyword())).await?;
    let rows = answers.into_iter().flat_map(|answer| answer.rows);
    let lines: Vec<String> = rows.filter_map(|row| row.into_iter().next().flatten()).collect();
    let text = lines.join("\n");
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_to_the_terminal_or_to_one_file() {
        let read = |line: &str| parse(line.split_whitespace());
        let terminal = Wanted { id: None, form: Form::Text, file: None };
        assert_eq!(read("last"), Ok(terminal.clone()));
        assert_eq!(read(""), Ok(terminal));
        let page = read("0123 --html t.html").expect("it is whole");
        assert_eq!((page.id.as_deref(), page.form), (Some("0123"), Form::Html));
        assert_eq!(page.file.as_deref(), Some("t.html"));
        assert_eq!(read("last --otlp").unwrap_err(), "\\trace: --otlp needs a file");
        assert!(read("last --html a --chrome b").unwrap_err().contains("one file"));
        assert!(read("last more").unwrap_err().contains("more"));
        assert!(read("--svg a").unwrap_err().contains("--svg"));
    }
}
