//! The rules that may be dropped, to show that something notices.
//!
//! A checker that never fails proves nothing. So each place that keeps a rule asks [`Rules::keep`].
//! In the product the answer is always yes, [`Rules`] holds nothing, and the compiler removes the
//! question. In this crate's tests, and with the feature `broken-rules`, which only simulators turn
//! on, it is no for the rules under attack: the checks must then find a violation.

/// A rule that may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// X1: a transaction above READ COMMITTED reads one snapshot.
    OneSnapshot,
    /// X1: what a serializable transaction read is validated, not only what it wrote.
    ValidateReads,
    /// X3: s lies below every participant's `valid_through`.
    ValidThrough,
    /// X3a: s lies above the snapshot.
    AboveRead,
    /// R1: s lies above every participant's prepare timestamp.
    AbovePrepares,
    /// X8: an abort is reported only after the record said aborted.
    AskTheRecord,
}

/// Which rules are kept: all of them, in the product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// A bit for each rule dropped.
    #[cfg(any(test, feature = "broken-rules"))]
    dropped: u32,
}

impl Rules {
    /// All but this one.
    #[cfg(any(test, feature = "broken-rules"))]
    #[must_use]
    pub fn without(rule: Rule) -> Rules {
        Rules::without_all(&[rule])
    }

    /// All but these.
    #[cfg(any(test, feature = "broken-rules"))]
    #[must_use]
    pub fn without_all(rules: &[Rule]) -> Rules {
        Rules { dropped: rules.iter().fold(0, |bits, rule| bits | 1 << *rule as u32) }
    }

    /// Whether this rule is kept.
    #[inline]
    #[cfg_attr(
        not(any(test, feature = "broken-rules")),
        expect(clippy::unused_self, reason = "the product drops no rules")
    )]
    pub(crate) fn keep(self, rule: Rule) -> bool {
        #[cfg(any(test, feature = "broken-rules"))]
        return self.dropped & (1 << rule as u32) == 0;
        #[cfg(not(any(test, feature = "broken-rules")))]
        {
            let _: Rule = rule;
            true
        }
    }
}

#[cfg(not(any(test, feature = "broken-rules")))]
const _: () = assert!(size_of::<Rules>() == 0, "the product has nothing to drop");
