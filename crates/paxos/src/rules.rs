//! The rules of Paxos and its leases that may be dropped, to show that something
//! notices: see [`rules`].

rules::droppable! {
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
