//! A cluster of one model, for tests of SQL: `txn`'s naive ranges under a fake [`Cluster`].

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use keys::{NodeId, SchemaVersion};
use kv::{Descriptor, RangeSender};
use sql::{
    ClockInfo, Cluster, Config, Database, Datum, Execution, NodeInfo, Placement, Session,
    SessionOptions, SqlError,
};
use txn::{Router, RouterConfig, naive::NaiveCluster};

/// Three nodes in three regions; node 1 is the gateway unless told otherwise.
#[derive(Debug)]
pub struct FakeCluster {
    naive: Arc<NaiveCluster>,
    node: NodeId,
    /// The gateways of the cluster, which hear of schema changes.
    gateways: Arc<Mutex<Vec<Database>>>,
}

/// Names of the regions, by node.
pub const REGIONS: [&str; 3] = ["us-east", "us-west", "europe-west"];

/// A cluster and the databases of its nodes.
pub struct World {
    /// The ranges.
    pub naive: Arc<NaiveCluster>,
    /// One database per node.
    pub databases: Vec<Database>,
}

impl World {
    /// A cluster of three nodes without a table.
    pub fn new() -> World {
        World::with(Config { seed: 7, ..Config::default() })
    }

    /// The same with limits of the caller's.
    pub fn with(config: Config) -> World {
        World::with_limits(config, txn::Config::default())
    }

    /// The same with limits of transactions as well.
    pub fn with_limits(config: Config, limits: txn::Config) -> World {
        let factory = Arc::new(expr::pushdown::Programs);
        let naive = NaiveCluster::new(3, &[], Some(factory));
        let gateways = Arc::new(Mutex::new(Vec::new()));
        let mut databases = Vec::new();
        for number in 1..=3_u32 {
            let node = NodeId(number);
            let here = naive.at(node);
            let coordinator = here.coordinator_with(limits.clone(), RouterConfig::default());
            let sender: Arc<dyn RangeSender> = here.clone();
            let seed = u64::from(number);
            let router = Router::new(sender, here.clock(), RouterConfig::default(), seed);
            let cluster = Arc::new(FakeCluster { naive: here, node, gateways: gateways.clone() });
            databases.push(Database::new(coordinator, router, cluster, config.clone()));
        }
        gateways.lock().expect("no test panics with it").extend(databases.clone());
        World { naive, databases }
    }
}

impl World {
    /// Every index must agree with its table, seen from each node.
    pub async fn check(&self) {
        for database in &self.databases {
            let session = database.session(SessionOptions::default());
            check_all(&mut session.expect("sessions are few")).await;
        }
    }
}

/// Every index must agree with its table.
pub async fn check_all(session: &mut Session) {
    let problems = problems(session, "CHECK ALL TABLES").await;
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The problems that a check finds, one a line: index, problem, key.
pub async fn problems(session: &mut Session, sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut sink = |execution| {
        let Execution::Rows { rows, .. } = execution else { panic!("{sql} answers with rows") };
        for row in rows.iter().filter(|row| row[3] != Datum::Null) {
            let text = |at: usize| row[at].as_text().unwrap_or_default().to_owned();
            found.push(format!("{}: {}: {}", text(1), text(3), text(4)));
        }
    };
    if let Err(error) = session.simple(sql, &mut sink).await {
        panic!("{sql}: {error:?}");
    }
    found
}

impl Cluster for FakeCluster {
    fn node_id(&self) -> NodeId {
        self.node
    }

    fn region(&self) -> String {
        REGIONS[self.node.0 as usize - 1].to_owned()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        (1..=3_u32)
            .map(|number| NodeInfo {
                id: NodeId(number),
                region: REGIONS[number as usize - 1].to_owned(),
                zone: "a".to_owned(),
                address: format!("10.0.0.{number}:7000"),
                sql_address: format!("10.0.0.{number}:5432"),
                live: true,
                stopped: None,
            })
            .collect()
    }

    fn clocks(&self) -> BoxFuture<'static, Vec<ClockInfo>> {
        let now = self.naive.clock().now();
        let clocks = (1..=3_u32)
            .map(|number| ClockInfo {
                node: NodeId(number),
                earliest: now.earliest,
                latest: now.latest,
                epsilon: Duration::from_nanos((now.latest - now.earliest) / 2),
                source: "naive".to_owned(),
                true_offset_nanos: None,
                distrust: None,
                read_within: Duration::ZERO,
            })
            .collect();
        Box::pin(async move { clocks })
    }

    fn place(&self, leader_region: Option<&str>) -> Placement {
        let at = REGIONS.iter().position(|region| Some(*region) == leader_region).unwrap_or(0);
        Placement {
            voters: vec![NodeId(1), NodeId(2), NodeId(3)],
            preferred_leader: NodeId(u32::try_from(at).expect("three") + 1),
        }
    }

    fn create_range(&self, range: Descriptor) -> BoxFuture<'static, Result<(), SqlError>> {
        let naive = self.naive.clone();
        Box::pin(async move {
            naive.create_range(range);
            Ok(())
        })
    }

    fn adopt_schema(
        &self,
        gateway: NodeId,
        version: SchemaVersion,
        _patience: Duration,
    ) -> BoxFuture<'static, bool> {
        let gateways = self.gateways.lock().expect("no test panics with it").clone();
        let gateway = gateways[gateway.0 as usize - 1].clone();
        Box::pin(async move { gateway.adopt_schema(version).await.is_ok() })
    }
}
