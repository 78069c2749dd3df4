//! How long a statement computes before it lets others run.
//!
//! A session is a task among many on few threads. Whatever loops over rows counts its steps here
//! and, after some, gives the thread back: that is where others are served, and where whoever runs
//! the statement looks whether it was cancelled or its time is over. Long work within one row (a
//! power of long numbers, a search in a long text) counts as well. All that is counted, not measured,
//! so a run in virtual time pauses at the same places each time.

use expr::{Datum, Expr, SqlError};
use timer::Instant;

use super::Exec;
use crate::{session::timed_out, turns};

/// Steps between two pauses: some 200 microseconds of work in a release build. A step is about the
/// evaluation of one node of an expression, or the copy of a row.
const STEPS: usize = 4_000;
/// What expressions note as work is about a nanosecond each; so much of it is a step.
const WORK_OF_A_STEP: usize = 50;

/// Steps since the last pause.
#[derive(Debug, Default)]
pub(crate) struct Pace(usize);

impl Pace {
    /// Counts steps; whether it is time for a pause.
    pub fn due(&mut self, steps: usize) -> bool {
        self.0 += steps;
        self.0 >= STEPS
    }
}

/// Steps that evaluating these takes, for one row.
pub(crate) fn steps(exprs: &[Expr]) -> usize {
    2 + exprs.iter().map(Expr::size).sum::<usize>()
}

/// Steps that comparing a row with others, or hashing it, takes beyond what is counted for every
/// row: none, unless its values are long.
pub(crate) fn weight(row: &[Datum]) -> usize {
    row.iter().map(Datum::work).sum::<usize>() / WORK_OF_A_STEP
}

impl Exec<'_> {
    /// Lets others run. Whoever waits for the statement's end is asked whether it shall go on.
    pub async fn pause(&mut self) {
        self.pace.0 = 0;
        turns::give_way().await;
    }

    /// A statement whose time ran out while it computed asks no range any more: that none answers in
    /// no time says nothing of the range.
    ///
    /// # Errors
    /// `57014`
    pub fn in_time(&self) -> Result<(), SqlError> {
        if Instant::now() < self.env.deadline { Ok(()) } else { Err(timed_out()) }
    }

    /// Counts steps, and what expressions worked since; whether it is time for a pause.
    pub fn is_due(&mut self, steps: usize) -> bool {
        let work = self.env.context.take_work() / WORK_OF_A_STEP;
        self.pace.due(steps.saturating_add(work))
    }

    /// Counts steps, and pauses where it is time.
    pub async fn tick(&mut self, steps: usize) {
        if self.is_due(steps) {
            self.pause().await;
        }
    }

    /// As [`Exec::tick`], before a row whose expressions are evaluated one by one.
    pub async fn next_row(&mut self, steps: usize) {
        self.env.context.begin_row();
        self.tick(steps).await;
    }
}
