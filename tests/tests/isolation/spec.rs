//! Scenarios: what the files in `tests/tests/isolation/specs` say.
//!
//! ```text
//! # Comments begin with a number sign.
//! schema                                 statements that make the tables, once per layout
//!     CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)
//! split                                  statements that cut the tables into ranges
//!     ALTER TABLE t SPLIT AT VALUES (2)
//! rows                                   statements that empty and fill the tables, before each run
//!     DELETE FROM t
//!     INSERT INTO t VALUES (1, 10), (2, 20)
//! session a                              one transaction
//!     read    SELECT v FROM t WHERE k = 1
//!     commit  COMMIT
//! session b                              a single statement that commits by itself
//!     write   UPDATE t SET v = 11 WHERE k = 1
//! final                                  queries that look at the tables after the run
//!     SELECT * FROM t ORDER BY k
//! expect serializable                    what must have been seen, in some run or in none
//!     some aborts
//! ```
//!
//! A session whose last step is `COMMIT` or `ROLLBACK` is one transaction at the isolation level
//! under test; any other session is one statement. A statement takes one line.

use std::collections::BTreeSet;

/// An isolation level under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The default: every outcome must equal that of a serial order.
    Serializable,
    /// Snapshot isolation.
    RepeatableRead,
    /// A snapshot per statement.
    ReadCommitted,
}

impl Level {
    /// As SQL has it.
    pub fn sql(self) -> &'static str {
        match self {
            Level::Serializable => "SERIALIZABLE",
            Level::RepeatableRead => "REPEATABLE READ",
            Level::ReadCommitted => "READ COMMITTED",
        }
    }

    fn named(name: &str) -> Option<Level> {
        let levels = [Level::Serializable, Level::RepeatableRead, Level::ReadCommitted];
        levels.into_iter().find(|level| level.sql().eq_ignore_ascii_case(name))
    }
}

/// Something that a run did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// A transaction ended with a conflict (`40001`).
    Aborts,
    /// All transactions did what they came for.
    Commits,
    /// A step waited for another transaction.
    Blocks,
    /// The outcome equals that of no serial order.
    Anomaly,
    /// A statement failed with this SQLSTATE.
    Fails(String),
}

/// Whether a sight must have been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// In at least one run.
    Some(Sight),
    /// In no run.
    No(Sight),
}

/// A statement of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name, unique in the scenario.
    pub name: String,
    /// The statement.
    pub sql: String,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSpec {
    /// Its name.
    pub name: String,
    /// Its statements, at least one.
    pub steps: Vec<Step>,
}

impl SessionSpec {
    /// Whether it is a transaction block, which its last step ends.
    pub fn is_block(&self) -> bool {
        let last = self.steps.last().expect("checked when it was read");
        ends_block(&last.sql)
    }

    /// Whether it ends with `ROLLBACK`.
    pub fn rolls_back(&self) -> bool {
        self.steps.last().is_some_and(|last| last.sql == "ROLLBACK")
    }
}

fn ends_block(sql: &str) -> bool {
    matches!(sql, "COMMIT" | "ROLLBACK")
}

/// A scenario.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Its file's name, without the ending.
    pub name: String,
    /// Statements that make the tables.
    pub schema: Vec<String>,
    /// Statements that cut the tables into ranges.
    pub split: Vec<String>,
    /// Statements that empty and fill the tables.
    pub rows: Vec<String>,
    /// The transactions, two to four.
    pub sessions: Vec<SessionSpec>,
    /// Queries that look at the tables in the end.
    pub last: Vec<String>,
    /// What must be seen at each level. `SERIALIZABLE` always comes first, also if nothing is
    /// expected of it but that all outcomes are serial.
    pub expect: Vec<(Level, Vec<Expectation>)>,
}

/// What the lines under a heading belong to.
enum Section {
    Schema,
    Split,
    Rows,
    Session,
    Last,
    Expect,
}

impl Spec {
    /// Reads a scenario.
    ///
    /// # Panics
    /// If it makes no sense, with the file's name and the line.
    pub fn parse(name: &str, text: &str) -> Spec {
        let mut spec = Spec { name: name.to_owned(), ..Spec::default() };
        spec.expect.push((Level::Serializable, Vec::new()));
        let mut section = None;
        for (at, line) in text.lines().enumerate() {
            let place = format!("{name}.spec:{}", at + 1);
            let is_heading = !line.starts_with(char::is_whitespace);
            let words = line.trim();
            if words.is_empty() || words.starts_with('#') {
                continue;
            }
            if is_heading {
                section = Some(spec.heading(words, &place));
                continue;
            }
            let section = section.as_ref().unwrap_or_else(|| panic!("{place}: no heading yet"));
            spec.line(section, words, &place);
        }
        spec.check();
        spec
    }

    fn heading(&mut self, words: &str, place: &str) -> Section {
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        match (word, rest.trim()) {
            ("schema", "") => Section::Schema,
            ("split", "") => Section::Split,
            ("rows", "") => Section::Rows,
            ("final", "") => Section::Last,
            ("session", name) if !name.is_empty() => {
                self.sessions.push(SessionSpec { name: name.to_owned(), steps: Vec::new() });
                Section::Session
            }
            ("expect", level) => {
                let level = Level::named(level);
                let level = level.unwrap_or_else(|| panic!("{place}: which isolation level?"));
                if level != Level::Serializable {
                    self.expect.push((level, Vec::new()));
                }
                Section::Expect
            }
            _ => panic!("{place}: `{words}` is no heading"),
        }
    }

    fn line(&mut self, section: &Section, words: &str, place: &str) {
        match section {
            Section::Schema => self.schema.push(words.to_owned()),
            Section::Split => self.split.push(words.to_owned()),
            Section::Rows => self.rows.push(words.to_owned()),
            Section::Last => self.last.push(words.to_owned()),
            Section::Session => {
                let (name, sql) =
                    words.split_once(' ').unwrap_or_else(|| panic!("{place}: no SQL"));
                let step = Step { name: name.to_owned(), sql: sql.trim().to_owned() };
                self.sessions.last_mut().expect("its heading was read").steps.push(step);
            }
            Section::Expect => {
                let expectation = expectation(words, place);
                self.expect.last_mut().expect("there is one level").1.push(expectation);
            }
        }
    }

    fn check(&self) {
        let name = &self.name;
        assert!((2..=4).contains(&self.sessions.len()), "{name}: two to four sessions");
        assert!(!self.schema.is_empty() && !self.rows.is_empty(), "{name}: no tables");
        let mut names = BTreeSet::new();
        for session in &self.sessions {
            assert!(!session.steps.is_empty(), "{name}: {} has no step", session.name);
            let is_one = session.steps.len() == 1;
            assert!(session.is_block() || is_one, "{name}: {} does not end", session.name);
            for step in &session.steps {
                assert!(names.insert(&step.name), "{name}: two steps named {}", step.name);
            }
            let inner = &session.steps[..session.steps.len() - 1];
            assert!(inner.iter().all(|step| !ends_block(&step.sql)), "{name}: ends twice");
        }
    }

    /// Every order of the steps in which each session's own steps keep their order, as the index of
    /// the session whose step is next.
    pub fn permutations(&self) -> Vec<Vec<usize>> {
        let mut left: Vec<usize> =
            self.sessions.iter().map(|session| session.steps.len()).collect();
        let mut all = Vec::new();
        interleave(&mut left, &mut Vec::new(), &mut all);
        all
    }
}

fn interleave(left: &mut [usize], so_far: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.iter().all(|left| *left == 0) {
        all.push(so_far.clone());
        return;
    }
    for session in 0..left.len() {
        if left[session] > 0 {
            left[session] -= 1;
            so_far.push(session);
            interleave(left, so_far, all);
            so_far.pop();
            left[session] += 1;
        }
    }
}

fn expectation(words: &str, place: &str) -> Expectation {
    let (quantity, rest) = words.split_once(' ').unwrap_or((words, ""));
    let sight = match rest.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["aborts"] => Sight::Aborts,
        ["commits"] => Sight::Commits,
        ["blocks"] => Sight::Blocks,
        ["anomaly"] => Sight::Anomaly,
        ["fails", state] => Sight::Fails((*state).to_owned()),
        _ => panic!("{place}: `{words}` is no expectation"),
    };
    match quantity {
        "some" => Expectation::Some(sight),
        "no" => Expectation::No(sight),
        _ => panic!("{place}: `some` or `no`?"),
    }
}
