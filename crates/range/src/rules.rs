//! The rules of a range that may be dropped, to show that something
//! notices: see [`rules`].

rules::droppable! {
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
    /// R3: only what is past is closed.
    ClosePast,
    /// T5: a follower's read returns a version only once it is past.
    FollowerReadWait,
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
    /// X7b: a record goes only once its participants acknowledged.
    Acknowledged,
    /// X8: who is refused is poisoned first.
    PoisonFirst,
    /// X8: a repeated commit is answered from the record.
    RecordFirst,
    /// X5: a holder that promised lets go by the record's word only, not because its gateway says
    /// so, and not because an older one waits.
    PromiseKept,
}
