//! How many proposals a second the state machine itself takes: three replicas in memory, disks and
//! network that take no time, 64 commands in flight.
//!
//! `cargo run --release -p paxos --example proposals`

use std::{mem, time::Duration};

use bytes::Bytes;
use clock::{Interval, Mono, Now};
use keys::{NodeId, RangeId};
use paxos::{Config, Effects, Group, Membership, Message, ProposeError};

const IN_FLIGHT: u64 = 64;
const COMMANDS: u64 = 1_000_000;
const KEPT_SLOTS: u64 = 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ids = [1, 2, 3].map(NodeId);
    let membership = Membership::majority(ids.to_vec())?;
    let new =
        |me| Group::create(RangeId(1), me, membership.clone(), Some(NodeId(1)), Config::default());
    let mut groups = ids.map(|me| new(me).0);
    let command = Bytes::from(vec![7; 128]);
    let mut wire: Vec<(NodeId, NodeId, Message)> = Vec::new();
    let (mut proposed, mut messages, mut at) = (0, 0_u64, 1_000_000_000_000_u64);
    #[expect(clippy::disallowed_methods, reason = "a measurement, outside any simulation")]
    let start = std::time::Instant::now();
    while groups[0].applied_slot().0 < COMMANDS {
        at += 100_000;
        let now = Now { tt: Interval { earliest: at, latest: at }, mono: Mono(at) };
        let mut out = Effects::default();
        groups[0].tick(now, &mut out);
        while proposed < COMMANDS && proposed < groups[0].applied_slot().0 + IN_FLIGHT {
            match groups[0].propose(now, command.clone(), &mut out) {
                Ok(_) => proposed += 1,
                Err(ProposeError::LeaseLapsed) => break,
                Err(error) => return Err(error.into()),
            }
        }
        carry_out(&mut groups[0], ids[0], now, out, &mut wire);
        while !wire.is_empty() {
            for (from, to, message) in mem::take(&mut wire) {
                messages += 1;
                let group = &mut groups[to.0 as usize - 1];
                let mut out = Effects::default();
                group.message(now, from, message, &mut out);
                carry_out(group, to, now, out, &mut wire);
            }
        }
    }
    let took: Duration = start.elapsed();
    let rate = COMMANDS as f64 / took.as_secs_f64();
    println!("{rate:.0} proposals/s, {:.3} messages each", messages as f64 / COMMANDS as f64);
    Ok(())
}

/// A host whose disk takes no time.
fn carry_out(
    group: &mut Group,
    me: NodeId,
    now: Now,
    mut out: Effects,
    wire: &mut Vec<(NodeId, NodeId, Message)>,
) {
    loop {
        let Effects { token, send, send_durable, chosen, .. } = mem::take(&mut out);
        wire.extend(send.into_iter().chain(send_durable).map(|(to, m)| (me, to, m)));
        if let Some(last) = chosen.last() {
            group.applied(last.slot, &mut out);
            if last.slot.0.is_multiple_of(KEPT_SLOTS) || group.truncation_due().is_some() {
                group.truncate(last.slot, &mut out);
            }
        }
        let Some(token) = token else {
            if out.is_empty() {
                return;
            }
            continue;
        };
        group.persisted(now, token, &mut out);
    }
}
