//! A topology: regions, zones, nodes, the paths between them, and their clocks.

mod check;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use clock::{SwitchableClock, TrueTime};
use keys::NodeId;
use net::{LinkSpec, Pace, SimWan};

pub use check::{Measured, SelfCheckError};

use crate::{
    ClockConfig, ConfigError, Settings,
    config::{Source, raw},
};

/// The topologies inside the program, by name.
const SHIPPED: [(&str, &str); 4] = [
    ("one-region", include_str!("../topologies/one-region.toml")),
    ("three-regions", include_str!("../topologies/three-regions.toml")),
    ("five-regions", include_str!("../topologies/five-regions.toml")),
    ("spanner-paper", include_str!("../topologies/spanner-paper.toml")),
];

/// The most regions in a topology.
const REGION_LIMIT: usize = 64;

/// The most nodes in a region.
const REGION_NODES_LIMIT: usize = 1000;

/// The longest round trip that is believed: beyond it somebody mistook a unit.
const RTT_LIMIT: Duration = Duration::from_secs(60);

/// Nodes of a region where neither the file nor the command line says how many.
const DEFAULT_NODES: usize = 3;

/// The shape of a cluster. Validated: every pair of regions has a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// Its name, for people.
    pub name: String,
    /// The regions, in the order of the file. At least one.
    pub regions: Vec<Region>,
    /// How clocks behave; to be changed before clocks are built from it.
    pub clock: ClockConfig,
    /// Nodes whose clocks behave differently.
    pub clock_overrides: BTreeMap<NodeId, ClockConfig>,
    /// Where the file says so: `two.toml, line 5`.
    clock_places: BTreeMap<NodeId, String>,
    /// What the nodes are told.
    pub settings: Settings,
    /// Between nodes of one zone.
    local: PathSpec,
    /// Between zones of one region.
    zones: PathSpec,
    /// Between regions, by their positions, the smaller first.
    paths: BTreeMap<(usize, usize), PathSpec>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its zones; at least one.
    pub zones: Vec<String>,
    /// How many nodes it has unless told otherwise; at least one.
    pub nodes: usize,
}

/// A node's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its id, counted from 1.
    pub id: NodeId,
    /// Its region.
    pub region: String,
    /// Its zone within the region.
    pub zone: String,
}

/// The path between two places, there and back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PathSpec {
    /// The mean round trip; half of it each way.
    pub rtt: Duration,
    /// The largest deviation of a round trip from its mean.
    pub jitter: Duration,
    /// Bytes per second from one node to another; `None` is without limit.
    pub bandwidth_bytes_per_s: Option<u64>,
    /// The probability that a frame is lost.
    pub loss: f64,
}

impl PathSpec {
    /// One direction of the path.
    #[must_use]
    pub fn one_way(self) -> LinkSpec {
        LinkSpec {
            delay: self.rtt / 2,
            jitter: self.jitter / 2,
            bandwidth_bytes_per_s: self.bandwidth_bytes_per_s,
            loss: self.loss,
            ..LinkSpec::default()
        }
    }
}

impl Topology {
    /// The names of the topologies inside the program.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The shipped topology of this name, or the one in the file of this name.
    ///
    /// # Errors
    /// If there is neither, or the file is malformed.
    pub fn load(name_or_path: &str) -> Result<Topology, ConfigError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
            return Topology::parse(name, text);
        }
        let source = Source { name: name_or_path, text: "" };
        let path = Path::new(name_or_path);
        let text = fs::read_to_string(path).map_err(|error| {
            let shipped: Vec<&str> = Topology::shipped().collect();
            let shipped = shipped.join(", ");
            source.error(format!("no topology: {error}; shipped ones are {shipped}"))
        })?;
        Topology::parse(name_or_path, &text)
    }

    /// Reads a topology from a text; `name` is that of its source.
    ///
    /// # Errors
    /// If it is malformed, or makes no sense.
    pub fn parse(name: &str, text: &str) -> Result<Topology, ConfigError> {
        let source = Source { name, text };
        let file = raw::read(source)?;
        let regions = regions(source, &file)?;
        let network = &file.network;
        let inherited = PathSpec {
            bandwidth_bytes_per_s: bandwidth(source, network.bandwidth_mbit.as_ref())?,
            loss: loss(source, network.loss.as_ref())?,
            ..PathSpec::default()
        };
        let span = |given: &Option<toml::Spanned<raw::Span>>, default_micros| {
            let given = given.as_ref().map(|given| given.get_ref().0);
            given.unwrap_or(Duration::from_micros(default_micros))
        };
        let within = |rtt, jitter| PathSpec { rtt, jitter, ..inherited };
        for (field, given) in [
            ("local_rtt", &network.local_rtt),
            ("zone_rtt", &network.zone_rtt),
            ("zone_jitter", &network.zone_jitter),
        ] {
            if let Some(given) = given.as_ref().filter(|given| given.get_ref().0 > RTT_LIMIT) {
                let message = format!("at most {}", clock::format_duration(RTT_LIMIT));
                return Err(source.error_at(given.span(), field, message));
            }
        }
        let clock = file.clock.default_config(source)?;
        let (mut clock_overrides, mut clock_places) = (BTreeMap::new(), BTreeMap::new());
        for given in &file.clock.r#override {
            let node = NodeId(*given.node.get_ref());
            if clock_overrides.insert(node, given.config(source, clock)?).is_some() {
                let message = format!("{node} has two clocks");
                return Err(source.error_at(given.node.span(), "node", message));
            }
            clock_places.insert(node, source.place(given.node.span()));
        }
        Ok(Topology {
            name: file.name.clone().unwrap_or_else(|| name.to_owned()),
            paths: paths(source, &file, &regions, inherited)?,
            regions,
            clock,
            clock_overrides,
            clock_places,
            settings: file.settings.checked(source)?,
            local: within(span(&network.local_rtt, 100), Duration::ZERO),
            zones: within(span(&network.zone_rtt, 500), span(&network.zone_jitter, 0)),
        })
    }

    /// The nodes: region by region in the order of the file, the zones of a region in turn.
    /// `nodes_per_region` overrides what the file says.
    #[must_use]
    pub fn node_layout(&self, nodes_per_region: Option<usize>) -> Vec<NodeSpec> {
        let places = self.regions.iter().flat_map(|region| {
            let count = nodes_per_region.unwrap_or(region.nodes);
            let zones = region.zones.iter().cycle().take(count);
            zones.map(|zone| (region.name.clone(), zone.clone()))
        });
        (1..)
            .zip(places)
            .map(|(id, (region, zone))| NodeSpec { id: NodeId(id), region, zone })
            .collect()
    }

    /// Whether these nodes can be started with the clocks this topology gives them.
    ///
    /// # Errors
    /// What does not fit, for people: a clock that nobody would believe, a clock of a node that is
    /// not there.
    pub fn check_clocks(&self, nodes: &[NodeSpec]) -> Result<(), String> {
        for node in self.clock_overrides.keys() {
            if nodes.iter().all(|spec| spec.id != *node) {
                let place = self.clock_places.get(node).unwrap_or(&self.name);
                let count = nodes.len();
                return Err(format!(
                    "{place}: a clock for {node}, but there are {count} nodes only"
                ));
            }
        }
        for spec in nodes {
            let own = self.clock_overrides.get(&spec.id);
            let place = self.clock_places.get(&spec.id).filter(|_| own.is_some());
            let whose = place.map_or_else(String::new, |place| format!("{place}: "));
            let clock = own.unwrap_or(&self.clock);
            self.settings.check_clock(&format!("{whose}{}", spec.id), clock.uncertainty)?;
        }
        Ok(())
    }

    /// The path between two nodes.
    ///
    /// # Panics
    /// If one of them is in no region of this topology.
    #[must_use]
    pub fn path(&self, a: &NodeSpec, b: &NodeSpec) -> PathSpec {
        if a.id == b.id {
            return PathSpec::default();
        }
        if a.region != b.region {
            let (i, j) = (self.position(&a.region), self.position(&b.region));
            return self.paths[&(i.min(j), i.max(j))];
        }
        if a.zone == b.zone { self.local } else { self.zones }
    }

    /// The simulated network between these nodes, not yet armed. The caller attaches them.
    ///
    /// # Panics
    /// As [`SimWan::new`] does, and [`Topology::path`].
    #[must_use]
    pub fn build_wan(&self, nodes: &[NodeSpec], pace: Pace, seed: u64) -> Arc<SimWan> {
        let wan = SimWan::new(pace, seed);
        for from in nodes {
            for to in nodes {
                wan.set_link(from.id, to.id, self.path(from, to).one_way());
            }
        }
        wan
    }

    /// The simulated clock of a node. Nodes differ by their ids, runs by their seeds.
    #[must_use]
    pub fn build_clock(&self, node: NodeId, time: &TrueTime, seed: u64) -> Arc<SwitchableClock> {
        let config = self.clock_overrides.get(&node).copied().unwrap_or(self.clock);
        let own_seed = seed.rotate_left(32) ^ u64::from(node.0);
        let ClockConfig { uncertainty, offset } = config;
        Arc::new(SwitchableClock::simulated(time.clone(), uncertainty, offset, own_seed))
    }

    fn position(&self, region: &str) -> usize {
        let position = self.regions.iter().position(|known| known.name == region);
        position.unwrap_or_else(|| panic!("{} has no region {region}", self.name))
    }
}

/// Bytes per second.
fn bandwidth(
    source: Source<'_>,
    given: Option<&toml::Spanned<u64>>,
) -> Result<Option<u64>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    match *given.get_ref() {
        0 => {
            let message = "nothing would pass: at least 1, or leave it out for no limit";
            Err(source.error_at(given.span(), "bandwidth_mbit", message))
        }
        mbit => Ok(Some(mbit.saturating_mul(1_000_000 / 8))),
    }
}

fn loss(source: Source<'_>, given: Option<&toml::Spanned<f64>>) -> Result<f64, ConfigError> {
    let Some(given) = given else { return Ok(0.0) };
    let loss = *given.get_ref();
    if !(0.0..1.0).contains(&loss) {
        let message = format!("{loss} is no probability to lose a frame: at least 0, below 1");
        return Err(source.error_at(given.span(), "loss", message));
    }
    Ok(loss)
}

fn regions(source: Source<'_>, file: &raw::File) -> Result<Vec<Region>, ConfigError> {
    if file.region.is_empty() || file.region.len() > REGION_LIMIT {
        return Err(source.error(format!("a topology has 1 to {REGION_LIMIT} [[region]] sections")));
    }
    let mut regions: Vec<Region> = Vec::new();
    for given in &file.region {
        let region = given.get_ref();
        let name = region.name.get_ref();
        let at_name = |message: String| source.error_at(region.name.span(), "name", message);
        if name.is_empty() {
            return Err(at_name("a region needs a name".to_owned()));
        }
        let digits = name.strip_prefix('n').unwrap_or(name);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(at_name(format!("\"{name}\" is how a node is called: name the place")));
        }
        if regions.iter().any(|known| known.name == *name) {
            return Err(at_name(format!("there is a region \"{name}\" already")));
        }
        let zones = zones(source, region)?;
        let nodes = match &region.nodes {
            None => DEFAULT_NODES,
            Some(nodes) if (1..=REGION_NODES_LIMIT).contains(nodes.get_ref()) => *nodes.get_ref(),
            Some(nodes) => {
                let message = format!("a region has 1 to {REGION_NODES_LIMIT} nodes");
                return Err(source.error_at(nodes.span(), "nodes", message));
            }
        };
        regions.push(Region { name: name.clone(), zones, nodes });
    }
    Ok(regions)
}

fn zones(source: Source<'_>, region: &raw::Region) -> Result<Vec<String>, ConfigError> {
    let Some(given) = &region.zones else { return Ok(vec!["a".to_owned()]) };
    let mut zones = Vec::new();
    for zone in given {
        if zone.get_ref().is_empty() || zones.contains(zone.get_ref()) {
            let message = format!("zone \"{}\" is named twice or not at all", zone.get_ref());
            return Err(source.error_at(zone.span(), "zones", message));
        }
        zones.push(zone.get_ref().clone());
    }
    if zones.is_empty() {
        return Err(source.error_at(region.name.span(), "zones", "a region has at least one zone"));
    }
    Ok(zones)
}

/// The paths between regions: exactly one for each pair. Round trips need not obey the triangle
/// inequality: the Internet's do not either.
fn paths(
    source: Source<'_>,
    file: &raw::File,
    regions: &[Region],
    inherited: PathSpec,
) -> Result<BTreeMap<(usize, usize), PathSpec>, ConfigError> {
    let mut paths = BTreeMap::new();
    for given in &file.link {
        let link = given.get_ref();
        let at_ends = |message: String| source.error_at(link.between.span(), "between", message);
        let mut ends = [0; 2];
        for (end, name) in ends.iter_mut().zip(link.between.get_ref()) {
            *end = regions
                .iter()
                .position(|region| region.name == *name.get_ref())
                .ok_or_else(|| at_ends(format!("there is no region \"{}\"", name.get_ref())))?;
        }
        let [a, b] = ends;
        if a == b {
            return Err(at_ends("a link is between two regions; see [network] for one".to_owned()));
        }
        let path = path(source, link, inherited)?;
        if paths.insert((a.min(b), a.max(b)), path).is_some() {
            let message = "there is a link between these two already: one serves both directions";
            return Err(at_ends(message.to_owned()));
        }
    }
    for (i, a) in regions.iter().enumerate() {
        for (j, b) in regions.iter().enumerate().skip(i + 1) {
            if !paths.contains_key(&(i, j)) {
                let (a, b) = (&a.name, &b.name);
                let message = format!("no [[link]] between \"{a}\" and \"{b}\": how far are they?");
                return Err(source.error(message));
            }
        }
    }
    Ok(paths)
}

fn path(
    source: Source<'_>,
    link: &raw::Link,
    inherited: PathSpec,
) -> Result<PathSpec, ConfigError> {
    let rtt = link.rtt.get_ref().0;
    if rtt > RTT_LIMIT {
        let limit = clock::format_duration(RTT_LIMIT);
        return Err(source.error_at(link.rtt.span(), "rtt", format!("at most {limit}")));
    }
    let jitter = link.jitter.as_ref().map_or(Duration::ZERO, |jitter| jitter.get_ref().0);
    if let Some(given) = link.jitter.as_ref().filter(|_| jitter > rtt) {
        let message = "a round trip cannot deviate by more than itself";
        return Err(source.error_at(given.span(), "jitter", message));
    }
    let bandwidth = bandwidth(source, link.bandwidth_mbit.as_ref())?;
    Ok(PathSpec {
        rtt,
        jitter,
        bandwidth_bytes_per_s: bandwidth.or(inherited.bandwidth_bytes_per_s),
        loss: if link.loss.is_some() { loss(source, link.loss.as_ref())? } else { inherited.loss },
    })
}

#[cfg(test)]
mod tests;
