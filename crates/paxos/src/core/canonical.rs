//! The canonical form of what outlives roles, for the model checker.

use std::hash::{Hash, Hasher};

use super::Core;
use crate::PersistToken;

/// What never changes while a replica lives (who it is, its settings) tells no two states apart.
impl Hash for Core {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.acceptor, &self.log, self.max_round, self.certificate, self.preferred).hash(state);
        (self.issued, self.persisted, &self.closed).hash(state);
    }
}

impl Core {
    /// Counts tokens from the last one known on disk. Answers by how much they fall.
    pub(crate) fn rebase(&mut self) -> u64 {
        let by = self.persisted.0;
        self.issued.0 -= by;
        self.persisted = PersistToken(0);
        by
    }
}
