//! The loop: read, send, print.

mod interactive;
mod watching;

use std::time::Duration;

use anyhow::Context;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt},
    time::Instant,
};

use crate::{
    Ending, Finding, Said, Tools,
    client::{Answer, Client, elsewhere},
    console,
    knobs::ToolLine,
    lines::{self, Piece},
    meta::{self, Command, Switch},
    output::{Format, Layout, Style, render},
    timeline::{self, Wanted},
    vocabulary,
};

/// Files that include files: deeper than this is a cycle.
const MAX_INCLUDES: u32 = 16;

/// A shell and its switches.
pub struct Shell {
    client: Client,
    format: Format,
    layout: Layout,
    timing: bool,
    tools: Option<Box<dyn Tools>>,
    /// The worst that a tool has found.
    found: Finding,
    /// Words for completion.
    words: vocabulary::Shared,
}

/// What to do after a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    Failed,
    Quit,
}

impl Shell {
    /// A shell on a connection.
    pub fn new(client: Client, format: Format, tools: Option<Box<dyn Tools>>) -> Shell {
        Shell {
            client,
            format,
            layout: Layout::Auto,
            timing: false,
            tools,
            found: Finding::Nothing,
            words: vocabulary::Shared::default(),
        }
    }

    /// Runs texts to their end, or to the first error.
    pub async fn batch(&mut self, texts: &[String]) -> anyhow::Result<Ending> {
        for text in texts {
            match self.text(text, 0).await? {
                Next::Go => {}
                Next::Quit => break,
                Next::Failed => return Ok(Ending::Failed),
            }
        }
        Ok(self.ending())
    }

    /// Runs what is piped in, to its end or to its first error, whose line is told. Statements run as
    /// they come: who writes them may wait for the answers.
    pub async fn script(&mut self, input: impl AsyncBufRead + Unpin) -> anyhow::Result<Ending> {
        let (mut lines, mut text, mut number) = (input.lines(), String::new(), 0_u64);
        loop {
            let line = tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => {
                    console::tell("interrupted");
                    return Ok(Ending::Failed);
                }
                line = lines.next_line() => line.context("reading the statements")?,
            };
            let Some(line) = line else { break };
            number += 1;
            text.push_str(&line);
            text.push('\n');
            if !lines::may_end(&line) {
                continue;
            }
            let (pieces, rest) = lines::split(&text);
            text = rest;
            match self.pieces(pieces, 0).await? {
                Next::Go => {}
                Next::Quit => return Ok(self.ending()),
                Next::Failed => {
                    console::tell(&format!(
                        "stopped at line {number}: what follows it was not run"
                    ));
                    return Ok(Ending::Failed);
                }
            }
        }
        self.batch(&[text]).await
    }

    /// How a shell ended in which nothing failed.
    fn ending(&self) -> Ending {
        match self.found {
            Finding::Nothing => Ending::Clean,
            Finding::Undecided => Ending::Undecided,
            Finding::Violation => Ending::Failed,
        }
    }

    async fn text(&mut self, input: &str, depth: u32) -> anyhow::Result<Next> {
        let (mut pieces, rest) = lines::split(input);
        if !lines::is_blank(&rest) {
            pieces.push(Piece::Statement(rest));
        }
        self.pieces(pieces, depth).await
    }

    async fn pieces(&mut self, pieces: Vec<Piece>, depth: u32) -> anyhow::Result<Next> {
        for piece in pieces {
            let next = match piece {
                Piece::Statement(sql) => self.statement(&sql, self.layout).await?,
                Piece::Expanded(sql) => self.statement(&sql, Layout::Expanded).await?,
                Piece::Meta(line) => Box::pin(self.meta(&line, depth)).await?,
            };
            if next != Next::Go {
                return Ok(next);
            }
        }
        Ok(Next::Go)
    }

    async fn statement(&mut self, sql: &str, layout: Layout) -> anyhow::Result<Next> {
        let started = Instant::now();
        let outcome = self.run_cancellable(sql).await;
        let took = started.elapsed();
        for notice in self.client.take_notices() {
            console::tell(&notice);
        }
        match outcome {
            Err(message) => Ok(failed(&message)),
            Ok(answers) => {
                let style = Style { format: self.format, layout, width: console::width() };
                for answer in &answers {
                    console::print(&render(answer, style))?;
                }
                if self.timing {
                    self.say(&time(took))?;
                }
                self.note_schema(&answers);
                Ok(Next::Go)
            }
        }
    }

    /// Tables that were made or changed here can be completed from now on.
    fn note_schema(&self, answers: &[Answer]) {
        let changes =
            |tag: &str| ["CREATE", "ALTER", "DROP"].iter().any(|verb| tag.starts_with(verb));
        // Only somebody who types has asked for the words.
        let typed = self.words.get() != crate::complete::Vocabulary::default();
        if typed && answers.iter().any(|answer| changes(&answer.tag)) {
            self.words.refresh(self.client.url());
        }
    }

    /// Ctrl-C while a statement runs asks the server to cancel it, and the server's answer counts.
    /// Ctrl-C again does not wait for it: what came of the statement is not known then.
    async fn run_cancellable(&self, sql: &str) -> Result<Vec<Answer>, String> {
        let running = self.client.run(sql);
        tokio::pin!(running);
        tokio::select! {
            biased;
            outcome = &mut running => return outcome,
            _ = tokio::signal::ctrl_c() => {}
        }
        let cancelling = async {
            if let Err(error) = self.client.cancel().await {
                console::tell(&format!("cannot cancel: {error:#}; Ctrl-C again gives up waiting"));
            }
            running.await
        };
        tokio::select! {
            biased;
            outcome = cancelling => outcome,
            _ = tokio::signal::ctrl_c() => {
                self.client.abandon();
                Err("gave up waiting: whether the statement was done is not known".to_owned())
            }
        }
    }

    async fn meta(&mut self, line: &str, depth: u32) -> anyhow::Result<Next> {
        let command = match meta::parse(line) {
            Ok(command) => command,
            Err(message) => return Ok(failed(&message)),
        };
        match command {
            Command::Quit => Ok(Next::Quit),
            Command::Watch(every, count) => self.watch(every, count).await,
            Command::Tool(line) => self.tool(&line).await,
            Command::Help => console::print(&meta::help()).map(|()| Next::Go),
            Command::Sql(sql) => self.statement(&sql, self.layout).await,
            Command::Describe(table) => self.describe(&table).await,
            Command::Trace(wanted) => self.trace(wanted).await,
            Command::Include(file) => self.include(&file, depth).await,
            Command::Connect(to) => self.connect(to.as_deref()).await,
            Command::Connection => {
                self.say(&format!("connected to {}\n", self.client.peer())).map(|()| Next::Go)
            }
            Command::Timing(switch) => {
                self.timing = switch.map_or(!self.timing, |switch| switch == Switch::On);
                let state = if self.timing { "on" } else { "off" };
                self.say(&format!("timing is {state}\n")).map(|()| Next::Go)
            }
            Command::Expanded(layout) => {
                self.layout = layout.unwrap_or_else(|| toggled(self.layout));
                self.say(&format!("expanded display is {}\n", self.layout.word()))
                    .map(|()| Next::Go)
            }
        }
    }

    /// Says something that is no result: where results are for programs, it does not stand between
    /// them.
    fn say(&self, text: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Table => console::print(text),
            Format::Csv | Format::Json => {
                console::tell(text.trim_end_matches('\n'));
                Ok(())
            }
        }
    }

    async fn tool(&mut self, line: &ToolLine) -> anyhow::Result<Next> {
        let urls = self.gateways().await;
        let Some(tools) = &mut self.tools else {
            return Ok(failed(&format!("\\{} is a tool of the program `meridian`", line.tool)));
        };
        let said = tokio::select! {
            biased;
            said = tools.run(&line.tool, &line.arguments, urls) => said,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        };
        match said {
            Ok(Said { text, found }) => {
                self.found = self.found.max(found);
                self.say(&text).map(|()| Next::Go)
            }
            Err(message) => Ok(failed(&message)),
        }
    }

    /// Where clients reach the nodes that answer.
    async fn gateways(&self) -> Vec<String> {
        let answers = self.client.run("SHOW NODES").await.unwrap_or_default();
        let Some(nodes) = answers.first() else { return Vec::new() };
        let reached = nodes.column("sql_address").zip(nodes.column("live"));
        let reached = reached.filter_map(|(address, live)| address.filter(|_| live == Some("t")));
        let addresses = reached.filter(|address| !address.is_empty());
        addresses.filter_map(|address| elsewhere(self.client.url(), address).ok()).collect()
    }

    async fn describe(&mut self, table: &str) -> anyhow::Result<Next> {
        for what in ["columns", "indexes", "constraints", "ranges"] {
            if self.format == Format::Table && what != "columns" {
                console::print(&format!("{what}\n"))?;
            }
            let sql = format!("SHOW {} FROM TABLE {table}", what.to_uppercase());
            let next = self.statement(&sql, self.layout).await?;
            if next != Next::Go {
                return Ok(next);
            }
        }
        Ok(Next::Go)
    }

    async fn trace(&mut self, wanted: Wanted) -> anyhow::Result<Next> {
        let Wanted { id, form, file } = wanted;
        let drawn = timeline::draw(&self.client, id.as_deref(), form).await;
        let done = match (drawn, file) {
            (Ok(drawn), None) => return console::print(&drawn).map(|()| Next::Go),
            (Ok(drawn), Some(file)) => std::fs::write(&file, drawn)
                .map(|()| file.clone())
                .map_err(|error| format!("{file}: {error}")),
            (Err(message), _) => Err(message),
        };
        match done {
            Ok(file) => self.say(&format!("written to {file}\n")).map(|()| Next::Go),
            Err(message) => Ok(failed(&message)),
        }
    }

    async fn include(&mut self, file: &str, depth: u32) -> anyhow::Result<Next> {
        if depth >= MAX_INCLUDES {
            let message = format!("{file}: files include each other more than {MAX_INCLUDES} deep");
            return Ok(failed(&message));
        }
        match std::fs::read_to_string(file) {
            Ok(text) => self.text(&text, depth + 1).await,
            Err(error) => Ok(failed(&format!("{file}: {error}"))),
        }
    }
}

/// Tells what went wrong.
fn failed(message: &str) -> Next {
    console::tell(message);
    Next::Failed
}

fn toggled(layout: Layout) -> Layout {
    match layout {
        Layout::Rows | Layout::Auto => Layout::Expanded,
        Layout::Expanded => Layout::Auto,
    }
}

fn time(took: Duration) -> String {
    format!("time: {:.3} ms\n", took.as_secs_f64() * 1000.0)
}
