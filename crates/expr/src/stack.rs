//! Room on the stack for trees: how deep they may be, and who sees to it that walking them fits.
//!
//! A statement is a tree, and so is what is made of it: syntax, bound expressions, plans. Almost
//! everything that is done with a tree recurses, also what nobody wrote (`Clone`, `Drop`, `Eq`,
//! `Debug`), and a stack that overflows ends the process. Three things together keep that from
//! happening, whatever the thread's stack and however the code was compiled:
//!
//! 1. *Depth is limited where trees are made*: tokens before they are parsed ([`MAX_LEVELS`]),
//!    nesting where names are bound ([`MAX_NESTING`]), expressions and plans as they are finished.
//!    Beyond: `54001` ([`too_complex`]).
//! 2. *A tree knows its depth, and who walks it makes room for that* ([`room`]): derived
//!    code needs no check of its own then.
//! 3. *Recursion of ours looks at the stack at each level* ([`guard`]): frames of the binder and of
//!    the executor are large and of many kinds, so no figure per level would be sure.
//!
//! A stack that does not suffice is left for a fresh one, which is given back at the end: deep
//! statements pay for that, all others for a comparison.
//!
//! HAZARD: [`BYTES_PER_LEVEL`] is measured, not proved: `stack/tests.rs` drops, clones, compares and
//! prints trees of the greatest depth in rooms of that size, in every build it is run in.

use std::cell::Cell;

use crate::error::{Result, SqlError, SqlState};

#[cfg(test)]
mod tests;

/// How deep a statement's brackets, operators without a flat form, CASEs, subqueries and the like
/// may nest. Chains of AND, of OR and of set operations count once.
pub const MAX_NESTING: usize = 500;
/// How many levels the syntax tree of one statement may have: every operator and keyword of a chain
/// may be one.
pub const MAX_LEVELS: usize = 50_000;
/// How deep an expression may be that replicas evaluate, and that a frame from a peer may hold.
pub const MAX_PUSHED: usize = 64;

/// Stack that derived code needs per level of a tree, at most, without optimization.
const BYTES_PER_LEVEL: usize = 2_048;
/// The same of a level of a syntax tree, which is made of more types.
const SYNTAX_LEVEL: usize = 4;
/// Stack that is left free where a recursion looks: more than any one level of it takes.
const RED_ZONE: usize = 192 << 10;
/// The size of a fresh stack for a recursion.
const SEGMENT: usize = 4 << 20;

/// Runs one level of a recursion, on a fresh stack if this one is nearly used up.
pub fn guard<R>(level: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RED_ZONE, SEGMENT, level)
}

/// Runs something that walks trees of so many levels.
pub fn room<R>(levels: usize, walk: impl FnOnce() -> R) -> R {
    let needed = RED_ZONE + levels.saturating_mul(BYTES_PER_LEVEL);
    stacker::maybe_grow(needed, needed + SEGMENT, walk)
}

/// How many levels of [`room`] so many levels of a syntax tree take.
#[must_use]
pub const fn syntax(levels: usize) -> usize {
    levels.saturating_mul(SYNTAX_LEVEL)
}

/// `54001`.
#[must_use]
pub fn too_complex() -> SqlError {
    SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "statement too complex").with_hint(format!(
        "Expressions, brackets and subqueries nest at most {MAX_NESTING} deep; chains of operators \
         have at most {MAX_LEVELS}. Long lists of values are better given as an array or as rows."
    ))
}

thread_local! {
    /// Levels of what this thread decodes at the moment.
    static DECODING: Cell<usize> = const { Cell::new(0) };
}

/// A level of a tree that is being decoded from foreign bytes; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Level(());

impl Level {
    /// One level deeper.
    ///
    /// # Errors
    /// It would be deeper than any peer of ours sends.
    pub fn enter() -> Result<Level> {
        DECODING.with(|level| {
            // What is sent counts expressions alone; values within them add a level or two.
            if level.get() > MAX_PUSHED + 4 {
                return Err(SqlError::corrupted("a pushed-down program: too deep"));
            }
            level.set(level.get() + 1);
            Ok(Level(()))
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DECODING.with(|level| level.set(level.get() - 1));
    }
}
