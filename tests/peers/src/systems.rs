//! The systems that are compared, each as a cluster of processes on this machine.

mod etcd;
mod galera;
mod meridian;
mod postgres;

pub use etcd::url as etcd_url;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio_postgres::NoTls;

use crate::{Options, servers::Server, work::Work};

/// Which system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is measured.
    Meridian,
    /// Three members of etcd.
    Etcd,
    /// PostgreSQL 15 with a synchronous standby.
    Postgres,
    /// MariaDB with Galera, three nodes.
    Galera,
}

impl Kind {
    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Meridian => "Meridian",
            Kind::Etcd => "etcd",
            Kind::Postgres => "PostgreSQL",
            Kind::Galera => "Galera",
        }
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct System {
    /// Which it is.
    pub kind: Kind,
    /// The ports at which clients connect; the leader's first, where one leads.
    pub ports: Vec<u16>,
    servers: Vec<Server>,
}

impl System {
    /// The ids of its processes.
    pub fn ids(&self) -> Vec<u32> {
        self.servers.iter().map(Server::id).collect()
    }

    /// A connection to one that speaks PostgreSQL's protocol.
    pub async fn connect(&self, port: u16) -> Result<tokio_postgres::Client> {
        connect(port, self.database()).await
    }

    /// The database that its clients use.
    pub fn database(&self) -> &'static str {
        match self.kind {
            Kind::Meridian => "meridian",
            Kind::Postgres => "postgres",
            Kind::Etcd | Kind::Galera => "peers",
        }
    }
}

/// A file in folders that were made here: no other folder is emptied.
const MARK: &str = "made-by-peers";

/// All that run.
#[derive(Debug)]
pub struct Systems(Vec<System>);

impl Systems {
    /// Starts Meridian, and those peers that the work is compared with.
    pub async fn start(options: &Options, rows: &[&Work]) -> Result<Systems> {
        if options.folder.exists() {
            let ours = options.folder.join(MARK).exists();
            ensure!(ours, "{} is there and not of a former run", options.folder.display());
            fs::remove_dir_all(&options.folder).context("remove what a former run left")?;
        }
        fs::create_dir_all(&options.folder)?;
        fs::write(options.folder.join(MARK), "")?;
        let mut started = Vec::new();
        for kind in [Kind::Meridian, Kind::Etcd, Kind::Postgres, Kind::Galera] {
            if kind != Kind::Meridian && rows.iter().all(|work| work.peer != kind) {
                continue;
            }
            let folder = options.folder.join(kind.name());
            fs::create_dir_all(&folder)?;
            let system = match kind {
                Kind::Meridian => meridian::start(&options.meridian, &folder).await,
                Kind::Etcd => etcd::start(&folder).await,
                Kind::Postgres => postgres::start(&folder).await,
                Kind::Galera => galera::start(&folder).await,
            };
            let told = || format!("{} in {}", kind.name(), folder.display());
            started.push(system.with_context(told)?);
            eprintln!("{} is up", kind.name());
        }
        Ok(Systems(started))
    }

    /// One of them.
    ///
    /// # Panics
    /// If no work asked for it.
    pub fn get(&self, kind: Kind) -> &System {
        self.0.iter().find(|system| system.kind == kind).expect("it was started for this work")
    }
}

/// A connection that speaks PostgreSQL's protocol.
async fn connect(port: u16, database: &str) -> Result<tokio_postgres::Client> {
    let url = format!("host=127.0.0.1 port={port} user=root dbname={database} connect_timeout=5");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A folder of one server.
fn folder_of(parent: &Path, name: &str) -> Result<std::path::PathBuf> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Between a cluster's first answer and its first load: elections and caches settle.
const SETTLE: Duration = Duration::from_secs(2);
