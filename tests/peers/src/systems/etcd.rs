//! etcd: three members.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::{Kind, SETTLE, System, folder_of};
use crate::servers::{Server, free_ports, until_ready};

/// Starts the cluster.
pub async fn start(folder: &Path) -> Result<System> {
    let peers: [u16; 3] = free_ports()?;
    let mut ports = free_ports::<3>()?.to_vec();
    let members: Vec<String> = peers
        .iter()
        .enumerate()
        .map(|(at, port)| format!("m{at}=http://127.0.0.1:{port}"))
        .collect();
    let mut servers = Vec::new();
    for (at, (peer, port)) in peers.iter().zip(&ports).enumerate() {
        let name = format!("m{at}");
        let (peer, client) =
            (format!("http://127.0.0.1:{peer}"), format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.args(["--name", &name, "--logger", "zap", "--log-level", "warn"]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"]);
        command.args(["--quota-backend-bytes", "8589934592"]);
        command.arg("--data-dir").arg(folder_of(folder, &name)?);
        servers.push(Server::start(command, folder, &name)?);
    }
    let mut leader = None;
    for (at, port) in ports.iter().enumerate() {
        let leads = until_ready("etcd", || leads(*port)).await?;
        leader = leader.or(leads.then_some(at));
    }
    ports.swap(0, leader.context("no member leads")?);
    sleep(SETTLE).await;
    Ok(System { kind: Kind::Etcd, ports, servers })
}

/// Whether the member at a port leads, once somebody does.
async fn leads(port: u16) -> Result<bool> {
    let mut client = etcd_client::Client::connect([url(port)], None).await?;
    let status = client.status().await?;
    anyhow::ensure!(status.leader() != 0, "nobody leads");
    let member = status.header().context("it has a header")?.member_id();
    Ok(status.leader() == member)
}

/// Where clients connect.
pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
