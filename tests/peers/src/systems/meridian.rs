//! Meridian: three processes of one region, with RocksDB.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{Kind, SETTLE, System, connect, folder_of};
use crate::servers::{Server, free_ports, until_ready};

/// The uncertainty of three clocks that are one clock.
const EPSILON: &str = "0.1ms";

/// Starts the cluster.
pub async fn start(program: &Path, folder: &Path) -> Result<System> {
    ensure!(program.exists(), "there is no program {}", program.display());
    let peers: [u16; 3] = free_ports()?;
    let ports: [u16; 3] = free_ports()?;
    let join = peers.map(|port| format!("127.0.0.1:{port}")).join(",");
    let mut servers = Vec::new();
    for (at, (peer, port)) in peers.iter().zip(ports).enumerate() {
        let name = format!("n{}", at + 1);
        let mut command = Command::new(program);
        command.args(["start", "--insecure", "--engine", "rocksdb", "--region", "r"]);
        command.args(["--clock", "fixed", "--epsilon", EPSILON, "--join", &join]);
        command.arg("--node-id").arg((at + 1).to_string()).arg("--zone").arg(&name);
        command.arg("--listen").arg(format!("127.0.0.1:{peer}"));
        command.arg("--sql-listen").arg(format!("127.0.0.1:{port}"));
        command.arg("--data").arg(folder_of(folder, &name)?);
        servers.push(Server::start(command, folder, &name)?);
    }
    for (server, port) in servers.iter_mut().zip(ports) {
        until_ready("Meridian", || {
            let up = server.is_up();
            async move {
                up?;
                Ok(connect(port, "meridian").await?.batch_execute("SHOW TABLES").await?)
            }
        })
        .await?;
    }
    sleep(SETTLE).await;
    Ok(System { kind: Kind::Meridian, ports: ports.to_vec(), servers })
}
