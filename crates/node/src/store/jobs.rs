//! Long reads: given to other threads, and their answers passed on.

use std::sync::{Arc, atomic::AtomicBool};

use keys::RangeId;
use kv::KvError;
use range::{Job, RequestToken};
use storage::EngineError;

use super::{Store, StoreInput};
use crate::readers::{Answer, MAX_JOBS, Task};

impl Store {
    /// Gives the rest of a read to other threads.
    pub(super) fn begin_job(&mut self, range: RangeId, job: Job) {
        let token = job.token;
        let (shards, clock) = (self.shards.clone(), Arc::clone(self.parts.clock.source()));
        let gone = Arc::new(AtomicBool::new(false));
        let done = Box::new(move |answer: Answer| {
            if let Some(shards) = shards.upgrade() {
                // Without room for it, whoever asked hears nothing until its deadline.
                let input = StoreInput::Scanned(token, Box::new(answer));
                drop(shards.push(clock.mono(), range, input));
            }
        });
        self.jobs.insert(token, Arc::clone(&gone));
        let refused = self.parts.readers.take(Task { job, gone, done }).is_err();
        if refused && let Some(caller) = self.end_job(token) {
            let cause = format!("{MAX_JOBS} long reads are under way on {}", self.parts.node);
            self.reply(caller, Err(KvError::Overloaded(cause)));
        }
    }

    /// A long read is done.
    pub(super) fn scanned(
        &mut self,
        token: RequestToken,
        answer: Box<Answer>,
    ) -> Result<(), EngineError> {
        let result = (*answer)?;
        if let Some(caller) = self.end_job(token) {
            self.timelines.answered(token, &result);
            self.reply(caller, result);
        }
        Ok(())
    }

    fn end_job(&mut self, token: RequestToken) -> Option<super::Caller> {
        self.jobs.remove(&token);
        self.callers.end(token)
    }
}
