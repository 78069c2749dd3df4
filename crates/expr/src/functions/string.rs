//! Functions over texts and byte strings. Positions and lengths count characters, from 1.

use std::collections::{BTreeMap, BTreeSet};

use regex_automata::util::captures::Captures;

use super::Func;
use crate::{
    context::EvalContext,
    datum::{Datum, without_blanks},
    error::{Result, SqlError, SqlState},
    eval::{arithmetic::check_length, cached_regex, similar_to_escape},
    text,
};

/// `None`: the arguments are none the function takes.
pub(super) fn call(func: Func, args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    if let [Datum::Bytes(bytes), rest @ ..] = args {
        return of_bytes(func, bytes, rest);
    }
    if matches!(func, Func::Concat | Func::ConcatWs) {
        return concat(func, args).map(Some);
    }
    match args {
        [Datum::Int(value)] => return of_int(func, *value),
        // The one function sees the blanks of `char(n)`, the other one does not.
        [Datum::Char(text)] if func == Func::OctetLength => return Ok(Some(count(text.len()))),
        [Datum::Char(text)] if func == Func::Length => {
            return Ok(Some(count(without_blanks(text).chars().count())));
        }
        _ => {}
    }
    let [Datum::Text(value), rest @ ..] = args else {
        return Ok(None);
    };
    let text: &str = value;
    Ok(Some(match (func, rest) {
        (Func::Length, []) => count(text.chars().count()),
        (Func::OctetLength, []) => count(text.len()),
        (Func::BitLength, []) => count(text.len() * 8),
        (Func::Lower, []) => Datum::text(text.chars().map(lower).collect::<String>()),
        (Func::Upper, []) => Datum::text(text.chars().map(upper).collect::<String>()),
        (Func::Initcap, []) => Datum::text(initcap(text)),
        (Func::Reverse, []) => Datum::text(text.chars().rev().collect::<String>()),
        (Func::Md5, []) => Datum::text(crate::md5::hex_digest(text.as_bytes())),
        (Func::Ascii, []) => Datum::Int(text.chars().next().map_or(0, |c| u32::from(c).into())),
        (Func::QuoteIdent, []) => Datum::text(quote_ident(text)),
        (Func::QuoteLiteral, []) => Datum::text(quote_literal(text)),
        (Func::Substr, [Datum::Int(start)]) => Datum::text(substring(text, *start, None)?),
        (Func::Substr, [Datum::Int(start), Datum::Int(length)]) => {
            Datum::text(substring(text, *start, Some(*length))?)
        }
        (Func::Left, [Datum::Int(length)]) => Datum::text(left(text, *length)),
        (Func::Right, [Datum::Int(length)]) => {
            let total = chars(text);
            let skip = if *length >= 0 { total - length } else { length.saturating_neg() };
            Datum::text(&text[byte_at(text, skip)..])
        }
        (Func::Repeat, [Datum::Int(times)]) => {
            let times = usize::try_from(*times).unwrap_or(0);
            check_length(text.len().saturating_mul(times))?;
            Datum::text(text.repeat(times))
        }
        (Func::Btrim | Func::Ltrim | Func::Rtrim, rest) => return trim(func, text, rest),
        (Func::Lpad | Func::Rpad, [Datum::Int(length), rest @ ..]) => {
            return pad(func, text, *length, rest);
        }
        (Func::Decode, [Datum::Text(format)]) => Datum::bytes(decode(text, format)?),
        (func, rest) => return of_texts(func, text, rest, ctx),
    }))
}

fn of_texts(func: Func, text: &str, rest: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    Ok(Some(match (func, rest) {
        (Func::Replace, [Datum::Text(from), Datum::Text(to)]) => {
            if from.is_empty() {
                return Ok(Some(Datum::text(text)));
            }
            let grown = text.matches(&**from).count().saturating_mul(to.len());
            check_length(text.len().saturating_add(grown))?;
            Datum::text(text.replace(&**from, to))
        }
        (Func::Translate, [Datum::Text(from), Datum::Text(to)]) => {
            let to: Vec<char> = to.chars().collect();
            let mut places = BTreeMap::new();
            for (at, c) in from.chars().enumerate() {
                places.entry(c).or_insert(at);
            }
            let change = |c| match places.get(&c) {
                Some(at) => to.get(*at).copied(),
                None => Some(c),
            };
            Datum::text(text.chars().filter_map(change).collect::<String>())
        }
        (Func::Strpos, [Datum::Text(wanted)]) => {
            count(text.find(&**wanted).map_or(0, |at| text[..at].chars().count() + 1))
        }
        (Func::SimilarToEscape, escape @ ([] | [Datum::Text(_)])) => {
            let escape = escape.first().and_then(Datum::as_text);
            let regex = similar_to_escape(text, escape)?;
            check_length(regex.len())?;
            Datum::text(regex)
        }
        (Func::StartsWith, [Datum::Text(start)]) => Datum::Bool(text.starts_with(&**start)),
        (Func::SplitPart, [Datum::Text(separator), Datum::Int(place)]) => {
            Datum::text(split_part(text, separator, *place)?)
        }
        (Func::SubstringRegex, [Datum::Text(pattern)]) => {
            cached_regex(pattern, false, ctx, |regex| {
                let mut out = None;
                regex.each_match(text, ctx, |found| {
                    let group = found.get_group(usize::from(found.group_len() > 1));
                    out = group.map(|group| text[group.range()].to_owned());
                    Ok(false)
                })?;
                Ok(out)
            })?
            .into()
        }
        (Func::RegexpReplace, [Datum::Text(pattern), Datum::Text(to), flags @ ..]) => {
            let flags = flags.first().and_then(Datum::as_text).unwrap_or_default();
            Datum::text(regexp_replace(text, pattern, to, flags, ctx)?)
        }
        _ => return Ok(None),
    }))
}

fn of_bytes(func: Func, bytes: &[u8], rest: &[Datum]) -> Result<Option<Datum>> {
    Ok(Some(match (func, rest) {
        (Func::OctetLength, []) => count(bytes.len()),
        (Func::BitLength, []) => count(bytes.len() * 8),
        (Func::Md5, []) => Datum::text(crate::md5::hex_digest(bytes)),
        (Func::Substr, [Datum::Int(start)]) => {
            Datum::bytes(&bytes[window(*start, None, bytes.len())?])
        }
        (Func::Substr, [Datum::Int(start), Datum::Int(length)]) => {
            Datum::bytes(&bytes[window(*start, Some(*length), bytes.len())?])
        }
        (Func::Encode, [Datum::Text(format)]) => Datum::text(encode(bytes, format)?),
        _ => return Ok(None),
    }))
}

fn of_int(func: Func, value: i64) -> Result<Option<Datum>> {
    match func {
        Func::ToHex => Ok(Some(Datum::text(format!("{:x}", value as i32)))),
        Func::ToHexWide => Ok(Some(Datum::text(format!("{value:x}")))),
        Func::Chr => {
            let character = u32::try_from(value).ok().filter(|code| *code != 0);
            let character = character.and_then(char::from_u32).ok_or_else(|| {
                let message = if value == 0 {
                    "null character not permitted".to_owned()
                } else {
                    format!("requested character too large for encoding: {value}")
                };
                SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
            })?;
            Ok(Some(Datum::text(character.to_string())))
        }
        _ => Ok(None),
    }
}

fn count(count: usize) -> Datum {
    Datum::Int(i64::try_from(count).expect("a length in memory"))
}

fn chars(text: &str) -> i64 {
    i64::try_from(text.chars().count()).expect("a length in memory")
}

/// Where the character at a place (from 0) starts; the text's end if there is none, its start below
/// 0.
fn byte_at(text: &str, place: i64) -> usize {
    match usize::try_from(place) {
        Ok(place) => text.char_indices().nth(place).map_or(text.len(), |(at, _)| at),
        Err(_) => 0,
    }
}

/// The places (from 0) of a substring that starts at `start` (from 1) in a string of a length.
fn window(start: i64, length: Option<i64>, total: usize) -> Result<std::ops::Range<usize>> {
    let end = match length {
        Some(length) if length < 0 => {
            return Err(SqlError::new(
                SqlState::SUBSTRING_ERROR,
                "negative substring length not allowed",
            ));
        }
        Some(length) => start.saturating_add(length).saturating_sub(1),
        None => i64::MAX,
    };
    let clamp = |place: i64| usize::try_from(place.max(0)).unwrap_or(usize::MAX).min(total);
    let (first, end) = (clamp(start.saturating_sub(1)), clamp(end));
    Ok(first..end.max(first))
}

fn substring(text: &str, start: i64, length: Option<i64>) -> Result<&str> {
    let range = window(start, length, text.chars().count())?;
    let place = |at: usize| i64::try_from(at).expect("a length in memory");
    Ok(&text[byte_at(text, place(range.start))..byte_at(text, place(range.end))])
}

fn left(text: &str, length: i64) -> &str {
    let keep = if length >= 0 { length } else { (chars(text) + length).max(0) };
    &text[..byte_at(text, keep)]
}

/// The one letter that is the lower case of a letter; itself where there is none, or more.
fn lower(c: char) -> char {
    let mut letters = c.to_lowercase();
    letters.next().filter(|_| letters.next().is_none()).unwrap_or(c)
}

/// The one letter that is the upper case of a letter; itself where there is none, or more.
fn upper(c: char) -> char {
    let mut letters = c.to_uppercase();
    letters.next().filter(|_| letters.next().is_none()).unwrap_or(c)
}

fn initcap(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(if inside { lower(c) } else { upper(c) });
        inside = c.is_alphanumeric();
    }
    out
}

fn concat(func: Func, args: &[Datum]) -> Result<Datum> {
    let (separator, parts) = match (func, args) {
        (Func::ConcatWs, [Datum::Text(separator), parts @ ..]) => (&**separator, parts),
        (Func::ConcatWs, _) => return Ok(Datum::Null),
        (_, parts) => ("", parts),
    };
    let parts: Vec<&str> = parts.iter().filter_map(Datum::as_text).collect();
    check_length(parts.iter().map(|part| part.len() + separator.len()).sum())?;
    Ok(Datum::text(parts.join(separator)))
}

fn trim(func: Func, text: &str, rest: &[Datum]) -> Result<Option<Datum>> {
    let set = match rest {
        [] => " ",
        [Datum::Text(set)] => set,
        _ => return Ok(None),
    };
    let set: BTreeSet<char> = set.chars().collect();
    let mut kept = text;
    if func != Func::Rtrim {
        kept = kept.trim_start_matches(|c| set.contains(&c));
    }
    if func != Func::Ltrim {
        kept = kept.trim_end_matches(|c| set.contains(&c));
    }
    Ok(Some(Datum::text(kept)))
}

fn pad(func: Func, text: &str, length: i64, rest: &[Datum]) -> Result<Option<Datum>> {
    let fill = match rest {
        [] => " ",
        [Datum::Text(fill)] => fill,
        _ => return Ok(None),
    };
    let wanted = usize::try_from(length.max(0)).unwrap_or(0);
    let have = text.chars().count();
    if have >= wanted || fill.is_empty() {
        return Ok(Some(Datum::text(left(text, length.max(0)))));
    }
    check_length(wanted.saturating_mul(4))?;
    let filling: String = fill.chars().cycle().take(wanted - have).collect();
    Ok(Some(Datum::text(if func == Func::Lpad {
        filling + text
    } else {
        text.to_owned() + &filling
    })))
}

fn split_part<'a>(text: &'a str, separator: &str, place: i64) -> Result<&'a str> {
    if place == 0 {
        return Err(SqlError::invalid_parameter("field position must not be zero"));
    }
    let whole = |at: usize| if at == 0 { Some(text) } else { None };
    let at = usize::try_from(place.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let part = match separator {
        "" => whole(at),
        // From the end, but found from the start, as separators may overlap.
        separator if place < 0 => {
            let count = text.split(separator).count();
            count.checked_sub(at + 1).and_then(|at| text.split(separator).nth(at))
        }
        separator => text.split(separator).nth(at),
    };
    Ok(part.unwrap_or(""))
}

/// Replaces the first match, or all with the flag `g`; `\1` and `\&` stand for what matched.
fn regexp_replace(
    text: &str,
    pattern: &str,
    to: &str,
    flags: &str,
    ctx: &EvalContext,
) -> Result<String> {
    let mut insensitive = false;
    for flag in flags.chars() {
        match flag {
            'g' | 's' | 't' => {}
            'i' => insensitive = true,
            'c' => insensitive = false,
            'b' | 'e' | 'm' | 'n' | 'p' | 'q' | 'w' | 'x' => {
                return Err(SqlError::unsupported(format_args!(
                    "the option \"{flag}\" of a regular expression"
                )));
            }
            bad => {
                return Err(SqlError::invalid_parameter(format!(
                    "invalid regular expression option: \"{bad}\""
                )));
            }
        }
    }
    let all = flags.contains('g');
    cached_regex(pattern, insensitive, ctx, |regex| {
        let (mut out, mut behind) = (String::new(), 0);
        regex.each_match(text, ctx, |found| {
            let place = found.get_match().expect("it matched").range();
            out.push_str(&text[behind..place.start]);
            out.push_str(&expand(to, text, found));
            behind = place.end;
            // While it grows: each of many matches may be replaced by much.
            check_length(out.len())?;
            Ok(all)
        })?;
        out.push_str(&text[behind..]);
        check_length(out.len())?;
        Ok(out)
    })
}

fn expand(template: &str, text: &str, found: &Captures) -> String {
    let group = |number| found.get_group(number).map_or("", |group| &text[group.range()]);
    let mut out = String::new();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('&') => out.push_str(group(0)),
            Some(digit @ '1'..='9') => {
                out.push_str(group(digit.to_digit(10).expect("a digit") as usize));
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

fn quote_ident(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

fn quote_literal(text: &str) -> String {
    let prefix = if text.contains('\\') { "E" } else { "" };
    format!("{prefix}'{}'", text.replace('\'', "''").replace('\\', "\\\\"))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn unknown_encoding(format: &str) -> SqlError {
    SqlError::invalid_parameter(format!("unrecognized encoding: \"{format}\""))
}

fn encode(bytes: &[u8], format: &str) -> Result<String> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => Ok(text::hex(bytes)),
        "base64" => Ok(base64(bytes)),
        "escape" => Ok(bytes
            .iter()
            .map(|byte| match byte {
                b'\\' => "\\\\".to_owned(),
                0 | 128.. => format!("\\{byte:03o}"),
                byte => char::from(*byte).to_string(),
            })
            .collect()),
        _ => Err(unknown_encoding(format)),
    }
}

/// Lines of 76 characters, as MIME and PostgreSQL have it.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (at, group) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            out.push('\n');
        }
        let padded = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let bits = padded.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let kept = place <= group.len();
            out.push(if kept { char::from(BASE64[digit as usize]) } else { '=' });
        }
    }
    out
}

fn decode(text: &str, format: &str) -> Result<Vec<u8>> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => crate::text::unhex(text),
        "base64" => decode_base64(text),
        "escape" => {
            let escaped =
                if text.starts_with("\\x") { format!("\\{text}") } else { text.to_owned() };
            crate::text::unescape_bytea(&escaped)
        }
        _ => Err(unknown_encoding(format)),
    }
}

fn decode_base64(text: &str) -> Result<Vec<u8>> {
    let invalid = |what: &str| SqlError::invalid_parameter(what.to_owned());
    let symbols: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !symbols.len().is_multiple_of(4) {
        return Err(invalid("invalid base64 end sequence")
            .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted."));
    }
    let mut out = Vec::with_capacity(symbols.len() / 4 * 3);
    let last = symbols.len() / 4;
    for (at, group) in symbols.chunks(4).enumerate() {
        let padding = group.iter().rev().take_while(|symbol| **symbol == b'=').count();
        if padding > 2 || (padding > 0 && at + 1 != last) {
            return Err(invalid("unexpected \"=\" while decoding base64 sequence"));
        }
        let mut bits = 0_u32;
        for symbol in &group[..4 - padding] {
            let digit = BASE64.iter().position(|known| known == symbol).ok_or_else(|| {
                let shown = char::from(*symbol);
                invalid(&format!("invalid symbol \"{shown}\" found while decoding base64 sequence"))
            })?;
            bits = bits << 6 | u32::try_from(digit).expect("below 64");
        }
        let bytes = (bits << (6 * padding)).to_be_bytes();
        out.extend_from_slice(&bytes[1..4 - padding]);
    }
    Ok(out)
}
