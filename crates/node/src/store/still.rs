//! A shard and its node's clock: it stands still while that is in doubt (T6), and keeps the bound that
//! it may reach durable (T1).

use std::time::Duration;

use clock::Now;
use storage::EngineError;

use super::{Store, shards::Shard};
use crate::{guard::Guard, time::NodeClock};

/// How long a shard that stands still pauses before it reads the clock again (T6).
const STILL: Duration = Duration::from_millis(10);

/// T6: a reading that can be trusted. Waits for one: what has come, and what became durable, is
/// taken in afterwards, as if it had been late.
pub(super) async fn steady(clock: &NodeClock, guard: &Guard) -> Now {
    loop {
        let now = clock.now();
        if now.tt.is_bounded() {
            return now;
        }
        guard.alarm(clock.source().jumps());
        timer::sleep(STILL).await;
    }
}

impl Store {
    /// T1: the clock's durable upper bound runs ahead of what the clock may give out.
    pub(super) fn keep_clock_bound(&mut self, now: Now) -> Result<(), EngineError> {
        if self.shard == Shard::FIRST
            && let Some(bound) = self.parts.clock.bound_to_write(now)
        {
            crate::identity::write_clock_bound(&self.engine, bound)?;
            self.unsynced.clock_bound = Some(bound);
        }
        Ok(())
    }
}
