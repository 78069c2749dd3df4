//! Backslash commands. Each is a short word for SQL that any client can send, or a switch of the
//! shell itself.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::{
    knobs::{self, ToolLine},
    output::Layout,
    timeline, words,
};

/// What a backslash command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run this SQL.
    Sql(String),
    /// Describe a table: its columns, its indexes, its constraints, its ranges.
    Describe(String),
    /// Draw the timeline of a transaction.
    Trace(timeline::Wanted),
    /// Run the statements of a file.
    Include(String),
    /// Connect again, or to another node, region or address.
    Connect(Option<String>),
    /// Tell who is at the other end.
    Connection,
    /// Switch, or toggle, the display of times.
    Timing(Option<Switch>),
    /// Lay results out like this; `None`: toggle the expanded layout.
    Expanded(Option<Layout>),
    /// Print a line per interval, so many times or until it is interrupted.
    Watch(Duration, Option<u64>),
    /// Ask one of the program's tools.
    Tool(ToolLine),
    /// Print the help.
    Help,
    /// Leave.
    Quit,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// All commands with their help, in the order they are listed; also offered for completion.
pub const COMMANDS: &[(&str, &str)] = &[
    ("\\?, help", "this help"),
    ("\\q, quit, exit", "leave (or Ctrl-D)"),
    ("\\g, \\gx", "send the statement, as ; does; \\gx shows a column on a line"),
    ("\\d [TABLE]", "tables, or one table's columns, indexes, constraints and ranges"),
    ("\\dt", "tables"),
    ("\\c [n3|REGION|URL]", "connect again, or to another node"),
    ("\\conninfo", "the node at the other end"),
    ("\\x [on|off|auto]", "a column on a line instead of a row; auto: where rows are too wide"),
    ("\\timing [on|off]", "show how long each statement took"),
    ("\\i FILE", "run the statements of a file"),
    ("\\regions", "regions and their nodes"),
    ("\\nodes", "nodes: region, zone, addresses, whether they answer"),
    ("\\ranges [TABLE]", "ranges: span, leader, replicas"),
    ("\\clocks", "each node's TrueTime interval at one moment, ε and clock source"),
    ("\\locks", "locks held and waited for"),
    ("\\stats", "where the time of this session's last commit went"),
    (
        "\\trace [last|ID]",
        "a transaction's timeline; --html FILE, --chrome FILE, --otlp FILE keep it",
    ),
];

/// The words that commands begin with, each once, in the order of the help.
pub fn names() -> Vec<&'static str> {
    let all = COMMANDS.iter().chain(knobs::COMMANDS).flat_map(|(usage, _)| usage.split(", "));
    let mut names = Vec::new();
    for name in all.filter_map(|usage| usage.split(' ').next()) {
        if name.starts_with('\\') && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Understands a command line that starts with a backslash.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(line: &str) -> Result<Command, String> {
    let words = words::split(line).map_err(|why| format!("{line}: {why}"))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(knob) = knobs::parse(&words) {
        return knob;
    }
    let (name, rest) = words.split_first().map_or(("", &[][..]), |(name, rest)| (*name, rest));
    if name == "\\trace" {
        return timeline::parse(rest.iter().copied()).map(Command::Trace);
    }
    let argument = match rest {
        [] => None,
        [argument] => Some(*argument),
        [_, extra, ..] => return Err(format!("{name}: unexpected argument {extra}")),
    };
    let plain = |command: Command| match argument {
        None => Ok(command),
        Some(extra) => Err(format!("{name} takes no argument: {extra}")),
    };
    let sql = |text: &str| plain(Command::Sql(text.to_owned()));
    match name {
        "\\?" | "\\h" | "\\help" => Ok(Command::Help),
        "\\q" | "\\quit" => plain(Command::Quit),
        "\\d" => Ok(argument.map_or_else(
            || Command::Sql("SHOW TABLES".to_owned()),
            |table| Command::Describe(table.to_owned()),
        )),
        "\\dt" => sql("SHOW TABLES"),
        "\\regions" => sql("SHOW REGIONS"),
        "\\nodes" => sql("SHOW NODES"),
        "\\clocks" => sql("SHOW CLOCKS"),
        "\\locks" => sql("SHOW LOCKS"),
        "\\stats" => sql("SHOW COMMIT STATS"),
        "\\ranges" => Ok(Command::Sql(argument.map_or_else(
            || "SHOW RANGES".to_owned(),
            |table| format!("SHOW RANGES FROM TABLE {table}"),
        ))),
        "\\timing" => Ok(Command::Timing(switch(name, argument)?)),
        "\\x" => Ok(Command::Expanded(layout(argument)?)),
        "\\c" | "\\connect" => Ok(Command::Connect(argument.map(str::to_owned))),
        "\\conninfo" => plain(Command::Connection),
        "\\i" => argument
            .map(|file| Command::Include(file.to_owned()))
            .ok_or_else(|| "\\i needs a file".to_owned()),
        other => Err(format!("unknown command {other}; \\? lists the commands")),
    }
}

fn switch(name: &str, argument: Option<&str>) -> Result<Option<Switch>, String> {
    match argument {
        None => Ok(None),
        Some("on") => Ok(Some(Switch::On)),
        Some("off") => Ok(Some(Switch::Off)),
        Some(other) => Err(format!("{name} takes on or off, not {other}")),
    }
}

fn layout(argument: Option<&str>) -> Result<Option<Layout>, String> {
    let known = [Layout::Expanded, Layout::Rows, Layout::Auto];
    let Some(word) = argument else { return Ok(None) };
    let found = known.into_iter().find(|layout| layout.word() == word);
    found.map(Some).ok_or_else(|| format!("\\x takes on, off or auto, not {word}"))
}

/// Columns that the help takes: those of the plainest terminal.
const HELP_WIDTH: usize = 80;

/// The help text.
#[must_use]
pub fn help() -> String {
    let all = || COMMANDS.iter().chain(knobs::COMMANDS);
    let width = all().map(|(usage, _)| usage.width()).max().unwrap_or(0);
    let lines = |commands: &[(&str, &str)]| {
        commands.iter().map(|(usage, what)| entry(usage, what, width)).collect::<String>()
    };
    format!(
        "Statements end with a semicolon. Ctrl-C drops the line or cancels a query;\n\
         Tab completes. Behind a command, -- begins a comment.\n\n{}\n\
         Knobs: whoever may connect can turn them, and SHOW CLUSTER SETTINGS shows them.\n\n{}",
        lines(COMMANDS),
        lines(knobs::COMMANDS)
    )
}

/// A command and what it does, which goes on below itself where it is long.
fn entry(usage: &str, what: &str, width: usize) -> String {
    let indent = width + 4;
    let mut out = format!("  {usage}{}  ", " ".repeat(width - usage.width()));
    let mut column = indent;
    for (at, word) in what.split(' ').enumerate() {
        if at > 0 && column + 1 + word.width() > HELP_WIDTH {
            out += &format!("\n{}", " ".repeat(indent));
            column = indent;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += word.width();
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_command_is_understood() {
        for name in names() {
            let line = if name == "\\i" { "\\i file" } else { name };
            let understood = parse(line);
            let sent = matches!(name, "\\g" | "\\gx");
            let unknown = understood.is_err_and(|why| why.starts_with("unknown command"));
            assert_eq!(unknown, sent, "{line}: \\g is no command of its own, all others are");
        }
    }

    /// What is understood is listed: the help tells of every command but for second names.
    #[test]
    fn the_help_is_whole_and_fits_the_terminal() {
        let source = include_str!("meta.rs");
        let arms = source.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        let named = arms.filter_map(|line| {
            let arm = line.trim().strip_prefix("\"\\\\")?;
            arm.split_once('"').filter(|(_, rest)| rest.contains("=>")).map(|(name, _)| name)
        });
        let named: Vec<&str> = named.collect();
        assert!(named.len() > 12, "{named:?}");
        let help = help();
        for name in named {
            assert!(help.contains(&format!("\\{name}")), "\\{name} is not in the help");
        }
        for line in help.lines() {
            assert!(line.width() <= HELP_WIDTH, "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("\\x maybe").unwrap_err(), "\\x takes on, off or auto, not maybe");
        assert_eq!(parse("\\timing auto").unwrap_err(), "\\timing takes on or off, not auto");
        assert_eq!(parse("\\i").unwrap_err(), "\\i needs a file");
        assert_eq!(parse("\\d 'open").unwrap_err(), "\\d 'open: a quote is not closed");
        assert!(parse("\\nothing").unwrap_err().contains("\\?"));
        assert!(parse("\\dt a b").is_err());
        assert!(parse("\\q -- bye").is_ok());
    }
}
