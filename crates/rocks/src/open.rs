//! Opening a database, and saying clearly why it cannot be opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rocksdb::{ColumnFamilyDescriptor, DB, ErrorKind};
use storage::Cf;

use crate::options::{self, RocksOptions};

/// Why a database cannot be opened. One line each, for the person who started the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process, or another node of this one, has it open.
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Who holds it, where the operating system tells.
        holder: Option<u32>,
    },
    /// The file system is full.
    NoSpace {
        /// The data directory.
        path: PathBuf,
    },
    /// Stored bytes contradict their checksum or their format (S3). The node must be rebuilt from
    /// its peers, or the directory restored.
    Corrupted {
        /// The data directory.
        path: PathBuf,
        /// What RocksDB found.
        cause: String,
    },
    /// The directory cannot be made or read, or anything else.
    Failed {
        /// The data directory.
        path: PathBuf,
        /// What the file system or RocksDB said.
        cause: String,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::InUse { path, holder } => {
                write!(f, "data directory {} is in use by ", path.display())?;
                match holder {
                    Some(pid) if *pid == std::process::id() => write!(f, "this process already"),
                    Some(pid) => write!(f, "process {pid}"),
                    None => write!(f, "another process"),
                }
            }
            OpenError::NoSpace { path } => {
                write!(f, "no space left for data directory {}", path.display())
            }
            OpenError::Corrupted { path, cause } => {
                write!(f, "data directory {} is corrupted: {cause}", path.display())
            }
            OpenError::Failed { path, cause } => {
                write!(f, "cannot open data directory {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens the database in `path`, or creates it.
pub(crate) fn open(path: &Path, options: &RocksOptions) -> Result<DB, OpenError> {
    fs::create_dir_all(path).map_err(|error| no_directory(path, &error))?;
    let families = Cf::ALL
        .map(|cf| ColumnFamilyDescriptor::new(cf.name(), options::column_family(cf, options)));
    DB::open_cf_descriptors(&options::database(options), path, families)
        .map_err(|error| why(path, &error))
}

fn no_directory(path: &Path, error: &io::Error) -> OpenError {
    let path = path.to_path_buf();
    match error.kind() {
        io::ErrorKind::StorageFull => OpenError::NoSpace { path },
        _ => OpenError::Failed { path, cause: error.to_string() },
    }
}

/// RocksDB says most of it in words only.
fn why(path: &Path, error: &rocksdb::Error) -> OpenError {
    let (path, cause) = (path.to_path_buf(), error.to_string());
    if error.kind() == ErrorKind::Corruption {
        OpenError::Corrupted { path, cause }
    } else if cause.contains("No space left on device") {
        OpenError::NoSpace { path }
    } else if cause.contains("lock hold by current process") {
        OpenError::InUse { path, holder: Some(std::process::id()) }
    } else if cause.contains("While lock file") {
        let holder = lock_holder(&path.join("LOCK"));
        OpenError::InUse { path, holder }
    } else {
        OpenError::Failed { path, cause }
    }
}

/// The process that holds a POSIX lock on a file, as Linux lists it in `/proc/locks`:
/// `1: POSIX  ADVISORY  WRITE 4711 fe:01:131073 0 EOF`. `None` where there is no such list.
fn lock_holder(lock: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(lock).ok()?.ino().to_string();
    fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "POSIX").skip(3);
        let (pid, file) = (words.next()?, words.next()?);
        (file.rsplit(':').next() == Some(&*inode)).then(|| pid.parse().ok())?
    })
}
