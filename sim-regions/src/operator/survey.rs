//! What the operator sees of its nodes: who runs, and what all clocks say at one moment.

use clock::{Clock as _, SwitchableClock};
use keys::NodeId;
use sql::{
    ClockInfo,
    control::{NodeState, NodeView},
};

use super::{Operator, State};

impl State {
    pub(super) fn seen(&self) -> NodeState {
        match self {
            State::Runs => NodeState::Runs,
            State::Paused => NodeState::Paused,
            State::Starts(..) => NodeState::Starts,
            State::Crashed => NodeState::Crashed,
        }
    }
}

impl Operator {
    /// All nodes now, for a gateway that asks. A node that stands still has a clock that goes on.
    pub(super) fn survey(&self, gateway: NodeId) -> Vec<NodeView> {
        let ids: Vec<NodeId> = self.patients.keys().copied().collect();
        let clocks: Vec<&SwitchableClock> =
            ids.iter().map(|id| &**self.cluster.clock(*id)).collect();
        let readings = SwitchableClock::at_once(&clocks);
        let views = ids.iter().zip(clocks).zip(readings).map(|((id, clock), reading)| {
            let state = self.patients[id].state.seen();
            let cut = [(*id, gateway), (gateway, *id)].iter().any(|link| self.cuts.contains(link));
            let node = self.cluster.node(*id);
            let info = node.map(|node| ClockInfo {
                node: *id,
                earliest: reading.interval.earliest,
                latest: reading.interval.latest,
                epsilon: reading.interval.epsilon(),
                source: clock.source(),
                true_offset_nanos: Some(reading.offset_nanos),
                distrust: node.distrust(),
                read_within: std::time::Duration::ZERO,
            });
            NodeView { node: *id, state, linked: !cut, clock: info }
        });
        views.collect()
    }
}
