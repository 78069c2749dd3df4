//! The simulated disk: what is visible, what would survive, and which faults were ordered.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use rand::{Rng, RngExt};

use super::{MemEngine, tree::Tree};
use crate::{Cf, EngineError, Op, WriteBatch};

/// Unsynced bytes a disk remembers how to lose. Beyond that the oldest batches become durable by
/// themselves, as an operating system writes back what is old.
pub const UNSYNCED_BYTES_MAX: usize = 64 << 20;

/// Bytes of a log record beside its keys and values; only the odds of a torn batch depend on it.
const RECORD_HEADER_BYTES: usize = 16;

/// One column family's keys and values each.
type Trees = [Tree; Cf::ALL.len()];

/// A disk that outlives the nodes that run on it. Cheap to clone: a handle.
#[derive(Clone, Default)]
pub struct Disk {
    state: Arc<RwLock<State>>,
}

/// Whether a sync does what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// What was written before is durable.
    #[default]
    Honest,
    /// It answers at once and makes nothing durable. For experiments: the checkers must find the
    /// loss.
    Lying,
}

/// What a disk held at one moment, as a copy of its folder does. Cheap to make and to clone: it
/// shares with the disk all that did not change since.
#[derive(Clone)]
pub struct Image {
    trees: Trees,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").finish_non_exhaustive()
    }
}

/// What a crash did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Unsynced batches that survived.
    pub kept: usize,
    /// Batches lost, the torn one included.
    pub lost: usize,
    /// Whether the first batch lost was torn: written in part, and recognised by its checksum.
    pub torn: bool,
}

#[derive(Default)]
struct State {
    trees: Trees,
    /// How to take back the unsynced batches, oldest first.
    undo: VecDeque<Undo>,
    /// Sum of the lengths in `undo`.
    undo_bytes: usize,
    /// Which [`Disk::open`] the living engine came from; grows by one with each.
    life: u64,
    /// The error after which the state is unknown; every write and sync repeats it (S3).
    failed: Option<EngineError>,
    sync: SyncMode,
    fail_next_sync: bool,
    fail_next_write: bool,
    syncs: u64,
}

/// One unsynced batch.
struct Undo {
    /// What was there before each change, in the order of the changes.
    before: Vec<(Cf, Bytes, Option<Bytes>)>,
    /// Length of its record in the log, and of what the undo keeps alive, whichever is more.
    len: usize,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Disk {
        Disk::default()
    }

    /// Opens the disk for a node. All that is visible stays so: a node that stopped cleanly, or a
    /// process that was killed while its machine went on. An engine opened earlier gets errors from
    /// now on.
    #[must_use]
    pub fn open(&self) -> MemEngine {
        let mut state = self.write_state();
        state.life += 1;
        state.failed = None;
        MemEngine { disk: self.clone(), life: state.life }
    }

    /// The power fails: the unsynced log is cut at a random byte, the batch at the cut is torn.
    /// Returns the engine of the node's next life.
    #[must_use]
    pub fn crash(&self, rng: &mut dyn Rng) -> MemEngine {
        self.crash_with_report(rng).0
    }

    /// [`Disk::crash`], and what it did.
    #[must_use]
    pub fn crash_with_report(&self, rng: &mut dyn Rng) -> (MemEngine, CrashReport) {
        let mut state = self.write_state();
        let mut left = rng.random_range(0..=state.undo_bytes);
        let mut kept = 0;
        while let Some(batch) = state.undo.get(kept).filter(|batch| batch.len <= left) {
            left -= batch.len;
            kept += 1;
        }
        let report = CrashReport { kept, lost: state.undo.len() - kept, torn: left > 0 };
        state.take_back_to(kept);
        drop(state);
        (self.open(), report)
    }

    /// The worst crash: every unsynced batch is lost.
    #[must_use]
    pub fn crash_losing_unsynced(&self) -> MemEngine {
        self.write_state().take_back_to(0);
        self.open()
    }

    /// A copy of all that is visible now, as somebody makes of a folder.
    #[must_use]
    pub fn image(&self) -> Image {
        Image { trees: self.read_state().trees.clone() }
    }

    /// Somebody puts a copy back: the disk holds what it held then, durably, and what came after is
    /// gone. An engine opened earlier gets errors from now on.
    pub fn put_back(&self, image: &Image) {
        let mut state = self.write_state();
        state.trees = image.trees.clone();
        state.undo.clear();
        state.undo_bytes = 0;
        state.life += 1;
    }

    /// The next sync fails, and the disk with it, until it is opened again (S3). What was unsynced
    /// may or may not survive the crash that must follow.
    pub fn fail_next_sync(&self) {
        self.write_state().fail_next_sync = true;
    }

    /// The next write fails as on a full disk, and the disk with it, until it is opened again (S3).
    pub fn fail_next_write(&self) {
        self.write_state().fail_next_write = true;
    }

    /// Whether syncs do what they say.
    pub fn set_sync(&self, mode: SyncMode) {
        self.write_state().sync = mode;
    }

    /// Flips one random bit of the value stored under a key: rot that only a checksum shows. False
    /// if there is no such value, or an empty one.
    pub fn flip_bit(&self, cf: Cf, key: &[u8], rng: &mut dyn Rng) -> bool {
        let mut state = self.write_state();
        let tree = &mut state.trees[cf as usize];
        let Some(value) = tree.get(key).filter(|value| !value.is_empty()) else { return false };
        let mut bytes = value.to_vec();
        let bit = rng.random_range(0..bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        tree.insert(Bytes::copy_from_slice(key), bytes.into());
        true
    }

    /// Batches that a crash may lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.read_state().undo.len()
    }

    /// Successful syncs so far: group commit shows here.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.read_state().syncs
    }

    pub(super) fn read<T>(
        &self,
        life: u64,
        read: impl FnOnce(&Trees) -> T,
    ) -> Result<T, EngineError> {
        let state = self.read_state();
        state.check_life(life, "reading")?;
        Ok(read(&state.trees))
    }

    pub(super) fn write(&self, life: u64, batch: WriteBatch) -> Result<(), EngineError> {
        let mut state = self.write_state();
        state.check_life(life, "writing")?;
        if std::mem::take(&mut state.fail_next_write) {
            state.fail("writing", "no space left on device");
        }
        state.check_failed()?;
        state.apply(batch);
        Ok(())
    }

    pub(super) fn sync(&self, life: u64) -> Result<(), EngineError> {
        let mut state = self.write_state();
        state.check_life(life, "syncing")?;
        if std::mem::take(&mut state.fail_next_sync) {
            state.fail("syncing", "input/output error");
        }
        state.check_failed()?;
        state.syncs += 1;
        match state.sync {
            SyncMode::Lying => {}
            SyncMode::Honest => {
                state.undo.clear();
                state.undo_bytes = 0;
            }
        }
        Ok(())
    }

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nothing panics while it changes the disk")
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("nothing panics while it changes the disk")
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read_state();
        f.debug_struct("Disk")
            .field("life", &state.life)
            .field("unsynced", &state.undo.len())
            .field("failed", &state.failed)
            .finish_non_exhaustive()
    }
}

impl State {
    fn apply(&mut self, batch: WriteBatch) {
        let mut undo = Undo { before: Vec::new(), len: RECORD_HEADER_BYTES };
        for op in batch.ops {
            match op {
                Op::Put(cf, key, value) => self.change(&mut undo, cf, own(&key), Some(own(&value))),
                Op::Delete(cf, key) => self.change(&mut undo, cf, own(&key), None),
                Op::DeleteRange(cf, start, end) => {
                    for key in self.trees[cf as usize].keys_between(&start, &end) {
                        self.change(&mut undo, cf, key, None);
                    }
                }
            }
        }
        self.undo_bytes += undo.len;
        self.undo.push_back(undo);
        while self.undo_bytes > UNSYNCED_BYTES_MAX {
            let oldest = self.undo.pop_front().expect("there are bytes, so there is a batch");
            self.undo_bytes -= oldest.len;
        }
    }

    fn change(&mut self, undo: &mut Undo, cf: Cf, key: Bytes, value: Option<Bytes>) {
        let value_len = value.as_ref().map_or(0, Bytes::len);
        let tree = &mut self.trees[cf as usize];
        let before = match value {
            Some(value) => tree.insert(key.clone(), value),
            None => tree.remove(&key),
        };
        undo.len += key.len() + value_len.max(before.as_ref().map_or(0, Bytes::len));
        undo.before.push((cf, key, before));
    }

    /// Takes back all unsynced batches but the oldest `kept`; what is left then is on the disk.
    fn take_back_to(&mut self, kept: usize) {
        while self.undo.len() > kept {
            let undo = self.undo.pop_back().expect("its length is above zero");
            for (cf, key, before) in undo.before.into_iter().rev() {
                let tree = &mut self.trees[cf as usize];
                match before {
                    Some(value) => drop(tree.insert(key, value)),
                    None => drop(tree.remove(&key)),
                }
            }
        }
        self.undo.clear();
        self.undo_bytes = 0;
    }

    fn fail(&mut self, doing: &str, cause: &str) {
        self.failed =
            Some(EngineError { doing: doing.into(), cause: cause.into(), corruption: false });
    }

    fn check_failed(&self) -> Result<(), EngineError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn check_life(&self, life: u64, doing: &str) -> Result<(), EngineError> {
        if self.life == life {
            return Ok(());
        }
        let cause = format!("opened again: this is life {life} of the disk, not {}", self.life);
        Err(EngineError { doing: doing.into(), cause, corruption: false })
    }
}

/// The bytes alone: a slice of a large buffer, such as a message, would keep all of it alive.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
