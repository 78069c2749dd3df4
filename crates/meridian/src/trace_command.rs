//! `meridian trace`: the timeline of a transaction, from a running cluster.
//!
//! Without an id it takes the newest that began at the node it asks, and names the others that it could
//! have been.

use std::{
    io::{ErrorKind, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use sql_shell::Client;

use crate::Ending;

/// `meridian trace`.
#[derive(Debug, Args)]
pub struct Options {
    /// The node to ask; it asks the others. The one the transaction ran at knows it longest.
    #[arg(long, default_value = sql_shell::DEFAULT_URL)]
    url: String,
    /// The trace's id, as SHOW TRACES lists it; without it the newest that began at this node. Which
    /// one that is, and which others there are, is told on standard error.
    #[arg(long)]
    id: Option<String>,
    /// How it is drawn.
    #[arg(long, value_enum, default_value = "ascii")]
    format: Format,
    /// Write it to this file instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a terminal of 100 columns.
    Ascii,
    /// One page, with nothing to load.
    Html,
    /// For Chrome's about:tracing and Perfetto.
    Chrome,
    /// For OpenTelemetry's collectors, as JSON.
    Otlp,
}

impl From<Format> for sql_shell::Form {
    fn from(format: Format) -> sql_shell::Form {
        match format {
            Format::Ascii => sql_shell::Form::Text,
            Format::Html => sql_shell::Form::Html,
            Format::Chrome => sql_shell::Form::Chrome,
            Format::Otlp => sql_shell::Form::Otlp,
        }
    }
}

/// Asks, and prints or writes what comes.
pub async fn run(options: Options) -> anyhow::Result<Ending> {
    let client = Client::connect(&options.url).await?;
    let id = match options.id {
        Some(id) => Ok(id),
        None => newest(&client).await,
    };
    let drawn = match id {
        Ok(id) => sql_shell::draw(&client, Some(&id), options.format.into()).await,
        Err(message) => Err(message),
    };
    let drawn = match drawn {
        Ok(drawn) => drawn,
        Err(message) => {
            eprintln!("meridian: {message}");
            return Ok(Ending::Failed);
        }
    };
    if let Some(file) = options.out {
        std::fs::write(&file, drawn).with_context(|| format!("--out {}", file.display()))?;
        return Ok(Ending::Clean);
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(drawn.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing the timeline")
        }
        Ok(()) | Err(_) => Ok(Ending::Clean),
    }
}

/// So many others are named.
const OTHERS: usize = 5;

/// The newest trace that began at the node. A fresh session has none of its own.
async fn newest(client: &Client) -> Result<String, String> {
    let answers = client.run("SHOW TRACES").await?;
    let rows = answers.into_iter().flat_map(|answer| answer.rows);
    let lines: Vec<(String, String)> = rows
        .filter_map(|row| {
            let mut columns = row.into_iter().map(Option::unwrap_or_default);
            let id = columns.next()?;
            let rest: Vec<String> = columns.filter(|column| !column.is_empty()).collect();
            Some((id, rest.join("  ")))
        })
        .collect();
    let Some(((id, told), others)) = lines.split_first() else {
        return Err("no transaction that began at this node was traced: SET trace = on in a session \
                    there, run one, and ask again; what began at another node is at that node's --url"
            .to_owned());
    };
    eprintln!("trace {id}  {told}");
    for (other, told) in others.iter().take(OTHERS) {
        eprintln!("   or {other}  {told}");
    }
    if others.len() > OTHERS {
        eprintln!("   or one of {} older ones: SHOW TRACES lists them", others.len() - OTHERS);
    }
    Ok(id.clone())
}
