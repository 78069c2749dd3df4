//! Values of settings: read as PostgreSQL reads them, written as `SHOW` prints them.

use expr::SqlError;

use super::{Definition, Kind, fixed};
use crate::parse::IsolationName;

/// The value as `SHOW` prints it.
///
/// # Errors
/// `22023` no such value, `0A000` one that is not supported, `55P02` it cannot be changed.
pub fn normal(definition: &Definition, value: &str) -> Result<String, SqlError> {
    let value = value.trim();
    let lower = value.to_lowercase();
    let bad = || invalid(definition, value);
    let unsupported = || {
        let name = definition.name;
        Err(SqlError::unsupported(format!("the value \"{value}\" of parameter \"{name}\"")))
    };
    match definition.kind {
        Kind::Fixed if value == definition.default => Ok(value.to_owned()),
        Kind::Fixed => Err(fixed(definition.name)),
        Kind::Text => Ok(value.to_owned()),
        Kind::Bool => boolean(definition, &lower),
        Kind::Switch(only) => match boolean(definition, &lower)? {
            read if read == only => Ok(read),
            _ => unsupported(),
        },
        Kind::Duration(least) => {
            let millis = parse_duration(value).ok_or_else(bad)?;
            in_range(definition, (millis, " ms"), least, i32::MAX.into())?;
            Ok(with_unit(millis, &DURATIONS))
        }
        Kind::Integer(least, most) => {
            let number = value.parse().map_err(|_| bad())?;
            in_range(definition, (number, ""), least, most)?;
            Ok(number.to_string())
        }
        Kind::Real(least, most) => match value.parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
            Ok(_) => Err(bad()),
            Err(_) => Err(bad()),
        },
        Kind::Memory(unit) => {
            let kilobytes = parse_memory(value, unit).ok_or_else(bad)?;
            in_range(definition, (kilobytes, " kB"), 64, i64::from(i32::MAX) * unit)?;
            Ok(with_unit(kilobytes, &SIZES))
        }
        Kind::Isolation => {
            IsolationName::from_name(value).map(|level| level.name().to_owned()).ok_or_else(bad)
        }
        Kind::Choice(choices, refused) => {
            let word = switch(&lower).filter(|word| choices.contains(word)).unwrap_or(&lower);
            if refused.contains(&word) {
                return unsupported();
            }
            let found = choices.iter().find(|choice| **choice == word);
            found.map(|choice| (*choice).to_owned()).ok_or_else(bad)
        }
        Kind::TimeZone => {
            let known = expr::datetime::TimeZone::parse(value).is_ok();
            if known { Ok(value.to_owned()) } else { Err(bad()) }
        }
        Kind::Locale if is_locale(value) => Ok(value.to_owned()),
        Kind::PlainLocale if is_plain_locale(&lower) => Ok(value.to_owned()),
        Kind::PlainLocale if is_locale(value) => unsupported(),
        Kind::Locale | Kind::PlainLocale => Err(bad()),
        Kind::Encoding => match lower.trim_matches('\'').replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" | "sqlascii" => Ok("UTF8".to_owned()),
            "latin1" | "iso88591" | "win1252" | "euccn" | "eucjp" | "gbk" | "sjis" | "koi8r" => {
                unsupported()
            }
            _ => Err(bad()),
        },
        Kind::DateStyle => date_style(definition, value, &lower),
    }
}

fn boolean(definition: &Definition, lower: &str) -> Result<String, SqlError> {
    switch(lower).map(str::to_owned).ok_or_else(|| {
        let name = definition.name;
        SqlError::invalid_parameter(format!("parameter \"{name}\" requires a Boolean value"))
    })
}

/// `on` or `off`, from any of their spellings.
fn switch(lower: &str) -> Option<&'static str> {
    match lower {
        "on" | "true" | "tru" | "tr" | "t" | "yes" | "ye" | "y" | "1" => Some("on"),
        "off" | "of" | "false" | "fals" | "fal" | "fa" | "f" | "no" | "n" | "0" => Some("off"),
        _ => None,
    }
}

fn date_style(definition: &Definition, value: &str, lower: &str) -> Result<String, SqlError> {
    for word in lower.split(',').map(str::trim) {
        match word {
            "iso" | "" | "mdy" | "us" | "noneuro" | "noneuropean" => {}
            "dmy" | "ymd" | "euro" | "european" | "german" | "sql" | "postgres" => {
                return Err(SqlError::unsupported(format!("DateStyle \"{value}\"")));
            }
            _ => return Err(invalid(definition, value)),
        }
    }
    Ok("ISO, MDY".to_owned())
}

/// `C`, `POSIX`, or a language with what may follow it.
fn is_locale(value: &str) -> bool {
    let begins = value.is_empty() || value.starts_with(|c: char| c.is_ascii_alphabetic());
    begins && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.@ ".contains(c))
}

/// Whether numbers, money and dates look in it as they do in C.
fn is_plain_locale(lower: &str) -> bool {
    let name = lower.split('.').next().unwrap_or(lower);
    matches!(name, "" | "c" | "posix" | "en_us" | "en-us")
}

fn invalid(definition: &Definition, value: &str) -> SqlError {
    let error = SqlError::invalid_parameter(format!(
        "invalid value for parameter \"{}\": \"{value}\"",
        definition.name
    ));
    match definition.kind {
        Kind::Choice(choices, _) => {
            error.with_hint(format!("Available values: {}.", choices.join(", ")))
        }
        Kind::Isolation => error.with_hint(
            "Available values: serializable, repeatable read, read committed, read uncommitted.",
        ),
        Kind::Duration(_) => error.with_hint(
            "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
        ),
        Kind::Memory(_) => error.with_hint(
            "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".",
        ),
        Kind::Bool
        | Kind::Switch(_)
        | Kind::Integer(..)
        | Kind::Real(..)
        | Kind::Text
        | Kind::TimeZone
        | Kind::Locale
        | Kind::PlainLocale
        | Kind::Encoding
        | Kind::DateStyle
        | Kind::Fixed => error,
    }
}

/// The value has the unit that its setting counts in.
fn in_range(
    definition: &Definition,
    (value, unit): (i64, &str),
    least: i64,
    most: i64,
) -> Result<(), SqlError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SqlError::invalid_parameter(format!(
        "{value}{unit} is outside the valid range for parameter \"{}\" ({least} .. {most})",
        definition.name
    )))
}

/// Units and their size in milliseconds.
const DURATIONS: [(i64, &str); 5] =
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
/// Units and their size in kilobytes.
const SIZES: [(i64, &str); 4] = [(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")];

/// Milliseconds of `100`, `100ms`, `1.5s`, `2min`, `1h`, `1d`, `-1`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(text)?;
    let size = match unit {
        "" => 1.0,
        "us" => 0.001,
        unit => DURATIONS.iter().find(|(_, name)| *name == unit)?.0 as f64,
    };
    rounded(number * size)
}

/// Kilobytes of `100` (of these units), `4MB`, `1GB`.
fn parse_memory(text: &str, unit_kilobytes: i64) -> Option<i64> {
    let (number, unit) = number_and_unit(text)?;
    let size = match unit {
        "" => unit_kilobytes as f64,
        "B" => 1.0 / 1024.0,
        unit => SIZES.iter().find(|(_, name)| *name == unit)?.0 as f64,
    };
    rounded(number * size)
}

/// A number, and the word behind it.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    Some((number.parse().ok()?, unit.trim()))
}

/// The whole number nearest to it, if it is one that settings know.
fn rounded(value: f64) -> Option<i64> {
    let within = value.is_finite() && value.abs() < 2_f64.powi(50);
    within.then(|| value.round() as i64)
}

/// The number in the largest unit that it is a whole number of.
fn with_unit(value: i64, units: &[(i64, &str)]) -> String {
    if value <= 0 {
        return value.to_string();
    }
    let fits = units.iter().find(|(size, _)| value % size == 0);
    let (size, name) = fits.expect("the smallest unit fits everything");
    format!("{}{name}", value / size)
}
