//! The shards of a node's store: which task drives which replica.
//!
//! Each replica is driven by one task, chosen by its range's number, so that all messages about a
//! range are handled in order and no two tasks ever touch one replica. The shards share the engine
//! and its one log; a sync that one of them asks for makes durable what all of them wrote (S1).
//!
//! The first shard also keeps what is the node's own: whom it knows, whether it is admitted, how far
//! its clock may go.

use std::sync::Arc;

use clock::Mono;
use keys::RangeId;

use super::{
    inbox::{Full, Inbox, Sender, WeakSender, inbox},
    input::StoreInput,
};

/// A shard's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard(usize);

/// The way to all shards. Cheap to clone; the store ends with the last one.
#[derive(Clone, Debug)]
pub struct Shards(Arc<[Sender]>);

/// The same without keeping the store alive.
#[derive(Clone, Debug)]
pub struct WeakShards(Arc<[WeakSender]>);

/// Which shard drives the replicas of a range.
#[must_use]
pub fn shard_of(range: RangeId, shards: usize) -> Shard {
    let count = u64::try_from(shards).expect("few shards");
    Shard(usize::try_from(range.0 % count).expect("less than the number of shards"))
}

impl Shard {
    /// The one that keeps what is the node's own.
    pub const FIRST: Shard = Shard(0);

    /// Its place among all.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

impl Shards {
    /// So many empty inboxes of a node, and their ends for the tasks.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn new(node: keys::NodeId, count: usize) -> (Shards, Vec<(Shard, Inbox)>) {
        assert!(count > 0, "a store of no shard");
        let (senders, inboxes): (Vec<Sender>, Vec<Inbox>) = (0..count).map(|_| inbox(node)).unzip();
        let inboxes = inboxes.into_iter().enumerate();
        (Shards(senders.into()), inboxes.map(|(index, inbox)| (Shard(index), inbox)).collect())
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Puts an input about a range before the shard that drives it. Deadlines count from `now`.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn push(&self, now: Mono, range: RangeId, input: StoreInput) -> Result<(), Full> {
        self.0[shard_of(range, self.0.len()).index()].push(now, input)
    }

    /// Puts an input about the node itself before the first shard.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn push_first(&self, now: Mono, input: StoreInput) -> Result<(), Full> {
        self.0[Shard::FIRST.index()].push(now, input)
    }

    /// Puts an input before a shard.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn push_to(&self, now: Mono, shard: Shard, input: StoreInput) -> Result<(), Full> {
        self.0[shard.index()].push(now, input)
    }

    /// The shards.
    pub fn each(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.0.len()).map(Shard)
    }

    /// Puts an input of its own before each shard, as far as there is room.
    pub fn push_all(&self, now: Mono, mut input: impl FnMut() -> StoreInput) {
        // One that has no room loses it: whoever asked it hears nothing, and says so.
        self.0.iter().for_each(|shard| drop(shard.push(now, input())));
    }

    /// The same without keeping the store alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakShards {
        WeakShards(self.0.iter().map(Sender::downgrade).collect())
    }
}

impl WeakShards {
    /// The way to all shards, while the store is kept alive.
    #[must_use]
    pub fn upgrade(&self) -> Option<Shards> {
        let senders: Option<Vec<Sender>> = self.0.iter().map(WeakSender::upgrade).collect();
        senders.map(|senders| Shards(senders.into()))
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
