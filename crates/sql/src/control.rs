//! The knobs: what SQL may ask the process around a node to do to clocks, network and nodes.
//!
//! SQL reads `SET CLUSTER SETTING ...` and `CALL meridian_internal....`, checks names and values, and
//! hands a [`Knob`] to the [`Control`] that the process gave its nodes. What can be done is the
//! process's business: a demo owns all nodes, their clocks and the network between them; a node on a
//! machine of its own can only change what it claims of its own clock. What cannot be done is refused
//! with `0A000` (never here) or `55000` (not now), and nothing has changed then.
//!
//! ```text
//!   statement ──► parse::knobs ──► session::knobs: who is n3? ──► Control::turn(Knob)
//!                                                                   demo: all of it
//!                                                                   start: this node's clock
//! ```
//!
//! A knob that breaks a promise of the database is *unsafe*: it needs an explicit word (`unsafe` in
//! its name or as its last argument), answers with a warning, and is marked in
//! `SHOW CLUSTER SETTINGS` for as long as it holds. Nothing here lasts longer than the process.

use std::{fmt, sync::Arc, time::Duration};

use clock::{Aim, Beyond, Offset, Uncertainty};
use expr::{SqlError, SqlState};
use futures::future::BoxFuture;
use keys::NodeId;

use crate::cluster::ClockInfo;

/// The process around a node, as far as SQL may turn its knobs.
pub trait Control: Send + Sync + fmt::Debug + 'static {
    /// Turns a knob. When it resolves, the change holds.
    ///
    /// # Errors
    /// `0A000` if this process cannot do that, `55000` if it cannot now, `22023` for a value that
    /// cannot be.
    fn turn(&self, knob: Knob) -> BoxFuture<'static, Result<Turned, SqlError>>;

    /// Whether there are procedures here, to change network, nodes and clocks: asked when a node or a
    /// region that one names does not exist.
    ///
    /// # Errors
    /// `0A000` if this process has none.
    fn procedures(&self) -> Result<(), SqlError> {
        Ok(())
    }

    /// How every node is, and what the clocks of all that are not down say, at one moment; for a
    /// gateway that asks. `None`: this process does not run all nodes, so nobody here knows.
    fn survey(&self, _gateway: NodeId) -> BoxFuture<'static, Option<Vec<NodeView>>> {
        Box::pin(async { None })
    }

    /// Every setting as it is now, by name and scope (`SHOW CLUSTER SETTINGS`).
    fn settings(&self) -> BoxFuture<'static, Result<Vec<ClusterSetting>, SqlError>>;
}

/// A node, as whoever runs it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Which.
    pub node: NodeId,
    /// Whether it runs.
    pub state: NodeState,
    /// Whether links between it and the gateway that asks are whole, both ways.
    pub linked: bool,
    /// Its clock; `None` while the node is down.
    pub clock: Option<ClockInfo>,
}

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It does.
    Runs,
    /// It stands still, and goes on by itself.
    Paused,
    /// It was started and does not serve yet.
    Starts,
    /// It is down.
    Crashed,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeState::Runs => "running",
            NodeState::Paused => "paused",
            NodeState::Starts => "starting",
            NodeState::Crashed => "crashed",
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// What the person who turned it must know: each becomes a `WARNING`.
    pub warnings: Vec<String>,
}

/// One thing to be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Knob {
    /// `SET CLUSTER SETTING`.
    Set {
        /// What.
        setting: Setting,
        /// Where.
        scope: Scope,
        /// Whether a setting that is not unsafe by itself may become so.
        beyond: Beyond,
    },
    /// `RESET CLUSTER SETTING`: back to how the process began.
    Reset {
        /// What; `None`: everything.
        name: Option<SettingName>,
        /// Where.
        scope: Scope,
    },
    /// `crash_node`: the power fails under it.
    Crash(NodeId),
    /// `restart_node`: on what its disk has.
    Restart(NodeId),
    /// `pause_node`: it stands still, and goes on in the middle of what it did.
    Pause(NodeId, Duration),
    /// `cut_link`.
    Cut(Place, Place, Way),
    /// `heal_links`: every cut.
    Heal,
    /// `set_link`, both ways.
    Link(Place, Place, LinkChange),
    /// `reset_links`: every link as the topology has it; cuts stay.
    ResetLinks,
    /// `skew_clock`, `step_clock`, `drift_clock`.
    MoveClock(NodeId, Aim, Beyond),
}

/// A cluster setting with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `clock.epsilon` and `clock.model`: how wide the interval is.
    Uncertainty(Uncertainty),
    /// `clock.offset`: where within the interval the clock really is. Always an honest one.
    Offset(Offset),
    /// `unsafe.commit_wait`.
    CommitWait(OnOff),
    /// `unsafe.clock_guard`.
    ClockGuard(OnOff),
}

/// A cluster setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingName {
    /// `clock.epsilon`.
    Epsilon,
    /// `clock.model`.
    Model,
    /// `clock.offset`.
    Offset,
    /// `unsafe.clock_guard`.
    ClockGuard,
    /// `unsafe.commit_wait`.
    CommitWait,
}

impl SettingName {
    /// All of them, with their names and what they are.
    pub const ALL: [(SettingName, &'static str, &'static str); 5] = [
        (
            SettingName::Epsilon,
            "clock.epsilon",
            "Half the width of a clock's interval, constant from then on.",
        ),
        (
            SettingName::Model,
            "clock.model",
            "How epsilon behaves: zero, fixed(4ms), spanner2012, sawtooth(1ms, 200ppm, 30s), or a \
             preset.",
        ),
        (
            SettingName::Offset,
            "clock.offset",
            "Where in its interval a clock really is: centered, uniform, walk, fast, slow.",
        ),
        (
            SettingName::ClockGuard,
            "unsafe.clock_guard",
            "Whether a node stops serving when its peers prove that its clock is wrong.",
        ),
        (
            SettingName::CommitWait,
            "unsafe.commit_wait",
            "Whether commits wait until their timestamp is past everywhere (T4, T5).",
        ),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        SettingName::ALL.iter().find(|(known, ..)| *known == self).expect("all are listed").1
    }

    /// What it is.
    #[must_use]
    pub fn about(self) -> &'static str {
        SettingName::ALL.iter().find(|(known, ..)| *known == self).expect("all are listed").2
    }

    /// The setting of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<SettingName> {
        let mut all = SettingName::ALL.iter();
        all.find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(known, ..)| *known)
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

impl fmt::Display for OnOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OnOff::On => "on",
            OnOff::Off => "off",
        })
    }
}

/// Which nodes a setting is for. SQL has checked that they exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All nodes.
    Cluster,
    /// Those of a region.
    Region(String),
    /// One.
    Node(NodeId),
}

/// An end of a link. SQL has checked that it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// All nodes of a region.
    Region(String),
    /// One node.
    Node(NodeId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Region(region) => f.write_str(region),
            Place::Node(node) => write!(f, "{node}"),
        }
    }
}

/// Which direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// From the first end to the second only.
    OneWay,
}

/// What is to be changed of a link; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkChange {
    /// The mean round trip.
    pub rtt: Option<Duration>,
    /// The largest deviation of a round trip from it, either way.
    pub jitter: Option<Duration>,
    /// The probability that a frame is lost.
    pub loss: Option<f64>,
    /// The probability that a frame arrives twice.
    pub duplicate: Option<f64>,
    /// The probability that a frame is overtaken.
    pub reorder: Option<f64>,
    /// Bytes per second, each way.
    pub bandwidth_bytes_per_s: Option<u64>,
}

/// A row of `SHOW CLUSTER SETTINGS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSetting {
    /// The setting, or what else is not as it was: `net.link`, `node.state`, `clock.lie`.
    pub name: String,
    /// `cluster`, a node, or a pair of them.
    pub scope: String,
    /// As it is now.
    pub value: String,
    /// As the process began.
    pub default: String,
    /// Whether a promise of the database does not hold because of it.
    pub is_unsafe: bool,
}

/// The control of a process that has no knobs.
#[derive(Clone, Copy, Debug)]
pub struct NoControl;

impl NoControl {
    /// To be given to a node.
    #[must_use]
    pub fn shared() -> Arc<dyn Control> {
        Arc::new(NoControl)
    }
}

fn no_knobs() -> SqlError {
    let message = "this process has no knobs that could be turned";
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

impl Control for NoControl {
    fn turn(&self, _knob: Knob) -> BoxFuture<'static, Result<Turned, SqlError>> {
        Box::pin(async { Err(no_knobs()) })
    }

    fn procedures(&self) -> Result<(), SqlError> {
        Err(no_knobs())
    }

    fn settings(&self) -> BoxFuture<'static, Result<Vec<ClusterSetting>, SqlError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
