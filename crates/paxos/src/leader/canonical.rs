//! The canonical form of a leader, for the model checker.

use clock::{Mono, Now};

use super::Leader;
use crate::Config;

impl Leader {
    /// See `Group::canonical`. Whoever is due to be asked may as well never have been asked, and no
    /// log is so long that a follower's window shows.
    pub(crate) fn canonical(&mut self, config: &Config, now: Now, rebased: u64) {
        let due = |asked: Option<Mono>| asked.filter(|at| now.mono < at.plus(config.renew_every));
        for (token, _, _) in &mut self.own.waiting {
            token.0 -= rebased;
        }
        self.own.asked = due(self.own.asked);
        for peer in self.peers.values_mut() {
            peer.asked = due(peer.asked);
            (peer.progress, peer.stray, peer.ask_at) = (Mono(0), None, None);
            peer.forget_window(config);
        }
    }
}
