//! How a member asks for leases and grants them, and when those of older epochs have expired.

use super::action::{Action, MemberReport};
use super::lease_grants::held_us;
use super::message::PeerMessage;
use super::timing::{Due, EARLY_HEARTBEAT_MS, EARLY_MS, HEARTBEAT_MS};
use super::{Member, Membership};
use crate::chain::record::NodeId;
use crate::time::Time;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Member {
    pub(super) fn on_lease_request(
        &mut self,
        from: NodeId,
        (epoch, active): (u32, bool),
        asked_at_us: u64,
        out: &mut Vec<Action>,
    ) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        self.peers.on_heard(self.now, from);
        if record.is_member(from) {
            self.grants.note_epoch(from, epoch);
            if active && epoch == record.epoch {
                self.grants.forget_unknown();
            }
        }
        if epoch > record.epoch {
            // It has a newer record: ask it and the register.
            self.register_reads.want();
            if self.is_member() {
                self.next_heartbeat = self.now;
            }
            return;
        }
        if self.membership == Membership::Ended || !record.is_member(from) {
            return self.refuse(from, &record, out);
        }
        if epoch < record.epoch {
            let message = PeerMessage::Config(Box::new((*record).clone()));
            out.push(Action::Send { to: from, message });
            if self.rules.own_epoch() {
                return;
            }
        }
        let stopped = self.is_appending() && self.rules.stop_grant();
        if self.membership == Membership::Member && !stopped && !self.is_stuck() {
            self.grants.give(self.now, from, &record);
            let message = PeerMessage::Grant { epoch: record.epoch, asked_at_us };
            out.push(Action::Send { to: from, message });
        }
    }

    pub(super) fn on_grant(&mut self, from: NodeId, epoch: u32, asked_at: Time) {
        self.peers.on_heard(self.now, from);
        let Some(record) = self.record().cloned() else {
            return;
        };
        let counts = epoch == record.epoch || !self.rules.own_epoch();
        // A grant for a request that was not sent yet is the peer's mistake.
        if counts && record.is_member(from) && asked_at <= self.now {
            self.grants.hold(from, epoch, asked_at, held_us(&record, &self.rules));
        }
    }

    /// Takes a removed node's word that its leases of older epochs are over.
    pub(super) fn on_left(&mut self, from: NodeId, epoch: u32) {
        self.grants.note_left(from, epoch);
        if epoch > self.epoch() {
            self.register_reads.want();
        }
    }

    pub(super) fn activate(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        if self.membership != Membership::Member || self.active {
            return;
        }
        let drained_at = self.grants.drained_at(self.epoch(), &self.rules);
        due.at(drained_at);
        if self.now >= drained_at {
            self.active = true;
            // A new member waits for this.
            self.next_heartbeat = self.now;
            out.push(Action::Report(MemberReport::Active { epoch: self.epoch() }));
        }
    }

    /// Asks the other members for leases, which also shows that this node is there.
    pub(super) fn heartbeat(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        match self.membership {
            Membership::Ended => return,
            Membership::Outside => return self.ask_to_join(&record, due, out),
            Membership::Member | Membership::Restarted { .. } => {}
        }
        if record.nodes.len() == 1 {
            return;
        }
        if self.now >= self.next_heartbeat {
            let lease = self.grants.lease(self.me, &record, &self.rules);
            let is_early = self.now < self.epoch_since.plus_ms(EARLY_MS);
            let is_urgent = is_early && lease.is_some_and(|lease| lease.until < self.now);
            self.next_heartbeat =
                self.now.plus_ms(if is_urgent { EARLY_HEARTBEAT_MS } else { HEARTBEAT_MS });
            if self.is_stuck() {
                due.at(self.next_heartbeat);
                return;
            }
            for to in record.members().filter(|node| *node != self.me) {
                let asked_at_us = self.now.0;
                let (epoch, active) = (record.epoch, self.active);
                let message = PeerMessage::LeaseRequest { epoch, asked_at_us, active };
                out.push(Action::Send { to, message });
                if self.leaving {
                    out.push(Action::Send { to, message: PeerMessage::Leaving });
                }
            }
        }
        due.at(self.next_heartbeat);
    }

    /// Returns whether the cores are stuck. The node is silent then, so that the others continue
    /// without it.
    pub(super) fn is_stuck(&self) -> bool {
        self.views.stuck_at().is_some_and(|stuck_at| self.now >= stuck_at)
    }
}
