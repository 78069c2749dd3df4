//! Searches in texts of any length, none of which holds a thread for long without asking.
//!
//! A regular expression has so many states, and a search may take a step for each of them at each
//! byte. Mostly it takes one step a byte: its automaton is made on the way, a state when it is first
//! come to, and kept. But there are patterns (`[ab]*a[ab]{300}`) for which every byte of some text
//! leads to a new state. So where text times states is little, or the states of such an automaton may
//! be counted on, the `meta` engine searches, which cannot be stopped; where it is much, the automaton
//! is driven from here, byte by byte, and the statement is asked now and then whether it shall go on
//! ([`EvalContext::work`]).
//!
//! The long way finds where a match ends and, backwards from there, where it begins: so the rest, the
//! groups within it, is a search of the match alone.

use std::{cell::OnceCell, ops::Range};

use regex_automata::{
    Anchored, Input, MatchError, PatternID, Span,
    hybrid::{
        CacheError,
        dfa::{self, DFA},
        regex::{Cache, Regex as Stepped},
    },
    meta::{self, Regex},
    util::{captures::Captures, primitives::NonMaxUsize, syntax},
};

use crate::{
    context::EvalContext,
    error::{Result, SqlError, SqlState},
};

/// The most bytes a compiled expression may take; beyond it is refused.
const SIZE_LIMIT: usize = 1 << 20;
/// Memory of an automaton that is made on the way, in bytes; when it is full, it is made anew.
const AUTOMATON_BYTES: usize = 2 << 20;
/// About the bytes of a state.
const STATE_BYTES: usize = 64;
/// A search of so many bytes times states at most is not stopped: some milliseconds.
const SHORT: usize = 1 << 20;
/// Nor is one in so short a text: mostly it takes a moment, and what the long way needs is not made
/// for each of many rows.
const SHORT_TEXT: usize = 1 << 12;
/// Bytes times states that an engine gets through in the time of a step of work where it has a step
/// for each.
const SEARCHED_PER_WORK: usize = 16;
/// Beyond so many nothing is searched that could not be stopped: a second or so.
const LONGEST: usize = 1 << 27;
/// Bytes between two looks at whether the statement shall go on, if the automaton has few states.
const CHUNK: usize = 1 << 12;
/// The same if it has many.
const LEAST_CHUNK: usize = 1 << 6;

/// A compiled regular expression.
pub(crate) struct Pattern {
    regex: Regex,
    /// About how many states it has.
    states: usize,
    /// What it was compiled from.
    text: String,
    syntax: syntax::Config,
    /// Texts of up to so many bytes are searched at once.
    at_once: usize,
    /// What long texts are searched with, once there is one.
    stepped: OnceCell<Option<Stepped>>,
}

/// Why a search byte by byte has no answer.
enum Stop {
    /// The statement shall end.
    Ends(SqlError),
    /// The automaton cannot tell: letters outside of ASCII where a word's boundary matters.
    CannotTell,
}

impl From<MatchError> for Stop {
    fn from(_: MatchError) -> Stop {
        Stop::CannotTell
    }
}

impl From<CacheError> for Stop {
    fn from(_: CacheError) -> Stop {
        Stop::CannotTell
    }
}

impl Pattern {
    /// Compiles a pattern in the words of this crate.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn compile(
        text: String,
        syntax: syntax::Config,
    ) -> std::result::Result<Pattern, String> {
        let config = meta::Config::new()
            .nfa_size_limit(Some(SIZE_LIMIT))
            .hybrid_cache_capacity(AUTOMATON_BYTES);
        let built = Regex::builder().configure(config).syntax(syntax).build(&text);
        let regex = built.map_err(|error| match (error.size_limit(), error.syntax_error()) {
            (Some(limit), _) => format!("Compiled regex exceeds size limit of {limit} bytes."),
            (None, Some(error)) => error.to_string(),
            (None, None) => error.to_string(),
        })?;
        let states = regex.memory_usage() / STATE_BYTES + 1;
        let at_once = SHORT_TEXT.max(SHORT / states);
        Ok(Pattern { regex, states, text, syntax, at_once, stepped: OnceCell::new() })
    }

    /// About how many states it has.
    pub(super) const fn states(&self) -> usize {
        self.states
    }

    /// Whether it matches anywhere.
    ///
    /// # Errors
    /// The statement shall end, or the search would take too long.
    pub(crate) fn is_match(&self, text: &str, ctx: &EvalContext) -> Result<bool> {
        let Some(stepped) = self.long_way(text.len())? else {
            ctx.work(text.len() + text.len() * self.states / SEARCHED_PER_WORK)?;
            return Ok(self.regex.is_match(text));
        };
        let mut cache = stepped.create_cache();
        let mut steps = Steps::new(self.states, ctx);
        let forward = cache.as_parts_mut().0;
        match end(stepped.forward(), forward, text, 0, Want::Any, &mut steps) {
            Ok(found) => Ok(found.is_some()),
            Err(Stop::Ends(error)) => Err(error),
            Err(Stop::CannotTell) => {
                self.check(text.len())?;
                Ok(self.regex.is_match(text))
            }
        }
    }

    /// Shows each match with its groups, from left to right, for as long as `see` wants more.
    ///
    /// # Errors
    /// Those of `see`; the statement shall end, or the search would take too long.
    pub(crate) fn each_match(
        &self,
        text: &str,
        ctx: &EvalContext,
        mut see: impl FnMut(&Captures) -> Result<bool>,
    ) -> Result<()> {
        let mut found = self.regex.create_captures();
        let mut cache = None;
        let (mut from, mut behind) = (0, None);
        while from <= text.len() {
            self.next_match(text, from, ctx, &mut cache, &mut found)?;
            let Some(Span { start, end }) = found.get_match().map(|found| found.span()) else {
                return Ok(());
            };
            // Nothing is no match right behind another one, nor in the midst of a character.
            if start == end && (Some(end) == behind || !text.is_char_boundary(end)) {
                from = end + 1;
                while from < text.len() && !text.is_char_boundary(from) {
                    from += 1;
                }
                continue;
            }
            if !see(&found)? {
                return Ok(());
            }
            (from, behind) = (end, Some(end));
        }
        Ok(())
    }

    /// The first match from a place on, and its groups.
    fn next_match(
        &self,
        text: &str,
        from: usize,
        ctx: &EvalContext,
        cache: &mut Option<Cache>,
        found: &mut Captures,
    ) -> Result<()> {
        let rest = text.len() - from;
        let Some(stepped) = self.long_way(rest)? else {
            // A match is found long before the end, or none is.
            ctx.work(rest.min(CHUNK) * (1 + self.states / SEARCHED_PER_WORK))?;
            self.regex.search_captures(&Input::new(text).range(from..), found);
            return Ok(());
        };
        let cache = cache.get_or_insert_with(|| stepped.create_cache());
        match bounds(stepped, cache, text, from, &mut Steps::new(self.states, ctx)) {
            Ok(None) => found.set_pattern(None),
            Ok(Some(place)) if self.regex.captures_len() == 1 => {
                found.set_pattern(Some(PatternID::ZERO));
                let slots = [place.start, place.end].map(NonMaxUsize::new);
                found.slots_mut().copy_from_slice(&slots);
            }
            Ok(Some(place)) => {
                self.check(place.len())?;
                let place = Input::new(text).range(place).anchored(Anchored::Yes);
                self.regex.search_captures(&place, found);
            }
            Err(Stop::Ends(error)) => return Err(error),
            Err(Stop::CannotTell) => {
                self.check(rest)?;
                self.regex.search_captures(&Input::new(text).range(from..), found);
            }
        }
        Ok(())
    }

    /// What a text of this length is searched with byte by byte; `None`: it is searched at once.
    fn long_way(&self, length: usize) -> Result<Option<&Stepped>> {
        if length <= self.at_once {
            return Ok(None);
        }
        let stepped = self.stepped.get_or_init(|| {
            let config = dfa::Config::new()
                .cache_capacity(AUTOMATON_BYTES)
                .skip_cache_capacity_check(true)
                .unicode_word_boundary(true);
            Stepped::builder().syntax(self.syntax).dfa(config).build(&self.text).ok()
        });
        if stepped.is_none() {
            self.check(length)?;
        }
        Ok(stepped.as_ref())
    }

    /// Refuses to search so much of a text at once.
    fn check(&self, length: usize) -> Result<()> {
        if length.saturating_mul(self.states) <= LONGEST {
            return Ok(());
        }
        let message = "the text is too long for this regular expression";
        Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
    }
}

/// Counts bytes.
struct Steps<'c> {
    ctx: &'c EvalContext,
    states: usize,
    chunk: usize,
    /// Bytes until the next look.
    left: usize,
    /// How often the automaton was made anew.
    made: usize,
}

impl<'c> Steps<'c> {
    fn new(states: usize, ctx: &'c EvalContext) -> Steps<'c> {
        let chunk = (SHORT / states).clamp(LEAST_CHUNK, CHUNK);
        Steps { ctx, states, chunk, left: 0, made: 0 }
    }

    /// One more byte.
    fn step(&mut self, cache: &dfa::Cache) -> std::result::Result<(), Stop> {
        if self.left == 0 {
            self.left = self.chunk;
            // An automaton that is made anew all the time has a step for each state.
            let made = std::mem::replace(&mut self.made, cache.clear_count());
            let each = if made == self.made { 1 } else { self.states };
            self.ctx.work(self.chunk * each).map_err(Stop::Ends)?;
        }
        self.left -= 1;
        Ok(())
    }
}

/// What a search forwards is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// The end of any match.
    Any,
    /// The end of the leftmost match.
    Leftmost,
}

/// Where the first match from a place on lies.
fn bounds(
    stepped: &Stepped,
    cache: &mut Cache,
    text: &str,
    from: usize,
    steps: &mut Steps<'_>,
) -> std::result::Result<Option<Range<usize>>, Stop> {
    let (forward, backward) = cache.as_parts_mut();
    let Some(end) = end(stepped.forward(), forward, text, from, Want::Leftmost, steps)? else {
        return Ok(None);
    };
    let start = start(stepped.reverse(), backward, text, from..end, steps)?;
    Ok(Some(start..end))
}

/// Where a match from a place on ends. The automaton says so one byte later.
fn end(
    automaton: &DFA,
    cache: &mut dfa::Cache,
    text: &str,
    from: usize,
    want: Want,
    steps: &mut Steps<'_>,
) -> std::result::Result<Option<usize>, Stop> {
    let mut state = automaton.start_state_forward(cache, &Input::new(text).range(from..))?;
    let mut found = None;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        steps.step(cache)?;
        state = automaton.next_state(cache, state, byte)?;
        if state.is_match() {
            found = Some(at);
            if want == Want::Any {
                return Ok(found);
            }
        } else if state.is_dead() {
            return Ok(found);
        } else if state.is_quit() {
            return Err(Stop::CannotTell);
        }
    }
    let last = automaton.next_eoi_state(cache, state)?;
    Ok(if last.is_match() { Some(text.len()) } else { found })
}

/// Where the leftmost match begins that ends where the range does.
fn start(
    automaton: &DFA,
    cache: &mut dfa::Cache,
    text: &str,
    range: Range<usize>,
    steps: &mut Steps<'_>,
) -> std::result::Result<usize, Stop> {
    let input = Input::new(text).range(range.clone()).anchored(Anchored::Yes);
    let mut state = automaton.start_state_reverse(cache, &input)?;
    let mut found = None;
    for at in range.clone().rev() {
        steps.step(cache)?;
        state = automaton.next_state(cache, state, text.as_bytes()[at])?;
        if state.is_match() {
            found = Some(at + 1);
        } else if state.is_dead() {
            return found.ok_or(Stop::CannotTell);
        } else if state.is_quit() {
            return Err(Stop::CannotTell);
        }
    }
    let last = match range.start.checked_sub(1) {
        Some(before) => automaton.next_state(cache, state, text.as_bytes()[before])?,
        None => automaton.next_eoi_state(cache, state)?,
    };
    if last.is_match() {
        found = Some(range.start);
    } else if last.is_quit() {
        return Err(Stop::CannotTell);
    }
    found.ok_or(Stop::CannotTell)
}

#[cfg(test)]
mod tests;
