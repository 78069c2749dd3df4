//! What may be turned while the store runs.

use std::sync::Arc;

use clock::Now;
use keys::RangeId;
use range::Input;
use storage::EngineError;

use super::Store;

impl Store {
    pub(super) fn set_commit_wait(
        &mut self,
        now: Now,
        commit_wait: range::CommitWait,
    ) -> Result<(), EngineError> {
        Arc::make_mut(&mut self.parts.config).commit_wait = commit_wait;
        let ranges: Vec<RangeId> = self.replicas.keys().copied().collect();
        for range in ranges {
            let replica = self.replicas.get_mut(&range).expect("listed just now");
            replica.set_commit_wait(commit_wait);
            // What waits for nothing any more is answered now.
            self.step(now, range, Input::Tick)?;
        }
        self.standing.waiting_mut().for_each(|replica| replica.set_commit_wait(commit_wait));
        let syncing = self.syncing.as_mut().map(|(waiting, _)| waiting);
        for waiting in [&mut self.unsynced].into_iter().chain(syncing) {
            let created = waiting.created.iter_mut().filter_map(|(replica, _)| replica.as_mut());
            let given_away = waiting.given_away.iter_mut().map(|(replica, _)| replica);
            created.chain(given_away).for_each(|replica| replica.set_commit_wait(commit_wait));
        }
        Ok(())
    }
}
