//! What has arrived at a node and is not looked at yet: a bounded queue for each lane.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use tokio::sync::mpsc;

use crate::{Frame, Lane};

/// Frames of one lane that wait in a node's inbox before the newest are dropped. A node that is so far
/// behind is better served by the senders' repetitions than by a longer queue.
pub const INBOX_FRAMES: usize = 8192;

/// Bytes of one lane that wait before the newest frames are dropped. A frame that waits alone may be
/// larger.
pub const INBOX_BYTES: usize = 64 << 20;

/// A node's inbox is full: the frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The receiving end of a node. Ends when the transport does.
#[derive(Debug)]
pub struct Inbox {
    lanes: [mpsc::Receiver<Frame>; Lane::ALL.len()],
    bytes: Arc<[AtomicUsize; Lane::ALL.len()]>,
}

/// Where a transport puts what arrives.
#[derive(Clone, Debug)]
pub(crate) struct InboxSender {
    lanes: [mpsc::Sender<Frame>; Lane::ALL.len()],
    bytes: Arc<[AtomicUsize; Lane::ALL.len()]>,
}

/// An empty inbox.
pub(crate) fn inbox() -> (InboxSender, Inbox) {
    let [(lease, leases), (ordinary, ordinaries), (bulk, bulks)] =
        Lane::ALL.map(|_| mpsc::channel(INBOX_FRAMES));
    let bytes = Arc::<[AtomicUsize; Lane::ALL.len()]>::default();
    let sender = InboxSender { lanes: [lease, ordinary, bulk], bytes: Arc::clone(&bytes) };
    (sender, Inbox { lanes: [leases, ordinaries, bulks], bytes })
}

impl InboxSender {
    /// Puts a frame behind the others of its lane.
    pub fn push(&self, lane: Lane, frame: Frame) -> Result<(), Full> {
        let (bytes, queued) = (frame.payload.len(), &self.bytes[lane.index()]);
        let before = queued.fetch_add(bytes, Ordering::AcqRel);
        let fits = before == 0 || before.saturating_add(bytes) <= INBOX_BYTES;
        if fits && self.lanes[lane.index()].try_send(frame).is_ok() {
            return Ok(());
        }
        queued.fetch_sub(bytes, Ordering::AcqRel);
        Err(Full)
    }
}

impl Inbox {
    /// The next frame, of the most urgent lane that has one; `None`: nothing comes any more.
    pub async fn recv(&mut self) -> Option<Frame> {
        let (index, frame) = poll_fn(|cx| {
            let mut ended = true;
            for (index, lane) in self.lanes.iter_mut().enumerate() {
                match lane.poll_recv(cx) {
                    Poll::Ready(Some(frame)) => return Poll::Ready(Some((index, frame))),
                    Poll::Ready(None) => {}
                    Poll::Pending => ended = false,
                }
            }
            if ended { Poll::Ready(None) } else { Poll::Pending }
        })
        .await?;
        self.taken(index, &frame);
        Some(frame)
    }

    /// The next frame, if one waits.
    pub fn try_recv(&mut self) -> Option<Frame> {
        let mut lanes = self.lanes.iter_mut().enumerate();
        let (index, frame) =
            lanes.find_map(|(index, lane)| Some((index, lane.try_recv().ok()?)))?;
        self.taken(index, &frame);
        Some(frame)
    }

    fn taken(&self, index: usize, frame: &Frame) {
        let bytes = frame.payload.len();
        let before = self.bytes[index].fetch_sub(bytes, Ordering::AcqRel);
        assert!(before >= bytes, "{bytes} bytes leave an inbox of {before}");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use keys::NodeId;

    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame { from: NodeId(2), payload: Bytes::from(vec![0; bytes]) }
    }

    #[tokio::test]
    async fn what_keeps_leases_is_never_behind_the_rest_and_each_lane_has_its_own_limit() {
        let (sender, mut inbox) = inbox();
        sender.push(Lane::Bulk, frame(INBOX_BYTES + 5)).expect("alone it may be large");
        assert_eq!(sender.push(Lane::Bulk, frame(1)), Err(Full), "bytes");
        for _ in 0..INBOX_FRAMES {
            sender.push(Lane::Ordinary, frame(1)).expect("there is room");
        }
        assert_eq!(sender.push(Lane::Ordinary, frame(1)), Err(Full), "frames");
        sender.push(Lane::Lease, frame(3)).expect("nothing waits in its lane");
        assert_eq!(inbox.recv().await.map(|frame| frame.payload.len()), Some(3));
        for _ in 0..INBOX_FRAMES {
            assert_eq!(inbox.recv().await.map(|frame| frame.payload.len()), Some(1));
        }
        drop(sender);
        assert_eq!(inbox.recv().await.map(|frame| frame.payload.len()), Some(INBOX_BYTES + 5));
        assert_eq!((inbox.recv().await, inbox.try_recv()), (None, None));
    }
}
