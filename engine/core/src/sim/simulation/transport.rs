//! What nodes say to each other, and how it gets there.

use super::*;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl World {
    pub(super) fn send_message(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        let copies = 1 + u64::from(self.mishap(self.swarm.doubled));
        for _ in 0..copies {
            let mut delay = self.delay();
            if self.mishap(self.swarm.late) {
                delay += self.random.below(3_000_000);
            }
            if self.mishap(self.swarm.lost) || self.is_cut(from, to) {
                continue;
            }
            let message = Box::new(message.clone());
            let at = self.now + delay;
            self.at(at, Event::Message { from, to, message });
        }
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        match (self.lives.get(&from), self.lives.get(&to)) {
            (Some(a), Some(b)) => self.network.is_cut(a.slot, b.slot),
            _ => true,
        }
    }

    pub(super) fn send_frames(&mut self, from: NodeId, to: NodeId, bytes: &[u8]) {
        let delay = self.delay();
        let link = self.network.link(from, to);
        let arrival = &mut link.arrival[Network::direction(from, to)];
        *arrival = (self.now + delay).max(*arrival + 1);
        let (at, life) = (*arrival, link.life);
        self.at(at, Event::Frames { from, to, life, bytes: aligned(bytes) });
    }

    pub(super) fn on_frames(&mut self, from: NodeId, to: NodeId, life: u64, bytes: Bytes) {
        let is_cut = self.is_cut(from, to);
        let link = self.network.link(from, to);
        if !link.up || link.life != life {
            return;
        }
        let stuck = &mut link.stuck[Network::direction(from, to)];
        if is_cut || !stuck.is_empty() {
            stuck.push(bytes);
            return;
        }
        self.take_frames(from, to, &bytes);
    }

    pub(super) fn take_frames(&mut self, from: NodeId, to: NodeId, bytes: &Bytes) {
        self.trace.words([2, low(from), low(to)]);
        self.trace.bytes(bytes);
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        self.turn(to, |life, _, turn| {
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("links carry whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.kind, header.shard.0, header.epoch, header.number));
                let replica = &mut life.replicas[usize::from(header.shard.0)];
                match header.kind {
                    FrameKind::Forward => replica.on_forward(from, &frame, turn),
                    FrameKind::Ack => replica.on_ack(from, header, turn),
                    FrameKind::Resume => replica.on_resume(from, header, turn),
                    FrameKind::Snapshot => replica.on_snapshot(from, &frame, turn),
                    other => unreachable!("{other:?} is nothing that nodes say"),
                }
            }
        });
        self.trace.say(self.now, || format!("{from} => {to}: {lines:?}"));
    }

    /// Somebody tries to make a link.
    pub(super) fn dial(&mut self, from: NodeId, to: NodeId) {
        let cut = self.is_cut(from, to) || self.is_cut(to, from);
        let still = |node: &NodeId| self.lives.get(node).is_some_and(|life| life.inbox.is_some());
        let waits = still(&from) || still(&to);
        let link = self.network.link(from, to);
        link.trying = false;
        if link.up {
            return;
        }
        if cut || waits {
            link.failures += u32::from(cut);
            if link.failures == 3 {
                self.turn(from, |life, now, turn| {
                    life.member.on_link(now, to, false, &mut turn.actions);
                });
            }
            let at = self.now + self.random.between(20_000, 150_000);
            let link = self.network.link(from, to);
            if !link.trying && self.lives.contains_key(&from) {
                link.trying = true;
                self.at(at, Event::Dial { from, to });
            }
            return;
        }
        link.failures = 0;
        link.up = true;
        self.trace.say(self.now, || format!("{from} and {to} have a link"));
        for (node, peer) in [(from, to), (to, from)] {
            self.turn(node, |life, now, turn| {
                for replica in &mut life.replicas {
                    replica.on_link(peer);
                }
                life.member.on_link(now, peer, true, &mut turn.actions);
            });
        }
    }
}
