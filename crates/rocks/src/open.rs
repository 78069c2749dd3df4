//! Opening a database, and saying clearly why it cannot be opened: which file it is about, and what to
//! do. RocksDB's own words name the file in some cases only.

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
    /// A file is missing, or stored bytes contradict their checksum or their format (S3). The node
    /// must not go on with what is left: it may have promised more.
    Corrupted {
        /// The data directory.
        path: PathBuf,
        /// The files in it that this is about; several where RocksDB does not say which of the logs.
        files: Vec<String>,
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
            OpenError::Corrupted { path, files, cause } => {
                write!(f, "data directory {} is corrupted", path.display())?;
                if !files.is_empty() {
                    write!(f, " in {}", files.join(" or "))?;
                }
                write!(f, ": {cause}. {WHAT_TO_DO}")
            }
            OpenError::Failed { path, cause } => {
                write!(f, "cannot open data directory {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// What the operator of a corrupted directory does next. An empty one in its place is refused by the
/// peers, and so is an older copy (decisions 0009 and 0018).
const WHAT_TO_DO: &str = "The node does not start on what is left, since it may have promised more. If a file was moved \
     away, put it back as it was. If it is lost or damaged, keep the directory aside and leave this \
     node switched off: neither an empty directory nor an older copy can take its place, and the \
     cluster goes on with the others";

/// Opens the database in `path`, or creates it.
pub(crate) fn open(path: &Path, options: &RocksOptions) -> Result<DB, OpenError> {
    fs::create_dir_all(path).map_err(|error| no_directory(path, &error))?;
    check_whole(path).map_err(|error| no_directory(path, &error))??;
    let families = Cf::ALL
        .map(|cf| ColumnFamilyDescriptor::new(cf.name(), options::column_family(cf, options)));
    DB::open_cf_descriptors(&options::database(options), path, families)
        .map_err(|error| why(path, &error))
}

/// The file that makes a directory a database: it names the manifest.
const CURRENT: &str = "CURRENT";

/// What it says while a database is made. Once that is done, it names another one.
const FIRST_MANIFEST: &str = "MANIFEST-000001";

/// Two files whose loss RocksDB takes for a database that is new, or has nothing to replay:
///
/// - Without `CURRENT` it makes an empty database, and deletes what it finds.
/// - Without any log it opens what the tables hold. There is a log in every database that was ever
///   opened; RocksDB remembers those that are full, but not the last.
///
/// A crash while a database is made leaves a directory without either, and nothing that is missed.
fn check_whole(path: &Path) -> io::Result<Result<(), OpenError>> {
    let names = names(path)?;
    let count = |extension| names.iter().filter(|name| is_numbered(name, extension)).count();
    let (tables, logs) = (count(".sst"), count(".log"));
    let corrupted = |file: &str, cause: String| {
        let files = vec![file.to_owned()];
        Ok(Err(OpenError::Corrupted { path: path.to_path_buf(), files, cause }))
    };
    let current = match fs::read_to_string(path.join(CURRENT)) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let found = tables + logs;
            return match found {
                0 => Ok(Ok(())),
                _ => corrupted(
                    CURRENT,
                    format!("it is missing, and {found} files of data are there"),
                ),
            };
        }
        Err(error) => return Err(error),
    };
    if logs == 0 && current.trim() != FIRST_MANIFEST {
        return corrupted("*.log", "the write-ahead log is missing".to_owned());
    }
    Ok(Ok(()))
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(path)?;
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = entries.map(name).collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
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
    let files = files_named(&cause);
    // A file that the manifest names and that is not there is an error of the file system to RocksDB.
    let missing = !files.is_empty() && cause.contains("No such file");
    if error.kind() == ErrorKind::Corruption || missing {
        let files = if files.is_empty() { logs(&path) } else { files };
        OpenError::Corrupted { path, files, cause }
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

/// The files of a database that RocksDB's words name, each once.
fn files_named(cause: &str) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    let apart = |c: char| c.is_whitespace() || "/:,;()[]\"'".contains(c);
    for word in cause.split(apart).map(|word| word.trim_end_matches('.')) {
        let is_file = word == CURRENT
            || is_numbered(word, ".sst")
            || is_numbered(word, ".log")
            || word.strip_prefix("MANIFEST-").is_some_and(is_number);
        if is_file && !files.iter().any(|known| known == word) {
            files.push(word.to_owned());
        }
    }
    // Of a log that the manifest names and that is gone, RocksDB tells the number alone.
    let number = cause.split("log number: ").nth(1).and_then(|rest| rest.split('.').next());
    if let Some(number) = number.and_then(|number| number.trim().parse::<u64>().ok()) {
        files.push(format!("{number:06}.log"));
    }
    files
}

/// The logs in a directory: what RocksDB finds wrong without naming a file is in one of them.
fn logs(path: &Path) -> Vec<String> {
    let mut names = names(path).unwrap_or_default();
    names.retain(|name| is_numbered(name, ".log"));
    names
}

fn is_numbered(name: &str, extension: &str) -> bool {
    name.strip_suffix(extension).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_in_the_words() {
        for (words, files) in [
            (
                "IO error: No such file or directory: While open a file for sequentially reading: \
                 /data/MANIFEST-000005: No such file or directory",
                &["MANIFEST-000005"][..],
            ),
            (
                "Corruption: Can't access /000008.sst: IO error: No such file or directory: while \
                 stat a file for size: /data/000008.sst: No such file or directory",
                &["000008.sst"],
            ),
            ("Corruption: CURRENT file does not end with newline", &["CURRENT"]),
            ("Corruption: Missing WAL with log number: 12.", &["000012.log"]),
            ("Corruption: checksum mismatch", &[]),
            ("Corruption: block checksum mismatch in /data/000009.sst offset 0", &["000009.sst"]),
        ] {
            assert_eq!(files_named(words), files, "{words}");
        }
    }
}
