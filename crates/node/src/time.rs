//! A node's time: its clock and its hybrid logical clock together, shared by store, gateway and
//! inbound messages. Rules T1 and T2 are kept by [`clock::Hlc`]; here they meet threads and disk.
//!
//! T6: whoever is about to act on a reading looks whether it has an upper end. One that has none is of
//! a clock in doubt ([`clock::Trust`]), and the node stands still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::{Clock, ClockOutOfBounds, Doubt, Hlc, Jumps, Now, Timestamp, UpperBound};

/// The clock and the HLC of one node.
#[derive(Debug)]
pub struct NodeClock {
    clock: Arc<dyn Clock>,
    hlc: Mutex<Hlc>,
}

impl NodeClock {
    /// The node's time. `hlc` must already have a durable bound.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, hlc: Hlc) -> NodeClock {
        NodeClock { clock, hlc: Mutex::new(hlc) }
    }

    fn hlc(&self) -> MutexGuard<'_, Hlc> {
        // A panic elsewhere stops the node; the clock's state is whole at every await and panic.
        self.hlc.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reading for the protocol cores.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { tt: self.clock.now(), mono: self.clock.mono() }
    }

    /// T6: reads the clock: why is it in doubt? `None`: it is not.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        if self.clock.now().is_bounded() {
            return None;
        }
        self.clock.doubt()
    }

    /// A reading to compare with other clocks, in doubt or not: never to act on. With it, how many
    /// jumps the clock had seen before.
    #[must_use]
    pub fn comparable(&self) -> (Now, Jumps) {
        let jumps = self.clock.jumps();
        (Now { tt: self.clock.claimed(), mono: self.clock.mono() }, jumps)
    }

    /// The clock seam itself.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// A stamp for a message (T2).
    #[must_use]
    pub fn stamp(&self) -> Timestamp {
        self.hlc().now(self.clock.now())
    }

    /// Merges a message's stamp (T2). On an error the message must be dropped.
    pub fn merge(&self, remote: Timestamp) -> Result<(), ClockOutOfBounds> {
        self.hlc().update(self.clock.now(), remote)
    }

    /// The largest timestamp given or merged so far.
    #[must_use]
    pub fn observed(&self) -> Timestamp {
        self.hlc().last()
    }

    /// Messages refused because their sender's clock is broken.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.hlc().refused()
    }

    /// The bound to write now, if any (T1).
    #[must_use]
    pub fn bound_to_write(&self, now: Now) -> Option<u64> {
        self.hlc().bound_to_persist(now.tt).map(|bound| bound.0)
    }

    /// The bound that is durable now (T1): how far the folder reaches (P0a).
    #[must_use]
    pub fn durable_bound(&self) -> UpperBound {
        self.hlc().upper_bound()
    }

    /// The bound is durable.
    pub fn bound_written(&self, bound: u64) {
        self.hlc().persisted(UpperBound(bound));
    }
}
