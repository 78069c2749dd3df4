//! The disks of a simulated cluster: they outlive the nodes, take time, and fail on demand.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use keys::NodeId;
use node::disk::Disk;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use storage::{
    Cf, Engine, EngineError, MemEngine, Reader as _, Scan,
    memory::{self, CrashReport, Image, SyncMode},
};

/// How long a sync takes on a healthy disk: from, to.
const SYNC: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(3));

/// Keys looked at to find one whose value may rot.
const ROT_LOOKS_MAX: usize = 10_000;

/// All disks of a cluster. Cheap to clone: a handle.
#[derive(Clone, Debug)]
pub struct Disks {
    seed: u64,
    mode: SyncMode,
    disks: Arc<Mutex<BTreeMap<NodeId, SimDisk>>>,
}

/// One node's disk.
#[derive(Clone, Debug)]
struct SimDisk {
    disk: memory::Disk,
    engine: MemEngine,
    drawn: Arc<Mutex<Drawn>>,
}

#[derive(Debug)]
struct Drawn {
    rng: ChaCha8Rng,
    /// Added to every sync while the disk is slow.
    slower: Duration,
}

impl Disks {
    /// Empty disks, one per node that opens one. `mode`: whether a sync does what it says.
    #[must_use]
    pub fn new(seed: u64, mode: SyncMode) -> Disks {
        Disks { seed, mode, disks: Arc::default() }
    }

    /// Opens a node's disk for its next life.
    #[must_use]
    pub fn open(&self, node: NodeId) -> (Arc<dyn Engine>, Arc<dyn Disk>) {
        let mut disks = self.lock();
        let disk = disks.entry(node).or_insert_with(|| {
            let rng = ChaCha8Rng::seed_from_u64(self.seed ^ (u64::from(node.0) << 32));
            let disk = memory::Disk::new();
            disk.set_sync(self.mode);
            let drawn = Arc::new(Mutex::new(Drawn { rng, slower: Duration::ZERO }));
            SimDisk { engine: disk.open(), disk, drawn }
        });
        disk.engine = disk.disk.open();
        (Arc::new(disk.engine.clone()), Arc::new(disk.clone()))
    }

    /// The power fails under a node: what was not synced is lost, but for a random prefix.
    pub fn crash(&self, node: NodeId) -> CrashReport {
        let mut disks = self.lock();
        let Some(disk) = disks.get_mut(&node) else { return CrashReport::default() };
        let (engine, report) = disk.disk.crash_with_report(&mut drawn(&disk.drawn).rng);
        disk.engine = engine;
        report
    }

    /// A copy of a node's disk as it is now; `None`: it was never opened.
    pub fn image(&self, node: NodeId) -> Option<Image> {
        self.lock().get(&node).map(|disk| disk.disk.image())
    }

    /// Puts a copy back in the place of a node's disk. The node must be down.
    pub fn put_back(&self, node: NodeId, image: &Image) {
        if let Some(disk) = self.lock().get(&node) {
            disk.disk.put_back(image);
        }
    }

    /// Adds to the time of each sync of a node's disk; zero makes it healthy.
    pub fn slow_down(&self, node: NodeId, by: Duration) {
        if let Some(disk) = self.lock().get(&node) {
            drawn(&disk.drawn).slower = by;
        }
    }

    /// A node's next sync fails (S3).
    pub fn fail_next_sync(&self, node: NodeId) {
        if let Some(disk) = self.lock().get(&node) {
            disk.disk.fail_next_sync();
        }
    }

    /// A node's next write fails, as on a full disk (S3).
    pub fn fail_next_write(&self, node: NodeId) {
        if let Some(disk) = self.lock().get(&node) {
            disk.disk.fail_next_write();
        }
    }

    /// One bit of one stored value rots. Says which value, if there is any.
    pub fn rot(&self, node: NodeId) -> Option<String> {
        let disks = self.lock();
        let disk = disks.get(&node)?;
        let mut rng = drawn(&disk.drawn);
        let mut stored = Vec::new();
        let mut looked = 0;
        disk.engine
            .scan(
                Scan {
                    cf: Cf::Data,
                    start: Bound::Unbounded,
                    end: Bound::Unbounded,
                    reverse: false,
                },
                &mut |key, _| {
                    stored.push(key.to_vec());
                    looked += 1;
                    looked < ROT_LOOKS_MAX
                },
            )
            .ok()?;
        if stored.is_empty() {
            return None;
        }
        let key = stored.swap_remove(rng.rng.random_range(0..stored.len()));
        let rotten = disk.disk.flip_bit(Cf::Data, &key, &mut rng.rng);
        rotten.then(|| format!("{} bytes long key {:02x?}", key.len(), &key[..key.len().min(16)]))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, SimDisk>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drawn(drawn: &Mutex<Drawn>) -> MutexGuard<'_, Drawn> {
    drawn.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk for SimDisk {
    fn sync(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        let engine = self.engine.clone();
        let takes = {
            let mut drawn = drawn(&self.drawn);
            drawn.slower + drawn.rng.random_range(SYNC.0..=SYNC.1)
        };
        Box::pin(async move {
            timer::sleep(takes).await;
            engine.sync()
        })
    }
}
