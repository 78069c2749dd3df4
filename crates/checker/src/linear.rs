//! Linearizability of single registers whose values may repeat.
//!
//! A history of one register is linearizable if every call can be given a moment between its
//! beginning and its end, so that the calls, in the order of their moments, return what they did.
//! The search goes through the history event by event (after Wing and Gong, Lowe, and Knossos),
//! with all *states of the world* that are possible so far:
//!
//! ```text
//!   state of the world = the register's value + which of the open calls have had their moment
//!
//!   a call begins     it is open
//!   a call ends       worlds in which it had its moment go on; in the others it gets it now,
//!                     after any number of other open calls; where it cannot they are given up
//! ```
//!
//! No world left: no order explains the call that just ended. What keeps the worlds few:
//!
//! - a moment is only given when a call ends that needs one;
//! - an open read that agrees with the register has its moment at once: that changes nothing and
//!   can only help;
//! - of open calls of unknown outcome that do the same, the oldest goes first;
//! - worlds are kept once, however they came about, and of two with the same value and the same
//!   known calls only the one that needed fewer unknown ones: it can do whatever the other can.
//!
//! The problem is NP-complete; beyond [`MAX_WORLDS`] the judgement is "undecided", never a guess.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    Kind, Nanos, Order, Outcome,
    index::{Index, KeyId, Step, TxnId, VersionId},
    order::in_present,
    report::{Found, Report},
};

/// So many worlds are looked at per register.
const MAX_WORLDS: usize = if cfg!(test) { 20_000 } else { 3_000_000 };

/// So many of the calls that were open are shown in a witness.
const SHOWN_CALLS: usize = 8;

/// A register's value. `None` is nil.
type State = Option<VersionId>;

/// A call, or a transaction's part on one register.
#[derive(Debug)]
struct Call {
    txn: TxnId,
    steps: Vec<Step>,
    begin: Nanos,
    /// `None` if nobody knows whether it happened.
    end: Option<Nanos>,
}

/// A state of the world: the value, and the open calls that had their moment, sorted.
type World = (State, Vec<usize>);

/// Worlds without those that others make superfluous: by value and known calls, the sets of unknown
/// calls, none containing another.
#[derive(Debug, Default)]
struct Worlds(FxHashMap<(State, Vec<usize>), Vec<Vec<usize>>>);

impl Worlds {
    /// Takes a world in, unless one that needed fewer unknown calls is there. Worlds with fewer
    /// are to come first.
    fn enter(&mut self, search: &Search<'_, '_>, (state, done): (State, &[usize])) -> bool {
        let unknown = search.unknown(done);
        let known = done.iter().copied().filter(|call| search.calls[*call].end.is_some());
        let there = self.0.entry((state, known.collect())).or_default();
        let is_subset = |fewer: &Vec<usize>| fewer.iter().all(|call| unknown.contains(call));
        if there.iter().any(is_subset) {
            return false;
        }
        there.push(unknown);
        true
    }

    fn all(self) -> FxHashSet<World> {
        let mut all = FxHashSet::default();
        for ((state, known), sets) in self.0 {
            for unknown in sets {
                let mut done: Vec<usize> = known.iter().copied().chain(unknown).collect();
                done.sort_unstable();
                all.insert((state, done));
            }
        }
        all
    }
}

/// The judgement of one register.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Linearizable,
    /// No world explains this call.
    Not {
        call: usize,
        open: Vec<usize>,
        /// What the register may have been while the call ran.
        possible: BTreeSet<State>,
    },
    Undecided,
}

/// Judges one register.
pub(crate) fn judge<'h>(index: &Index<'h>, report: &mut Report<'h>, key: KeyId) {
    let calls = calls(index, key);
    let name = index.key_name(key);
    match Search::new(index, &calls).run() {
        Answer::Linearizable => {}
        Answer::Undecided => report.undecided(format!(
            "the register {name} was not judged for linearizability: with {} calls it has more than \
             {MAX_WORLDS} possible states",
            calls.len()
        )),
        Answer::Not { call, open, possible } => {
            let value = |state: &State| match state {
                None => "nil".to_owned(),
                Some(version) => index.version(*version).value.to_string(),
            };
            let possible: Vec<String> = possible.iter().map(value).collect();
            report.add(Kind::Nonlinearizable, Order::Data, || Found {
                ops: [call]
                    .into_iter()
                    .chain(open.into_iter().take(SHOWN_CALLS))
                    .map(|call| index.txn(calls[call].txn).op)
                    .collect(),
                keys: vec![name],
                explanation: format!(
                    "No order of the calls explains T1: when it ended, {name} can only have been {} \
                     since it began, by all that ended before and whatever ran beside it.",
                    possible.join(" or ")
                ),
                ..Found::default()
            });
        }
    }
}

/// What was done to a register, except what surely did not happen. The moment of a read of the past may
/// lie anywhere before its end.
fn calls(index: &Index<'_>, key: KeyId) -> Vec<Call> {
    let mut calls = Vec::new();
    for (at, txn) in index.txns.iter().enumerate() {
        let id = TxnId(at as u32);
        let op = index.op(id);
        let steps = txn.steps.iter().filter(|step| step.key() == key);
        let steps: Vec<Step> = steps.cloned().collect();
        let writes = steps.iter().any(|step| matches!(step, Step::Write(..)));
        let matters = match op.outcome {
            Outcome::Ok => !steps.is_empty(),
            Outcome::Unknown => writes,
            Outcome::Fail => false,
        };
        if matters {
            let end = op.completed.filter(|_| op.outcome == Outcome::Ok);
            let begin = if in_present(index, id) { op.invoked } else { Nanos(0) };
            calls.push(Call { txn: id, steps, begin, end });
        }
    }
    calls
}

struct Search<'c, 'h> {
    index: &'c Index<'h>,
    calls: &'c [Call],
    /// Calls that began and have not ended.
    open: Vec<usize>,
    worlds: FxHashSet<World>,
    /// Worlds looked at so far.
    work: usize,
}

impl<'c, 'h> Search<'c, 'h> {
    fn new(index: &'c Index<'h>, calls: &'c [Call]) -> Self {
        let worlds = [(None, Vec::new())].into_iter().collect();
        Self { index, calls, open: Vec::new(), worlds, work: 0 }
    }

    fn run(mut self) -> Answer {
        // Beginnings come first: calls that touch in a moment are concurrent.
        let mut events: Vec<(Nanos, bool, usize)> = Vec::new();
        for (at, call) in self.calls.iter().enumerate() {
            events.push((call.begin, false, at));
            events.extend(call.end.map(|end| (end, true, at)));
        }
        events.sort_unstable();
        for (_, is_end, call) in events {
            if !is_end {
                self.open.push(call);
                continue;
            }
            let mut possible = BTreeSet::new();
            let next = self.end(call, &mut possible);
            self.open.retain(|open| *open != call);
            match next {
                None => return Answer::Undecided,
                Some(worlds) if worlds.is_empty() => {
                    return Answer::Not { call, open: self.open, possible };
                }
                Some(worlds) => self.worlds = worlds,
            }
        }
        Answer::Linearizable
    }

    /// The worlds in which a call has had its moment; `None` if they are too many.
    fn end(&mut self, call: usize, possible: &mut BTreeSet<State>) -> Option<FxHashSet<World>> {
        let mut next = Worlds::default();
        let mut seen = Worlds::default();
        // By how many unknown calls they needed: who needs fewest comes first.
        let mut to_visit: BTreeMap<usize, Vec<World>> = BTreeMap::new();
        for world in std::mem::take(&mut self.worlds) {
            let world = self.with_reads(world);
            to_visit.entry(self.unknown(&world.1).len()).or_default().push(world);
        }
        while let Some(mut fewest) = to_visit.first_entry() {
            let Some((state, done)) = fewest.get_mut().pop() else {
                fewest.remove();
                continue;
            };
            if !seen.enter(self, (state, &done)) {
                continue;
            }
            self.work += 1;
            if self.work > MAX_WORLDS {
                return None;
            }
            possible.insert(state);
            if let Ok(at) = done.binary_search(&call) {
                let mut done = done;
                done.remove(at);
                next.enter(self, (state, &done));
                continue;
            }
            for open in &self.open {
                if done.contains(open) || self.waits_for_a_twin(*open, &done) {
                    continue;
                }
                if let Some(after) = self.apply(*open, state) {
                    let mut done = done.clone();
                    let at = done.binary_search(open).expect_err("it had no moment yet");
                    done.insert(at, *open);
                    let world = self.with_reads((after, done));
                    to_visit.entry(self.unknown(&world.1).len()).or_default().push(world);
                }
            }
        }
        Some(next.all())
    }

    /// A world with all reads done that agree with it.
    fn with_reads(&self, (state, mut done): World) -> World {
        for open in &self.open {
            let is_read = self.calls[*open].steps.iter().all(|s| matches!(s, Step::Read(..)));
            if let Err(at) = done.binary_search(open)
                && is_read
                && self.apply(*open, state).is_some()
            {
                done.insert(at, *open);
            }
        }
        (state, done)
    }

    /// Of some calls those of unknown outcome.
    fn unknown(&self, calls: &[usize]) -> Vec<usize> {
        calls.iter().copied().filter(|call| self.calls[*call].end.is_none()).collect()
    }

    /// Whether an older call of unknown outcome does the same and has had no moment yet.
    fn waits_for_a_twin(&self, open: usize, done: &[usize]) -> bool {
        let call = &self.calls[open];
        let older = self.open.iter().take_while(|older| **older != open);
        call.end.is_none()
            && older.into_iter().any(|older| {
                let twin = &self.calls[*older];
                twin.end.is_none() && twin.steps == call.steps && !done.contains(older)
            })
    }

    /// The value after a call, or `None` if it cannot have its moment now.
    fn apply(&self, call: usize, mut state: State) -> Option<State> {
        for step in &self.calls[call].steps {
            match step {
                Step::Write(_, version) => state = self.state(*version),
                Step::Read(_, version) if self.state(*version) == state => {}
                Step::Read(..) | Step::ReadAll(..) => return None,
            }
        }
        Some(state)
    }

    fn state(&self, version: VersionId) -> State {
        Some(version).filter(|version| !self.index.version(*version).value.is_nil())
    }
}

#[cfg(test)]
mod tests;
