//! The pieces of work, and what each came to.

use std::{fmt, time::Duration};

use anyhow::Result;

use crate::{
    load::{self, Operation},
    systems::{Kind, System},
    tools,
};

/// A row of the table.
#[derive(Debug)]
pub struct Work {
    /// What is done.
    pub name: &'static str,
    /// With what it is compared.
    pub peer: Kind,
    /// The ratio that we want.
    pub goal: Option<f64>,
    load: Load,
}

#[derive(Clone, Copy, Debug)]
enum Load {
    /// Single keys, by clients of this program.
    Keys { operation: Operation, clients: usize, gateways: Gateways },
    /// A script of pgbench's own, on tables of [`tools::SCALE`].
    Pgbench { script: &'static str, serializable: bool },
    /// A script of sysbench's own.
    Sysbench { script: &'static str },
}

/// Which nodes the clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateways {
    /// Each its share.
    All,
    /// The first, the leader where one is known.
    One,
}

/// All rows.
pub const ROWS: [Work; 10] = [
    Work {
        name: "durable single-row writes, 64 clients, all gateways",
        peer: Kind::Etcd,
        goal: Some(2.0),
        load: Load::Keys { operation: Operation::Write, clients: 64, gateways: Gateways::All },
    },
    Work {
        name: "the same at one gateway",
        peer: Kind::Etcd,
        goal: Some(2.5),
        load: Load::Keys { operation: Operation::Write, clients: 64, gateways: Gateways::One },
    },
    Work {
        name: "durable single-row writes, one client",
        peer: Kind::Etcd,
        goal: None,
        load: Load::Keys { operation: Operation::Write, clients: 1, gateways: Gateways::One },
    },
    Work {
        name: "strong point reads, 64 clients, all gateways",
        peer: Kind::Etcd,
        goal: Some(4.0),
        load: Load::Keys { operation: Operation::Read, clients: 64, gateways: Gateways::All },
    },
    Work {
        name: "pgbench -S prepared, 16 clients",
        peer: Kind::Postgres,
        goal: Some(0.8),
        load: Load::Pgbench { script: "select-only", serializable: false },
    },
    Work {
        name: "pgbench -N prepared, 16 clients, SERIALIZABLE",
        peer: Kind::Postgres,
        goal: Some(1.0),
        load: Load::Pgbench { script: "simple-update", serializable: true },
    },
    Work {
        name: "TPC-B, scale 2, 16 clients, SERIALIZABLE, one try each",
        peer: Kind::Postgres,
        goal: Some(5.0),
        load: Load::Pgbench { script: "tpcb-like", serializable: true },
    },
    Work {
        name: "sysbench oltp_read_write, 16 clients, SERIALIZABLE",
        peer: Kind::Postgres,
        goal: None,
        load: Load::Sysbench { script: "oltp_read_write" },
    },
    Work {
        name: "sysbench oltp_read_write, 16 clients",
        peer: Kind::Galera,
        goal: None,
        load: Load::Sysbench { script: "oltp_read_write" },
    },
    Work {
        name: "sysbench oltp_update_non_index, 16 clients",
        peer: Kind::Galera,
        goal: None,
        load: Load::Sysbench { script: "oltp_update_non_index" },
    },
];

impl Work {
    /// Its name and its peer's.
    pub fn told(&self) -> String {
        format!("{}, beside {}", self.name, self.peer.name())
    }

    /// Whether the profile is taken while it runs.
    pub fn is_profiled(&self) -> bool {
        matches!(self.load, Load::Keys { operation: Operation::Write, gateways: Gateways::All, .. })
    }

    /// Makes its tables and rows, unless they are there.
    pub async fn prepare(&self, system: &System) -> Result<()> {
        match self.load {
            Load::Keys { .. } => load::prepare(system).await,
            Load::Pgbench { .. } => tools::prepare_pgbench(system).await,
            Load::Sysbench { .. } => tools::prepare_sysbench(system).await,
        }
    }

    /// Does it for so long.
    pub async fn run(&self, system: &System, time: Duration) -> Result<Outcome> {
        match self.load {
            Load::Keys { operation, clients, gateways } => {
                load::run(system, operation, clients, gateways, time).await
            }
            Load::Pgbench { script, serializable } => {
                tools::pgbench(system, script, serializable, time).await
            }
            Load::Sysbench { script } => tools::sysbench(system, script, time).await,
        }
    }
}

/// What work came to on one side.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Operations or transactions that were done, a second.
    pub per_second: f64,
    /// The share of those begun that failed with a conflict.
    pub failed: f64,
    /// The mean time of one.
    pub mean: Duration,
    /// What 99% stay below, where the tool tells.
    pub p99: Option<Duration>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}/s, mean {}", self.per_second, millis(self.mean))?;
        if let Some(p99) = self.p99 {
            write!(f, ", p99 {}", millis(p99))?;
        }
        if self.failed > 0.0 {
            write!(f, ", {:.1}% failed", self.failed * 100.0)?;
        }
        Ok(())
    }
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
