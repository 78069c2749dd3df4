//! Calls that nobody waits for any more.

use keys::{NodeId, RangeId};

use super::Shared;
use crate::{
    message::{CallId, NodeMessage},
    store::StoreInput,
};

/// Tells the replica that was asked when nobody waits for its answer any more: the session was
/// cancelled, its statement ran out of time, its client went away, or another replica was faster.
///
/// There is one for each call under way at most ([`crate::calls::MAX_CALLS`]). It is not sent again:
/// a request whose cancel is lost ends at its own deadline.
pub(super) struct CancelOnDrop<'a> {
    pub shared: &'a Shared,
    pub to: NodeId,
    pub range: RangeId,
    pub call: CallId,
}

impl CancelOnDrop<'_> {
    /// The call is over: there is nothing to cancel.
    pub fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let CancelOnDrop { shared, to, range, call } = *self;
        let local = shared.members.local().id;
        if to == local {
            shared.to_store(shared.mono(), range, StoreInput::Cancel(local, call));
        } else {
            shared.send_or_lose(to, NodeMessage::Cancel(range, call));
        }
    }
}
