//! A PostgreSQL 15 of the test's own, in a folder that goes with it.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where Debian's packages put the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A server that answers until it is dropped; or one that the caller of the test runs.
pub struct Server {
    /// Where clients connect.
    pub url: String,
    /// The folder of the test's own server.
    folder: Option<PathBuf>,
}

impl Server {
    /// Starts a server, unless `MERIDIAN_TEST_POSTGRES` names one. `None`, with a word to the
    /// reader, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it cannot be started; or if it is missing though `MERIDIAN_REQUIRE_POSTGRES=1`.
    pub fn start(name: &str) -> Option<Server> {
        if let Ok(url) = env::var("MERIDIAN_TEST_POSTGRES") {
            return Some(Server { url, folder: None });
        }
        if !Path::new(PROGRAMS).join("initdb").exists() {
            let required = env::var_os("MERIDIAN_REQUIRE_POSTGRES").is_some_and(|on| on == "1");
            assert!(!required, "there is no PostgreSQL 15: install postgresql-15");
            eprintln!("skipped: there is no PostgreSQL 15 (Debian: postgresql)");
            return None;
        }
        let folder = env::temp_dir().join(format!("meridian-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the server");
        if is_root() {
            // PostgreSQL does not run as root.
            check(Command::new("chown").arg("postgres").arg(&folder).output());
        }
        let port = free_port();
        let data = folder.join("data");
        let data = data.display();
        run(&format!("{PROGRAMS}/initdb -D {data} -U root -A trust -E UTF8 --locale=C.UTF-8 -N"));
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=UTC",
            folder.display()
        );
        let log = folder.join("log");
        run(&format!("{PROGRAMS}/pg_ctl -D {data} -l {} -o '{options}' -w start", log.display()));
        let url = format!("postgresql://root@127.0.0.1:{port}/postgres");
        Some(Server { url, folder: Some(folder) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let data = folder.join("data");
            run(&format!("{PROGRAMS}/pg_ctl -D {} -m immediate stop", data.display()));
            // What is left is in a folder for temporary files.
            drop(fs::remove_dir_all(folder));
        }
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

/// Runs a command line as somebody who is not root.
fn run(line: &str) {
    let mut command = if is_root() { Command::new("su") } else { Command::new("sh") };
    if is_root() {
        command.arg("postgres");
    }
    // A folder that the other user may enter.
    check(command.args(["-c", line]).current_dir("/").output());
}

fn check(output: std::io::Result<Output>) {
    let output = output.expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("some port is free");
    listener.local_addr().expect("it is bound").port()
}
