//! `meridian trace`: the timeline of a transaction, from a running cluster.

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
    /// The trace's id, as SHOW TRACES lists it; without it the newest that began at this node.
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
    let drawn = sql_shell::draw(&client, options.id.as_deref(), options.format.into()).await;
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
