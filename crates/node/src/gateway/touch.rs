//! Pings: who is there, how far away, and whether its clock agrees with the one here.

use std::time::Duration;

use clock::{Doubt, Interval};
use keys::NodeId;

use super::Gateway;
use crate::{
    guard::{Judgement, Moment, Opinion},
    message::{NodeAnswer, NodeQuestion},
};

/// How long a node has to answer a ping.
const PING_PATIENCE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Measures the round trip to every other node and notes who is there, until the node stops:
    /// often at first, until each has answered once.
    pub async fn keep_in_touch(self, every: Duration) {
        let mut pause = every / 16;
        loop {
            let others: Vec<NodeId> = {
                let local = self.shared.members.local().id;
                self.shared.members.iter().map(|m| m.id).filter(|id| *id != local).collect()
            };
            let pings = others.into_iter().map(|id| self.ping(id, PING_PATIENCE));
            let answered = futures::future::join_all(pings).await;
            let Judgement { disputed, confirmed } = self.judge();
            if confirmed || answered.is_empty() {
                self.confirm();
            }
            let in_doubt = self.shared.clock.doubt().is_some();
            tokio::select! {
                biased;
                () = self.shared.guard.alarmed() => {}
                () = timer::sleep(if in_doubt { every / 16 } else { pause }) => {}
            }
            pause = if disputed {
                // It should not last longer than it must, whoever is wrong.
                every / 8
            } else if answered.into_iter().all(|answered| answered) {
                every
            } else {
                every.min(pause * 2)
            };
        }
    }

    /// What the pings of a round come to.
    fn judge(&self) -> Judgement {
        let (now, after) = self.shared.clock.comparable();
        self.shared.guard.judge(now.tt.epsilon(), Moment { at: now.mono, after })
    }

    /// T6: the peers agree with this node's time, or there are none: what its source claims may be
    /// believed. A jump after they were asked is not confirmed by what they said.
    fn confirm(&self) {
        let (node, clock) = (self.shared.members.local().id, self.shared.clock.source());
        let (_, after) = self.shared.clock.comparable();
        if let Some(Doubt::Jumped { jump, number, .. }) = clock.doubt()
            && number == after
        {
            clock.vouch(after);
            tracing::warn!(%node, "{node} and its peers agree about the time again: {jump}");
        }
    }

    async fn ping(&self, node: NodeId, patience: Duration) -> bool {
        let (before, asked) = self.shared.clock.comparable();
        let answer = self.ask(node, NodeQuestion::Ping, patience).await;
        let (after, answered) = self.shared.clock.comparable();
        let Some(NodeAnswer::Pong(reading)) = answer else {
            self.shared.members.silent(node);
            return false;
        };
        self.shared.members.measured(node, after.mono.since(before.mono), after.mono);
        self.shared.members.stopped(node, reading.distrust);
        // A clock that jumped meanwhile, or of which nothing is claimed, cannot be compared.
        let bounded = [before.tt, reading.interval, after.tt].into_iter().all(Interval::is_bounded);
        if bounded && asked == answered && asked == self.shared.clock.source().jumps() {
            let opinion = Opinion::new(before.tt, reading.interval, after.tt);
            let when = Moment { at: after.mono, after: asked };
            self.shared.guard.heard(node, opinion, when);
        }
        true
    }
}
