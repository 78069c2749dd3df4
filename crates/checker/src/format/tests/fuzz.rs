//! Files of all sorts: whatever is in one, it is read and judged, or refused with its line.
//!
//! The files of `corpus` are bent: bytes and lines are dropped, doubled and exchanged, pieces of other
//! files and of what the syntaxes are made of are put in. What is a history still is judged against
//! every model, drawn, written and read again. `MERIDIAN_FUZZ_SECONDS` makes it go on for so long;
//! `MERIDIAN_FUZZ_SEED` chooses where it begins, and a failure names the file that it was found with.

use std::{
    fs,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::{Format, Reading, load_as, to_edn, to_json_lines};
use crate::{History, Model, Options, World, check};

/// Rounds, where nobody asks for more.
const ROUNDS: u64 = 1_500;

/// A file is kept below this: the time that judging takes is bounded by its size.
const BYTES_MAX: usize = 20_000;

/// No file of that size may take so long, even on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// What files are made of.
const PIECES: [&str; 40] = [
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "#{",
    "#_",
    "#",
    "##",
    "\"",
    "\\",
    "\\u",
    ":",
    ";",
    ",",
    "^",
    "'",
    "nil",
    "null",
    "true",
    "-1",
    "0",
    "18446744073709551616",
    "9223372036854775807",
    "1/2",
    "1e400",
    ":process",
    ":type :ok",
    ":type :info",
    ":value nil",
    ":key 1",
    ":time -5",
    "\"invoked\":0,",
    "\"completed\":1,",
    "\"outcome\":\"unknown\",",
    "[:r :x nil]",
    "\u{feff}",
    "é",
    "\n",
];

fn corpus() -> Vec<Vec<u8>> {
    let entries = fs::read_dir("corpus").expect("the folder is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 8);
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// A stretch of a file.
fn stretch(rng: &mut ChaCha8Rng, bytes: &[u8]) -> std::ops::Range<usize> {
    let begin = rng.random_range(0..=bytes.len());
    let longest = [4, 40, 400][rng.random_range(0..3)];
    begin..(begin + rng.random_range(0..longest)).min(bytes.len())
}

fn bend(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = stretch(rng, bytes);
    match rng.random_range(0..9) {
        0 => drop(bytes.drain(at)),
        1 => drop(bytes.splice(at.start..at.start, bytes[at].to_vec())),
        2 => {
            let other = &corpus[rng.random_range(0..corpus.len())];
            let piece = other[stretch(rng, other)].to_vec();
            drop(bytes.splice(at, piece));
        }
        3 => {
            let piece = PIECES[rng.random_range(0..PIECES.len())];
            drop(bytes.splice(at.start..at.start, piece.bytes()));
        }
        4 => {
            let piece = PIECES[rng.random_range(0..PIECES.len())].repeat(rng.random_range(1..300));
            drop(bytes.splice(at.start..at.start, piece.into_bytes()));
        }
        5 => bytes[at].iter_mut().for_each(|byte| *byte = rng.random()),
        6 => {
            // Digits, so that times tie and values repeat.
            let digits = b"0012379-";
            let is_digit = |byte: &&mut u8| byte.is_ascii_digit();
            for byte in bytes[at].iter_mut().filter(is_digit) {
                *byte = digits[rng.random_range(0..digits.len())];
            }
        }
        7 => {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let (a, b) = (rng.random_range(0..=lines.len()), rng.random_range(0..=lines.len()));
            if let (Some(_), Some(_)) = (lines.get(a), lines.get(b)) {
                lines.swap(a, b);
            }
            *bytes = lines.concat();
        }
        _ => bytes.truncate(at.end),
    }
    bytes.truncate(BYTES_MAX);
}

/// Everything that can be done with a file.
fn handle(bytes: &[u8], reading: &Reading) -> bool {
    let history = match load_as(bytes, reading) {
        Ok(history) => history,
        Err(error) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!(error.line >= 1 && error.line <= lines, "{error}: there are {lines} lines");
            assert!(!error.message.is_empty() && error.message.len() < 400, "{error}");
            return false;
        }
    };
    assert!(!history.ops.is_empty(), "a history without operations");
    judge(&history);
    for (text, format) in
        [(to_json_lines(&history), Format::JsonLines), (to_edn(&history), Format::Edn)]
    {
        let again =
            load_as(text.as_bytes(), &Reading { format: Some(format), ..Reading::default() });
        // What EDN cannot say of a mixture of everything it refuses; what we write is no nonsense.
        if format == Format::JsonLines {
            let again = again.unwrap_or_else(|error| panic!("{error}:\n{text}"));
            assert_eq!(again.ops.len(), history.ops.len(), "{text}");
        }
    }
    true
}

fn judge(history: &History) {
    for model in Model::ALL {
        for timestamps in [false, true] {
            let verdict = check(history, model, Options { timestamps, ..Options::default() });
            assert_eq!(verdict.stats.operations, history.ops.len());
            assert!(!verdict.render_text().is_empty());
            assert!(verdict.render_html().ends_with("</html>\n"));
            assert!(verdict.to_json().is_object());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it goes on changes nothing of what it does"
)]
fn now() -> Instant {
    Instant::now()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
}

#[test]
fn whatever_is_in_a_file_is_judged_or_refused() {
    let corpus = corpus();
    for bytes in &corpus {
        assert!(handle(bytes, &Reading::default()), "{}", String::from_utf8_lossy(bytes));
    }
    let first = number("MERIDIAN_FUZZ_SEED").unwrap_or(1);
    let until = number("MERIDIAN_FUZZ_SECONDS").map(|secs| now() + Duration::from_secs(secs));
    let (mut judged, mut refused) = (0_u64, 0_u64);
    for seed in first.. {
        let is_over = until.map_or(seed >= first + ROUNDS, |until| now() >= until);
        if is_over {
            break;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = corpus[rng.random_range(0..corpus.len())].clone();
        if rng.random_bool(0.05) {
            bytes = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        }
        for _ in 0..rng.random_range(1..8) {
            bend(&mut rng, &mut bytes, &corpus);
        }
        let format = [None, Some(Format::Edn), Some(Format::JsonLines)][rng.random_range(0..3)];
        let world = [None, Some(World::Closed), Some(World::Open)][rng.random_range(0..3)];
        let reading = Reading { format, world, ..Reading::default() };
        let begun = now();
        let handled = std::panic::catch_unwind(|| handle(&bytes, &reading));
        let text = String::from_utf8_lossy(&bytes);
        let is_history = handled.unwrap_or_else(|_| panic!("seed {seed}, {reading:?}:\n{text}"));
        assert!(now() - begun < PATIENCE, "seed {seed} took too long:\n{text}");
        *(if is_history { &mut judged } else { &mut refused }) += 1;
    }
    println!("{judged} judged, {refused} refused");
    assert!(judged > 20 && refused > 20, "{judged} judged, {refused} refused");
}
