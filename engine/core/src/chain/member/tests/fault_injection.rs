//! What goes wrong by itself, and what is done to make it worse.

use super::cluster::{Event, MS, Place, World};
use super::random::Chance;
use crate::chain::member::Member;
use crate::chain::record::{NodeId, Record};
use alloc::format;
use alloc::vec::Vec;

impl World {
    pub(super) fn on_mischief(&mut self) {
        self.add_mischief();
        let faults = self.faults.clone();
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        let node = self.chance.pick(&all);
        let other = self.chance.pick(&all);
        let ms = |chance: &mut Chance, most| chance.between(50, most) * MS;
        if self.chance.happens(faults.cut) && node != other {
            let us = ms(&mut self.chance, 4_000);
            self.cut(Place::Node(node), Place::Node(other), us);
            if self.chance.happens(700) {
                self.cut(Place::Node(other), Place::Node(node), us);
            }
        }
        if self.chance.happens(faults.outage) {
            let us = ms(&mut self.chance, 6_000);
            self.cut_both(Place::Node(node), Place::Register, us);
        }
        if self.chance.happens(faults.paused) {
            let us = ms(&mut self.chance, 3_000);
            self.pause(node, us);
        }
        if self.chance.happens(faults.stuck) {
            let us = ms(&mut self.chance, 5_000);
            self.stick(node, us);
        }
        if self.chance.happens(faults.crashed) {
            let us = ms(&mut self.chance, 4_000);
            self.crash(node, Some(us));
        }
        if self.chance.happens(faults.suspected) {
            let peer = self.nodes[other].id;
            match self.chance.between(0, 3) {
                0 => self.call(node, |member, now, out| member.on_link(now, peer, false, out)),
                1 => self.call(node, |member, now, out| member.on_stall(now, peer, 0, out)),
                2 => self.call(node, |member, now, out| {
                    member.on_remove(now, peer, out);
                }),
                _ => self.purge(node),
            }
        }
    }

    /// Cuts some nodes off from the others and from the register.
    pub(super) fn ambush(&mut self, record: &Record) {
        let us = self.chance.between(500, 7_000) * MS;
        if self.now_us < self.ambush_until {
            return;
        }
        self.ambush_until = self.now_us + us;
        let proposer = record.change.by;
        let joined = record.change.subject.filter(|node| record.is_member(*node));
        let mut inside = Vec::new();
        let mut outside = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let is_out = if Some(node.id) == joined {
                self.chance.happens(100)
            } else if node.id == proposer {
                self.chance.happens(800)
            } else {
                self.chance.happens(600)
            };
            if is_out { outside.push(at) } else { inside.push(at) }
        }
        for out in &outside {
            for place in inside.iter().copied().map(Place::Node).chain([Place::Register]) {
                self.cut_both(Place::Node(*out), place, us);
            }
        }
        self.note(|| format!("ambush: {outside:?} cut off for {us} us"));
    }

    /// An operator removes everybody else. A node that is no member yet is told so soon again.
    pub(super) fn purge(&mut self, node: usize) {
        let others: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        let is_member = self.nodes[node].member.as_ref().is_some_and(Member::is_member);
        if !is_member && self.chance.happens(990) {
            return self.schedule(20 * MS, Event::Purge { node });
        }
        self.note(|| format!("purge at {node}"));
        for other in others {
            self.call(node, |member, now, out| {
                member.on_remove(now, other, out);
            });
        }
    }
}
