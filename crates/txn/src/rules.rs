//! The rules of a gateway that may be dropped, to show that something
//! notices: see [`rules`].

rules::droppable! {
    /// X1: a transaction above READ COMMITTED reads one snapshot.
    OneSnapshot,
    /// X1: what a serializable transaction read is validated, not only what it wrote.
    ValidateReads,
    /// X1a: a snapshot moves forward only if all that was read at it is unchanged.
    RefreshValidates,
    /// X3: s lies below every participant's `valid_through`.
    ValidThrough,
    /// X3a: s lies above the snapshot.
    AboveRead,
    /// R1: s lies above every participant's prepare timestamp.
    AbovePrepares,
    /// X8: an abort is reported only after the record said aborted.
    AskTheRecord,
}
