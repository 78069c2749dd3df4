//! Rules that may be dropped, to show that something notices.
//!
//! A checker that never fails proves nothing. So each place of a protocol that keeps a rule asks
//! `Rules::keep`. In the product the answer is always yes, `Rules` holds nothing, and the compiler
//! removes the question. In the tests of the crate that has the rules, and with that crate's feature
//! `broken-rules`, which only simulators turn on, it is no for the rules under attack: the
//! schedules must then find a violation.
//!
//! [`droppable!`] makes both types from a list. It is a macro and no generic type, since what a crate
//! is built for is known in that crate alone.

/// Makes `Rule`, one variant for each rule, and `Rules`: which of them are kept. The crate that calls
/// it declares a feature `broken-rules`.
#[macro_export]
macro_rules! droppable {
    ($($(#[$about:meta])+ $rule:ident,)+) => {
        /// A rule that may be dropped. Named after what the code keeps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$about])+ $rule,)+
        }

        /// Which rules are kept: all of them, in the product.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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

        #[cfg(any(test, feature = "broken-rules"))]
        const _: () = assert!([$(Rule::$rule),+].len() <= 32, "a bit for each rule");
        #[cfg(not(any(test, feature = "broken-rules")))]
        const _: () = assert!(size_of::<Rules>() == 0, "the product has nothing to drop");
    };
}
