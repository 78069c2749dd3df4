//! Who stops, and who does not.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const TRUTH: u64 = 1_000_000 * MS;

/// A reading at a true time, of a clock that is off by so much and claims so much.
fn reading(at: u64, off: i64, epsilon: u64) -> Interval {
    let middle = at.saturating_add_signed(off);
    Interval { earliest: middle - epsilon, latest: middle + epsilon }
}

/// A moment before any jump.
fn at(mono: u64) -> Moment {
    Moment { at: Mono(mono), after: Jumps(0) }
}

/// What a node hears of itself from a peer over a round trip.
fn opinion(own: (i64, u64), peer: (i64, u64), round_trip: u64) -> Opinion {
    let before = reading(TRUTH, own.0, own.1);
    let there = reading(TRUTH + round_trip / 2, peer.0, peer.1);
    let after = reading(TRUTH + round_trip, own.0, own.1);
    Opinion::new(before, there, after)
}

/// Whether node `who` stops, where nodes are off by so many milliseconds, claim ±4 ms, and are so
/// many milliseconds apart.
fn stops(who: usize, off: &[i64], round_trip: impl Fn(usize) -> u64) -> Option<Distrust> {
    let guard = Guard::new(NodeId(who as u32 + 1), ClockGuard::On);
    for peer in (0..off.len()).filter(|peer| *peer != who) {
        let ends = (off[who] * MS as i64, off[peer] * MS as i64);
        let heard = opinion((ends.0, 4 * MS), (ends.1, 4 * MS), round_trip(peer) * MS);
        guard.heard(NodeId(peer as u32 + 1), heard, at(5));
    }
    guard.judge(Duration::from_millis(4), at(5));
    assert_eq!(guard.stops(), guard.distrust().is_some());
    guard.distrust()
}

#[test]
fn of_three_the_one_that_is_wrong_stops() {
    let off = [0, 0, 300];
    let wrong = stops(2, &off, |_| 66).expect("both others contradict it");
    assert_eq!(wrong.peers, [NodeId(1), NodeId(2)]);
    assert!(wrong.offset_nanos > 200 * MS as i128 && wrong.offset_nanos <= 300 * MS as i128);
    assert!(wrong.to_string().contains("ahead of"), "{wrong}");
    assert_eq!(stops(0, &off, |_| 66), None);
    assert!(stops(2, &[0, 0, -300], |_| 66).expect("behind").to_string().contains("behind"));
}

#[test]
fn neighbours_notice_what_is_too_little_for_those_far_away() {
    let off = [0, 0, 40, 0, 0, 0, 0, 0, 0];
    let far = |peer: usize| if peer < 3 { 1 } else { 66 };
    let wrong = stops(2, &off, far).expect("its neighbours contradict it, the others cannot tell");
    assert_eq!(wrong.peers, [NodeId(1), NodeId(2)]);
    assert_eq!((stops(0, &off, far), stops(1, &off, far)), (None, None));
}

#[test]
fn of_two_nobody_stops() {
    assert_eq!((stops(0, &[0, 300], |_| 1), stops(1, &[0, 300], |_| 1)), (None, None));
}

#[test]
fn a_guard_that_is_off_stops_nobody_and_old_opinions_count_no_more() {
    let guard = Guard::new(NodeId(3), ClockGuard::On);
    let hear = |now| {
        for peer in [1, 2] {
            guard.heard(NodeId(peer), opinion((300 * MS as i64, 4 * MS), (0, 4 * MS), MS), now);
        }
    };
    let judge = |now| guard.judge(Duration::from_millis(4), now).disputed;
    hear(at(0));
    assert!(judge(at(0)) && guard.stops());
    guard.set_mode(ClockGuard::UnsafeOff);
    assert!(!guard.stops());
    assert!(judge(at(0)) && !guard.stops());
    guard.set_mode(ClockGuard::On);
    assert!(judge(at(0)) && guard.stops());
    let later = Moment { at: Mono(0).plus(LIVE_WINDOW * 2), after: Jumps(0) };
    assert!(!judge(later) && !guard.stops());
}

proptest! {
    /// The one promise of the guard: whatever honest clocks claim and wherever they are within it,
    /// whatever the network does, nobody stops.
    #[test]
    fn honest_clocks_stop_nobody(
        own in (-1.0..1.0f64, 0..300u64),
        peers in prop::collection::vec((-1.0..1.0f64, 0..300u64, 0..2_000u64, 0.0..1.0f64), 1..10),
        turned_to in 0..300u64,
    ) {
        let clock = |at, share: f64, epsilon: u64| {
            reading(at, (share * (epsilon * MS) as f64) as i64, epsilon * MS)
        };
        let opinions: Vec<(NodeId, Opinion)> = peers
            .iter()
            .enumerate()
            .map(|(id, (share, epsilon, round_trip, when))| {
                // ε here is turned while the ping is under way.
                let before = clock(TRUTH, own.0, own.1);
                let after = clock(TRUTH + round_trip * MS, own.0, turned_to);
                let at = TRUTH + ((round_trip * MS) as f64 * when) as u64;
                (NodeId(id as u32), Opinion::new(before, clock(at, *share, *epsilon), after))
            })
            .collect();
        prop_assert!(opinions.iter().all(|(_, opinion)| opinion.allows(0)));
        prop_assert_eq!(verdict(&opinions, Duration::ZERO), None);
    }
}

/// T6: after a jump only what was heard since counts, and one peer at least must agree.
#[test]
fn peers_confirm_the_time_after_a_jump() {
    let guard = Guard::new(NodeId(1), ClockGuard::On);
    let (agrees, contradicts) = (opinion((0, 4 * MS), (0, 4 * MS), MS), {
        opinion((0, 4 * MS), (300 * MS as i64, 4 * MS), MS)
    });
    let epsilon = Duration::from_millis(4);
    let after = |jumps| Moment { at: Mono(5), after: Jumps(jumps) };
    guard.heard(NodeId(2), agrees, after(0));
    guard.heard(NodeId(3), agrees, after(0));
    assert!(guard.judge(epsilon, after(0)).confirmed);
    let judged = guard.judge(epsilon, after(1));
    assert!(!judged.confirmed && !judged.disputed, "what was heard before is forgotten");
    guard.heard(NodeId(2), contradicts, after(1));
    assert!(!guard.judge(epsilon, after(1)).confirmed, "the only one contradicts");
    assert!(!guard.stops(), "and is no majority");
    guard.heard(NodeId(3), agrees, after(1));
    assert!(guard.judge(epsilon, after(1)).confirmed);
    guard.set_mode(ClockGuard::UnsafeOff);
    assert!(guard.judge(epsilon, after(2)).confirmed, "an experiment asks nobody");
}

#[tokio::test]
async fn each_jump_is_told_once() {
    use futures::FutureExt as _;
    let guard = Guard::new(NodeId(1), ClockGuard::On);
    guard.alarm(Jumps(0));
    assert_eq!(guard.alarmed().now_or_never(), None, "no jump yet");
    guard.alarm(Jumps(1));
    guard.alarm(Jumps(1));
    assert_eq!(guard.alarmed().now_or_never(), Some(()));
    guard.alarm(Jumps(1));
    assert_eq!(guard.alarmed().now_or_never(), None);
    guard.alarm(Jumps(2));
    assert_eq!(guard.alarmed().now_or_never(), Some(()));
}
