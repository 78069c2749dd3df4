//! The loop: read, send, print. One place prints, so that a broken pipe is no error.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use anyhow::Context;
use reedline::Signal;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt},
    time::Instant,
};

use crate::{
    Ending, Tools,
    client::{Answer, Client},
    edit::{ShellPrompt, editor},
    knobs::ToolLine,
    lines::{self, Piece},
    meta::{self, Command, Switch},
    output::{Format, Layout, render},
    timeline::{self, Wanted},
    watch::{self, Look},
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
        Shell { client, format, layout: Layout::Rows, timing: false, tools }
    }

    /// Runs a text to its end, or to its first error.
    pub async fn batch(&mut self, input: &str) -> anyhow::Result<Ending> {
        match self.text(input, 0).await? {
            Next::Go | Next::Quit => Ok(Ending::Clean),
            Next::Failed => Ok(Ending::Failed),
        }
    }

    /// Runs what is piped in, to its end or to its first error, whose line is told. Statements run as
    /// they come: who writes them may wait for the answers.
    pub async fn script(&mut self, input: impl AsyncBufRead + Unpin) -> anyhow::Result<Ending> {
        let (mut lines, mut text, mut number) = (input.lines(), String::new(), 0_u64);
        while let Some(line) = lines.next_line().await.context("reading the statements")? {
            number += 1;
            text.push_str(&line);
            text.push('\n');
            // Only such a line can end a statement or be a command.
            if !line.contains(';') && !line.trim_start().starts_with('\\') {
                continue;
            }
            let (pieces, rest) = lines::split(&text);
            text = rest;
            match self.pieces(pieces, 0).await? {
                Next::Go => {}
                Next::Quit => return Ok(Ending::Clean),
                Next::Failed => {
                    eprintln!("stopped at line {number}: what follows it was not run");
                    return Ok(Ending::Failed);
                }
            }
        }
        self.batch(&text).await
    }

    /// Reads from the terminal until its end.
    pub async fn interactive(&mut self) -> anyhow::Result<()> {
        let mut editor = editor(self.table_names().await)?;
        print("Statements end with a semicolon; \\? helps, \\q leaves.\n")?;
        loop {
            // The editor owns the terminal and blocks; it goes to its own thread and comes back.
            let (back, line) = tokio::task::spawn_blocking(move || {
                let line = editor.read_line(&ShellPrompt);
                (editor, line)
            })
            .await
            .context("the line editor ended")?;
            editor = back;
            let leave = match line.context("reading the terminal")? {
                Signal::Success(line) => self.text(&line, 0).await? == Next::Quit,
                Signal::CtrlD => true,
                // Ctrl-C drops the line.
                _ => false,
            };
            if leave {
                return Ok(());
            }
            if self.client.is_closed() {
                anyhow::bail!("the server closed the connection");
            }
        }
    }

    async fn table_names(&self) -> Vec<String> {
        // Completion is a comfort: without tables it offers less.
        let answers = self.client.run("SHOW TABLES").await.unwrap_or_default();
        let rows = answers.into_iter().flat_map(|answer| answer.rows);
        rows.filter_map(|row| row.into_iter().next().flatten()).collect()
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
                Piece::Statement(sql) => self.statement(&sql).await?,
                Piece::Meta(line) => Box::pin(self.meta(&line, depth)).await?,
            };
            if next != Next::Go {
                return Ok(next);
            }
        }
        Ok(Next::Go)
    }

    async fn statement(&mut self, sql: &str) -> anyhow::Result<Next> {
        let started = Instant::now();
        let outcome = self.run_cancellable(sql).await;
        let took = started.elapsed();
        for notice in self.client.take_notices() {
            eprintln!("{notice}");
        }
        match outcome {
            Err(message) => {
                eprintln!("{message}");
                Ok(Next::Failed)
            }
            Ok(answers) => {
                for answer in &answers {
                    print(&render(answer, self.format, self.layout))?;
                }
                if self.timing {
                    print(&time(took))?;
                }
                Ok(Next::Go)
            }
        }
    }

    /// Ctrl-C while a statement runs asks the server to cancel it; the server's answer counts.
    async fn run_cancellable(&self, sql: &str) -> Result<Vec<Answer>, String> {
        let running = self.client.run(sql);
        tokio::pin!(running);
        tokio::select! {
            biased;
            outcome = &mut running => return outcome,
            _ = tokio::signal::ctrl_c() => {}
        }
        if let Err(error) = self.client.cancel().await {
            eprintln!("cannot cancel: {error:#}");
        }
        running.await
    }

    async fn meta(&mut self, line: &str, depth: u32) -> anyhow::Result<Next> {
        let command = match meta::parse(line) {
            Ok(command) => command,
            Err(message) => {
                eprintln!("{message}");
                return Ok(Next::Failed);
            }
        };
        match command {
            Command::Quit => Ok(Next::Quit),
            Command::Watch(every, count) => self.watch(every, count).await,
            Command::Tool(line) => self.tool(&line).await,
            Command::Help => print(&meta::help()).map(|()| Next::Go),
            Command::Sql(sql) => self.statement(&sql).await,
            Command::Describe(table) => self.describe(&table).await,
            Command::Trace(wanted) => self.trace(wanted).await,
            Command::Include(file) => self.include(&file, depth).await,
            Command::Timing(switch) => {
                self.timing = switch.map_or(!self.timing, |switch| switch == Switch::On);
                let state = if self.timing { "on" } else { "off" };
                print(&format!("timing is {state}\n")).map(|()| Next::Go)
            }
            Command::Expanded(switch) => {
                self.layout = switch.map_or_else(|| toggled(self.layout), Switch::layout);
                Ok(Next::Go)
            }
        }
    }

    /// Prints a line per interval until it has printed so many, or is interrupted.
    async fn watch(&mut self, every: Duration, count: Option<u64>) -> anyhow::Result<Next> {
        let Some(first) = self.look().await else { return Ok(Next::Failed) };
        let (mut last, mut looked, mut lines) = (first.clone(), Instant::now(), 0);
        while count.is_none_or(|count| lines < count) {
            let interrupted = tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => true,
                () = tokio::time::sleep_until(looked + every) => false,
            };
            if interrupted {
                break;
            }
            let lasting = looked.elapsed();
            looked = Instant::now();
            let Some(now) = self.look().await else { return Ok(Next::Failed) };
            if lines % watch::HEAD_EVERY == 0 {
                print(&watch::head())?;
            }
            print(&now.since(&last).line(lasting))?;
            (last, lines) = (now, lines + 1);
        }
        print(&last.since(&first).histogram())?;
        Ok(Next::Go)
    }

    async fn look(&self) -> Option<Look> {
        let answers = self.client.run(watch::SHOW_SQL).await;
        match answers.and_then(|answers| Look::read(&answers)) {
            Ok(look) => Some(look),
            Err(message) => {
                eprintln!("{message}");
                None
            }
        }
    }

    async fn tool(&mut self, line: &ToolLine) -> anyhow::Result<Next> {
        let urls = self.gateways().await;
        let Some(tools) = &mut self.tools else {
            eprintln!("\\{} is a tool of the program `meridian`", line.tool);
            return Ok(Next::Failed);
        };
        match tools.run(&line.tool, &line.arguments, urls).await {
            Ok(text) => print(&text).map(|()| Next::Go),
            Err(message) => {
                eprintln!("{message}");
                Ok(Next::Failed)
            }
        }
    }

    /// Where clients reach the nodes that answer.
    async fn gateways(&self) -> Vec<String> {
        let answers = self.client.run("SHOW NODES").await.unwrap_or_default();
        let nodes = answers.into_iter().find_map(|answer| {
            let columns = answer.columns?;
            let column = |name: &str| columns.iter().position(|known| known == name);
            let (address, live) = (column("sql_address")?, column("live")?);
            let reached =
                answer.rows.into_iter().filter(move |row| row[live].as_deref() == Some("t"));
            Some(reached.filter_map(move |row| row.into_iter().nth(address)?).collect::<Vec<_>>())
        });
        let nodes = nodes.unwrap_or_default().into_iter();
        nodes
            .filter(|address| !address.is_empty())
            .map(|address| format!("postgresql://root@{address}/meridian"))
            .collect()
    }

    async fn describe(&mut self, table: &str) -> anyhow::Result<Next> {
        for what in ["COLUMNS", "INDEXES", "RANGES"] {
            let keyword = if what == "RANGES" { "FROM TABLE" } else { "FROM" };
            let next = self.statement(&format!("SHOW {what} {keyword} {table}")).await?;
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
            (Ok(drawn), None) => return print(&drawn).map(|()| Next::Go),
            (Ok(drawn), Some(file)) => std::fs::write(&file, drawn)
                .map(|()| file.clone())
                .map_err(|error| format!("{file}: {error}")),
            (Err(message), _) => Err(message),
        };
        match done {
            Ok(file) => print(&format!("written to {file}\n")).map(|()| Next::Go),
            Err(message) => {
                eprintln!("{message}");
                Ok(Next::Failed)
            }
        }
    }

    async fn include(&mut self, file: &str, depth: u32) -> anyhow::Result<Next> {
        if depth >= MAX_INCLUDES {
            eprintln!("{file}: files include each other more than {MAX_INCLUDES} deep");
            return Ok(Next::Failed);
        }
        match std::fs::read_to_string(file) {
            Ok(text) => self.text(&text, depth + 1).await,
            Err(error) => {
                eprintln!("{file}: {error}");
                Ok(Next::Failed)
            }
        }
    }
}

fn toggled(layout: Layout) -> Layout {
    match layout {
        Layout::Rows => Layout::Expanded,
        Layout::Expanded => Layout::Rows,
    }
}

fn time(took: Duration) -> String {
    format!("time: {:.3} ms\n", took.as_secs_f64() * 1000.0)
}

/// Prints; whoever closed our output has read enough, and the shell ends quietly.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.context("writing the result"),
    }
}
