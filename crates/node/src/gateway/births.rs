//! Replicas that were not made when their range was.
//!
//! A range is made on a majority of its voters, its leader among them; a voter that is down then makes
//! its replica later. Nothing is wrong with that: to the others it is as if it had been slow. It begins
//! with the range's state at birth, which all voters begin with, and never makes it twice, since what it
//! voted is on its disk, and a node that lost its disk is refused. Who is to be told is known to
//! whoever leads the range: the voters that never answered it.

use std::{collections::BTreeSet, time::Duration};

use keys::NodeId;
use kv::Descriptor;

use super::Gateway;
use crate::{
    message::{NodeAnswer, NodeQuestion},
    store::StoreInput,
};

/// How often a node looks for such voters of the ranges that it leads.
pub const HEALED_EVERY: Duration = Duration::from_secs(2);

/// How long a voter has to make a replica.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most replicas that are asked for in one look.
const AT_ONCE: usize = 64;

impl Gateway {
    /// Has replicas made where they are missing, for as long as the node runs.
    pub async fn heal_births(self) {
        loop {
            timer::sleep(HEALED_EVERY).await;
            let now = self.shared.mono();
            // Voters of ranges led here that never answered, and the ranges as they were born.
            let missing = self.shared.of_all_shards(StoreInput::Unborn).await.into_iter();
            let live = missing.filter(|(voter, _)| self.shared.members.is_live(*voter, now));
            let asked = live.take(AT_ONCE).map(|(voter, range)| self.heal(voter, range));
            futures::future::join_all(asked).await;
        }
    }

    async fn heal(&self, voter: NodeId, range: Descriptor) {
        let id = range.id;
        let answer = self.ask(voter, NodeQuestion::CreateRange(range), PATIENCE).await;
        if matches!(answer, Some(NodeAnswer::Done)) {
            tracing::info!(%voter, "{id} has its replica now");
        }
    }

    /// Has the replicas of a new range made. Answers which voters did not make theirs, once the leader
    /// and a majority did, and the others either did, too, or are not there, or had `grace` to.
    ///
    /// # Errors
    /// Why there is no such majority, or no leader, for people.
    pub async fn give_birth(
        &self,
        range: &Descriptor,
        patience: Duration,
        grace: Duration,
    ) -> Result<BTreeSet<NodeId>, String> {
        use futures::{StreamExt, stream::FuturesUnordered};
        let leader = range.preferred_leader;
        let make = |node: NodeId| async move {
            let question = NodeQuestion::CreateRange(range.clone());
            (node, self.ask(node, question, patience).await)
        };
        let mut missing: BTreeSet<NodeId> =
            range.voters.iter().copied().filter(|node| *node != leader).collect();
        let mut asked: FuturesUnordered<_> = missing.iter().copied().map(make).collect();
        let majority = range.voters.len() / 2 + 1;
        let mut why = None;
        loop {
            // The leader's comes last: when it is made it asks the others for its lease at once.
            let enough = range.voters.len() - missing.len() >= majority;
            let hope = missing.iter().any(|node| !self.shared.members.is_gone(*node));
            let next = match (enough, hope) {
                (true, false) => None,
                (true, true) => timer::timeout(grace, asked.next()).await.ok().flatten(),
                (false, _) => asked.next().await,
            };
            let Some((node, answer)) = next else { break };
            match made(node, answer) {
                Ok(()) => drop(missing.remove(&node)),
                Err(refused) => why = Some(refused),
            }
        }
        let others = range.voters.len() - missing.len();
        if others < majority {
            return Err(why.unwrap_or_else(|| "no majority of its voters answers".to_owned()));
        }
        let (_, answer) = make(leader).await;
        made(leader, answer).map(|()| missing)
    }
}

fn made(node: NodeId, answer: Option<NodeAnswer>) -> Result<(), String> {
    match answer {
        Some(NodeAnswer::Done) => Ok(()),
        Some(NodeAnswer::Refused(why)) => Err(format!("{node}: {why}")),
        Some(
            NodeAnswer::Pong(_)
            | NodeAnswer::Objection(_)
            | NodeAnswer::Stats(_)
            | NodeAnswer::Spans(..),
        )
        | None => Err(format!("{node}: no answer")),
    }
}
