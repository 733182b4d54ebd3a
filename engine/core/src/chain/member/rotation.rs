//! How the chains change their order: so that every member is the head of some, and so that all end at
//! one member, which can teach a node that wants to join.
//!
//! A replica cannot take back what it applied, so whoever is before another in a new chain must not
//! lack anything that the other has. The first member, in the order of ids, asks all to come to rest,
//! itself as well: heads take no more updates, and wait until every member has what they took. When all
//! have said so, logs are equal everywhere, and it proposes the new order.
//!
//! 1. A member that is at rest stays so until the epoch ends. If that takes too long, it proposes the
//!    next epoch; what was proposed in the old one then fails.
//! 2. The order is proposed only when all members of the epoch have said in it that they are at rest.
//! 3. Rest is asked for only when the register has just answered, nobody is suspected, and nothing else
//!    is under way: while members rest, updates wait. If the register goes away in that very moment,
//!    they wait until it is back, since what was proposed may still come to be.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::action::Action;
use super::message::PeerMessage;
use super::timing::{
    BEAT_MS, Due, LEARNER_SILENT_MS, RANK_MS, ROTATE_AGAIN_MS, ROTATE_AGAIN_MS_MAX, SPREAD_FEW_MS,
    SPREAD_MS, doubled,
};
use super::{Member, Standing};
use crate::chain::record::{ChangeKind, Heads, NodeId, Order, Record};
use crate::time::Time;

/// What a member knows about the order of the chains.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// Since when it is to rest in this epoch.
    resting: Option<Time>,
    /// All that its heads took all members have.
    at_rest: bool,
    /// The order that this member is bringing about.
    plan: Option<Plan>,
    /// Who wanted to join was heard last.
    joiner_heard: Option<Time>,
    /// How often in a row it did not work, and when it is tried again.
    failures: u32,
    not_before: Time,
}

#[derive(Debug)]
struct Plan {
    since: Time,
    order: Order,
    /// When the others are asked next; they are not before the register has answered.
    next_ask: Option<Time>,
    /// Who has come to rest.
    at_rest: BTreeSet<NodeId>,
}

impl Rotation {
    /// Whether the heads of this node take updates no more.
    pub(super) fn is_resting(&self) -> bool {
        self.resting.is_some()
    }

    /// Another epoch: everybody goes on.
    pub(super) fn on_epoch(&mut self, now: Time, record: &Record) {
        if record.change.kind == ChangeKind::Reorder {
            self.failures = 0;
        } else if self.plan.take().is_some_and(|plan| plan.next_ask.is_some()) {
            let wait_ms = doubled(ROTATE_AGAIN_MS, self.failures, ROTATE_AGAIN_MS_MAX);
            self.not_before = now.plus_ms(wait_ms);
            self.failures = self.failures.saturating_add(1);
        }
        (self.resting, self.at_rest, self.plan) = (None, false, None);
    }

    /// Somebody wants to become a member.
    pub(super) fn on_joiner(&mut self, now: Time) {
        self.joiner_heard = Some(now);
    }

    fn rest(&mut self, now: Time) {
        self.resting.get_or_insert(now);
    }
}

/// The member that sees to the order of the chains.
pub(super) fn conductor(record: &Record) -> Option<NodeId> {
    record.members().next()
}

impl Member {
    /// The cores take no updates in this epoch any more, and all members have what they took. Said as
    /// often as it is so.
    pub fn on_at_rest(&mut self, now: Time, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        let is_asked = self.rotation.is_resting() && epoch == self.epoch();
        if is_asked && !self.rotation.at_rest {
            self.rotation.at_rest = true;
            self.say_at_rest(out);
        }
        self.decide(out);
    }

    fn say_at_rest(&mut self, out: &mut Vec<Action>) {
        let epoch = self.epoch();
        match self.record().and_then(|record| conductor(record)) {
            Some(to) if to != self.me => {
                out.push(Action::Send { to, message: PeerMessage::AtRest { epoch } });
            }
            Some(_) => self.note_at_rest(self.me),
            None => {}
        }
    }

    fn note_at_rest(&mut self, node: NodeId) {
        if let Some(plan) = &mut self.rotation.plan {
            plan.at_rest.insert(node);
        }
    }

    pub(super) fn on_rest(&mut self, from: NodeId, epoch: u32, out: &mut Vec<Action>) {
        let Some(record) = self.record() else { return };
        let is_asked = epoch == record.epoch && conductor(record) == Some(from);
        // A change of our own is going to end the epoch, or to be found out about.
        if !is_asked || self.standing != Standing::Member || self.proposal.is_some() {
            return;
        }
        self.rotation.rest(self.now);
        if self.rotation.at_rest {
            self.say_at_rest(out);
        }
    }

    pub(super) fn on_rested(&mut self, from: NodeId, epoch: u32) {
        if epoch == self.epoch() {
            self.note_at_rest(from);
        }
    }

    /// Brings the chains into the order in which they are to be.
    pub(super) fn plan_order(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        if self.end_rest(record, due, out) || conductor(record) != Some(self.me) {
            return;
        }
        let now = self.now;
        if self.rotation.plan.as_ref().is_none_or(|plan| plan.next_ask.is_none()) {
            let known = self.rotation.plan.take();
            self.rotation.plan = self.wanted_order(record, due).map(|order| match known {
                Some(plan) if plan.order == order => plan,
                _ => {
                    self.reads.want();
                    Plan { since: now, order, next_ask: None, at_rest: BTreeSet::new() }
                }
            });
        }
        let Some(plan) = &mut self.rotation.plan else { return };
        if !self.reads.has_answered_since(plan.since) {
            return;
        }
        let order = plan.order;
        if self.rules.rest() && plan.at_rest.len() < record.nodes.len() {
            if plan.next_ask.is_none_or(|at| now >= at) {
                plan.next_ask = Some(now.plus_ms(BEAT_MS));
                let is_awaited = |to: &NodeId| *to != self.me && !plan.at_rest.contains(to);
                for to in record.members().filter(is_awaited) {
                    let message = PeerMessage::Rest { epoch: record.epoch };
                    out.push(Action::Send { to, message });
                }
                self.rotation.rest(now);
            }
            due.at(now.plus_ms(BEAT_MS));
            return;
        }
        let id = self.ids.fresh();
        self.propose(record.reordered(order, self.me, id), out);
    }

    /// Ends the epoch if the members have rested too long in it; returns whether that is due.
    fn end_rest(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) -> bool {
        let Some(since) = self.rotation.resting else { return false };
        let place = record.members().position(|node| node == self.me).unwrap_or_default();
        let rank = u32::try_from(place).expect("members are few");
        let until = since.plus_ms(record.settings.suspect_ms + rank * RANK_MS);
        due.at(until);
        if self.now < until {
            return false;
        }
        if self.reads.has_answered_since(until) {
            let id = self.ids.fresh();
            self.propose(record.bumped(self.me, "not all members came to rest", id), out);
        } else {
            self.reads.want();
        }
        true
    }

    /// The order that the chains are to take now, if it is another one than they have.
    fn wanted_order(&self, record: &Record, due: &mut Due) -> Option<Order> {
        let is_awaited = |heard: Time| self.now < heard.plus_ms(LEARNER_SILENT_MS);
        let somebody_waits = self.rotation.joiner_heard.is_some_and(is_awaited);
        let (order, after_ms) = if record.is_full() {
            (Order::Spread, SPREAD_MS)
        } else if somebody_waits {
            (Order::LinedUp, 0)
        } else {
            (Order::Spread, SPREAD_FEW_MS)
        };
        let is_wanted =
            record.settings.heads == Heads::Spread && record.in_order(order) != record.chains;
        let is_quiet = self.active && self.gate.is_none() && !self.leaving;
        if !is_wanted || !is_quiet || self.peers.has_suspect() {
            return None;
        }
        let at = self.epoch_since.plus_ms(after_ms).max(self.rotation.not_before);
        due.at(at);
        (self.now >= at).then_some(order)
    }
}
