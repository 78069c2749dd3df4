//! The SQL shell: `meridian sql`.
//!
//! It speaks the PostgreSQL protocol and nothing else, so it works against any node, and what it
//! shows of ranges, regions and clocks comes from SQL that any client can send.
//!
//! - interactive: line editing with history and completion, statements over several lines ended by
//!   `;`, backslash commands (`\?` lists them), results drawn as tables;
//! - otherwise (`-e`, or standard input that is no terminal): statements in, results out, one
//!   error ends it with exit code 1, and the line of a script where that was is told.
//!
//! It knows nothing of the crates behind the protocol.

mod client;
mod edit;
mod knobs;
mod lines;
mod meta;
mod output;
mod repl;
mod tap;
mod timeline;
mod watch;

use std::io::IsTerminal;

use futures::future::BoxFuture;
use tokio::io::BufReader;

pub use client::Client;
pub use output::Format;
pub use timeline::{Form, draw};

/// Where the shell connects if it is not told.
pub const DEFAULT_URL: &str = "postgresql://root@127.0.0.1:5433/meridian";

/// What the program around the shell can do for it beyond the protocol: `\\workload`, `\\check`.
pub trait Tools: Send {
    /// Runs a tool with what was written behind its name; `urls` are the gateways of the cluster.
    /// Answers with what is to be printed.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn run<'a>(
        &'a mut self,
        tool: &'a str,
        arguments: &'a [String],
        urls: Vec<String>,
    ) -> BoxFuture<'a, Result<String, String>>;
}

/// What the shell is to do.
pub struct Options {
    /// The server.
    pub url: String,
    /// Statements to run instead of reading input; in order, each may hold several.
    pub execute: Vec<String>,
    /// How results are printed; without it tables on a terminal and from `-e`.
    pub format: Option<Format>,
    /// Tools of the program around it.
    pub tools: Option<Box<dyn Tools>>,
}

/// How a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was run worked.
    Clean,
    /// A statement failed in a shell that nobody sits at.
    Failed,
}

/// Runs the shell until its input ends.
///
/// # Errors
/// If the server cannot be reached, or the terminal or standard output fails.
pub async fn run(options: Options) -> anyhow::Result<Ending> {
    let client = Client::connect(&options.url).await?;
    let format = options.format.unwrap_or(Format::Table);
    let mut shell = repl::Shell::new(client, format, options.tools);
    if !options.execute.is_empty() {
        return shell.batch(&options.execute.join(";\n")).await;
    }
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        shell.interactive().await?;
        return Ok(Ending::Clean);
    }
    shell.script(BufReader::new(tokio::io::stdin())).await
}
