//! `meridian demo`: a whole cluster in this process, over the simulated wide-area network, with
//! knobs that any client can turn ([`sim_regions::operator`]).

mod banner;
mod folder;
mod front;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use keys::NodeId;
use net::Pace;
use range::CommitWait;
use sim_regions::{
    Cluster, ClusterOptions, NodeSpec, Topology,
    operator::{self, Operator},
};
use tokio::net::TcpListener;

use crate::{
    Ending,
    clock_flags::ClockFlags,
    engine::{self, Opener},
    live,
    tools::Workbench,
};
pub use folder::FolderLock;
use folder::{Folder, check_layout};
use front::Sockets;

/// `meridian demo`.
#[derive(Debug, Args)]
pub struct Options {
    /// one-region, three-regions, five-regions, spanner-paper, or a topology file.
    #[arg(long, default_value = "three-regions")]
    topology: String,
    /// Nodes in each region; by default what the topology says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    nodes_per_region: Option<u32>,
    /// Keep data in this folder: it survives a restart of the demo.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,
    /// Keep no data beyond the demo's end (the default).
    #[arg(long)]
    ephemeral: bool,
    /// Storage engine: memory unless --data keeps what it holds.
    #[arg(long, value_enum)]
    engine: Option<engine::Kind>,
    /// The clock of every node; by default what the topology says.
    #[command(flatten)]
    clock: ClockFlags,
    /// Whether commits wait until their timestamp is past everywhere; off needs --unsafe.
    #[arg(long, value_enum, default_value = "on")]
    commit_wait: Switch,
    /// Allow settings that break consistency on purpose.
    #[arg(long)]
    r#unsafe: bool,
    /// SQL port of node 1; node i listens on the i-th port from here.
    #[arg(long, default_value_t = 5433, value_parser = clap::value_parser!(u16).range(1..))]
    sql_port: u16,
    /// Do not open the SQL shell; run until interrupted.
    #[arg(long)]
    no_shell: bool,
    /// Write the connection strings of all nodes to this file once the cluster serves.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Measure the simulated round trips against the topology before going on.
    #[arg(long)]
    self_check: bool,
}

impl Options {
    /// The engine asked for. A demo that keeps nothing has no use for a disk.
    fn engine(&self) -> engine::Kind {
        match (self.engine, &self.data) {
            (Some(engine), _) => engine,
            (None, Some(_)) => engine::Kind::default(),
            (None, None) => engine::Kind::Memory,
        }
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// A duration as flags give it: `4ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    clock::parse_duration(text).map_err(|error| error.to_string())
}

/// Runs the demo.
pub async fn run(
    options: Options,
    traces: trace::Collector,
    lanes: frontend::Lanes,
) -> anyhow::Result<Ending> {
    let topology = topology(&options)?;
    engine::Kind::from_settings(topology.settings.engine)
        .with_context(|| format!("{}, engine", topology.name))?;
    let commit_wait = match (options.commit_wait, options.r#unsafe) {
        (Switch::On, _) => CommitWait::On,
        (Switch::Off, true) => CommitWait::UnsafeOff,
        (Switch::Off, false) => {
            bail!("--commit-wait off breaks external consistency on purpose: add --unsafe")
        }
    };
    let nodes_per_region = options.nodes_per_region.map(|nodes| nodes as usize);
    let layout = topology.node_layout(nodes_per_region);
    topology.check_clocks(&layout).map_err(anyhow::Error::msg)?;
    remove_stale(options.ready_file.as_deref())?;
    let listeners = listen(&layout, options.sql_port).await?;
    let temporary = std::env::temp_dir();
    let folder = Folder::open(options.data.as_deref(), options.engine(), &temporary)?;
    if let Folder::Kept(path, _) = &folder {
        check_layout(path, &layout)?;
    }
    let cluster_id = folder.cluster_id()?;
    let opener = Opener::new(options.engine(), &topology.settings);
    let root = folder.path().unwrap_or(Path::new("")).to_owned();
    let port = options.sql_port;
    let (desk, orders) = operator::desk();
    let cluster = Cluster::start(ClusterOptions {
        topology,
        nodes_per_region,
        replication: node::DEFAULT_REPLICATION,
        cluster: cluster_id,
        seed: live::random() as u64,
        pace: Pace::Live,
        time: sim_regions::time::live(),
        commit_wait,
        control: Arc::new(desk),
        engines: Arc::new(move |id| {
            let opened = opener.open(&root.join(format!("node-{}", id.0)), id);
            opened.map_err(|error| format!("{error:#}"))
        }),
        sql_address: Box::new(move |id| format!("127.0.0.1:{}", sql_port(port, id))),
        trace: None,
        tune: Box::new(move |config| {
            config.traces = traces.clone();
            config.sql.trace = true;
        }),
    })
    .await?;
    if let Err(error) = warm_up(&cluster, &options).await {
        cluster.stop().await;
        return Err(error);
    }
    let front = Sockets::new(listeners, port, lanes);
    let mut operator = Operator::new(cluster, orders, Box::new(front))
        .await
        .map_err(|error| anyhow::anyhow!(error))?;
    let ending = serve(&mut operator, &options, commit_wait).await;
    operator.stop().await;
    drop(folder);
    ending
}

fn topology(options: &Options) -> anyhow::Result<Topology> {
    let mut topology = Topology::load(&options.topology)?;
    if let Some(uncertainty) = options.clock.simulated()? {
        topology.clock.uncertainty = uncertainty;
        topology.clock_overrides.clear();
    }
    Ok(topology)
}

fn sql_port(first: u16, node: NodeId) -> u16 {
    first + u16::try_from(node.0 - 1).expect("checked when the ports were bound")
}

/// Binds every node's SQL port before anything else starts: a port in use is told at once.
async fn listen(layout: &[NodeSpec], first: u16) -> anyhow::Result<BTreeMap<NodeId, TcpListener>> {
    let last = (usize::from(first) + layout.len()).saturating_sub(1);
    ensure!(
        last <= usize::from(u16::MAX),
        "--sql-port {first}: no room for {} ports",
        layout.len()
    );
    let mut listeners = BTreeMap::new();
    for spec in layout {
        let address = format!("127.0.0.1:{}", sql_port(first, spec.id));
        let listener = TcpListener::bind(&address).await;
        let listener = listener.with_context(|| {
            format!("SQL port of node {}: {address} (choose another with --sql-port)", spec.id.0)
        })?;
        listeners.insert(spec.id, listener);
    }
    Ok(listeners)
}

async fn warm_up(cluster: &Cluster, options: &Options) -> anyhow::Result<()> {
    cluster.boot().await?;
    if options.self_check {
        self_check(cluster).await?;
    }
    Ok(())
}

async fn self_check(cluster: &Cluster) -> anyhow::Result<()> {
    for measured in cluster.topology().self_check(cluster.wan(), cluster.layout()).await? {
        println!("{measured}");
    }
    Ok(())
}

async fn serve(
    operator: &mut Operator,
    options: &Options,
    commit_wait: CommitWait,
) -> anyhow::Result<Ending> {
    let cluster = operator.cluster();
    print!("{}", banner::text(cluster.topology(), cluster.layout(), options, commit_wait));
    if let Some(file) = &options.ready_file {
        write_ready_file(operator.cluster(), options.sql_port, file)?;
    }
    let url = url(options.sql_port);
    tokio::select! {
        biased;
        failure = operator.run() => {
            eprintln!("meridian: {failure}");
            Ok(Ending::Failed)
        }
        ended = sit(url, options.no_shell) => ended,
    }
}

/// Until the user leaves.
async fn sit(url: String, no_shell: bool) -> anyhow::Result<Ending> {
    if no_shell {
        live::asked_to_stop().await?;
        return Ok(Ending::Clean);
    }
    let tools = Some(Box::<Workbench>::default() as Box<dyn sql_shell::Tools>);
    let shell = sql_shell::Options { url, execute: Vec::new(), format: None, tools };
    let ending = tokio::select! {
        biased;
        told = live::told_to_end() => return told.map(|()| Ending::Clean),
        ending = sql_shell::run(shell) => ending?,
    };
    match ending {
        sql_shell::Ending::Clean => Ok(Ending::Clean),
        sql_shell::Ending::Failed => Ok(Ending::Failed),
        sql_shell::Ending::Undecided => Ok(Ending::Undecided),
    }
}

fn url(port: u16) -> String {
    format!("postgresql://root@127.0.0.1:{port}/meridian")
}

/// Removes what an earlier run wrote: whoever waits for the file waits for this one. A file that
/// cannot be written is told now, not when all is ready.
pub fn remove_stale(ready_file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = ready_file else { return Ok(()) };
    let named = || format!("--ready-file {}", file.display());
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(named);
        }
        Ok(()) | Err(_) => {}
    }
    let aside = aside(file);
    std::fs::write(&aside, "").and_then(|()| std::fs::remove_file(&aside)).with_context(named)
}

/// Where a file is written before it is moved to its place.
fn aside(file: &Path) -> PathBuf {
    file.with_extension("part")
}

/// One line per node: id, region, connection string. Written aside and moved, so that whoever waits
/// for the file finds it whole.
fn write_ready_file(cluster: &Cluster, first: u16, file: &Path) -> anyhow::Result<()> {
    let line = |spec: &NodeSpec| {
        format!("{} {} {}\n", spec.id.0, spec.region, url(sql_port(first, spec.id)))
    };
    let lines: String = cluster.layout().iter().map(line).collect();
    let aside = aside(file);
    std::fs::write(&aside, lines)
        .and_then(|()| std::fs::rename(&aside, file))
        .with_context(|| format!("--ready-file {}", file.display()))
}

#[cfg(test)]
mod tests;
