//! The trace of a run: every frame that any node sends, with its time, folded into one number.
//!
//! Two runs from one seed must have the same trace, bit for bit; a difference of a nanosecond or
//! a byte anywhere changes it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use keys::NodeId;
use net::{Lane, Peer, SendError, SharedTransport, Transport};
use timer::Instant;

/// What a run's trace has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSum {
    /// FNV-1a over time, sender, receiver and payload of every frame.
    pub hash: u64,
    /// Frames sent.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl TraceSum {
    fn fold(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The trace of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    started: Instant,
    sum: Arc<Mutex<TraceSum>>,
}

impl Trace {
    /// An empty trace whose times count from now.
    #[must_use]
    pub fn begin() -> Trace {
        let sum = TraceSum { hash: 0xcbf2_9ce4_8422_2325, frames: 0, bytes: 0 };
        Trace { started: Instant::now(), sum: Arc::new(Mutex::new(sum)) }
    }

    /// What it has come to.
    #[must_use]
    pub fn sum(&self) -> TraceSum {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transport that adds to the trace what it carries.
    #[must_use]
    pub fn tap(&self, transport: SharedTransport) -> SharedTransport {
        Arc::new(Tapped { trace: self.clone(), transport })
    }

    /// Adds anything else that must be the same in both runs.
    pub fn note(&self, bytes: &[u8]) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.fold(bytes);
    }

    fn add(&self, from: NodeId, to: NodeId, payload: &[u8]) {
        let at = self.started.elapsed().as_nanos().to_be_bytes();
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = (from.0.to_be_bytes(), to.0.to_be_bytes());
        for part in [at.as_slice(), &from, &to, payload] {
            sum.fold(part);
        }
        sum.frames += 1;
        sum.bytes += payload.len() as u64;
    }
}

#[derive(Debug)]
struct Tapped {
    trace: Trace,
    transport: SharedTransport,
}

impl Transport for Tapped {
    fn local(&self) -> NodeId {
        self.transport.local()
    }

    fn send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        self.trace.add(self.transport.local(), to, &payload);
        self.transport.send(to, lane, payload)
    }

    fn peers(&self) -> Vec<Peer> {
        self.transport.peers()
    }
}
