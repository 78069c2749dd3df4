//! A demo in memory, as its own process.

use std::{
    net::TcpListener,
    process::{ChildStdin, ExitStatus},
    time::Duration,
};

use crate::{
    process::{Folder, Process, eventually},
    sql::Sql,
};

/// How long a demo may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes of the topology `one-region`.
const NODES: u16 = 3;

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    process: Process,
    _folder: Folder,
    first_port: u16,
    nodes: u16,
}

impl Demo {
    /// Starts a demo on three free ports in a row and waits until its ready file is written.
    ///
    /// # Panics
    /// If it does not come up, with what it printed.
    pub async fn start(purpose: &str) -> Demo {
        Demo::start_with(purpose, NODES, &["--topology=one-region", "--clock=zero"]).await
    }

    /// The same of so many nodes, with these arguments.
    ///
    /// # Panics
    /// If it does not come up, with what it printed.
    pub async fn start_with(purpose: &str, nodes: u16, more: &[&str]) -> Demo {
        let (folder, first_port) = (Folder::new(purpose), free_row(nodes));
        let mut arguments = arguments(&folder, first_port, more);
        arguments.push("--no-shell".to_owned());
        let process = Process::start(&arguments, &folder.path().join("demo.log"));
        Demo::ready(process, folder, first_port, nodes).await
    }

    /// A demo of one region with its shell, which reads what is written to the second part.
    ///
    /// # Panics
    /// If it does not come up, with what it printed.
    pub async fn start_piped(purpose: &str) -> (Demo, ChildStdin) {
        let (folder, first_port) = (Folder::new(purpose), free_row(NODES));
        let arguments = arguments(&folder, first_port, &["--topology=one-region", "--clock=zero"]);
        let (process, input) = Process::start_piped(&arguments, &folder.path().join("demo.log"));
        (Demo::ready(process, folder, first_port, NODES).await, input)
    }

    async fn ready(mut process: Process, folder: Folder, first_port: u16, nodes: u16) -> Demo {
        let ready = folder.path().join(READY);
        eventually("the demo is ready", PATIENCE, async || {
            assert!(process.is_running(), "the demo ended: {}", process.printed());
            match std::fs::read_to_string(&ready) {
                Ok(urls) if urls.lines().count() == usize::from(nodes) => Ok(()),
                other => Err(format!("{other:?}; it printed {}", process.printed())),
            }
        })
        .await;
        Demo { process, _folder: folder, first_port, nodes }
    }

    /// The port where a node serves SQL; nodes count from 0.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn sql_port(&self, node: u16) -> u16 {
        assert!(node < self.nodes, "the demo has {} nodes", self.nodes);
        self.first_port + node
    }

    /// What it printed and logged so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// Its terminal goes; how it ended.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn hang_up(&mut self) -> ExitStatus {
        self.process.hang_up()
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// A connection to a node.
    ///
    /// # Panics
    /// If it does not answer in time.
    pub async fn connect(&self, node: u16) -> Sql {
        let port = self.sql_port(node);
        eventually("connect", PATIENCE, async || Sql::connect(port).await).await
    }
}

/// Where a demo writes that it is ready, in its folder.
const READY: &str = "ready";

fn arguments(folder: &Folder, first_port: u16, more: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "demo".to_owned(),
        "--engine=memory".to_owned(),
        format!("--sql-port={first_port}"),
        format!("--ready-file={}", folder.path().join(READY).display()),
    ];
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments
}

/// The first of so many free ports in a row.
fn free_row(nodes: u16) -> u16 {
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port));
    loop {
        let any = listen(0).expect("a free port");
        let first = any.local_addr().expect("bound").port();
        let free = |more: u16| first.checked_add(more).is_some_and(|port| listen(port).is_ok());
        if (1..nodes).all(free) {
            return first;
        }
    }
}
