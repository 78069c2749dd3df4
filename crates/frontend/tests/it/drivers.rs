//! Real drivers: asyncpg, psycopg with libpq's pipeline mode, and npm's `postgres`. Each runs a
//! script of `tests/drivers` and must see its errors when they happen.
//!
//! The drivers are installed once, at the versions pinned beside the scripts, into the user's cache
//! folder. Where python3, node or the packages are not to be had, the test says so and passes, unless
//! `MERIDIAN_REQUIRE_DRIVERS=1`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::timeout;

use crate::server::Server;

/// How long a script may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers")
}

/// Runs a program; its output is the error if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The folder with what a file of `tests/drivers` pins. It is filled by `install` unless one with
/// these very pins is there; under another name first, so that it is whole once it is there.
fn installed(
    pins: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let text = fs::read_to_string(scripts().join(pins)).map_err(|error| error.to_string())?;
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let name: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let cache = env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    let drivers = cache.ok_or("there is no home")?.join("meridian/drivers");
    let folder = drivers.join(name.join("-"));
    if folder.exists() {
        return Ok(folder);
    }
    let unfinished = drivers.join(format!("unfinished-{}-{}", pins, std::process::id()));
    fs::create_dir_all(&unfinished).map_err(|error| error.to_string())?;
    let done = install(&unfinished).and_then(|()| {
        // Another process may have been faster: either is good.
        fs::rename(&unfinished, &folder)
            .or_else(|error| if folder.exists() { Ok(()) } else { Err(error) })
            .map_err(|error| error.to_string())
    });
    // Gone already if all went well.
    drop(fs::remove_dir_all(&unfinished));
    done.map(|()| folder)
}

/// A Python that has the drivers.
fn python() -> Result<PathBuf, String> {
    let folder = installed("requirements.txt", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(pip.args(["--retries=2", "--timeout=20", "-r"]).arg(scripts().join("requirements.txt")))
    })?;
    Ok(folder.join("bin/python"))
}

/// The folder where node finds the driver.
fn modules() -> Result<PathBuf, String> {
    installed("package.json", |folder| {
        let pins = folder.join("package.json");
        fs::copy(scripts().join("package.json"), pins).map_err(|error| error.to_string())?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]);
        run(npm.current_dir(folder))
    })
}

/// What is needed, or `None` with a word on why it is not there.
fn or_skip<T>(provided: Result<T, String>) -> Option<T> {
    let is_required = env::var_os("MERIDIAN_REQUIRE_DRIVERS").is_some_and(|on| on == "1");
    match provided {
        Ok(provided) => Some(provided),
        Err(error) if is_required => panic!("a driver is missing: {error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Runs a script against a server of its own.
async fn script(program: &Path, name: &str, more: &[&Path]) {
    let server = Server::start().await;
    let mut command = tokio::process::Command::new(program);
    command.arg(scripts().join(name)).arg(server.port.to_string()).args(more).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{name} waits for ever")).expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:\n{said}");
    assert_eq!(server.database.panics(), 0, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncpg_and_psycopg_see_their_errors() {
    let Some(python) = or_skip(python()) else { return };
    for name in ["asyncpg_errors.py", "psycopg_errors.py", "libpq_pipeline.py"] {
        script(&python, name, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_postgres_sees_its_errors() {
    let Some(modules) = or_skip(modules()) else { return };
    script(Path::new("node"), "postgres_errors.mjs", &[&modules]).await;
}
