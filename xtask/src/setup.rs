//! Installs what the build and the tests need beside Rust and its linker, on Debian and Ubuntu.
//!
//! Each part asks the one who will need the thing, not the file system: whether there is a libclang
//! is what the generator of RocksDB's bindings answers, with the very function by which it loads
//! the library. A look of our own at file names would have to know all that the generator knows,
//! and took LLVM's C++ interface (`libclang-cpp.so`) for the C interface once.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::workspace;

/// Something that has to be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A C++ compiler and `ar`, for RocksDB.
    Compiler,
    /// LLVM's C interface, for RocksDB's bindings.
    Libclang,
    /// psql and isolationtester, which tests drive a node with.
    Clients,
    /// PostgreSQL 15 itself, the oracle of SQL.
    Server,
    /// Python that can make an environment of its own, for the tests with Python's drivers.
    Python,
    /// npm, for the test with its driver.
    Npm,
    /// `debootstrap`, which makes the root file system of `fresh`.
    Debootstrap,
    /// What etcd's client is generated with, and the definitions that everybody imports.
    Protoc,
    /// etcd, a peer.
    Etcd,
    /// MariaDB with Galera, a peer, and what its first copies are made with.
    Galera,
    /// PostgreSQL's load.
    Pgbench,
    /// The load that PostgreSQL's and MariaDB's users know.
    Sysbench,
    /// The profiler.
    Perf,
}

/// What RocksDB needs.
pub const ROCKSDB: [Need; 2] = [Need::Compiler, Need::Libclang];

impl Need {
    fn is_met(self) -> bool {
        match self {
            Need::Compiler => runs("c++") && runs("ar"),
            Need::Libclang => clang_sys::load().is_ok(),
            Need::Clients => runs("psql") && has_isolationtester(),
            Need::Server => Path::new("/usr/lib/postgresql/15/bin/initdb").exists(),
            Need::Python => runs_with("python3", &["-c", "import ensurepip, venv"]),
            Need::Npm => runs("npm") && runs("node"),
            Need::Debootstrap => runs("debootstrap"),
            Need::Protoc => {
                let known = Path::new("/usr/include/google/protobuf/descriptor.proto");
                runs("protoc") && known.exists()
            }
            Need::Etcd => runs("etcd"),
            Need::Galera => {
                let provider = Path::new("/usr/lib/galera/libgalera_smm.so");
                runs("mariadbd") && runs("rsync") && runs_with("ss", &["-V"]) && provider.exists()
            }
            Need::Pgbench => runs("pgbench"),
            Need::Sysbench => runs("sysbench"),
            Need::Perf => runs("perf"),
        }
    }

    /// Debian's packages of it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Need::Compiler => &["g++"],
            Need::Libclang => &["libclang-dev"],
            Need::Clients => &["postgresql-client"],
            Need::Server => &["postgresql-15"],
            Need::Python => &["python3-venv"],
            Need::Npm => &["npm"],
            Need::Debootstrap => &["debootstrap"],
            Need::Protoc => &["protobuf-compiler", "libprotobuf-dev"],
            Need::Etcd => &["etcd-server"],
            Need::Galera => &["mariadb-server", "galera-4", "rsync", "iproute2"],
            Need::Pgbench => &["postgresql-15"],
            Need::Sysbench => &["sysbench"],
            Need::Perf => &["linux-perf"],
        }
    }
}

/// Installs what is missing. Does nothing, and asks for no password, if nothing is.
pub fn run(needs: &[Need]) -> Result<()> {
    let missing = |needs: &[Need]| needs.iter().copied().filter(|need| !need.is_met()).collect();
    let unmet: Vec<Need> = missing(needs);
    if unmet.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = unmet.iter().flat_map(|need| need.packages()).copied().collect();
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        if unmet == [Need::Clients] {
            eprintln!("there is no {list}: tests that need it are skipped");
            return Ok(());
        }
        bail!("something is missing here that Debian has in these packages: {list}; install it");
    }
    eprintln!("installing {list}");
    workspace::run(apt_get().arg("update").arg("-q"))?;
    workspace::run(
        apt_get().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages),
    )?;
    match missing(&unmet).as_slice() {
        [] => Ok(()),
        still => bail!("{list} is installed, and yet there is none of {still:?}"),
    }
}

/// apt-get, with sudo where we are not root.
fn apt_get() -> Command {
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether we may do everything.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn runs(program: &str) -> bool {
    runs_with(program, &["--version"])
}

fn runs_with(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// isolationtester lies in a folder of each PostgreSQL version.
fn has_isolationtester() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("lib/pgxs/src/test/isolation/isolationtester"))
        .any(|tester| tester.exists())
}
