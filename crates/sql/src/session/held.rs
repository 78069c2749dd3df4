//! Memory that sessions keep between statements: prepared statements, bound parameters, rows of
//! portals that are read in parts, settings and savepoints.
//!
//! A count bounds none of these, since each may be as large as a message or a result. So whoever
//! keeps one holds its bytes: of what its session may keep, and of what all sessions of the node may.
//! They are given back when it is dropped, wherever that is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use expr::{SqlError, SqlState};

use super::Session;

/// How much is kept, and may be.
#[derive(Debug)]
pub(crate) struct Account {
    /// Never more than `limit`.
    held: AtomicUsize,
    /// In bytes.
    limit: usize,
}

impl Account {
    /// One of which nothing is held.
    pub fn new(limit: usize) -> Account {
        Account { held: AtomicUsize::new(0), limit }
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that something kept takes; given back when dropped.
#[derive(Debug)]
pub struct Held {
    session: Arc<Account>,
    node: Arc<Account>,
    bytes: usize,
}

impl Held {
    pub(crate) fn take(
        session: &Arc<Account>,
        node: &Arc<Account>,
        bytes: usize,
    ) -> Result<Held, SqlError> {
        if !session.take(bytes) {
            return Err(full("a session", session.limit));
        }
        if !node.take(bytes) {
            session.give_back(bytes);
            return Err(full("all sessions of a node", node.limit));
        }
        Ok(Held { session: session.clone(), node: node.clone(), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session.give_back(self.bytes);
        self.node.give_back(self.bytes);
    }
}

fn full(who: &str, limit: usize) -> SqlError {
    SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory for what a session keeps")
        .with_detail(format!(
            "Prepared statements, portals and their rows, settings and savepoints of {who} take more \
             than {limit} bytes."
        ))
        .with_hint(
            "Close portals and prepared statements, release savepoints, reset settings that are not \
             needed any more.",
        )
}

impl Session {
    /// Takes memory for something that is kept behind this statement.
    ///
    /// # Errors
    /// `53200` if this session, or all of the node, would keep too much.
    pub fn hold(&self, bytes: usize) -> Result<Held, SqlError> {
        Held::take(&self.kept, &self.database.0.kept, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back_to_session_and_node() {
        let node = Arc::new(Account::new(150));
        let (one, other) = (Arc::new(Account::new(100)), Arc::new(Account::new(100)));
        let first = Held::take(&one, &node, 100).expect("all a session may");
        let beyond = Held::take(&one, &node, 1).expect_err("no more");
        assert_eq!(beyond.sqlstate, SqlState::OUT_OF_MEMORY);
        assert!(Held::take(&other, &node, 51).is_err(), "more than the node has");
        let second = Held::take(&other, &node, 50).expect("what was refused took nothing");
        drop(first);
        assert!(Held::take(&one, &node, usize::MAX).is_err(), "no number is too large");
        drop((Held::take(&one, &node, 100).expect("given back"), second));
        assert_eq!(node.held.load(Ordering::Relaxed), 0);
    }
}
