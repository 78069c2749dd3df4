//! Random forms of SQL, by kind.

use super::random::Random;

/// What makes a form.
pub(crate) type Form = fn(&mut Random) -> String;

/// Kinds of forms: a name, and what makes one.
pub(crate) const KINDS: &[(&str, Form)] = &[
    ("dates", dates),
    ("intervals", intervals),
    ("iso intervals", iso_intervals),
    ("date templates", date_templates),
    ("interval templates", interval_templates),
    ("number templates", number_templates),
    ("arrays", arrays),
    ("patterns", patterns),
    ("blanks", blanks),
];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn joined(parts: &[String], random: &mut Random) -> String {
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.push_str(random.pick(&[" ", " ", " ", " ", "", ", ", "  ", "-", "/", "T"]));
        }
        out.push_str(part);
    }
    out
}

fn year(random: &mut Random) -> String {
    match random.below(8) {
        0 => random.range(0, 99).to_string(),
        1 => format!("{:04}", random.range(0, 99)),
        2 => random.range(1, 999).to_string(),
        3 => random.pick(&["0", "00", "0000", "294276", "10000", "5874897"]).to_owned(),
        _ => random.range(1900, 2100).to_string(),
    }
}

fn month_name(random: &mut Random) -> &'static str {
    random.pick(&[
        "Jan", "FEB", "March", "apr", "May", "june", "Jul", "August", "Sept", "oct", "November",
        "dec", "Janu", "decembre",
    ])
}

fn date_part(random: &mut Random) -> String {
    let (month, day) = (random.range(0, 13), random.range(0, 32));
    let year = year(random);
    let sep = random.pick(&["-", "-", "-", "/", "."]);
    match random.below(14) {
        0..=3 => format!("{year}{sep}{month:02}{sep}{day:02}"),
        4 => format!("{month}{sep}{day}{sep}{year}"),
        5 => format!("{} {day}, {year}", month_name(random)),
        6 => format!("{day}{sep}{}{sep}{year}", month_name(random)),
        7 => format!("{}{sep}{day}{sep}{year}", month_name(random)),
        8 => format!("{year}{sep}{:03}", random.range(0, 367)),
        9 => format!("{year}{month:02}{day:02}"),
        10 => format!("J{}", random.range(0, 5_000_000)),
        11 => format!("{day} {} {year}", month_name(random)),
        12 => format!("y{year}m{month:02}d{day:02}"),
        _ => random
            .pick(&[
                "epoch",
                "infinity",
                "-infinity",
                "+infinity",
                "allballs",
                "J2451187.5",
                "20240105.5",
            ])
            .to_owned(),
    }
}

fn time_part(random: &mut Random) -> String {
    let (hour, minute, second) = (random.range(0, 25), random.range(0, 61), random.range(0, 61));
    match random.below(9) {
        0..=2 => format!("{hour:02}:{minute:02}:{second:02}"),
        3 => format!("{hour}:{minute:02}"),
        4 => format!("{hour:02}:{minute:02}:{second:02}.{}", random.range(0, 99_999_999)),
        5 => format!("{hour:02}{minute:02}{second:02}"),
        6 => format!("{hour:02}{minute:02}"),
        7 => format!("T{hour:02}{minute:02}{second:02}"),
        _ => format!("{minute:02}:{second:02}.5"),
    }
}

fn word(random: &mut Random) -> String {
    random
        .pick(&[
            "AM", "PM", "BC", "AD", "Mon", "friday", "at", "on", "dst", "zulu", "x", "weds",
            "MET DST",
        ])
        .to_owned()
}

fn zone(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("+{}", random.range(0, 17)),
        1 => format!("-{:02}:{:02}", random.range(0, 16), random.range(0, 61)),
        2 => format!("+{:04}", random.range(0, 1700)),
        3 => format!(
            "-{:02}:{:02}:{:02}",
            random.range(0, 15),
            random.range(0, 59),
            random.range(0, 60)
        ),
        _ => random
            .pick(&[
                "Z",
                "EST",
                "PDT",
                "cest",
                "America/New_York",
                "Europe/Berlin",
                "UTC",
                "GMT",
                "msk",
                "foo/bar",
                "ABC-3",
            ])
            .to_owned(),
    }
}

fn dates(random: &mut Random) -> String {
    let mut parts = vec![date_part(random)];
    if !random.one_in(3) {
        parts.push(time_part(random));
    }
    if random.one_in(2) {
        parts.push(zone(random));
    }
    if random.one_in(4) {
        let at = random.below(parts.len() + 1);
        parts.insert(at, word(random));
    }
    if random.one_in(12) {
        let (one, other) = (random.below(parts.len()), random.below(parts.len()));
        parts.swap(one, other);
    }
    let text = joined(&parts, random);
    let ty = random.pick(&["date", "timestamp", "timestamptz"]);
    format!("{}::{ty}", quoted(&text))
}

fn number(random: &mut Random) -> String {
    let sign = random.pick(&["", "", "", "-", "+", "- ", "--"]);
    let whole = match random.below(6) {
        0 => random.range(0, 3_000_000_000),
        1 => random.range(0, 100_000),
        _ => random.range(0, 40),
    };
    let fraction = match random.below(5) {
        0 => format!(".{}", random.range(0, 9_999_999)),
        1 => ".5".to_owned(),
        _ => String::new(),
    };
    format!("{sign}{whole}{fraction}")
}

fn unit(random: &mut Random) -> &'static str {
    random.pick(&[
        "us",
        "microseconds",
        "ms",
        "milliseconds",
        "s",
        "sec",
        "second",
        "seconds",
        "m",
        "min",
        "minutes",
        "h",
        "hr",
        "hours",
        "d",
        "day",
        "days",
        "w",
        "week",
        "mon",
        "months",
        "y",
        "year",
        "years",
        "decade",
        "c",
        "centuries",
        "mil",
        "millennium",
        "quarter",
        "foo",
        "timezone",
        "MONTH",
    ])
}

fn intervals(random: &mut Random) -> String {
    let mut out = String::new();
    if random.one_in(12) {
        out.push_str("@ ");
    }
    for at in 0..=random.below(4) {
        if at > 0 {
            out.push_str(random.pick(&[" ", " ", " ", "", ", "]));
        }
        match random.below(8) {
            0 => out.push_str(&format!(
                "{}{}:{:02}",
                random.pick(&["", "-", "+"]),
                random.range(0, 100),
                random.range(0, 61)
            )),
            1 => out.push_str(&format!("{}-{}", random.range(0, 20), random.range(0, 13))),
            2 => out.push_str(&number(random)),
            3 => out.push_str(&format!(
                "{}:{:02}.{}",
                random.range(0, 70),
                random.range(0, 61),
                random.range(0, 999)
            )),
            _ => {
                let blank = random.pick(&["", " ", " "]);
                out.push_str(&format!("{}{blank}{}", number(random), unit(random)));
            }
        }
    }
    if random.one_in(8) {
        out.push_str(" ago");
    }
    format!("{}::interval", quoted(&out))
}

fn iso_number(random: &mut Random) -> String {
    let sign = random.pick(&["", "", "", "-"]);
    match random.below(6) {
        0 => format!("{sign}{}.{}", random.range(0, 40), random.range(0, 99)),
        1 => format!("{sign}{:04}", random.range(0, 3000)),
        2 => format!("{sign}{}e2", random.range(0, 9)),
        3 => format!("{sign}{:08}", random.range(0, 99_999_999)),
        _ => format!("{sign}{}", random.range(0, 60)),
    }
}

fn iso_intervals(random: &mut Random) -> String {
    let mut out = "P".to_owned();
    if random.one_in(3) {
        let marks = random.pick(&[["-", "-", "T", ":", ":"], ["", "", "T", "", ""]]);
        for mark in marks.iter().take(random.below(6)) {
            out.push_str(&format!("{:02}{mark}", random.range(0, 60)));
        }
        if random.one_in(2) {
            out.push_str(&iso_number(random));
        }
    } else {
        for unit in ["Y", "M", "W", "D", "T", "H", "M", "S"] {
            if unit == "T" {
                out.push_str(random.pick(&["T", "T", "T", ""]));
            } else if random.one_in(3) {
                out.push_str(&iso_number(random));
                out.push_str(unit);
            }
        }
    }
    format!("{}::interval", quoted(&out))
}

const DATE_PATTERNS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "Day", "Dy", "D",
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "FF7", "FX", "HH24", "HH12", "HH", "IDDD", "ID",
    "IW", "IYYY", "IYY", "IY", "I", "J", "MI", "MM", "MONTH", "MON", "MS", "Month", "Mon", "OF",
    "P.M.", "PM", "Q", "RM", "SSSSS", "SSSS", "SS", "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY",
    "YYYY", "YYY", "YY", "Y", "a.d.", "am", "b.c.", "cc", "day", "ddd", "dd", "dy", "d", "ff3",
    "hh24", "hh12", "iddd", "id", "iw", "iyyy", "i", "j", "mi", "mm", "month", "mon", "ms", "of",
    "p.m.", "q", "rm", "sssss", "tz", "tzh", "us", "ww", "w", "y,yyy", "yyyy", "yy", "y", "Mi",
    "dD", "TM", "TMMonth", "TMDay", "SP", "V",
];

fn template(patterns: &[&str], random: &mut Random) -> String {
    let mut out = String::new();
    for _ in 0..=random.below(5) {
        if random.one_in(5) {
            out.push_str(random.pick(&["FM", "fm", "FMFM"]));
        }
        out.push_str(random.pick(patterns));
        if random.one_in(5) {
            out.push_str(random.pick(&["TH", "th", "SP"]));
        }
        out.push_str(random.pick(&[
            "",
            "",
            " ",
            "-",
            ":",
            ".",
            "\"x y\"",
            "é",
            "\\\"",
            "\"a\\\"b\"",
            "/",
            "\\",
        ]));
    }
    out
}

fn moment(random: &mut Random) -> String {
    let year = random.pick(&[1, 5, 44, 99, 100, 999, 1970, 1999, 2000, 2024, 2025, 12_345]);
    let bc = if random.one_in(6) { " BC" } else { "" };
    let (month, day) = (random.range(1, 12), random.range(1, 28));
    let (hour, minute) = (random.range(0, 23), random.range(0, 59));
    let (second, micros) = (random.range(0, 59), random.range(0, 999_999));
    let ty = random.pick(&["timestamp", "timestamptz", "date"]);
    format!(
        "'{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}{bc}'::{ty}"
    )
}

fn date_templates(random: &mut Random) -> String {
    format!("to_char({}, {})", moment(random), quoted(&template(DATE_PATTERNS, random)))
}

fn interval_templates(random: &mut Random) -> String {
    let (months, days) = (random.range(-30, 30), random.range(-40, 400));
    let micros = random.range(-200_000_000_000, 200_000_000_000);
    let template = quoted(&template(DATE_PATTERNS, random));
    format!("to_char('{months} mons {days} days {micros} us'::interval, {template})")
}

const NUMBER_PATTERNS: &[&str] = &[
    "9", "9", "99", "999", "0", "00", "9999", ".", ".", ",", ",", "D", "G", "B", "L", "MI", "PL",
    "PR", "RN", "rn", "SG", "S", "TH", "th", "V", "EEEE", "FM", "x", "\"q\"", " ", "C", "SP",
];

/// Templates that make sense, and some that don't.
fn number_template(random: &mut Random) -> String {
    if random.one_in(4) {
        return (0..=random.below(6)).map(|_| random.pick(NUMBER_PATTERNS)).collect();
    }
    let front = random.pick(&["", "", "FM", "S", "MI", "PL", "SG", "L", "B", "FMS", "\"n=\""]);
    let whole = random.pick(&[
        "9",
        "99",
        "999",
        "9,999",
        "0",
        "099",
        "9G999",
        "000",
        "990",
        "",
        "99999999999",
    ]);
    let point = random.pick(&["", "", ".", "D", "V"]);
    let digits = random.pick(&["", "9", "99", "90", "00", "099", "999999"]);
    let behind = random.pick(&["", "", "", "S", "MI", "PL", "SG", "PR", "TH", "th", "EEEE", " x"]);
    format!("{front}{whole}{point}{digits}{behind}")
}

fn number_templates(random: &mut Random) -> String {
    let ty = random.pick(&["int", "bigint", "numeric", "float8", "float4", "numeric"]);
    let value = match random.below(10) {
        0 => "0".to_owned(),
        1 => random.range(-9_999_999, 9_999_999).to_string(),
        2 => random.range(-4000, 4000).to_string(),
        3 if ty.starts_with('n') || ty.starts_with('f') => {
            random.pick(&["'NaN'", "'Infinity'", "'-Infinity'"]).to_owned()
        }
        4 if ty.starts_with('n') || ty.starts_with('f') => {
            format!("{}e{}", random.range(-999, 999), random.range(-12, 14))
        }
        5..=7 if ty.starts_with('n') || ty.starts_with('f') => {
            format!("{}.{:03}", random.range(-120, 120), random.range(0, 999))
        }
        _ => random.range(-120, 120).to_string(),
    };
    format!("to_char(({value})::{ty}, {})", quoted(&number_template(random)))
}

fn arrays(random: &mut Random) -> String {
    let mut out = random.pick(&["{", "{", "{", "{", "", " {", "[1:2]={", "[2]={", "{{"]).to_owned();
    for at in 0..=random.below(4) {
        if at > 0 {
            out.push_str(random.pick(&[",", ",", ",", ", ", " ,", ";", ""]));
        }
        out.push_str(random.pick(&[
            "1",
            "2",
            " 3",
            "4 ",
            "NULL",
            "null",
            "\"5\"",
            "\"NULL\"",
            "\\N",
            "",
            "x y",
            "\"a,b\"",
            "\"a\\\"b\"",
            "\u{a0}6",
            "7\u{a0}",
            "{8,9}",
            "{10}",
            "{}",
            "\t11\n",
            "-1",
            "a\"b",
            "\\ ",
        ]));
    }
    out.push_str(random.pick(&["}", "}", "}", "}", "", "} ", "}x", "}}"]));
    let ty = random.pick(&["int[]", "text[]", "text[]"]);
    format!("{}::{ty}", quoted(&out))
}

/// Pieces of regular expressions.
const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    ".",
    "\\d",
    "\\s",
    "\\w",
    "\\D",
    "\\S",
    "\\W",
    "[ab]",
    "[^a]",
    "[a-c]",
    "[[:alpha:]]",
    "[[:digit:]_]",
    "[[:space:]]",
    "[\\d-]",
    "[]a]",
    "(a|b)",
    "(?:ab)",
    "\\m",
    "\\M",
    "\\y",
    "\\b",
    "\\.",
    "\\n",
    "\\u00e9",
    "\\x41",
    "{",
    "}",
    "[a&&b]",
    "[a-]",
    "()",
    "|",
    "(?=a)",
    "(a)\\1",
    "\\A",
    "\\Z",
    "\\q",
    "[[:foo:]]",
    ")",
    "é",
    "[b-a]",
    "#",
    "~",
    "-",
];

fn patterns(random: &mut Random) -> String {
    let mut pattern =
        random.pick(&["", "", "", "^", "(?i)", "***=", "(?q)", "(?x)", "(?w)"]).to_owned();
    for _ in 0..=random.below(4) {
        pattern.push_str(random.pick(PIECES));
        if random.one_in(3) {
            pattern.push_str(random.pick(&[
                "*", "+", "?", "*?", "+?", "{2}", "{1,}", "{0,2}", "{2,1}", "{300}", "**", "{1",
            ]));
        }
    }
    if random.one_in(4) {
        pattern.push('$');
    }
    let mut text = String::new();
    for _ in 0..random.below(6) {
        text.push_str(
            random.pick(&[
                "a", "b", "A", "c", " ", "1", "_", "é", "\u{a0}", ".", "-", "\n", "ab", "{",
            ]),
        );
    }
    let op = random.pick(&["~", "~", "~*", "!~"]);
    format!("{} {op} {}", quoted(&text), quoted(&pattern))
}

/// Functions over strings that blanks may pad.
const BLANK_CALLS: &[&str] = &[
    "greatest('a'::char(3), 'b ')",
    "nullif('a'::char(3), 'a')",
    "nullif('a'::char(3), 'b')",
    "ARRAY['a'::char(3), 'b']",
    "array_to_string(ARRAY['a'::char(3)], ',')",
    "'ab'::char(4) = ANY (ARRAY['ab'::char(7)])",
    "bit_length('a'::char(3))",
    "char_length('a'::char(3))",
    "md5('a'::char(3))",
    "replace('a b'::char(5), ' ', '-')",
    "'a'::char(3)::char(2)",
    "'abc'::char(5)::char(2)",
    "'a'::char(5)::varchar(3)",
    "reverse('ab'::char(4))",
    "true::char(5)",
    "rpad('a'::char(3), 5, 'x')",
];

fn blanks(random: &mut Random) -> String {
    let text = |random: &mut Random| {
        quoted(random.pick(&["", " ", "a", "a ", "ab", "ab  ", " a", "abc", "é ", "b"]))
    };
    let ty = |random: &mut Random| random.pick(&["char(1)", "char(3)", "char(5)", "bpchar"]);
    let value = |random: &mut Random| {
        let (text, ty) = (text(random), ty(random));
        match random.below(5) {
            0 => format!("{text}::{ty}::bpchar"),
            1 => format!("CASE WHEN true THEN {text}::{ty} ELSE 'x'::char(2) END"),
            2 => format!("coalesce({text}::{ty}, 'zz')"),
            _ => format!("{text}::{ty}"),
        }
    };
    let left = value(random);
    let right = if random.one_in(3) {
        value(random)
    } else {
        let right = text(random);
        let ty = random.pick(&["", "", "::text", "::varchar(4)"]);
        format!("{right}{ty}")
    };
    match random.below(14) {
        0 => format!(
            "({left}) LIKE {}",
            quoted(random.pick(&["a", "a%", "a_", "a__", "_", "%  ", "ab ", "a    "]))
        ),
        1 => {
            format!("({left}) ~ {}", quoted(random.pick(&["^a$", "^a +$", " $", "^ab? ", "a\\s"])))
        }
        2 => format!("octet_length({left})"),
        3 => format!("length({left})"),
        4 => format!("({left})::bytea"),
        5 => format!("({left})::text"),
        6 => format!("({left}) || ({right})"),
        7 => format!("concat({left}, '|', {right})"),
        8..=10 => format!(
            "({left}) {} ({right})",
            random.pick(&["=", "<", "<=", ">", "<>", "IS DISTINCT FROM"])
        ),
        11 => format!("({left}) IN ({right}, 'ab')"),
        12 => format!("upper({left}) || '|' || substr({left}, 2)"),
        _ => random.pick(BLANK_CALLS).to_owned(),
    }
}
