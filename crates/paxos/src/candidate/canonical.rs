//! The canonical form of a candidate, for the model checker.

use clock::Mono;

use super::{Candidate, OwnPromise};

impl Candidate {
    /// See `Group::canonical`.
    pub(crate) fn canonical(&mut self, rebased: u64) {
        if let OwnPromise::Writing(token) = &mut self.own {
            token.0 -= rebased;
        }
        for answer in self.answers.values_mut() {
            answer.ask_at = Mono(u64::MAX);
        }
    }
}
