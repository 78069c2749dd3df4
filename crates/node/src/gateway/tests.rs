//! What a gateway makes of requests that cannot be sent.

use keys::{NodeId, RangeId};
use kv::KvError;
use net::SendError;

use super::unsent;

/// It is final: whoever takes it for a lost answer asks again and again.
#[test]
fn a_request_that_no_message_holds_is_not_lost_but_too_large() {
    let (to, range) = (NodeId(2), RangeId(7));
    let error = unsent(to, range, &SendError::TooLarge(net::MESSAGE_LIMIT_BYTES + 1));
    let KvError::TooLarge { range: named, bytes, limit } = error else { panic!("{error}") };
    assert_eq!((named, bytes), (range, limit + 1));
    for passing in [SendError::NotConnected(to), SendError::QueueFull(to)] {
        let error = unsent(to, range, &passing);
        assert!(matches!(error, KvError::AnswerLost { node, .. } if node == to), "{error}");
    }
}
