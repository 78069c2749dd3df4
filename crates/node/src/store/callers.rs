//! Who waits for answers of this node's replicas.
//!
//! A request has two names: the token by which its replica knows it, and the call by which whoever
//! asked knows it. An answer comes with the token, a cancel with the call. A frame that came twice
//! asks twice under one call; a cancel means both.

use std::collections::BTreeSet;

use keys::{NodeId, RangeId};
use kv::{KvError, Reply};
use range::RequestToken;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::message::CallId;

/// Who waits for an answer.
#[derive(Debug)]
pub enum Caller {
    /// This node's own gateway.
    Local(CallId, oneshot::Sender<Result<Reply, KvError>>),
    /// Another node's.
    Remote(NodeId, CallId),
}

impl Caller {
    /// The node whose gateway asks, at this node.
    pub(super) fn node(&self, local: NodeId) -> NodeId {
        match self {
            Caller::Local(..) => local,
            Caller::Remote(node, _) => *node,
        }
    }

    /// Whether nobody waits for the answer any more, as far as one can see here.
    pub(super) fn has_gone(&self) -> bool {
        match self {
            Caller::Local(_, waiting) => waiting.is_closed(),
            Caller::Remote(..) => false,
        }
    }
}

/// A request at a replica.
#[derive(Debug)]
struct Pending {
    caller: Caller,
    range: RangeId,
}

/// All requests that are at replicas. As many as those hold: each bounds what it parks.
#[derive(Debug)]
pub(super) struct Callers {
    node: NodeId,
    next_token: u64,
    by_token: FxHashMap<RequestToken, Pending>,
    by_call: BTreeSet<(NodeId, CallId, RequestToken)>,
}

impl Callers {
    /// Nobody waits yet at this node.
    pub fn new(node: NodeId) -> Callers {
        let (by_token, by_call) = (FxHashMap::default(), BTreeSet::new());
        Callers { node, next_token: 1, by_token, by_call }
    }

    /// A request goes to a replica of this range; the name by which that knows it.
    pub fn begin(&mut self, caller: Caller, range: RangeId) -> RequestToken {
        let token = RequestToken(self.next_token);
        self.next_token += 1;
        let (node, call) = self.call_of(&caller);
        self.by_call.insert((node, call, token));
        self.by_token.insert(token, Pending { caller, range });
        token
    }

    /// The request is answered; to whom the answer goes. `None`: nobody waits for it any more.
    pub fn end(&mut self, token: RequestToken) -> Option<Caller> {
        let Pending { caller, .. } = self.by_token.remove(&token)?;
        let (node, call) = self.call_of(&caller);
        self.by_call.remove(&(node, call, token));
        Some(caller)
    }

    /// The range answers nothing any more: all who wait for it.
    pub fn end_all(&mut self, range: RangeId) -> Vec<Caller> {
        let of_range = self.by_token.iter().filter(|(_, pending)| pending.range == range);
        let mut tokens: Vec<RequestToken> = of_range.map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        tokens.into_iter().filter_map(|token| self.end(token)).collect()
    }

    /// Nobody waits for the answer to this call of this node any more; the requests that came with
    /// it and are not answered, and where they are.
    pub fn cancel(&mut self, from: NodeId, call: CallId) -> Vec<(RequestToken, RangeId)> {
        let named = (from, call, RequestToken(0))..=(from, call, RequestToken(u64::MAX));
        let tokens: Vec<RequestToken> =
            self.by_call.range(named).map(|(.., token)| *token).collect();
        let mut cancelled = Vec::with_capacity(tokens.len());
        for token in tokens {
            self.by_call.remove(&(from, call, token));
            cancelled.extend(self.by_token.remove(&token).map(|pending| (token, pending.range)));
        }
        cancelled
    }

    fn call_of(&self, caller: &Caller) -> (NodeId, CallId) {
        match caller {
            Caller::Local(call, _) => (self.node, *call),
            Caller::Remote(node, call) => (*node, *call),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_stops_ends_what_waits_for_it_and_nothing_else() {
        let mut callers = Callers::new(NodeId(1));
        let remote = |call| Caller::Remote(NodeId(2), CallId(call));
        callers.begin(remote(1), RangeId(4));
        let other = callers.begin(remote(2), RangeId(5));
        callers.begin(remote(3), RangeId(4));
        let ended = callers.end_all(RangeId(4));
        assert!(matches!(ended[..], [Caller::Remote(_, CallId(1)), Caller::Remote(_, CallId(3))]));
        assert!(callers.end_all(RangeId(4)).is_empty() && callers.end(other).is_some());
    }

    #[test]
    fn a_cancel_ends_what_came_under_its_name_and_nothing_else() {
        let mut callers = Callers::new(NodeId(1));
        let remote = |node, call| Caller::Remote(NodeId(node), CallId(call));
        let first = callers.begin(remote(2, 7), RangeId(4));
        let again = callers.begin(remote(2, 7), RangeId(4));
        let other = callers.begin(remote(3, 7), RangeId(5));
        let (sender, _receiver) = oneshot::channel();
        let local = callers.begin(Caller::Local(CallId(7), sender), RangeId(6));
        let cancelled = callers.cancel(NodeId(2), CallId(7));
        assert_eq!(cancelled, [(first, RangeId(4)), (again, RangeId(4))]);
        assert!(callers.end(first).is_none(), "a cancelled request has nobody to be told");
        assert!(callers.cancel(NodeId(2), CallId(7)).is_empty(), "a second cancel is nothing");
        assert!(callers.end(other).is_some());
        assert!(callers.cancel(NodeId(3), CallId(7)).is_empty(), "it was answered before");
        assert_eq!(callers.cancel(NodeId(1), CallId(7)), [(local, RangeId(6))]);
        assert!(callers.by_call.is_empty() && callers.by_token.is_empty());
    }
}
