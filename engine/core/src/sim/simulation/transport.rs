//! Messages and frames between nodes, and the links that carry them.

use super::*;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl Simulation {
    pub(super) fn send_message(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        let copies = 1 + u64::from(self.occurs(self.profile.duplicated));
        for _ in 0..copies {
            let mut delay = self.delay();
            if self.occurs(self.profile.late) {
                delay += self.random.below(3_000_000);
            }
            if self.occurs(self.profile.lost) || self.is_cut(from, to) {
                continue;
            }
            let message = Box::new(message.clone());
            let at = self.now + delay;
            self.at(at, SimEvent::Message { from, to, message });
        }
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        match (self.processes.get(&from), self.processes.get(&to)) {
            (Some(a), Some(b)) => self.network.is_cut(a.slot, b.slot),
            _ => true,
        }
    }

    /// Writes what waits for a link, unless a write is under way.
    pub(super) fn write_unsent(&mut self, from: NodeId, to: NodeId) {
        let direction = Network::direction(from, to);
        let link = self.network.link(from, to);
        if link.writing[direction] || link.unsent[direction].is_empty() {
            return;
        }
        let bytes = core::mem::take(&mut link.unsent[direction]);
        link.writing[direction] = true;
        let takes = (bytes.len() as u64).checked_div(self.profile.link_bytes).unwrap_or_default();
        let written = self.now + takes;
        let delay = self.delay();
        let link = self.network.link(from, to);
        let arrival = &mut link.arrival[direction];
        *arrival = (written + delay).max(*arrival + 1);
        let (at, generation) = (*arrival, link.generation);
        self.at(at, SimEvent::Frames { from, to, generation, bytes: aligned(&bytes) });
        self.at(written, SimEvent::Written { from, to, generation });
    }

    /// Handles that a link has taken what was written: there is more, or it has drained.
    pub(super) fn on_written(&mut self, from: NodeId, to: NodeId, generation: u64) {
        let direction = Network::direction(from, to);
        let link = self.network.link(from, to);
        if link.generation != generation {
            return;
        }
        link.writing[direction] = false;
        if !link.unsent[direction].is_empty() {
            return self.write_unsent(from, to);
        }
        let Some(process) = self.processes.get(&from) else { return };
        let waits = |(_, replica): &(usize, &Replica)| replica.waits_for_room(to);
        let waiting: Vec<usize> =
            process.replicas.iter().enumerate().filter(waits).map(|(shard, _)| shard).collect();
        if !waiting.is_empty() {
            self.turn(from, |_, _, turn| turn.touched.extend(waiting));
        }
    }

    pub(super) fn on_frames(
        &mut self,
        from: NodeId,
        to: NodeId,
        generation: u64,
        bytes: FrameBytes,
    ) {
        let is_cut = self.is_cut(from, to);
        let link = self.network.link(from, to);
        if !link.up || link.generation != generation {
            return;
        }
        let blocked = &mut link.blocked[Network::direction(from, to)];
        if is_cut || !blocked.is_empty() {
            blocked.push(bytes);
            return;
        }
        self.take_frames(from, to, &bytes);
    }

    pub(super) fn take_frames(&mut self, from: NodeId, to: NodeId, bytes: &FrameBytes) {
        self.trace.words([2, low(from), low(to)]);
        self.trace.bytes(bytes);
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        let sim_now = self.now;
        self.turn(to, |process, _, turn| {
            let now = process.day.at(sim_now);
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("links carry whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.kind, header.shard.0, header.epoch, header.number));
                let shard = usize::from(header.shard.0);
                turn.touched.insert(shard);
                let replica = &mut process.replicas[shard];
                match header.kind {
                    FrameKind::Forward => replica.on_forward(from, now, &frame, turn),
                    FrameKind::Ack => replica.on_ack(from, header, turn),
                    FrameKind::Resume => replica.on_resume(from, header, turn),
                    FrameKind::Digest => replica.on_digest(from, header, turn),
                    FrameKind::Snapshot => replica.on_snapshot(from, now, &frame, turn),
                    other => unreachable!("nodes do not send {other:?}"),
                }
            }
        });
        self.trace.print(self.now, || format!("{from} => {to}: {lines:?}"));
    }

    /// Tries to connect two nodes.
    pub(super) fn dial(&mut self, from: NodeId, to: NodeId) {
        let cut = self.is_cut(from, to) || self.is_cut(to, from);
        let still =
            |node: &NodeId| self.processes.get(node).is_some_and(|process| process.inbox.is_some());
        let waits = still(&from) || still(&to);
        let link = self.network.link(from, to);
        link.dialing = false;
        if link.up {
            return;
        }
        if cut || waits {
            link.failures += u32::from(cut);
            if link.failures == 3 {
                self.turn(from, |process, now, turn| {
                    process.member.on_link(now, to, false, &mut turn.actions);
                });
            }
            let at = self.now + self.random.between(20_000, 150_000);
            let link = self.network.link(from, to);
            if !link.dialing && self.processes.contains_key(&from) {
                link.dialing = true;
                self.at(at, SimEvent::Dial { from, to });
            }
            return;
        }
        link.failures = 0;
        link.up = true;
        self.trace.print(self.now, || format!("{from} and {to} have a link"));
        for (node, peer) in [(from, to), (to, from)] {
            self.turn(node, |process, now, turn| {
                turn.touched.extend(0..process.replicas.len());
                for replica in &mut process.replicas {
                    replica.on_link(peer, turn);
                }
                process.member.on_link(now, peer, true, &mut turn.actions);
            });
        }
    }
}
