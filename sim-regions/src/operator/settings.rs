//! Cluster settings: clocks, commit-wait, the clock guard; and what all of it is at now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clock::{Offset, SwitchableClock, Uncertainty, WIDEST_TOLERATED_EPSILON, format_duration};
use keys::NodeId;
use node::{ClockGuard, Node};
use range::CommitWait;
use sql::{
    SqlError,
    control::{ClusterSetting, NodeState, OnOff, Scope, Setting, SettingName, Turned},
};
use timer::{Instant, sleep};

use super::Operator;
use crate::Cluster;

/// How long a commit-wait that was turned on waits for what was acknowledged without it.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const SETTLE_LOOK: Duration = Duration::from_millis(1);

/// How the process began.
#[derive(Debug)]
pub struct Defaults {
    clocks: BTreeMap<NodeId, (Uncertainty, Offset)>,
    commit_wait: CommitWait,
}

impl Defaults {
    /// Those of a cluster that nobody has touched yet.
    pub fn of(cluster: &Cluster) -> Defaults {
        let clocks = cluster.layout().iter().map(|spec| {
            let clock = cluster.clock(spec.id);
            (spec.id, (clock.uncertainty(), clock.offset()))
        });
        Defaults { clocks: clocks.collect(), commit_wait: cluster.commit_wait_at_birth() }
    }
}

impl Operator {
    pub(super) async fn set(
        &mut self,
        setting: Setting,
        scope: &Scope,
    ) -> Result<Turned, SqlError> {
        let nodes = self.nodes_in(scope);
        let mut turned = Turned::default();
        match setting {
            Setting::Uncertainty(model) => {
                check_width(model)?;
                self.clocks(&nodes).for_each(|clock| clock.set_uncertainty(model));
            }
            Setting::Offset(offset) => {
                self.clocks(&nodes).for_each(|clock| clock.set_offset(offset));
            }
            Setting::CommitWait(OnOff::On) => self.set_commit_wait(&nodes, CommitWait::On).await,
            Setting::CommitWait(OnOff::Off) => {
                self.set_commit_wait(&nodes, CommitWait::UnsafeOff).await;
                turned.warnings.push(
                    "UNSAFE: commit-wait is off; a later transaction may miss what an acknowledged \
                     one wrote"
                        .to_owned(),
                );
            }
            Setting::ClockGuard(OnOff::On) => self.cluster.set_clock_guard(&nodes, ClockGuard::On),
            Setting::ClockGuard(OnOff::Off) => {
                self.cluster.set_clock_guard(&nodes, ClockGuard::UnsafeOff);
                turned.warnings.push(
                    "UNSAFE: a node whose clock is wrong goes on serving from now on".to_owned(),
                );
            }
        }
        Ok(turned)
    }

    pub(super) async fn reset(
        &mut self,
        name: Option<SettingName>,
        scope: &Scope,
    ) -> Result<Turned, SqlError> {
        let nodes = self.nodes_in(scope);
        let wanted = |known: SettingName| name.is_none_or(|name| name == known);
        for id in &nodes {
            let (uncertainty, offset) = self.defaults.clocks[id];
            let clock = self.cluster.clock(*id);
            if wanted(SettingName::Epsilon) || wanted(SettingName::Model) {
                clock.set_uncertainty(uncertainty);
            }
            if wanted(SettingName::Offset) {
                clock.set_offset(offset);
            }
        }
        if wanted(SettingName::ClockGuard) {
            self.cluster.set_clock_guard(&nodes, ClockGuard::On);
        }
        if wanted(SettingName::CommitWait) {
            self.set_commit_wait(&nodes, self.defaults.commit_wait).await;
        }
        Ok(Turned::default())
    }

    /// Turned on, it holds once everything that was acknowledged without it is past: a history that
    /// begins afterwards is clean.
    async fn set_commit_wait(&mut self, nodes: &[NodeId], commit_wait: CommitWait) {
        self.cluster.set_commit_wait(nodes, commit_wait).await;
        if commit_wait == CommitWait::UnsafeOff {
            return;
        }
        let given = self.cluster.nodes().map(|node| node.clock().observed()).max();
        let Some(given) = given else { return };
        let past = |node: &Node| node.clock().now().tt.after(given);
        let deadline = Instant::now() + SETTLE_PATIENCE;
        while Instant::now() < deadline && !self.cluster.nodes().all(past) {
            sleep(SETTLE_LOOK).await;
        }
    }

    fn nodes_in(&self, scope: &Scope) -> Vec<NodeId> {
        let inside = |region: &str, id: NodeId| match scope {
            Scope::Cluster => true,
            Scope::Region(wanted) => region == wanted,
            Scope::Node(wanted) => id == *wanted,
        };
        let layout = self.cluster.layout().iter();
        layout.filter(|spec| inside(&spec.region, spec.id)).map(|spec| spec.id).collect()
    }

    fn clocks(&self, nodes: &[NodeId]) -> impl Iterator<Item = &Arc<SwitchableClock>> {
        nodes.iter().map(|id| self.cluster.clock(*id))
    }

    /// Every setting, and whatever else is not as it was.
    pub(super) fn settings(&self) -> Vec<ClusterSetting> {
        let mut rows = Vec::new();
        let clock = |id: NodeId| self.cluster.clock(id);
        let default = |id: NodeId| self.defaults.clocks[&id];
        rows.extend(self.setting(SettingName::Epsilon, |id| {
            (epsilon(clock(id).uncertainty()), epsilon(default(id).0), false)
        }));
        rows.extend(self.setting(SettingName::Model, |id| {
            (clock(id).uncertainty().to_string(), default(id).0.to_string(), false)
        }));
        rows.extend(self.setting(SettingName::Offset, |id| {
            let offset = clock(id).offset();
            (offset.to_string(), default(id).1.to_string(), !offset.is_honest())
        }));
        rows.extend(self.setting(SettingName::ClockGuard, |id| {
            let on = self.cluster.clock_guard(id) == ClockGuard::On;
            (on_off(on), on_off(true), !on)
        }));
        rows.extend(self.setting(SettingName::CommitWait, |id| {
            let on = self.cluster.commit_wait(id) == CommitWait::On;
            (on_off(on), on_off(self.defaults.commit_wait == CommitWait::On), !on)
        }));
        rows.extend(self.changed_links());
        rows.extend(self.patients.iter().filter_map(|(id, patient)| {
            let state = patient.state.seen();
            (state != NodeState::Runs).then(|| ClusterSetting {
                name: "node.state".to_owned(),
                scope: id.to_string(),
                value: state.to_string(),
                default: NodeState::Runs.to_string(),
                is_unsafe: false,
            })
        }));
        rows
    }

    /// One setting: a row for the cluster if all nodes are alike, else one per region whose nodes are,
    /// else one per node. `look` tells value, default, and whether it is unsafe.
    fn setting(
        &self,
        name: SettingName,
        look: impl Fn(NodeId) -> (String, String, bool),
    ) -> Vec<ClusterSetting> {
        let layout = self.cluster.layout();
        let row = |scope: String, (value, default, is_unsafe): (String, String, bool)| {
            ClusterSetting { name: name.name().to_owned(), scope, value, default, is_unsafe }
        };
        let first = look(layout[0].id);
        if layout.iter().all(|spec| look(spec.id) == first) {
            return vec![row("cluster".to_owned(), first)];
        }
        let mut rows = Vec::new();
        for nodes in layout.chunk_by(|a, b| a.region == b.region) {
            let first = look(nodes[0].id);
            if nodes.iter().all(|spec| look(spec.id) == first) {
                rows.push(row(nodes[0].region.clone(), first));
            } else {
                rows.extend(nodes.iter().map(|spec| row(spec.id.to_string(), look(spec.id))));
            }
        }
        rows
    }
}

/// T2: a node whose stamps are further ahead than its peers tolerate is refused by all of them.
fn check_width(model: Uncertainty) -> Result<(), SqlError> {
    if model.widest() <= WIDEST_TOLERATED_EPSILON {
        return Ok(());
    }
    let message = format!(
        "a clock uncertainty of {} is too wide: peers would take the node's clock for broken",
        format_duration(model.widest())
    );
    let widest = format_duration(WIDEST_TOLERATED_EPSILON);
    Err(SqlError::invalid_parameter(message).with_hint(format!("At most {widest} (rule T2).")))
}

fn epsilon(model: Uncertainty) -> String {
    match model {
        Uncertainty::Zero => "0ms".to_owned(),
        Uncertainty::Fixed { epsilon } => format_duration(epsilon),
        Uncertainty::Sawtooth(sawtooth) => {
            format!("{}..{}", format_duration(sawtooth.base), format_duration(model.widest()))
        }
    }
}

fn on_off(on: bool) -> String {
    if on { OnOff::On } else { OnOff::Off }.to_string()
}
