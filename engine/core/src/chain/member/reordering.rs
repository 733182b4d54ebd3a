//! Reordering the chains: spread, so that every member is the head of some; or aligned, so that all
//! chains end at one member, which can sync a learner.
//!
//! A replica cannot undo what it applied. So a member that precedes another one in a new chain must
//! not lack any entry that the other has. The coordinator, the first member in the order of ids,
//! asks all members to quiesce, itself included: heads accept no more updates, and wait until every
//! member has those that they accepted. When all members have replied that they are quiesced, all
//! logs are equal, and the coordinator proposes the new order.
//!
//! Invariants:
//!
//! 1. A quiesced member remains so until the epoch ends. If that takes too long, it proposes the
//!    next epoch, in which a proposal of the old one fails.
//! 2. The order is proposed only when all members of the epoch have reported in it that they are
//!    quiesced.
//! 3. Members are asked to quiesce only when the register has just taken a write quickly, no member
//!    is suspected, and no other change is under way, because updates wait meanwhile. If the
//!    register becomes slow or unreachable at that very moment, they wait until it is back: the
//!    proposal may still take effect, and then a member that has accepted more than another one
//!    could not follow it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::action::Action;
use super::message::PeerMessage;
use super::timing::{
    Due, HEARTBEAT_MS, LEARNER_SILENT_MS, PROBE_MS_MAX, PROBED_MS, RANK_MS, REORDER_RETRY_MS,
    REORDER_RETRY_MS_MAX, SPREAD_MS, SPREAD_UNDERFULL_MS, backoff_ms,
};
use super::{Member, Membership};
use crate::chain::record::{ChainOrder, ChangeKind, Heads, NodeId, Record};
use crate::time::Time;

/// What a member knows about the order of the chains.
#[derive(Debug, Default)]
pub(super) struct Reordering {
    /// Since when it quiesces in this epoch.
    quiescing: Option<Time>,
    /// Whether all members have what its heads accepted.
    quiesced: bool,
    /// The order that this member, the coordinator, is bringing about.
    plan: Option<ReorderPlan>,
    /// When a learner was heard from last.
    joiner_heard: Option<Time>,
    /// How many attempts in a row failed, and when the next one may begin.
    failures: u32,
    not_before: Time,
    probe: RegisterProbe,
}

/// A write to the register that changes nothing: whether it takes long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RegisterProbe {
    #[default]
    None,
    UnderWay {
        since: Time,
    },
    /// It did not.
    Quick {
        at: Time,
    },
}

#[derive(Debug)]
struct ReorderPlan {
    since: Time,
    order: ChainOrder,
    /// When the others are asked again; [`None`] until the register has replied.
    next_request: Option<Time>,
    /// The members that are quiesced.
    quiesced: BTreeSet<NodeId>,
}

impl Reordering {
    /// Returns whether the heads of this node accept no updates.
    pub(super) fn is_quiescing(&self) -> bool {
        self.quiescing.is_some()
    }

    /// Enters another epoch, in which members accept updates again.
    pub(super) fn on_epoch(&mut self, now: Time, record: &Record) {
        if record.change.kind == ChangeKind::Reorder {
            self.failures = 0;
        } else if self.plan.take().is_some_and(|plan| plan.next_request.is_some()) {
            self.put_off(now);
        }
        (self.quiescing, self.quiesced, self.plan) = (None, false, None);
    }

    fn put_off(&mut self, now: Time) {
        let wait_ms = backoff_ms(REORDER_RETRY_MS, self.failures, REORDER_RETRY_MS_MAX);
        self.not_before = now.plus_ms(wait_ms);
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that a learner wants to become a member.
    pub(super) fn on_joiner(&mut self, now: Time) {
        self.joiner_heard = Some(now);
    }

    fn quiesce(&mut self, now: Time) {
        self.quiescing.get_or_insert(now);
    }
}

/// Returns the member that reorders the chains.
pub(super) fn coordinator(record: &Record) -> Option<NodeId> {
    record.members().next()
}

impl Member {
    /// Takes a report that the cores accept no updates in this epoch, and that all members have
    /// those that they accepted. Called as often as that is so.
    pub fn on_quiesced(&mut self, now: Time, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        let is_requested = self.reordering.is_quiescing() && epoch == self.epoch();
        if is_requested && !self.reordering.quiesced {
            self.reordering.quiesced = true;
            self.announce_quiesced(out);
        }
        self.decide(out);
    }

    /// Takes the end of the write that [`Action::ProbeRegister`] wants; `done` if it succeeded.
    pub fn on_probed(&mut self, now: Time, done: bool, out: &mut Vec<Action>) {
        self.advance(now);
        if let RegisterProbe::UnderWay { since } = self.reordering.probe {
            if done && now <= since.plus_ms(PROBE_MS_MAX) {
                self.reordering.probe = RegisterProbe::Quick { at: now };
            } else {
                self.reordering.probe = RegisterProbe::None;
                self.reordering.put_off(now);
            }
        }
        self.decide(out);
    }

    /// Returns whether the register has just taken a write quickly. If that is not known, finds it
    /// out; nothing waits meanwhile.
    fn is_register_quick(&mut self, out: &mut Vec<Action>) -> bool {
        match self.reordering.probe {
            RegisterProbe::Quick { at } if self.now < at.plus_ms(PROBED_MS) => return true,
            RegisterProbe::UnderWay { .. } => {}
            RegisterProbe::Quick { .. } | RegisterProbe::None => {
                self.reordering.probe = RegisterProbe::UnderWay { since: self.now };
                out.push(Action::ProbeRegister);
            }
        }
        false
    }

    fn announce_quiesced(&mut self, out: &mut Vec<Action>) {
        let epoch = self.epoch();
        match self.record().and_then(|record| coordinator(record)) {
            Some(to) if to != self.me => {
                out.push(Action::Send { to, message: PeerMessage::Quiesced { epoch } });
            }
            Some(_) => self.note_quiesced(self.me),
            None => {}
        }
    }

    fn note_quiesced(&mut self, node: NodeId) {
        if let Some(plan) = &mut self.reordering.plan {
            plan.quiesced.insert(node);
        }
    }

    pub(super) fn on_quiesce(&mut self, from: NodeId, epoch: u32, out: &mut Vec<Action>) {
        let Some(record) = self.record() else { return };
        let is_requested = epoch == record.epoch && coordinator(record) == Some(from);
        // A change of this node's own ends the epoch, or its outcome has to be found out.
        if !is_requested || self.membership != Membership::Member || self.proposal.is_some() {
            return;
        }
        self.reordering.quiesce(self.now);
        if self.reordering.quiesced {
            self.announce_quiesced(out);
        }
    }

    pub(super) fn on_peer_quiesced(&mut self, from: NodeId, epoch: u32) {
        if epoch == self.epoch() {
            self.note_quiesced(from);
        }
    }

    /// Brings the chains into the order that they should have.
    pub(super) fn plan_order(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        if self.end_quiescing(record, due, out) || coordinator(record) != Some(self.me) {
            return;
        }
        let now = self.now;
        if self.reordering.plan.as_ref().is_none_or(|plan| plan.next_request.is_none()) {
            let known = self.reordering.plan.take();
            self.reordering.plan = self.wanted_order(record, due).map(|order| match known {
                Some(plan) if plan.order == order => plan,
                _ => {
                    self.register_reads.want();
                    ReorderPlan { since: now, order, next_request: None, quiesced: BTreeSet::new() }
                }
            });
        }
        let Some(plan) = &self.reordering.plan else { return };
        let (since, has_begun) = (plan.since, plan.next_request.is_some());
        if !self.register_reads.has_answered_since(since)
            || !has_begun && !self.is_register_quick(out)
        {
            return;
        }
        let Some(plan) = &mut self.reordering.plan else { return };
        let order = plan.order;
        if self.rules.rest() && plan.quiesced.len() < record.nodes.len() {
            if plan.next_request.is_none_or(|at| now >= at) {
                plan.next_request = Some(now.plus_ms(HEARTBEAT_MS));
                let is_awaited = |to: &NodeId| *to != self.me && !plan.quiesced.contains(to);
                for to in record.members().filter(is_awaited) {
                    let message = PeerMessage::Quiesce { epoch: record.epoch };
                    out.push(Action::Send { to, message });
                }
                self.reordering.quiesce(now);
            }
            due.at(now.plus_ms(HEARTBEAT_MS));
            return;
        }
        let id = self.ids.next_id();
        self.propose(record.reordered(order, self.me, id), out);
    }

    /// Ends the epoch if the members have quiesced for too long; returns whether that is due.
    fn end_quiescing(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) -> bool {
        let Some(since) = self.reordering.quiescing else { return false };
        let place = record.members().position(|node| node == self.me).unwrap_or_default();
        let rank = u32::try_from(place).expect("members are few");
        let until = since.plus_ms(record.settings.suspect_ms + rank * RANK_MS);
        due.at(until);
        if self.now < until {
            return false;
        }
        if self.register_reads.has_answered_since(until) {
            let id = self.ids.next_id();
            self.propose(record.bumped(self.me, "the members did not quiesce in time", id), out);
        } else {
            self.register_reads.want();
        }
        true
    }

    /// Returns the order that the chains should have now, if it differs from the present one.
    fn wanted_order(&self, record: &Record, due: &mut Due) -> Option<ChainOrder> {
        let is_awaited = |heard: Time| self.now < heard.plus_ms(LEARNER_SILENT_MS);
        let learner_waits = self.reordering.joiner_heard.is_some_and(is_awaited);
        let (order, after_ms) = if record.is_full() {
            (ChainOrder::Spread, SPREAD_MS)
        } else if learner_waits {
            (ChainOrder::LinedUp, 0)
        } else {
            (ChainOrder::Spread, SPREAD_UNDERFULL_MS)
        };
        let is_wanted =
            record.settings.heads == Heads::Spread && record.in_order(order) != record.chains;
        let is_quiet = self.active && self.gate.is_none() && !self.leaving;
        if !is_wanted || !is_quiet || self.peers.has_suspect() {
            return None;
        }
        let at = self.epoch_since.plus_ms(after_ms).max(self.reordering.not_before);
        due.at(at);
        (self.now >= at).then_some(order)
    }
}
