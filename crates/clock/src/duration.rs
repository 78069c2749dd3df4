//! Durations as people write them: `4ms`, `1.5s`, `200us`, `1h`.
//!
//! One syntax for topology files, command lines, cluster settings and what the tools print.

use std::{fmt, time::Duration};

/// A unit: its spellings, the first of them printed, and its length in nanoseconds.
const UNITS: [(&[&str], u64); 7] = [
    (&["d"], 86_400 * 1_000_000_000),
    (&["h"], 3_600 * 1_000_000_000),
    (&["m", "min"], 60 * 1_000_000_000),
    (&["s", "sec"], 1_000_000_000),
    (&["ms"], 1_000_000),
    (&["us", "µs"], 1_000),
    (&["ns"], 1),
];

/// Digits accepted behind the decimal point.
const MAX_DECIMALS: usize = 9;

/// Why a text is not a duration; says what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError {
    text: String,
    problem: &'static str,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DurationError { text, problem } = self;
        write!(f, "\"{text}\" is not a duration: {problem} (write 4ms, 1.5s, 200us, 30m or 1h)")
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration: a decimal number and a unit out of ns, us, ms, s, m, h, d. A bare `0` needs no
/// unit.
///
/// # Errors
/// If the text is anything else, has more than nine decimals, or is longer than 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let fail = |problem| DurationError { text: text.to_owned(), problem };
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    if trimmed.starts_with('-') {
        return Err(fail("it must not be negative"));
    }
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(|| fail("the unit is missing"))?;
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim_start();
    let unit_nanos = UNITS
        .iter()
        .find(|(spellings, _)| spellings.contains(&unit))
        .map(|(_, nanos)| *nanos)
        .ok_or_else(|| fail("unknown unit"))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (decimals.is_empty() && number.contains('.')) {
        return Err(fail("the number is malformed"));
    }
    if decimals.len() > MAX_DECIMALS || decimals.contains('.') {
        return Err(fail("the number is malformed"));
    }
    nanos_of(whole, decimals, unit_nanos).map(Duration::from_nanos).ok_or_else(|| fail("too long"))
}

/// The number `whole.decimals` in a unit, in nanoseconds, rounded down; `None` if it overflows.
fn nanos_of(whole: &str, decimals: &str, unit_nanos: u64) -> Option<u64> {
    let whole: u64 = whole.parse().ok()?;
    let scale = 10u128.pow(u32::try_from(decimals.len()).ok()?);
    let fraction: u128 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
    let fraction_nanos = u64::try_from(u128::from(unit_nanos) * fraction / scale).ok()?;
    whole.checked_mul(unit_nanos)?.checked_add(fraction_nanos)
}

/// Prints a duration in the largest unit that it fills, exactly; [`parse_duration`] reads it back.
/// Nothing longer than 584 years is printed exactly.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    // Days, hours and minutes only where they come out even: 90s reads better than 1.5m.
    let fits = |unit: u64| nanos >= unit && (unit <= 1_000_000_000 || nanos.is_multiple_of(unit));
    let Some((spellings, unit)) = UNITS.iter().find(|(_, unit)| fits(*unit)) else {
        return "0s".to_owned();
    };
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return format!("{whole}{}", spellings[0]);
    }
    let width = unit.ilog10() as usize;
    let decimals = format!("{rest:0width$}");
    format!("{whole}.{}{}", decimals.trim_end_matches('0'), spellings[0])
}

#[cfg(test)]
mod tests;
