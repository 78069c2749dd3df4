//! The limits of a node's SQL.

use std::time::Duration;

/// What a [`crate::Database`] keeps to.
#[derive(Clone, Debug)]
pub struct Config {
    /// For how long a gateway registers to use the catalog: transactions that use it commit below
    /// that. A schema change waits at most that long for gateways that do not answer. The same at all
    /// nodes.
    pub schema_lease: Duration,
    /// A gateway whose lease began longer ago than this registers again behind the next statement; one
    /// that used half of it before the statement.
    pub schema_refresh: Duration,
    /// Longest time of a statement where the session sets no `statement_timeout`; also the
    /// limit of background reads.
    pub statement_timeout: Duration,
    /// Memory a statement's rows may take at the gateway, in bytes. Beyond: `53200`.
    pub statement_memory: usize,
    /// Plans kept; the cache is emptied when it is full.
    pub max_plans: usize,
    /// Sessions at a time. Beyond: `53300`.
    pub max_sessions: usize,
    /// Bytes of prepared statements, portals and their rows that a session may keep. Beyond: `53200`.
    pub session_kept: usize,
    /// The same for all sessions of the node together.
    pub node_kept: usize,
    /// Statements a session may `PREPARE`. Beyond: `54000`.
    pub max_prepared: usize,
    /// Rows that one transaction of an index backfill reads.
    pub backfill_rows: u64,
    /// Feeds `random()` and `gen_random_uuid()`; nodes and sessions mix in their own numbers.
    pub seed: u64,
    /// Ids that a node takes from a counter at once.
    pub id_block: u64,
    /// Whether sessions begin with `trace` on.
    pub trace: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            schema_lease: Duration::from_secs(5),
            schema_refresh: Duration::from_millis(1_500),
            statement_timeout: Duration::from_secs(30),
            statement_memory: 256 << 20,
            max_plans: 4_096,
            max_sessions: 1_000,
            session_kept: 256 << 20,
            node_kept: 1 << 30,
            max_prepared: 10_000,
            backfill_rows: 1_000,
            seed: 0,
            id_block: 16,
            trace: false,
        }
    }
}
