//! The rules that may be dropped, to show that something notices.
//!
//! A checker that never fails proves nothing. So each place that keeps a rule asks [`Rules::keep`].
//! In the product the answer is always yes, [`Rules`] holds nothing, and the compiler removes the
//! question. In this crate's tests, and with the feature `broken-rules`, which only simulators turn
//! on, it is no for the rules under attack: the schedules must then find a violation.

/// A rule that may be dropped. Named after what the code keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// P0: a ballot is never used twice.
    BallotOnce,
    /// P1: a granter turns to no other node before its grant is over.
    GrantersWait,
    /// P1: nothing is granted below the promise.
    GrantIsPromise,
    /// P1: `until` never moves back at an acceptor.
    UntilMonotone,
    /// P2: the lease is what a phase-2 quorum granted, not the leader alone.
    LeaseQuorum,
    /// P3: a new leader respects the floor its promises report.
    Floor,
    /// P3: promises report grants that are over, too.
    ReportOverGrants,
    /// P4: the horizon stands for forgotten grants, after a restart.
    HorizonStandsIn,
    /// P5: a certificate frees from grants up to its ballot only.
    CertificateOneBallot,
    /// P5: a certificate's floor is at or above the one its leader started from.
    ReleaseFloor,
    /// P5: a released leader acts no more.
    ReleaseIsFinal,
    /// P7: a new leader acts only behind its opening entry.
    Opening,
    /// P7: what promises report is proposed again.
    RecoverAccepted,
    /// P8: entries behind one of a higher ballot are void.
    Fence,
    /// P8: entries behind a hole in their own leadership are void.
    FenceBehindHoles,
    /// P8: no-ops that fill a gap raise the fence, too.
    NoopsFence,
    /// A commit index speaks of entries accepted under its own ballot only.
    LearnOwnBallot,
    /// The leader's own acceptance counts once it is durable (S1).
    OwnAcceptanceDurable,
    /// A voter that truncated what a candidate lacks turns it down.
    BehindRefused,
    /// A snapshot brings the fence of the slots it stands for (P8).
    SnapshotFence,
}

/// Which rules are kept: all of them, in the product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// A bit for each rule dropped.
    #[cfg(any(test, feature = "broken-rules"))]
    dropped: u32,
}

impl Rules {
    /// All but this one.
    #[cfg(any(test, feature = "broken-rules"))]
    #[must_use]
    pub fn without(rule: Rule) -> Rules {
        Rules::without_all(&[rule])
    }

    /// All but these.
    #[cfg(any(test, feature = "broken-rules"))]
    #[must_use]
    pub fn without_all(rules: &[Rule]) -> Rules {
        Rules { dropped: rules.iter().fold(0, |bits, rule| bits | 1 << *rule as u32) }
    }

    /// Whether this rule is kept.
    #[inline]
    #[cfg_attr(
        not(any(test, feature = "broken-rules")),
        expect(clippy::unused_self, reason = "the product drops no rules")
    )]
    pub(crate) fn keep(self, rule: Rule) -> bool {
        #[cfg(any(test, feature = "broken-rules"))]
        return self.dropped & (1 << rule as u32) == 0;
        #[cfg(not(any(test, feature = "broken-rules")))]
        {
            let _: Rule = rule;
            true
        }
    }
}

#[cfg(not(any(test, feature = "broken-rules")))]
const _: () = assert!(size_of::<Rules>() == 0, "the product has nothing to drop");
