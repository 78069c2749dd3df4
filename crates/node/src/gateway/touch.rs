//! Pings: who is there, how far away, and whether its clock agrees with the one here.

use std::time::Duration;

use clock::{Doubt, Interval, Jumps};
use keys::NodeId;

use super::Gateway;
use crate::{
    guard::{ADVICE, Judgement, Moment, Opinion},
    message::{NodeAnswer, NodeQuestion},
};

/// How long a node has to answer a ping.
pub(super) const PING_PATIENCE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Measures the round trip to every other node and notes who is there, until the node stops:
    /// often at first, until each has answered once.
    pub async fn keep_in_touch(self, every: Duration) {
        let mut pause = every / 16;
        let mut told = None;
        loop {
            self.tell(&mut told);
            let others: Vec<NodeId> = {
                let local = self.shared.members.local().id;
                self.shared.members.iter().map(|m| m.id).filter(|id| *id != local).collect()
            };
            let pings = others.into_iter().map(|id| self.ping(id, PING_PATIENCE));
            let answered = futures::future::join_all(pings).await;
            let (now, after) = self.shared.clock.comparable();
            let moment = Moment { at: now.mono, after };
            let judgement = self.shared.guard.judge(now.tt.epsilon(), moment);
            let Judgement { disputed, confirmed } = judgement;
            if confirmed || answered.is_empty() {
                self.confirm(after);
            }
            self.tell(&mut told);
            tokio::select! {
                biased;
                () = self.shared.guard.alarmed() => {}
                () = timer::sleep(if told.is_some() { every / 16 } else { pause }) => {}
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

    /// T6: after so many jumps the peers agree with this node's time, or there are none: what its source
    /// claims may be believed. A jump since then is not confirmed by it.
    fn confirm(&self, after: Jumps) {
        let clock = self.shared.clock.source();
        if let Some(Doubt::Jumped { number, .. }) = clock.doubt()
            && number == after
        {
            clock.vouch(after);
        }
    }

    /// Logs that the clock came into doubt, or is in none any more.
    fn tell(&self, told: &mut Option<Doubt>) {
        let node = self.shared.members.local().id;
        let doubt = self.shared.clock.doubt();
        match (&told, &doubt) {
            (None, Some(why)) => tracing::error!(%node, "{node} stands still: {why}. {ADVICE}"),
            (Some(_), None) => tracing::warn!(%node, "{node} serves again: its time is confirmed"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        *told = doubt;
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
