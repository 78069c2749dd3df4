//! MariaDB with Galera: three nodes.
//!
//! Its promise is a weaker one: a commit is certified at all nodes and is on the disk of the one
//! that was asked; the others write it later.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use super::{Kind, System, folder_of};
use crate::servers::{Server, as_user, free_ports, give_to, output, output_of, until_ready};

/// Where Debian's package puts it.
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

/// As whom it runs: the copies of joining nodes are made by rsync, which as root would be nobody.
const USER: &str = "mysql";

/// Starts the cluster.
pub async fn start(folder: &Path) -> Result<System> {
    let ports: [u16; 3] = free_ports()?;
    let groups: [u16; 3] = free_ports()?;
    let (copies, increments): ([u16; 3], [u16; 3]) = (free_ports()?, free_ports()?);
    let addresses = groups.map(|port| format!("127.0.0.1:{port}")).join(",");
    let mut servers = Vec::new();
    for at in 0..3 {
        let name = format!("g{at}");
        let data = folder_of(folder, &name)?;
        give_to(USER, &data)?;
        let mut make = as_user(USER, "mariadb-install-db");
        make.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        make.arg("--skip-test-db").arg(format!("--datadir={}", data.display()));
        output(&mut make)?;
        let mut command = as_user(USER, "mariadbd");
        command.args(["--no-defaults", "--bind-address=127.0.0.1"]);
        command.arg(format!("--datadir={}", data.display())).arg(format!("--port={}", ports[at]));
        command.arg(format!("--socket={}", data.join("socket").display()));
        command.arg(format!("--pid-file={}", data.join("pid").display()));
        command.args(["--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"]);
        command.args(["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M"]);
        command.args(["--max-connections=200", "--skip-name-resolve"]);
        command.args(["--wsrep-on=ON", "--wsrep-cluster-name=peers", "--wsrep-sst-method=rsync"]);
        command.arg(format!("--wsrep-provider={PROVIDER}"));
        command.arg(format!("--wsrep-node-name={name}"));
        command.arg(format!("--wsrep-node-address=127.0.0.1:{}", groups[at]));
        command.arg(format!("--wsrep-sst-receive-address=127.0.0.1:{}", copies[at]));
        command.arg(format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{};ist.recv_addr=127.0.0.1:{}",
            groups[at], increments[at]
        ));
        command.arg(format!("--wsrep-cluster-address=gcomm://{addresses}"));
        if at == 0 {
            command.arg("--wsrep-new-cluster");
        }
        servers.push(Server::start(command, folder, &name)?);
        until_ready("MariaDB", || {
            let up = servers[at].is_up();
            async move {
                up?;
                let told = statement(ports[at], "SHOW STATUS LIKE 'wsrep_ready'").await?;
                ensure!(told.contains("ON"), "it is not part of its cluster: {told}");
                Ok(())
            }
        })
        .await?;
    }
    statement(ports[0], "CREATE DATABASE peers").await?;
    Ok(System { kind: Kind::Galera, ports: ports.to_vec(), servers })
}

/// What a statement prints.
async fn statement(port: u16, text: &str) -> Result<String> {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "-P", &port.to_string()]);
    output_of({
        command.args(["-e", text]);
        command
    })
    .await
}
