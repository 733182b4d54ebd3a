//! The faults that a run injects.

use super::*;
use alloc::format;
use alloc::vec::Vec;

impl Simulation {
    pub(super) fn on_fault(&mut self, fault: InjectedFault) {
        if self.faults_over
            && !matches!(
                fault,
                InjectedFault::Unpause { .. }
                    | InjectedFault::Mend { .. }
                    | InjectedFault::OutageOver
                    | InjectedFault::SlowWritesOver
            )
        {
            return;
        }
        self.trace.print(self.now, || format!("fault: {fault:?}"));
        let profile = self.profile.clone();
        let alive: Vec<NodeId> = self.processes.keys().copied().collect();
        match fault {
            InjectedFault::Crash => {
                self.schedule_fault(0, profile.crash_us, fault);
                if let Some(node) = self.random.pick(&alive).copied()
                    && self.is_expendable(node)
                {
                    let slot = self.processes[&node].slot;
                    self.stop_node(node);
                    let at = self.now + self.random.between(10_000, 3_000_000);
                    self.at(at, SimEvent::Start { slot, removals: Removals::default() });
                }
            }
            InjectedFault::Pause => {
                self.schedule_fault(0, profile.pause_us, fault);
                if let Some(node) = self.random.pick(&alive).copied()
                    && let Some(process) = self.processes.get_mut(&node)
                    && process.inbox.is_none()
                {
                    process.inbox = Some(VecDeque::new());
                    let at = self.now + self.random.between(1_000, 3_000_000);
                    self.at(at, SimEvent::Fault(InjectedFault::Unpause { node }));
                }
            }
            InjectedFault::Unpause { node } => self.resume(node),
            InjectedFault::Cut => {
                self.schedule_fault(0, profile.cut_us, fault);
                let slots = profile.slots as u64;
                let from = usize::try_from(self.random.below(slots)).expect("few");
                let to = usize::try_from(self.random.below(slots)).expect("few");
                let until = self.now + self.random.between(10_000, 4_000_000);
                let both = self.random.per_mille(600);
                self.cut(from, to, until);
                if both {
                    self.cut(to, from, until);
                }
            }
            InjectedFault::Remove => {
                self.schedule_fault(0, profile.remove_us, fault);
                let members: Vec<NodeId> = self.register.record().members().collect();
                let (by, node) = (self.random.pick(&members), self.random.pick(&members));
                if let (Some(by), Some(node)) = (by.copied(), node.copied())
                    && let Some(process) = self.processes.get(&node)
                {
                    if self.random.per_mille(profile.removed_cut) {
                        let (slot, until) = (process.slot, self.now + self.random.below(3_000_000));
                        for other in (0..profile.slots).filter(|other| *other != slot) {
                            self.cut(slot, other, until);
                            self.cut(other, slot, until);
                        }
                    }
                    let after = self.now + self.random.below(300_000);
                    self.at(after, SimEvent::RemoveRequest { by, node });
                }
            }
            InjectedFault::Departure => {
                self.schedule_fault(0, profile.depart_us, fault);
                let members: Vec<NodeId> = self.register.record().members().collect();
                if let Some(node) = self.random.pick(&members).copied() {
                    self.at(self.now, SimEvent::LeaveRequest { node });
                }
            }
            InjectedFault::ClientDeath => {
                self.schedule_fault(0, profile.client_death_us, fault);
                let client =
                    usize::try_from(self.random.below(profile.clients as u64)).expect("few");
                self.give_up(client);
            }
            InjectedFault::Mend { from, to } => self.mend(from, to),
            InjectedFault::LinkReset => {
                self.schedule_fault(0, profile.link_reset_us, fault);
                let links = self.network.links_up();
                if let Some((a, b)) = self.random.pick(&links).copied() {
                    self.reset(a, b);
                }
            }
            InjectedFault::Disconnect => {
                self.schedule_fault(0, profile.disconnect_us, fault);
                let conns: Vec<u64> = self.server_conns.keys().copied().collect();
                if let Some(conn) = self.random.pick(&conns).copied() {
                    self.disconnect(conn);
                }
            }
            InjectedFault::Outage => {
                self.outage = true;
                let at = self.now + self.random.between(100_000, 4_000_000);
                self.at(at, SimEvent::Fault(InjectedFault::OutageOver));
                self.schedule_fault(4_000_000, profile.outage_us, fault);
            }
            InjectedFault::OutageOver => self.outage = false,
            InjectedFault::SlowWrites => {
                self.slow_writes = true;
                let at = self.now + self.random.between(100_000, 3_000_000);
                self.at(at, SimEvent::Fault(InjectedFault::SlowWritesOver));
                self.schedule_fault(3_000_000, profile.slow_writes_us, fault);
            }
            InjectedFault::SlowWritesOver => self.slow_writes = false,
        }
    }

    pub(super) fn cut(&mut self, from: usize, to: usize, until: u64) {
        if from == to || self.network.is_cut(from, to) {
            return;
        }
        self.network.cut(from, to);
        self.at(until, SimEvent::Fault(InjectedFault::Mend { from, to }));
        if let (Some(from), Some(to)) = (self.slots[from], self.slots[to])
            && self.random.per_mille(self.profile.cut_hard)
        {
            self.reset(from, to);
        }
    }

    /// Breaks a link: frames under way are lost, and a state transfer over it does not complete.
    pub(super) fn reset(&mut self, a: NodeId, b: NodeId) {
        if !self.network.reset(a, b) {
            return;
        }
        for (learner, source) in [(a, b), (b, a)] {
            let Some(process) = self.processes.get(&learner) else { continue };
            let assignment = process.replicas[0].assignment();
            if !assignment.member && assignment.predecessor == Some(source) {
                let event = SimEvent::TransferLost { node: learner, epoch: assignment.epoch };
                let at = self.now + self.random.between(1, 50_000);
                self.at(at, event);
            }
        }
    }

    /// Returns whether another node has the data: a crash of the last member loses everything.
    pub(super) fn is_expendable(&self, node: NodeId) -> bool {
        let record = self.register.record();
        !record.is_member(node)
            || record.members().any(|other| other != node && self.processes.contains_key(&other))
    }

    pub(super) fn resume(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let Some(inbox) = process.inbox.take() else { return };
        for event in inbox {
            self.handle(event);
        }
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.network.mend(from, to);
        let (Some(from), Some(to)) = (self.slots[from], self.slots[to]) else { return };
        let blocked =
            core::mem::take(&mut self.network.link(from, to).blocked[Network::direction(from, to)]);
        let generation = self.network.link(from, to).generation;
        for bytes in blocked {
            self.handle(SimEvent::Frames { from, to, generation, bytes });
        }
    }

    pub(super) fn on_faults_end(&mut self) {
        self.trace.print(self.now, || "the faults are over");
        self.faults_over = true;
        self.outage = false;
        self.slow_writes = false;
        for from in 0..self.profile.slots {
            for to in 0..self.profile.slots {
                self.mend(from, to);
            }
        }
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        for node in nodes {
            self.resume(node);
        }
    }
}
