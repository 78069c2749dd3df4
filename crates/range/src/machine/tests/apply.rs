//! Applying: the same effect, however many entries share a batch.

use std::sync::Arc;

use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{Descriptor, TxnMeta, Write};
use paxos::{Ballot, Slot};
use storage::{Cf, Engine, MemEngine, Reader, Scan, WriteBatch};

use crate::{
    command::Command,
    machine::{Chosen, Machine},
    state::{Applied, RangeState},
};

fn commit(at: u64, value: &'static str) -> Command {
    let key = Key::from("k");
    let txn = TxnMeta {
        id: TxnId(7),
        anchor: key.clone(),
        priority: Timestamp::from_wall(1),
        start: Timestamp::from_wall(1),
    };
    let writes = vec![Write { key, value: Some(value.into()) }];
    Command::Commit { txn, at: Timestamp::from_wall(at), writes, participants: Vec::new() }
}

/// The store after these commands. `together`: entries share a batch as far as that is allowed.
fn applied(commands: &[Command], together: Together) -> Vec<(Vec<u8>, Vec<u8>)> {
    let desc = Descriptor {
        id: RangeId(2),
        span: Span::new("a", "z"),
        generation: 1,
        voters: vec![NodeId(1)],
        preferred_leader: NodeId(1),
    };
    let config = Arc::new(super::world::config());
    let state = RangeState::new(desc);
    let mut machine = Machine::new(NodeId(1), config, state, Applied::default());
    let (engine, mut batch) = (MemEngine::new(), WriteBatch::new());
    for (slot, command) in (1..).zip(commands) {
        let (slot, command) = (Slot(slot), Some(command.encode()));
        let chosen = Chosen { slot, first: Ballot::new(1, NodeId(1)), command, void: false };
        let must = machine.must_flush(&chosen).expect("an entry of ours");
        if must || together == Together::No {
            engine.write(std::mem::take(&mut batch)).expect("no faults");
            machine.flushed();
        }
        machine.apply(&engine, &chosen, &mut batch).expect("no faults");
    }
    engine.write(batch).expect("no faults");
    let mut found = Vec::new();
    for cf in [Cf::Data, Cf::Records] {
        let mut see = |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            true
        };
        engine.scan(Scan::new(cf, &[], &[0xff; 10]), &mut see).expect("no faults");
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    Yes,
    No,
}

/// A commit that comes behind the deletion of its own record must not see the record, whether or not
/// the deletion is written yet: else replicas whose batches end elsewhere differ.
#[test]
fn a_commit_behind_the_deletion_of_its_record_is_the_same_in_any_batch() {
    let forget = Command::Forget { records: vec![(Key::from("k"), TxnId(7))] };
    let commands = [commit(10, "first"), forget, commit(20, "second")];
    let apart = applied(&commands, Together::No);
    assert_eq!(apart.len(), 3, "two versions and a record: {apart:?}");
    assert_eq!(applied(&commands, Together::Yes), apart);
}
