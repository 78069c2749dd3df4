//! The settings of a node on a machine of its own: `meridian start`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clock::ClockModel;
use keys::NodeId;
use toml::Spanned;

use super::{ConfigError, EngineKind, Settings, error::Source, raw};

/// The most addresses a join list may name.
const JOIN_LIMIT: usize = 64;

/// What `meridian start` needs to know, complete and consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its id; above zero.
    pub id: NodeId,
    /// Its region.
    pub region: String,
    /// Its zone within the region.
    pub zone: String,
    /// `host:port` on which it listens for other nodes.
    pub listen: String,
    /// `host:port` under which they reach it; `listen` unless told otherwise.
    pub advertise: String,
    /// `host:port` on which it serves SQL.
    pub sql_listen: String,
    /// The folder that holds its data; `None` only with the engine in memory.
    pub data: Option<PathBuf>,
    /// The advertised addresses of the nodes that form the cluster, this one among them.
    pub join: Vec<String>,
    /// Who says how wrong its clock may be.
    pub clock: ClockModel,
    /// The rest.
    pub settings: Settings,
}

/// What the command line says about a node; each of it wins over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePatch {
    /// `--node-id`.
    pub id: Option<u32>,
    /// `--region`.
    pub region: Option<String>,
    /// `--zone`.
    pub zone: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--advertise`.
    pub advertise: Option<String>,
    /// `--sql-listen`.
    pub sql_listen: Option<String>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--join`; empty is not given.
    pub join: Vec<String>,
    /// `--clock` and `--epsilon`.
    pub clock: Option<ClockModel>,
    /// `--engine`.
    pub engine: Option<EngineKind>,
}

impl NodeConfig {
    /// Reads a node's settings from a file and the command line.
    ///
    /// # Errors
    /// If the file cannot be read, is malformed, or something is missing in both.
    pub fn load(file: Option<&Path>, patch: NodePatch) -> Result<NodeConfig, ConfigError> {
        let Some(path) = file else { return NodeConfig::parse("command line", "", patch) };
        let name = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| Source { name: &name, text: "" }.error(error.to_string()))?;
        NodeConfig::parse(&name, &text, patch)
    }

    /// The same from a text.
    ///
    /// # Errors
    /// If the text is malformed, or something is missing in it and on the command line.
    pub fn parse(name: &str, text: &str, patch: NodePatch) -> Result<NodeConfig, ConfigError> {
        let source = Source { name, text };
        let file = raw::read(source)?;
        let mut settings = file.settings.checked(source)?;
        settings.engine = patch.engine.or(settings.engine);
        let clock = patch.clock.unwrap_or_else(|| file.clock.of_machine());
        let node = file.node.unwrap_or_default();

        let missing = |field: &str, flag: &str| {
            let message = format!("missing: set it in [node] or with --{flag}");
            ConfigError { field: Some(field.to_owned()), ..source.error(message) }
        };
        let address =
            |field: &str, flag, given: Option<String>, written: Option<Spanned<String>>| {
                let written = written.map(|written| checked_address(source, field, &written));
                let given = given.map(|given| check_address(&given).map(|()| given));
                match (given, written) {
                    (Some(given), _) => given.map_err(|message| ConfigError {
                        field: Some(format!("--{flag}")),
                        ..source.error(message)
                    }),
                    (None, Some(written)) => written,
                    (None, None) => Err(missing(field, flag)),
                }
            };
        let id = match (patch.id, &node.id) {
            (Some(id), _) => id,
            (None, Some(id)) => *id.get_ref(),
            (None, None) => return Err(missing("id", "node-id")),
        };
        if id == 0 {
            return Err(source.error("0 is no node id: count from 1"));
        }
        // What a source on the machine says is held against the limit at each reading.
        if let ClockModel::Vouched(uncertainty) = clock {
            let checked = settings.check_clock("this node", uncertainty);
            checked.map_err(|message| source.error(message))?;
        }
        let listen = address("listen", "listen", patch.listen, node.listen)?;
        let advertise = match (&patch.advertise, &node.advertise) {
            (None, None) => listen.clone(),
            _ => address("advertise", "advertise", patch.advertise, node.advertise)?,
        };
        let data = patch.data.or(node.data.map(PathBuf::from));
        if data.is_none() && settings.engine != Some(EngineKind::Memory) {
            return Err(missing("data", "data"));
        }
        let region = patch.region.or(node.region).ok_or_else(|| missing("region", "region"))?;
        let zone = patch.zone.or(node.zone).unwrap_or_else(|| "a".to_owned());
        for (field, name) in [("region", &region), ("zone", &zone)] {
            if name.trim().is_empty() {
                return Err(source.error(format!("a {field} needs a name")));
            }
        }
        Ok(NodeConfig {
            id: NodeId(id),
            region,
            zone,
            sql_listen: address("sql_listen", "sql-listen", patch.sql_listen, node.sql_listen)?,
            join: join_list(source, patch.join, node.join, &advertise)?,
            listen,
            advertise,
            data,
            clock,
            settings,
        })
    }
}

/// The join list in order, without repetitions, with the node's own address in it.
fn join_list(
    source: Source<'_>,
    given: Vec<String>,
    written: Option<Vec<Spanned<String>>>,
    advertise: &str,
) -> Result<Vec<String>, ConfigError> {
    let mut join = Vec::new();
    if given.is_empty() {
        for address in written.unwrap_or_default() {
            join.push(checked_address(source, "join", &address)?);
        }
    } else {
        for address in given {
            let field = Some("--join".to_owned());
            check_address(&address)
                .map_err(|message| ConfigError { field, ..source.error(message) })?;
            join.push(address);
        }
    }
    join.push(advertise.to_owned());
    join.sort_unstable();
    join.dedup();
    if join.len() > JOIN_LIMIT {
        return Err(source.error(format!("a join list names at most {JOIN_LIMIT} addresses")));
    }
    Ok(join)
}

fn checked_address(
    source: Source<'_>,
    field: &str,
    address: &Spanned<String>,
) -> Result<String, ConfigError> {
    check_address(address.get_ref())
        .map_err(|message| source.error_at(address.span(), field, message))?;
    Ok(address.get_ref().clone())
}

/// Whether a text reads `host:port`. Names are not looked up: that is for whoever connects.
fn check_address(address: &str) -> Result<(), String> {
    let parts = address.rsplit_once(':');
    let valid = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if valid { Ok(()) } else { Err(format!("\"{address}\" is no address: write host:port")) }
}
