//! Keys and spans as people read them: `/t/104/1/7/'abc'`, `/t/104/1/[7 - 9]`.
//!
//! Nothing here needs a schema: the encoding of columns describes itself ([`crate::codec`]).
//! Nothing here fails either: what is no key of ours is printed as hexadecimal digits behind `0x`.
//!
//! | key | printed |
//! |---|---|
//! | empty | `/min` |
//! | `/system` keys | `/system/catalog/104`, `/system/counter/'table'` |
//! | prefix of a table, of an index | `/t/104`, `/t/104/1` |
//! | a row | `/t/104/1/7/'abc'` |
//! | the key right behind another one | `/t/104/1/7/next` |
//!
//! A span is printed as `common/[start - end]`, with `end` as the last prefix that is *inside*,
//! where the end key is the end of a prefix: all rows with 7 to 9 in the first column are
//! `/t/104/1/[7 - 9]`, and so are those from 7 to just below 10, which is the same span. An end
//! that is not the end of a prefix is printed as it is, with a round bracket: `/t/104/1/[7 - 256)`.

use std::fmt::Write;

use crate::{
    IndexId, Key, Span, TableId,
    codec::{self, Decimal, KeyPart},
    layout::{self, Section},
};

#[cfg(test)]
mod tests;

/// The most bytes of a text or byte string that are printed; more are cut, marked by `..`.
const STRING_LIMIT: usize = 64;
/// The length of [`layout::index_prefix`].
const INDEX_PREFIX: usize = 9;

/// Gives a table and an index of it their names; `None` if it does not know them.
pub type Namer<'a> = &'a dyn Fn(TableId, IndexId) -> Option<(String, String)>;

/// A key for people.
#[must_use]
pub fn key(bytes: &[u8]) -> String {
    let parts = parts(bytes);
    parts.prefix + &parts.columns.iter().map(|column| format!("/{column}")).collect::<String>()
}

/// The encoded columns of a key, behind its index prefix: `7/'abc'`.
#[must_use]
pub fn columns(bytes: &[u8]) -> String {
    column_list(bytes).join("/")
}

/// A span for people: `/t/104/1/[7 - 9]`.
#[must_use]
pub fn span(span: &Span) -> String {
    render(span, &|_, _| None)
}

/// A span with the names of its table and index: `accounts/primary/[7 - 9]`. Where the namer knows
/// no name, as [`span`] prints it.
#[must_use]
pub fn named_span(span: &Span, namer: Namer<'_>) -> String {
    render(span, namer)
}

/// A key taken apart.
struct Parts {
    /// `/t/104/1`, `/system/catalog`, ...
    prefix: String,
    /// The columns behind it, each printed.
    columns: Vec<String>,
}

fn parts(bytes: &[u8]) -> Parts {
    match bytes {
        [] => Parts { prefix: "/min".to_owned(), columns: Vec::new() },
        [layout::SYSTEM, rest @ ..] => system_parts(rest),
        [layout::TABLE, rest @ ..] => table_parts(rest),
        _ => Parts { prefix: format!("/{}", hex(bytes)), columns: Vec::new() },
    }
}

fn system_parts(rest: &[u8]) -> Parts {
    const SECTIONS: [(Section, &str); 8] = [
        (Section::Directory, "directory"),
        (Section::Catalog, "catalog"),
        (Section::Names, "names"),
        (Section::SchemaVersion, "schema-version"),
        (Section::Dropped, "dropped"),
        (Section::Lease, "lease"),
        (Section::Counter, "counter"),
        (Section::Setting, "setting"),
    ];
    let Some((&first, suffix)) = rest.split_first() else {
        return Parts { prefix: "/system".to_owned(), columns: Vec::new() };
    };
    let Some((section, name)) = SECTIONS.iter().find(|(section, _)| *section as u8 == first) else {
        return Parts { prefix: "/system".to_owned(), columns: vec![hex(rest)] };
    };
    let columns = match (section, suffix) {
        (_, []) => Vec::new(),
        (Section::Directory, end) => vec![key(end)[1..].to_owned()],
        (_, suffix) => vec![system_suffix(suffix)],
    };
    Parts { prefix: format!("/system/{name}"), columns }
}

fn system_suffix(suffix: &[u8]) -> String {
    let printable = suffix.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    match suffix.try_into() {
        _ if printable => format!("'{}'", suffix.escape_ascii()),
        Ok(id) => u32::from_be_bytes(id).to_string(),
        Err(_) => hex(suffix),
    }
}

fn table_parts(rest: &[u8]) -> Parts {
    let Some((table, rest)) = rest.split_first_chunk::<4>() else {
        let columns = if rest.is_empty() { Vec::new() } else { vec![hex(rest)] };
        return Parts { prefix: "/t".to_owned(), columns };
    };
    let mut prefix = format!("/t/{}", u32::from_be_bytes(*table));
    let Some((index, rest)) = rest.split_first_chunk::<4>() else {
        let columns = if rest.is_empty() { Vec::new() } else { vec![hex(rest)] };
        return Parts { prefix, columns };
    };
    write!(prefix, "/{}", u32::from_be_bytes(*index)).expect("writing to a string");
    Parts { prefix, columns: column_list(rest) }
}

fn column_list(mut rest: &[u8]) -> Vec<String> {
    let mut columns = Vec::new();
    while !rest.is_empty() {
        match codec::decode(&mut rest) {
            Ok(part) => columns.push(column(&part)),
            Err(_) if rest == [0] => {
                columns.push("next".to_owned());
                break;
            }
            Err(_) => {
                columns.push(hex(rest));
                break;
            }
        }
    }
    columns
}

/// One decoded column for people: `7`, `'abc'`, `NULL`, `2026-03-01`.
#[must_use]
pub fn column(part: &KeyPart) -> String {
    match part {
        KeyPart::Null => "NULL".to_owned(),
        KeyPart::Bool(value) => value.to_string(),
        KeyPart::Int(value) => value.to_string(),
        KeyPart::Float(value) => value.to_string(),
        KeyPart::Decimal(value) => decimal(value),
        KeyPart::Date(days) => date(i64::from(*days)),
        KeyPart::Timestamp(micros) => timestamp(*micros),
        KeyPart::TimestampTz(micros) => format!("{}+00", timestamp(*micros)),
        KeyPart::Uuid(bytes) => uuid(bytes),
        KeyPart::Bytes(bytes) => hex(bytes),
        KeyPart::Text(text) => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    let mut end = text.len().min(STRING_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = String::from("'");
    for character in text[..end].chars() {
        match character {
            '\'' => out.push_str("''"),
            character if character.is_control() => out.extend(character.escape_default()),
            character => out.push(character),
        }
    }
    out.push_str(if end < text.len() { "'.." } else { "'" });
    out
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::from("0x");
    for byte in bytes.iter().take(STRING_LIMIT) {
        write!(out, "{byte:02x}").expect("writing to a string");
    }
    if bytes.len() > STRING_LIMIT {
        out.push_str("..");
    }
    out
}

fn uuid(bytes: &[u8; 16]) -> String {
    let digits = &hex(bytes)[2..];
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    groups.join("-")
}

fn decimal(value: &Decimal) -> String {
    let (negative, exponent, digits) = match value {
        Decimal::NegativeInfinity => return "-Infinity".to_owned(),
        Decimal::Infinity => return "Infinity".to_owned(),
        Decimal::NaN => return "NaN".to_owned(),
        Decimal::Finite { negative, exponent, digits } => (*negative, *exponent, digits),
    };
    let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let sign = if negative { "-" } else { "" };
    match usize::try_from(exponent) {
        _ if digits.is_empty() => "0".to_owned(),
        Ok(0) => format!("{sign}0.{digits}"),
        Ok(whole) if whole < digits.len() => {
            format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
        }
        Ok(whole) if whole <= STRING_LIMIT => format!("{sign}{digits:0<whole$}"),
        _ => format!("{sign}0.{digits}e{exponent}"),
    }
}

/// Year, month and day of a number of days since 2000-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years start in March here, so that the leap day is the last of its year; eras have 400 years.
    let days = days + 730_425;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day_of_month)
}

fn date(days: i64) -> String {
    match days {
        _ if days == i64::from(i32::MAX) => "infinity".to_owned(),
        _ if days == i64::from(i32::MIN) => "-infinity".to_owned(),
        days => {
            let (year, month, day) = civil(days);
            format!("{year:04}-{month:02}-{day:02}")
        }
    }
}

fn timestamp(micros: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    match micros {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let (year, month, day) = civil(micros.div_euclid(DAY));
    let in_day = micros.rem_euclid(DAY);
    let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        write!(out, ".{fraction:06}").expect("writing to a string");
        out.truncate(out.trim_end_matches('0').len());
    }
    out
}

fn render(span: &Span, namer: Namer<'_>) -> String {
    if span.is_point() {
        let parts = name(&span.start, namer);
        return format!("{}/[{}]", parts.prefix, joined(&parts.columns));
    }
    // The end of a prefix reads better as the prefix, which is inside.
    let (last, bracket) = match last_prefix(span) {
        Some(last) => (last, ']'),
        None => (span.end.clone(), ')'),
    };
    let (start, end) = (name(&span.start, namer), name(&last, namer));
    if start.prefix != end.prefix {
        return format!("[{} - {}{bracket}", key(&span.start), key(&last));
    }
    match (start.columns.as_slice(), end.columns.as_slice()) {
        ([], []) if bracket == ']' => format!("{}/[all]", start.prefix),
        (first, []) if bracket == ']' => format!("{}/[{} - ]", start.prefix, joined(first)),
        (first, last) if first == last && bracket == ']' => {
            format!("{}/[{}]", start.prefix, joined(first))
        }
        // Up to NULL, which is above all values: the values of the last column have no bound.
        (first, [last @ .., null]) if bracket == ')' && null == "NULL" => {
            let last: String = last.iter().map(|column| format!("{column}/")).collect();
            format!("{}/[{} - {last}]", start.prefix, joined(first))
        }
        (first, last) => {
            format!("{}/[{} - {}{bracket}", start.prefix, joined(first), joined(last))
        }
    }
}

fn joined(columns: &[String]) -> String {
    columns.join("/")
}

fn name(key: &Key, namer: Namer<'_>) -> Parts {
    let mut parts = parts(key);
    if let [layout::TABLE, rest @ ..] = &key[..]
        && let Some((ids, _)) = rest.split_first_chunk::<8>()
    {
        let (table, index) = ids.split_at(4);
        let id = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        if let Some((table, index)) = namer(TableId(id(table)), IndexId(id(index))) {
            parts.prefix = format!("{table}/{index}");
        }
    }
    parts
}

/// The longest prefix whose [`Key::prefix_end`] is the span's end and which is a whole key: an
/// index prefix followed by whole columns. `None` if there is none.
fn last_prefix(span: &Span) -> Option<Key> {
    let mut bytes = span.end.to_vec();
    // The byte that `prefix_end` raised is the end's last one; behind it stood any number of 0xff,
    // which the lengths of the encodings tell. The start's own prefix is tried first.
    for length in (span.end.len()..=span.start.len()).rev() {
        let prefix = Key::from(&span.start[..length]);
        if prefix.prefix_end() == span.end && is_whole(&prefix) {
            return Some(prefix);
        }
    }
    let raised = bytes.pop()?;
    bytes.push(raised.checked_sub(1)?);
    for _ in 0..=16 {
        let prefix = Key::from_vec(bytes.clone());
        if prefix.len() > INDEX_PREFIX && is_whole(&prefix) && prefix >= span.start {
            return Some(prefix);
        }
        bytes.push(0xff);
    }
    None
}

fn is_whole(key: &[u8]) -> bool {
    match key {
        [layout::SYSTEM] | [layout::SYSTEM, _] => true,
        [layout::TABLE, rest @ ..] if matches!(rest.len(), 4 | 8) => true,
        [layout::TABLE, rest @ ..] => rest.split_first_chunk::<8>().is_some_and(|(_, columns)| {
            let mut columns = columns;
            while !columns.is_empty() {
                if codec::decode(&mut columns).is_err() {
                    return false;
                }
            }
            true
        }),
        _ => false,
    }
}
