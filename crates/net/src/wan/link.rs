//! One direction between two nodes: when does what is sent now arrive?
//!
//! A plain state machine: time comes in as an argument, randomness from the link's own generator.

use std::time::Duration;

use keys::NodeId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Lane, Pace, pace::tick_nanos};

/// Frames in flight on a link before the newest are dropped.
const QUEUE_FRAMES: usize = 65_536;

/// Bytes in flight on a link before the newest are dropped. A frame alone on the link may be
/// larger.
const QUEUE_BYTES: usize = 64 << 20;

/// How much later than it should a frame may come that is duplicated or out of order.
pub const LATE_MAX: Duration = Duration::from_millis(200);

/// Nanoseconds since the network's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub u64);

/// How a link behaves. The default is a perfect one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkSpec {
    /// The mean one-way delay.
    pub delay: Duration,
    /// The largest deviation from it, either way; evenly spread. At most `delay` takes effect.
    pub jitter: Duration,
    /// Bytes per second; `None` is without limit.
    pub bandwidth_bytes_per_s: Option<u64>,
    /// The probability that a frame is lost: 0 to 1.
    pub loss: f64,
    /// The probability that a frame arrives twice, the second time up to [`LATE_MAX`] later.
    pub duplicate: f64,
    /// The probability that a frame comes late, up to [`LATE_MAX`], and is overtaken: otherwise a
    /// link keeps order.
    pub reorder: f64,
}

/// What a link has carried and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Frames that were put onto it or dropped in the attempt.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Frames that reached the receiver's inbox, and probes.
    pub delivered: u64,
    /// Frames lost at random.
    pub lost: u64,
    /// Frames lost since the link was cut when they were sent or should have arrived.
    pub cut: u64,
    /// Frames lost since the receiver was down or had restarted when they should have arrived.
    pub peer_down: u64,
    /// Frames dropped at the sender: too much was in flight.
    pub queue_full: u64,
    /// Frames dropped at the receiver: its inbox was full.
    pub inbox_full: u64,
}

/// When a frame arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrivals {
    pub first: Moment,
    /// If it arrives twice.
    pub second: Option<Moment>,
}

/// Why a frame does not travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    Cut,
    Lost,
    QueueFull,
}

/// The state of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub spec: LinkSpec,
    pub cut: bool,
    pub stats: LinkStats,
    rng: ChaCha8Rng,
    /// When the last byte sent so far has left the sender: bandwidth is used up until then.
    busy_until: Moment,
    /// When the frame sent last in each lane arrives. No later one of that lane arrives before.
    last_due: [Moment; Lane::ALL.len()],
    queued_frames: usize,
    queued_bytes: usize,
}

impl Link {
    /// A perfect link. Its randomness depends on the network's seed and its ends alone.
    pub fn new(seed: u64, from: NodeId, to: NodeId) -> Link {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..12].copy_from_slice(&from.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&to.0.to_le_bytes());
        Link {
            spec: LinkSpec::default(),
            cut: false,
            stats: LinkStats::default(),
            rng: ChaCha8Rng::from_seed(bytes),
            busy_until: Moment::default(),
            last_due: Default::default(),
            queued_frames: 0,
            queued_bytes: 0,
        }
    }

    /// When a frame of this size arrives, if it is sent now.
    pub fn schedule(
        &mut self,
        now: Moment,
        lane: Lane,
        bytes: usize,
        pace: Pace,
    ) -> Result<Arrivals, Dropped> {
        self.admit(bytes)?;
        // Drawn whether needed or not: then a loss of zero and a loss of one per cent see the same
        // jitter, which makes runs comparable.
        let (luck, deviation): (f64, f64) = (self.rng.random(), self.rng.random());
        let rounding: f64 = self.rng.random();
        let (twice, overtaken): (f64, f64) = (self.rng.random(), self.rng.random());
        let (late, later): (f64, f64) = (self.rng.random(), self.rng.random());
        if luck < self.spec.loss {
            self.stats.lost += 1;
            return Err(Dropped::Lost);
        }
        // P2a: what keeps leases passes by what waits for the bandwidth.
        let begun = match lane {
            Lane::Lease => now,
            Lane::Ordinary | Lane::Bulk => self.busy_until.max(now),
        };
        let left = begun.0 + self.transmission_nanos(bytes);
        self.busy_until = self.busy_until.max(Moment(left));
        let exact = left + self.delay_nanos(deviation);
        let due = match pace {
            Pace::Live => exact,
            Pace::Virtual => to_tick(exact, rounding),
        };
        let due = due.max(now.0);
        let first = if overtaken < self.spec.reorder {
            self.queue(Moment(due + late_by(late)), bytes)
        } else {
            self.enqueue(Moment(due), lane, bytes)
        };
        let twin = (twice < self.spec.duplicate).then(|| Moment(first.0 + late_by(later)));
        Ok(Arrivals { first, second: twin.map(|due| self.queue(due, bytes)) })
    }

    /// The same on a link that is perfect for now.
    pub fn schedule_at_once(
        &mut self,
        now: Moment,
        lane: Lane,
        bytes: usize,
    ) -> Result<Arrivals, Dropped> {
        self.admit(bytes)?;
        Ok(Arrivals { first: self.enqueue(now, lane, bytes), second: None })
    }

    /// A frame of this size has arrived, or got lost where it should have.
    pub fn arrived(&mut self, bytes: usize) {
        assert!(self.queued_frames > 0, "a frame arrives that is not in flight");
        self.queued_frames -= 1;
        self.queued_bytes -= bytes;
    }

    /// Frames in flight.
    pub fn queued_frames(&self) -> usize {
        self.queued_frames
    }

    fn admit(&mut self, bytes: usize) -> Result<(), Dropped> {
        self.stats.sent += 1;
        self.stats.sent_bytes += bytes as u64;
        if self.cut {
            self.stats.cut += 1;
            return Err(Dropped::Cut);
        }
        let too_large = self.queued_frames > 0 && self.queued_bytes + bytes > QUEUE_BYTES;
        if self.queued_frames >= QUEUE_FRAMES || too_large {
            self.stats.queue_full += 1;
            return Err(Dropped::QueueFull);
        }
        Ok(())
    }

    fn enqueue(&mut self, due: Moment, lane: Lane, bytes: usize) -> Moment {
        let last = &mut self.last_due[lane.index()];
        let due = due.max(*last);
        *last = due;
        self.queue(due, bytes)
    }

    /// Puts a frame in flight that need not keep order.
    fn queue(&mut self, due: Moment, bytes: usize) -> Moment {
        self.queued_frames += 1;
        self.queued_bytes += bytes;
        due
    }

    fn transmission_nanos(&self, bytes: usize) -> u64 {
        let Some(bandwidth) = self.spec.bandwidth_bytes_per_s else { return 0 };
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(bandwidth.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX / 4)
    }

    /// The delay for a deviation drawn from 0..1.
    fn delay_nanos(&self, deviation: f64) -> u64 {
        let delay = nanos(self.spec.delay);
        let jitter = nanos(self.spec.jitter).min(delay);
        let deviation = (deviation * 2.0 * jitter as f64) as u64;
        delay - jitter + deviation
    }
}

/// How late, for a number drawn from 0..1: whole ticks, since a paused clock stops nowhere else.
fn late_by(drawn: f64) -> u64 {
    let tick = tick_nanos();
    (drawn * nanos(LATE_MAX) as f64) as u64 / tick * tick
}

/// One of the two ticks around a moment, drawn so that the mean is the moment.
fn to_tick(exact: u64, rounding: f64) -> u64 {
    let tick = tick_nanos();
    let (whole, beyond) = (exact / tick, exact % tick);
    let up = rounding * (tick as f64) < beyond as f64;
    (whole + u64::from(up)) * tick
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
