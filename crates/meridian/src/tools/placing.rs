//! Who leads the tables of a recording. Left to the database, all of them may be led by one node, and
//! what a wrong clock does is seen only where tables are led by nodes that disagree. So each group is
//! led by another node, as far as its replicas allow: the gateway that made it, or one of its region.

use std::collections::BTreeMap;

use anyhow::Context;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::plan::tables;

/// How many groups each node leads so far.
pub type Leading = BTreeMap<u32, usize>;

/// Places the tables of a group that were made through this connection.
///
/// # Errors
/// If a leader cannot be moved.
pub async fn place(client: &Client, group: i64, leading: &mut Leading) -> anyhow::Result<()> {
    let gateway =
        Gateway { node: shown(client, "node_id").await?, region: shown(client, "region").await? };
    let mut chosen = None;
    for table in tables(group) {
        let ranges = client.simple_query(&format!("SHOW RANGES FROM TABLE {table}")).await?;
        let row = ranges.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let replicas = row.and_then(|row| row.get("replicas")).context("a table has a range")?;
        let replicas = read_replicas(replicas).context("SHOW RANGES tells its replicas")?;
        let leader = gateway.choose(&replicas, leading).context("a range has replicas")?;
        let call = format!("CALL meridian_internal.move_leader('{table}', 'n{leader}')");
        client.batch_execute(&call).await?;
        chosen = chosen.or(Some(leader));
    }
    if let Some(leader) = chosen {
        *leading.entry(leader).or_default() += 1;
    }
    Ok(())
}

async fn shown(client: &Client, name: &str) -> anyhow::Result<String> {
    let row = client.query_one(&format!("SHOW {name}"), &[]).await?;
    Ok(row.get(0))
}

/// A replica: its node and region.
type Replica = (u32, String);

/// Reads `3 (us-east), 6 (us-west)`.
fn read_replicas(text: &str) -> Option<Vec<Replica>> {
    let replica = |part: &str| {
        let (node, region) = part.split_once(" (")?;
        Some((node.parse().ok()?, region.strip_suffix(')')?.to_owned()))
    };
    text.split(", ").map(replica).collect()
}

/// The node whose connection made a table.
struct Gateway {
    node: String,
    region: String,
}

impl Gateway {
    /// The replica that is to lead: in the gateway's region if there is one, leading as little as may
    /// be, the gateway's own before others.
    fn choose(&self, replicas: &[Replica], leading: &Leading) -> Option<u32> {
        let rank = |(node, region): &&Replica| {
            let led = leading.get(node).copied().unwrap_or(0);
            (*region != self.region, led, node.to_string() != self.node, *node)
        };
        replicas.iter().min_by_key(rank).map(|(node, _)| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(node: &str, region: &str) -> Gateway {
        Gateway { node: node.to_owned(), region: region.to_owned() }
    }

    #[test]
    fn each_group_gets_another_leader_near_its_gateway() {
        let here = read_replicas("1 (east), 2 (east), 3 (east)").expect("well-formed");
        let one = [(1, 1)].into();
        assert_eq!(gateway("1", "east").choose(&here, &Leading::new()), Some(1));
        assert_eq!(gateway("2", "east").choose(&here, &one), Some(2));
        // The gateway has no replica, or leads already: another one of the region.
        assert_eq!(gateway("7", "east").choose(&here, &one), Some(2));
        assert_eq!(gateway("1", "east").choose(&here, &one), Some(2));
        let wide = read_replicas("3 (east), 6 (west), 7 (north)").expect("well-formed");
        assert_eq!(gateway("4", "west").choose(&wide, &[(6, 2)].into()), Some(6));
        assert_eq!(gateway("9", "south").choose(&wide, &[(3, 1)].into()), Some(6));
        assert_eq!(read_replicas("3, 6"), None);
    }
}
