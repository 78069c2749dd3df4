//! The live face of the seams: the machine's randomness, its signals, and the end of a process that
//! contradicts itself. (Its clock is [`crate::machine`].)

use std::{io, thread::available_parallelism};

use rand::{TryRng, rngs::SysRng};
use tokio::runtime::{Builder, Runtime};

/// 128 bits from the operating system.
pub fn random() -> u128 {
    let draw = || SysRng.try_next_u64().expect("the operating system has randomness");
    (u128::from(draw()) << 64) | u128::from(draw())
}

/// Threads of the long lane for each core. What they compute cannot always be interrupted, and the
/// system shares the cores among them: so who shall end soon does not wait for who ends late.
const LONG_LANE_THREADS_PER_CORE: usize = 4;

/// Where sessions go on that compute for long ([`frontend::Lanes`]): behind all other threads.
pub fn long_lane() -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, usize::from);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(cores * LONG_LANE_THREADS_PER_CORE).thread_name("meridian-long");
    builder.on_thread_start(step_back).enable_all().build()
}

/// Lowers the priority of this thread.
#[cfg(target_os = "linux")]
fn step_back() {
    /// As `nice` counts: a core that both want goes to another thread nine times of ten.
    const NICENESS: i32 = 10;
    // On Linux this is the thread's own. It is only a wish: without it all is as right, and slower.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Elsewhere a thread has no priority of its own that could be lowered so simply.
#[cfg(not(target_os = "linux"))]
const fn step_back() {}

/// A broken invariant of ours stops the process: nothing goes on with a state that contradicts
/// itself. The message and place are printed first. A panic in a session is not one: it ends
/// the session.
pub fn stop_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        if !sql::contain::is_contained() {
            std::process::abort();
        }
    }));
}

/// Whether whoever started the process wants it to outlive its terminal, as `nohup` does: to listen for
/// the signal would undo that. Where the system does not tell, nobody does.
fn ignores_hang_ups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal n is bit n - 1, and this one is the first.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Resolves when the process is asked to end: interrupted, or as [`told_to_end`].
pub async fn asked_to_stop() -> anyhow::Result<()> {
    tokio::select! {
        biased;
        told = told_to_end() => told,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// Resolves when the process is terminated, or its terminal hung up. An interrupt is a shell's own.
pub async fn told_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let outlives_terminal = ignores_hang_ups();
    let mut terminate = signal(SignalKind::terminate())?;
    if outlives_terminal {
        terminate.recv().await;
        return Ok(());
    }
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
