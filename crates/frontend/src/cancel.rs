//! Who may cancel what: session numbers and their secrets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sql::CancelHandle;

/// The sessions of a server that can be cancelled.
#[derive(Clone, Debug, Default)]
pub struct Cancels(Arc<Mutex<BTreeMap<i32, (i32, CancelHandle)>>>);

impl Cancels {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, (i32, CancelHandle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session; it leaves when the registration is dropped.
    pub fn register(&self, pid: i32, secret: i32, handle: CancelHandle) -> Registration {
        self.lock().insert(pid, (secret, handle));
        Registration { cancels: self.clone(), pid }
    }

    /// Cancels what the session runs, if the secret is right. The client is never told.
    pub fn cancel(&self, pid: i32, secret: i32) {
        let handle = match self.lock().get(&pid) {
            Some((expected, handle)) if *expected == secret => handle.clone(),
            Some(_) | None => return,
        };
        handle.cancel();
    }
}

/// A session's place among those that can be cancelled.
#[derive(Debug)]
pub struct Registration {
    cancels: Cancels,
    pid: i32,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cancels.lock().remove(&self.pid);
    }
}
