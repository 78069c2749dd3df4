//! Backslash commands. Each is a short word for SQL that any client can send, or a switch of the
//! shell itself.

use std::time::Duration;

use crate::{
    knobs::{self, ToolLine},
    output::Layout,
    timeline,
};

/// What a backslash command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run this SQL.
    Sql(String),
    /// Describe a table: its columns, its indexes, its ranges.
    Describe(String),
    /// Draw the timeline of a transaction.
    Trace(timeline::Wanted),
    /// Run the statements of a file.
    Include(String),
    /// Switch, or toggle, the display of times.
    Timing(Option<Switch>),
    /// Switch, or toggle, the expanded layout.
    Expanded(Option<Switch>),
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

impl Switch {
    /// The layout that `\x` stands for.
    #[must_use]
    pub fn layout(self) -> Layout {
        match self {
            Switch::On => Layout::Expanded,
            Switch::Off => Layout::Rows,
        }
    }
}

/// All commands with their help, in the order they are listed; also offered for completion.
pub const COMMANDS: &[(&str, &str)] = &[
    ("\\?", "this help"),
    ("\\d [TABLE]", "tables, or one table's columns, indexes and ranges"),
    ("\\dt", "tables"),
    ("\\regions", "regions and their nodes"),
    ("\\nodes", "nodes: region, zone, addresses, whether they answer"),
    ("\\ranges [TABLE]", "ranges: span, leader, replicas"),
    ("\\clocks", "each node's TrueTime interval, ε and clock source"),
    ("\\locks", "locks held and waited for"),
    ("\\stats", "where the time of this session's last commit went"),
    (
        "\\trace [last|ID]",
        "a transaction's timeline; --html FILE, --chrome FILE, --otlp FILE keep it",
    ),
    ("\\timing [on|off]", "show how long each statement took"),
    ("\\x [on|off]", "a column on a line instead of a row"),
    ("\\i FILE", "run the statements of a file"),
    ("\\q", "leave (or Ctrl-D)"),
];

/// Understands a command line that starts with a backslash.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(line: &str) -> Result<Command, String> {
    if let Some(knob) = knobs::parse(line) {
        return knob;
    }
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    if name == "\\trace" {
        return timeline::parse(words).map(Command::Trace);
    }
    let argument = words.next();
    if let Some(extra) = words.next() {
        return Err(format!("{name}: unexpected argument {extra}"));
    }
    let sql = |text: &str| match argument {
        None => Ok(Command::Sql(text.to_owned())),
        Some(extra) => Err(format!("{name} takes no argument: {extra}")),
    };
    match name {
        "\\?" | "\\h" | "\\help" => Ok(Command::Help),
        "\\q" | "\\quit" => Ok(Command::Quit),
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
        "\\x" => Ok(Command::Expanded(switch(name, argument)?)),
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

/// The help text.
#[must_use]
pub fn help() -> String {
    let all = || COMMANDS.iter().chain(knobs::COMMANDS);
    let width = all().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = all().map(|(name, what)| format!("  {name:width$}  {what}\n"));
    let head = "Statements end with a semicolon. Ctrl-C drops the line or cancels a query.\n\n";
    head.to_owned() + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_command_is_understood() {
        for (name, _) in COMMANDS {
            let bare = name.split(' ').next().expect("a word");
            let line = if bare == "\\i" { "\\i file" } else { bare };
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("\\x maybe").unwrap_err(), "\\x takes on or off, not maybe");
        assert_eq!(parse("\\i").unwrap_err(), "\\i needs a file");
        assert!(parse("\\nothing").unwrap_err().contains("\\?"));
        assert!(parse("\\dt a b").is_err());
    }
}
