//! The rules a test may drop.
//!
//! A checker that never fails proves nothing. So places that keep a rule ask [`Rules::keep`], which
//! always says yes in the product (the compiler removes the question), and in this crate's tests
//! says no to the rule under attack: the random schedules must then find a violation.

/// A rule that a test may drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// T3: s is at least `TT.now().latest` at the deciding leader.
    Start,
    /// X3a: s is above the snapshot (and every prepare timestamp, R1).
    Above,
    /// T4: an acknowledgement waits for `TT.after(s)`.
    CommitWait,
    /// T5: a read returns a version only once it is past.
    ReadWait,
    /// P2: no read at or beyond the lease end.
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
    /// X5: a holder that promised lets go by the record's word only.
    PromiseKept,
}

/// Which rules are kept: all, outside of tests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(test)]
    dropped: &'static [Rule],
}

impl Rules {
    /// All but these.
    #[cfg(test)]
    pub(crate) fn without(dropped: &'static [Rule]) -> Rules {
        Rules { dropped }
    }

    /// Whether this rule is kept.
    #[inline]
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests drop rules"))]
    pub(crate) fn keep(self, rule: Rule) -> bool {
        #[cfg(test)]
        return !self.dropped.contains(&rule);
        #[cfg(not(test))]
        {
            let _: Rule = rule;
            true
        }
    }
}
