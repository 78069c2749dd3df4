//! Quorums, and memberships that must not be.

use keys::NodeId;
use proptest::prelude::*;

use super::{MAX_VOTERS, Membership, MembershipError};

fn nodes(n: u32) -> Vec<NodeId> {
    (1..=n).map(NodeId).collect()
}

#[test]
fn invalid_memberships_are_refused_with_what_is_wrong() {
    for voters in [vec![], vec![NodeId(0)], vec![NodeId(1), NodeId(1)], nodes(16)] {
        let error = Membership::majority(voters.clone()).expect_err("no valid set");
        assert_eq!(error, MembershipError::Voters(voters));
    }
    for (phase1, phase2) in [(0, 3), (3, 0), (4, 1), (1, 4), (1, 2), (2, 1)] {
        let error = Membership::flexible(nodes(3), phase1, phase2).expect_err("quorums may miss");
        assert_eq!(error, MembershipError::Quorums { voters: 3, phase1, phase2 });
        assert!(error.to_string().contains("of 3 voters"), "{error}");
    }
}

#[test]
fn invalid_membership_on_disk_is_not_read_back() {
    let valid = Membership::flexible(nodes(4), 1, 4).expect("they meet");
    let bytes = postcard::to_stdvec(&valid).expect("plain data");
    assert_eq!(postcard::from_bytes::<Membership>(&bytes).expect("just written"), valid);
    let invalid = postcard::to_stdvec(&(nodes(4), 1_usize, 3_usize)).expect("plain data");
    postcard::from_bytes::<Membership>(&invalid).expect_err("quorums that may miss each other");
}

proptest! {
    /// The naive twin counts: how many voters have reached at least this value?
    #[test]
    fn reached_by_phase2_is_the_largest_value_a_quorum_has(
        values in prop::collection::vec(0_u64..8, 1..=MAX_VOTERS),
        phase2 in 1..=MAX_VOTERS,
    ) {
        let n = values.len();
        let phase2 = phase2.min(n);
        let membership = Membership::flexible(nodes(n as u32), n, phase2).expect("they meet");
        let reached = |t: u64| values.iter().filter(|v| **v >= t).count() >= phase2;
        let naive = (0..8).rev().find(|t| reached(*t));
        prop_assert_eq!(membership.reached_by_phase2(values.iter().copied()), naive);
    }

    /// Any two quorums of the two phases meet.
    #[test]
    fn quorums_meet(n in 1..=MAX_VOTERS, one in 1..=MAX_VOTERS, two in 1..=MAX_VOTERS) {
        let meets = one <= n && two <= n && one + two > n;
        prop_assert_eq!(Membership::flexible(nodes(n as u32), one, two).is_ok(), meets);
    }
}
