//! Knobs: names and values are checked here, then the process is asked ([`crate::control`]).
//!
//! A knob takes effect at once and is not taken back by a rollback, so none is turned inside a
//! transaction block.

use std::time::Duration;

use clock::{
    Aim, Beyond, Offset, Uncertainty, UncertaintyError, WIDEST_TOLERATED_EPSILON, format_duration,
    parse_duration, parse_offset,
};
use expr::{SqlError, SqlState};
use keys::NodeId;

use super::{Execution, Notice, Session, TxnStatus, run::guarded};
use crate::{
    control::{Knob, LinkChange, OnOff, Place, Scope, Setting, SettingName, Way},
    parse::{
        Kind, Statement, Utility,
        knobs::{KnobStatement, ScopeName, Unsafely},
    },
};

/// The procedures, with their arguments, for hints.
const PROCEDURES: &[&str] = &[
    "crash_node(node)",
    "restart_node(node)",
    "pause_node(node, '5s')",
    "cut_link(from, to [, 'one-way'])",
    "heal_links()",
    "set_link(from, to, 'rtt=90ms jitter=5ms loss=1%')",
    "reset_links()",
    "skew_clock(node, '+40ms' [, 'unsafe'])",
    "step_clock(node, '-2s' [, 'unsafe'])",
    "drift_clock(node, '500ppm' [, 'unsafe'])",
    "move_leader('table', 'region' or node)",
];

/// The longest pause of a node: longer than every lease and patience there is.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The longest round trip of a link.
const LONGEST_RTT: Duration = Duration::from_secs(60);

/// The fastest drift of a clock: a tenth of the speed of time.
const FASTEST_DRIFT_PPM: i64 = 100_000;

impl Session {
    /// `57P03` for whatever would use the database through a node that must not serve. Statements that
    /// look at the cluster, turn its knobs or end a transaction are not stopped.
    pub(super) fn refuse_if_stopped(&self, statement: &Statement) -> Result<(), SqlError> {
        let uses_data = match statement.kind() {
            Kind::Ast(_) => true,
            Kind::Utility(utility) => matches!(
                **utility,
                Utility::AsOf(..)
                    | Utility::Execute(..)
                    | Utility::Check(..)
                    | Utility::Explain(..)
                    | Utility::Begin(..)
                    | Utility::Commit(_)
            ),
        };
        let cluster = &self.database.0.cluster;
        let Some(stopped) = uses_data.then(|| cluster.stopped()).flatten() else { return Ok(()) };
        let message = format!("{} does not serve: {}", cluster.node_id(), stopped.why);
        Err(SqlError::new(SqlState::CANNOT_CONNECT_NOW, message).with_hint(stopped.advice))
    }

    /// Turns a knob.
    pub(super) async fn turn_knob(
        &mut self,
        statement: &KnobStatement,
    ) -> Result<Execution, SqlError> {
        if self.status() != TxnStatus::Idle {
            return Err(SqlError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "knobs cannot be turned inside a transaction block",
            ));
        }
        let (knob, tag) = match statement {
            KnobStatement::Set { name, value, scope, unsafely } => {
                (self.set_knob(name, value.as_deref(), scope, *unsafely)?, "SET CLUSTER SETTING")
            }
            KnobStatement::Reset(name, scope) => {
                let name = name.as_deref().map(setting_name).transpose()?;
                (Knob::Reset { name, scope: self.scope(scope)? }, "RESET CLUSTER SETTING")
            }
            KnobStatement::Call(name, arguments) if name == "move_leader" => {
                let [table, place] = arguments.as_slice() else { return Err(misused(name)) };
                let (table, place) = ([table.clone()], self.place(place)?);
                crate::ddl::split::transfer_table(self, &table, &place).await?;
                return Ok(Execution::done("CALL"));
            }
            KnobStatement::Call(name, arguments) => {
                let knob = self.procedure(name, arguments).or_else(|error| {
                    // What does not exist is no question where nothing of the kind can be done.
                    let missing = error.sqlstate == SqlState::UNDEFINED_OBJECT;
                    let control = self.database.0.cluster.control();
                    if missing { control.procedures().and(Err(error)) } else { Err(error) }
                });
                (knob?, "CALL")
            }
        };
        let turning = self.database.0.cluster.control().turn(knob);
        let turned = async { Ok(turning.await?) };
        let turned = guarded(&self.shared, self.deadline(), turned).await;
        for warning in turned.map_err(|failure| failure.into_sql(None))?.warnings {
            self.shared.notice(Notice::new("WARNING", SqlState::WARNING, warning));
        }
        Ok(Execution::done(tag))
    }

    fn set_knob(
        &self,
        name: &str,
        value: Option<&str>,
        scope: &ScopeName,
        unsafely: Unsafely,
    ) -> Result<Knob, SqlError> {
        let (name, scope) = (setting_name(name)?, self.scope(scope)?);
        let Some(value) = value else { return Ok(Knob::Reset { name: Some(name), scope }) };
        let bad = |why: String| SqlError::invalid_parameter(format!("{}: {why}", name.name()));
        let setting = match name {
            SettingName::Epsilon => {
                let epsilon = parse_duration(value).map_err(|error| bad(error.to_string()))?;
                let model = Uncertainty::fixed(epsilon).map_err(|error| bad(no_model(&error)))?;
                Setting::Uncertainty(model)
            }
            SettingName::Model => {
                let model = value.parse::<Uncertainty>();
                Setting::Uncertainty(model.map_err(|error| bad(no_model(&error)))?)
            }
            SettingName::Offset => {
                let offset = value.parse::<Offset>();
                Setting::Offset(offset.map_err(|error| bad(error.to_string()))?)
            }
            SettingName::CommitWait => Setting::CommitWait(
                on_off(value).ok_or_else(|| bad(format!("\"{value}\" is neither on nor off")))?,
            ),
            SettingName::ClockGuard => Setting::ClockGuard(
                on_off(value).ok_or_else(|| bad(format!("\"{value}\" is neither on nor off")))?,
            ),
        };
        let beyond = match unsafely {
            Unsafely::Yes => Beyond::Lie,
            Unsafely::No => Beyond::Forbidden,
        };
        Ok(Knob::Set { setting, scope, beyond })
    }

    fn procedure(&self, name: &str, arguments: &[String]) -> Result<Knob, SqlError> {
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let moved = |node: &str, aim: Aim, how: &[&str]| {
            let beyond = match how {
                [] => Beyond::Forbidden,
                ["unsafe"] => Beyond::Lie,
                _ => return Err(misused(name)),
            };
            Ok(Knob::MoveClock(self.node(node)?, aim, beyond))
        };
        let offset = |text: &str| {
            parse_offset(text).map_err(|error| SqlError::invalid_parameter(error.to_string()))
        };
        match (name, given.as_slice()) {
            ("crash_node", [node]) => Ok(Knob::Crash(self.node(node)?)),
            ("restart_node", [node]) => Ok(Knob::Restart(self.node(node)?)),
            ("pause_node", [node, lasting]) => {
                let lasting = duration(lasting, LONGEST_PAUSE)?;
                Ok(Knob::Pause(self.node(node)?, lasting))
            }
            ("cut_link", [from, to, how @ ..]) => {
                let way = match how {
                    [] => Way::Both,
                    ["one-way"] => Way::OneWay,
                    _ => return Err(misused(name)),
                };
                Ok(Knob::Cut(self.place(from)?, self.place(to)?, way))
            }
            ("heal_links", []) => Ok(Knob::Heal),
            ("set_link", [from, to, change]) => {
                Ok(Knob::Link(self.place(from)?, self.place(to)?, link_change(change)?))
            }
            ("reset_links", []) => Ok(Knob::ResetLinks),
            ("skew_clock", [node, to, how @ ..]) => moved(node, Aim::At(offset(to)?), how),
            ("step_clock", [node, by, how @ ..]) => moved(node, Aim::By(offset(by)?), how),
            ("drift_clock", [node, rate, how @ ..]) => moved(node, Aim::Drift(drift(rate)?), how),
            _ => Err(misused(name)),
        }
    }

    fn scope(&self, scope: &ScopeName) -> Result<Scope, SqlError> {
        Ok(match scope {
            ScopeName::Cluster => Scope::Cluster,
            ScopeName::Node(node) => Scope::Node(self.node(node)?),
            ScopeName::Region(name) => match self.place(name)? {
                Place::Region(region) => Scope::Region(region),
                Place::Node(_) => return Err(crate::ddl::no_region(self, name)),
            },
        })
    }

    /// A node: `3` or `n3`.
    fn node(&self, text: &str) -> Result<NodeId, SqlError> {
        let number = text.strip_prefix('n').unwrap_or(text).parse::<u32>().ok().map(NodeId);
        let nodes = self.database.0.cluster.nodes();
        let found = number.filter(|id| nodes.iter().any(|node| node.id == *id));
        found.ok_or_else(|| {
            let known: Vec<String> = nodes.iter().map(|node| node.id.0.to_string()).collect();
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("node \"{text}\" does not exist"))
                .with_hint(format!("Nodes: {}.", known.join(", ")))
        })
    }

    /// A region, else a node.
    fn place(&self, text: &str) -> Result<Place, SqlError> {
        let nodes = self.database.0.cluster.nodes();
        if nodes.iter().any(|node| node.region == text) {
            return Ok(Place::Region(text.to_owned()));
        }
        let no_region = || crate::ddl::no_region(self, text);
        self.node(text).map(Place::Node).map_err(|_| no_region())
    }
}

/// Why it is none. The limit is that of a cluster which runs, below what a model can say.
fn no_model(error: &UncertaintyError) -> String {
    match error {
        UncertaintyError::TooWide(epsilon) => format!(
            "a clock uncertainty of {} is too wide: at most {} while the cluster runs",
            format_duration(*epsilon),
            format_duration(WIDEST_TOLERATED_EPSILON)
        ),
        UncertaintyError::Unknown(_) | UncertaintyError::NoPoll => error.to_string(),
    }
}

fn setting_name(name: &str) -> Result<SettingName, SqlError> {
    SettingName::from_name(name).ok_or_else(|| unknown_setting(name))
}

/// `42704`.
pub fn unknown_setting(name: &str) -> SqlError {
    let known: Vec<&str> = SettingName::ALL.iter().map(|(_, name, _)| *name).collect();
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized cluster setting \"{name}\""))
        .with_hint(format!("Cluster settings: {}.", known.join(", ")))
}

/// `42883`: no such procedure, or not with such arguments.
fn misused(name: &str) -> SqlError {
    let known = PROCEDURES.iter().find(|known| known.split('(').next() == Some(name));
    let hint = match known {
        Some(known) => format!("Write {known}."),
        None => format!("Procedures: {}.", PROCEDURES.join(", ")),
    };
    let message = format!("no procedure meridian_internal.{name} takes these arguments");
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint)
}

fn on_off(text: &str) -> Option<OnOff> {
    match text.to_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(OnOff::On),
        "off" | "false" | "no" | "0" => Some(OnOff::Off),
        _ => None,
    }
}

fn duration(text: &str, longest: Duration) -> Result<Duration, SqlError> {
    let found = parse_duration(text).map_err(|e| SqlError::invalid_parameter(e.to_string()))?;
    if found > longest {
        let longest = format_duration(longest);
        return Err(SqlError::invalid_parameter(format!("{text} is too long: at most {longest}")));
    }
    Ok(found)
}

/// `500ppm`, `-500ppm`.
fn drift(text: &str) -> Result<i64, SqlError> {
    let rate = text.trim().strip_suffix("ppm").and_then(|rate| rate.trim().parse::<i64>().ok());
    rate.filter(|rate| rate.unsigned_abs() <= FASTEST_DRIFT_PPM.unsigned_abs()).ok_or_else(|| {
        SqlError::invalid_parameter(format!(
            "\"{text}\" is no drift: write 500ppm; at most {FASTEST_DRIFT_PPM}ppm either way"
        ))
    })
}

/// `rtt=90ms jitter=5ms loss=1%`.
fn link_change(text: &str) -> Result<LinkChange, SqlError> {
    let mut change = LinkChange::default();
    let parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
    for part in parts {
        let bad = || {
            SqlError::invalid_parameter(format!("\"{part}\" says nothing about a link")).with_hint(
                "Write some of rtt=90ms jitter=5ms loss=1% duplicate=1% reorder=1% bandwidth=100mbit.",
            )
        };
        let (name, value) = part.split_once('=').ok_or_else(bad)?;
        match name {
            "rtt" => change.rtt = Some(duration(value, LONGEST_RTT)?),
            "jitter" => change.jitter = Some(duration(value, LONGEST_RTT)?),
            "loss" => change.loss = Some(probability(value).ok_or_else(bad)?),
            "duplicate" => change.duplicate = Some(probability(value).ok_or_else(bad)?),
            "reorder" => change.reorder = Some(probability(value).ok_or_else(bad)?),
            "bandwidth" => {
                let mbit = value.strip_suffix("mbit").and_then(|mbit| mbit.parse::<u64>().ok());
                let bytes = mbit.filter(|mbit| *mbit > 0).map(|mbit| mbit.saturating_mul(125_000));
                change.bandwidth_bytes_per_s = Some(bytes.ok_or_else(bad)?);
            }
            _ => return Err(bad()),
        }
    }
    if change == LinkChange::default() {
        return Err(SqlError::invalid_parameter("nothing is to be changed of the link")
            .with_hint("Write some of rtt=90ms jitter=5ms loss=1%."));
    }
    Ok(change)
}

/// `1%` or `0.01`.
fn probability(text: &str) -> Option<f64> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0,
        None => text.parse::<f64>().ok()?,
    };
    (0.0..=1.0).contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let change = link_change("rtt=90ms, jitter=5ms loss=1%").expect("well-formed");
        let expected = LinkChange {
            rtt: Some(Duration::from_millis(90)),
            jitter: Some(Duration::from_millis(5)),
            loss: Some(0.01),
            ..LinkChange::default()
        };
        assert_eq!(change, expected);
        for bad in ["", "rtt", "rtt=5", "loss=101%", "loss=-1", "speed=3", "bandwidth=0mbit"] {
            assert_eq!(
                link_change(bad).expect_err(bad).sqlstate,
                SqlState::INVALID_PARAMETER_VALUE
            );
        }
    }

    #[test]
    fn drifts_are_read() {
        assert_eq!((drift("500ppm"), drift("-20 ppm")), (Ok(500), Ok(-20)));
        assert!(drift("500").is_err() && drift("200000ppm").is_err());
        assert!(drift("-9223372036854775808ppm").is_err(), "it has no absolute value");
    }
}
