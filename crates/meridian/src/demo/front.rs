//! The nodes' SQL ports: open while a node runs, closed while it is down, silent while it is paused.

use std::collections::BTreeMap;

use clock::Freezer;
use futures::future::BoxFuture;
use keys::NodeId;
use node::Node;
use sim_regions::operator::Front;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::sql_port;
use crate::live;

/// A server per node that runs.
pub struct Sockets {
    first_port: u16,
    /// Ports bound before the cluster started.
    bound: BTreeMap<NodeId, TcpListener>,
    servers: BTreeMap<NodeId, JoinHandle<()>>,
    /// Never says stop: a server ends with its node, as in a crash.
    stop: watch::Sender<bool>,
    /// Where sessions compute for long.
    lanes: frontend::Lanes,
}

impl Sockets {
    /// Serves on these ports.
    pub fn new(
        bound: BTreeMap<NodeId, TcpListener>,
        first_port: u16,
        lanes: frontend::Lanes,
    ) -> Sockets {
        let stop = watch::channel(false).0;
        Sockets { first_port, bound, servers: BTreeMap::new(), stop, lanes }
    }

    async fn serve(&mut self, node: &Node, freezer: &Freezer) -> Result<(), String> {
        let id = node.id();
        let listener = match self.bound.remove(&id) {
            Some(listener) => listener,
            None => {
                let address = format!("127.0.0.1:{}", sql_port(self.first_port, id));
                let bound = TcpListener::bind(&address).await;
                bound.map_err(|error| format!("{id} runs, but {address} is taken: {error}"))?
            }
        };
        let options = frontend::Options {
            secret_seed: live::random() as u64,
            lanes: self.lanes.clone(),
            ..Default::default()
        };
        let database = node.database().clone();
        let server = frontend::serve(listener, database, options, self.stop.subscribe());
        self.servers.insert(id, tokio::spawn(freezer.wrap(server)));
        Ok(())
    }
}

impl Front for Sockets {
    fn arrive<'a>(
        &'a mut self,
        node: &'a Node,
        freezer: &'a Freezer,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.serve(node, freezer))
    }

    fn depart(&mut self, node: NodeId) -> BoxFuture<'_, ()> {
        let server = self.servers.remove(&node);
        Box::pin(async move {
            if let Some(server) = server {
                server.abort();
                // Aborted, or ended before: its connections are closed either way.
                drop(server.await);
            }
        })
    }
}
