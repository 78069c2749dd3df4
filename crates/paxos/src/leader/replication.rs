//! Entries and heartbeats on their way to each follower.

use clock::Now;
use keys::NodeId;

use super::Leader;
use crate::{
    Effects, Entry, Event, Lead, Message, Proposal, Slot,
    core::Core,
    peer::{Flow, Peer},
};

impl Leader {
    /// What a request to this follower carries.
    pub(super) fn lead(&self, core: &Core, now: Now, peer: &Peer, sent: Slot) -> Lead {
        Lead {
            ballot: self.ballot,
            until: self.until(core, now),
            commit: core.log.chosen().min(core.log.applied()),
            sent,
            closed: self.closed,
            certificate: self.certificate.filter(|_| !peer.bound),
        }
    }

    pub(super) fn heartbeat(&mut self, core: &Core, now: Now, node: NodeId, out: &mut Effects) {
        let sent = self.peers[&node].surely_arrived();
        let lead = self.lead(core, now, &self.peers[&node], sent);
        let peer = self.peers.get_mut(&node).expect("a peer");
        peer.asked = Some(now.mono);
        peer.ask_at = None;
        out.send.push((node, Message::Heartbeat { lead }));
    }

    pub(super) fn replicate_all(&mut self, core: &Core, now: Now, out: &mut Effects) {
        for node in core.others() {
            self.replicate(core, now, node, out);
        }
    }

    /// Sends a follower what it lacks, within the limits.
    pub(super) fn replicate(&mut self, core: &Core, now: Now, node: NodeId, out: &mut Effects) {
        loop {
            let peer = self.peers.get_mut(&node).expect("a peer");
            let room = peer.room_slots(&core.config);
            let idle = peer.flow != Flow::Streaming || room == 0;
            if idle || peer.next > core.log.last() {
                return;
            }
            if peer.next <= core.log.truncated() {
                if peer.in_flight() {
                    // Its host's disk had some of these slots: it gets the next with its answer.
                    return;
                }
                peer.rewind(&core.config);
                peer.flow = Flow::Snapshot(now.mono);
                out.events.push(Event::SnapshotNeeded { to: node, has: peer.acked });
                return;
            }
            let mut weight = 0;
            let mut proposals = Vec::new();
            let few = usize::try_from(room).unwrap_or(usize::MAX);
            for (slot, entry) in core.log.from(peer.next).take(few) {
                if weight > 0 && weight + entry.payload.weight() > core.config.max_batch_bytes {
                    break;
                }
                weight += entry.payload.weight();
                let Entry { first, payload, .. } = entry.clone();
                proposals.push(Proposal { slot, first, payload });
            }
            self.send_batch(core, now, node, proposals, weight, out);
        }
    }

    /// Sends slots that are truncated here, from the host's disk. See `Group::send_truncated`.
    pub(crate) fn send_truncated(
        &mut self,
        core: &Core,
        now: Now,
        node: NodeId,
        entries: Vec<(Slot, Entry)>,
        out: &mut Effects,
    ) {
        let Some((first, _)) = entries.first() else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if !matches!(peer.flow, Flow::Snapshot(_)) || peer.next != *first {
            return;
        }
        let last = entries.last().expect("there is a first one").0;
        assert!(last <= core.log.truncated(), "{last} of {node} is not truncated here");
        peer.flow = Flow::Streaming;
        let weight = entries.iter().map(|(_, entry)| entry.payload.weight()).sum();
        let proposal = |(slot, Entry { first, payload, .. })| Proposal { slot, first, payload };
        let proposals = entries.into_iter().map(proposal).collect();
        self.send_batch(core, now, node, proposals, weight, out);
    }

    /// Sends a batch, or lets it ride on the one that has not left yet.
    pub(super) fn send_batch(
        &mut self,
        core: &Core,
        now: Now,
        node: NodeId,
        mut proposals: Vec<Proposal>,
        weight: usize,
        out: &mut Effects,
    ) {
        let last = proposals.last().expect("a batch is not empty").slot;
        let lead = self.lead(core, now, &self.peers[&node], last);
        let peer = self.peers.get_mut(&node).expect("a peer");
        peer.asked = Some(now.mono);
        let limit = core.config.max_batch_bytes;
        let fits = peer.batch_bytes.saturating_add(weight) <= limit;
        if let Some((open, batch)) = unsent_accept(out, node).filter(|_| fits)
            && open.ballot == self.ballot
            && open.sent.next() == proposals[0].slot
        {
            *open = lead;
            batch.append(&mut proposals);
            peer.extended(last, weight);
            return;
        }
        peer.sent(last, weight, now.mono);
        out.send.push((node, Message::Accept { lead, proposals }));
    }
}

/// The newest `Accept` to this node that has not left yet.
fn unsent_accept(out: &mut Effects, node: NodeId) -> Option<(&mut Lead, &mut Vec<Proposal>)> {
    let recent = out.send.iter_mut().rev().take(2 * crate::MAX_VOTERS);
    let mut to_node = recent.filter(|(to, _)| *to == node).map(|(_, message)| message);
    if let Some(Message::Accept { lead, proposals }) = to_node.next() {
        Some((lead, proposals))
    } else {
        None
    }
}
