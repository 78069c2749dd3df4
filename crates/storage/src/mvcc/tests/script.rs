//! Golden scripts for MVCC: the commands, and a reader that counts how a cursor moves.

use std::{
    cell::Cell,
    error::Error,
    fmt::{self, Write as _},
    ops::ControlFlow,
};

use bytes::Bytes;
use clock::Timestamp;
use goldenscript::{Command, Context, Runner};
use keys::{Key, Span, TxnId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Cf, Cursor, Engine, EngineError, MemEngine, Reader, Scan, WriteBatch};

/// Runs every script of a directory, in the order of their names.
pub(super) fn run_all(directory: &str) {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {directory}");
    for path in paths {
        if let Err(error) = goldenscript::run(&mut Scripted::default(), &path) {
            panic!("{}: {error}", path.display());
        }
    }
}

/// What a script can do. Timestamps are wall nanoseconds; keys may hold `\x00`.
#[derive(Debug, Command)]
enum Do {
    /// Writes a version: `put KEY TS VALUE`.
    Put(String, u64, String),
    /// Writes a tombstone: `delete KEY TS`.
    Delete(String, u64),
    /// Reads a key: `get KEY TS`.
    Get(String, u64),
    /// Scans: `scan START END TS [reverse=true] [rows=N] [bytes=N] [keys=N]`.
    Scan {
        start: String,
        end: String,
        at: u64,
        #[arg(key, optional)]
        reverse: bool,
        #[arg(key)]
        rows: Option<usize>,
        #[arg(key)]
        bytes: Option<usize>,
        #[arg(key)]
        keys: Option<usize>,
    },
    /// Some version above a timestamp: `newest START END TS`.
    Newest(String, String, u64),
    /// Collects garbage: `gc TS [removals=N] [keys=N]`; starts where the last one stopped.
    Gc {
        threshold: u64,
        #[arg(key)]
        removals: Option<usize>,
        #[arg(key)]
        keys: Option<usize>,
    },
    /// Prepares a write: `intent KEY txn=N prepare=TS [value=V]`.
    Intent {
        key: String,
        #[arg(key)]
        txn: u128,
        #[arg(key)]
        prepare: u64,
        #[arg(key)]
        value: Option<String>,
    },
    /// Resolves an intent: `resolve KEY txn=N [commit=TS]`; without `commit` the transaction
    /// aborted.
    Resolve {
        key: String,
        #[arg(key)]
        txn: u128,
        #[arg(key)]
        commit: Option<u64>,
    },
    /// Lists intents: `intents START END [limit=N] [txn=N]`.
    Intents {
        start: String,
        end: String,
        #[arg(key)]
        limit: Option<usize>,
        #[arg(key)]
        txn: Option<u128>,
    },
    /// Every version, and with `raw=true` the bytes of its key.
    Dump {
        #[arg(key, optional)]
        raw: bool,
    },
    /// Checksum at a timestamp.
    Checksum(u64),
    /// Exports in chunks: `export START END BYTES`.
    Export(String, String, usize),
    /// Flips a bit of a stored version: `rot KEY TS`.
    Rot(String, u64),
    /// Makes everything durable.
    Sync,
    /// The power fails; all that was not synced is lost.
    Crash,
}

/// The engine under a script.
#[derive(Default)]
struct Scripted {
    engine: MemEngine,
    /// What the last `gc` left over.
    gc_rest: Option<Span>,
}

impl Runner for Scripted {
    type Command = Do;

    fn run(&mut self, command: &Do, _context: &Context) -> Result<String, Box<dyn Error>> {
        let mut out = String::new();
        let mut batch = WriteBatch::new();
        match command {
            Do::Put(key, at, value) => {
                put_version(&mut batch, &k(key), ts(*at), Some(value.as_bytes()));
            }
            Do::Delete(key, at) => put_version(&mut batch, &k(key), ts(*at), None),
            Do::Get(key, at) => match get(&self.engine, &k(key), ts(*at))? {
                None => writeln!(out, "none")?,
                Some(version) => writeln!(out, "{}", Shown(&k(key), version.ts, &version.value))?,
            },
            Do::Scan { .. } => self.scan(command, &mut out)?,
            Do::Newest(start, end, above) => {
                match newest_in_span(&self.engine, &span(start, end), ts(*above))? {
                    None => writeln!(out, "none")?,
                    Some((key, at)) => writeln!(out, "{}@{}", text(&key), at.wall)?,
                }
            }
            Do::Gc { threshold, removals, keys } => {
                let limits = GcLimits {
                    removals: removals.unwrap_or(usize::MAX),
                    keys: keys.unwrap_or(usize::MAX),
                };
                let todo = self.gc_rest.take().unwrap_or_else(whole);
                let stats = gc(&self.engine, &todo, ts(*threshold), limits, &mut batch)?;
                let rest = stats.rest.as_ref().map_or("nothing".into(), |rest| text(&rest.start));
                writeln!(out, "keys={} removed={} rest={rest}", stats.keys, stats.removed)?;
                self.gc_rest = stats.rest;
            }
            Do::Intent { key, txn, prepare, value } => {
                let value = value.clone().map(Bytes::from);
                let (txn, prepare) = (TxnId(*txn), ts(*prepare));
                let intent = Intent { txn, prepare, value, ..an_intent(&k(key)) };
                put_intent(&mut batch, &k(key), &intent);
            }
            Do::Resolve { key, txn, commit } => {
                let outcome = commit.map_or(Outcome::Aborted, |s| Outcome::Committed(ts(s)));
                let key = k(key);
                let found = resolve_intent(&self.engine, &mut batch, &key, TxnId(*txn), outcome)?;
                writeln!(out, "{}", if found.is_some() { "resolved" } else { "no such intent" })?;
            }
            Do::Intents { start, end, limit, txn } => {
                let (span, limit) = (span(start, end), limit.unwrap_or(usize::MAX));
                let found = match txn {
                    None => intents_in_span(&self.engine, &span, limit)?,
                    Some(txn) => intents_of(&self.engine, &span, TxnId(*txn), limit)?,
                };
                for (key, intent) in found {
                    let shown = Shown(&key, intent.prepare, &intent.value);
                    writeln!(out, "txn={} {shown}", intent.txn.0)?;
                }
            }
            Do::Dump { raw } => self.dump(*raw, &mut out)?,
            Do::Checksum(at) => {
                let sum = checksum(&self.engine, &whole(), ts(*at))?;
                writeln!(out, "rows={} crc={:08x}", sum.rows, sum.crc)?;
            }
            Do::Export(start, end, bytes) => self.export(&span(start, end), *bytes, &mut out)?,
            Do::Rot(key, at) => {
                let mut rng = ChaCha8Rng::seed_from_u64(1);
                let stored_key = version_key(&k(key), ts(*at));
                assert!(self.engine.disk().flip_bit(Cf::Data, &stored_key, &mut rng));
            }
            Do::Sync => self.engine.sync()?,
            Do::Crash => self.engine = self.engine.disk().crash_losing_unsynced(),
        }
        self.engine.write(batch)?;
        Ok(out)
    }
}

impl Scripted {
    fn scan(&self, command: &Do, out: &mut String) -> Result<(), Box<dyn Error>> {
        let Do::Scan { start, end, at, reverse, rows, bytes, keys } = command else {
            return Err("not a scan".into());
        };
        let limits = ScanLimits {
            rows: rows.unwrap_or(usize::MAX),
            bytes: bytes.unwrap_or(usize::MAX),
            keys: keys.unwrap_or(usize::MAX),
        };
        let direction = if *reverse { Direction::Reverse } else { Direction::Forward };
        let options = ScanOptions { at: ts(*at), direction, limits };
        let rest = scan(&self.engine, &span(start, end), &options, &mut |row| {
            let value = Some(Bytes::copy_from_slice(row.value));
            writeln!(out, "{}", Shown(&Key::from(row.key), row.ts, &value)).expect("a string");
            ControlFlow::Continue(())
        })?;
        if let Some(rest) = rest {
            writeln!(out, "rest {} - {}", text(&rest.start), text(&rest.end))?;
        }
        Ok(())
    }

    fn dump(&self, raw: bool, out: &mut String) -> Result<(), Box<dyn Error>> {
        let (start, end) = super::super::version::bounds(&whole());
        let mut versions = super::super::version::Versions::forward(&self.engine, &start, &end);
        while let Some(stored) = versions.current()? {
            if raw {
                for byte in stored.stored_key {
                    write!(out, "{byte:02x}")?;
                }
                write!(out, "  ")?;
            }
            let value = stored.value()?.map(Bytes::copy_from_slice);
            writeln!(out, "{}", Shown(&stored.key()?, stored.ts, &value))?;
            versions.advance()?;
        }
        Ok(())
    }

    fn export(&self, span: &Span, bytes: usize, out: &mut String) -> Result<(), Box<dyn Error>> {
        let mut position = None;
        loop {
            let chunk = export_span(&self.engine, span, position.as_ref(), bytes)?;
            let families: Vec<_> = chunk.entries.iter().map(|(cf, _, _)| cf.name()).collect();
            writeln!(out, "chunk: {}", families.join(" "))?;
            position = chunk.next;
            if position.is_none() {
                return Ok(());
            }
        }
    }
}

/// `key@ts=value`, or `key@ts†` for a tombstone.
struct Shown<'a>(&'a Key, Timestamp, &'a Option<Bytes>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", text(self.0), self.1.wall)?;
        match self.2 {
            Some(value) => write!(f, "={}", value.escape_ascii()),
            None => write!(f, "†"),
        }
    }
}

fn text(key: &Key) -> String {
    key.0.escape_ascii().to_string()
}

fn k(key: &str) -> Key {
    Key::from(key)
}

fn span(start: &str, end: &str) -> Span {
    Span::new(start, end)
}

/// A reader that counts the moves of its cursors.
pub(super) struct Counting {
    engine: MemEngine,
    moves: Cell<usize>,
}

impl Counting {
    pub(super) fn new(engine: MemEngine) -> Counting {
        Counting { engine, moves: Cell::new(0) }
    }

    pub(super) fn moves(&self) -> usize {
        self.moves.get()
    }
}

impl Reader for Counting {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(cf, key)
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        self.engine.scan(scan, visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        Box::new(CountingCursor { cursor: self.engine.cursor(scan), moves: &self.moves })
    }
}

struct CountingCursor<'a> {
    cursor: Box<dyn Cursor + 'a>,
    moves: &'a Cell<usize>,
}

impl Cursor for CountingCursor<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.cursor.entry()
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        self.moves.set(self.moves.get() + 1);
        self.cursor.advance()
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.moves.set(self.moves.get() + 1);
        self.cursor.seek(key)
    }

    fn status(&self) -> Result<(), EngineError> {
        self.cursor.status()
    }
}
