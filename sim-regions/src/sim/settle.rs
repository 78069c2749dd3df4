//! After the faults: the cluster must make progress, and its replicas must agree.

use std::{fmt::Write as _, time::Duration};

use keys::NodeId;
use sql::{Datum, Execution};
use timer::{sleep, timeout};

use super::{
    Crew, TABLES,
    client::{Client, Failure},
    workload::{self, Workload},
    world::World,
};

/// How long the cluster may take to be well again.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Waits until the cluster is well. Answers what is not, if it is not in time.
pub async fn settle(crew: &mut Crew, workloads: &[Workload]) -> Vec<String> {
    let nodes: Vec<NodeId> = crew.layout.iter().map(|spec| spec.id).collect();
    let mut stuck = Vec::new();
    for (nth, node) in nodes.iter().copied().enumerate() {
        if crew.world.node(node).is_none() {
            continue; // Its disk rots.
        }
        let mut client = crew.client(0, nth);
        for home in 0..TABLES {
            let text = format!(
                "INSERT INTO register{home} VALUES ('settle/{node}', 1)
                     ON CONFLICT (k) DO UPDATE SET v = register{home}.v + 1;
                 SELECT * FROM register{home} WHERE k = 'settle/{node}'"
            );
            until(&mut stuck, &format!("{node} to write and read register{home}"), async || {
                client.execute_all(&text).await.map(drop).map_err(why)
            })
            .await;
        }
        client.hang_up().await;
    }
    let mut client = crew.client(0, 0);
    until(&mut stuck, "a read of everything", async || {
        let read = workload::read_back(workloads, &crew.shop, &mut client).await;
        read.then_some(()).ok_or_else(|| "it fails".to_owned())
    })
    .await;
    until(&mut stuck, "all locks to be released", async || no_locks(&mut client).await).await;
    for home in 0..TABLES {
        for kind in ["register", "list", "set"] {
            let table = format!("{kind}{home}");
            until(&mut stuck, &format!("the replicas of {table} to agree"), async || {
                same_sums(&mut client, &table, &crew.world).await
            })
            .await;
        }
    }
    client.hang_up().await;
    indexes_agree(crew, &mut stuck).await;
    stuck
}

/// Every index must agree with its table, as the first node and the last one see it.
async fn indexes_agree(crew: &mut Crew, stuck: &mut Vec<String>) {
    let alive = |crew: &Crew, nth: &usize| crew.world.node(crew.layout[*nth].id).is_some();
    let mut nodes: Vec<usize> = (0..crew.layout.len()).filter(|nth| alive(crew, nth)).collect();
    nodes.drain(1..nodes.len().saturating_sub(1).max(1));
    for nth in nodes {
        let mut client = crew.client(0, nth);
        let mut found = Vec::new();
        until(stuck, "every table to be checked", async || {
            found = rows(&mut client, "CHECK ALL TABLES").await?;
            Ok(())
        })
        .await;
        // What a check finds does not go away by waiting.
        let problems = found.iter().filter(|row| row[3] != Datum::Null);
        stuck.extend(problems.map(|row| format!("indexes to agree with tables: {}", shown(row))));
        client.hang_up().await;
    }
}

/// Tries until it works or time is up. Notes what it waited for in vain, and the last reason.
async fn until(
    stuck: &mut Vec<String>,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<(), String>,
) {
    let mut last = "no answer".to_owned();
    let trying = async {
        loop {
            match attempt().await {
                Ok(()) => return,
                Err(why) => last = why,
            }
            sleep(AGAIN).await;
        }
    };
    if timeout(PATIENCE, trying).await.is_err() {
        stuck.push(format!("{what}: {last}"));
    }
}

fn why(failure: Failure) -> String {
    match failure {
        Failure::Sql(error) => error.message.to_string(),
        Failure::Unreachable | Failure::Silent(_) => "no answer".to_owned(),
    }
}

async fn rows(client: &mut Client, text: &str) -> Result<Vec<sql::Row>, String> {
    match client.execute_all(text).await.map_err(why)?.pop() {
        Some(Execution::Rows { rows, .. }) => Ok(rows),
        other => panic!("{text} answers with rows, not {other:?}"),
    }
}

async fn no_locks(client: &mut Client) -> Result<(), String> {
    let rows = rows(client, "SHOW LOCKS").await?;
    match rows.first() {
        None => Ok(()),
        Some(row) => Err(format!("{} left, one is {}", rows.len(), shown(row))),
    }
}

/// All replicas of each range of a table have the same sum of what is visible at one timestamp.
async fn same_sums(client: &mut Client, table: &str, world: &World) -> Result<(), String> {
    let rows = rows(client, &format!("SHOW CHECKSUMS FROM TABLE {table}")).await?;
    // The scan for the sum may be what finds a rotten value, and stops the node.
    let alive = |row: &&sql::Row| {
        let Datum::Int(node) = row[1] else { panic!("a node's number comes second: {row:?}") };
        u32::try_from(node).is_ok_and(|node| world.node(NodeId(node)).is_some())
    };
    for row in rows.iter().filter(alive) {
        let missing = row.iter().any(|datum| matches!(datum, Datum::Null));
        let mut same = rows.iter().filter(alive).filter(|other| other[0] == row[0]);
        let first = same.next().expect("itself at least");
        if missing || row.last() != first.last() {
            return Err(format!("{} against {}", shown(row), shown(first)));
        }
    }
    Ok(())
}

fn shown(row: &sql::Row) -> String {
    let mut line = String::new();
    for datum in row {
        write!(line, "{datum:?} ").expect("strings take everything");
    }
    line
}
