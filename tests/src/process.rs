//! Processes of the real binary. Each is ended by its own id, also when a test fails.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// The binary under test: the one built beside this test.
///
/// # Panics
/// If it was not built: `cargo xtask test` builds it first.
#[must_use]
pub fn meridian() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let built = test.parent().and_then(Path::parent).expect("deps/ lies in a profile's folder");
    let binary = built.join("meridian");
    assert!(binary.exists(), "{} is missing: cargo xtask test builds it", binary.display());
    binary
}

/// A folder that is removed when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder for this process and purpose.
    ///
    /// # Panics
    /// If the file system refuses.
    #[must_use]
    pub fn new(purpose: &str) -> Folder {
        let name = format!("meridian-{purpose}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).expect("remove what a former run left");
        }
        std::fs::create_dir_all(&path).expect("make a folder");
        Folder(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's cleaning of its temporary folder.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Ports that are free now, all different.
///
/// # Panics
/// If the machine has none.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the binary; what it prints goes to a file.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(arguments: &[String], log: &Path) -> Process {
        Process::spawn(arguments, log, Stdio::null())
    }

    /// The same; what is written to the second part is its input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_piped(arguments: &[String], log: &Path) -> (Process, ChildStdin) {
        let mut process = Process::spawn(arguments, log, Stdio::piped());
        let input = process.child.stdin.take().expect("it is piped");
        (process, input)
    }

    fn spawn(arguments: &[String], log: &Path, input: Stdio) -> Process {
        let out = File::options().create(true).append(true).open(log).expect("open the log");
        let err = out.try_clone().expect("share the log");
        // Whoever runs the tests may not want to hear of a closed terminal; the program shall.
        let mut command =
            Command::new(if cfg!(target_os = "linux") { "env".into() } else { meridian() });
        if cfg!(target_os = "linux") {
            command.arg("--default-signal=HUP").arg(meridian());
        }
        let child = command
            .args(arguments)
            .stdin(input)
            .stdout(out)
            .stderr(err)
            .env("RUST_LOG", "info")
            .spawn()
            .expect("start the binary");
        Process { child, log: log.to_owned() }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill by id");
        self.child.wait().expect("wait for its end");
    }

    /// Asks it to stop (`SIGTERM`), and waits until it has; how it ended.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signalled("-TERM")
    }

    /// What its terminal tells it when that goes (`SIGHUP`); how it ended.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn hang_up(&mut self) -> ExitStatus {
        self.signalled("-HUP")
    }

    fn signalled(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.child.wait().expect("wait for its end")
    }

    /// Sends it a signal, as `kill` names it.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("run kill");
        assert!(sent.success(), "there is no process {id}");
    }

    /// Memory of the machine that it takes, in bytes; `None` where the system does not tell.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// If the system refuses to tell.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("ask for its state").is_none()
    }

    /// How it ended by itself; `None`: it still runs.
    ///
    /// # Panics
    /// If the system refuses to tell.
    pub fn ending(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for its state")
    }

    /// What it printed.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Tries until it works.
///
/// # Panics
/// If it does not within `patience`; the last error is told.
pub async fn eventually<T, E: std::fmt::Debug>(
    what: &str,
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                assert!(Instant::now() < deadline, "{what}: not within {patience:?}: {error:?}");
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}
