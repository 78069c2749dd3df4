//! The settings of a group. Every limit of this crate is here or next to the queue it bounds.

use std::time::Duration;

use clock::{Now, Timestamp};

use crate::Rules;

/// Settings of a group; the same on all its replicas, though nothing unsafe follows if they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// D of P1: how far beyond `TT.now().latest` a lease request reaches. The time a crashed
    /// leader blocks its group, at most.
    pub lease: Duration,
    /// The longest lease a voter grants, counted from its `TT.now().latest`. A request that reaches
    /// further comes from a broken clock, and would block the group for as long: it is dropped.
    pub max_lease: Duration,
    /// How often an idle leader renews its lease. At most half of `lease`, or one lost heartbeat
    /// loses it.
    pub renew_every: Duration,
    /// How long a replica without a grant in force waits for a sign of a leader or candidate
    /// before it stands for election itself.
    pub election_timeout: Duration,
    /// Candidates are ranked; each rank waits this much longer, so that one wins before the next
    /// stands. Above one round trip and one fsync.
    pub election_stagger: Duration,
    /// A message that is not answered within this time is taken as lost. Above one round trip.
    pub resend_after: Duration,
    /// The host is asked again for a snapshot that has not arrived within this time.
    pub snapshot_retry: Duration,
    /// The durable horizon (P4) is written this far ahead of the grant that needs it: a larger
    /// slack costs fewer writes and makes a restarted replica wait longer.
    pub horizon_slack: Duration,
    /// Most slots proposed and not yet chosen; beyond it `propose` answers `WindowFull`. Also the
    /// most slots in flight to one follower, and half of what a follower accepts beyond a gap.
    pub max_in_flight_slots: u64,
    /// Most bytes proposed and not yet chosen; beyond it `propose` answers `WindowFull`.
    pub max_in_flight_bytes: usize,
    /// Bytes in flight to one follower at first, and after a loss; twice as many with each
    /// acknowledgement.
    pub first_peer_in_flight_bytes: usize,
    /// Most bytes in flight to one follower; beyond it the rest waits for acknowledgements.
    pub max_peer_in_flight_bytes: usize,
    /// Entries are batched into messages of about this many bytes; a larger entry goes alone.
    pub max_batch_bytes: usize,
    /// Largest command; `propose` answers `TooLarge` beyond it.
    pub max_entry_bytes: usize,
    /// Truncation is advised when the log holds more bytes than this.
    pub log_keep_bytes: usize,
    /// Truncation is advised when the log holds more slots than this.
    pub log_keep_slots: u64,
    /// When followers learn that an entry is chosen.
    pub announce: Announce,
    /// Which rules are kept: all of them, but where a test shows that dropping one is noticed.
    pub rules: Rules,
}

/// When followers learn that an entry is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announce {
    /// By a message of its own if no later entry is on its way, else with that entry. Follower
    /// reads lag one way only.
    WhenIdle,
    /// With the next entry or heartbeat only: fewest messages.
    Piggyback,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            lease: Duration::from_secs(3),
            max_lease: Duration::from_secs(60),
            renew_every: Duration::from_secs(1),
            election_timeout: Duration::from_secs(1),
            election_stagger: Duration::from_millis(250),
            resend_after: Duration::from_millis(500),
            snapshot_retry: Duration::from_secs(10),
            horizon_slack: Duration::from_secs(3),
            max_in_flight_slots: 1024,
            max_in_flight_bytes: 32 << 20,
            first_peer_in_flight_bytes: 256 << 10,
            max_peer_in_flight_bytes: 8 << 20,
            max_batch_bytes: 1 << 20,
            max_entry_bytes: 16 << 20,
            log_keep_bytes: 4 << 20,
            log_keep_slots: 4096,
            announce: Announce::WhenIdle,
            rules: Rules::default(),
        }
    }
}

/// How far ahead of the longest lease a timestamp of a peer may lie: what its host served or
/// learned shortly before it stopped, and clocks that are off.
const SLACK: Duration = Duration::from_secs(10);

impl Config {
    /// The last timestamp that can be in use anywhere by now: further ahead than any lease reaches,
    /// nobody assigns, serves or closes anything. Who names a later one is not believed.
    #[must_use]
    pub fn furthest(&self, now: Now) -> Timestamp {
        now.tt.latest_timestamp().plus(self.max_lease * 2 + self.horizon_slack + SLACK)
    }

    /// Panics on settings that could not work; called by every constructor of a group.
    pub(crate) fn check(&self) {
        assert!(self.renew_every * 2 <= self.lease, "a lost heartbeat must not lose the lease");
        assert!(self.lease <= self.max_lease, "voters would drop every request");
        assert!(!self.renew_every.is_zero(), "renewal needs a period");
        assert!(!self.resend_after.is_zero(), "resending needs a period");
        assert!(!self.election_stagger.is_zero(), "ranks need a distance");
        assert!(self.max_in_flight_slots >= 1, "a window of at least one slot");
        assert!(self.max_in_flight_bytes >= self.max_entry_bytes, "any entry fits the window");
        assert!(self.max_batch_bytes >= 1, "a batch of at least one byte");
        let (first, most) = (self.first_peer_in_flight_bytes, self.max_peer_in_flight_bytes);
        assert!((1..=most).contains(&first), "a follower gets {first} of {most} bytes at first");
    }
}
