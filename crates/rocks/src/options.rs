//! How RocksDB is set up: small enough that nine databases fit into one process.

use std::fmt;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, SliceTransform,
    WriteBufferManager,
};
use storage::{Cf, encoding};

/// Block cache of a process, in bytes: data blocks, index blocks and filters of all its databases.
/// At the limit the least recently used go.
pub const BLOCK_CACHE_BYTES: usize = 128 << 20;

/// Memtables of a process, in bytes, over all its databases. At the limit the largest is flushed;
/// writes do not stall for it.
pub const WRITE_BUFFERS_BYTES: usize = 64 << 20;

/// One memtable, in bytes; a full one is flushed.
pub const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// Write-ahead log of one database, in bytes. At the limit the memtables that hold on to the oldest
/// log are flushed.
pub const WAL_BYTES_MAX: u64 = 64 << 20;

/// Open files of one database, unless told otherwise. At the limit the least recently used is closed.
pub const MAX_OPEN_FILES: usize = 256;

/// Full memtables of a column family that may wait for their flush; one more and writes stall.
const MEMTABLES_MAX: i32 = 4;

/// Memtables grow in steps of this, in bytes: 54 column families of a nine-node demo each own at
/// least one.
const ARENA_BLOCK_BYTES: usize = 64 << 10;

/// Threads of a process for flush and compaction, of which at least one flushes.
const BACKGROUND_JOBS: i32 = 2;

/// RocksDB's own message log: files kept, and bytes in each.
const MESSAGE_LOG_FILES: usize = 4;
const MESSAGE_LOG_BYTES: usize = 1 << 20;

/// Bits per key of a bloom filter: one in a hundred says "maybe" in vain.
const BLOOM_BITS: f64 = 10.0;

/// Part of a memtable given to a filter of its own.
const MEMTABLE_BLOOM_RATIO: f64 = 0.02;

/// A table file with this many deletions among this many neighbours is compacted soon: what reads
/// have to step over.
const DELETION_WINDOW: usize = 4096;
const DELETION_TRIGGER: usize = 1024;

/// What the databases of a process share. Cheap to clone: a handle.
#[derive(Clone)]
pub struct Memory {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl Memory {
    /// A block cache and a budget for memtables, both in bytes.
    #[must_use]
    pub fn new(cache_bytes: usize, write_buffers_bytes: usize) -> Memory {
        Memory {
            cache: Cache::new_lru_cache(cache_bytes),
            write_buffers: WriteBufferManager::new_write_buffer_manager(write_buffers_bytes, false),
        }
    }
}

impl Default for Memory {
    /// [`BLOCK_CACHE_BYTES`] and [`WRITE_BUFFERS_BYTES`].
    fn default() -> Memory {
        Memory::new(BLOCK_CACHE_BYTES, WRITE_BUFFERS_BYTES)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("cache_used", &self.cache.get_usage())
            .field("write_buffers_used", &self.write_buffers.get_usage())
            .finish_non_exhaustive()
    }
}

/// How to open a database.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// What it shares with the other databases of the process: make one and clone it.
    pub memory: Memory,
    /// One memtable, in bytes; tests shrink it to reach table files quickly.
    pub write_buffer_bytes: usize,
    /// Files kept open; at the limit the least recently used is closed.
    pub open_files: usize,
}

impl RocksOptions {
    /// The usual sizes, on memory shared by the process.
    #[must_use]
    pub fn new(memory: Memory) -> RocksOptions {
        let (write_buffer_bytes, open_files) = (WRITE_BUFFER_BYTES, MAX_OPEN_FILES);
        RocksOptions { memory, write_buffer_bytes, open_files }
    }
}

impl Default for RocksOptions {
    fn default() -> RocksOptions {
        RocksOptions::new(Memory::default())
    }
}

/// The options of the database as a whole.
pub(crate) fn database(options: &RocksOptions) -> Options {
    let mut out = Options::default();
    out.create_if_missing(true);
    out.create_missing_column_families(true);
    out.set_paranoid_checks(true);
    out.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    out.set_track_and_verify_wals_in_manifest(true);
    out.set_max_total_wal_size(WAL_BYTES_MAX);
    out.set_max_background_jobs(BACKGROUND_JOBS);
    out.set_max_open_files(i32::try_from(options.open_files).unwrap_or(i32::MAX));
    out.set_write_buffer_manager(&options.memory.write_buffers);
    out.set_avoid_unnecessary_blocking_io(true);
    out.set_bytes_per_sync(1 << 20);
    out.set_log_level(LogLevel::Warn);
    out.set_keep_log_file_num(MESSAGE_LOG_FILES);
    out.set_max_log_file_size(MESSAGE_LOG_BYTES);
    out.set_stats_dump_period_sec(0);
    out.set_stats_persist_period_sec(0);
    out
}

/// The options of one column family.
pub(crate) fn column_family(cf: Cf, options: &RocksOptions) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&options.memory.cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    let mut out = Options::default();
    match cf {
        // Reads of one key know the prefix, never the whole key: the newest timestamp is what they
        // ask.
        Cf::Data => {
            out.set_prefix_extractor(user_key_prefix());
            out.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_RATIO);
            table.set_bloom_filter(BLOOM_BITS, false);
            table.set_whole_key_filtering(false);
        }
        // Most keys asked for are not there: hardly any key bears an intent, and a record is asked
        // for before it is made.
        Cf::Intents | Cf::Records => {
            out.set_memtable_whole_key_filtering(true);
            out.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_RATIO);
            table.set_bloom_filter(BLOOM_BITS, false);
        }
        // Read in order, or by keys that are there.
        Cf::Log | Cf::State | Cf::Staged => {}
    }
    out.set_block_based_table_factory(&table);
    out.set_compression_type(DBCompressionType::Lz4);
    out.set_write_buffer_size(options.write_buffer_bytes);
    out.set_max_write_buffer_number(MEMTABLES_MAX);
    out.set_arena_block_size(ARENA_BLOCK_BYTES);
    out.set_target_file_size_base(options.write_buffer_bytes as u64);
    out.add_compact_on_deletion_collector_factory(DELETION_WINDOW, DELETION_TRIGGER, 0.5);
    out
}

/// The prefix under which filters remember a version: its encoded user key. Keys of another form
/// have none and are never looked for through a filter.
fn user_key_prefix() -> SliceTransform {
    fn prefix(key: &[u8]) -> &[u8] {
        encoding::encoded_len(key).map_or(key, |len| &key[..len])
    }
    fn has_prefix(key: &[u8]) -> bool {
        encoding::encoded_len(key).is_some()
    }
    SliceTransform::create("meridian.user-key.1", prefix, Some(has_prefix))
}
