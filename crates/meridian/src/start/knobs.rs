//! The knobs of a node on a machine of its own: what it claims of its own clock.
//!
//! Its machine's clock, its network and its peers are real: nobody can move them from here. And a
//! cluster that people rely on has no switch that turns its promises off.

use std::{sync::Arc, time::Duration};

use clock::{
    Beyond, Clock as _, MachineClock, NotVouched, Uncertainty, WIDEST_TOLERATED_EPSILON,
    format_duration,
};
use futures::future::{BoxFuture, ready};
use keys::NodeId;
use sql::{
    SqlError, SqlState,
    control::{ClusterSetting, Control, Knob, Scope, Setting, SettingName, Turned},
};

const DEMO_ONLY: &str = "that knob is on a demo only";

/// Turns what this node claims of its clock.
#[derive(Debug)]
pub struct OwnClock {
    node: NodeId,
    clock: Arc<MachineClock>,
    /// What its operator vouched for when it was started; `None`: a source on the machine keeps watch,
    /// and nobody's word can change what it says.
    vouched: Option<Uncertainty>,
}

impl OwnClock {
    /// The claim of a node's clock, as it was started with.
    pub fn new(node: NodeId, clock: Arc<MachineClock>) -> OwnClock {
        let vouched = clock.vouched();
        OwnClock { node, clock, vouched }
    }

    fn turn_now(&self, knob: Knob) -> Result<Turned, SqlError> {
        match knob {
            Knob::Set { setting: Setting::Uncertainty(model), scope, beyond } => {
                self.is_mine(&scope)?;
                self.claim(model, beyond)
            }
            Knob::Reset { name: None | Some(SettingName::Epsilon | SettingName::Model), scope } => {
                self.is_mine(&scope)?;
                if let Some(vouched) = self.vouched {
                    self.set(vouched)?;
                }
                Ok(Turned::default())
            }
            Knob::Set { .. }
            | Knob::Reset { .. }
            | Knob::Crash(_)
            | Knob::Restart(_)
            | Knob::Pause(..)
            | Knob::Cut(..)
            | Knob::Heal
            | Knob::Link(..)
            | Knob::ResetLinks
            | Knob::MoveClock(..) => Err(self.not_here(DEMO_ONLY)),
        }
    }

    fn set(&self, model: Uncertainty) -> Result<(), SqlError> {
        self.clock.set_uncertainty(model).map_err(|NotVouched { source }| {
            let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
            let message = format!("{source} on the machine of {} tells its clock's ε", self.node);
            SqlError::new(state, message)
                .with_hint("Start the node with --clock fixed to vouch for one.")
        })
    }

    fn is_mine(&self, scope: &Scope) -> Result<(), SqlError> {
        if *scope == Scope::Node(self.node) {
            return Ok(());
        }
        Err(self.not_here("it can turn its own clock alone"))
    }

    fn not_here(&self, why: &str) -> SqlError {
        let message = format!("this process runs {} on a machine of its own: {why}", self.node);
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint(format!(
            "Possible here: SET CLUSTER SETTING clock.epsilon = '20ms' FOR NODE {}. The same on each \
             node changes them all; meridian demo has all knobs.",
            self.node.0
        ))
    }

    /// A wider claim is always true if the narrower one was; a narrower one than the operator vouched
    /// for is on whoever makes it.
    fn claim(&self, model: Uncertainty, beyond: Beyond) -> Result<Turned, SqlError> {
        let (asked, widest) = (model.widest(), format_duration(WIDEST_TOLERATED_EPSILON));
        if asked > WIDEST_TOLERATED_EPSILON {
            return Err(SqlError::invalid_parameter(format!(
                "a clock uncertainty of {} is too wide: peers would take this node's clock for \
                 broken",
                format_duration(asked)
            ))
            .with_hint(format!("At most {widest} (rule T2).")));
        }
        let Some(vouched) = self.vouched.map(Uncertainty::widest) else {
            return self.set(model).map(|()| Turned::default());
        };
        let mut turned = Turned::default();
        if narrowest(model) < vouched {
            let message = format!(
                "{} was started with a clock vouched for to ±{}; {model} claims more than that",
                self.node,
                format_duration(vouched)
            );
            if beyond == Beyond::Forbidden {
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("If the clock is as good as that, add UNSAFE."));
            }
            turned.warnings.push(format!("UNSAFE: {message}"));
        }
        self.set(model)?;
        Ok(turned)
    }
}

/// The narrowest ε that a model ever claims.
fn narrowest(model: Uncertainty) -> Duration {
    match model {
        Uncertainty::Sawtooth(sawtooth) => sawtooth.base,
        Uncertainty::Zero | Uncertainty::Fixed { .. } => model.widest(),
    }
}

impl Control for OwnClock {
    fn procedures(&self) -> Result<(), SqlError> {
        Err(self.not_here(DEMO_ONLY))
    }

    fn turn(&self, knob: Knob) -> BoxFuture<'static, Result<Turned, SqlError>> {
        Box::pin(ready(self.turn_now(knob)))
    }

    fn settings(&self) -> BoxFuture<'static, Result<Vec<ClusterSetting>, SqlError>> {
        let (model, vouched) = (self.clock.vouched(), self.vouched);
        let is_unsafe = match (model, vouched) {
            (Some(model), Some(vouched)) => model != vouched && narrowest(model) < vouched.widest(),
            (None, _) | (_, None) => false,
        };
        let row = |name: SettingName, value: String, default: String| ClusterSetting {
            name: name.name().to_owned(),
            scope: self.node.to_string(),
            value,
            default,
            is_unsafe,
        };
        let epsilon = format_duration(self.clock.claimed().epsilon());
        let usual = vouched.map_or_else(|| epsilon.clone(), |it| format_duration(it.widest()));
        let source = self.clock.source();
        let usual_source = vouched.map_or_else(|| source.clone(), |it| it.to_string());
        let rows = vec![
            row(SettingName::Epsilon, epsilon, usual),
            row(SettingName::Model, source, usual_source),
        ];
        Box::pin(ready(Ok(rows)))
    }
}

#[cfg(test)]
mod tests {
    use clock::{Bound, BoundSource, Claim, Machine, Readings};

    use super::*;

    /// A machine on which no time passes, and a source that keeps watch on it.
    #[derive(Debug)]
    struct Still;

    impl Machine for Still {
        fn read(&self) -> Readings {
            Readings { before: 1, realtime: 1_000_000_000, boottime: 1, after: 1 }
        }

        fn monotonic(&self) -> u64 {
            1
        }
    }

    impl BoundSource for Still {
        fn poll(&self) -> Result<Bound, String> {
            Ok(Bound { epsilon_nanos: 5, as_of: 1, drift_ppb: 0, void_after: 2 })
        }

        fn name(&self) -> &'static str {
            "still"
        }
    }

    #[test]
    fn what_a_source_tells_nobody_can_change() {
        let claim = Claim::Watched(Box::new(Still));
        let clock = Arc::new(MachineClock::new(Arc::new(Still), claim));
        let knobs = OwnClock::new(NodeId(3), clock);
        let turn = set(fixed(20), Scope::Node(NodeId(3)), Beyond::Lie);
        let error = knobs.turn_now(turn).expect_err("it is not the operator's");
        assert_eq!(error.sqlstate.to_string(), "55000");
        let reset = Knob::Reset { name: None, scope: Scope::Node(NodeId(3)) };
        assert!(knobs.turn_now(reset).is_ok(), "there is nothing to take back");
    }

    fn fixed(millis: u64) -> Uncertainty {
        Uncertainty::fixed(Duration::from_millis(millis)).expect("below the limit")
    }

    fn set(model: Uncertainty, scope: Scope, beyond: Beyond) -> Knob {
        Knob::Set { setting: Setting::Uncertainty(model), scope, beyond }
    }

    #[test]
    fn a_real_clock_may_claim_less_but_not_more_than_was_vouched_for() {
        let clock = Arc::new(MachineClock::new(Arc::new(Still), Claim::Vouched(fixed(4))));
        let knobs = OwnClock::new(NodeId(3), Arc::clone(&clock));
        let mine = || Scope::Node(NodeId(3));
        let state = |knob| knobs.turn_now(knob).expect_err("refused").sqlstate.to_string();

        assert!(knobs.turn_now(set(fixed(20), mine(), Beyond::Forbidden)).is_ok());
        assert_eq!(clock.vouched(), Some(fixed(20)));
        assert!(knobs.turn_now(set(fixed(4), mine(), Beyond::Forbidden)).is_ok());
        assert_eq!(state(set(fixed(3), mine(), Beyond::Forbidden)), "55000");
        assert_eq!(state(set(fixed(300), mine(), Beyond::Lie)), "22023");
        assert_eq!(clock.vouched(), Some(fixed(4)), "what is refused changes nothing");
        let turned = knobs.turn_now(set(fixed(3), mine(), Beyond::Lie)).expect("on purpose");
        assert!(turned.warnings[0].starts_with("UNSAFE"), "{turned:?}");
        for elsewhere in [Scope::Cluster, Scope::Node(NodeId(4))] {
            assert_eq!(state(set(fixed(20), elsewhere, Beyond::Forbidden)), "0A000");
        }
        assert_eq!(state(Knob::Crash(NodeId(3))), "0A000");
        let reset = Knob::Reset { name: None, scope: mine() };
        assert!(knobs.turn_now(reset).is_ok());
        assert_eq!(clock.vouched(), Some(fixed(4)));
    }
}
