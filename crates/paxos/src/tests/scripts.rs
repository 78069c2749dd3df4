//! Golden scripts: one scenario per file in `tests/scripts`, its first lines say the point.
//!
//! A script drives a small cluster by hand. The checker watches as it does under random schedules.
//! Times are milliseconds since the start. After each command the events and the entries told
//! chosen are printed. To accept changed output: `UPDATE_GOLDENFILES=1 cargo test -p paxos
//! scripts`.

use std::{error::Error, fmt::Write as _, path::Path, time::Duration};

use clock::Timestamp;
use goldenscript::Context;
use keys::NodeId;

use super::{
    checker::Command as Payload1,
    world::{EPOCH, Flying, MS, Packet, Setup, World},
};
use crate::{
    Ballot, Certificate, Config, Entry, Event, Lead, Membership, Message, Payload, Refusal, Slot,
};

/// What a script may say. Nodes are numbers; commands without nodes mean all that are up.
#[derive(Debug, goldenscript::Command)]
enum Command {
    /// Starts a cluster: `cluster 3 born=1 phase1=2 phase2=2 epsilon=4`. Without `born` nobody
    /// leads yet.
    Cluster {
        nodes: u32,
        #[arg(key)]
        born: Option<u32>,
        #[arg(key)]
        phase1: Option<usize>,
        #[arg(key)]
        phase2: Option<usize>,
        #[arg(key)]
        epsilon: Option<u64>,
        #[arg(key)]
        slack: Option<u64>,
    },
    /// Lets milliseconds pass.
    Pass(u64),
    /// Ticks nodes.
    Tick(#[arg(optional)] Vec<u32>),
    /// Syncs disks.
    Sync(#[arg(optional)] Vec<u32>),
    /// Applies what is chosen.
    Apply(#[arg(optional)] Vec<u32>),
    /// Delivers packets now on the wire, oldest first, and prints them: `deliver to=2 kind=accept`.
    Deliver {
        #[arg(key)]
        from: Option<u32>,
        #[arg(key)]
        to: Option<u32>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// Loses packets now on the wire, and prints them.
    Lose {
        #[arg(key)]
        from: Option<u32>,
        #[arg(key)]
        to: Option<u32>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// Prints what is on the wire.
    Wire,
    /// Everything works for so many rounds of 5 ms each, except for nodes cut off.
    Settle(u32),
    /// Cuts nodes off during `settle`.
    Cut(Vec<u32>),
    /// Ends all cuts.
    Heal,
    /// A leader proposes so many commands.
    Propose {
        node: u32,
        #[arg(optional)]
        count: usize,
    },
    /// A leader serves a read just below its lease end.
    Read(u32),
    /// A leader closes time.
    Close(u32),
    /// A node stands for election as soon as it may.
    Campaign(u32),
    /// A leader hands on: `release 1 to=2`.
    Release {
        node: u32,
        #[arg(key)]
        to: Option<u32>,
    },
    /// A node dies, and loses what was not synced.
    Crash(u32),
    /// It comes back.
    Restart(u32),
    /// A node removes slots up to this one from its log.
    Truncate { node: u32, upto: u64 },
    /// A node's clock is behind or ahead by so many milliseconds: `clock 2 behind=20`.
    Clock {
        node: u32,
        #[arg(key, optional)]
        behind: i64,
        #[arg(key, optional)]
        ahead: i64,
    },
    /// Prints one line per node.
    Status(#[arg(optional)] Vec<u32>),
    /// Prints a node's log.
    Log(u32),
    /// Prints a node's record on disk.
    Disk(u32),
}

#[derive(Default)]
struct Runner {
    world: Option<World>,
    cut: Vec<NodeId>,
}

fn config(slack: Option<u64>) -> Config {
    Config {
        lease: Duration::from_millis(300),
        renew_every: Duration::from_millis(100),
        election_timeout: Duration::from_millis(100),
        election_stagger: Duration::from_millis(30),
        resend_after: Duration::from_millis(50),
        snapshot_retry: Duration::from_millis(200),
        horizon_slack: Duration::from_millis(slack.unwrap_or(150)),
        max_in_flight_slots: 4,
        max_batch_bytes: 200,
        log_keep_slots: 8,
        ..Config::default()
    }
}

impl Runner {
    fn world(&mut self) -> Result<&mut World, Box<dyn Error>> {
        self.world.as_mut().ok_or_else(|| "start with `cluster`".into())
    }

    fn ids(&mut self, given: &[u32]) -> Result<Vec<NodeId>, Box<dyn Error>> {
        if given.is_empty() {
            return Ok(self.world()?.ids());
        }
        Ok(given.iter().copied().map(NodeId).collect())
    }

    fn start(&mut self, command: &Command) -> Result<(), Box<dyn Error>> {
        let Command::Cluster { nodes, born, phase1, phase2, epsilon, slack } = command else {
            return Err("not a cluster".into());
        };
        let voters: Vec<NodeId> = (1..=*nodes).map(NodeId).collect();
        let majority = voters.len() / 2 + 1;
        let (one, two) = (phase1.unwrap_or(majority), phase2.unwrap_or(majority));
        self.cut.clear();
        self.world = Some(World::new(Setup {
            membership: Membership::flexible(voters, one, two)?,
            born: born.map(NodeId),
            config: config(*slack),
            epsilon: Duration::from_millis(epsilon.unwrap_or(0)),
            fault: None,
        }));
        Ok(())
    }

    /// Takes the packets that match off the wire.
    fn take(
        &mut self,
        from: Option<u32>,
        to: Option<u32>,
        kind: Option<&str>,
    ) -> Result<Vec<Flying>, Box<dyn Error>> {
        let wanted = |f: &Flying| {
            from.is_none_or(|n| f.from.0 == n)
                && to.is_none_or(|n| f.to.0 == n)
                && kind.is_none_or(|k| packet(&f.packet).starts_with(k))
        };
        let (taken, left) = self.world()?.take_network().into_iter().partition(wanted);
        self.world()?.network = left;
        Ok(taken)
    }

    fn settle(&mut self, rounds: u32) -> Result<(), Box<dyn Error>> {
        let cut = self.cut.clone();
        let world = self.world()?;
        for _ in 0..rounds {
            world.pass(Duration::from_millis(5));
            for flying in world.take_network() {
                if !cut.contains(&flying.from) && !cut.contains(&flying.to) {
                    world.deliver(flying);
                }
            }
            for node in world.ids() {
                world.step(node, |group, now, out| group.tick(now, out));
                world.sync(node, usize::MAX);
                world.apply(node, usize::MAX);
            }
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, out: &mut String) -> Result<(), Box<dyn Error>> {
        match command {
            Command::Cluster { .. } => self.start(command)?,
            Command::Pass(ms) => self.world()?.pass(Duration::from_millis(*ms)),
            Command::Tick(nodes) => {
                for node in self.ids(nodes)? {
                    self.world()?.step(node, |group, now, out| group.tick(now, out));
                }
            }
            Command::Sync(nodes) => {
                for node in self.ids(nodes)? {
                    self.world()?.sync(node, usize::MAX);
                }
            }
            Command::Apply(nodes) => {
                for node in self.ids(nodes)? {
                    self.world()?.apply(node, usize::MAX);
                }
            }
            Command::Deliver { from, to, kind } => {
                for flying in self.take(*from, *to, kind.as_deref())? {
                    writeln!(out, "{}", show(&flying))?;
                    self.world()?.deliver(flying);
                }
            }
            Command::Lose { from, to, kind } => {
                for flying in self.take(*from, *to, kind.as_deref())? {
                    writeln!(out, "lost: {}", show(&flying))?;
                }
            }
            Command::Wire => {
                for flying in &self.world()?.network {
                    writeln!(out, "{}", show(flying))?;
                }
            }
            Command::Settle(rounds) => self.settle(*rounds)?,
            Command::Cut(nodes) => self.cut = self.ids(nodes)?,
            Command::Heal => self.cut.clear(),
            Command::Status(nodes) => {
                for node in self.ids(nodes)? {
                    writeln!(out, "{}", status(self.world()?, node))?;
                }
            }
            Command::Log(node) => log(self.world()?, NodeId(*node), out)?,
            Command::Disk(node) => {
                let d = self.world()?.node(NodeId(*node)).disk.durable;
                let (horizon, fence) = (time(d.horizon), d.fence.ballot());
                writeln!(
                    out,
                    "promised {} horizon {horizon} round {} truncated {} fence {fence}",
                    d.promised, d.round_used, d.truncated
                )?;
            }
            Command::Propose { .. }
            | Command::Read(_)
            | Command::Close(_)
            | Command::Campaign(_)
            | Command::Release { .. }
            | Command::Crash(_)
            | Command::Restart(_)
            | Command::Truncate { .. }
            | Command::Clock { .. } => self.act(command, out)?,
        }
        Ok(())
    }

    /// What one node or its host does.
    fn act(&mut self, command: &Command, out: &mut String) -> Result<(), Box<dyn Error>> {
        let world = self.world()?;
        match command {
            Command::Propose { node, count } => {
                for _ in 0..(*count).max(1) {
                    match world.propose(NodeId(*node)) {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(error.into()),
                        None => return Err("no timestamp is left below the lease end".into()),
                    }
                }
            }
            Command::Read(node) => {
                let served = world.read(NodeId(*node));
                writeln!(out, "{}", if served { "served" } else { "not served" })?;
            }
            Command::Close(node) => {
                let closed = world.close(NodeId(*node));
                writeln!(out, "{}", if closed { "closed" } else { "not closed" })?;
            }
            Command::Campaign(node) => {
                world.step(NodeId(*node), |group, now, out| group.campaign(now, out));
            }
            Command::Release { node, to } => {
                let to = to.map(NodeId);
                let floor = world.node(NodeId(*node)).leads.map_or(0, |l| l.used);
                let floor = Timestamp::from_wall(floor);
                let id = NodeId(*node);
                let result = world.step(id, |group, now, out| group.release(now, to, floor, out));
                result.ok_or("it is down")??;
            }
            Command::Crash(node) => world.crash(NodeId(*node), 0),
            Command::Restart(node) => world.restart(NodeId(*node)),
            Command::Truncate { node, upto } => {
                let upto = Slot(*upto);
                world.step(NodeId(*node), |group, _, out| group.truncate(upto, out));
            }
            Command::Clock { node, behind, ahead } => {
                world.node_mut(NodeId(*node)).offset = (ahead - behind) * MS as i64;
            }
            other => return Err(format!("{other:?} is no act").into()),
        }
        Ok(())
    }

    /// What happened since the last command.
    fn news(&mut self, out: &mut String) -> Result<(), Box<dyn Error>> {
        let Some(world) = &mut self.world else { return Ok(()) };
        for (node, chosen) in std::mem::take(&mut world.told) {
            let void = if chosen.void { ", VOID" } else { "" };
            writeln!(out, "{node} chosen {} {}{void}", chosen.slot, entry(&chosen.entry))?;
        }
        for (node, event) in std::mem::take(&mut world.events) {
            writeln!(out, "{node} {}", show_event(event))?;
        }
        Ok(())
    }
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut out = String::new();
        self.command(command, &mut out)?;
        self.news(&mut out)?;
        Ok(out)
    }
}

fn time(t: Timestamp) -> String {
    if t.wall < EPOCH {
        return if t.wall == 0 { "-".into() } else { format!("{}ns", t.wall) };
    }
    let (ms, rest) = ((t.wall - EPOCH) / MS, (t.wall - EPOCH) % MS);
    if rest == 0 { format!("{ms}ms") } else { format!("{ms}ms+{rest}ns") }
}

fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Noop => "noop".into(),
        Payload::Opening => "opening".into(),
        Payload::Command(bytes) => format!("command {}", Payload1::decode(bytes).id),
    }
}

fn entry(e: &Entry) -> String {
    format!("{} of {}", payload(&e.payload), e.first)
}

fn certificate(c: &Option<Certificate>) -> String {
    c.map_or(String::new(), |c| {
        format!(" with certificate of {} floor {}", c.ballot, time(c.floor))
    })
}

fn lead(l: &Lead) -> String {
    let closed = l.closed.map_or(String::new(), |c| format!(" closed {}", time(c.at)));
    let certificate = certificate(&l.certificate);
    format!("{} until {} commit {}{closed}{certificate}", l.ballot, time(l.until), l.commit)
}

fn show(flying: &Flying) -> String {
    format!("{}->{} {}", flying.from, flying.to, packet(&flying.packet))
}

pub(super) fn packet(packet: &Packet) -> String {
    match packet {
        Packet::Group(message) => show_message(message),
        Packet::Snapshot(upto, fence) => format!("snapshot at {upto} fence {}", fence.ballot()),
    }
}

fn show_message(message: &Message) -> String {
    match message {
        Message::Prepare { ballot, from, certificate: c } => {
            format!("prepare {ballot} from {from}{}", certificate(c))
        }
        Message::Promise { ballot, entries, complete, chosen, granted, .. } => {
            let held: Vec<String> = entries
                .iter()
                .map(|(s, e)| format!("{s} {} under {}", entry(e), e.ballot))
                .collect();
            let part = if *complete { "" } else { ", more to come" };
            let granted = time(*granted);
            format!(
                "promise {ballot} chosen {chosen} granted {granted} [{}{part}]",
                held.join(", ")
            )
        }
        Message::Refuse { ballot, reason } => match reason {
            Refusal::Promised(promised) => format!("refuse {ballot}: promised {promised}"),
            Refusal::Granted { until } => {
                format!("refuse {ballot}: granted until {}", time(*until))
            }
            Refusal::Behind { truncated } => format!("refuse {ballot}: truncated {truncated}"),
        },
        Message::Accept { lead: l, proposals } => {
            let said =
                |p: &crate::Proposal| format!("{} {} of {}", p.slot, payload(&p.payload), p.first);
            let said: Vec<String> = proposals.iter().map(said).collect();
            format!("accept {} [{}]", lead(l), said.join(", "))
        }
        Message::Heartbeat { lead: l } => format!("heartbeat {}", lead(l)),
        Message::Accepted { ballot, until, matched, sent } => {
            format!("accepted {ballot} until {} matched {matched} of {sent}", time(*until))
        }
        Message::Commit { ballot, commit, closed } => {
            let closed = closed.map_or(String::new(), |c| format!(" closed {}", time(c.at)));
            format!("commit {ballot} {commit}{closed}")
        }
        Message::Transfer { certificate, to } => {
            let to = to.map_or("anybody".into(), |n| n.to_string());
            format!("transfer {} floor {} to {to}", certificate.ballot, time(certificate.floor))
        }
    }
}

fn show_event(event: Event) -> String {
    match event {
        Event::BecameLeader { ballot, floor } => {
            format!("became leader {ballot} floor {}", time(floor))
        }
        Event::Ready { ballot } => format!("ready {ballot}"),
        Event::LostLeadership { ballot } => format!("lost leadership {ballot}"),
        Event::SnapshotNeeded { to, has } => format!("snapshot needed by {to}, has {has}"),
        Event::Closed { at, through } => format!("may read up to {} through {through}", time(at)),
        Event::Refused { from, why } => format!("refused {from}: {why}"),
        Event::Stray { peer, promised } => format!("stray {peer} promised {promised}"),
    }
}

fn status(world: &World, id: NodeId) -> String {
    let Some(group) = &world.node(id).group else { return format!("{id} down") };
    let s = group.status();
    let ballot = if s.ballot == Ballot::NONE { String::new() } else { format!(" {}", s.ballot) };
    let lease = time(s.lease_end);
    let (truncated, applied, chosen, last) = (s.truncated, s.applied, s.chosen, s.last);
    let at = (world.at - EPOCH) / MS;
    format!(
        "{at}ms {id} {}{ballot} promised {} lease {lease}{} log {truncated}..{last} \
         applied {applied} chosen {chosen}",
        s.role,
        s.promised,
        if s.ready { " ready" } else { "" },
    )
}

fn log(world: &World, id: NodeId, out: &mut String) -> Result<(), Box<dyn Error>> {
    let group = world.node(id).group.as_ref().ok_or("it is down")?;
    for (slot, e) in group.accepted_above(Slot::NONE) {
        writeln!(out, "{slot} {} under {}", entry(e), e.ballot)?;
    }
    Ok(())
}

/// Runs every script.
#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let listing = std::fs::read_dir(&folder).expect("the folder is there");
    let mut paths: Vec<_> = listing.map(|f| f.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no script in {}", folder.display());
    let mut failed = Vec::new();
    for path in paths {
        println!("{}", path.display());
        if let Err(error) = goldenscript::run(&mut Runner::default(), &path) {
            failed.push(format!("{}: {error}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
