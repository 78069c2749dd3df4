//! Faults: what goes wrong, when, and for how long.
//!
//! A *plan* is a list of moments and faults. It is drawn from the seed before the run begins, so
//! that what clients do has no influence on it, or written down in a scenario
//! ([`super::scenario::Scenario`]). Every fault ends by itself; at the end of the run's first phase all of
//! them end at once.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use keys::NodeId;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Deserializer};

use crate::NodeSpec;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The power fails under some nodes at once; they start again.
    Crash {
        /// The nodes.
        nodes: Vec<u32>,
        /// How long they are down.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// A node stands still, as while a virtual machine is moved, and goes on.
    Pause {
        /// The node.
        node: u32,
        /// How long.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// A node's machine sleeps: the node stands still, and so does its machine's monotonic clock, while
    /// its wall clock is right again when it wakes (T6).
    Suspend {
        /// The node.
        node: u32,
        /// How long.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// No message passes between these nodes and all others.
    Partition {
        /// The nodes on one side.
        nodes: Vec<u32>,
        /// Which way is cut.
        #[serde(default)]
        way: Way,
        /// If given, the cut heals and comes back this often.
        flapping: Option<Span>,
        /// How long.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// All links lose, double and reorder frames.
    Noise {
        /// The probability that a frame is lost.
        loss: f64,
        /// The probability that it is doubled.
        duplicate: f64,
        /// The probability that it is overtaken.
        reorder: f64,
        /// How long.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// All links from and to a node are slow.
    SlowLinks {
        /// The node.
        node: u32,
        /// Added to each way.
        by: Span,
        /// How long.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// Each sync of a node's disk takes longer.
    SlowDisk {
        /// The node.
        node: u32,
        /// By how much.
        by: Span,
        /// How long.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// A node's next sync fails (S3): the node stops, and starts again on what the disk kept.
    FailedSync {
        /// The node.
        node: u32,
        /// How long it is down then.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// A node's next write finds the disk full; the same follows.
    FullDisk {
        /// The node.
        node: u32,
        /// How long it is down then.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// A bit of a stored value rots. Whoever reads it must notice; the node never comes back then,
    /// as after a disk is thrown away.
    BitRot {
        /// The node.
        node: u32,
    },
    /// A node's clock steps to one end of its interval: allowed, and must be harmless.
    ClockStep {
        /// The node.
        node: u32,
        /// The end.
        to: End,
    },
    /// A node's clock lies: it is off by more than it claims. Never drawn; for scenarios that show
    /// what follows.
    ClockLie {
        /// The node.
        node: u32,
        /// How far ahead it is, in milliseconds; negative: behind.
        millis: i64,
    },
    /// Somebody copies a node's folder, and later puts the copy back while the node is down for a moment:
    /// it must be refused (P0a), and stays down. Never drawn; for scenarios and modes.
    OldFolder {
        /// The node.
        node: u32,
        /// How old the copy is when it is put back.
        age: Span,
        /// How long the node is down then.
        #[serde(rename = "for")]
        lasting: Span,
    },
    /// Some range's leader hands over to a node of its choice.
    Transfer {
        /// Which of the tables' ranges, counted from 0, modulo their number.
        range: u32,
        /// Which of its replicas, likewise.
        replica: u32,
    },
    /// Some table is split at a random key.
    Split {
        /// Which of the tables, counted from 0, modulo their number.
        table: u32,
        /// The key: a number from 0 to 99, as keys of workloads end in.
        at: u32,
    },
}

/// Which way a partition cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Both ways.
    #[default]
    Both,
    /// They hear the others, who do not hear them.
    Out,
    /// The others hear them, they hear nobody.
    In,
}

/// One end of a clock's interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The clock is ahead as far as it may.
    Fast,
    /// The clock is behind as far as it may.
    Slow,
}

impl Fault {
    /// The nodes it names.
    #[must_use]
    pub fn nodes(&self) -> Vec<u32> {
        match self {
            Fault::Crash { nodes, .. } | Fault::Partition { nodes, .. } => nodes.clone(),
            Fault::Pause { node, .. }
            | Fault::Suspend { node, .. }
            | Fault::SlowLinks { node, .. }
            | Fault::SlowDisk { node, .. }
            | Fault::FailedSync { node, .. }
            | Fault::FullDisk { node, .. }
            | Fault::BitRot { node }
            | Fault::ClockStep { node, .. }
            | Fault::ClockLie { node, .. }
            | Fault::OldFolder { node, .. } => vec![*node],
            Fault::Noise { .. } | Fault::Transfer { .. } | Fault::Split { .. } => Vec::new(),
        }
    }
}

/// A duration, written with its unit: `"1.5s"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        clock::parse_duration(&text).map(Span).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clock::format_duration(self.0))
    }
}

/// A fault and when it begins, counted from the start of the run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Planned {
    /// When.
    pub at: Span,
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
}

/// Kinds of faults that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Crashes of nodes, of a region, of all.
    Crash,
    /// Nodes that stand still: processes, and machines with their clocks.
    Pause,
    /// Partitions: full, one-way, flapping, of a region.
    Partition,
    /// Loss, duplication, reordering, slow links.
    Network,
    /// Slow disks, failed syncs, full disks, rot.
    Disk,
    /// Clock steps inside ε.
    Clock,
    /// Leader transfers and splits.
    Admin,
}

impl FaultKind {
    /// All of them, with their names.
    pub const ALL: [(FaultKind, &'static str); 7] = [
        (FaultKind::Crash, "crash"),
        (FaultKind::Pause, "pause"),
        (FaultKind::Partition, "partition"),
        (FaultKind::Network, "network"),
        (FaultKind::Disk, "disk"),
        (FaultKind::Clock, "clock"),
        (FaultKind::Admin, "admin"),
    ];
}

/// Which faults are drawn: `all`, `none`, or a list like `crash,clock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultKinds(pub BTreeSet<FaultKind>);

impl FaultKinds {
    /// No faults.
    #[must_use]
    pub fn none() -> FaultKinds {
        FaultKinds(BTreeSet::new())
    }

    /// All kinds.
    #[must_use]
    pub fn all() -> FaultKinds {
        FaultKinds(FaultKind::ALL.iter().map(|(kind, _)| *kind).collect())
    }
}

impl FromStr for FaultKinds {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultKinds, String> {
        match text {
            "all" => return Ok(FaultKinds::all()),
            "none" => return Ok(FaultKinds::none()),
            _ => {}
        }
        let kind = |name: &str| {
            let found = FaultKind::ALL.iter().find(|(_, known)| *known == name);
            found.map(|(kind, _)| *kind).ok_or_else(|| {
                let known: Vec<&str> = FaultKind::ALL.iter().map(|(_, name)| *name).collect();
                format!("there are no faults \"{name}\"; there are all, none, {}", known.join(", "))
            })
        };
        text.split(',').map(|name| kind(name.trim())).collect::<Result<_, _>>().map(FaultKinds)
    }
}

impl fmt::Display for FaultKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => return f.write_str("none"),
            len if len == FaultKind::ALL.len() => return f.write_str("all"),
            _ => {}
        }
        let names = FaultKind::ALL.iter().filter(|(kind, _)| self.0.contains(kind));
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

/// The mean time between two faults of a drawn plan lies between these: some runs are quiet, some
/// are not.
const FAULT_EVERY_MILLIS: (u64, u64) = (800, 8_000);

/// Faults begin after this: first the clients shall have something to lose.
const FIRST_FAULT: Duration = Duration::from_secs(2);

/// Draws the faults of a run. At most one disk rots per run: with a second one a range of three
/// replicas might rightly never answer again.
pub fn draw(
    rng: &mut dyn Rng,
    layout: &[NodeSpec],
    kinds: &FaultKinds,
    duration: Duration,
) -> Vec<Planned> {
    let mut plan = Vec::new();
    let kinds: Vec<FaultKind> = kinds.0.iter().copied().collect();
    if kinds.is_empty() {
        return plan;
    }
    let every = rng.random_range(FAULT_EVERY_MILLIS.0..=FAULT_EVERY_MILLIS.1);
    let mut at = FIRST_FAULT;
    let mut rotten = false;
    while at < duration {
        let kind = kinds[rng.random_range(0..kinds.len())];
        let fault = draw_one(rng, layout, kind);
        let rots = matches!(fault, Fault::BitRot { .. });
        if !(rots && rotten) {
            rotten |= rots;
            plan.push(Planned { at: Span(at), fault });
        }
        at += Duration::from_millis(rng.random_range(1..=2 * every));
    }
    plan
}

fn draw_one(rng: &mut dyn Rng, layout: &[NodeSpec], kind: FaultKind) -> Fault {
    let node = layout[rng.random_range(0..layout.len())].id.0;
    match kind {
        FaultKind::Crash => {
            let lasting = span(rng, 20, 8_000);
            Fault::Crash { nodes: crashing(rng, layout, node), lasting }
        }
        FaultKind::Pause if rng.random() => Fault::Suspend { node, lasting: span(rng, 50, 8_000) },
        FaultKind::Pause => Fault::Pause { node, lasting: span(rng, 50, 8_000) },
        FaultKind::Partition => {
            let every = span(rng, 100, 1_500);
            Fault::Partition {
                nodes: cut_off(rng, layout, node),
                way: [Way::Both, Way::Both, Way::Out, Way::In][rng.random_range(0..4)],
                flapping: (rng.random_range(0..4) == 0).then_some(every),
                lasting: span(rng, 200, 10_000),
            }
        }
        FaultKind::Network if rng.random_range(0..3) == 0 => {
            Fault::SlowLinks { node, by: span(rng, 10, 500), lasting: span(rng, 500, 8_000) }
        }
        FaultKind::Network => Fault::Noise {
            loss: rng.random_range(0.0..0.1),
            duplicate: rng.random_range(0.0..0.1),
            reorder: rng.random_range(0.0..0.2),
            lasting: span(rng, 500, 8_000),
        },
        FaultKind::Disk => {
            let (by, lasting) = (span(rng, 5, 400), span(rng, 100, 8_000));
            match rng.random_range(0..8) {
                0..=3 => Fault::SlowDisk { node, by, lasting },
                4 | 5 => Fault::FailedSync { node, lasting },
                6 => Fault::FullDisk { node, lasting },
                _ => Fault::BitRot { node },
            }
        }
        FaultKind::Clock => {
            Fault::ClockStep { node, to: if rng.random() { End::Fast } else { End::Slow } }
        }
        FaultKind::Admin if rng.random_range(0..4) == 0 => {
            Fault::Split { table: rng.random_range(0..64), at: rng.random_range(0..100) }
        }
        FaultKind::Admin => {
            Fault::Transfer { range: rng.random_range(0..64), replica: rng.random_range(0..8) }
        }
    }
}

fn span(rng: &mut dyn Rng, from_millis: u64, to_millis: u64) -> Span {
    Span(Duration::from_millis(rng.random_range(from_millis..=to_millis)))
}

/// Mostly one node, sometimes its region, rarely all.
fn crashing(rng: &mut dyn Rng, layout: &[NodeSpec], node: u32) -> Vec<u32> {
    match rng.random_range(0..10) {
        0 => layout.iter().map(|spec| spec.id.0).collect(),
        1 | 2 => region_of(layout, node),
        _ => vec![node],
    }
}

/// A node, its region, or each node with even odds.
fn cut_off(rng: &mut dyn Rng, layout: &[NodeSpec], node: u32) -> Vec<u32> {
    match rng.random_range(0..4) {
        0 | 1 => vec![node],
        2 => region_of(layout, node),
        _ => {
            let mut some: Vec<u32> = layout.iter().map(|spec| spec.id.0).collect();
            some.retain(|_| rng.random());
            some
        }
    }
}

fn region_of(layout: &[NodeSpec], node: u32) -> Vec<u32> {
    let region = layout.iter().find(|spec| spec.id == NodeId(node)).map(|spec| &spec.region);
    let same = layout.iter().filter(|spec| Some(&spec.region) == region);
    same.map(|spec| spec.id.0).collect()
}

/// One line for people: `crash n1 n2 for 2s`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[u32]| {
            nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ")
        };
        match self {
            Fault::Crash { nodes, lasting } => write!(f, "crash {} for {lasting}", list(nodes)),
            Fault::Pause { node, lasting } => write!(f, "pause n{node} for {lasting}"),
            Fault::Suspend { node, lasting } => write!(f, "suspend n{node} for {lasting}"),
            Fault::Partition { nodes, way, flapping, lasting } => {
                let way = match way {
                    Way::Both => "both ways",
                    Way::Out => "outwards",
                    Way::In => "inwards",
                };
                write!(f, "cut off {}, {way}, for {lasting}", list(nodes))?;
                flapping.map_or(Ok(()), |every| write!(f, ", flapping every {every}"))
            }
            Fault::Noise { loss, duplicate, reorder, lasting } => write!(
                f,
                "noise for {lasting}: lost {:.1}%, doubled {:.1}%, overtaken {:.1}%",
                loss * 100.0,
                duplicate * 100.0,
                reorder * 100.0
            ),
            Fault::SlowLinks { node, by, lasting } => {
                write!(f, "links of n{node} slower by {by} for {lasting}")
            }
            Fault::SlowDisk { node, by, lasting } => {
                write!(f, "disk of n{node} slower by {by} for {lasting}")
            }
            Fault::FailedSync { node, lasting } => {
                write!(f, "next sync of n{node} fails, down for {lasting}")
            }
            Fault::FullDisk { node, lasting } => {
                write!(f, "disk of n{node} is full, down for {lasting}")
            }
            Fault::BitRot { node } => write!(f, "a bit rots on n{node}"),
            Fault::ClockStep { node, to: End::Fast } => {
                write!(f, "clock of n{node} steps to its fast end")
            }
            Fault::ClockStep { node, to: End::Slow } => {
                write!(f, "clock of n{node} steps to its slow end")
            }
            Fault::ClockLie { node, millis } => {
                write!(f, "clock of n{node} lies by {millis} ms")
            }
            Fault::OldFolder { node, age, lasting } => {
                write!(f, "copy the folder of n{node}, put it back after {age}, down for {lasting}")
            }
            Fault::Transfer { range, replica } => {
                write!(f, "transfer range #{range} to its replica #{replica}")
            }
            Fault::Split { table, at } => write!(f, "split table #{table} at {at}"),
        }
    }
}
