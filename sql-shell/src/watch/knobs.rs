//! How the knobs stand, and which were turned between two looks.
//!
//! `SHOW CLUSTER SETTINGS` has a row for the cluster while all nodes are alike, else one per region or
//! node; links and nodes have rows only while they are not as they began. So a row may come without
//! having been there, and go.

use std::collections::BTreeMap;

use crate::client::Answer;

/// The scope of a setting that is the same on all nodes.
const EVERYWHERE: &str = "cluster";

/// Values by name and scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs(BTreeMap<String, BTreeMap<String, Knob>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Knob {
    value: String,
    default: String,
}

/// A knob that was turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name: `clock.epsilon`.
    pub name: String,
    /// Where: `cluster`, a region, a node, a link.
    pub scope: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

impl Knobs {
    /// Reads `SHOW CLUSTER SETTINGS`; `None` if it is something else.
    pub fn read(answer: &Answer) -> Option<Knobs> {
        let mut knobs = Knobs::default();
        for row in &answer.rows {
            let [Some(name), Some(scope), Some(value), Some(default), ..] = row.as_slice() else {
                return None;
            };
            let knob = Knob { value: value.clone(), default: default.clone() };
            knobs.0.entry(name.clone()).or_default().insert(scope.clone(), knob);
        }
        Some(knobs)
    }

    /// What was turned since an earlier look.
    pub fn since(&self, earlier: &Knobs) -> Vec<Change> {
        let none = BTreeMap::new();
        let mut changes = Vec::new();
        let mut change = |name: &str, scope: &str, from: &str, to: &str| {
            if from != to {
                let [name, scope, from, to] = [name, scope, from, to].map(str::to_owned);
                changes.push(Change { name, scope, from, to });
            }
        };
        for (name, now) in &self.0 {
            let before = earlier.0.get(name).unwrap_or(&none);
            for (scope, knob) in now {
                let was = before.get(scope).or(before.get(EVERYWHERE)).map(|knob| &*knob.value);
                // Where nodes differed, what comes in place of them was several things.
                let several = || if before.is_empty() { &*knob.default } else { "various" };
                change(name, scope, was.unwrap_or_else(several), &knob.value);
            }
        }
        for (name, before) in &earlier.0 {
            let now = self.0.get(name).unwrap_or(&none);
            // Links and nodes that are as they began again have no row any more.
            let back = before.iter().filter(|(scope, _)| {
                !now.contains_key(*scope) && !now.contains_key(EVERYWHERE) && *scope != EVERYWHERE
            });
            back.for_each(|(scope, knob)| change(name, scope, &knob.value, &knob.default));
        }
        changes
    }
}
