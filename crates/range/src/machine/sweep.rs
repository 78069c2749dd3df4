//! Dropping versions that nobody may read any more (S4): every replica by itself, some keys at a
//! time, when its host says that it is its turn.

use keys::{Key, Span};
use storage::{EngineError, mvcc};

use super::{Cx, Machine};

/// What is still to be looked at since the threshold moved last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    /// Where it goes on. Not empty.
    rest: Span,
    /// After that, from the range's start up to here: the threshold moved when it had come so far. It
    /// does not begin anew then, or the end of a large range would never be reached.
    before: Option<Key>,
}

impl Sweep {
    /// The threshold of a range of this span moved, perhaps in the midst of a sweep.
    pub fn begin(span: &Span, under_way: Option<Sweep>) -> Sweep {
        match under_way.map(|sweep| sweep.rest.start).filter(|at| span.contains(at)) {
            Some(at) if at > span.start => {
                Sweep { rest: Span::new(at.clone(), span.end.clone()), before: Some(at) }
            }
            Some(_) | None => Sweep { rest: span.clone(), before: None },
        }
    }

    /// What follows once all but this of `rest` is looked at.
    fn go_on(self, span: &Span, left: Option<Span>) -> Option<Sweep> {
        match (left, self.before) {
            (Some(rest), before) => Some(Sweep { rest, before }),
            (None, Some(end)) => {
                Some(Sweep { rest: Span::new(span.start.clone(), end), before: None })
            }
            (None, None) => None,
        }
    }
}

impl Machine {
    /// Whether there may be versions to drop.
    #[must_use]
    pub fn wants_sweep(&self) -> bool {
        self.sweep.is_some()
    }

    /// Drops some versions that nobody may read any more. Reads at or above the threshold see no
    /// difference.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sweep(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        let Some(sweep) = self.sweep.take() else { return Ok(()) };
        let keys = self.config.gc_keys_per_step;
        let limits = mvcc::GcLimits { removals: keys, keys };
        let threshold = self.state.gc_threshold;
        let stats = mvcc::gc(cx.reader, &sweep.rest, threshold, limits, &mut cx.out.batch)?;
        self.sweep = sweep.go_on(&self.state.descriptor.span, stats.rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However often the threshold moves, what comes last in the range has its turn.
    #[test]
    fn a_threshold_that_moves_on_does_not_send_the_sweep_back() {
        let span = Span::new("a", "z");
        let mut sweep = Sweep::begin(&span, None);
        let mut seen = Vec::new();
        for (at, moves) in [("h", true), ("p", false), ("u", true)] {
            seen.push(sweep.rest.clone());
            sweep = sweep.go_on(&span, Some(Span::new(at, "z"))).expect("more");
            if moves {
                sweep = Sweep::begin(&span, Some(sweep));
            }
        }
        assert_eq!(seen, [span.clone(), Span::new("h", "z"), Span::new("p", "z")]);
        sweep = sweep.go_on(&span, None).expect("what came before");
        assert_eq!(sweep, Sweep { rest: Span::new("a", "u"), before: None });
        assert_eq!(sweep.go_on(&span, None), None);
    }
}
