//! The rules of a clock that may be dropped, to show that something notices: see [`rules`].

rules::droppable! {
    /// T6: each reading looks for a jump of the machine's clocks, and follows its wall clock. Without,
    /// the clock is the time at its start and what the monotonic clock has counted since.
    JumpCheck,
}
