//! Broken SQL: statements of the test files, cut, spliced, swapped and nested at random, run from
//! their text to their answer.
//!
//! Nothing may panic, and nothing may be told as a fault of ours (`XX000`): whatever a client sends
//! is either run or refused with a reason. What a statement means is the business of other tests.
//!
//! A run is given by its seed. `MERIDIAN_SEED=7` replays one; `MERIDIAN_FUZZ_SECONDS=600` goes on
//! with fresh seeds for so long instead of the few of a normal run.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use sql::{Config, Session, SessionOptions};

use crate::support::World;

/// Statements of one seed.
const STATEMENTS: usize = 400;
/// Seeds of a normal run.
const SEEDS: u64 = 4;
/// Statements that one world runs, before it makes room for another.
const PER_WORLD: usize = 100;
/// The most parts that a text is cut into, so that splicing ends.
const MAX_TOKENS: usize = 4_000;

/// Values and words at the edges of what types and rules hold.
const EDGES: [&str; 44] = [
    "NULL",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "1e131071",
    "1e-16383",
    "1e308",
    "'NaN'::float8",
    "'infinity'::timestamptz",
    "0.1",
    "''",
    "'é'",
    "'a' 'b'",
    "E'\\x00'",
    "U&'\\0061'",
    "'{1,2}'::int[]",
    "'1 day'::interval",
    "true",
    "DEFAULT",
    "*",
    "ARRAY[]::int[]",
    "$1",
    "$65535",
    "$0",
    "(SELECT 1)",
    "(SELECT id FROM k)",
    "count(*)",
    "random()",
    "now()",
    "excluded.v",
    "\"\"",
    "\"É\"",
    "--",
    "/*",
    "$$",
    "$a$",
    ";",
    "::",
    "repeat('x', 100000)",
    "AS OF SYSTEM TIME '-1s'",
    "ON CONFLICT DO NOTHING",
    "OFFSET -1",
];

#[tokio::test(start_paused = true)]
async fn broken_statements_are_run_or_refused() {
    let corpus = Corpus::read();
    if let Ok(seed) = std::env::var("MERIDIAN_SEED") {
        one_seed(&corpus, seed.parse().expect("a number")).await;
        return;
    }
    let seconds = std::env::var("MERIDIAN_FUZZ_SECONDS").ok();
    let Some(seconds) = seconds.map(|text| text.parse().expect("a number of seconds")) else {
        let mut refused = 0;
        for seed in 0..SEEDS {
            refused += one_seed(&corpus, seed).await;
        }
        return some_ran(refused, SEEDS);
    };
    #[expect(clippy::disallowed_methods, reason = "a person says how long to look")]
    let started = Instant::now();
    let first = u64::from(std::process::id()) << 20;
    let (mut seeds, mut refused) = (0, 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        refused += one_seed(&corpus, first + seeds).await;
        seeds += 1;
    }
    println!("{seeds} seeds held");
    some_ran(refused, seeds);
}

/// Else nothing was broken, or nothing ran.
fn some_ran(refused: usize, seeds: u64) {
    let all = STATEMENTS * usize::try_from(seeds).expect("few");
    assert!((all / 10..all * 99 / 100).contains(&refused), "{refused} of {all} were refused");
}

/// How many were refused.
async fn one_seed(corpus: &Corpus, seed: u64) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut refused = 0;
    for _ in 0..STATEMENTS / PER_WORLD {
        let mut world = Fuzzed::new(corpus).await;
        for _ in 0..PER_WORLD {
            let text = corpus.broken(&mut rng);
            refused += usize::from(!world.run(&text, seed).await);
        }
    }
    refused
}

/// A cluster with the tables of the corpus.
struct Fuzzed {
    world: World,
    session: Session,
}

impl Fuzzed {
    async fn new(corpus: &Corpus) -> Fuzzed {
        let world = World::with(Config {
            seed: 7,
            statement_memory: 8 << 20,
            statement_timeout: Duration::from_secs(5),
            ..Config::default()
        });
        let session = world.databases[0].session(SessionOptions::default());
        let mut session = session.expect("sessions are few");
        for statement in &corpus.tables {
            // Files make tables of one name: the first stays.
            let _made = session.simple(statement, &mut |_| {}).await;
        }
        Fuzzed { world, session }
    }

    /// Runs a text; whether it did without an error.
    async fn run(&mut self, text: &str, seed: u64) -> bool {
        let outcome = self.session.simple(text, &mut |_| {}).await;
        if let Err(error) = &outcome {
            let state = error.sqlstate.to_string();
            assert_ne!(state, "XX000", "MERIDIAN_SEED={seed}: {text}\n{error:?}");
        }
        // What is in a failed block is refused for that alone.
        let _ended = self.session.simple("ROLLBACK", &mut |_| {}).await;
        if self.session.simple("SELECT 1", &mut |_| {}).await.is_err() {
            let fresh = self.world.databases[0].session(SessionOptions::default());
            self.session = fresh.expect("sessions are few");
        }
        outcome.is_ok()
    }
}

/// Statements that mean something, and their parts.
struct Corpus {
    statements: Vec<Vec<String>>,
    tables: Vec<String>,
    tokens: Vec<String>,
}

impl Corpus {
    /// Those of the test files.
    fn read() -> Corpus {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("its entries can be read").path())
            .collect();
        files.sort();
        let mut texts = Vec::new();
        for file in files {
            texts.extend(crate::logic::statements(&file));
        }
        let begins = |text: &str, words: &str| text.trim_start().to_uppercase().starts_with(words);
        // What lies in wait on purpose, or for a session that is not there, is no material.
        texts.retain(|text| !text.contains("pg_sleep") && text.len() < 10_000);
        let tables = texts.iter().filter(|text| {
            ["CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE", "INSERT"]
                .iter()
                .any(|words| begins(text, words))
        });
        let tables = tables.take(60).cloned().collect();
        let statements: Vec<Vec<String>> = texts.iter().map(|text| tokens(text)).collect();
        let mut tokens: Vec<String> = statements.iter().flatten().cloned().collect();
        tokens.retain(|token| !token.trim().is_empty());
        tokens.sort();
        tokens.dedup();
        Corpus { statements, tables, tokens }
    }

    /// A statement with one to five parts of it broken.
    fn broken(&self, rng: &mut ChaCha8Rng) -> String {
        let mut tokens = self.statement(rng);
        for _ in 0..rng.random_range(1..=5) {
            self.change(&mut tokens, rng);
            tokens.truncate(MAX_TOKENS);
        }
        let mut text = tokens.concat();
        if rng.random_ratio(1, 20) {
            let at = text.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
            if let Some(at) = at.choose(rng) {
                text.truncate(*at);
            }
        }
        text
    }

    fn statement(&self, rng: &mut ChaCha8Rng) -> Vec<String> {
        self.statements.choose(rng).expect("the files hold statements").clone()
    }

    /// One change of a list of tokens.
    fn change(&self, tokens: &mut Vec<String>, rng: &mut ChaCha8Rng) {
        let (from, to) = range(tokens.len(), rng);
        match rng.random_range(0..9) {
            0 => drop(tokens.drain(from..to)),
            1 => {
                let copy = tokens[from..to].to_vec();
                tokens.splice(to..to, copy);
            }
            2 => {
                let other = self.statement(rng);
                let (start, end) = range(other.len(), rng);
                tokens.splice(from..to, other[start..end].iter().cloned());
            }
            3 => insert(tokens, from, self.tokens.choose(rng).expect("there are some")),
            4 => insert(tokens, from, EDGES.choose(rng).expect("there are some")),
            5 => {
                if let Some(token) = tokens.get_mut(from) {
                    *token = (*EDGES.choose(rng).expect("there are some")).to_owned();
                }
            }
            6 => {
                let depth = rng.random_range(1..=60);
                tokens.insert(to, ")".repeat(depth));
                tokens.insert(from, "(".repeat(depth));
            }
            7 => {
                let times = rng.random_range(2..=200);
                let part = tokens[from..to].concat();
                tokens.insert(from, part.chars().take(40).collect::<String>().repeat(times));
            }
            _ => {
                let (first, second) = (from, to.saturating_sub(1));
                if first < tokens.len() && second < tokens.len() {
                    tokens.swap(first, second);
                }
            }
        }
    }
}

fn insert(tokens: &mut Vec<String>, at: usize, token: &str) {
    tokens.insert(at, format!(" {token} "));
}

/// A short stretch of so many.
fn range(count: usize, rng: &mut ChaCha8Rng) -> (usize, usize) {
    let from = rng.random_range(0..=count);
    (from, (from + rng.random_range(0..=8)).min(count))
}

/// A text in words, numbers, blanks and single signs; together they are the text again.
fn tokens(text: &str) -> Vec<String> {
    let kind = |sign: char| match sign {
        _ if sign.is_alphanumeric() || sign == '_' => 1,
        _ if sign.is_whitespace() => 2,
        _ => 0,
    };
    let mut tokens: Vec<String> = Vec::new();
    let mut last = 0;
    for sign in text.chars() {
        match tokens.last_mut() {
            Some(token) if kind(sign) == last && last != 0 => token.push(sign),
            _ => tokens.push(sign.to_string()),
        }
        last = kind(sign);
    }
    tokens
}
