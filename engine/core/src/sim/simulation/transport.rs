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

    pub(super) fn send_frames(&mut self, from: NodeId, to: NodeId, bytes: &[u8]) {
        let delay = self.delay();
        let link = self.network.link(from, to);
        let arrival = &mut link.arrival[Network::direction(from, to)];
        *arrival = (self.now + delay).max(*arrival + 1);
        let (at, generation) = (*arrival, link.generation);
        self.at(at, SimEvent::Frames { from, to, generation, bytes: aligned(bytes) });
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
        self.turn(to, |process, _, turn| {
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("links carry whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.kind, header.shard.0, header.epoch, header.number));
                let replica = &mut process.replicas[usize::from(header.shard.0)];
                match header.kind {
                    FrameKind::Forward => replica.on_forward(from, &frame, turn),
                    FrameKind::Ack => replica.on_ack(from, header, turn),
                    FrameKind::Resume => replica.on_resume(from, header, turn),
                    FrameKind::Snapshot => replica.on_snapshot(from, &frame, turn),
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
                for replica in &mut process.replicas {
                    replica.on_link(peer);
                }
                process.member.on_link(now, peer, true, &mut turn.actions);
            });
        }
    }
}
