//! Random statements, ours against PostgreSQL's: schemas, rows, queries, expressions and writes over
//! unique keys are drawn from a seed, and both must agree on rows (in any order, unless one is asked
//! for), types and names of columns, command tags and SQLSTATEs; after each write, on the table. One
//! statement of four is prepared first, with its literals as parameters ([`literal`]).
//!
//! A *world* is a few tables and the statements run on them; it is drawn from a seed of its own, so
//! a failure tells one seed that shows it again: `MERIDIAN_SEED=17 cargo test -p sql --test it
//! oracle`. `MERIDIAN_LONG=1` runs 20,000 statements, `MERIDIAN_FIRST_SEED=1001` those of other
//! seeds. PostgreSQL 15 is started by the test ([`server`]). What differs on purpose is told by
//! [`excuses`], each with its proof; how often each was needed is printed, no more than
//! [`MAX_EXCUSED`] may be, and a long run demands that each still occurs.

mod answers;
mod casts;
mod conditions;
mod excuses;
mod expressions;
mod literal;
mod queries;
#[path = "../../../../expr/tests/oracle/random.rs"]
mod random;
mod schema;
mod server;
mod sources;
mod writes;

use std::{collections::BTreeMap, env};

use answers::{Answer, Both};
use excuses::{Case, REASONS, Reason};
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
/// Of so many statements one may be excused.
const MAX_EXCUSED: usize = 60;

/// A run of worlds.
struct Run {
    both: Both,
    differences: Vec<String>,
    reasons: BTreeMap<Reason, usize>,
    statements: usize,
    /// How many of them both refused, by SQLSTATE.
    refused: BTreeMap<String, usize>,
}

/// How a statement is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As it reads.
    Plain,
    /// With its literals as parameters.
    Prepared,
}

impl Way {
    fn random(random: &mut Random) -> Way {
        if random.one_in(4) { Way::Prepared } else { Way::Plain }
    }
}

impl Run {
    fn new(url: &str) -> Run {
        Run {
            both: Both::connect(url),
            differences: Vec::new(),
            reasons: BTreeMap::new(),
            statements: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Tables, rows, and statements on them.
    fn world(&mut self, seed: u64) {
        self.both.fresh(seed);
        let mut random = Random::new(seed);
        let tables: Vec<Table> =
            ["t", "u", "v"].iter().map(|name| Table::random(name, &mut random)).collect();
        for (at, table) in tables.iter().enumerate() {
            for create in table.create(&mut random) {
                self.query(seed, &Query::of_text(create), Way::Plain);
            }
            for _ in 0..10 {
                let write = Write::of_row(at, &table.name, table.row(&mut random));
                self.write(seed, table, &write, Way::Plain);
            }
        }
        for _ in 0..STATEMENTS {
            if self.differences.len() >= MAX_DIFFERENCES {
                return;
            }
            self.statements += 1;
            let way = Way::random(&mut random);
            match random.below(10) {
                0..=1 => self.query(seed, &Query::of_values(&mut random), way),
                2..=5 => self.query(seed, &Query::random(&tables, &mut random), way),
                _ => {
                    let write = writes::random(&tables, &mut random);
                    self.write(seed, &tables[write.table], &write, way);
                }
            }
        }
        for problem in self.both.problems() {
            self.note(format!("seed {seed}: CHECK ALL TABLES: {problem}"));
        }
    }

    fn run(&mut self, text: &str, way: Way) -> (Answer, Answer) {
        match way {
            Way::Plain => self.both.run(&literal::plain(text)),
            Way::Prepared => self.both.run_prepared(text),
        }
    }

    /// Counts what both refused.
    fn agreed(&mut self, answer: &Answer) {
        if let Answer::Error { state, .. } = answer {
            *self.refused.entry(state.clone()).or_default() += 1;
        }
    }

    /// Counts the reason of a difference; `false`: there is none.
    fn excused(&mut self, case: &Case<'_>) -> bool {
        let reason = excuses::explained(&mut self.both, case);
        if let Some(reason) = reason {
            *self.reasons.entry(reason).or_default() += 1;
        }
        reason.is_some()
    }

    /// A difference: printed at once too, as a long run takes minutes.
    fn note(&mut self, difference: String) {
        println!("{difference}\n");
        self.differences.push(difference);
    }

    fn query(&mut self, seed: u64, query: &Query, way: Way) {
        let (text, ordered) = (query.text(), query.is_ordered());
        let (ours, theirs) = self.run(&text, way);
        self.both.forget();
        if ours.agrees(&theirs, ordered) {
            self.agreed(&ours);
            return;
        }
        let case = Case { text: &text, ordered, write: None, ours: &ours, theirs: &theirs };
        if self.excused(&case) {
            return;
        }
        let smallest = self.smallest(query, way, (ours.kind(), theirs.kind()));
        let (ours, theirs) = self.run(&smallest.text(), way);
        self.both.forget();
        self.note(format!(
            "seed {seed}: {}\n  PostgreSQL {theirs}\n  Meridian   {ours}\n  made smaller from: {}",
            literal::plain(&smallest.text()),
            literal::plain(&text)
        ));
    }

    /// The query with as few clauses as still show a difference of these kinds.
    fn smallest(&mut self, query: &Query, way: Way, kinds: (&str, &str)) -> Query {
        let mut smallest = query.clone();
        'smaller: loop {
            for candidate in smallest.smaller() {
                let (ours, theirs) = self.run(&candidate.text(), way);
                self.both.forget();
                let same = (ours.kind(), theirs.kind()) == kinds;
                if same && !ours.agrees(&theirs, candidate.is_ordered()) {
                    smallest = candidate;
                    continue 'smaller;
                }
            }
            return smallest;
        }
    }

    /// Runs a write on both, and takes it back on both where they disagree.
    fn write(&mut self, seed: u64, table: &Table, write: &Write, way: Way) {
        let text = write.text();
        self.both.run("BEGIN");
        let (ours, theirs) = self.run(&text, way);
        let agreed = ours.agrees(&theirs, false);
        self.both.run(if agreed { "COMMIT" } else { "ROLLBACK" });
        self.both.forget();
        if !agreed {
            let write = Some((write, table));
            let case = Case { text: &text, ordered: false, write, ours: &ours, theirs: &theirs };
            if !self.excused(&case) {
                let text = literal::plain(&text);
                self.note(format!(
                    "seed {seed}: {text}\n  PostgreSQL {theirs}\n  Meridian   {ours}"
                ));
            }
            return;
        }
        self.agreed(&ours);
        let (ours, theirs) = self.both.run(&format!("SELECT * FROM {}", table.name));
        if !ours.agrees(&theirs, false) {
            self.note(format!(
                "seed {seed}: the table after {}\n  PostgreSQL {theirs}\n  Meridian   {ours}",
                literal::plain(&text)
            ));
            // From here on the tables differ anyhow.
            self.both.run(&format!("DELETE FROM {}", table.name));
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|number| number.parse().expect("a number"))
}

#[test]
fn random_statements_have_postgresqls_answers() {
    let Some(server) = Server::start("statements") else { return };
    let one = number("MERIDIAN_SEED");
    let long = env::var_os("MERIDIAN_LONG").is_some_and(|on| on == "1");
    let worlds = if long { LONG / STATEMENTS } else { SHORT / STATEMENTS };
    let first = number("MERIDIAN_FIRST_SEED").unwrap_or(SEED);
    let seeds: Vec<u64> = match one {
        Some(seed) => vec![seed],
        None => (first..).take(worlds).collect(),
    };
    let mut run = Run::new(&server.url);
    for seed in seeds {
        run.world(seed);
        if run.differences.len() >= MAX_DIFFERENCES {
            break;
        }
    }
    let Run { statements, refused, reasons, differences, .. } = run;
    println!("{statements} statements; explained: {reasons:?}; refused by both: {refused:?}");
    assert!(
        differences.is_empty(),
        "{} differences in {statements} statements:\n\n{}",
        differences.len(),
        differences.join("\n\n")
    );
    if one.is_none() {
        let excused: usize = reasons.values().sum();
        assert!(excused * MAX_EXCUSED <= statements, "{excused} of {statements} are excused");
    }
    if long && one.is_none() {
        for reason in REASONS {
            assert!(reasons.contains_key(&reason), "{reason:?} does not occur any more");
        }
    }
}

/// Each excuse asks for its proof: what only looks like an excused difference is none.
#[test]
fn an_excuse_without_its_proof_is_none() {
    let Some(server) = Server::start("excuses") else { return };
    let mut both = Both::connect(&server.url);
    both.fresh(0);
    let mut random = Random::new(3);
    let table = Table::of_ints("t");
    for statement in table.create(&mut random) {
        both.run(&statement);
    }
    both.run("INSERT INTO t VALUES (1, 10), (2, 20)");
    let error = |state: &str| Answer::Error { state: state.to_owned(), message: String::new() };
    let rows = |row: &str| Answer::Rows {
        columns: vec!["case int4".to_owned()],
        rows: vec![row.to_owned()],
        count: 1,
    };
    let mut explained = |text: &str, write: Option<&Write>, ours: Answer| {
        let theirs = both.theirs(&literal::plain(text));
        let write = write.map(|write| (write, &table));
        let case = Case { text, ordered: false, write, ours: &ours, theirs: &theirs };
        excuses::explained(&mut both, &case)
    };

    let branch = "SELECT CASE WHEN now() IS NULL THEN ‹1¦int› / ‹0¦int› ELSE 7 END";
    assert_eq!(explained(branch, None, rows("7")), Some(Reason::ConstantsAhead));
    assert_eq!(explained(branch, None, rows("8")), None, "not our answer");
    let reached = "SELECT CASE WHEN now() IS NULL THEN 7 ELSE ‹1¦int› / ‹0¦int› END";
    assert_eq!(explained(reached, None, rows("7")), None, "the constant is reached");
    let first =
        "SELECT CASE WHEN now() IS NULL THEN ‹1¦int› / ‹0¦int› ELSE ‹'x'¦text›::text::int END";
    assert_eq!(explained(first, None, error("22P02")), Some(Reason::ConstantsAhead));
    assert_eq!(explained(first, None, error("22003")), None, "not our error");

    let shift = Write::of_update("t", "c0 = 30 - c0", true);
    let done = |count| Answer::Done { count };
    assert_eq!(explained(&shift.text(), Some(&shift), done(2)), Some(Reason::KeysAtTheEnd));
    assert_eq!(explained(&shift.text(), Some(&shift), done(1)), None, "not our answer");
    let same = Write::of_update("t", "c0 = 5", true);
    assert_eq!(explained(&same.text(), Some(&same), done(2)), None, "two rows with one key");

    let two = Write::of_rows(0, "t", &["(1, 5)", "(3, (SELECT 'x'::text)::int)"]);
    let both_fail = Some(Reason::WhichOfSeveralErrors);
    assert_eq!(explained(&two.text(), Some(&two), error("22P02")), both_fail);
    assert_eq!(explained(&two.text(), Some(&two), error("22012")), None, "nothing divides");
    let one = Write::of_rows(0, "t", &["(1, 5)"]);
    assert_eq!(explained(&one.text(), Some(&one), error("22P02")), None, "one thing is wrong");
    assert_eq!(explained("SELECT 1", None, error("0A000")), None, "it names nothing");
}
