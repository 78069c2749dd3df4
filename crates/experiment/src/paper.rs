//! The measurements of Spanner's paper, made again.
//!
//! J. C. Corbett et al., *Spanner: Google's Globally-Distributed Database*, OSDI 2012, section 5.
//! Their set-up: zones less than 1 ms apart, a server per replica, clients on machines of their own,
//! values of 4 KB, 50 groups, ε as of their time masters. Ours is a simulation of that: links of
//! 0.9 ms, the same sawtooth of ε, leases of 10 s. What the paper does not tell, the time that a
//! Paxos write takes at one replica, is set so that the one figure without commit-wait agrees; in
//! table 4 stalls of servers and a price of work are assumed as well, and said. All else is found.

pub mod figure5;
pub mod figure6;
pub mod table3;
pub mod table4;

use std::time::Duration;

use keys::NodeId;
use report::{Estimate, Sample};
use sim_regions::Topology;

use crate::{Client, Lab, Options, Setup};

/// A write of one replica: 9.4 ms in the paper with commit-wait disabled, of which 1 ms or so is
/// the way of the client. Their disks and queues are in it.
const SYNC: Duration = Duration::from_micros(7_500);

/// From a client to the gateway and back, what both compute included: the paper's network is "less
/// than 1 ms", and a snapshot read took 1.2 to 1.3 ms.
const CLIENT: Duration = Duration::from_micros(1_200);

/// Bytes of a value.
const VALUE: usize = 4096;

/// The most that our figure may differ from the paper's without an explanation.
const NEAR: f64 = 0.25;

/// A lab after the paper's set-up, with a node in each of so many zones, or more.
fn setup(options: &Options, zones: usize, nodes: usize) -> Setup {
    let names: Vec<String> = (1..=zones).map(|zone| format!("\"z{zone}\"")).collect();
    let text = format!(
        "name = \"spanner-paper\"\n[settings]\nlease = \"10s\"\n\
         [clock]\nmodel = \"spanner2012\"\noffset = \"walk\"\n\
         [network]\nzone_rtt = \"0.9ms\"\nzone_jitter = \"0.1ms\"\nlocal_rtt = \"0.1ms\"\n\
         [[region]]\nname = \"paper\"\nzones = [{}]\nnodes = {nodes}\n",
        names.join(", ")
    );
    let topology = Topology::parse("spanner-paper", &text).expect("it makes sense");
    let setup = Setup::new(topology, options);
    Setup { replication: zones, sync: SYNC, offset: clock::Offset::Walk, ..setup }
}

/// A table of so many groups with a row each, keys from 0.
async fn groups(client: &mut Client, table: &str, groups: usize) {
    client.run(&format!("CREATE TABLE {table} (k INT8 PRIMARY KEY, v TEXT)")).await;
    let splits: Vec<String> = (1..groups).map(|key| format!("({key})")).collect();
    for some in splits.chunks(SPLITS_AT_ONCE) {
        client.run(&format!("ALTER TABLE {table} SPLIT AT VALUES {}", some.join(", "))).await;
    }
    for key in 0..groups {
        client.run(&format!("INSERT INTO {table} VALUES ({key}, '{}')", value(key))).await;
    }
}

/// Hands all groups over to a node at once, also those with the catalog.
async fn lead_from(lab: &Lab, node: NodeId) {
    let handed = lab.all_ranges().await.into_iter().map(async |range| {
        let mut client = lab.client(lab.layout().last().expect("there are nodes").id);
        let text = format!("ALTER RANGE {range} TRANSFER LEADER TO NODE {}", node.0);
        client.run(&text).await;
        client.hang_up().await;
    });
    futures::future::join_all(handed).await;
}

/// Splits in one statement: it ends in time.
const SPLITS_AT_ONCE: usize = 10;

/// A value of the paper's size.
fn value(number: usize) -> String {
    format!("{number:0>VALUE$}")
}

/// A client on a machine of its own, whose gateway is the first node.
fn remote_client(lab: &Lab) -> Client {
    lab.client(lab.layout()[0].id).at(CLIENT)
}

/// Whether a figure is near the paper's.
fn is_near(ours: f64, paper: f64) -> bool {
    (ours - paper).abs() <= NEAR * paper
}

/// The mean of some latencies.
fn mean(sample: &Sample) -> Estimate {
    sample.estimate_mean(report::Confidence::C95)
}
