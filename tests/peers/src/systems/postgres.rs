//! PostgreSQL 15: a primary, and a standby that has each commit on its disk before it is told.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::{Kind, System, connect};
use crate::servers::{Server, as_user, free_ports, give_to, output, until_ready};

/// Where Debian's package puts the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// As whom it runs.
const USER: &str = "postgres";
/// As large as the memory that Meridian gives its engine's cache.
const SHARED_BUFFERS: &str = "512MB";

/// Starts both.
pub async fn start(folder: &Path) -> Result<System> {
    let ports: [u16; 2] = free_ports()?;
    give_to(USER, folder)?;
    let (primary, standby) = (folder.join("primary"), folder.join("standby"));
    let mut make = as_user(USER, program("initdb"));
    make.arg("-D").arg(&primary);
    output(make.args(["-U", "root", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]))?;
    let mut servers = vec![serve(&primary, ports[0], folder, "primary")?];
    let asked =
        |port| async move { Ok(connect(port, "postgres").await?.batch_execute("SELECT 1").await?) };
    until_ready("PostgreSQL", || asked(ports[0])).await?;

    let mut copy = as_user(USER, program("pg_basebackup"));
    copy.args(["-h", "127.0.0.1", "-U", "root", "-p", &ports[0].to_string(), "-R", "-D"]);
    output(copy.arg(&standby))?;
    servers.push(serve(&standby, ports[1], folder, "standby")?);
    until_ready("the standby", || asked(ports[1])).await?;

    let client = connect(ports[0], "postgres").await?;
    client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
    client.batch_execute("SELECT pg_reload_conf()").await?;
    until_ready("the standby", || async {
        let sync = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        ensure!(!client.query(sync, &[]).await?.is_empty(), "the standby is not synchronous");
        Ok(())
    })
    .await?;
    Ok(System { kind: Kind::Postgres, ports: vec![ports[0]], servers })
}

fn serve(data: &Path, port: u16, folder: &Path, name: &str) -> Result<Server> {
    let mut command = as_user(USER, program("postgres"));
    command.arg("-D").arg(data).args(["-p", &port.to_string(), "-k", ""]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
    command.arg("-c").arg(format!("shared_buffers={SHARED_BUFFERS}"));
    Server::start(command, folder, name)
}

fn program(name: &str) -> PathBuf {
    Path::new(PROGRAMS).join(name)
}
