//! Numbers by a template of `9`, `0`, `.`, `,`, `S`, `MI`, `FM`: the parts of PostgreSQL's language
//! that reports use.

use crate::{
    decimal::Decimal,
    error::{Result, SqlError},
};

/// A template taken apart.
#[derive(Default)]
struct Template {
    /// `9`, `0` and `,` in front of the point.
    whole: Vec<char>,
    /// How many digits behind the point.
    fraction: usize,
    /// Of those, how many are shown even if zero, where zeros are dropped.
    fraction_fixed: usize,
    point: bool,
    /// No blanks, no trailing zeros.
    fill_mode: bool,
    /// The sign stands where `S` is: before or behind.
    sign: Sign,
    prefix: String,
    suffix: String,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Sign {
    /// A minus right before the digits, a blank for numbers without one.
    #[default]
    Plain,
    /// `S` before the digits.
    Before,
    /// `S` behind the digits.
    Behind,
    /// `MI`: a minus or a blank behind the digits.
    MinusBehind,
}

pub(super) fn format(value: &Decimal, template: &str) -> Result<String> {
    let template = parse(template)?;
    let scale = i32::try_from(template.fraction).expect("as long as the template");
    let rounded = value.round(scale);
    let negative = rounded.signum() < 0;
    let digits = rounded.abs().to_string();
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let places = template.whole.iter().filter(|c| **c != ',').count();
    let overflow =
        whole.trim_start_matches('0').len() > places || !matches!(value, Decimal::Finite(_));
    let (whole, fraction) = if overflow {
        ("#".repeat(places), "#".repeat(template.fraction))
    } else {
        (whole.to_owned(), fraction.to_owned())
    };
    let body = layout(&template, &whole, &fraction, places);
    Ok(signed(&template, &body, negative))
}

/// Digits, commas and the point, with blanks for places that no digit needs.
fn layout(template: &Template, whole: &str, fraction: &str, places: usize) -> String {
    let padded = format!("{whole:0>places$}");
    let digits: Vec<char> = padded.chars().skip(padded.len().saturating_sub(places)).collect();
    let significant = digits.iter().position(|digit| *digit != '0').unwrap_or(places);
    let forced = template.whole.iter().filter(|c| **c != ',').position(|c| *c == '0');
    let mut first = significant.min(forced.unwrap_or(places));
    // A number below one keeps one zero in front, unless a point follows.
    if first == places && places > 0 && !template.point {
        first = places - 1;
    }
    // Nor does a point stand alone.
    if template.fill_mode && first == places && fraction.bytes().all(|digit| digit == b'0') {
        first = places.saturating_sub(template.whole.len().min(1));
    }
    let (mut out, mut place) = (String::new(), 0);
    for c in &template.whole {
        if *c == ',' {
            out.push(if place > first { ',' } else { ' ' });
        } else {
            out.push(if place >= first { digits[place] } else { ' ' });
            place += 1;
        }
    }
    if template.point {
        let mut shown = fraction;
        if template.fill_mode {
            let kept = fraction.trim_end_matches('0').len().max(template.fraction_fixed);
            shown = &fraction[..kept.min(fraction.len())];
        }
        out.push('.');
        out.push_str(shown);
    }
    out
}

fn signed(template: &Template, body: &str, negative: bool) -> String {
    let trimmed = body.trim_start_matches(' ');
    let blanks = body.len() - trimmed.len();
    let pad = |width: usize| if template.fill_mode { String::new() } else { " ".repeat(width) };
    let number = match template.sign {
        Sign::Plain => {
            let sign = match (negative, template.fill_mode) {
                (true, _) => "-",
                (false, true) => "",
                (false, false) => " ",
            };
            format!("{}{sign}{trimmed}", pad(blanks))
        }
        Sign::Before => {
            format!("{}{}{trimmed}", pad(blanks), if negative { '-' } else { '+' })
        }
        Sign::Behind => {
            format!("{}{trimmed}{}", pad(blanks), if negative { '-' } else { '+' })
        }
        Sign::MinusBehind => {
            let sign = match (negative, template.fill_mode) {
                (true, _) => "-",
                (false, true) => "",
                (false, false) => " ",
            };
            format!("{}{trimmed}{sign}", pad(blanks))
        }
    };
    format!("{}{number}{}", template.prefix, template.suffix)
}

fn parse(text: &str) -> Result<Template> {
    let mut template = Template::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits_seen = !template.whole.is_empty() || template.point;
        let two = rest.get(..2).map(str::to_ascii_uppercase).unwrap_or_default();
        let mut length = c.len_utf8();
        match (c, two.as_str()) {
            (_, "FM") => (template.fill_mode, length) = (true, 2),
            (_, "MI") => (template.sign, length) = (Sign::MinusBehind, 2),
            ('S' | 's', _) => {
                template.sign = if digits_seen { Sign::Behind } else { Sign::Before };
            }
            ('9' | '0', _) if template.point => {
                template.fraction += 1;
                if c == '0' {
                    template.fraction_fixed = template.fraction;
                }
            }
            ('9' | '0', _) => template.whole.push(c),
            (',' | 'G' | 'g', _) if !template.point => template.whole.push(','),
            ('.' | 'D' | 'd', _) if !template.point => template.point = true,
            ('.' | 'D' | 'd', _) => {
                return Err(SqlError::syntax("multiple decimal points"));
            }
            ('"', _) => {
                let quoted = &rest[1..];
                let end = quoted.find('"').unwrap_or(quoted.len());
                let target = if digits_seen { &mut template.suffix } else { &mut template.prefix };
                target.push_str(&quoted[..end]);
                length = (end + 2).min(rest.len());
            }
            ('E' | 'V' | 'R' | 'T' | 'P', _)
                if two == "EE" || two == "RN" || two == "TH" || two == "PR" =>
            {
                return Err(SqlError::unsupported(format_args!("\"{two}\" in a number's format")));
            }
            (c, _) if digits_seen => template.suffix.push(c),
            (c, _) => template.prefix.push(c),
        }
        rest = &rest[length..];
    }
    Ok(template)
}
