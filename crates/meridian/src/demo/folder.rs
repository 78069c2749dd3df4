//! Where a demo's data lies: in a folder that is kept, in one that goes with the demo, or nowhere.
//!
//! | asked for | where | at the end | if the demo is killed |
//! |---|---|---|---|
//! | `--data DIR` | there | stays | stays |
//! | the engine in memory | nowhere | - | - |
//! | another engine | `meridian-demo-<process>` among the system's temporary files | goes | goes when the next demo starts |
//!
//! A folder belongs to who holds the lock of its file `LOCK`; the system lets go of the lock when the
//! process ends, however it ends. So a temporary folder whose lock is free was left behind.
//!
//! Two demos may start at once, and one may take for left behind what the other has made and not yet
//! locked. Who makes a folder therefore looks, once it has the lock, whether the folder is still
//! there, and else makes another.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use net::ClusterId;
use sim_regions::NodeSpec;

use crate::{engine, live};

/// The file of a folder whose lock says that the folder is in use.
const LOCK: &str = "LOCK";

/// How the names of temporary folders begin.
const TEMPORARY: &str = "meridian-demo-";

/// How many names are tried for a temporary folder.
const NAMES: u32 = 100;

/// Where the demo's data lies; a temporary folder is removed with it.
pub(super) enum Folder {
    /// In memory alone.
    Nowhere,
    Kept(PathBuf, #[expect(dead_code, reason = "held for its lock")] FolderLock),
    Temporary(PathBuf, #[expect(dead_code, reason = "held for its lock")] FolderLock),
}

impl Folder {
    /// The folder asked for, or what this engine needs without one. `temporary` holds the temporary
    /// files of everybody; what killed demos left there goes.
    pub(super) fn open(
        asked: Option<&Path>,
        engine: engine::Kind,
        temporary: &Path,
    ) -> anyhow::Result<Folder> {
        if let Some(path) = asked {
            engine.check_keeps("--data")?;
            fs::create_dir_all(path)
                .with_context(|| format!("create the data folder {}", path.display()))?;
            let lock = FolderLock::take(path)?;
            return Ok(Folder::Kept(path.to_owned(), lock));
        }
        remove_left_behind(temporary);
        if engine == engine::Kind::Memory {
            return Ok(Folder::Nowhere);
        }
        let (path, lock) = make_temporary(temporary)?;
        Ok(Folder::Temporary(path, lock))
    }

    /// `None`: nowhere.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Folder::Nowhere => None,
            Folder::Kept(path, _) | Folder::Temporary(path, _) => Some(path),
        }
    }

    /// The cluster's id: kept with its data, drawn where there is none yet.
    pub(super) fn cluster_id(&self) -> anyhow::Result<ClusterId> {
        self.path().map_or_else(|| Ok(ClusterId(live::random())), kept_id)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Folder::Temporary(path, _) = self
            && let Err(error) = fs::remove_dir_all(&*path)
        {
            eprintln!("meridian: cannot remove {}: {error}", path.display());
        }
    }
}

/// A new folder, locked.
pub(super) fn make_temporary(temporary: &Path) -> anyhow::Result<(PathBuf, FolderLock)> {
    for nth in 1..=NAMES {
        // Another container may have the same process number and the same temporary files.
        let path = temporary.join(format!("{TEMPORARY}{}-{nth}", std::process::id()));
        let context = || format!("create the temporary folder {}", path.display());
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => made.with_context(context)?,
        }
        // Another demo that starts now may have taken it for left behind: see the head.
        if let Ok(lock) = FolderLock::take(&path)
            && path.join(LOCK).exists()
        {
            return Ok((path, lock));
        }
    }
    bail!("no name is free for a temporary folder in {}", temporary.display())
}

/// Removes the folders of demos that were killed. What cannot be removed stays: it may be another
/// user's.
fn remove_left_behind(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(TEMPORARY)) && path.is_dir() && !path.is_symlink()
    };
    for path in paths.filter(is_ours) {
        // Empty: its demo died before it could lock it. This fails on any other.
        let removed = fs::remove_dir(&path).or_else(|_| {
            let lock = File::options().write(true).open(path.join(LOCK))?;
            match lock.try_lock() {
                Ok(()) => fs::remove_dir_all(&path),
                Err(TryLockError::WouldBlock) => Ok(()),
                Err(TryLockError::Error(error)) => Err(error),
            }
        });
        if let Err(error) = removed {
            tracing::debug!("{} stays: {error}", path.display());
        }
    }
}

/// Holds a data folder for this process alone.
pub struct FolderLock(#[expect(dead_code, reason = "held for its lock")] File);

impl FolderLock {
    /// Takes the folder, or says that another process has it.
    pub fn take(folder: &Path) -> anyhow::Result<FolderLock> {
        let path = folder.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock(file)),
            Err(TryLockError::WouldBlock) => {
                bail!("the data folder {} is in use by another process", folder.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("lock {}", path.display()))
            }
        }
    }
}

/// The nodes that the data in a folder belong to, one per line: id, region, zone. Replicas lie where
/// this says, so a cluster of other nodes over the same data would find ranges without a quorum.
pub(super) fn check_layout(folder: &Path, layout: &[NodeSpec]) -> anyhow::Result<()> {
    let path = folder.join("layout");
    let line = |spec: &NodeSpec| format!("{} {} {}\n", spec.id.0, spec.region, spec.zone);
    let asked: String = layout.iter().map(line).collect();
    match fs::read_to_string(&path) {
        Ok(made) if made == asked => Ok(()),
        Ok(made) => bail!(
            "the data folder {} belongs to {}, not to {}: start it with the --topology and \
             --nodes-per-region it was made with, or choose another folder",
            folder.display(),
            summary(&made),
            summary(&asked),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let aside = folder.join("layout.part");
            fs::write(&aside, asked)
                .and_then(|()| fs::rename(&aside, &path))
                .with_context(|| format!("write {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// A layout in few words: `3 nodes (us-east: 2, us-west: 1)`.
fn summary(layout: &str) -> String {
    let mut regions: Vec<(&str, usize)> = Vec::new();
    for region in layout.lines().filter_map(|line| line.split(' ').nth(1)) {
        match regions.iter_mut().find(|(known, _)| *known == region) {
            Some((_, nodes)) => *nodes += 1,
            None => regions.push((region, 1)),
        }
    }
    let parts: Vec<String> =
        regions.iter().map(|(region, nodes)| format!("{region}: {nodes}")).collect();
    let nodes = layout.lines().count();
    format!("{nodes} {} ({})", if nodes == 1 { "node" } else { "nodes" }, parts.join(", "))
}

/// The cluster's id, drawn once and kept beside the nodes' folders.
fn kept_id(folder: &Path) -> anyhow::Result<ClusterId> {
    let path = folder.join("cluster-id");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.trim();
            text.parse().with_context(|| format!("{}: no cluster id: {text}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = ClusterId(live::random());
            fs::write(&path, format!("{id}\n"))
                .with_context(|| format!("write {}", path.display()))?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
