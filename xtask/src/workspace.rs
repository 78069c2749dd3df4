//! Where things are, and how programs are run.

use std::{
    env, fmt,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The places that tasks work with.
#[derive(Debug)]
pub struct Workspace {
    /// The checkout.
    pub root: PathBuf,
    /// `meridian` in the user's cache folder.
    pub cache: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// The folder of a RocksDB compiled before, once it is provided.
    pub rocksdb: Option<PathBuf>,
}

/// A profile of the workspace's `Cargo.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What people run and measure.
    Release,
    /// What the tests run: built for quick rebuilds.
    Quick,
}

impl Profile {
    /// As cargo calls it, and its folder.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Quick => "quick",
        }
    }
}

impl Workspace {
    /// Finds them.
    pub fn locate() -> Result<Workspace> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask lies in the workspace")?.to_owned();
        let cache = env::var_os("XDG_CACHE_HOME")
            .filter(|cache| !cache.is_empty())
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set")?
            .join("meridian");
        let target = env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty());
        let target = target.map_or_else(|| cache.join("target"), PathBuf::from);
        Ok(Workspace { target: root.join(target), root, cache, rocksdb: None })
    }

    /// Cargo, in the workspace, with its target folder and the RocksDB that is provided.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        if let Some(folder) = &self.rocksdb {
            cargo.env("ROCKSDB_LIB_DIR", folder).env("ROCKSDB_STATIC", "1");
        }
        cargo
    }

    /// The program, once it is built.
    pub fn program(&self, profile: Profile) -> PathBuf {
        self.target.join(profile.name()).join("meridian")
    }
}

/// A program failed; it has said why itself.
#[derive(Debug)]
pub struct Failed {
    /// What was run.
    line: String,
    /// Its exit code; `None` if it was killed.
    pub code: Option<u8>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "`{}` failed with exit code {code}", self.line),
            None => write!(f, "`{}` was killed", self.line),
        }
    }
}

impl std::error::Error for Failed {}

/// A command as it would be typed.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    bail!(Failed { line, code })
}

/// Replaces this process by a program: signals and the terminal are its own.
pub fn become_program(mut command: Command) -> Result<()> {
    let line = line(&command);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run `{line}`"))
}
