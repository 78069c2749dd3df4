//! Judgements of particular workloads: invariants that a person can check with a pencil.
//!
//! They look at the history alone and share nothing with the graph of dependencies, so each is a
//! second opinion on it; and some see what the graph cannot, as the totals of a bank whose
//! balances repeat.
//!
//! | module | invariant |
//! |---|---|
//! | [`bank`] | money is neither made nor lost |
//! | [`visibility`] | whoever sees a later insert sees the earlier ones (*comments*, *sequential*) |
//! | [`counters`] | what grows is never seen to shrink (*monotonic*) |
//! | [`staleness`] | reads of the past are no older than they may be |

pub(crate) mod bank;
pub(crate) mod counters;
pub(crate) mod staleness;
pub(crate) mod visibility;
