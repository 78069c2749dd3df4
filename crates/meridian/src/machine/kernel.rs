//! What the machine's kernel knows of its clock's error, as the daemon that keeps the time told it.
//!
//! `adjtimex` answers the *maximum error*, which the daemon sets at each correction and which the
//! kernel raises by 500 ppm in between, the *estimated error*, and whether anybody keeps the clock at
//! all. ε is both together: the first is a bound by itself, the second covers what a daemon leaves out
//! of it (some do not count the delay to their source).

use clock::{Bound, BoundSource, Machine as _};

use super::ThisMachine;

/// How much the kernel expects its oscillator to be off at most, in parts per billion.
const DRIFT_PPB: u32 = 500_000;

/// How long an answer is good for. It is asked for every second.
const GOOD_NANOS: u64 = 10_000_000_000;

const NANOS_PER_MICRO: u64 = 1_000;

/// The kernel.
#[derive(Debug)]
pub struct Kernel;

/// What the kernel answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether anybody keeps the clock.
    pub kept: Kept,
    /// At most so far off, in microseconds.
    pub max_error_micros: i64,
    /// Probably so far off, in microseconds.
    pub estimated_error_micros: i64,
}

/// Whether a daemon keeps the clock right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It does.
    Yes,
    /// Nobody told the kernel that it does.
    Unsynchronized,
}

impl Answer {
    /// The bound that follows at a reading of the monotonic clock.
    ///
    /// # Errors
    /// If nobody keeps the clock, with what to do about it.
    pub fn bound(self, monotonic: u64) -> Result<Bound, String> {
        if self.kept == Kept::Unsynchronized {
            return Err(
                "its kernel says that nobody keeps the clock synchronized: run chronyd with \
                        'rtcsync' in its configuration, or another NTP daemon, and wait until \
                        'chronyc tracking' or 'timedatectl' says that it is"
                    .to_owned(),
            );
        }
        let micros = |error: i64| {
            u64::try_from(error).map_err(|_| format!("its kernel answers an error of {error} µs"))
        };
        let sum =
            micros(self.max_error_micros)?.saturating_add(micros(self.estimated_error_micros)?);
        Ok(Bound {
            epsilon_nanos: sum.saturating_mul(NANOS_PER_MICRO),
            as_of: monotonic,
            drift_ppb: DRIFT_PPB,
            void_after: monotonic.saturating_add(GOOD_NANOS),
        })
    }
}

impl BoundSource for Kernel {
    fn poll(&self) -> Result<Bound, String> {
        // Before the question: the error that is answered is that of a later moment.
        let monotonic = ThisMachine.monotonic();
        ask()?.bound(monotonic)
    }

    fn name(&self) -> &'static str {
        "kernel"
    }
}

/// Asks the kernel.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no crate that we use has a safe adjtimex")]
fn ask() -> Result<Answer, String> {
    // SAFETY: `timex` is plain numbers, for which zero is valid; with `modes` zero the call changes
    // nothing and writes into this struct alone, which outlives it.
    let (state, told) = unsafe {
        let mut told: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut told), told)
    };
    if state < 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("its kernel does not tell its clock's error (adjtimex: {error})"));
    }
    let unsynchronized = state == libc::TIME_ERROR || told.status & libc::STA_UNSYNC != 0;
    Ok(Answer {
        kept: if unsynchronized { Kept::Unsynchronized } else { Kept::Yes },
        max_error_micros: told.maxerror,
        estimated_error_micros: told.esterror,
    })
}

/// Other systems are not asked yet.
#[cfg(not(target_os = "linux"))]
fn ask() -> Result<Answer, String> {
    Err("only Linux is asked for its clock's error".to_owned())
}
