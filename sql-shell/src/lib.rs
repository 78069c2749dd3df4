//! The SQL shell: `meridian sql`.
//!
//! It speaks the PostgreSQL protocol and nothing else, so it works against any node, and what it
//! shows of ranges, regions and clocks comes from SQL that any client can send.
//!
//! - interactive: line editing with history and completion, statements over several lines ended by
//!   `;`, backslash commands (`\?` lists them), results drawn as tables; a connection that broke is
//!   made again, to another node if need be;
//! - otherwise (`-e`, or standard input that is no terminal): statements in, results out, one
//!   error ends it, and the line of a script where that was is told.
//!
//! Results go to standard output, everything else to standard error, except that tables are for
//! people, who are told there too what was switched and what a tool says.
//!
//! It knows nothing of the crates behind the protocol.

mod caret;
mod client;
mod complete;
mod console;
mod edit;
mod knobs;
mod lines;
mod meta;
mod output;
mod repl;
mod tap;
mod timeline;
mod vocabulary;
mod watch;
mod words;

use std::io::IsTerminal;

use futures::future::BoxFuture;
use tokio::io::BufReader;

pub use client::Client;
pub use complete::SHOWN;
pub use output::Format;
pub use timeline::{Form, draw};

/// Where the shell connects if it is not told.
pub const DEFAULT_URL: &str = "postgresql://root@127.0.0.1:5433/meridian";

/// What the program around the shell can do for it beyond the protocol: `\\workload`, `\\check`.
pub trait Tools: Send {
    /// Runs a tool with what was written behind its name; `urls` are the gateways of the cluster.
    /// May be dropped before it is done: whoever waits may be interrupted.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn run<'a>(
        &'a mut self,
        tool: &'a str,
        arguments: &'a [String],
        urls: Vec<String>,
    ) -> BoxFuture<'a, Result<Said, String>>;
}

/// What a tool has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// To be printed.
    pub text: String,
    /// Whether it found anything. A script goes on after it, and ends with the worst of these.
    pub found: Finding,
}

/// What a tool found, worse ones later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Nothing that is wrong.
    #[default]
    Nothing,
    /// That it cannot be decided.
    Undecided,
    /// That a promise was broken.
    Violation,
}

/// What the shell is to do.
pub struct Options {
    /// The server.
    pub url: String,
    /// Statements to run instead of reading input; in order, each may hold several.
    pub execute: Vec<String>,
    /// How results are printed; without it tables.
    pub format: Option<Format>,
    /// Tools of the program around it.
    pub tools: Option<Box<dyn Tools>>,
}

/// How a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was run worked.
    Clean,
    /// A statement failed in a shell that nobody sits at, or a check found a violation.
    Failed,
    /// A check could not decide.
    Undecided,
}

/// Runs the shell until its input ends, or nobody reads its output any more.
///
/// # Errors
/// If the server cannot be reached, or the terminal or standard output fails.
pub async fn run(options: Options) -> anyhow::Result<Ending> {
    match run_to_the_end(options).await {
        Err(error) if error.is::<console::Unread>() => Ok(Ending::Clean),
        ended => ended,
    }
}

async fn run_to_the_end(options: Options) -> anyhow::Result<Ending> {
    let client = Client::connect(&options.url).await?;
    let format = options.format.unwrap_or(Format::Table);
    let mut shell = repl::Shell::new(client, format, options.tools);
    if !options.execute.is_empty() {
        return shell.batch(&options.execute).await;
    }
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        shell.interactive().await?;
        return Ok(Ending::Clean);
    }
    shell.script(BufReader::new(tokio::io::stdin())).await
}

#[cfg(test)]
mod tests;
