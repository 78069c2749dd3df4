//! The live face of the seams: the machine's randomness, its signals, and the end of a process that
//! contradicts itself. (Its clock is [`sim_regions::time::live`].)

use rand::{TryRng, rngs::SysRng};

/// 128 bits from the operating system.
pub fn random() -> u128 {
    let draw = || SysRng.try_next_u64().expect("the operating system has randomness");
    (u128::from(draw()) << 64) | u128::from(draw())
}

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
