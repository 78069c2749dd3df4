//! Starts on a folder, copies of it, and what peers make of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use storage::{MemEngine, memory::Disk};

use super::*;

const NODE: NodeId = NodeId(3);
const FOLDER: Incarnation = Incarnation { since: 1, nonce: 11 };

/// A node's folder, by hand: the clock's bound is whatever the test writes.
#[derive(Default)]
struct Folder {
    disk: Disk,
    drawn: u64,
}

impl Folder {
    /// A start, on what the disk has.
    fn start(&mut self) -> Showing {
        self.drawn += 1;
        let starts = begin(&self.disk.open(), self.drawn).expect("a healthy disk");
        Showing { incarnation: FOLDER, starts }
    }

    /// The clock's bound is raised, durably, and shown.
    fn reach(&self, start: &Showing, bound: u64) -> Reached {
        let engine = self.disk.open();
        identity::write_clock_bound(&engine, bound).expect("a healthy disk");
        engine.sync().expect("a healthy disk");
        Reached { epoch: start.starts.now.epoch, mark: UpperBound(bound) }
    }
}

/// A peer that remembers.
#[derive(Default)]
struct Peer(MemEngine);

impl Peer {
    fn introduced(&self, shown: &Showing) -> Result<(), Objection> {
        remember(&self.0, NODE, shown, EpochCheck::On).expect("a healthy disk")
    }

    fn shown(&self, shown: Reached) -> Result<(), Objection> {
        follow(&self.0, NODE, shown, EpochCheck::On).expect("a healthy disk")
    }
}

fn objects(heard: Result<(), Objection>) -> Reached {
    match heard {
        Err(Objection::OlderCopy(known)) => known,
        other => panic!("an older copy is objected to: {other:?}"),
    }
}

#[test]
fn each_start_raises_the_epoch_and_keeps_where_the_last_one_ended() {
    let mut folder = Folder::default();
    let first = folder.start();
    assert_eq!(first.starts.now.epoch, Epoch { number: 1, nonce: 1 });
    assert_eq!((first.starts.now.mark, first.starts.past.len()), (UpperBound(0), 0));
    let reached = folder.reach(&first, 70);
    folder.disk = folder.disk.crash_losing_unsynced().disk().clone();
    let second = folder.start();
    assert_eq!(second.starts.now.epoch, Epoch { number: 2, nonce: 2 });
    assert_eq!(second.starts.past, [reached]);
}

/// The copy knows of one start less than the peer.
#[test]
fn a_copy_from_before_the_last_start_is_refused() {
    let (mut folder, peer) = (Folder::default(), Peer::default());
    peer.introduced(&folder.start()).expect("nobody knows better");
    let copy = folder.disk.image();
    let known = folder.start();
    peer.introduced(&known).expect("the next start");
    folder.disk.put_back(&copy);
    let copied = folder.start();
    assert_eq!(copied.starts.now.epoch.number, known.starts.now.epoch.number, "it looks the same");
    assert_eq!(objects(peer.introduced(&copied)), known.starts.now);
}

/// The copy knows of every start, and breaks off within the last one.
#[test]
fn a_copy_from_within_the_last_start_is_refused() {
    let (mut folder, peer) = (Folder::default(), Peer::default());
    let start = folder.start();
    peer.introduced(&start).expect("nobody knows better");
    peer.shown(folder.reach(&start, 100)).expect("it goes on");
    let copy = folder.disk.image();
    let last = folder.reach(&start, 101);
    peer.shown(last).expect("it goes on");
    folder.disk.put_back(&copy);
    let copied = folder.start();
    assert!(copied.starts.now.epoch.number > last.epoch.number, "it looks like the next start");
    assert_eq!(objects(peer.introduced(&copied)), last);
}

/// What a copy does after it was put back makes it no better: its clock goes on, it is started again,
/// and peers that know nothing may even have let it in.
#[test]
fn a_copy_is_refused_for_ever() {
    let (mut folder, peer, ignorant) = (Folder::default(), Peer::default(), Peer::default());
    let start = folder.start();
    peer.introduced(&start).expect("nobody knows better");
    let copy = folder.disk.image();
    let last = folder.reach(&start, 100);
    peer.shown(last).expect("it goes on");
    folder.disk.put_back(&copy);
    for again in 1..=2 * PAST_STARTS as u64 {
        let copied = folder.start();
        ignorant.introduced(&copied).expect("it knows nothing");
        folder.reach(&copied, 100 + again);
        // A folder keeps so many starts, and by them the last that it shows is the first it keeps.
        if again < PAST_STARTS as u64 {
            assert_eq!(objects(peer.introduced(&copied)), last, "start {again} of the copy");
        }
    }
}

/// Two processes from one folder: the second is refused, whichever it is.
#[test]
fn of_two_starts_from_one_folder_the_second_is_refused() {
    let (mut folder, peer) = (Folder::default(), Peer::default());
    let copy = folder.disk.image();
    let first = folder.start();
    peer.introduced(&first).expect("nobody knows better");
    folder.disk.put_back(&copy);
    let second = folder.start();
    assert_eq!(objects(peer.introduced(&second)), first.starts.now);
    assert_eq!(objects(peer.shown(second.starts.now)), first.starts.now);
    peer.introduced(&first).expect("asked twice, it says so twice");
}

/// Frames overtake each other and come twice: what is late within a start is no sign of anything.
#[test]
fn a_lower_mark_of_the_same_start_is_late_and_no_more() {
    let (mut folder, peer) = (Folder::default(), Peer::default());
    let start = folder.start();
    peer.introduced(&start).expect("nobody knows better");
    let (early, late) = (folder.reach(&start, 100), folder.reach(&start, 200));
    for shown in [late, early, late] {
        peer.shown(shown).expect("the same start");
    }
    peer.introduced(&start).expect("an introduction that was sent twice");
    let kept = remembered(&peer.0, NODE).expect("a healthy disk");
    assert_eq!(kept, Some(late), "the highest is kept");
}

/// A start that this peer was not told of is introduced first, whatever it shows before.
#[test]
fn what_was_not_introduced_is_not_judged() {
    let (mut folder, peer) = (Folder::default(), Peer::default());
    let first = folder.start();
    peer.shown(first.starts.now).expect("nobody knows it");
    peer.introduced(&first).expect("nobody knows better");
    let second = folder.start();
    peer.shown(second.starts.now).expect("not introduced yet");
    assert_eq!(remembered(&peer.0, NODE).expect("a healthy disk"), Some(first.starts.now));
}

#[test]
fn a_dropped_check_lets_everybody_in() {
    let (mut folder, peer) = (Folder::default(), Peer::default());
    let copy = folder.disk.image();
    peer.introduced(&folder.start()).expect("nobody knows better");
    folder.disk.put_back(&copy);
    let copied = folder.start();
    let heard = remember(&peer.0, NODE, &copied, EpochCheck::UnsafeOff).expect("a healthy disk");
    assert_eq!(heard, Ok(()), "an experiment");
}

#[test]
fn a_majority_of_the_voters_counts_this_node_and_nobody_else() {
    let set = |ids: &[u32]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let voters = |count| (1..=count).map(NodeId).collect::<Vec<_>>();
    for (count, known, enough) in [
        (1, vec![], true),
        (2, vec![], false),
        (3, vec![4, 5, 6], false),
        (3, vec![2], true),
        (5, vec![2], false),
        (5, vec![2, 5], true),
    ] {
        assert_eq!(suffices(&voters(count), NodeId(1), &set(&known)), enough, "{count}: {known:?}");
    }
    assert!(!Confirmed::Asking.suffices(&voters(1), NodeId(1)), "nobody was asked yet");
}

#[test]
fn the_error_says_what_happened_and_what_to_do() {
    let at = |seconds: u64| UpperBound(seconds * 1_000_000_000);
    let reached = |number, nonce, mark| Reached { epoch: Epoch { number, nonce }, mark };
    let starts =
        |now, past| Box::new(Showing { incarnation: FOLDER, starts: Starts { now, past } });
    let known = reached(7, 0xab, at(1_700_000_063));
    let (node, peer) = (NODE, NodeId(1));
    let found = starts(reached(8, 1, at(1_700_000_003)), vec![reached(7, 0xab, at(1_700_000_003))]);
    let within = OlderCopy { node, peer, known, found }.to_string();
    for part in [
        "n3 came back with an older copy of its data folder: n1 remembers start 7",
        "2023-11-14 22:14:20",
        "this folder has start 7",
        "2023-11-14 22:13:20",
        "(--data)",
        "switched off",
    ] {
        assert!(within.contains(part), "no \"{part}\" in: {within}");
    }
    let found = starts(reached(5, 1, at(1)), Vec::new());
    let before = OlderCopy { node, peer, known, found }.to_string();
    assert!(before.contains("this folder has had 5 starts"), "{before}");
}

/// What may happen to an honest node: its folder only goes up, and what is sent may be lost, late and
/// doubled.
#[derive(Clone, Debug)]
enum Step {
    Start,
    Reach,
    Crash,
    /// A message so far back comes to this peer.
    Deliver(usize, usize),
    PeerCrashes(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Start),
        Just(Step::Reach),
        Just(Step::Crash),
        (0..3_usize, 0..4_usize).prop_map(|(peer, back)| Step::Deliver(peer, back)),
        (0..3_usize).prop_map(Step::PeerCrashes),
    ]
}

proptest! {
    /// Objections to earlier starts are sent to nobody: only what concerns the running one counts.
    #[test]
    fn an_honest_node_is_never_objected_to(steps in prop::collection::vec(step(), 1..80)) {
        let (mut folder, mut bound) = (Folder::default(), 0);
        let mut peers: Vec<Peer> = (0..3).map(|_| Peer::default()).collect();
        let mut running = folder.start();
        let mut introduced: BTreeMap<(usize, u64), ()> = BTreeMap::new();
        let mut marks = vec![running.starts.now];
        for step in steps {
            match step {
                Step::Start => {
                    running = folder.start();
                    marks = vec![running.starts.now];
                }
                Step::Reach => {
                    bound += 10;
                    marks.push(folder.reach(&running, bound));
                }
                Step::Crash => {
                    folder.disk = folder.disk.crash_losing_unsynced().disk().clone();
                    running = folder.start();
                    marks = vec![running.starts.now];
                }
                Step::Deliver(at, back) => {
                    let peer = &peers[at];
                    let start = (at, running.starts.now.epoch.number);
                    if introduced.insert(start, ()).is_none() || back == 3 {
                        prop_assert_eq!(peer.introduced(&running), Ok(()));
                        peer.0.sync().expect("a healthy disk");
                    }
                    let shown = marks[marks.len().saturating_sub(back + 1)];
                    prop_assert_eq!(peer.shown(shown), Ok(()));
                }
                Step::PeerCrashes(at) => {
                    peers[at] = Peer(peers[at].0.disk().crash_losing_unsynced());
                }
            }
        }
    }
}
