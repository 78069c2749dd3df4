//! The judge: exact, because the simulation knows true time and every version.
//!
//! ```text
//!   versions on disk         tell which attempts committed, and at which s     (outcome once, X8)
//!   every read               newest version <= snapshot, own writes on top     (no dirty read)
//!   of serializable commits  the same reads hold just below s                  (serializable)
//!   of snapshot commits      nobody wrote their keys in (snapshot, s)          (no lost update)
//!   real time                acknowledged before begun => smaller timestamp    (strict)
//! ```
//!
//! Together these say: the order of commit timestamps is a serial order that explains every read and
//! respects real time. A read-only transaction has its place right behind the newest version it saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use clock::Timestamp;
use keys::Key;

use crate::history::{
    Attempt, EPOCH_NANOS, History, Kind, Outcome, ReadRecord, TrueTime, Versions,
};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Acknowledged writes are not there, or not all of them, or at other timestamps.
    Lost(String),
    /// An aborted transaction left versions.
    Undead(String),
    /// A version that nobody wrote.
    Unexplained(String),
    /// One transaction committed at several timestamps, or in part.
    Torn(String),
    /// A read that is not the newest version at its snapshot.
    WrongRead(String),
    /// A serializable commit whose reads do not hold at its commit timestamp.
    NotSerializable(String),
    /// A snapshot commit over somebody else's write.
    LostUpdate(String),
    /// Real time and timestamps disagree.
    RealTime(String),
    /// Two transactions wrote one key at one timestamp.
    Tie(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, what) = match self {
            Violation::Lost(what) => ("acknowledged write lost", what),
            Violation::Undead(what) => ("aborted transaction took effect", what),
            Violation::Unexplained(what) => ("unexplained version", what),
            Violation::Torn(what) => ("torn transaction", what),
            Violation::WrongRead(what) => ("wrong read", what),
            Violation::NotSerializable(what) => ("not serializable", what),
            Violation::LostUpdate(what) => ("lost update", what),
            Violation::RealTime(what) => ("real-time order broken", what),
            Violation::Tie(what) => ("two versions at one timestamp", what),
        };
        write!(f, "{name}: {what}")
    }
}

/// What the history says once judged.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Every promise found broken.
    pub violations: Vec<Violation>,
    /// Attempts that committed, those included whose clients do not know.
    pub committed: usize,
    /// Attempts whose clients do not know, and that committed.
    pub unknown_committed: usize,
    /// Scans checked.
    pub reads: usize,
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut judge = Judge { history, commits: BTreeMap::new(), verdict: Verdict::default() };
    judge.outcomes();
    judge.reads();
    judge.real_time();
    judge.verdict
}

struct Judge<'a> {
    history: &'a History,
    /// Commit timestamps of the attempts that took effect, by id.
    commits: BTreeMap<u64, Timestamp>,
    verdict: Verdict,
}

/// Who wrote a value: values begin with the id of their attempt.
pub fn author(value: &Bytes) -> Option<u64> {
    std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok()
}

impl Judge<'_> {
    fn blame(&mut self, violation: Violation) {
        self.verdict.violations.push(violation);
    }

    /// Finds out who committed, from the versions, and compares with what the clients heard.
    fn outcomes(&mut self) {
        let attempts: BTreeMap<u64, &Attempt> =
            self.history.attempts.iter().map(|a| (a.id, a)).collect();
        let mut found: BTreeMap<u64, BTreeSet<Timestamp>> = BTreeMap::new();
        let mut tombstones: BTreeSet<(Key, Timestamp)> = BTreeSet::new();
        for (key, versions) in &self.history.versions {
            for pair in versions.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
                self.blame(Violation::Tie(format!("{key} at {}", time(pair[1].0))));
            }
            for (at, value) in versions {
                let Some(value) = value else {
                    tombstones.insert((key.clone(), *at));
                    continue;
                };
                let wrote = author(value).and_then(|id| attempts.get(&id));
                match wrote {
                    Some(a) if a.writes.get(key) == Some(&Some(value.clone())) => {
                        found.entry(a.id).or_default().insert(*at);
                    }
                    Some(_) | None => {
                        self.blame(Violation::Unexplained(format!("{key} = {value:?}")))
                    }
                }
            }
        }
        for attempt in attempts.values() {
            let times = found.remove(&attempt.id).unwrap_or_default();
            self.outcome_of(attempt, &times, &mut tombstones);
        }
        for (key, at) in tombstones {
            self.blame(Violation::Unexplained(format!("{key} deleted at {}", time(at))));
        }
    }

    fn outcome_of(
        &mut self,
        attempt: &Attempt,
        times: &BTreeSet<Timestamp>,
        tombstones: &mut BTreeSet<(Key, Timestamp)>,
    ) {
        if attempt.writes.is_empty() {
            return;
        }
        if times.len() > 1 {
            self.blame(Violation::Torn(format!("{attempt} at {times:?}")));
        }
        match (attempt.outcome, times.first()) {
            (Outcome::Aborted | Outcome::Unknown, None) => return,
            (Outcome::Aborted, Some(at)) => {
                self.blame(Violation::Undead(format!("{attempt} at {}", time(*at))));
            }
            (Outcome::Unknown, Some(_)) => self.verdict.unknown_committed += 1,
            (Outcome::Committed(at), found) if found != Some(&at) => {
                let found = found.map_or("nowhere".to_owned(), |at| time(*at));
                self.blame(Violation::Lost(format!("{attempt}, but found {found}")));
                return;
            }
            (Outcome::Committed(_), _) => {}
        }
        let at = *times.first().expect("matched above");
        for (key, value) in &attempt.writes {
            let versions = self.history.versions.get(key);
            let there = versions.is_some_and(|v| v.contains(&(at, value.clone())));
            tombstones.remove(&(key.clone(), at));
            if !there {
                self.blame(Violation::Torn(format!("{attempt}: {key} is missing")));
            }
        }
        self.verdict.committed += 1;
        self.commits.insert(attempt.id, at);
    }

    fn reads(&mut self) {
        for attempt in &self.history.attempts {
            let commit = self.commits.get(&attempt.id).copied();
            for read in &attempt.reads {
                self.verdict.reads += 1;
                self.compare(attempt, read, read.at, Violation::WrongRead);
                if let (Kind::Serializable, Some(at)) = (attempt.kind, commit) {
                    self.compare(attempt, read, at.prev(), Violation::NotSerializable);
                }
            }
            if let (Kind::Snapshot | Kind::ReadCommitted, Some(at)) = (attempt.kind, commit) {
                self.first_committer_wins(attempt, at);
            }
        }
    }

    /// Compares a read with the state at a timestamp.
    fn compare(
        &mut self,
        attempt: &Attempt,
        read: &ReadRecord,
        at: Timestamp,
        violation: fn(String) -> Violation,
    ) {
        let truth = state(&self.history.versions, read, at);
        if truth != read.rows {
            let what = format!(
                "{attempt} read {} of {}: {:?}, but at {} there was {truth:?}",
                if read.reverse { "backwards" } else { "rows" },
                read.span,
                read.rows,
                time(at),
            );
            self.blame(violation(what));
        }
    }

    fn first_committer_wins(&mut self, attempt: &Attempt, at: Timestamp) {
        for (key, since) in &attempt.since {
            let versions = self.history.versions.get(key).into_iter().flatten();
            for (other, value) in versions.filter(|(ts, _)| since < ts && *ts < at) {
                let other = time(*other);
                let what = format!("{attempt} at {}: {key} = {value:?} at {other}", time(at));
                self.blame(Violation::LostUpdate(what));
            }
        }
    }

    /// Of every two transactions of which one was acknowledged before the other began, the first has
    /// the smaller timestamp. One sweep in order of time.
    fn real_time(&mut self) {
        let mut begins: Vec<&Attempt> = self.history.attempts.iter().collect();
        begins.retain(|attempt| attempt.kind != Kind::Stale);
        let mut ends = begins.clone();
        ends.retain(|attempt| matches!(attempt.outcome, Outcome::Committed(_)));
        begins.sort_by_key(|attempt| (attempt.begin, attempt.id));
        ends.sort_by_key(|attempt| (attempt.end, attempt.id));
        let mut ends = ends.into_iter().peekable();
        let mut newest: Option<(Timestamp, &Attempt)> = None;
        for attempt in begins {
            while let Some(ended) = ends.next_if(|ended| ended.end < attempt.begin) {
                let place = self.lower_place(ended);
                if newest.is_none_or(|(other, _)| place > other) {
                    newest = Some((place, ended));
                }
            }
            let Some((before, ended)) = newest else { continue };
            let looked = attempt.reads.iter().map(|read| read.at).min();
            let late = looked.filter(|at| before > *at);
            let wrote = self.commits.get(&attempt.id).copied().filter(|at| before >= *at);
            if let Some(place) = late.or(wrote) {
                let what = format!(
                    "{ended} has its place at {}; {attempt} began after its end and has its place \
                     at {}",
                    time(before),
                    time(place)
                );
                self.blame(Violation::RealTime(what));
            }
        }
    }

    /// The least timestamp at which the attempt can have its place in the serial order: where it
    /// committed, or the newest version it saw.
    fn lower_place(&self, attempt: &Attempt) -> Timestamp {
        if let Some(at) = self.commits.get(&attempt.id) {
            return *at;
        }
        let rows = attempt.reads.iter().flat_map(|read| &read.rows);
        let authors = rows.filter_map(|(_, value)| author(value));
        let seen = authors.filter_map(|id| self.commits.get(&id).copied());
        seen.max().unwrap_or_default()
    }
}

/// What a scan should have found at a timestamp.
fn state(versions: &Versions, read: &ReadRecord, at: Timestamp) -> Vec<(Key, Bytes)> {
    let mut rows: BTreeMap<Key, Bytes> = BTreeMap::new();
    for (key, versions) in versions.range(read.span.start.clone()..read.span.end.clone()) {
        let newest = versions.iter().rev().find(|(ts, _)| *ts <= at);
        if let Some((_, Some(value))) = newest {
            rows.insert(key.clone(), value.clone());
        }
    }
    for (key, value) in read.own.iter().filter(|(key, _)| read.span.contains(key)) {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
    let mut rows: Vec<(Key, Bytes)> = rows.into_iter().collect();
    if read.reverse {
        rows.reverse();
    }
    rows.truncate(read.limit.unwrap_or(usize::MAX));
    rows
}

/// A timestamp as milliseconds of the simulation.
pub fn time(at: Timestamp) -> String {
    let nanos = at.wall.saturating_sub(EPOCH_NANOS);
    format!("{:.6}ms.{}", nanos as f64 / 1e6, at.logical)
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |at: TrueTime| at.0 as f64 / 1e6;
        write!(f, "{} #{} {:?} ", self.who, self.id, self.kind)?;
        write!(f, "[{:.3}ms - {:.3}ms]", ms(self.begin), ms(self.end))?;
        if let Some(snapshot) = self.snapshot {
            write!(f, " snapshot {}", time(snapshot))?;
        }
        match self.outcome {
            Outcome::Committed(at) => write!(f, " committed {}", time(at)),
            Outcome::Aborted => write!(f, " aborted"),
            Outcome::Unknown => write!(f, " unknown"),
        }
    }
}

#[cfg(test)]
mod tests;
