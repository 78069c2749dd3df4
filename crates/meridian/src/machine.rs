//! The machine that this process runs on: its clocks, and what keeps watch on them.
//!
//! The state machine that makes a node's clock of them is `clock::MachineClock`; here are the system
//! calls.

mod clockbound;
mod kernel;

use std::sync::Arc;

use clock::{BoundSource, Claim, ClockModel, Machine, MachineClock, Readings};

/// How long a reading of all clocks may take. One that took longer was interrupted, and shows jumps
/// only beyond that; so it is made again, at most [`ATTEMPTS`] times.
const PROMPT_NANOS: u64 = 20_000;

const ATTEMPTS: u32 = 4;

/// This machine.
#[derive(Debug)]
struct ThisMachine;

impl Machine for ThisMachine {
    fn read(&self) -> Readings {
        let mut readings = read_once();
        for _ in 1..ATTEMPTS {
            if readings.after - readings.before <= PROMPT_NANOS {
                break;
            }
            readings = read_once();
        }
        readings
    }

    fn monotonic(&self) -> u64 {
        read(rustix::time::ClockId::Monotonic)
    }
}

fn read_once() -> Readings {
    use rustix::time::ClockId;
    let before = read(ClockId::Monotonic);
    let (realtime, boottime) = (read(ClockId::Realtime), read(BOOT_TIME));
    Readings { before, realtime, boottime, after: read(ClockId::Monotonic) }
}

/// The clock that goes on while the machine sleeps.
#[cfg(target_os = "linux")]
const BOOT_TIME: rustix::time::ClockId = rustix::time::ClockId::Boottime;

/// Elsewhere a machine that sleeps shows as a step of its wall clock.
#[cfg(not(target_os = "linux"))]
const BOOT_TIME: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// A clock in nanoseconds.
fn read(id: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(id);
    let whole = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(whole).expect("between 1970 and 2554")
}

/// The clock of a node on this machine.
///
/// # Errors
/// If its source names no bound now: a node that starts so would only wait, and its operator is here.
pub fn clock(model: ClockModel) -> anyhow::Result<MachineClock> {
    let claim = match model {
        ClockModel::Vouched(uncertainty) => Claim::Vouched(uncertainty),
        ClockModel::Kernel => watched(kernel::Kernel)?,
        ClockModel::ClockBound => watched(clockbound::ClockBound)?,
    };
    Ok(MachineClock::new(Arc::new(ThisMachine), claim))
}

fn watched(source: impl BoundSource) -> anyhow::Result<Claim> {
    let polled = source.poll();
    polled.map_err(|why| {
        anyhow::anyhow!(
            "--clock {}: {why}. Or vouch for a bound of your own: --clock fixed --epsilon 20ms",
            source.name()
        )
    })?;
    Ok(Claim::Watched(Box::new(source)))
}

#[cfg(test)]
mod tests;
