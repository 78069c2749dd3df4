//! Which engine, and where its data lies.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use clap::ValueEnum;
use keys::NodeId;
use node::disk::{Disk, SyncThread};
use sim_regions::{EngineKind, Settings};
use storage::{Engine, MemEngine};

/// A storage engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// RocksDB, in a folder.
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    /// In memory: all is gone when the process ends.
    Memory,
}

/// What to do where an engine that keeps data was asked for and this program has none.
#[cfg(feature = "rocksdb")]
pub const HOW_TO_GET_ONE: &str = "";
/// What to do where an engine that keeps data was asked for and this program has none.
#[cfg(not(feature = "rocksdb"))]
pub const HOW_TO_GET_ONE: &str =
    "; this program was built without RocksDB: `cargo xtask demo --data DIR` builds it";

impl Default for Kind {
    /// The engine that keeps data, where the program was built with it.
    fn default() -> Kind {
        #[cfg(feature = "rocksdb")]
        return Kind::Rocksdb;
        #[cfg(not(feature = "rocksdb"))]
        Kind::Memory
    }
}

impl From<Kind> for EngineKind {
    fn from(kind: Kind) -> EngineKind {
        match kind {
            #[cfg(feature = "rocksdb")]
            Kind::Rocksdb => EngineKind::RocksDb,
            Kind::Memory => EngineKind::Memory,
        }
    }
}

impl Kind {
    /// Whether a data folder is of use with this engine; `what` asks for one.
    ///
    /// # Errors
    /// If it keeps nothing: whoever names a folder means to find the data there again.
    pub fn check_keeps(self, what: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self != Kind::Memory,
            "{what} needs an engine that keeps data: the engine `memory` does not{HOW_TO_GET_ONE}"
        );
        Ok(())
    }

    /// What a settings file asks for, if this program was built with it.
    pub fn from_settings(kind: Option<EngineKind>) -> anyhow::Result<Kind> {
        match kind {
            None => Ok(Kind::default()),
            Some(EngineKind::Memory) => Ok(Kind::Memory),
            #[cfg(feature = "rocksdb")]
            Some(EngineKind::RocksDb) => Ok(Kind::Rocksdb),
            #[cfg(not(feature = "rocksdb"))]
            Some(EngineKind::RocksDb) => {
                anyhow::bail!("this program was built without RocksDB: use the engine `memory`")
            }
        }
    }
}

/// Whether an engine was not opened because what it stored is damaged or gone (S3).
pub fn is_corrupted(error: &anyhow::Error) -> bool {
    #[cfg(feature = "rocksdb")]
    return matches!(error.downcast_ref(), Some(rocks::OpenError::Corrupted { .. }));
    #[cfg(not(feature = "rocksdb"))]
    return error.downcast_ref::<storage::EngineError>().is_some_and(|error| error.corruption);
}

/// Opens the engines of one process; they share its caches.
#[derive(Clone, Debug)]
pub struct Opener {
    kind: Kind,
    /// What nodes keep in memory: a node that is started again finds what it had synced.
    disks: Arc<Mutex<BTreeMap<NodeId, MemEngine>>>,
    #[cfg(feature = "rocksdb")]
    options: rocks::RocksOptions,
}

impl Opener {
    /// Opens engines of this kind, with the cache and the files that the settings grant.
    pub fn new(kind: Kind, settings: &Settings) -> Opener {
        #[cfg(not(feature = "rocksdb"))]
        let _ = settings;
        Opener {
            kind,
            disks: Arc::default(),
            #[cfg(feature = "rocksdb")]
            options: rocks::RocksOptions {
                open_files: settings.open_files,
                ..rocks::RocksOptions::new(rocks::Memory::new(
                    settings.cache_mib << 20,
                    rocks::WRITE_BUFFERS_BYTES,
                ))
            },
        }
    }

    /// Opens a node's engine; `folder` is its own.
    pub fn open(
        &self,
        folder: &Path,
        node: NodeId,
    ) -> anyhow::Result<(Arc<dyn Engine>, Arc<dyn Disk>)> {
        let engine: Arc<dyn Engine> = match self.kind {
            Kind::Memory => {
                tracing::debug!("{} is not used: data is kept in memory", folder.display());
                let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
                let disk = disks.entry(node).or_default();
                *disk = disk.disk().crash_losing_unsynced();
                Arc::new(disk.clone())
            }
            #[cfg(feature = "rocksdb")]
            Kind::Rocksdb => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("create the data folder {}", folder.display()))?;
                Arc::new(rocks::RocksEngine::open(folder, &self.options)?)
            }
        };
        let disk = SyncThread::start(Arc::clone(&engine), &node.to_string())
            .context("start the sync thread")?;
        Ok((engine, Arc::new(disk)))
    }
}
