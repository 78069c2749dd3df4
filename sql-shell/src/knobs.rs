//! Backslash commands that turn knobs: each is a short word for SQL that any client can send
//! (`SET CLUSTER SETTING`, `CALL meridian_internal....`).

use std::time::Duration;

use crate::{meta::Command, words};

/// What the shell's tools are asked to do: they live in the program around the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolLine {
    /// The tool: `workload`, `check`.
    pub tool: String,
    /// What follows.
    pub arguments: Vec<String>,
}

/// The commands with their help, in the order they are listed; also offered for completion.
pub const COMMANDS: &[(&str, &str)] = &[
    ("\\settings", "cluster settings, and whatever else is not as it was"),
    ("\\clock ε DURATION [n3|REGION]", "half the width of the clocks' intervals"),
    ("\\clock model MODEL [n3|REGION]", "zero, fixed(4ms), spanner2012, cockroach ..."),
    (
        "\\clock offset fast [n3|REGION]",
        "where in its interval it is: fast, slow, centered, uniform, walk",
    ),
    ("\\clock skew n3 +40ms [--unsafe]", "a clock's offset; beyond its ε only with --unsafe"),
    ("\\clock step n3 -2s [--unsafe]", "moves a clock from where it is"),
    ("\\clock drift n3 500ppm [--unsafe]", "lets a clock drift; to the edge of its ε, or beyond"),
    ("\\clock reset", "all clocks as they began"),
    ("\\net set A B rtt=90ms loss=1%", "a link, between regions or nodes; jitter, bandwidth too"),
    ("\\net cut A B [one-way]", "cuts a link"),
    ("\\net heal", "heals all cuts"),
    ("\\net reset", "all links as the topology has them"),
    ("\\crash n3", "the power fails under a node"),
    ("\\restart n3", "starts it again, on what its disk has"),
    ("\\pause n3 5s", "a node stands still"),
    ("\\commit-wait on|off", "UNSAFE when off: commits are told before they are past"),
    ("\\guard on|off", "UNSAFE when off: a node whose clock is wrong goes on serving"),
    ("\\leader TABLE REGION|n3", "moves the leaders of a table's ranges"),
    (
        "\\watch [1s] [COUNT]",
        "a line per interval: commits, latency, commit-wait, ε, and knobs that were turned; Ctrl-C \
         ends it",
    ),
    ("\\workload bank|kv CLIENTS", "load over all gateways"),
    ("\\workload stop", "ends it, and tells what came of it"),
    ("\\check run 5s [FILE.html]", "records a history on this cluster and judges it"),
    ("\\check start", "begins to record; Ctrl-C in \\check run leaves it recording"),
    ("\\check report [FILE.html]", "ends and judges it; or the last verdict once more"),
];

/// How often `\watch` prints unless told otherwise.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Understands a command about knobs; `None` if it is not one.
pub fn parse(words: &[&str]) -> Option<Result<Command, String>> {
    let (name, rest) = words.split_first()?;
    let found = match *name {
        "\\settings" => expect(rest.is_empty(), name).map(|()| sql("SHOW CLUSTER SETTINGS")),
        "\\clock" => clock(rest),
        "\\net" => net(rest),
        "\\crash" => node(name, rest).map(|node| call("crash_node", &[node])),
        "\\restart" => node(name, rest).map(|node| call("restart_node", &[node])),
        "\\pause" => match rest {
            [node, lasting] => Ok(call("pause_node", &[node, lasting])),
            _ => Err(usage(name)),
        },
        "\\commit-wait" => on_off(name, rest, "unsafe.commit_wait"),
        "\\guard" => on_off(name, rest, "unsafe.clock_guard"),
        "\\leader" => match rest {
            [table, region] => Ok(call("move_leader", &[table, region])),
            _ => Err(usage(name)),
        },
        "\\watch" => watch(rest),
        "\\workload" | "\\check" => expect(!rest.is_empty(), name).map(|()| {
            Command::Tool(ToolLine {
                tool: name.trim_start_matches('\\').to_owned(),
                arguments: rest.iter().map(|word| (*word).to_owned()).collect(),
            })
        }),
        _ => return None,
    };
    Some(found)
}

fn clock(words: &[&str]) -> Result<Command, String> {
    let set = |setting: &str, value: &str, scope: &[&str]| {
        let target = match scope {
            [] => String::new(),
            [one] if is_node(one) => format!(" FOR NODE {}", literal(one)),
            [one] => format!(" FOR REGION {}", literal(one)),
            _ => return Err(usage("\\clock")),
        };
        Ok(sql(&format!("SET CLUSTER SETTING {setting} = {}{target}", literal(value))))
    };
    let moved = |procedure: &str, node: &str, how: &str, more: &[&str]| match more {
        [] => Ok(call(procedure, &[node, how])),
        ["--unsafe"] => Ok(call(procedure, &[node, how, "unsafe"])),
        _ => Err(usage("\\clock")),
    };
    match words {
        [] => Ok(sql("SHOW CLOCKS")),
        ["ε" | "epsilon", value, scope @ ..] => set("clock.epsilon", value, scope),
        ["model", rest @ ..] if !rest.is_empty() => {
            let (value, scope) = model(rest);
            set("clock.model", &value, scope)
        }
        ["offset", value, scope @ ..] => set("clock.offset", value, scope),
        ["skew", node, to, more @ ..] => moved("skew_clock", node, to, more),
        ["step", node, by, more @ ..] => moved("step_clock", node, by, more),
        ["drift", node, rate, more @ ..] => moved("drift_clock", node, rate, more),
        ["reset"] => {
            Ok(sql("RESET CLUSTER SETTING clock.model; RESET CLUSTER SETTING clock.offset"))
        }
        _ => Err(usage("\\clock")),
    }
}

/// A model may have blanks between its brackets: `sawtooth(1ms, 200ppm, 30s)`. What follows is where.
fn model<'w>(words: &'w [&'w str]) -> (String, &'w [&'w str]) {
    let opened = words[0].contains('(');
    let last = words.iter().position(|word| word.ends_with(')')).filter(|_| opened).unwrap_or(0);
    (words[..=last].join(" "), &words[last + 1..])
}

fn net(words: &[&str]) -> Result<Command, String> {
    match words {
        ["set", from, to, change @ ..] if !change.is_empty() => {
            Ok(call("set_link", &[from, to, &change.join(" ")]))
        }
        ["cut", from, to] => Ok(call("cut_link", &[from, to])),
        ["cut", from, to, "one-way"] => Ok(call("cut_link", &[from, to, "one-way"])),
        ["heal"] => Ok(call("heal_links", &[])),
        ["reset"] => Ok(call("reset_links", &[])),
        _ => Err(usage("\\net")),
    }
}

fn watch(words: &[&str]) -> Result<Command, String> {
    let (every, count) = match words {
        [] => (WATCH_EVERY, None),
        [every] => (seconds(every)?, None),
        [every, count] => (seconds(every)?, Some(count.parse().map_err(|_| usage("\\watch"))?)),
        _ => return Err(usage("\\watch")),
    };
    Ok(Command::Watch(every, count))
}

/// `1s`, `500ms`.
fn seconds(text: &str) -> Result<Duration, String> {
    let (number, millis) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => (text, 1000),
    };
    let whole = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis));
    let found = whole.filter(|millis| (100..=3_600_000).contains(millis));
    found.map(Duration::from_millis).ok_or_else(|| format!("\\watch: {text} is no interval: 1s"))
}

fn on_off(name: &str, words: &[&str], setting: &str) -> Result<Command, String> {
    match words {
        [] => Ok(sql(&format!("SHOW CLUSTER SETTING {setting}"))),
        [value @ ("on" | "off")] => Ok(sql(&format!("SET CLUSTER SETTING {setting} = {value}"))),
        _ => Err(usage(name)),
    }
}

fn node<'a>(name: &str, words: &[&'a str]) -> Result<&'a str, String> {
    match words {
        [node] => Ok(node),
        _ => Err(usage(name)),
    }
}

fn is_node(text: &str) -> bool {
    let number = text.strip_prefix('n').unwrap_or(text);
    !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
}

fn call(procedure: &str, arguments: &[&str]) -> Command {
    let arguments: Vec<String> = arguments.iter().map(|argument| literal(argument)).collect();
    sql(&format!("CALL meridian_internal.{procedure}({})", arguments.join(", ")))
}

/// A word as a text in SQL. A name in double quotes is what it names.
fn literal(word: &str) -> String {
    format!("'{}'", words::unquoted(word).replace('\'', "''"))
}

fn sql(text: &str) -> Command {
    Command::Sql(text.to_owned())
}

fn expect(fits: bool, name: &str) -> Result<(), String> {
    if fits { Ok(()) } else { Err(usage(name)) }
}

/// What may be written.
fn usage(name: &str) -> String {
    let known = COMMANDS.iter().map(|(command, _)| *command);
    let known: Vec<&str> = known.filter(|known| known.split(' ').next() == Some(name)).collect();
    match known.as_slice() {
        [one] => format!("write {one}"),
        several => format!("write one of\n  {}", several.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Result<Command, String>> {
        let words = words::split(line).expect("whole quotes");
        parse(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn becomes(line: &str) -> String {
        match read(line) {
            Some(Ok(Command::Sql(sql))) => sql,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_are_sql() {
        for (line, expected) in [
            ("\\clock ε 10ms", "SET CLUSTER SETTING clock.epsilon = '10ms'"),
            ("\\clock epsilon 10ms n3", "SET CLUSTER SETTING clock.epsilon = '10ms' FOR NODE 'n3'"),
            (
                "\\clock offset fast us-east",
                "SET CLUSTER SETTING clock.offset = 'fast' FOR REGION 'us-east'",
            ),
            (
                "\\clock model sawtooth(1ms, 200ppm, 30s) n3",
                "SET CLUSTER SETTING clock.model = 'sawtooth(1ms, 200ppm, 30s)' FOR NODE 'n3'",
            ),
            (
                "\\clock model 'sawtooth(1ms,200ppm,30s)' eu",
                "SET CLUSTER SETTING clock.model = 'sawtooth(1ms,200ppm,30s)' FOR REGION 'eu'",
            ),
            ("\\clock model cockroach", "SET CLUSTER SETTING clock.model = 'cockroach'"),
            ("\\clock skew n3 +40ms", "CALL meridian_internal.skew_clock('n3', '+40ms')"),
            (
                "\\clock step n3 -2s --unsafe",
                "CALL meridian_internal.step_clock('n3', '-2s', 'unsafe')",
            ),
            (
                "\\net set us-east europe-west rtt=90ms loss=1%",
                "CALL meridian_internal.set_link('us-east', 'europe-west', 'rtt=90ms loss=1%')",
            ),
            ("\\net cut a b one-way", "CALL meridian_internal.cut_link('a', 'b', 'one-way')"),
            ("\\crash n3", "CALL meridian_internal.crash_node('n3')"),
            ("\\commit-wait off", "SET CLUSTER SETTING unsafe.commit_wait = off"),
            ("\\leader t us-west", "CALL meridian_internal.move_leader('t', 'us-west')"),
            ("\\leader \"My T\" n3", "CALL meridian_internal.move_leader('My T', 'n3')"),
            ("\\crash 'n3'');--'", "CALL meridian_internal.crash_node('n3'');--')"),
        ] {
            assert_eq!(becomes(line), expected);
        }
    }

    #[test]
    fn every_listed_command_is_known_and_mistakes_tell_what_to_write() {
        for (command, _) in COMMANDS {
            let name = command.split(' ').next().expect("a word");
            let wrong = format!("{name} a b c d e");
            assert!(read(&wrong).is_some(), "{name}");
        }
        let refused = read("\\pause n3").expect("known").expect_err("it lacks a duration");
        assert_eq!(refused, "write \\pause n3 5s");
        assert!(read("\\clock step n3 -2s --safe").expect("known").is_err());
        assert_eq!(read("\\dt"), None);
    }

    #[test]
    fn watching_takes_an_interval_and_a_count() {
        let watch = |line| read(line).expect("known");
        assert_eq!(watch("\\watch"), Ok(Command::Watch(Duration::from_secs(1), None)));
        assert_eq!(
            watch("\\watch 500ms 3"),
            Ok(Command::Watch(Duration::from_millis(500), Some(3)))
        );
        assert!(watch("\\watch 0s").is_err() && watch("\\watch soon").is_err());
    }
}
