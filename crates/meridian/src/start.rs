//! `meridian start`: one node as a process of its own, over gRPC.

mod knobs;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use net::{
    ClusterId, GrpcOptions, GrpcTransport, NodeInfo, PROTOCOL_VERSION, Transport, join_hash,
};
use node::{FollowLoad, Leaders, Node, NodeConfig, Seams, Seed, StartError, readers::ReadPool};
use sim_regions::{
    NodePatch,
    config::{NodeConfig as Settings, SHARDS_LIMIT},
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Ending,
    clock_flags::ClockFlags,
    demo::{FolderLock, remove_stale},
    engine::{self, Opener},
    join, live, machine,
};
use knobs::OwnClock;

/// `meridian start`.
#[derive(Debug, Args)]
pub struct Options {
    /// Settings file; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// This node's id, from 1; unique in the cluster, for ever.
    #[arg(long)]
    node_id: Option<u32>,
    /// The region the node is in.
    #[arg(long)]
    region: Option<String>,
    /// The zone within the region.
    #[arg(long)]
    zone: Option<String>,
    /// Where to listen for other nodes.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where other nodes reach this one; --listen unless told otherwise.
    #[arg(long, value_name = "ADDR")]
    advertise: Option<String>,
    /// Where to serve SQL.
    #[arg(long, value_name = "ADDR")]
    sql_listen: Option<String>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The advertised addresses of all nodes that form the cluster: the same list on each.
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',')]
    join: Vec<String>,
    /// What is claimed of the machine's clock.
    #[command(flatten)]
    clock: ClockFlags,
    /// Storage engine.
    #[arg(long, value_enum)]
    engine: Option<engine::Kind>,
    /// Run without TLS and passwords: whoever reaches the ports is trusted. There is no other way
    /// yet.
    #[arg(long)]
    insecure: bool,
    /// Write this node's connection string to this file once it serves.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Options {
    fn settings(&self) -> anyhow::Result<Settings> {
        let patch = NodePatch {
            id: self.node_id,
            region: self.region.clone(),
            zone: self.zone.clone(),
            listen: self.listen.clone(),
            advertise: self.advertise.clone(),
            sql_listen: self.sql_listen.clone(),
            data: self.data.clone(),
            join: self.join.clone(),
            clock: self.clock.model()?,
            engine: self.engine.map(Into::into),
        };
        Ok(Settings::load(self.config.as_deref(), patch)?)
    }
}

/// Runs the node until it is asked to stop, its disk fails, or the others refuse it because it came
/// back without its data, or with an older copy of it.
pub async fn run(
    options: Options,
    traces: trace::Collector,
    lanes: frontend::Lanes,
) -> anyhow::Result<Ending> {
    ensure!(
        options.insecure,
        "there is no TLS yet and no password: start with --insecure if only trusted hosts reach \
         the ports"
    );
    let settings = options.settings()?;
    remove_stale(options.ready_file.as_deref())?;
    eprintln!(
        "meridian: --insecure: whoever reaches {} or {} is trusted",
        settings.listen, settings.sql_listen
    );
    let kind = engine::Kind::from_settings(settings.settings.engine)?;
    if settings.data.is_some() {
        kind.check_keeps("--data")?;
    }
    let clock = Arc::new(machine::clock(settings.clock)?);
    let peers = bind(&settings.listen, "--listen").await?;
    let clients = bind(&settings.sql_listen, "--sql-listen").await?;
    let folder = settings.data.clone().unwrap_or_default();
    let _lock = take_folder(kind, &folder)?;
    let (engine, disk) =
        match Opener::new(kind, &settings.settings).open(&folder.join("store"), settings.id) {
            Ok(opened) => opened,
            Err(error) if engine::is_corrupted(&error) => return Ok(failed(&error)),
            Err(error) => return Err(error),
        };
    let stored = node::stored_identity(engine.as_ref())?;
    let info = node_info(&settings, stored.as_ref().map(|identity| ClusterId(identity.cluster)));
    let (transport, inbox) = GrpcTransport::start(info, peers, GrpcOptions::default());
    let joined =
        join::join(&transport, &settings.join, stored, || ClusterId(live::random())).await?;
    let mut config = NodeConfig::new(settings.id, joined.cluster, joined.members);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.shards = cores.min(SHARDS_LIMIT);
    config.leaders = Leaders::Follow(FollowLoad::default());
    sim_regions::apply_settings(&mut config, &settings.settings);
    let seed = Seed(live::random() as u64);
    config.sql.seed = seed.0;
    config.traces = traces;
    let way: Arc<dyn Transport> = transport.clone();
    let control = Arc::new(OwnClock::new(settings.id, Arc::clone(&clock)));
    let readers = ReadPool::start(cores).context("start the threads that read")?;
    let readers = Arc::new(readers);
    let seams = Seams { clock, transport: way, inbox, engine, disk, readers, seed, control };
    let node = match Node::start(config, seams).await {
        Ok(node) => node,
        Err(StartError::Engine(error)) => return Ok(failed(&error)),
        Err(StartError::ClockBehind(error)) => return Ok(failed(&error)),
        Err(error @ StartError::Identity(_)) => return Err(error.into()),
    };
    // The identity is durable now, so the others may learn of the cluster from this node.
    transport.set_cluster(joined.cluster);
    let ending = serve(&node, clients, lanes, &settings, options.ready_file).await;
    node.stop().await;
    ending
}

/// The disk is at fault, and not what was asked for: told in one line.
fn failed(error: &dyn std::fmt::Display) -> Ending {
    eprintln!("meridian: {error:#}");
    Ending::Failed
}

/// Makes the data folder and takes it for this process; an engine in memory has none.
fn take_folder(kind: engine::Kind, folder: &Path) -> anyhow::Result<Option<FolderLock>> {
    if kind == engine::Kind::Memory {
        return Ok(None);
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("create the data folder {}", folder.display()))?;
    FolderLock::take(folder).map(Some)
}

async fn bind(address: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address}"))
}

fn node_info(settings: &Settings, cluster: Option<ClusterId>) -> NodeInfo {
    NodeInfo {
        cluster: cluster.unwrap_or_default(),
        node: settings.id,
        region: settings.region.clone(),
        zone: settings.zone.clone(),
        address: settings.advertise.clone(),
        sql_address: settings.sql_listen.clone(),
        protocol: PROTOCOL_VERSION,
        join_hash: join_hash(&settings.join),
    }
}

/// How long a node that is asked to stop hands its ranges over: less than what it saves the others, which
/// would wait for its leases.
const HAND_OVER: Duration = Duration::from_secs(2);

async fn serve(
    node: &Node,
    clients: TcpListener,
    lanes: frontend::Lanes,
    settings: &Settings,
    ready_file: Option<PathBuf>,
) -> anyhow::Result<Ending> {
    tokio::select! {
        biased;
        failure = node.failed() => {
            eprintln!("meridian: {failure}");
            return Ok(Ending::Failed);
        }
        stopped = live::asked_to_stop() => {
            stopped?;
            return Ok(Ending::Clean);
        }
        () = node.admitted() => {}
    }
    let (stop, stopping) = watch::channel(false);
    let secret_seed = live::random() as u64;
    let options = frontend::Options { secret_seed, lanes, ..Default::default() };
    let server = tokio::spawn(frontend::serve(clients, node.database().clone(), options, stopping));
    let url = format!("postgresql://root@{}/meridian", settings.sql_listen);
    eprintln!("meridian: node {} in {} serves SQL: {url}", settings.id.0, settings.region);
    if let Some(file) = ready_file {
        std::fs::write(&file, format!("{url}\n"))
            .with_context(|| format!("--ready-file {}", file.display()))?;
    }
    let ending = tokio::select! {
        biased;
        failure = node.failed() => {
            eprintln!("meridian: {failure}");
            Ending::Failed
        }
        stopped = live::asked_to_stop() => {
            stopped?;
            Ending::Clean
        }
    };
    stop.send_replace(true);
    server.await?;
    if ending == Ending::Clean && !node.hand_over(HAND_OVER).await {
        eprintln!(
            "meridian: not every range has another leader yet: the others wait for its lease"
        );
    }
    Ok(ending)
}
