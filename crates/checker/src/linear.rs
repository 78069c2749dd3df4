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
//! - of open calls that do the same, the one that ends first goes first: if it went later, the two
//!   could change places; one of unknown outcome ends last of all, and of several the oldest goes
//!   first (not so where a process did two things within one moment: they have an order);
//! - an open read that agrees with the register has its moment at once: that changes nothing and
//!   can only help;
//! - worlds are kept once, however they came about, and of two with the same value and the same
//!   known calls only the one that needed fewer unknown ones: it can do whatever the other can.
//!
//! Counters are judged by the same search. Their state is the sum of what was added so far; locks are
//! registers that a compare-and-set takes and gives back.
//!
//! The problem is NP-complete; beyond [`MAX_WORLDS`] the judgement is "undecided", never a guess.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    Kind, Nanos, Order, Outcome, Value,
    index::{Index, KeyId, KeyKind, Step, TxnId, VersionId},
    order::{at_several_things, in_present},
    report::{Found, Report},
};

/// So many worlds are looked at per register.
const MAX_WORLDS: usize = if cfg!(test) { 20_000 } else { 3_000_000 };

/// So many of the calls that were open are shown in a witness.
const SHOWN_CALLS: usize = 8;

/// What a register holds: the number of a version, or [`BEGINNING`]; of a counter the integer.
type State = i64;

/// The state of a register that nobody has written. Versions have numbers from 0.
const BEGINNING: State = -1;

/// A call, or a transaction's part on one register.
#[derive(Debug)]
struct Call {
    /// `None`: a write of somebody who is not in the history.
    txn: Option<TxnId>,
    steps: Vec<Step>,
    begin: Nanos,
    /// `None` if nobody knows whether it happened.
    end: Option<Nanos>,
    /// What its process ended at the very moment in which this began: real time calls them concurrent,
    /// their process knows better.
    after: Vec<usize>,
    /// Whether it is after something, or something is after it.
    is_tied: bool,
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

/// Judges some registers, each by itself.
pub(crate) fn judge<'h>(index: &Index<'h>, report: &mut Report<'h>, keys: &[KeyId]) {
    let mut calls = calls(index, keys);
    for key in keys {
        judge_one(index, report, *key, &calls.remove(key).unwrap_or_default());
    }
}

fn judge_one<'h>(index: &Index<'h>, report: &mut Report<'h>, key: KeyId, calls: &[Call]) {
    let name = index.key_name(key);
    if let Some(odd) = no_integer(index, key, calls) {
        report.undecided(format!(
            "the counter {name} was not judged: it was to hold {odd}, which is no integer"
        ));
        return;
    }
    let search = Search::new(index, calls, key);
    match search.run() {
        Answer::Linearizable => {}
        Answer::Undecided => report.undecided(format!(
            "the register {name} was not judged for linearizability: with {} calls it has more than \
             {MAX_WORLDS} possible states",
            calls.len()
        )),
        Answer::Not { call, open, possible } => {
            let possible: Vec<String> =
                possible.into_iter().map(|state| shown(index, key, state)).collect();
            report.add(Kind::Nonlinearizable, Order::Data, || Found {
                ops: [call]
                    .into_iter()
                    .chain(open.into_iter().take(SHOWN_CALLS))
                    .filter_map(|call| Some(index.txn(calls[call].txn?).op))
                    .collect(),
                keys: vec![name],
                explanation: format!(
                    "No order of the calls explains T1: when it ended, {name} can only have been {} \
                     since it began, by all that ended before and whatever ran beside it.",
                    one_of(possible)
                ),
                ..Found::default()
            });
        }
    }
}

/// Of many states so many are named.
const SHOWN_STATES: usize = 12;

fn one_of(mut states: Vec<String>) -> String {
    let hidden = states.len().saturating_sub(SHOWN_STATES);
    states.truncate(SHOWN_STATES);
    if hidden > 0 {
        states.push(format!("one of {hidden} others"));
    }
    states.join(" or ")
}

/// A state as a person would say it.
fn shown(index: &Index<'_>, key: KeyId, state: State) -> String {
    match index.kind(key) {
        KeyKind::Counter => state.to_string(),
        KeyKind::Register | KeyKind::List | KeyKind::Set => match u32::try_from(state) {
            Ok(version) => index.version(VersionId(version)).value.to_string(),
            Err(_) => index.initial(key).to_string(),
        },
    }
}

/// What a counter was to hold though it is no integer, if there is such a thing. Nil is a counter's
/// zero.
fn no_integer<'h>(index: &Index<'h>, key: KeyId, calls: &[Call]) -> Option<&'h Value> {
    if index.kind(key) != KeyKind::Counter {
        return None;
    }
    let steps = calls.iter().flat_map(|call| &call.steps);
    let values = steps.filter_map(|step| match step {
        Step::Read(_, version) | Step::Write(_, version) => Some(index.version(*version).value),
        Step::Add(..) | Step::ReadAll(..) => None,
    });
    let odd = |value: &&Value| value.as_int().is_none() && !value.is_nil();
    [index.initial(key)].into_iter().chain(values).find(odd)
}

/// What was done to registers, except what surely did not happen. The moment of a read of the past may
/// lie anywhere before its end.
fn calls(index: &Index<'_>, keys: &[KeyId]) -> FxHashMap<KeyId, Vec<Call>> {
    let mut calls: FxHashMap<KeyId, Vec<Call>> =
        keys.iter().map(|key| (*key, Vec::new())).collect();
    for (at, txn) in index.txns.iter().enumerate() {
        let id = TxnId(at as u32);
        let op = index.op(id);
        let Some(of_key) = txn.steps.first().and_then(|step| calls.get_mut(&step.key())) else {
            continue;
        };
        let writes = txn.steps.iter().any(|s| matches!(s, Step::Write(..) | Step::Add(..)));
        let matters = match op.outcome {
            Outcome::Ok => true,
            Outcome::Unknown => writes,
            Outcome::Fail => false,
        };
        if matters {
            let end = op.completed.filter(|_| op.outcome == Outcome::Ok);
            let begin = if in_present(index, id) { op.invoked } else { Nanos(0) };
            let (after, is_tied) = (Vec::new(), false);
            of_key.push(Call {
                txn: Some(id),
                steps: txn.steps.clone(),
                begin,
                end,
                after,
                is_tied,
            });
        }
    }
    if index.history.world == crate::World::Open {
        calls.iter_mut().for_each(|(key, calls)| add_strangers(index, *key, calls));
    }
    let several = at_several_things(index.history);
    calls.values_mut().for_each(|calls| tie(index, calls, &several));
    calls
}

/// In an open world, values that somebody read and nobody wrote were written once each, by somebody
/// unknown, at any time. What counters and locks show is nobody's value.
fn add_strangers(index: &Index<'_>, key: KeyId, calls: &mut Vec<Call>) {
    if index.kind(key) != KeyKind::Register || index.is_lock(key) {
        return;
    }
    let read = calls.iter().flat_map(|call| &call.steps).filter_map(|step| match step {
        Step::Read(_, version) => Some(*version),
        Step::Write(..) | Step::Add(..) | Step::ReadAll(..) => None,
    });
    let strange = |version: &VersionId| {
        let found = index.version(*version);
        found.writer.is_none() && !found.initial
    };
    let strange: BTreeSet<VersionId> = read.filter(strange).collect();
    calls.extend(strange.into_iter().map(|version| Call {
        txn: None,
        steps: vec![Step::Write(key, version)],
        begin: Nanos(0),
        end: None,
        after: Vec::new(),
        is_tied: false,
    }));
}

/// Puts calls in order and finds those that follow each other within a moment. Processes that did
/// several things at a time order nothing.
fn tie(index: &Index<'_>, calls: &mut [Call], several: &BTreeSet<u64>) {
    calls.sort_by_key(|call| (call.begin, call.txn.map(|txn| index.op(txn).index)));
    let mut ended: FxHashMap<(u64, Nanos), Vec<usize>> = FxHashMap::default();
    for at in 0..calls.len() {
        let Some(txn) = calls[at].txn else { continue };
        let process = index.op(txn).process;
        if several.contains(&process) || !in_present(index, txn) {
            continue;
        }
        if let Some(before) = ended.get(&(process, calls[at].begin)) {
            before.iter().for_each(|before| calls[*before].is_tied = true);
            calls[at].after.clone_from(before);
            calls[at].is_tied = true;
        }
        if let Some(end) = calls[at].end {
            ended.entry((process, end)).or_default().push(at);
        }
    }
}

struct Search<'c, 'h> {
    index: &'c Index<'h>,
    calls: &'c [Call],
    /// Whether the state is a sum.
    is_counter: bool,
    /// Calls that began and have not ended.
    open: Vec<usize>,
    worlds: FxHashSet<World>,
    /// Worlds looked at so far.
    work: usize,
}

impl<'c, 'h> Search<'c, 'h> {
    fn new(index: &'c Index<'h>, calls: &'c [Call], key: KeyId) -> Self {
        let is_counter = index.kind(key) == KeyKind::Counter;
        let sum = index.initial(key).as_int().unwrap_or_default();
        let beginning = if is_counter { sum } else { BEGINNING };
        let worlds = [(beginning, Vec::new())].into_iter().collect();
        Self { index, calls, is_counter, open: Vec::new(), worlds, work: 0 }
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
                let waits = self.must_wait(*open, &done) || self.waits_for_a_twin(*open, &done);
                if done.contains(open) || waits {
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
                && !self.must_wait(*open, &done)
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

    /// Whether its process has something to do before.
    fn must_wait(&self, open: usize, done: &[usize]) -> bool {
        let is_pending = |before: &usize| self.open.contains(before) && !done.contains(before);
        self.calls[open].after.iter().any(is_pending)
    }

    /// Whether another open call does the same, ends before this one, and has had no moment yet.
    fn waits_for_a_twin(&self, open: usize, done: &[usize]) -> bool {
        let order = |call: usize| {
            let end = self.calls[call].end;
            (end.is_none(), end, call)
        };
        self.open.iter().any(|other| {
            order(*other) < order(open)
                && !self.calls[*other].is_tied
                && !self.calls[open].is_tied
                && self.calls[*other].steps == self.calls[open].steps
                && !done.contains(other)
        })
    }

    /// The value after a call, or `None` if it cannot have its moment now.
    fn apply(&self, call: usize, mut state: State) -> Option<State> {
        for step in &self.calls[call].steps {
            match step {
                Step::Write(_, version) => state = self.state(*version),
                Step::Add(_, amount) => state = state.checked_add(*amount)?,
                Step::Read(_, version) if self.state(*version) == state => {}
                Step::Read(..) | Step::ReadAll(..) => return None,
            }
        }
        Some(state)
    }

    fn state(&self, version: VersionId) -> State {
        let found = self.index.version(version);
        if self.is_counter {
            // Nil is what nobody has added to.
            return found.value.as_int().unwrap_or_default();
        }
        if found.initial { BEGINNING } else { i64::from(version.0) }
    }
}

#[cfg(test)]
mod tests;
