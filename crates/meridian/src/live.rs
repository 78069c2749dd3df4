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

/// Resolves when the process is asked to end (interrupt or terminate).
pub async fn asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
