//! Why answers may differ, each with a proof that is run: an excuse that cannot show its proof is
//! none.
//!
//! | reason | what must be so |
//! |---|---|
//! | [`Reason::ConstantsAhead`] | PostgreSQL fails with the same SQLSTATE when it only plans the statement (`EXPLAIN`); with parameters in place of the literals, of which a generic plan knows nothing, both agree, and we answer as before |
//! | [`Reason::KeysAtTheEnd`] | PostgreSQL gives our answer once the table's unique constraints are `DEFERRABLE`, which it then judges at the statement's end |
//! | [`Reason::WhichOfSeveralErrors`] | a part of the writing statement (some of its rows, one of its columns) fails on both with our SQLSTATE, and another part on both with PostgreSQL's |
//! | [`Reason::NotBuilt`] | we say `0A000` and one of the names of [`NOT_BUILT`], and PostgreSQL does not refuse it |

use super::{
    answers::{Answer, Both},
    literal,
    schema::Table,
    writes::Write,
};

/// Why the answers to a statement may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// PostgreSQL computes constants when it plans, also in branches that are never taken; we do
    /// when they are reached.
    ConstantsAhead,
    /// PostgreSQL looks at each row of an UPDATE as it is written, and refuses a key that another
    /// row is only about to leave; we judge the statement's end.
    KeysAtTheEnd,
    /// Of several things that are wrong with the rows of one write, each database tells the one it
    /// meets first: PostgreSQL takes a row to its end before the next, we compute all rows first.
    WhichOfSeveralErrors,
    /// What is not built says so by its name.
    NotBuilt,
}

/// All reasons, each of which a long run must meet.
pub const REASONS: [Reason; 4] =
    [Reason::ConstantsAhead, Reason::KeysAtTheEnd, Reason::WhichOfSeveralErrors, Reason::NotBuilt];

/// How messages begin that name what the generator uses and Meridian has not.
const NOT_BUILT: [&str; 2] = ["ORDER BY in array_agg", "IN over "];

/// A statement that the databases answered differently.
pub struct Case<'a> {
    /// Its text, with marks.
    pub text: &'a str,
    /// Whether its rows come in an order.
    pub ordered: bool,
    /// What it writes.
    pub write: Option<(&'a Write, &'a Table)>,
    pub ours: &'a Answer,
    pub theirs: &'a Answer,
}

/// The reason why the answers differ, if there is one that can be shown. Both databases must be
/// outside of a transaction, and as they were before the statement; so they are left.
pub fn explained(both: &mut Both, case: &Case<'_>) -> Option<Reason> {
    if is_not_built(case) {
        return Some(Reason::NotBuilt);
    }
    let Answer::Error { state, .. } = case.theirs else { return None };
    if fails_when_planned(both, case, state) && agrees_unplanned(both, case) {
        return Some(Reason::ConstantsAhead);
    }
    let (write, table) = case.write?;
    if write.moves_keys && agrees_when_deferred(both, case, table) {
        return Some(Reason::KeysAtTheEnd);
    }
    let Answer::Error { state: ours, .. } = case.ours else { return None };
    let parts = write.parts(table, &keys(both, table));
    let told = |both: &mut Both, state: &str| parts.iter().any(|part| fails(both, part, state));
    (told(both, ours) && told(both, state)).then_some(Reason::WhichOfSeveralErrors)
}

fn is_not_built(case: &Case<'_>) -> bool {
    let Answer::Error { state, message } = case.ours else { return false };
    let named = NOT_BUILT.iter().any(|start| message.starts_with(start));
    state == "0A000" && named && case.theirs.kind() != "0A000"
}

fn fails_when_planned(both: &mut Both, case: &Case<'_>, state: &str) -> bool {
    let explain = format!("EXPLAIN {}", literal::plain(case.text));
    both.theirs(&explain).kind() == state
}

fn agrees_unplanned(both: &mut Both, case: &Case<'_>) -> bool {
    both.run("BEGIN");
    both.theirs("SET LOCAL plan_cache_mode = force_generic_plan");
    let (ours, theirs) = both.run_prepared(case.text);
    both.run("ROLLBACK");
    both.forget();
    ours.agrees(&theirs, case.ordered) && ours.agrees(case.ours, case.ordered)
}

/// Whether PostgreSQL answers as we did once it judges unique keys at the statement's end.
fn agrees_when_deferred(both: &mut Both, case: &Case<'_>, table: &Table) -> bool {
    both.theirs("BEGIN");
    for statement in table.deferrable() {
        let answer = both.theirs(&statement);
        assert!(matches!(answer, Answer::Done { .. }), "{statement}: {answer}");
    }
    let theirs = both.theirs(&literal::plain(case.text));
    both.theirs("ROLLBACK");
    theirs.agrees(case.ours, case.ordered)
}

/// Whether both refuse the statement with this SQLSTATE.
fn fails(both: &mut Both, text: &str, state: &str) -> bool {
    both.run("BEGIN");
    let (ours, theirs) = both.run(&literal::plain(text));
    both.run("ROLLBACK");
    ours.kind() == state && theirs.kind() == state
}

/// The first column of the table's rows, as literals.
fn keys(both: &mut Both, table: &Table) -> Vec<String> {
    let first = &table.columns[0].name;
    match both.theirs(&format!("SELECT DISTINCT {first} FROM {}", table.name)) {
        Answer::Rows { rows, .. } => {
            rows.iter().map(|key| format!("'{}'", key.replace('\'', "''"))).collect()
        }
        Answer::Done { .. } | Answer::Error { .. } => Vec::new(),
    }
}
