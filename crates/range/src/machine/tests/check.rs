//! The checker: with all timestamps known, a history is right or wrong, exactly.

use std::collections::BTreeMap;

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use storage::{Cf, Reader, Scan, mvcc, records};

use super::{
    gateway::{Gateway, Kind, Told},
    world::World,
};
use crate::record::{Record, Verdict};

/// Who committed, and when. What records are left say so, too.
fn committed(world: &World) -> Result<BTreeMap<TxnId, Timestamp>, String> {
    for group in &world.groups {
        let leader = group.leader.expect("healed");
        let engine = &group.replicas[leader].engine;
        let (start, end) = records::bounds(&group.span);
        let mut wrong = None;
        engine
            .scan(Scan::new(Cf::Records, &start, &end), &mut |key, stored| {
                let (_, txn) = records::parse(key).expect("sound");
                let record = Record::parse(key, stored).expect("sound");
                let said = match record.verdict {
                    Verdict::Committed { at, .. } => Some(at),
                    Verdict::Aborted(_) => None,
                };
                if said != world.decided.get(&txn).copied() {
                    wrong = Some(format!("X7: the record of {txn:?} says {said:?} now"));
                }
                wrong.is_none()
            })
            .expect("no faults");
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
    }
    Ok(world.decided.clone())
}

/// Judges what happened. Everything is at rest, every replica has applied everything.
pub fn check(world: &World, gateways: &[Gateway]) -> Result<(), String> {
    let commits = committed(world)?;
    let mut versions: BTreeMap<&str, Vec<(Timestamp, usize)>> = BTreeMap::new();
    for gateway in gateways {
        if let Some(at) = commits.get(&gateway.id()) {
            for key in &gateway.program.writes {
                versions.entry(key).or_default().push((*at, gateway.me + 1));
            }
        }
    }
    outcomes(gateways, &commits)?;
    stored(world, &versions)?;
    for (key, list) in &mut versions {
        list.sort_unstable();
        if let Some(pair) = list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("a tie on {key}: {pair:?}"));
        }
    }
    for gateway in gateways {
        reads(gateway, &commits, &versions)?;
        real_time(gateway, gateways, &commits)?;
    }
    Ok(())
}

/// X7, X8: what a client heard stays true.
fn outcomes(gateways: &[Gateway], commits: &BTreeMap<TxnId, Timestamp>) -> Result<(), String> {
    for gateway in gateways {
        let at = commits.get(&gateway.id()).copied();
        match gateway.told {
            Told::Committed(told) if at != Some(told) => {
                return Err(format!("{} was told {told}, the record says {at:?}", gateway.me));
            }
            Told::Aborted if at.is_some() => {
                return Err(format!("{} was told aborted, the record says {at:?}", gateway.me));
            }
            Told::Committed(_) | Told::Aborted | Told::Nothing => {}
        }
    }
    Ok(())
}

/// Nothing is lost, nothing is invented, and replicas are equal.
fn stored(world: &World, versions: &BTreeMap<&str, Vec<(Timestamp, usize)>>) -> Result<(), String> {
    for (key, list) in versions {
        let group = &world.groups[world.group_of(key.as_bytes())];
        for replica in &group.replicas {
            let engine = &replica.engine;
            let intent = mvcc::intent(engine, &Key::from(*key)).expect("no faults");
            for (at, writer) in list {
                let found = mvcc::get(engine, &Key::from(*key), *at).expect("no faults");
                let there = found.is_some_and(|version| version.ts == *at);
                let prepared = intent.as_ref().is_some_and(|i| i.txn == TxnId(*writer as u128));
                if !there && !prepared {
                    return Err(format!("lost: {writer}'s version of {key} at {at}"));
                }
            }
        }
    }
    for group in &world.groups {
        let at = Timestamp::MAX;
        let mut sums = group
            .replicas
            .iter()
            .map(|replica| mvcc::checksum(&replica.engine, &group.span, at).expect("no faults"));
        let first = sums.next();
        if sums.any(|sum| Some(sum) != first) {
            return Err("replicas differ".to_owned());
        }
        invented(world, &group.span, versions)?;
    }
    Ok(())
}

/// Every stored version was committed.
fn invented(
    world: &World,
    span: &Span,
    versions: &BTreeMap<&str, Vec<(Timestamp, usize)>>,
) -> Result<(), String> {
    let group = &world.groups[world.group_of(&span.start)];
    let engine = &group.replicas[0].engine;
    for (key, list) in versions.iter().filter(|(key, _)| span.contains(key.as_bytes())) {
        let mut at = Timestamp::MAX;
        while let Some(version) = mvcc::get(engine, &Key::from(*key), at).expect("no faults") {
            if !list.iter().any(|(known, _)| *known == version.ts) {
                return Err(format!("nobody committed {key} at {}", version.ts));
            }
            at = version.ts.prev();
        }
    }
    Ok(())
}

/// Every read saw the newest version at or below its timestamp, its own writes aside.
fn reads(
    gateway: &Gateway,
    commits: &BTreeMap<TxnId, Timestamp>,
    versions: &BTreeMap<&str, Vec<(Timestamp, usize)>>,
) -> Result<(), String> {
    let writer = gateway.program.kind == Kind::ReadWrite;
    let at = match commits.get(&gateway.id()) {
        Some(at) => *at,
        None if writer => return Ok(()),
        None => gateway.snapshot,
    };
    for (key, seen) in &gateway.seen {
        let list = versions.get(key).map_or(&[][..], Vec::as_slice);
        let older = list.iter().filter(|(t, who)| *t <= at && *who != gateway.me + 1);
        let expected = older.max().map_or(0, |(_, who)| *who);
        if *seen != expected {
            return Err(format!(
                "{} ({:?}) at {at} saw {seen} on {key}, which was {expected}'s then: {list:?}",
                gateway.me + 1,
                gateway.program.kind
            ));
        }
    }
    Ok(())
}

/// Acknowledged before it began: a smaller timestamp.
fn real_time(
    gateway: &Gateway,
    gateways: &[Gateway],
    commits: &BTreeMap<TxnId, Timestamp>,
) -> Result<(), String> {
    if gateway.program.kind == Kind::Stale {
        return Ok(());
    }
    for before in &gateway.before {
        let Some(earlier) = commits.get(&gateways[*before].id()) else { continue };
        let wrong = match commits.get(&gateway.id()) {
            Some(at) => earlier >= at,
            None => *earlier > gateway.snapshot && gateway.began,
        };
        if wrong {
            return Err(format!(
                "{} was acknowledged at {earlier} before {} began at {}",
                before + 1,
                gateway.me + 1,
                gateway.snapshot
            ));
        }
    }
    Ok(())
}
