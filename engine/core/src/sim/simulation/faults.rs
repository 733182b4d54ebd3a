//! What goes wrong.

use super::*;
use alloc::format;
use alloc::vec::Vec;

impl World {
    pub(super) fn on_fault(&mut self, fault: Fault) {
        if self.calm
            && !matches!(fault, Fault::Resume { .. } | Fault::Mend { .. } | Fault::OutageOver)
        {
            return;
        }
        self.trace.say(self.now, || format!("fault: {fault:?}"));
        let swarm = self.swarm.clone();
        let alive: Vec<NodeId> = self.lives.keys().copied().collect();
        match fault {
            Fault::Crash => {
                self.again(0, swarm.crash_us, fault);
                if let Some(node) = self.random.pick(&alive).copied()
                    && self.is_spare(node)
                {
                    let slot = self.lives[&node].slot;
                    self.bury(node);
                    let at = self.now + self.random.between(10_000, 3_000_000);
                    self.at(at, Event::Birth { slot, removals: 0 });
                }
            }
            Fault::Pause => {
                self.again(0, swarm.pause_us, fault);
                if let Some(node) = self.random.pick(&alive).copied()
                    && let Some(life) = self.lives.get_mut(&node)
                    && life.inbox.is_none()
                {
                    life.inbox = Some(VecDeque::new());
                    let at = self.now + self.random.between(1_000, 3_000_000);
                    self.at(at, Event::Fault(Fault::Resume { node }));
                }
            }
            Fault::Resume { node } => self.resume(node),
            Fault::Cut => {
                self.again(0, swarm.cut_us, fault);
                let slots = swarm.slots as u64;
                let from = usize::try_from(self.random.below(slots)).expect("few");
                let to = usize::try_from(self.random.below(slots)).expect("few");
                let until = self.now + self.random.between(10_000, 4_000_000);
                let both = self.random.per_mille(600);
                self.cut(from, to, until);
                if both {
                    self.cut(to, from, until);
                }
            }
            Fault::Remove => {
                self.again(0, swarm.remove_us, fault);
                let members: Vec<NodeId> = self.register.record().members().collect();
                let (by, node) = (self.random.pick(&members), self.random.pick(&members));
                if let (Some(by), Some(node)) = (by.copied(), node.copied())
                    && let Some(life) = self.lives.get(&node)
                {
                    if self.random.per_mille(swarm.removed_cut) {
                        let (slot, until) = (life.slot, self.now + self.random.below(3_000_000));
                        for other in (0..swarm.slots).filter(|other| *other != slot) {
                            self.cut(slot, other, until);
                            self.cut(other, slot, until);
                        }
                    }
                    let after = self.now + self.random.below(300_000);
                    self.at(after, Event::Unwanted { by, node });
                }
            }
            Fault::Death => {
                self.again(0, swarm.death_us, fault);
                let client = usize::try_from(self.random.below(swarm.clients as u64)).expect("few");
                if let Some(conn) = &self.clients[client].conn {
                    self.served.remove(&conn.id);
                }
                self.clients[client].die();
                let wait = self.random.between(1, swarm.think_us);
                self.set_timer(client, wait);
            }
            Fault::Mend { from, to } => self.mend(from, to),
            Fault::Reset => {
                self.again(0, swarm.reset_us, fault);
                let links = self.network.links_up();
                if let Some((a, b)) = self.random.pick(&links).copied() {
                    self.reset(a, b);
                }
            }
            Fault::Hangup => {
                self.again(0, swarm.hangup_us, fault);
                let conns: Vec<u64> = self.served.keys().copied().collect();
                if let Some(conn) = self.random.pick(&conns).copied() {
                    self.hang_up(conn);
                }
            }
            Fault::Outage => {
                self.outage = true;
                let at = self.now + self.random.between(100_000, 4_000_000);
                self.at(at, Event::Fault(Fault::OutageOver));
                self.again(4_000_000, swarm.outage_us, fault);
            }
            Fault::OutageOver => self.outage = false,
        }
    }

    pub(super) fn cut(&mut self, from: usize, to: usize, until: u64) {
        if from == to || self.network.is_cut(from, to) {
            return;
        }
        self.network.cut(from, to);
        self.at(until, Event::Fault(Fault::Mend { from, to }));
        if let (Some(from), Some(to)) = (self.slots[from], self.slots[to])
            && self.random.per_mille(self.swarm.cut_hard)
        {
            self.reset(from, to);
        }
    }

    /// A link breaks: what was under way is lost, and a learner will not get the rest of its lesson.
    pub(super) fn reset(&mut self, a: NodeId, b: NodeId) {
        if !self.network.reset(a, b) {
            return;
        }
        for (learner, teacher) in [(a, b), (b, a)] {
            let Some(life) = self.lives.get(&learner) else { continue };
            let post = life.replicas[0].post();
            if !post.member && post.predecessor == Some(teacher) {
                let event = Event::LessonLost { node: learner, epoch: post.epoch };
                let at = self.now + self.random.between(1, 50_000);
                self.at(at, event);
            }
        }
    }

    /// Whether others have what this node has: the last one takes everything with it.
    pub(super) fn is_spare(&self, node: NodeId) -> bool {
        let record = self.register.record();
        !record.is_member(node)
            || record.members().any(|other| other != node && self.lives.contains_key(&other))
    }

    pub(super) fn resume(&mut self, node: NodeId) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let Some(inbox) = life.inbox.take() else { return };
        for event in inbox {
            self.happen(event);
        }
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.network.mend(from, to);
        let (Some(from), Some(to)) = (self.slots[from], self.slots[to]) else { return };
        let stuck =
            core::mem::take(&mut self.network.link(from, to).stuck[Network::direction(from, to)]);
        let life = self.network.link(from, to).life;
        for bytes in stuck {
            self.happen(Event::Frames { from, to, life, bytes });
        }
    }

    pub(super) fn on_calm(&mut self) {
        self.trace.say(self.now, || "the faults are over");
        self.calm = true;
        self.outage = false;
        for from in 0..self.swarm.slots {
            for to in 0..self.swarm.slots {
                self.mend(from, to);
            }
        }
        let nodes: Vec<NodeId> = self.lives.keys().copied().collect();
        for node in nodes {
            self.resume(node);
        }
    }
}
