//! Who turns the knobs of a live cluster in one process: clocks, network, nodes.
//!
//! ```text
//!   session on n1 ── Control::turn ──► Desk ──orders──► Operator ──► Cluster: clocks, WAN, nodes
//!   session on n7 ── Control::turn ──►  │                  │
//!                                    answers             Front: who serves clients at a node
//! ```
//!
//! One task owns the cluster and does one thing after the other, so no two knobs race. What takes
//! long, the start of a node, goes on beside it. The simulator does the same to its clusters by a
//! plan ([`crate::sim`]); here a person does.
//!
//! 1. An order is answered once it holds, or changed nothing.
//! 2. What a node is told when it starts is what the knobs say then: a restart forgets none of them.
//! 3. A clock stays honest through every knob but one that says `unsafe`: see
//!    [`clock::SwitchableClock`] on how ε is turned while the database runs.

mod network;
mod settings;
mod survey;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use clock::{Aim, Beyond, BeyondClaim, Freezer, Offset, format_duration, format_offset};
use futures::future::BoxFuture;
use keys::NodeId;
use node::{Node, NodeFailure};
use sql::{
    SqlError, SqlState,
    control::{ClusterSetting, Control, Knob, NodeView, Turned},
};
use timer::sleep;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};

use crate::{Cluster, ClusterError};
use settings::Defaults;

/// Orders that wait for the operator; more are refused.
const ORDERS: usize = 64;

/// How often a node's engine is tried before a restart fails: the life before may hold its files for
/// a moment longer.
const OPEN_TRIES: u32 = 20;
/// The pause between two of them.
const OPEN_PAUSE: Duration = Duration::from_millis(100);

type Answer = oneshot::Sender<Result<Turned, SqlError>>;

/// Something to be done.
#[derive(Debug)]
enum Order {
    Turn(Knob, Answer),
    Settings(oneshot::Sender<Vec<ClusterSetting>>),
    Survey(NodeId, oneshot::Sender<Vec<NodeView>>),
}

/// Where sessions leave their orders. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk(mpsc::Sender<Order>);

/// The orders, for the one operator.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

/// A desk, and the orders that are left there.
#[must_use]
pub fn desk() -> (Desk, Orders) {
    let (sender, receiver) = mpsc::channel(ORDERS);
    (Desk(sender), Orders(receiver))
}

impl Desk {
    fn leave(&self, order: Order) -> Result<(), SqlError> {
        self.0.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let message = format!("{ORDERS} knobs are being turned already");
                SqlError::new(SqlState::INSUFFICIENT_RESOURCES, message)
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })
    }
}

impl Control for Desk {
    fn turn(&self, knob: Knob) -> BoxFuture<'static, Result<Turned, SqlError>> {
        let (answer, answered) = oneshot::channel();
        let left = self.leave(Order::Turn(knob, answer));
        Box::pin(async move {
            left?;
            answered.await.unwrap_or_else(|_| Err(stopping()))
        })
    }

    /// While the cluster stops, nobody knows any more.
    fn survey(&self, gateway: NodeId) -> BoxFuture<'static, Option<Vec<NodeView>>> {
        let (answer, answered) = oneshot::channel();
        let left = self.leave(Order::Survey(gateway, answer));
        Box::pin(async move {
            left.ok()?;
            answered.await.ok()
        })
    }

    fn settings(&self) -> BoxFuture<'static, Result<Vec<ClusterSetting>, SqlError>> {
        let (answer, answered) = oneshot::channel();
        let left = self.leave(Order::Settings(answer));
        Box::pin(async move {
            left?;
            answered.await.map_err(|_| stopping())
        })
    }
}

fn stopping() -> SqlError {
    SqlError::new(SqlState::ADMIN_SHUTDOWN, "the cluster is stopping")
}

/// Who serves clients at the nodes.
pub trait Front: Send {
    /// A node runs: serve its clients, and freeze with it.
    ///
    /// # Errors
    /// Why that is not possible; the node runs all the same.
    fn arrive<'a>(
        &'a mut self,
        node: &'a Node,
        freezer: &'a Freezer,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// A node is gone: its clients' connections break.
    fn depart(&mut self, node: NodeId) -> BoxFuture<'_, ()>;
}

/// What became of a node while the operator did other things.
enum Event {
    Launched(NodeId, u64, Box<Result<Node, ClusterError>>),
    Failed(NodeId, u64, NodeFailure),
    Thaw(NodeId, u64),
}

/// A node as the operator knows it.
struct Patient {
    /// Counts its lives, so that news of a former one is told apart.
    life: u64,
    state: State,
    /// Waits for its failure.
    watch: Option<AbortHandle>,
}

enum State {
    Runs,
    /// Since a pause; it goes on by itself.
    Paused,
    Starts(AbortHandle, Answer),
    Crashed,
}

/// Turns knobs. See the [module](self).
pub struct Operator {
    cluster: Cluster,
    front: Box<dyn Front>,
    orders: Orders,
    events: JoinSet<Event>,
    patients: BTreeMap<NodeId, Patient>,
    /// Links that are cut now.
    cuts: BTreeSet<(NodeId, NodeId)>,
    defaults: Defaults,
}

impl Operator {
    /// Takes a cluster that has booted, and lets clients in.
    ///
    /// # Errors
    /// If clients of a node cannot be served.
    pub async fn new(
        cluster: Cluster,
        orders: Orders,
        front: Box<dyn Front>,
    ) -> Result<Operator, String> {
        let ids: Vec<NodeId> = cluster.layout().iter().map(|spec| spec.id).collect();
        let defaults = Defaults::of(&cluster);
        let mut operator = Operator {
            cluster,
            front,
            orders,
            events: JoinSet::new(),
            patients: BTreeMap::new(),
            cuts: BTreeSet::new(),
            defaults,
        };
        for id in ids {
            let patient = Patient { life: 0, state: State::Runs, watch: None };
            operator.patients.insert(id, patient);
            operator.arrive(id).await?;
        }
        Ok(operator)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Does what is ordered, until a node fails by itself.
    pub async fn run(&mut self) -> NodeFailure {
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.join_next() => match event {
                    Ok(event) => {
                        if let Some(failure) = self.happened(event).await {
                            return failure;
                        }
                    }
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_aborted) => {}
                },
                Some(order) = self.orders.0.recv() => self.order(order).await,
            }
        }
    }

    /// Stops all nodes.
    pub async fn stop(mut self) {
        self.events.shutdown().await;
        let ids: Vec<NodeId> = self.patients.keys().copied().collect();
        for id in ids {
            self.front.depart(id).await;
        }
        self.cluster.stop().await;
    }

    /// A node that runs gets clients, and somebody who waits for its failure.
    async fn arrive(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.cluster.node(id).expect("it runs");
        let failed = node.failed();
        let life = self.patients[&id].life;
        let watch = self.events.spawn(async move { Event::Failed(id, life, failed.await) });
        let served = self.front.arrive(node, self.cluster.freezer(id)).await;
        self.patient(id).watch = Some(watch);
        served
    }

    fn patient(&mut self, id: NodeId) -> &mut Patient {
        self.patients.get_mut(&id).expect("SQL names only nodes of the cluster")
    }

    async fn happened(&mut self, event: Event) -> Option<NodeFailure> {
        let current = |id, life| self.patients.get(&id).is_some_and(|p: &Patient| p.life == life);
        match event {
            Event::Failed(id, life, failure) if current(id, life) => Some(failure),
            Event::Launched(id, life, launched) if current(id, life) => {
                self.launched(id, *launched).await;
                None
            }
            Event::Thaw(id, life) if current(id, life) => {
                self.cluster.freezer(id).thaw();
                self.patient(id).state = State::Runs;
                // While it stood still it could not be told.
                let commit_wait = self.cluster.commit_wait(id);
                self.cluster.set_commit_wait(&[id], commit_wait).await;
                tracing::warn!("{id} goes on after its pause");
                None
            }
            Event::Failed(..) | Event::Launched(..) | Event::Thaw(..) => None,
        }
    }

    async fn launched(&mut self, id: NodeId, launched: Result<Node, ClusterError>) {
        let before = std::mem::replace(&mut self.patient(id).state, State::Crashed);
        let State::Starts(_, answer) = before else { unreachable!("it was starting") };
        let result = match launched {
            Err(error) => {
                self.cluster.crash(id).await;
                Err(not_now(format!("{id} did not start: {error}")))
            }
            Ok(node) => {
                self.cluster.adopt(node);
                self.patient(id).state = State::Runs;
                self.arrive(id).await.map(|()| Turned::default()).map_err(not_now)
            }
        };
        // Whoever asked may have given up.
        answer.send(result).unwrap_or_default();
    }

    async fn order(&mut self, order: Order) {
        match order {
            // Whoever asked may have given up, here and below.
            Order::Settings(answer) => answer.send(self.settings()).unwrap_or_default(),
            Order::Survey(from, answer) => answer.send(self.survey(from)).unwrap_or_default(),
            Order::Turn(Knob::Restart(id), answer) => self.restart(id, answer).await,
            Order::Turn(knob, answer) => {
                let turned = self.turn(knob).await;
                answer.send(turned).unwrap_or_default();
            }
        }
    }

    async fn turn(&mut self, knob: Knob) -> Result<Turned, SqlError> {
        match knob {
            Knob::Set { setting, scope, beyond: _ } => self.set(setting, &scope).await,
            Knob::Reset { name, scope } => self.reset(name, &scope).await,
            Knob::Crash(id) => self.crash(id).await,
            Knob::Restart(_) => unreachable!("it is answered later"),
            Knob::Pause(id, lasting) => self.pause(id, lasting),
            Knob::Cut(from, to, way) => self.cut(&from, &to, way),
            Knob::Heal => Ok(self.heal()),
            Knob::Link(from, to, change) => self.set_link(&from, &to, change),
            Knob::ResetLinks => Ok(self.reset_links()),
            Knob::MoveClock(id, aim, beyond) => self.move_clock(id, aim, beyond),
        }
    }

    async fn crash(&mut self, id: NodeId) -> Result<Turned, SqlError> {
        let patient = self.patient(id);
        match std::mem::replace(&mut patient.state, State::Crashed) {
            State::Crashed => return Err(not_now(format!("{id} is down already"))),
            State::Starts(launch, answer) => {
                launch.abort();
                answer.send(Err(not_now(format!("{id} crashed again")))).unwrap_or_default();
            }
            State::Runs | State::Paused => {}
        }
        patient.life += 1;
        if let Some(watch) = patient.watch.take() {
            watch.abort();
        }
        self.front.depart(id).await;
        self.cluster.crash(id).await;
        tracing::warn!("{id} crashed, as ordered");
        Ok(Turned::default())
    }

    async fn restart(&mut self, id: NodeId, answer: Answer) {
        let refusal = match self.patient(id).state {
            State::Crashed => None,
            State::Runs | State::Paused => Some("runs already; crash it first"),
            State::Starts(..) => Some("is starting already"),
        };
        if let Some(why) = refusal {
            let error = not_now(format!("{id} {why}"));
            return answer.send(Err(error)).unwrap_or_default();
        }
        let mut tries = 1;
        let launch = loop {
            match self.cluster.launch(id) {
                Ok(launch) => break launch,
                Err(_) if tries < OPEN_TRIES => {
                    tries += 1;
                    sleep(OPEN_PAUSE).await;
                }
                Err(error) => {
                    let error = not_now(format!("{id} did not start: {error}"));
                    return answer.send(Err(error)).unwrap_or_default();
                }
            }
        };
        let life = self.patient(id).life;
        let launched = async move { Event::Launched(id, life, Box::new(launch.await)) };
        let launch = self.events.spawn(launched);
        self.patient(id).state = State::Starts(launch, answer);
    }

    fn pause(&mut self, id: NodeId, lasting: Duration) -> Result<Turned, SqlError> {
        match self.patient(id).state {
            State::Runs => {}
            State::Paused => return Err(not_now(format!("{id} is paused already"))),
            State::Starts(..) | State::Crashed => return Err(not_now(format!("{id} is down"))),
        }
        let life = self.patient(id).life;
        self.cluster.freezer(id).freeze();
        self.patient(id).state = State::Paused;
        self.events.spawn(async move {
            sleep(lasting).await;
            Event::Thaw(id, life)
        });
        tracing::warn!("{id} stands still for {}, as ordered", format_duration(lasting));
        Ok(Turned::default())
    }

    fn move_clock(&mut self, id: NodeId, aim: Aim, beyond: Beyond) -> Result<Turned, SqlError> {
        let clock = Arc::clone(self.cluster.clock(id));
        let moved = clock.move_to(aim, beyond);
        let offset = moved.map_err(|BeyondClaim { offset_nanos, epsilon_nanos }| {
            not_now(format!(
                "the clock of {id} would be off by {}, but claims ±{}",
                format_offset(offset_nanos),
                format_duration(Duration::from_nanos(epsilon_nanos))
            ))
            .with_hint(
                "Widen clock.epsilon first, or make it a lie on purpose: give 'unsafe' as the last \
                 argument.",
            )
        })?;
        let mut turned = Turned::default();
        if let Offset::Lie { .. } = offset {
            turned.warnings.push(format!(
                "UNSAFE: the clock of {id} lies from now on ({offset}); external consistency does \
                 not hold"
            ));
        }
        Ok(turned)
    }
}

/// `55000`.
fn not_now(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}
