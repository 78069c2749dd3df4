//! How the world begins: disks, replicas of every range on every node, routers.

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::{Arc, Mutex},
};

use keys::{Key, NodeId, RangeId, Span, layout};
use kv::Descriptor;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use range::{Config, Input, Replica};
use storage::{Engine as _, memory::Disk};
use timer::Instant;
use tokio::sync::Notify;

use super::{Lifeline, Node, Shared, SharedWorld, Unsynced, World, router};
use crate::plan::Plan;

/// A world with its ranges, whose replicas are led by the nodes in turn.
pub fn create(plan: Plan, config: Config) -> SharedWorld {
    let config = Arc::new(config);
    let voters: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
    let descriptors = descriptors(&plan, &voters);
    let mut nodes = BTreeMap::new();
    for (node, offset) in voters.iter().zip(&plan.offsets) {
        let disk = Disk::new();
        let engine = disk.open();
        let create = |desc: &Descriptor| {
            let replica = Replica::create(&engine, desc, *node, config.clone());
            (desc.id, replica.expect("disks don't fail here"))
        };
        let replicas = descriptors.iter().map(create).collect();
        engine.sync().expect("disks don't fail here");
        disk.set_sync(plan.sync_mode);
        let entry = Node {
            disk,
            engine,
            life: 0,
            up: true,
            mute: false,
            deaf: false,
            replicas,
            callers: BTreeMap::new(),
            wakes: BTreeMap::new(),
            unsynced: Unsynced::default(),
            syncing: None,
            offset_nanos: *offset,
        };
        nodes.insert(*node, entry);
    }
    let world = World {
        rng: ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5eed),
        plan,
        config,
        now: 0,
        heap: BinaryHeap::new(),
        happenings: BTreeMap::new(),
        next_id: 0,
        nodes,
        calls: BTreeMap::new(),
        routers: BTreeMap::new(),
        system: descriptors[0].clone(),
        table: descriptors[1..].to_vec(),
        fired: BTreeSet::new(),
        digest: 0xcbf2_9ce4_8422_2325,
    };
    let (world, changed) = (Mutex::new(world), Notify::new());
    let shared = Arc::new(Shared { world, changed, started: Instant::now() });
    for node in &voters {
        let router = router(&shared, *node, Lifeline::default());
        shared.lock().routers.insert(*node, router);
    }
    let mut world = shared.lock();
    for node in voters {
        for desc in &descriptors {
            world.step(&shared, node, desc.id, Input::Tick);
        }
    }
    drop(world);
    shared
}

/// The system range, then the table's.
fn descriptors(plan: &Plan, voters: &[NodeId]) -> Vec<Descriptor> {
    let table = layout::table_span(crate::TABLE);
    let mut starts = vec![table.start.clone()];
    starts.extend(plan.boundaries.iter().map(|k| crate::key(*k)));
    let mut ends: Vec<Key> = starts[1..].to_vec();
    ends.push(table.end.clone());
    let spans = starts.into_iter().zip(ends).map(|(start, end)| Span::new(start, end));
    std::iter::once(layout::system_span())
        .chain(spans)
        .enumerate()
        .map(|(i, span)| Descriptor {
            id: RangeId(1 + i as u64),
            span,
            generation: 1,
            voters: voters.to_vec(),
            preferred_leader: voters[i % voters.len()],
        })
        .collect()
}
