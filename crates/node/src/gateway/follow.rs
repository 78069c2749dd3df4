//! Leaders follow the load: a range that is asked through one gateway for the most part is led there.
//!
//! Each request that a gateway sends to another node costs a message there and one back, and both nodes
//! the work of writing and reading it. Where the clients are is not known when a range is made; it shows
//! in what they ask. So each node counts, for the ranges that it leads, which node's gateway asked how
//! often, and looks at it now and then ([`Leaders::Follow`]). What one of the range's other voters asks
//! for the most, in two looks in a row, it is to lead (P5).
//!
//! A leader stays in its region: that was chosen by whoever made the range, or moved its leader there.
//! Within a region it goes where it likes, so a leader placed on a node by hand stays there only while
//! the load does, or with [`Leaders::Stay`].

use std::{collections::BTreeMap, time::Duration};

use keys::{NodeId, RangeId};
use kv::{Descriptor, RangeRequest, RangeSender, Request};

use super::Gateway;
use crate::store::StoreInput;

/// A voter asks for the most of a range if its share is more than this, in hundredths. Above a half, so
/// that of two that ask alike neither gets it.
const MOST: u64 = 70;

/// Ranges that are handed over in one look, at most.
const AT_ONCE: usize = 16;

/// How long a hand-over may take, draining included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the leaders of ranges are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaders {
    /// Where they were put, until they fail.
    Stay,
    /// Where most of the requests come from, within their region.
    Follow(FollowLoad),
}

/// How leaders follow the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowLoad {
    /// How often a node looks at who asks for the ranges that it leads.
    pub every: Duration,
    /// Requests between two looks below which a range is not worth a move.
    pub least: u32,
}

impl Default for FollowLoad {
    fn default() -> FollowLoad {
        FollowLoad { every: Duration::from_secs(2), least: 200 }
    }
}

/// A range led here, and how often each node asked for it since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The range.
    pub range: Descriptor,
    /// Requests by node.
    pub by: BTreeMap<NodeId, u32>,
}

impl Gateway {
    /// Hands over the ranges that others ask for the most, for as long as the node runs.
    pub async fn follow_the_load(self, leaders: Leaders) {
        let Leaders::Follow(follow) = leaders else { return };
        let mut before = BTreeMap::new();
        loop {
            timer::sleep(follow.every).await;
            let asked = self.shared.of_all_shards(StoreInput::Asked).await;
            let wanted =
                |asked: &Asked| Some((asked.range.id, self.wanted_at(asked, follow.least)?));
            let now: BTreeMap<RangeId, NodeId> = asked.iter().filter_map(wanted).collect();
            let again = now.iter().filter(|(range, to)| before.get(*range) == Some(*to));
            let moves = again.take(AT_ONCE).map(|(range, to)| self.give_way(*range, *to));
            futures::future::join_all(moves).await;
            before = now;
        }
    }

    /// The voter that is to lead the range in place of this node, if it is there.
    fn wanted_at(&self, asked: &Asked, least: u32) -> Option<NodeId> {
        let members = &self.shared.members;
        let local = members.local();
        let near = |node: NodeId| members.get(node).is_some_and(|m| m.region == local.region);
        let wanted = asker_of_most(asked, least, local.id, near)?;
        members.is_live(wanted, self.shared.mono()).then_some(wanted)
    }

    async fn give_way(&self, range: RangeId, to: NodeId) {
        let request = Request::TransferLeader { to };
        let request = RangeRequest { range, deadline: PATIENCE, request, trace: None };
        let (node, given) = (self.local_node(), self.send(self.local_node(), request).await);
        match given {
            Ok(_) => tracing::info!(%node, "{to} asks for the most of {range}, and is to lead it"),
            // It is led elsewhere by now, or has too much to do: the next look shows.
            Err(error) => tracing::debug!(%node, "{range} stays, though {to} asks for it: {error}"),
        }
    }
}

/// The other voter whose gateway asks for the most of a range, if it is `near`.
fn asker_of_most(
    asked: &Asked,
    least: u32,
    local: NodeId,
    near: impl Fn(NodeId) -> bool,
) -> Option<NodeId> {
    let all: u64 = asked.by.values().map(|count| u64::from(*count)).sum();
    let (node, count) = asked.by.iter().max_by_key(|(_, count)| **count)?;
    let most = u64::from(*count) * 100 > all * MOST;
    let fits = *node != local && asked.range.voters.contains(node) && near(*node);
    (all >= u64::from(least) && most && fits).then_some(*node)
}

#[cfg(test)]
mod tests {
    use keys::Span;

    use super::*;

    const LEAST: u32 = 200;

    /// Who is to lead instead of node 1, of a range with replicas on 1 to 3, where node 3 is far away.
    fn heir(by: &[(u32, u32)]) -> Option<u32> {
        let by = by.iter().map(|(node, count)| (NodeId(*node), *count)).collect();
        let range = Descriptor {
            id: RangeId(7),
            span: Span::new(vec![1], vec![2]),
            generation: 1,
            voters: vec![NodeId(1), NodeId(2), NodeId(3)],
            preferred_leader: NodeId(1),
        };
        let near = |node: NodeId| node != NodeId(3);
        asker_of_most(&Asked { range, by }, LEAST, NodeId(1), near).map(|node| node.0)
    }

    #[test]
    fn a_range_goes_to_the_near_voter_that_asks_for_the_most() {
        assert_eq!(heir(&[]), None);
        assert_eq!(heir(&[(2, LEAST)]), Some(2));
        assert_eq!(heir(&[(2, LEAST - 1)]), None, "not worth it");
        assert_eq!(heir(&[(1, LEAST)]), None, "it leads already");
        assert_eq!(heir(&[(3, LEAST)]), None, "another region");
        assert_eq!(heir(&[(4, LEAST)]), None, "no replica there");
        assert_eq!(heir(&[(1, 29), (2, 71), (4, 0)]), None, "few");
        assert_eq!(heir(&[(1, 290), (2, 710)]), Some(2));
        assert_eq!(heir(&[(1, 300), (2, 700)]), None, "others ask too much");
        assert_eq!(heir(&[(2, u32::MAX), (1, u32::MAX)]), None, "counts do not overflow");
        assert_eq!(heir(&[(2, u32::MAX), (1, 1)]), Some(2));
    }
}
