//! The rules that may be dropped, to show that something notices.
//!
//! A checker that never fails proves nothing. So each place that keeps a rule asks [`Rules::keep`].
//! In the product the answer is always yes, [`Rules`] holds nothing, and the compiler removes the
//! question. In this crate's tests, and with the feature `broken-rules`, which only simulators turn
//! on, it is no for the rules under attack: the schedules must then find a violation.

/// A rule that may be dropped. Named after what the code keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// T3: s is at least `TT.now().latest` at the deciding leader.
    Start,
    /// X3a: s is above the snapshot (and every prepare timestamp, R1).
    Above,
    /// T4: an acknowledgement waits for `TT.after(s)`.
    CommitWait,
    /// T5: a leader's read returns a version only once it is past.
    ReadWait,
    /// P2: no read at or beyond the lease end, and none once the lease is over.
    LeaseEnd,
    /// P3: a new leader's timestamps lie above the floor.
    Floor,
    /// R1: a new leader's timestamps lie above those of its log.
    LogTimestamps,
    /// R1a: who learns a commit at s raises `min_next` above s.
    Learned,
    /// R2: a read raises `min_next` above its snapshot.
    ReadRaises,
    /// R2: a read waits for writes in flight and intents.
    ReadWaitsForWrites,
    /// R3: closing time raises `min_next`.
    CloseRaises,
    /// R3: a follower's read waits for intents.
    FollowerIntents,
    /// X1: a newer version makes validation fail.
    Validation,
    /// X1: one that lies in the future, too.
    FutureVersions,
    /// X2: what is validated stays share-locked.
    SharedLocks,
    /// X2: a new leader enters intents as locks.
    RecoverIntents,
    /// X3: a validation is promised up to the lease end only.
    ValidThrough,
    /// X7: the first of decision and poison wins.
    FirstVerdict,
    /// X8: who is refused is poisoned first.
    PoisonFirst,
    /// X8: a repeated commit is answered from the record.
    RecordFirst,
    /// X5: a holder that promised lets go by the record's word only, not because its gateway says
    /// so, and not because an older one waits.
    PromiseKept,
}

/// Which rules are kept: all of them, in the product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
