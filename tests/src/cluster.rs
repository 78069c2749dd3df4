//! Three real processes on this machine that form a cluster.

use std::{path::PathBuf, process::ExitStatus, time::Duration};

use crate::{
    process::{Folder, Process, eventually, free_ports},
    sql::Sql,
};

/// How long a cluster may take to come up, or back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three processes with RocksDB in a folder of their own.
#[derive(Debug)]
pub struct ThreeProcesses {
    folder: Folder,
    peer_ports: [u16; 3],
    sql_ports: [u16; 3],
    processes: [Option<Process>; 3],
    clock: &'static str,
}

impl ThreeProcesses {
    /// Starts three processes with this clock (`zero`, `fixed`) and waits until all serve.
    pub async fn start(purpose: &str, clock: &'static str) -> ThreeProcesses {
        let ports: [u16; 6] = free_ports();
        let mut cluster = ThreeProcesses {
            folder: Folder::new(purpose),
            peer_ports: [ports[0], ports[1], ports[2]],
            sql_ports: [ports[3], ports[4], ports[5]],
            processes: [None, None, None],
            clock,
        };
        for node in 0..3 {
            cluster.restart(node);
        }
        for node in 0..3 {
            cluster.wait_until_serving(node).await;
        }
        cluster
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{}.log", node + 1))
    }

    /// A node's data folder.
    #[must_use]
    pub fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{}", node + 1))
    }

    /// Waits until a node's process has ended by itself; how it ended.
    ///
    /// # Panics
    /// If it does not run, or does not end in time.
    pub async fn ended(&mut self, node: usize) -> ExitStatus {
        let mut process = self.processes[node].take().expect("a running node");
        eventually(&format!("node {} ends", node + 1), PATIENCE, async || {
            process.ending().ok_or("it runs")
        })
        .await
    }

    /// What a node printed, in all its lives.
    #[must_use]
    pub fn printed(&self, node: usize) -> String {
        std::fs::read_to_string(self.log(node)).unwrap_or_default()
    }

    /// Starts a node's process, on the data it left.
    ///
    /// # Panics
    /// If it runs already.
    pub fn restart(&mut self, node: usize) {
        assert!(self.processes[node].is_none(), "node {} runs", node + 1);
        let address = |port: u16| format!("127.0.0.1:{port}");
        let join: Vec<String> = self.peer_ports.iter().map(|port| address(*port)).collect();
        let data = self.data(node);
        let arguments = [
            "start".to_owned(),
            "--insecure".to_owned(),
            format!("--node-id={}", node + 1),
            "--region=local".to_owned(),
            format!("--zone=zone-{}", node + 1),
            format!("--listen={}", address(self.peer_ports[node])),
            format!("--advertise={}", address(self.peer_ports[node])),
            format!("--sql-listen={}", address(self.sql_ports[node])),
            format!("--data={}", data.display()),
            format!("--join={}", join.join(",")),
            format!("--clock={}", self.clock),
        ];
        self.processes[node] = Some(Process::start(&arguments, &self.log(node)));
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self, node: usize) {
        self.processes[node].take().expect("a running node").kill();
    }

    /// A running node's process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn process(&self, node: usize) -> &Process {
        self.processes[node].as_ref().expect("a running node")
    }

    /// Asks a node to stop and waits until it has; how it ended.
    ///
    /// # Panics
    /// If it does not run.
    pub fn terminate(&mut self, node: usize) -> ExitStatus {
        self.processes[node].take().expect("a running node").terminate()
    }

    /// Waits until a node answers a read of the catalog.
    ///
    /// # Panics
    /// If it does not, with its log.
    pub async fn wait_until_serving(&mut self, node: usize) {
        let port = self.sql_ports[node];
        eventually(&format!("node {} serves", node + 1), PATIENCE, async || {
            Sql::connect(port).await?.run("SHOW TABLES").await
        })
        .await;
    }

    /// The port where a node serves SQL.
    #[must_use]
    pub fn sql_port(&self, node: usize) -> u16 {
        self.sql_ports[node]
    }

    /// A comma-separated list of all nodes' SQL addresses.
    #[must_use]
    pub fn urls(&self) -> String {
        let url = |port: &u16| format!("postgresql://root@127.0.0.1:{port}/meridian");
        self.sql_ports.iter().map(url).collect::<Vec<_>>().join(",")
    }

    /// A connection to a node.
    ///
    /// # Panics
    /// If it does not answer in time.
    pub async fn connect(&self, node: usize) -> Sql {
        let port = self.sql_ports[node];
        eventually("connect", PATIENCE, async || Sql::connect(port).await).await
    }

    /// The node that leads a table's first range, 0 to 2.
    ///
    /// # Panics
    /// If nobody does within a minute.
    pub async fn leader_of(&self, table: &str, ask: usize) -> usize {
        let sql = self.connect(ask).await;
        let query = format!("SHOW RANGES FROM TABLE {table}");
        eventually(&format!("{table} has a leader"), PATIENCE, async || {
            let rows = sql.0.simple_query(&query).await.map_err(|error| error.to_string())?;
            for message in rows {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    let leader = row.get("leader").unwrap_or_default().to_owned();
                    let digits: String = leader.chars().filter(char::is_ascii_digit).collect();
                    return digits.parse::<usize>().map(|id| id - 1).map_err(|_| leader);
                }
            }
            Err("no range".to_owned())
        })
        .await
    }
}
