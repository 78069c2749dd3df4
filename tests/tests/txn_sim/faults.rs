//! What goes wrong, and what administrators do meanwhile.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use keys::{Key, RangeId, layout};
use kv::{Descriptor, Reply, Request};
use rand::RngExt as _;
use timer::{Instant, sleep};
use txn::{Coordinator, TxnOptions};

use crate::{key, world::SharedWorld};

/// Causes faults as the plan says, until it is dropped between two of them.
pub struct Faults {
    shared: SharedWorld,
    admin: Arc<Coordinator>,
    next_range: u64,
    split_at: BTreeSet<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Crash,
    CrashAll,
    Cut,
    ClockStep,
    Transfer,
    Split,
}

impl Faults {
    /// Faults of this world; an administrator's statements go through this gateway.
    pub fn new(shared: SharedWorld, admin: Arc<Coordinator>) -> Faults {
        let split_at = shared.lock().plan.boundaries.iter().copied().collect();
        Faults { shared, admin, next_range: 1_000, split_at }
    }

    /// Causes one fault after the other, for ever.
    pub async fn run(mut self) {
        loop {
            let pause = {
                let mut world = self.shared.lock();
                let most = 2 * world.plan.fault_every;
                world.rng().random_range(Duration::ZERO..=most)
            };
            sleep(pause).await;
            let Some(fault) = self.choose() else { continue };
            self.cause(fault).await;
        }
    }

    fn choose(&self) -> Option<Fault> {
        let mut world = self.shared.lock();
        let faults = world.plan.faults;
        let fault = match world.rng().random_range(0..11) {
            0 => Fault::CrashAll,
            1 | 2 => Fault::Crash,
            3 | 4 => Fault::Cut,
            5 | 6 => Fault::Transfer,
            7 | 8 => Fault::ClockStep,
            _ => Fault::Split,
        };
        let on = match fault {
            Fault::Crash | Fault::CrashAll => faults.crashes,
            Fault::Cut => faults.partitions,
            Fault::ClockStep => faults.clock_steps,
            Fault::Transfer => faults.transfers,
            Fault::Split => faults.splits,
        };
        on.then_some(fault)
    }

    async fn cause(&mut self, fault: Fault) {
        match fault {
            Fault::Crash => self.crash(false),
            Fault::CrashAll => self.crash(true),
            Fault::Cut => {
                let mut world = self.shared.lock();
                let time = Duration::from_millis(world.rng().random_range(50..2_000));
                let node = world.any_node();
                world.cut(node, time);
            }
            Fault::ClockStep => {
                let mut world = self.shared.lock();
                let node = world.any_node();
                world.step_clock(node);
            }
            Fault::Transfer => self.transfer().await,
            Fault::Split => self.split().await,
        }
    }

    fn crash(&self, all: bool) {
        let mut world = self.shared.lock();
        let one = world.any_node();
        for n in 1..=world.plan.nodes {
            let down = Duration::from_millis(world.rng().random_range(10..1_500));
            if all || n == one.0 {
                world.crash(keys::NodeId(n), down);
            }
        }
    }

    async fn transfer(&self) {
        let (range, to) = {
            let mut world = self.shared.lock();
            let leaders: Vec<Descriptor> = world.leaders().into_values().map(|l| l.1).collect();
            if leaders.is_empty() {
                return;
            }
            let nth = world.rng().random_range(0..leaders.len());
            (Arc::new(leaders[nth].clone()), world.any_node())
        };
        let deadline = Instant::now() + Duration::from_secs(1);
        let request = Request::TransferLeader { to };
        let answer = self.admin.router().send_to_leader(&range, request, deadline).await;
        let mut world = self.shared.lock();
        if answer.is_ok() {
            world.fired.insert("Transferred".to_owned());
        }
        world.trace(|| format!("transfer of {} to {to}: {answer:?}", range.id));
    }

    async fn split(&mut self) {
        let k = {
            let mut world = self.shared.lock();
            let keys = world.plan.keys;
            world.rng().random_range(1..keys)
        };
        if !self.split_at.insert(k) {
            return;
        }
        let (at, child) = (key(k), RangeId(self.next_range));
        self.next_range += 1;
        for _ in 0..20 {
            let deadline = Instant::now() + Duration::from_secs(2);
            let request = Request::Split { at: at.clone(), child };
            let answer = self.admin.router().send_to_key(&at, request, deadline).await;
            self.shared.lock().trace(|| format!("split at {at}: {answer:?}"));
            if let Ok(Reply::Split { left, right }) = answer {
                register(&self.admin, &[left, right]).await;
                return;
            }
        }
    }
}

/// Writes descriptors into the directory, however long it takes.
pub async fn register(admin: &Arc<Coordinator>, descriptors: &[Descriptor]) {
    loop {
        let mut txn = admin.begin(TxnOptions::default());
        for descriptor in descriptors {
            let value = postcard::to_stdvec(descriptor).expect("descriptors can be serialized");
            let entry: Key = layout::directory_key(&descriptor.span.end);
            txn.put(entry, value.into()).expect("a few descriptors");
        }
        if txn.commit().await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
