//! Processes of servers, their ports and their folders.

use std::{
    ffi::OsStr,
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A process that is ended, by its id, when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts it; what it prints goes to a file in a folder.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Result<Server> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Server { child })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub fn is_up(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended: {status}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Ports that are free now, all different.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Result<Vec<TcpListener>, _> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let ports: Result<Vec<u16>, _> =
        listeners?.iter().map(|listener| listener.local_addr().map(|at| at.port())).collect();
    Ok(ports?.try_into().expect("as many as were asked for"))
}

/// Runs a program to its end; what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{name} cannot be run"))?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name} failed ({}): {err}{out}", output.status);
    Ok(out.into_owned())
}

/// The same, off the threads that carry connections.
pub async fn output_of(mut command: Command) -> Result<String> {
    tokio::task::spawn_blocking(move || output(&mut command)).await?
}

/// Asks until it answers.
pub async fn until_ready<T, F>(name: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let give_up = Instant::now() + READY_WITHIN;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > give_up => {
                return Err(error.context(format!("{name} does not answer")));
            }
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Whether we are root, as whom some servers refuse to run.
fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// A command that runs as the user whom the server's package made, where we are root.
pub fn as_user(user: &str, program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
    // A folder that the other user may enter.
    command.arg(program.as_ref()).current_dir("/");
    command
}

/// Gives a folder to that user.
pub fn give_to(user: &str, folder: &Path) -> Result<()> {
    if is_root() {
        output(Command::new("chown").arg(user).arg(folder))?;
    }
    Ok(())
}
