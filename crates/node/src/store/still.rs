//! T6: a shard stands still while its node's clock is in doubt.

use std::time::Duration;

use clock::Now;

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
