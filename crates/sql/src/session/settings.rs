//! A session's settings: `SET`, `SHOW`, `RESET`, and what the protocol reports of them.
//!
//! Names and defaults are PostgreSQL's where it has the setting. A setting that could change
//! results if it were ignored is either obeyed or refused; the rest is remembered and shown.

use std::collections::BTreeMap;

use expr::{SqlError, SqlState};
use keys::NodeId;

use crate::parse::IsolationName;

/// What kind of values a setting takes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `on` or `off`.
    Bool,
    /// Milliseconds, with PostgreSQL's units; 0: none.
    Duration,
    /// A whole number between these.
    Integer(i64, i64),
    /// An isolation level.
    Isolation,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A time zone.
    TimeZone,
    /// `client_encoding`: UTF8, in any spelling.
    Encoding,
    /// `DateStyle`: ISO, in any spelling.
    DateStyle,
    /// It tells something and cannot be changed.
    Fixed,
}

/// A setting: its name as `SHOW ALL` prints it, its default, its kind, whether the protocol
/// reports it, and what it is.
struct Definition {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    reported: bool,
    about: &'static str,
}

const fn setting(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Definition {
    Definition { name, default, kind, reported: false, about }
}

const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Definition {
    Definition { name, default, kind, reported: true, about }
}

/// The version of PostgreSQL that clients may take Meridian for.
pub const SERVER_VERSION: &str = "15.0";

const DEFINITIONS: &[Definition] = &[
    reported("application_name", "", Kind::Text, "Name of the client's program."),
    setting("bytea_output", "hex", Kind::Choice(&["hex"]), "Output format of bytea."),
    reported("client_encoding", "UTF8", Kind::Encoding, "Character set of the client."),
    setting(
        "client_min_messages",
        "notice",
        Kind::Choice(&[
            "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
        ]),
        "Least severity of messages sent to the client.",
    ),
    setting("commit_stats", "off", Kind::Bool, "A notice after each commit tells its breakdown."),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle, "Output format of dates."),
    setting(
        "default_transaction_isolation",
        "serializable",
        Kind::Isolation,
        "Isolation level of new transactions.",
    ),
    setting(
        "default_transaction_deferrable",
        "off",
        Kind::Bool,
        "Accepted: a snapshot here never waits.",
    ),
    reported(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "Whether new transactions are read-only.",
    ),
    setting("extra_float_digits", "1", Kind::Integer(-15, 3), "Accepted: floats are exact."),
    setting("idle_in_transaction_session_timeout", "0", Kind::Duration, "Remembered only."),
    reported("in_hot_standby", "off", Kind::Fixed, "Always off."),
    reported("integer_datetimes", "on", Kind::Fixed, "Always on."),
    reported("IntervalStyle", "postgres", Kind::Choice(&["postgres"]), "Format of intervals."),
    reported("is_superuser", "on", Kind::Fixed, "Every user is one."),
    setting("jit", "off", Kind::Bool, "Remembered only."),
    setting(
        "lock_timeout",
        "0",
        Kind::Duration,
        "How long a statement waits for locks on rows (FOR UPDATE, READ COMMITTED).",
    ),
    setting("max_identifier_length", "63", Kind::Fixed, "Longest name in bytes."),
    reported("node_id", "", Kind::Fixed, "The node that serves this session."),
    reported("region", "", Kind::Fixed, "The region of that node."),
    setting("row_security", "on", Kind::Bool, "Remembered only: there are no policies."),
    setting("search_path", "\"$user\", public", Kind::Text, "Only public exists."),
    reported("server_encoding", "UTF8", Kind::Fixed, "Character set of the database."),
    reported("server_version", SERVER_VERSION, Kind::Fixed, "PostgreSQL version spoken."),
    setting("server_version_num", "150000", Kind::Fixed, "The same as a number."),
    reported("session_authorization", "root", Kind::Fixed, "The user of the session."),
    reported(
        "standard_conforming_strings",
        "on",
        Kind::Choice(&["on"]),
        "Backslashes in texts are plain characters.",
    ),
    setting("statement_timeout", "0", Kind::Duration, "Longest time a statement may run."),
    setting("synchronous_commit", "on", Kind::Choice(&["on"]), "A commit is always durable."),
    reported("TimeZone", "UTC", Kind::TimeZone, "Time zone for output and input."),
    setting("trace", "off", Kind::Bool, "Whether the timelines of transactions are kept."),
    setting("transaction_isolation", "serializable", Kind::Isolation, "Of this transaction."),
    setting("transaction_read_only", "off", Kind::Bool, "Of this transaction."),
    setting("transaction_deferrable", "off", Kind::Bool, "Of this transaction."),
    setting("xmloption", "content", Kind::Choice(&["content", "document"]), "Remembered only."),
];

/// The values of a session.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// By lower-case name; those at their defaults are absent.
    values: BTreeMap<&'static str, String>,
    /// What `RESET` goes back to where it is not the default: what the client asked for when it
    /// connected.
    startup: BTreeMap<&'static str, String>,
}

impl Settings {
    /// The value as `SHOW` prints it; `None`: no such setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let definition = find(name)?;
        let value = self.values.get(definition.name).or(self.startup.get(definition.name));
        Some(value.map_or(definition.default, String::as_str))
    }

    /// The value if it is not the one that `RESET` goes back to.
    #[must_use]
    pub fn overridden(&self, name: &str) -> Option<String> {
        self.values.get(find(name)?.name).cloned()
    }

    /// Sets a value; answers with it as `SHOW` prints it.
    ///
    /// # Errors
    /// `42704` no such setting, `22023` no such value, `55P02` it cannot be changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<String, SqlError> {
        let definition = known(name)?;
        let value = normal(definition, value)?;
        self.values.insert(definition.name, value.clone());
        Ok(value)
    }

    /// Sets what `RESET` goes back to, at the start of a session.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_startup(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let definition = known(name)?;
        let value = normal(definition, value)?;
        self.startup.insert(definition.name, value);
        Ok(())
    }

    /// The user, which is no setting that a client may change.
    pub fn set_user(&mut self, user: &str) {
        self.startup.insert("session_authorization", user.to_owned());
    }

    /// Where the session is served, which is nothing that a client may change either.
    pub fn set_place(&mut self, node: NodeId, region: &str) {
        self.startup.insert("node_id", node.0.to_string());
        self.startup.insert("region", region.to_owned());
    }

    /// Back to the default; answers with it.
    ///
    /// # Errors
    /// `42704` no such setting, `55P02` it cannot be changed.
    pub fn reset(&mut self, name: &str) -> Result<String, SqlError> {
        let definition = known(name)?;
        if matches!(definition.kind, Kind::Fixed) {
            return Err(fixed(definition.name));
        }
        self.values.remove(definition.name);
        Ok(self.get(name).expect("it is known").to_owned())
    }

    /// Everything back to the default.
    pub fn reset_all(&mut self) {
        self.values.clear();
    }

    /// Whether the setting is `on`.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }

    /// A duration in milliseconds; 0: none.
    #[must_use]
    pub fn milliseconds(&self, name: &str) -> u64 {
        self.get(name).and_then(parse_duration).unwrap_or(0)
    }

    /// Name, value and meaning of all settings, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut all: Vec<_> = DEFINITIONS
            .iter()
            .map(|each| (each.name, self.get(each.name).expect("defined").to_owned(), each.about))
            .collect();
        all.sort_by_key(|(name, ..)| name.to_lowercase());
        all
    }

    /// Name and value of the settings that the protocol reports at the start.
    #[must_use]
    pub fn reported(&self) -> Vec<(String, String)> {
        DEFINITIONS
            .iter()
            .filter(|each| each.reported)
            .map(|each| (each.name.to_owned(), self.get(each.name).expect("defined").to_owned()))
            .collect()
    }
}

/// The setting's own spelling, if the protocol reports changes of it.
#[must_use]
pub fn reported_name(name: &str) -> Option<&'static str> {
    find(name).filter(|definition| definition.reported).map(|definition| definition.name)
}

fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

fn known(name: &str) -> Result<&'static Definition, SqlError> {
    find(name).ok_or_else(|| unknown(name))
}

/// `42704`.
#[must_use]
pub fn unknown(name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn fixed(name: &str) -> SqlError {
    SqlError::new(
        SqlState::CANT_CHANGE_RUNTIME_PARAM,
        format!("parameter \"{name}\" cannot be changed"),
    )
}

fn invalid(definition: &Definition, value: &str) -> SqlError {
    let error = SqlError::invalid_parameter(format!(
        "invalid value for parameter \"{}\": \"{value}\"",
        definition.name
    ));
    match definition.kind {
        Kind::Choice(choices) => {
            error.with_hint(format!("Available values: {}.", choices.join(", ")))
        }
        Kind::Isolation => error.with_hint(
            "Available values: serializable, repeatable read, read committed, read uncommitted.",
        ),
        _ => error,
    }
}

/// The value as `SHOW` prints it.
fn normal(definition: &Definition, value: &str) -> Result<String, SqlError> {
    let value = value.trim();
    let lower = value.to_lowercase();
    let bad = || invalid(definition, value);
    match definition.kind {
        Kind::Fixed if value == definition.default => Ok(value.to_owned()),
        Kind::Fixed => Err(fixed(definition.name)),
        Kind::Text => Ok(value.to_owned()),
        Kind::Bool => match lower.as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".to_owned()),
            "off" | "false" | "no" | "0" | "f" | "n" => Ok("off".to_owned()),
            _ => Err(SqlError::invalid_parameter(format!(
                "parameter \"{}\" requires a Boolean value",
                definition.name
            ))),
        },
        Kind::Duration => parse_duration(value).map(format_duration).ok_or_else(bad),
        Kind::Integer(least, most) => match value.parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
            Ok(number) => Err(SqlError::invalid_parameter(format!(
                "{number} is outside the valid range for parameter \"{}\" ({least} .. {most})",
                definition.name
            ))),
            Err(_) => Err(bad()),
        },
        Kind::Isolation => {
            IsolationName::from_name(value).map(|level| level.name().to_owned()).ok_or_else(bad)
        }
        Kind::Choice(choices) => {
            let found = choices.iter().find(|choice| **choice == lower);
            found.map(|choice| (*choice).to_owned()).ok_or_else(bad)
        }
        Kind::TimeZone => {
            if expr::datetime::TimeZone::parse(value).is_ok() {
                Ok(value.to_owned())
            } else {
                Err(bad())
            }
        }
        Kind::Encoding => match lower.trim_matches('\'').replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" | "sqlascii" => Ok("UTF8".to_owned()),
            _ => Err(bad()),
        },
        Kind::DateStyle => {
            let mut order = "MDY";
            for word in lower.split(',').map(str::trim) {
                match word {
                    "iso" | "" => {}
                    "mdy" | "us" => order = "MDY",
                    "dmy" | "ymd" | "german" | "sql" | "postgres" => {
                        return Err(SqlError::unsupported(format!("DateStyle \"{value}\"")));
                    }
                    _ => return Err(bad()),
                }
            }
            Ok(format!("ISO, {order}"))
        }
    }
}

/// Milliseconds of `100`, `100ms`, `5s`, `2min`, `1h`, `1d`.
fn parse_duration(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|millis| i32::try_from(*millis).is_ok())
}

fn format_duration(millis: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    if millis == 0 {
        return "0".to_owned();
    }
    let (unit, name) =
        units.into_iter().find(|(unit, _)| millis.is_multiple_of(*unit)).expect("1 divides all");
    format!("{}{name}", millis / unit)
}
