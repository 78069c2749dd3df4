//! The settings there are: PostgreSQL's names and defaults, and a few of Meridian's own.

use super::Kind::{
    self, Bool, Choice, DateStyle, Duration, Encoding, Fixed, Integer, Isolation, Locale, Memory,
    PlainLocale, Real, Switch, Text, TimeZone,
};

/// The version of PostgreSQL that clients may take Meridian for.
pub const SERVER_VERSION: &str = "15.0";

/// A setting.
#[derive(Debug)]
pub struct Definition {
    /// Its name as `SHOW ALL` prints it.
    pub name: &'static str,
    /// Its value where nobody set one.
    pub default: &'static str,
    /// The values it takes.
    pub kind: Kind,
    /// Whether the protocol reports it.
    pub reported: bool,
    /// What it is.
    pub about: &'static str,
}

const fn of(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Definition {
    Definition { name, default, kind, reported: false, about }
}

/// A setting that the protocol reports.
const fn told(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Definition {
    Definition { name, default, kind, reported: true, about }
}

/// The largest whole number of PostgreSQL's settings.
const MAX: i64 = i32::MAX as i64;
const LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];
const LOG_LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log",
    "fatal", "panic",
];
const DURABILITIES: &[&str] = &["on", "off", "local", "remote_write", "remote_apply"];
const ONLY_KEPT: &str = "Remembered only.";
const PLANNER: &str = "Remembered only: the planner has other means.";
const MEMORY: &str = "Remembered only: memory is bounded per statement.";

/// All of them, ordered by their names in lower case.
pub const DEFINITIONS: &[Definition] = &[
    told("application_name", "", Text, "Name of the client's program."),
    of("array_nulls", "on", Switch("on"), "NULL in the text of an array is a null."),
    of("backslash_quote", "safe_encoding", Choice(&["safe_encoding", "on", "off"], &[]), ONLY_KEPT),
    of("block_size", "8192", Fixed, "As in PostgreSQL."),
    of("bytea_output", "hex", Choice(&["hex", "escape"], &[]), "Output format of bytea."),
    of("check_function_bodies", "on", Bool, ONLY_KEPT),
    of(
        "client_connection_check_interval",
        "0",
        Duration(0),
        "Remembered only: a client that leaves is noticed at once.",
    ),
    told("client_encoding", "UTF8", Encoding, "Character set of the client."),
    of(
        "client_min_messages",
        "notice",
        Choice(LEVELS, &[]),
        "Least severity of messages sent to the client.",
    ),
    of("commit_stats", "off", Bool, "A notice after each commit tells its breakdown."),
    of("constraint_exclusion", "partition", Choice(&["partition", "on", "off"], &[]), PLANNER),
    of("cpu_index_tuple_cost", "0.005", Real(0.0, f64::MAX), PLANNER),
    of("cpu_operator_cost", "0.0025", Real(0.0, f64::MAX), PLANNER),
    of("cpu_tuple_cost", "0.01", Real(0.0, f64::MAX), PLANNER),
    of("cursor_tuple_fraction", "0.1", Real(0.0, 1.0), PLANNER),
    told("DateStyle", "ISO, MDY", DateStyle, "Output format of dates."),
    of(
        "deadlock_timeout",
        "1s",
        Duration(1),
        "Remembered only: there are no deadlocks, the younger one gives way.",
    ),
    of("debug_pretty_print", "on", Bool, ONLY_KEPT),
    of("debug_print_parse", "off", Bool, ONLY_KEPT),
    of("debug_print_plan", "off", Bool, ONLY_KEPT),
    of("debug_print_rewritten", "off", Bool, ONLY_KEPT),
    of("default_statistics_target", "100", Integer(1, 10_000), PLANNER),
    of("default_table_access_method", "heap", Choice(&["heap"], &[]), "There is one."),
    of("default_tablespace", "", Choice(&["", "pg_default"], &[]), "There is one."),
    of(
        "default_text_search_config",
        "pg_catalog.simple",
        Text,
        "Remembered only: there is no text search.",
    ),
    of("default_transaction_deferrable", "off", Bool, "Accepted: a snapshot here never waits."),
    of(
        "default_transaction_isolation",
        "serializable",
        Isolation,
        "Isolation level of new transactions.",
    ),
    told("default_transaction_read_only", "off", Bool, "Whether new transactions are read-only."),
    of("default_with_oids", "off", Switch("off"), "Tables have no oid column."),
    of("effective_cache_size", "4GB", Memory(8), MEMORY),
    of("effective_io_concurrency", "1", Integer(0, 1000), PLANNER),
    of("enable_async_append", "on", Bool, PLANNER),
    of("enable_bitmapscan", "on", Bool, PLANNER),
    of("enable_gathermerge", "on", Bool, PLANNER),
    of("enable_hashagg", "on", Bool, PLANNER),
    of("enable_hashjoin", "on", Bool, PLANNER),
    of("enable_incremental_sort", "on", Bool, PLANNER),
    of("enable_indexonlyscan", "on", Bool, PLANNER),
    of("enable_indexscan", "on", Bool, PLANNER),
    of("enable_material", "on", Bool, PLANNER),
    of("enable_memoize", "on", Bool, PLANNER),
    of("enable_mergejoin", "on", Bool, PLANNER),
    of("enable_nestloop", "on", Bool, PLANNER),
    of("enable_parallel_append", "on", Bool, PLANNER),
    of("enable_parallel_hash", "on", Bool, PLANNER),
    of("enable_partition_pruning", "on", Bool, PLANNER),
    of("enable_partitionwise_aggregate", "off", Bool, PLANNER),
    of("enable_partitionwise_join", "off", Bool, PLANNER),
    of("enable_seqscan", "on", Bool, PLANNER),
    of("enable_sort", "on", Bool, PLANNER),
    of("enable_tidscan", "on", Bool, PLANNER),
    of("escape_string_warning", "on", Bool, ONLY_KEPT),
    of("extra_float_digits", "1", Integer(-15, 3), "Accepted: floats are exact."),
    of("from_collapse_limit", "8", Integer(1, MAX), PLANNER),
    of("geqo", "on", Bool, PLANNER),
    of("geqo_effort", "5", Integer(1, 10), PLANNER),
    of("geqo_threshold", "12", Integer(2, MAX), PLANNER),
    of("gin_fuzzy_search_limit", "0", Integer(0, MAX), PLANNER),
    of("hash_mem_multiplier", "2", Real(1.0, 1000.0), MEMORY),
    of(
        "idle_in_transaction_session_timeout",
        "0",
        Duration(0),
        "How long a session may be idle in a transaction.",
    ),
    of("idle_session_timeout", "0", Duration(0), "How long a session may be idle outside of one."),
    told("in_hot_standby", "off", Fixed, "Always off."),
    told("integer_datetimes", "on", Fixed, "Always on."),
    told(
        "IntervalStyle",
        "postgres",
        Choice(&["postgres"], &["postgres_verbose", "sql_standard", "iso_8601"]),
        "Format of intervals.",
    ),
    told("is_superuser", "on", Fixed, "Every user is one."),
    of("jit", "off", Bool, PLANNER),
    of("jit_above_cost", "100000", Real(-1.0, f64::MAX), PLANNER),
    of("jit_inline_above_cost", "500000", Real(-1.0, f64::MAX), PLANNER),
    of("jit_optimize_above_cost", "500000", Real(-1.0, f64::MAX), PLANNER),
    of("join_collapse_limit", "8", Integer(1, MAX), PLANNER),
    of("lc_collate", "C", Fixed, "Texts are ordered by their bytes."),
    of("lc_ctype", "C", Fixed, "Texts are ordered by their bytes."),
    of("lc_messages", "C", Locale, "Remembered only: messages are in English."),
    of("lc_monetary", "C", PlainLocale, "Formats are those of C and en_US."),
    of("lc_numeric", "C", PlainLocale, "Formats are those of C and en_US."),
    of("lc_time", "C", PlainLocale, "Formats are those of C and en_US."),
    of("lo_compat_privileges", "off", Bool, ONLY_KEPT),
    of(
        "lock_timeout",
        "0",
        Duration(0),
        "How long a statement waits for locks on rows (FOR UPDATE, READ COMMITTED).",
    ),
    of("log_duration", "off", Bool, ONLY_KEPT),
    of("log_error_verbosity", "default", Choice(&["terse", "default", "verbose"], &[]), ONLY_KEPT),
    of("log_executor_stats", "off", Bool, ONLY_KEPT),
    of("log_lock_waits", "off", Bool, ONLY_KEPT),
    of("log_min_duration_statement", "-1", Duration(-1), ONLY_KEPT),
    of("log_min_error_statement", "error", Choice(LOG_LEVELS, &[]), ONLY_KEPT),
    of("log_min_messages", "warning", Choice(LOG_LEVELS, &[]), ONLY_KEPT),
    of("log_parser_stats", "off", Bool, ONLY_KEPT),
    of("log_planner_stats", "off", Bool, ONLY_KEPT),
    of("log_statement", "none", Choice(&["none", "ddl", "mod", "all"], &[]), ONLY_KEPT),
    of("log_statement_stats", "off", Bool, ONLY_KEPT),
    of("logical_decoding_work_mem", "64MB", Memory(1), MEMORY),
    of("maintenance_io_concurrency", "10", Integer(0, 1000), PLANNER),
    of("maintenance_work_mem", "64MB", Memory(1), MEMORY),
    of("max_connections", "1000", Fixed, "Sessions per node."),
    of("max_function_args", "100", Fixed, "As in PostgreSQL."),
    of("max_identifier_length", "63", Fixed, "Longest name in bytes."),
    of("max_index_keys", "32", Fixed, "As in PostgreSQL."),
    of("max_parallel_maintenance_workers", "2", Integer(0, 1024), PLANNER),
    of("max_parallel_workers", "8", Integer(0, 1024), PLANNER),
    of("max_parallel_workers_per_gather", "2", Integer(0, 1024), PLANNER),
    told("node_id", "", Fixed, "The node that serves this session."),
    of("parallel_leader_participation", "on", Bool, ONLY_KEPT),
    of("parallel_setup_cost", "1000", Real(0.0, f64::MAX), PLANNER),
    of("parallel_tuple_cost", "0.1", Real(0.0, f64::MAX), PLANNER),
    of("password_encryption", "scram-sha-256", Choice(&["scram-sha-256", "md5"], &[]), ONLY_KEPT),
    of(
        "plan_cache_mode",
        "auto",
        Choice(&["auto", "force_generic_plan", "force_custom_plan"], &[]),
        PLANNER,
    ),
    of("quote_all_identifiers", "off", Bool, ONLY_KEPT),
    of("random_page_cost", "4", Real(0.0, f64::MAX), PLANNER),
    told("region", "", Fixed, "The region of that node."),
    of("row_security", "on", Bool, "Remembered only: there are no policies."),
    of("search_path", "\"$user\", public", Text, "Only public exists."),
    of("seq_page_cost", "1", Real(0.0, f64::MAX), PLANNER),
    told("server_encoding", "UTF8", Fixed, "Character set of the database."),
    told("server_version", SERVER_VERSION, Fixed, "PostgreSQL version spoken."),
    of("server_version_num", "150000", Fixed, "The same as a number."),
    told("session_authorization", "root", Fixed, "The user of the session."),
    of(
        "session_replication_role",
        "origin",
        Choice(&["origin"], &["replica", "local"]),
        "Constraints are always checked.",
    ),
    of("ssl", "off", Fixed, "Connections are not encrypted."),
    told(
        "standard_conforming_strings",
        "on",
        Switch("on"),
        "Backslashes in texts are plain characters.",
    ),
    of("statement_timeout", "0", Duration(0), "Longest time a statement may run."),
    of("synchronize_seqscans", "on", Bool, ONLY_KEPT),
    of(
        "synchronous_commit",
        "on",
        Choice(DURABILITIES, &[]),
        "Remembered only: a commit is always durable.",
    ),
    of("tcp_keepalives_count", "0", Integer(0, MAX), ONLY_KEPT),
    of("tcp_keepalives_idle", "0", Integer(0, MAX), ONLY_KEPT),
    of("tcp_keepalives_interval", "0", Integer(0, MAX), ONLY_KEPT),
    of("tcp_user_timeout", "0", Integer(0, MAX), ONLY_KEPT),
    of("temp_buffers", "8MB", Memory(8), MEMORY),
    of("temp_tablespaces", "", Choice(&["", "pg_default"], &[]), "There is one."),
    told("TimeZone", "UTC", TimeZone, "Time zone for output and input."),
    of("timezone_abbreviations", "Default", Text, ONLY_KEPT),
    of("trace", "off", Bool, "Whether the timelines of transactions are kept."),
    of("track_activities", "on", Bool, ONLY_KEPT),
    of("track_counts", "on", Bool, ONLY_KEPT),
    of("track_functions", "none", Choice(&["none", "pl", "all"], &[]), ONLY_KEPT),
    of("track_io_timing", "off", Bool, ONLY_KEPT),
    of("transaction_deferrable", "off", Bool, "Of this transaction."),
    of("transaction_isolation", "serializable", Isolation, "Of this transaction."),
    of("transaction_read_only", "off", Bool, "Of this transaction."),
    of("transform_null_equals", "off", Switch("off"), "x = NULL is null."),
    of("vacuum_cost_delay", "0", Duration(0), ONLY_KEPT),
    of("work_mem", "4MB", Memory(1), MEMORY),
    of("xmlbinary", "base64", Choice(&["base64", "hex"], &[]), ONLY_KEPT),
    of("xmloption", "content", Choice(&["content", "document"], &[]), ONLY_KEPT),
];
