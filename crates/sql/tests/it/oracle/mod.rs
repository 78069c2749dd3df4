//! Random statements, ours against PostgreSQL's: schemas, rows, queries, expressions and writes over
//! unique keys are drawn from a seed, and both must agree on rows (in any order, unless one is asked
//! for), types and names of columns, command tags and SQLSTATEs; after each write, on the table.
//!
//! A *world* is a few tables and the statements run on them; it is drawn from a seed of its own, so
//! a failure tells one seed that shows it again: `MERIDIAN_SEED=17 cargo test -p sql --test it
//! oracle`. `MERIDIAN_LONG=1` runs 20,000 statements. PostgreSQL 15 is started by the test
//! ([`server`]). What differs on purpose is listed in [`explained`], with its reason; a long run
//! demands that each still occurs.

mod answers;
mod expressions;
mod queries;
#[path = "../../../../expr/tests/oracle/random.rs"]
mod random;
mod schema;
mod server;
mod writes;

use std::{collections::BTreeMap, env};

use answers::{Answer, Both};
use queries::Query;
use random::Random;
use schema::Table;
use server::Server;
use writes::Write;

/// Statements in the short run.
const SHORT: usize = 1_000;
/// Statements in the long run.
const LONG: usize = 20_000;
/// Statements of one world.
const STATEMENTS: usize = 100;
/// The first world's seed, unless told otherwise.
const SEED: u64 = 1;
/// So many differences are enough to stop.
const MAX_DIFFERENCES: usize = 12;

/// Why the answers to a statement may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// PostgreSQL looks at each row of an UPDATE as it is written, and refuses a key that another
    /// row is only about to leave; we judge the statement's end.
    KeysAtTheEnd,
    /// Of several things that are wrong, each database tells the one it meets first. PostgreSQL
    /// computes constants before anything else, and looks at a row's columns and keys before it
    /// takes the next row.
    WhichOfSeveralErrors,
    /// What is not built says so by its name: see [`NOT_BUILT`].
    NotBuilt,
}

/// All reasons, each of which a long run must meet.
const REASONS: [Reason; 3] = [Reason::KeysAtTheEnd, Reason::WhichOfSeveralErrors, Reason::NotBuilt];

/// How messages begin that name what the generator uses and Meridian has not.
const NOT_BUILT: [&str; 2] = ["ORDER BY in array_agg", "IN over "];

fn explained(write: Option<&Write>, ours: &Answer, theirs: &Answer) -> Option<Reason> {
    if let Answer::Error { state, message } = ours
        && state == "0A000"
        && NOT_BUILT.iter().any(|start| message.starts_with(start))
    {
        return Some(Reason::NotBuilt);
    }
    match (ours, theirs) {
        (Answer::Error { state: ours, .. }, Answer::Error { state: theirs, .. }) => {
            // Errors of values, of keys, and of rows touched twice.
            let of_data = |state: &str| matches!(&state[..2], "21" | "22" | "23");
            (of_data(ours) && of_data(theirs)).then_some(Reason::WhichOfSeveralErrors)
        }
        (Answer::Rows { .. } | Answer::Done { .. }, Answer::Error { state, .. }) => {
            let moves = write.is_some_and(|write| write.moves_keys);
            (moves && state == "23505").then_some(Reason::KeysAtTheEnd)
        }
        _ => None,
    }
}

/// A run of worlds.
struct Run {
    both: Both,
    differences: Vec<String>,
    reasons: BTreeMap<Reason, usize>,
    statements: usize,
}

impl Run {
    /// Tables, rows, and statements on them.
    fn world(&mut self, seed: u64) {
        self.both.fresh(seed);
        let mut random = Random::new(seed);
        let tables: Vec<Table> =
            ["t", "u", "v"].iter().map(|name| Table::random(name, &mut random)).collect();
        for table in &tables {
            for create in table.create(&mut random) {
                self.judge(seed, &create, false, None);
            }
            for _ in 0..10 {
                let row = table.row(&mut random);
                self.judge(seed, &format!("INSERT INTO {} VALUES {row}", table.name), false, None);
            }
        }
        for _ in 0..STATEMENTS {
            if self.differences.len() >= MAX_DIFFERENCES {
                return;
            }
            self.statements += 1;
            match random.below(10) {
                0..=1 => self.query(seed, &Query::of_values(&mut random)),
                2..=5 => self.query(seed, &Query::random(&tables, &mut random)),
                _ => {
                    let write = writes::random(&tables, &mut random);
                    self.write(seed, &tables, &write);
                }
            }
        }
        for problem in self.both.problems() {
            self.note(format!("seed {seed}: CHECK ALL TABLES: {problem}"));
        }
    }

    /// Whether both agree, or differ for a known reason. If not, it is noted.
    fn judge(&mut self, seed: u64, sql: &str, ordered: bool, write: Option<&Write>) -> bool {
        let (ours, theirs) = self.both.run(sql);
        if ours.agrees(&theirs, ordered) {
            return true;
        }
        match explained(write, &ours, &theirs) {
            Some(reason) => *self.reasons.entry(reason).or_default() += 1,
            None => {
                self.note(format!("seed {seed}: {sql}\n  PostgreSQL {theirs}\n  Meridian   {ours}"))
            }
        }
        false
    }

    /// A difference: printed at once too, as a long run takes minutes.
    fn note(&mut self, difference: String) {
        println!("{difference}\n");
        self.differences.push(difference);
    }

    fn query(&mut self, seed: u64, query: &Query) {
        let before = self.differences.len();
        self.judge(seed, &query.text(), query.is_ordered(), None);
        if self.differences.len() == before {
            return;
        }
        let smallest = self.smallest(query);
        if smallest.text() != query.text() {
            let (ours, theirs) = self.both.run(&smallest.text());
            self.differences.pop();
            self.note(format!(
                "seed {seed}: {}\n  PostgreSQL {theirs}\n  Meridian   {ours}\n  made smaller from: {}",
                smallest.text(),
                query.text()
            ));
        }
    }

    /// The query with as few clauses as still show a difference.
    fn smallest(&mut self, query: &Query) -> Query {
        let (ours, theirs) = self.both.run(&query.text());
        let kinds = (ours.kind().to_owned(), theirs.kind().to_owned());
        let mut smallest = query.clone();
        'smaller: loop {
            for candidate in smallest.smaller() {
                let (ours, theirs) = self.both.run(&candidate.text());
                let same = (ours.kind(), theirs.kind()) == (&kinds.0, &kinds.1);
                if same && !ours.agrees(&theirs, candidate.is_ordered()) {
                    smallest = candidate;
                    continue 'smaller;
                }
            }
            return smallest;
        }
    }

    /// Runs a write on both, and takes it back on both where they disagree.
    fn write(&mut self, seed: u64, tables: &[Table], write: &Write) {
        self.both.run("BEGIN");
        let agreed = self.judge(seed, &write.text, false, Some(write));
        self.both.run(if agreed { "COMMIT" } else { "ROLLBACK" });
        let table = &tables[write.table].name;
        let before = self.differences.len();
        self.judge(seed, &format!("SELECT * FROM {table}"), false, None);
        if self.differences.len() > before {
            let last = self.differences.last_mut().expect("just added");
            last.push_str(&format!("\n  after: {}", write.text));
            // From here on the tables differ anyhow.
            self.both.run(&format!("DELETE FROM {table}"));
        }
    }
}

#[test]
fn random_statements_have_postgresqls_answers() {
    let Some(server) = Server::start("statements") else { return };
    let one = env::var("MERIDIAN_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let long = env::var_os("MERIDIAN_LONG").is_some_and(|on| on == "1");
    let worlds = if long { LONG / STATEMENTS } else { SHORT / STATEMENTS };
    let seeds: Vec<u64> = match one {
        Some(seed) => vec![seed],
        None => (SEED..).take(worlds).collect(),
    };
    let both = Both::connect(&server.url);
    let mut run = Run { both, differences: Vec::new(), reasons: BTreeMap::new(), statements: 0 };
    for seed in seeds {
        run.world(seed);
        if run.differences.len() >= MAX_DIFFERENCES {
            break;
        }
    }
    println!("{} statements; explained: {:?}", run.statements, run.reasons);
    assert!(
        run.differences.is_empty(),
        "{} differences in {} statements:\n\n{}",
        run.differences.len(),
        run.statements,
        run.differences.join("\n\n")
    );
    if long && one.is_none() {
        for reason in REASONS {
            assert!(run.reasons.contains_key(&reason), "{reason:?} does not occur any more");
        }
    }
}
