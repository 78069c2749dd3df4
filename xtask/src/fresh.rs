//! `cargo xtask fresh`: what somebody meets who has a bare Debian, git and Rust, and nothing else.
//!
//! A root file system is made with debootstrap, of the release and from the sources of packages
//! that this machine uses; HEAD is cloned into it, and the first commands of the README run there:
//!
//! | step | command | ends with |
//! |---|---|---|
//! | `demo` | `cargo xtask demo` | the time to the first answer of the shell, in memory |
//! | `data` | `cargo xtask demo --data DIR` | the same with RocksDB, which is compiled |
//! | `test` | `cargo xtask test` | the tests |
//!
//! Rust is this machine's toolchain, seen through a mount; it cannot link without a C linker and the
//! C library's start-up files, so these count as part of it. All that is mounted is mounted in a
//! namespace of its own: whatever happens, nothing of it is left behind.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    UsageError, setup,
    workspace::{self, Workspace},
};

/// What is there beside Debian's base: git, what Rust links with, and whom to trust in the network.
const PACKAGES: &str = "git,ca-certificates,gcc,libc6-dev";

/// Mounts what a machine has beside its files, and runs a command of the newcomer's.
///
/// `$1` the root file system, `$2` the Rust toolchain, `$3` the command.
const ENTER: &str = r#"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind -o ro "$2" "$1/opt/rust"
exec chroot "$1" /usr/bin/env -i HOME=/srv TERM=dumb LANG=C.UTF-8 \
  PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  sh -euc "cd /srv/meridian; $3"
"#;

/// A line that the demo's shell prints for [`QUESTION`].
const ANSWER: &str = "the_prompt_is_here";
const QUESTION: &str = "SELECT 'the_prompt_' || 'is_here';\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Demo,
    Data,
    Test,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    steps: Vec<Step>,
    /// Packages beside those of [`PACKAGES`], to try another kind of machine.
    packages: Vec<String>,
}

/// Runs the steps on a bare Debian.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let plan = plan(args)?;
    ensure!(setup::is_root(), "a root file system is made by root: run this as root");
    setup::run(&[setup::Need::Debootstrap])?;
    let root = Root::make(workspace, &plan.packages)?;
    let mut told = Vec::new();
    for step in &plan.steps {
        let took = root.step(*step).with_context(|| format!("{step:?}, on a bare Debian"))?;
        told.push(format!("{:<28} {:>7.1} s", step.told(), took.as_secs_f64()));
    }
    println!("{}", told.join("\n"));
    Ok(())
}

fn plan(args: &[String]) -> Result<Plan> {
    let mut plan = Plan { steps: Vec::new(), packages: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "demo" => plan.steps.push(Step::Demo),
            "data" => plan.steps.push(Step::Data),
            "test" => plan.steps.push(Step::Test),
            "--with" => match args.next() {
                Some(package) => plan.packages.push(package.clone()),
                None => bail!(UsageError("--with needs a package".to_owned())),
            },
            other => bail!(UsageError(format!("there is no step `{other}`"))),
        }
    }
    if plan.steps.is_empty() {
        plan.steps = vec![Step::Demo, Step::Data, Step::Test];
    }
    Ok(plan)
}

impl Step {
    fn command(self) -> &'static str {
        match self {
            Step::Demo => "cargo xtask demo",
            Step::Data => "cargo xtask demo --data /srv/data",
            Step::Test => "cargo xtask test",
        }
    }

    fn told(self) -> &'static str {
        match self {
            Step::Demo => "clone to prompt, memory",
            Step::Data => "from there to RocksDB's",
            Step::Test => "from there through the tests",
        }
    }
}

/// A bare Debian in a folder, removed at the end.
struct Root {
    folder: PathBuf,
    toolchain: PathBuf,
}

impl Root {
    fn make(workspace: &Workspace, packages: &[String]) -> Result<Root> {
        let root = Root { folder: workspace.cache.join("fresh"), toolchain: toolchain()? };
        // What a run that was killed left behind. Nothing is mounted there: its namespace is gone.
        root.remove()?;
        fs::create_dir_all(&root.folder)?;
        let (release, mirror) = (release()?, mirror()?);
        eprintln!("a bare Debian {release} in {}", root.folder.display());
        let include = [&[PACKAGES.to_owned()], packages].concat().join(",");
        workspace::run(
            Command::new("debootstrap")
                .args(["--variant=minbase", &format!("--include={include}"), &release])
                .arg(&root.folder)
                .arg(&mirror)
                .stdout(Stdio::null()),
        )?;
        root.take_over_sources()?;
        fs::create_dir_all(root.folder.join("opt/rust"))?;
        workspace::run(
            Command::new("git")
                .args(["clone", "--quiet", "--no-hardlinks"])
                .arg(&workspace.root)
                .arg(root.folder.join("srv/meridian")),
        )?;
        Ok(root)
    }

    fn remove(&self) -> Result<()> {
        workspace::run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&self.folder))
    }

    /// Packages and crates come from where this machine has them.
    fn take_over_sources(&self) -> Result<()> {
        let mut taken: Vec<PathBuf> = [
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d",
            "/etc/apt/apt.conf.d",
            "/etc/apt/auth.conf.d",
            "/etc/apt/keyrings",
            "/etc/apt/trusted.gpg.d",
            "/usr/share/keyrings",
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/resolv.conf",
            "/etc/hosts",
        ]
        .map(PathBuf::from)
        .into();
        let home = std::env::home_dir().context("HOME is not set")?;
        let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), Into::into);
        taken.retain(|path| path.exists());
        for path in taken {
            let into = self.folder.join(path.strip_prefix("/").expect("it is absolute"));
            copy(&path, &into)?;
        }
        let settings = cargo.join("config.toml");
        if settings.exists() {
            copy(&settings, &self.folder.join("srv/.cargo/config.toml"))?;
        }
        Ok(())
    }

    /// Runs a step; returns how long it took, a demo until its shell answered.
    fn step(&self, step: Step) -> Result<Duration> {
        eprintln!("--- {}", step.command());
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", ENTER, "enter"])
            .args([self.folder.as_os_str(), self.toolchain.as_os_str()])
            .arg(step.command());
        let started = now();
        if step == Step::Test {
            workspace::run(&mut command)?;
            return Ok(started.elapsed());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().context("it is piped")?.write_all(QUESTION.as_bytes())?;
        let mut answered = None;
        for line in BufReader::new(child.stdout.take().context("it is piped")?).lines() {
            let line = line?;
            if line.contains(ANSWER) {
                answered.get_or_insert_with(|| started.elapsed());
            }
            println!("{line}");
        }
        let status = child.wait()?;
        ensure!(status.success(), "`{}` ended with {status}", step.command());
        answered.context("the demo ended, and its shell had not answered")
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Nothing is mounted there outside the namespace of a step, which has ended.
        if let Err(error) = self.remove() {
            eprintln!("{error:#}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a person waits for this, not a simulation")]
fn now() -> Instant {
    Instant::now()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("files lie in folders")?;
    fs::create_dir_all(parent)?;
    // Into the parent: a folder that is there already is filled, not put into itself.
    workspace::run(
        Command::new("cp").args(["-rL", "--no-preserve=ownership"]).arg(from).arg(parent),
    )
}

/// Where the toolchain that runs this lies.
fn toolchain() -> Result<PathBuf> {
    let text = said(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(text.trim()))
}

/// The name of this machine's release of Debian.
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release names no release")?.trim_matches('"').to_owned())
}

/// Where this machine has the packages of its release from.
fn mirror() -> Result<String> {
    let release = release()?;
    let format = "$(CODENAME) $(ORIGIN) $(REPO_URI)";
    let targets = said(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    let found = mirror_in(&targets, &release);
    found.with_context(|| format!("apt-get update first: no source of {release} is known"))
}

fn mirror_in(targets: &str, release: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (name, origin, uri) = (words.next()?, words.next()?, words.next()?);
        (name == release && matches!(origin, "Debian" | "Ubuntu")).then(|| uri.to_owned())
    })
}

fn said(command: &mut Command) -> Result<String> {
    let line = workspace::line(command);
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "`{line}` failed");
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` does not print text"))
}

#[cfg(test)]
mod tests;
