//! Portals of one connection, and those of its prepared statements that SQL cannot name: the unnamed
//! one, and empty ones. All others are the session's.
//!
//! Each holds its memory of what a session and the node may keep ([`Held`]); their numbers are bounded
//! besides.

use std::collections::{BTreeMap, BTreeSet};

use expr::{Datum, SqlError, SqlState};
use sql::{Held, Prepared, ResultColumn, Row};

use crate::rows::Format;

/// Prepared statements a connection may hold.
pub const MAX_STATEMENTS: usize = 10_000;
/// Portals a connection may hold.
pub const MAX_PORTALS: usize = 1_000;

/// A prepared statement; `None` is the empty query.
pub type Statement = Option<Prepared>;

/// A statement with its parameters, run at the first Execute.
#[derive(Debug)]
pub struct Portal {
    /// What it runs.
    pub statement: Statement,
    /// With what; taken at the first Execute.
    pub parameters: Parameters,
    /// How results are wanted, one per column.
    pub formats: Vec<Format>,
    /// How far it is.
    pub progress: Progress,
    /// Its own memory: its name, and the formats.
    #[expect(dead_code, reason = "held for its drop")]
    pub held: Held,
}

/// Values for a statement.
#[derive(Debug, Default)]
pub struct Parameters {
    /// One for each parameter.
    pub values: Vec<Datum>,
    /// Their memory; `None`: they were taken.
    pub held: Option<Held>,
}

/// How far a portal is.
#[derive(Debug)]
pub enum Progress {
    /// Not run.
    Bound,
    /// Run; these rows, maybe none, are still to be sent.
    Rows(Rows),
    /// Run, and it answers with no rows, or failed.
    Done,
}

/// Rows on their way to a client that takes them in parts.
#[derive(Debug)]
pub struct Rows {
    /// Their columns.
    pub columns: std::sync::Arc<[ResultColumn]>,
    /// What is left.
    pub rest: std::vec::IntoIter<Row>,
    /// The command tag as if all were sent at once.
    pub tag: String,
    /// The memory of those that have to wait for another Execute; `None`: none has to.
    pub held: Option<Held>,
}

impl Rows {
    /// The command tag when these were so many of them.
    pub fn tag_of(&self, sent: usize) -> String {
        match self.tag.rsplit_once(' ') {
            Some((command, count)) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{command} {sent}")
            }
            Some(_) | None => self.tag.clone(),
        }
    }
}

/// A statement, and the memory of its name if it has any; its own it holds itself.
#[derive(Debug)]
struct Kept(Statement, #[expect(dead_code, reason = "held for its drop")] Option<Held>);

/// What one connection has prepared and bound. The empty name is replaced without a word.
#[derive(Debug, Default)]
pub struct Store {
    statements: BTreeMap<String, Kept>,
    portals: BTreeMap<String, Portal>,
}

impl Store {
    /// Keeps a prepared statement.
    pub fn prepare(
        &mut self,
        name: &str,
        statement: Statement,
        held: Option<Held>,
    ) -> Result<(), SqlError> {
        if !name.is_empty() && self.has_statement(name) {
            return Err(duplicate(name));
        }
        limit(self.statements.len(), MAX_STATEMENTS, "prepared statements")?;
        self.statements.insert(name.to_owned(), Kept(statement, held));
        Ok(())
    }

    /// Whether there is one with this name.
    pub fn has_statement(&self, name: &str) -> bool {
        self.statements.contains_key(name)
    }

    /// A prepared statement.
    pub fn statement(&self, name: &str) -> Result<&Statement, SqlError> {
        self.statements.get(name).map(|Kept(statement, _)| statement).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    /// Keeps a portal.
    pub fn bind(&mut self, name: &str, portal: Portal) -> Result<(), SqlError> {
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_CURSOR,
                format!("portal \"{name}\" already exists"),
            ));
        }
        limit(self.portals.len(), MAX_PORTALS, "portals")?;
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// A portal.
    pub fn portal(&mut self, name: &str) -> Result<&mut Portal, SqlError> {
        self.portals.get_mut(name).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_CURSOR_NAME,
                format!("portal \"{name}\" does not exist"),
            )
        })
    }

    /// Forgets a statement; nothing if there is none.
    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// Forgets a portal; nothing if there is none.
    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// Forgets all portals but these.
    pub fn keep_portals(&mut self, kept: &BTreeSet<String>) {
        self.portals.retain(|name, _| kept.contains(name));
    }

    /// The transaction is over, and its portals with it.
    pub fn close_portals(&mut self) {
        self.portals.clear();
    }

    /// Forgets all statements (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn close_statements(&mut self) {
        self.statements.clear();
    }
}

/// `42P05`.
pub fn duplicate(name: &str) -> SqlError {
    SqlError::new(
        SqlState::DUPLICATE_PREPARED_STATEMENT,
        format!("prepared statement \"{name}\" already exists"),
    )
}

fn limit(held: usize, limit: usize, what: &str) -> Result<(), SqlError> {
    if held < limit {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a connection holds at most {limit} {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_but_for_the_empty_one() {
        let mut store = Store::default();
        store.prepare("", None, None).unwrap();
        store.prepare("", None, None).unwrap();
        store.prepare("a", None, None).unwrap();
        assert_eq!(store.prepare("a", None, None).unwrap_err().sqlstate.code(), "42P05");
        assert_eq!(store.statement("b").unwrap_err().sqlstate.code(), "26000");
        store.close_statement("a");
        store.prepare("a", None, None).unwrap();
        assert_eq!(store.portal("p").unwrap_err().sqlstate.code(), "34000");
    }

    #[test]
    fn a_connection_holds_a_bounded_number_of_statements() {
        let mut store = Store::default();
        for number in 0..MAX_STATEMENTS {
            store.prepare(&format!("s{number}"), None, None).unwrap();
        }
        assert_eq!(store.prepare("one more", None, None).unwrap_err().sqlstate.code(), "54000");
    }
}
