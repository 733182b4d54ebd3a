//! Faults at random times, and at times when they do the most harm.

use super::cluster::{Endpoint, MS, TestCluster, TestEvent};
use super::random::TestRandom;
use crate::chain::member::Member;
use crate::chain::record::{NodeId, Record};
use alloc::format;
use alloc::vec::Vec;

impl TestCluster {
    pub(super) fn inject_faults(&mut self) {
        self.schedule_faults();
        let faults = self.faults.clone();
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        let node = self.random.pick(&all);
        let other = self.random.pick(&all);
        let ms = |random: &mut TestRandom, most| random.between(50, most) * MS;
        if self.random.happens(faults.cut) && node != other {
            let us = ms(&mut self.random, 4_000);
            self.cut(Endpoint::Node(node), Endpoint::Node(other), us);
            if self.random.happens(700) {
                self.cut(Endpoint::Node(other), Endpoint::Node(node), us);
            }
        }
        if self.random.happens(faults.outage) {
            let us = ms(&mut self.random, 6_000);
            self.cut_both(Endpoint::Node(node), Endpoint::Register, us);
        }
        if self.random.happens(faults.paused) {
            let us = ms(&mut self.random, 3_000);
            self.pause(node, us);
        }
        if self.random.happens(faults.stuck) {
            let us = ms(&mut self.random, 5_000);
            self.stick(node, us);
        }
        if self.random.happens(faults.crashed) {
            let us = ms(&mut self.random, 4_000);
            self.crash(node, Some(us));
        }
        if self.random.happens(faults.suspected) {
            let peer = self.nodes[other].id;
            match self.random.between(0, 4) {
                0 => self.call(node, |member, now, out| member.on_link(now, peer, false, out)),
                1 => self.call(node, |member, now, out| member.on_stall(now, peer, 0, out)),
                2 => self.call(node, |member, now, out| {
                    member.on_remove(now, peer, out);
                }),
                3 => self.call(node, Member::on_leave),
                _ => self.remove_all_others(node),
            }
        }
    }

    /// Cuts some nodes off from the others and from the register.
    pub(super) fn isolate(&mut self, record: &Record) {
        let us = self.random.between(500, 7_000) * MS;
        if self.now_us < self.isolated_until {
            return;
        }
        self.isolated_until = self.now_us + us;
        let proposer = record.change.by;
        let joined = record.change.subject.filter(|node| record.is_member(*node));
        let mut inside = Vec::new();
        let mut outside = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let is_out = if Some(node.id) == joined {
                self.random.happens(100)
            } else if node.id == proposer {
                self.random.happens(800)
            } else {
                self.random.happens(600)
            };
            if is_out { outside.push(at) } else { inside.push(at) }
        }
        for out in &outside {
            for place in inside.iter().copied().map(Endpoint::Node).chain([Endpoint::Register]) {
                self.cut_both(Endpoint::Node(*out), place, us);
            }
        }
        self.note(|| format!("isolate: {outside:?} cut off for {us} us"));
    }

    /// Has an operator remove all other nodes. A node that is not a member yet is asked again soon.
    pub(super) fn remove_all_others(&mut self, node: usize) {
        let others: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        let is_member = self.nodes[node].member.as_ref().is_some_and(Member::is_member);
        if !is_member && self.random.happens(990) {
            return self.schedule(20 * MS, TestEvent::RemoveAllOthers { node });
        }
        self.note(|| format!("remove_all_others at {node}"));
        let own = self.nodes[node].id;
        for other in others.into_iter().filter(|other| *other != own) {
            self.call(node, |member, now, out| {
                member.on_remove(now, other, out);
            });
        }
    }
}
