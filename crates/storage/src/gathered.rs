//! Writes of one writer, gathered: what a round of the store writes reaches the engine as one batch.
//!
//! ```text
//!   step, step, step ... write ──► gathered ──────────► engine
//!                        get   ──► gathered, then engine
//!                        scan, cursor, snapshot: what is gathered goes to the engine first,
//!                                                if they could see any of it
//! ```
//!
//! A batch costs its engine a lock, a record of the log and a call of the operating system, whatever is
//! in it; and a key that several steps of a round write, such as how far a range has applied, needs to
//! be written once. So [`Gathered`] keeps what it is given until [`Gathered::write_out`], and is an
//! [`Engine`] meanwhile: its own reads see what it holds. Nobody else does before it is written out:
//! whoever owns it writes out before anything leaves that rests on what was written (S1).
//!
//! A crash loses all of a round or nothing: gathering makes batches larger, never smaller, and keeps
//! their order.
//!
//! It is for one writer. What it holds is bounded by [`GATHERED_BYTES`].

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    Cf, Cursor, Engine, EngineError, Op, Reader, Scan, Snapshot, WriteBatch, engine::Broken,
};

/// Once so many bytes are gathered they are written out, whatever else comes.
pub const GATHERED_BYTES: usize = 1 << 20;

/// An engine behind which one writer's batches are gathered.
#[derive(Debug)]
pub struct Gathered {
    engine: Arc<dyn Engine>,
    held: Mutex<Held>,
}

/// What is not written out: the last value of each key; `None`: it is deleted.
#[derive(Debug, Default)]
struct Held {
    families: [BTreeMap<Bytes, Option<Bytes>>; Cf::ALL.len()],
    /// Keys and values put since the last writing out, in bytes.
    bytes: usize,
}

impl Gathered {
    /// Nothing is gathered yet.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Gathered {
        Gathered { engine, held: Mutex::default() }
    }

    /// What is gathered becomes visible to all, as one batch. Durable after the next sync.
    ///
    /// # Errors
    /// If the disk fails (S3).
    pub fn write_out(&self) -> Result<(), EngineError> {
        let batch = self.held().take();
        if batch.is_empty() { Ok(()) } else { self.engine.write(batch) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it holds the lock in a state that others must not see.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes out if a scan could see any of it.
    fn write_out_for(&self, scan: &Scan<'_>) -> Result<(), EngineError> {
        if self.held().overlaps(scan) { self.write_out() } else { Ok(()) }
    }
}

impl Held {
    fn put(&mut self, cf: Cf, key: Bytes, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.families[cf as usize].insert(key, value);
    }

    fn take(&mut self) -> WriteBatch {
        let Held { families, .. } = std::mem::take(self);
        let mut batch = WriteBatch::new();
        for (cf, family) in Cf::ALL.into_iter().zip(families) {
            for (key, value) in family {
                match value {
                    Some(value) => batch.put(cf, key, value),
                    None => batch.delete(cf, key),
                }
            }
        }
        batch
    }

    fn overlaps(&self, scan: &Scan<'_>) -> bool {
        let family = &self.families[scan.cf as usize];
        let empty = match (scan.start, scan.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        !family.is_empty()
            && !empty
            && family.range::<[u8], _>((scan.start, scan.end)).next().is_some()
    }
}

impl Reader for Gathered {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if let Some(value) = self.held().families[cf as usize].get(key) {
            return Ok(value.clone());
        }
        self.engine.get(cf, key)
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        self.write_out_for(&scan)?;
        self.engine.scan(scan, visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        match self.write_out_for(&scan) {
            Ok(()) => self.engine.cursor(scan),
            Err(error) => Box::new(Broken(error)),
        }
    }
}

impl Engine for Gathered {
    fn write(&self, batch: WriteBatch) -> Result<(), EngineError> {
        let mut held = self.held();
        if batch.ops.iter().any(|op| matches!(op, Op::DeleteRange(..))) {
            // Which keys it removes only the engine knows: it goes there behind what is gathered.
            let mut gathered = held.take();
            drop(held);
            gathered.append(batch);
            return self.engine.write(gathered);
        }
        for op in batch.ops {
            match op {
                Op::Put(cf, key, value) => held.put(cf, key, Some(value)),
                Op::Delete(cf, key) => held.put(cf, key, None),
                Op::DeleteRange(..) => unreachable!("such batches were written out"),
            }
        }
        let full = held.bytes >= GATHERED_BYTES;
        drop(held);
        if full { self.write_out() } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.write_out()?;
        self.engine.sync()
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        match self.write_out() {
            Ok(()) => self.engine.snapshot(),
            Err(error) => Box::new(Broken(error)),
        }
    }

    fn name(&self) -> &'static str {
        self.engine.name()
    }
}

#[cfg(test)]
mod tests;
