//! Where the shell writes. Results go to standard output, everything else to standard error; nobody
//! who stopped reading makes an error of either.

use std::{
    fmt,
    io::{ErrorKind, IsTerminal, Write},
};

use anyhow::Context;

/// Whoever read our output has read enough: the shell ends, and nothing is wrong.
#[derive(Debug)]
pub struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Unread {}

/// Prints a result.
///
/// # Errors
/// [`Unread`] if nobody reads it, and what else may happen to a file.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        other => other.context("writing the result"),
    }
}

/// Tells people something that is no result: errors, notices. Whether they hear it changes nothing.
pub fn tell(text: &str) {
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "{text}").and_then(|()| err.flush()));
}

/// How many columns the terminal has that results are printed to; `None` if it is none.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
    let seen = || crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns));
    told.filter(|columns| *columns > 0).or_else(|| seen().filter(|columns| *columns > 0))
}
