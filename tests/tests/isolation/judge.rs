//! The judge: does an outcome equal that of some serial order that respects real time?
//!
//! Serial outcomes are not computed by a model but by the system itself: the same transactions, run
//! one after the other on the same rows. That takes for granted that statements alone do what they
//! say (other suites see to that) and judges isolation alone. There are few serial orders, so each is
//! run once and remembered.
//!
//! What has to be explained: every result of every transaction that committed, rolled back as it
//! wanted to, or failed for a reason that a serial order would give too (a duplicate key), and the
//! tables in the end. Transactions that lost a conflict are left out: they did nothing.

use std::collections::BTreeMap;

use sim_regions::Cluster;

use crate::{
    run::{self, Fate, Outcome},
    spec::{Level, Spec},
};

/// What a serial order gives: the results of each session, in the order they ran, and the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Serial {
    results: Vec<Vec<String>>,
    last: Vec<String>,
}

/// Knows the serial outcomes of a scenario.
pub struct Judge<'a> {
    cluster: &'a Cluster,
    spec: &'a Spec,
    /// By the order of the sessions that take part.
    known: BTreeMap<Vec<usize>, Serial>,
}

impl<'a> Judge<'a> {
    /// For the tables as they are laid out now.
    pub fn new(cluster: &'a Cluster, spec: &'a Spec) -> Judge<'a> {
        Judge { cluster, spec, known: BTreeMap::new() }
    }

    /// A serial order that gives this outcome; `None`: there is none.
    pub async fn explain(&mut self, outcome: &Outcome) -> Option<Vec<usize>> {
        for order in candidates(outcome) {
            if !self.known.contains_key(&order) {
                let serial = self.run(&order).await;
                self.known.insert(order.clone(), serial);
            }
            let serial = &self.known[&order];
            let results = order.iter().map(|session| &outcome.seen[*session].results);
            if serial.last == outcome.last && serial.results.iter().eq(results) {
                return Some(order);
            }
        }
        None
    }

    /// How many serial orders were run.
    pub fn serial_runs(&self) -> usize {
        self.known.len()
    }

    async fn run(&self, order: &[usize]) -> Serial {
        let mut spec = self.spec.clone();
        spec.sessions = order.iter().map(|at| self.spec.sessions[*at].clone()).collect();
        let steps = spec.sessions.iter().enumerate();
        let steps =
            steps.flat_map(|(at, session)| vec![at; session.steps.len()]).collect::<Vec<_>>();
        let outcome = run::interleaved(self.cluster, &spec, Level::Serializable, &steps).await;
        let fates: Vec<&Fate> = outcome.seen.iter().map(|seen| &seen.fate).collect();
        assert!(!fates.contains(&&Fate::Conflict), "{}: a conflict with nobody", spec.name);
        assert!(outcome.blocked.is_empty(), "{}: a wait for nobody", spec.name);
        let results = outcome.seen.into_iter().map(|seen| seen.results).collect();
        Serial { results, last: outcome.last }
    }
}

/// The orders of all transactions but those that lost a conflict, in which whoever ended before
/// another began comes first.
fn candidates(outcome: &Outcome) -> Vec<Vec<usize>> {
    let took_part = |at: &usize| outcome.seen[*at].fate != Fate::Conflict;
    let members: Vec<usize> = (0..outcome.seen.len()).filter(took_part).collect();
    let mut all = Vec::new();
    arrange(outcome, &members, &mut Vec::new(), &mut all);
    all
}

fn arrange(outcome: &Outcome, left: &[usize], so_far: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.is_empty() {
        all.push(so_far.clone());
        return;
    }
    for next in left {
        let began = outcome.seen[*next].began;
        if left.iter().any(|other| outcome.seen[*other].ended < began) {
            continue;
        }
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != next).collect();
        so_far.push(*next);
        arrange(outcome, &rest, so_far, all);
        so_far.pop();
    }
}
