//! What a trace is made of.

use std::{collections::BTreeMap, fmt, str::FromStr};

use clock::{Clock, Interval};
use keys::NodeId;
use serde::{Deserialize, Serialize};

/// Names a trace: the id of the transaction, or of the first attempt of the statement, it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace {self}")
    }
}

impl FromStr for TraceId {
    type Err = String;

    fn from_str(text: &str) -> Result<TraceId, String> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        id.map(TraceId).ok_or_else(|| format!("\"{text}\" is no trace id: 32 hexadecimal digits"))
    }
}

/// Names a span within its trace: the node that made it, and a number that this node, in all its
/// lives, never uses twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpanId {
    /// The node.
    pub node: NodeId,
    /// Its number.
    pub number: u64,
}

/// For whom something is done: travels with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span that asked for it.
    pub parent: SpanId,
}

/// A moment, as a node's clock tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The node's own interval, nanoseconds since the Unix epoch.
    pub interval: Interval,
    /// The true time where it is known; `None` on real machines.
    pub true_nanos: Option<u64>,
}

impl Stamp {
    /// Reads a clock.
    #[must_use]
    pub fn read(clock: &dyn Clock) -> Stamp {
        let interval = clock.claimed();
        let offset = clock.true_offset_nanos();
        let truth = |offset: i64| middle(interval).saturating_add_signed(-offset);
        Stamp { interval, true_nanos: offset.map(truth) }
    }

    /// So much later, by a clock that is as far off as it was.
    #[must_use]
    pub fn later(self, nanos: u64) -> Stamp {
        let Interval { earliest, latest } = self.interval;
        let interval = Interval {
            earliest: earliest.saturating_add(nanos),
            latest: latest.saturating_add(nanos),
        };
        Stamp { interval, true_nanos: self.true_nanos.map(|truth| truth.saturating_add(nanos)) }
    }

    /// Where it is drawn: the true time, or else the middle of the interval.
    #[must_use]
    pub fn nanos(&self) -> u64 {
        self.true_nanos.unwrap_or_else(|| middle(self.interval))
    }

    /// How far the clock is off, where that is known.
    #[must_use]
    pub fn offset_nanos(&self) -> Option<i64> {
        self.true_nanos.map(|truth| middle(self.interval).cast_signed() - truth.cast_signed())
    }
}

fn middle(interval: Interval) -> u64 {
    interval.middle()
}

/// What a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A transaction block, from its beginning to its end, the client's thinking included.
    Transaction,
    /// A statement at its gateway.
    Statement,
    /// An operation of a statement's plan.
    Operation,
    /// The commit at its gateway.
    Commit,
    /// A request of a gateway, until its answer.
    Call,
    /// The same request at the replica, from arrival to answer.
    Serve,
    /// Waiting for locks, or for writes and time that a read must not overtake.
    Wait,
    /// An entry of the log, from its proposal until the leader has applied it.
    Replicate,
    /// An entry at one acceptor, from its arrival until it is on disk.
    Accept,
    /// An accepted entry at a replica that does not lead, until it knows it chosen and applied it.
    Apply,
    /// From the choice of the commit timestamp until it is definitely past (T4).
    CommitWait,
}

impl Kind {
    /// All kinds, in the order in which a legend lists them.
    pub const ALL: [Kind; 11] = [
        Kind::Transaction,
        Kind::Statement,
        Kind::Operation,
        Kind::Commit,
        Kind::Call,
        Kind::Serve,
        Kind::Wait,
        Kind::Replicate,
        Kind::Accept,
        Kind::Apply,
        Kind::CommitWait,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Transaction => "transaction",
            Kind::Statement => "statement",
            Kind::Operation => "operation",
            Kind::Commit => "commit",
            Kind::Call => "call",
            Kind::Serve => "serve",
            Kind::Wait => "wait",
            Kind::Replicate => "replicate",
            Kind::Accept => "accept",
            Kind::Apply => "apply",
            Kind::CommitWait => "commit-wait",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub id: SpanId,
    /// What it is a part of; `None`: the trace itself.
    pub parent: Option<SpanId>,
    /// What it is about.
    pub kind: Kind,
    /// In words: `prepare r1016`.
    pub name: String,
    /// Its beginning.
    pub begin: Stamp,
    /// Its end; `None`: it is not over, or nobody heard of it.
    pub end: Option<Stamp>,
    /// What is known of it beyond, names and values.
    pub notes: Vec<(String, String)>,
}

impl Record {
    /// How long it took; `None`: it is not over. Zero where two nodes' clocks would make it less.
    #[must_use]
    pub fn nanos(&self) -> Option<u64> {
        Some(self.end?.nanos().saturating_sub(self.begin.nanos()))
    }

    /// A note.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A note that is a number; 0 without it.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.note(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

/// A trace as it is drawn: everything that the nodes told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Whose.
    pub id: TraceId,
    /// The spans, by their beginning.
    pub spans: Vec<Record>,
    /// Spans that were forgotten because there were too many.
    pub lost: u64,
    /// The region of each node.
    pub regions: BTreeMap<NodeId, String>,
    /// Nodes that were asked and did not answer.
    pub silent: Vec<NodeId>,
}

impl Timeline {
    /// Puts together what was told. Said twice counts once.
    #[must_use]
    pub fn new(
        id: TraceId,
        mut spans: Vec<Record>,
        lost: u64,
        regions: BTreeMap<NodeId, String>,
    ) -> Timeline {
        spans.sort_by_key(|span| (span.begin.nanos(), span.kind, span.id));
        spans.dedup_by_key(|span| span.id);
        Timeline { id, spans, lost, regions, silent: Vec::new() }
    }

    /// When it begins, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.spans.iter().map(|span| span.begin.nanos()).min().unwrap_or(0)
    }

    /// When the last of it is over, as far as is known.
    #[must_use]
    pub fn end(&self) -> u64 {
        let moments = |span: &Record| span.end.map_or(span.begin, |end| end).nanos();
        self.spans.iter().map(moments).max().unwrap_or(0).max(self.begin())
    }

    /// Whether something of it is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.spans.iter().any(|span| span.end.is_none())
    }

    /// The region of a node.
    #[must_use]
    pub fn region(&self, node: NodeId) -> &str {
        self.regions.get(&node).map_or("?", String::as_str)
    }

    /// The span that is the whole; `None`: its node did not answer.
    #[must_use]
    pub fn root(&self) -> Option<&Record> {
        self.spans.iter().find(|span| span.parent.is_none())
    }
}
