//! Scenarios: a run written down.
//!
//! ```toml
//! about = "A leader is frozen past its lease; another one takes over; the first goes on."
//! topology = "three-regions"
//! nodes-per-region = 1
//! duration = "30s"
//! workloads = ["append", "linear"]
//! epsilon = "4ms"            # of every clock; without it the topology's clocks
//! tick = "100us"             # of virtual time; without it 1 ms
//! clients = 9
//! rate = 60                  # transactions begun per virtual second
//! seed = 7                   # what the plan leaves open
//! mode = "lease-overstayed"  # breaks the database on purpose
//! drawn = "clock,network"    # faults drawn from the seed, where no faults are written down
//!
//! model = "serializable"     # what the history is held against; without it strict-serializable
//!
//! [[fault]]
//! at = "5s"
//! kind = "pause"
//! node = 1
//! for = "6s"
//!
//! [[probe]]                  # a statement at one node that must succeed in time, or must fail
//! at = "9s"
//! node = 2
//! sql = "SELECT * FROM register0"
//! within = "1s"
//! fails = false
//! sqlstate = "57M01"         # it must fail with this, in time
//! ```

use std::{fs, time::Duration};

use clock::Uncertainty;
use serde::Deserialize;
use timer::Tick;

use super::{
    Options,
    faults::{Planned, Span},
    mode::Mode,
    probe::Probe,
    workload::Workload,
};
use crate::Topology;

/// Scenarios inside the program, by name.
const SHIPPED: [(&str, &str); 3] = [
    ("paused-leader", include_str!("../../scenarios/paused-leader.toml")),
    ("lost-region", include_str!("../../scenarios/lost-region.toml")),
    ("lost-quorum", include_str!("../../scenarios/lost-quorum.toml")),
];

/// A run written down.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows.
    pub about: String,
    /// The run.
    pub options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    about: String,
    topology: Option<String>,
    nodes_per_region: Option<usize>,
    duration: Option<Span>,
    workloads: Option<Vec<String>>,
    epsilon: Option<Span>,
    tick: Option<Span>,
    clients: Option<usize>,
    rate: Option<f64>,
    seed: Option<u64>,
    mode: Option<String>,
    drawn: Option<String>,
    model: Option<String>,
    fault: Option<Vec<Planned>>,
    #[serde(default)]
    probe: Vec<Probe>,
}

impl Scenario {
    /// The names of the scenarios inside the program.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The shipped scenario of this name, or the one in this file.
    ///
    /// # Errors
    /// If there is neither, or it makes no sense.
    pub fn load(name_or_path: &str) -> Result<Scenario, String> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
            return Scenario::parse(name, text);
        }
        let text = fs::read_to_string(name_or_path).map_err(|error| {
            let shipped: Vec<&str> = Scenario::shipped().collect();
            format!("{name_or_path}: no scenario: {error}; shipped ones are {}", shipped.join(", "))
        })?;
        Scenario::parse(name_or_path, &text)
    }

    /// Reads a scenario from a text; `name` is that of its source.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn parse(name: &str, text: &str) -> Result<Scenario, String> {
        let file: File = toml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
        let wrong = |error: String| format!("{name}: {error}");
        let topology = file.topology.as_deref().unwrap_or("three-regions");
        let topology = Topology::load(topology).map_err(|error| wrong(error.to_string()))?;
        let mut options = Options::new(file.seed.unwrap_or(1), topology);
        options.nodes_per_region = file.nodes_per_region;
        options.duration = file.duration.map_or(options.duration, |span| span.0);
        if let Some(names) = file.workloads {
            let workloads = names.iter().map(|name| name.parse::<Workload>());
            options.workloads = workloads.collect::<Result<_, _>>().map_err(wrong)?;
        }
        options.epsilon = file.epsilon.map(|span| span.0);
        if let Some(tick) = file.tick {
            options.tick = Tick::new(tick.0).map_err(|error| wrong(error.to_string()))?;
        }
        options.clients = file.clients.unwrap_or(options.clients);
        options.rate = file.rate.unwrap_or(options.rate);
        if let Some(mode) = file.mode {
            options.mode = mode.parse::<Mode>().map_err(wrong)?;
        }
        if let Some(drawn) = file.drawn {
            options.faults = drawn.parse().map_err(wrong)?;
        }
        if let Some(model) = file.model {
            options.model =
                model.parse::<checker::Model>().map_err(|error| wrong(error.to_string()))?;
        }
        options.plan = file.fault;
        options.probes = file.probe;
        check(&options).map_err(wrong)?;
        Ok(Scenario { about: file.about, options })
    }
}

/// The most nodes in a region of a simulated cluster, as on the command line.
const NODES_LIMIT: usize = 100;

/// The most clients of a simulated cluster.
const CLIENTS_LIMIT: usize = 10_000;

fn check(options: &Options) -> Result<(), String> {
    if options.workloads.is_empty() {
        return Err("no workloads".to_owned());
    }
    if !(1..=CLIENTS_LIMIT).contains(&options.clients) {
        return Err(format!("clients are 1 to {CLIENTS_LIMIT}"));
    }
    if !(options.rate.is_finite() && options.rate > 0.0) {
        return Err("the rate is above zero".to_owned());
    }
    if options.nodes_per_region.is_some_and(|nodes| !(1..=NODES_LIMIT).contains(&nodes)) {
        return Err(format!("nodes-per-region is 1 to {NODES_LIMIT}"));
    }
    if options.duration == Duration::ZERO {
        return Err("the duration is above zero".to_owned());
    }
    let layout = options.topology.node_layout(options.nodes_per_region);
    match options.epsilon.map(Uncertainty::fixed) {
        None => options.topology.check_clocks(&layout)?,
        Some(Ok(clock)) => options.topology.settings.check_clock("every node", clock)?,
        Some(Err(error)) => return Err(error.to_string()),
    }
    let nodes = layout.len();
    for planned in options.plan.iter().flatten() {
        let beyond = planned.fault.nodes().into_iter().find(|n| *n == 0 || *n as usize > nodes);
        if let Some(node) = beyond {
            return Err(format!("there is no node {node} in \"{}\"", planned.fault));
        }
    }
    for probe in &options.probes {
        if probe.node == 0 || probe.node as usize > nodes {
            return Err(format!("there is no node {} for a probe", probe.node));
        }
        if probe.at.0 + probe.within.0 > options.duration {
            return Err(format!("the probe at {} does not end within the run", probe.at));
        }
    }
    Ok(())
}
