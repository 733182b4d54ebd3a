//! How a node becomes a member.
//!
//! A learner asks the tail of all chains for a state transfer. It also asks the first member, which
//! aligns the chains if they end at different nodes. When the learner's cores are ready, the tail's
//! cores copy their shards to it, and forward to it from then on. Once it is nearly synced, the
//! tail acknowledges only what the learner has, and appends it when it has everything.
//!
//! Invariants:
//!
//! 1. A learner starts a second state transfer only in a later epoch or as another incarnation, and
//!    a tail does not sync it twice in one epoch: a change proposed in this epoch may still make it
//!    a member with what it has.
//! 2. The tail keeps the gate from before the learner is found to be synced until the outcome of
//!    the proposal is known.
//! 3. A learner keeps what it has until it knows that it is not a member, whether its tail is silent
//!    or the transfer broke off: the tail may have appended it before it failed, and then nobody else
//!    may have the objects.

use super::action::{Action, MemberReport};
use super::message::PeerMessage;
use super::peers::Suspicion;
use super::reordering::coordinator;
use super::timing::{
    ABANDONED_LEARNERS_MAX, Due, HEARTBEAT_MS, LEARNER_RETRY_MS, LEARNER_SILENT_MS, LOSS_REPORT_MS,
    REJOIN_SLOW_MS_MAX, RESYNC_MS, TOTAL_LOSS_MS,
};
use super::{Member, Membership};
use crate::chain::record::{ChangeKind, NodeId, NodeInfo, Record};
use crate::time::Time;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The learner that this node, the tail, syncs. One at a time.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    pub(super) node: NodeId,
    pub(super) info: NodeInfo,
    pub(super) heard: Time,
    /// Whether its cores are ready to receive.
    pub(super) ready: bool,
    /// Whether it is nearly synced.
    near: bool,
    /// It is not appended before this.
    not_before: Time,
}

/// The gate for a learner that is about to be appended: the cores acknowledge only what it has.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) learner: NodeId,
    pub(super) info: NodeInfo,
    pub(super) since: Time,
    /// Whether the learner has everything, while the gate was in force.
    synced: bool,
}

/// The tail that syncs this node, in this epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransferSource {
    pub(super) tail: NodeId,
    /// Whether the state transfer will not complete.
    lost: bool,
}

/// The nodes that are no members and that people may want to see: those that ask to join, and those
/// that were removed although they run.
#[derive(Debug, Default)]
pub(super) struct Spares(BTreeMap<NodeId, Spare>);

#[derive(Debug)]
struct Spare {
    info: NodeInfo,
    heard: Time,
    /// How long it is shown.
    until: Time,
}

impl Spares {
    fn on_join(&mut self, now: Time, node: NodeId, info: &NodeInfo) {
        let until = now.plus_ms(LEARNER_SILENT_MS);
        self.insert(now, node, Spare { info: info.clone(), heard: now, until });
    }

    /// Remembers a member that `record` has removed, if it may still run: it asks nobody to join
    /// before its wait is over, and until then only this shows where it is.
    pub(super) fn on_removed(&mut self, now: Time, record: &Record, before: &Record) {
        let may_run = [Suspicion::Operator, Suspicion::Stalled, Suspicion::Behind];
        let may_run = may_run.iter().any(|why| why.reason() == &*record.change.reason);
        let removed = record.change.subject.filter(|_| record.change.kind == ChangeKind::Remove);
        if may_run
            && let Some(node) = removed
            && let Some(info) = before.nodes.get(&node)
        {
            let until = now.plus_ms(REJOIN_SLOW_MS_MAX);
            self.insert(now, node, Spare { info: info.clone(), heard: now, until });
        }
    }

    fn insert(&mut self, now: Time, node: NodeId, spare: Spare) {
        // The node at that address may have been known as an earlier incarnation.
        self.0.retain(|_, known| now < known.until && known.info.peer != spare.info.peer);
        if self.0.len() < SPARES_MAX {
            self.0.insert(node, spare);
        }
    }

    /// Returns those that are to be shown, and when they were heard from.
    pub(super) fn iter(&self, now: Time) -> impl Iterator<Item = (NodeId, &NodeInfo, Time)> {
        let shown = self.0.iter().filter(move |(_, spare)| now < spare.until);
        shown.map(|(node, spare)| (*node, &spare.info, spare.heard))
    }
}

/// The number of nodes outside the cluster that are remembered.
const SPARES_MAX: usize = 64;

impl Member {
    /// Takes a report that all shards of the learner are nearly synced. Called as often as that is
    /// so.
    pub fn on_nearly_synced(
        &mut self,
        now: Time,
        learner: NodeId,
        epoch: u32,
        out: &mut Vec<Action>,
    ) {
        self.advance(now);
        self.note_nearly_synced(learner, epoch);
        self.decide(out);
    }

    /// Takes a report that all shards of the learner are synced. It counts only if the gate was in
    /// force when they were checked: after the view with the gate was confirmed. Before that it
    /// means the same as [`Member::on_nearly_synced`].
    pub fn on_synced(&mut self, now: Time, learner: NodeId, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        self.note_nearly_synced(learner, epoch);
        let is_gated = self.views.is_gated(learner) || !self.rules.confirm();
        if epoch == self.epoch()
            && is_gated
            && let Some(gate) = self.gate.as_mut().filter(|gate| gate.learner == learner)
        {
            gate.synced = true;
        }
        self.decide(out);
    }

    fn note_nearly_synced(&mut self, learner: NodeId, epoch: u32) {
        let is_here = epoch == self.epoch();
        if let Some(known) = self.learner.as_mut().filter(|known| is_here && known.node == learner)
        {
            known.near = true;
        }
    }

    /// Takes a report that the state transfer of that epoch will not complete, because the link
    /// broke or the tail stopped it. This incarnation cannot start another one: see invariant 1. It
    /// ends when the tail says that it is not going to append this node: see invariant 3.
    pub fn on_sync_lost(&mut self, now: Time, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        if epoch == self.epoch()
            && let Some(source) = &mut self.source
        {
            source.lost = true;
            self.next_heartbeat = now;
            self.register_reads.want();
        }
        self.decide(out);
    }

    /// Takes the reply that a member does not sync this node now. If it did before, it does not append
    /// it in this epoch.
    pub(super) fn on_wait(&mut self, from: NodeId, epoch: u32, out: &mut Vec<Action>) {
        let is_source = self.source.is_some_and(|source| source.tail == from);
        if self.membership == Membership::Outside && is_source && epoch == self.epoch() {
            self.restart_join(out);
        }
    }

    pub(super) fn on_join(
        &mut self,
        from: NodeId,
        (epoch, ready, lost): (u32, bool, bool),
        info: NodeInfo,
        out: &mut Vec<Action>,
    ) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        let is_retired = record.is_retired(from) && self.rules.fresh_incarnation();
        if is_retired || self.membership == Membership::Ended {
            return self.refuse(from, &record, out);
        }
        if epoch < record.epoch {
            let message = PeerMessage::Config(Box::new((*record).clone()));
            return out.push(Action::Send { to: from, message });
        }
        if epoch > record.epoch {
            return self.register_reads.want();
        }
        if self.membership != Membership::Member {
            return;
        }
        let now = self.now;
        self.spares.on_join(now, from, &info);
        if !record.is_full() {
            self.reordering.on_joiner(now);
        }
        let is_tail = common_tail(&record) == Some(self.me);
        if lost && self.is_appending() {
            // The outcome is the reply.
            return;
        }
        if lost && self.learner.as_ref().is_some_and(|learner| learner.node == from) {
            self.abandon_learner();
        }
        if lost || !is_tail || self.abandoned_learners.contains(&from) {
            return out.push(Action::Send { to: from, message: PeerMessage::Wait { epoch } });
        }
        let learner = self.learner.get_or_insert_with(|| Learner {
            node: from,
            info: info.clone(),
            heard: now,
            ready: false,
            near: false,
            not_before: now,
        });
        if learner.node == from {
            (learner.info, learner.heard) = (info, now);
            learner.ready |= ready;
            out.push(Action::Send { to: from, message: PeerMessage::Sync { epoch } });
        } else {
            // One at a time: the learner will ask again.
            out.push(Action::Send { to: from, message: PeerMessage::Wait { epoch } });
        }
    }

    pub(super) fn on_sync(&mut self, from: NodeId, epoch: u32) {
        let is_tail = self.record().is_some_and(|record| common_tail(record) == Some(from));
        if self.membership == Membership::Outside && is_tail && epoch == self.epoch() {
            self.source.get_or_insert(TransferSource { tail: from, lost: false });
        }
    }

    /// Opens a gate for a nearly synced learner, closes it if syncing takes too long, and returns
    /// it when the learner is synced.
    pub(super) fn advance_gate(
        &mut self,
        record: &Record,
        due: &mut Due,
        out: &mut Vec<Action>,
    ) -> Option<Gate> {
        let now = self.now;
        let Some(gate) = self.gate.clone() else {
            self.gate = self.open_gate(record, due);
            if self.gate.is_some() {
                // The proposal needs to know that the register can be reached.
                self.register_reads.want();
            }
            return None;
        };
        if gate.synced {
            return Some(gate);
        }
        let heard = self.learner.as_ref().map_or(Time::default(), |learner| learner.heard);
        let until = heard
            .plus_ms(record.settings.suspect_ms)
            .min(gate.since.plus_ms(2 * record.settings.suspect_ms));
        due.at(until);
        if now >= until {
            self.drop_learner(out);
        }
        None
    }

    fn open_gate(&self, record: &Record, due: &mut Due) -> Option<Gate> {
        let learner = self.learner.as_ref().filter(|learner| learner.ready && learner.near)?;
        if record.is_full() || self.peers.has_suspect() {
            return None;
        }
        due.at(learner.not_before);
        let is_there = self.now < learner.heard.plus_ms(record.settings.suspect_ms);
        (is_there && self.now >= learner.not_before).then(|| Gate {
            learner: learner.node,
            info: learner.info.clone(),
            since: self.now,
            synced: !self.rules.gate(),
        })
    }

    /// Gives up on appending a learner for the time being. No proposal for it is under way.
    pub(super) fn drop_learner(&mut self, out: &mut Vec<Action>) {
        let Some(Gate { learner, .. }) = self.gate.take() else {
            return;
        };
        if let Some(learner) = &mut self.learner {
            learner.near = false;
            learner.not_before = self.now.plus_ms(LEARNER_RETRY_MS);
        }
        out.push(Action::Report(MemberReport::LearnerDropped { learner }));
    }

    /// Makes room for another learner if this one is silent.
    pub(super) fn watch_learner(&mut self, due: &mut Due) {
        let Some(learner) = self.learner.as_ref().filter(|_| self.gate.is_none()) else {
            return;
        };
        let until = learner.heard.plus_ms(LEARNER_SILENT_MS);
        due.at(until);
        if self.now >= until {
            self.abandon_learner();
        }
    }

    /// Gives up on the learner, which no proposal is about, for this epoch.
    fn abandon_learner(&mut self) {
        let Some(learner) = &self.learner else { return };
        // Nothing was sent to a learner that was not ready. It may not even know of this tail, and then
        // it would wait for it for ever.
        if learner.ready {
            if self.abandoned_learners.len() >= ABANDONED_LEARNERS_MAX {
                return;
            }
            self.abandoned_learners.insert(learner.node);
        }
        (self.learner, self.gate) = (None, None);
    }

    /// Asks to join again, which shows that this node is there.
    pub(super) fn ask_to_join(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        if self.now >= self.next_heartbeat {
            self.next_heartbeat = self.now.plus_ms(HEARTBEAT_MS);
            let ready = self.source.is_some_and(|source| self.views.is_receiving_from(source.tail));
            let tail = common_tail(record);
            for to in tail.into_iter().chain(coordinator(record).filter(|it| Some(*it) != tail)) {
                let (epoch, info) = (record.epoch, self.info.clone());
                let lost = self.source.is_some_and(|source| source.lost);
                let message = PeerMessage::Join { epoch, ready, lost, info };
                out.push(Action::Send { to, message });
            }
        }
        due.at(self.next_heartbeat);
    }

    fn restart_join(&mut self, out: &mut Vec<Action>) {
        self.membership = Membership::Ended;
        self.source = None;
        let not_before = self.now.plus_ms(RESYNC_MS);
        out.push(Action::Rejoin { not_before, removals: self.removals });
    }

    /// Returns since when all members count as lost, if they do.
    pub(super) fn lost_since(&mut self, due: &mut Due, out: &mut Vec<Action>) -> Option<Time> {
        let since = self.members_heard.plus_ms(TOTAL_LOSS_MS);
        due.at(since);
        if self.now < since {
            return None;
        }
        let report_at = self.loss_reported.map_or(since, |then| then.plus_ms(LOSS_REPORT_MS));
        if self.now >= report_at {
            self.loss_reported = Some(self.now);
            let silent_s = (self.now.0 - self.members_heard.0) / 1_000_000;
            out.push(Action::Report(MemberReport::TotalLoss { silent_s }));
        }
        due.at(self.loss_reported.unwrap_or(self.now).plus_ms(LOSS_REPORT_MS));
        Some(since)
    }
}

/// Returns the node that is the tail of all chains. A learner can be appended only there: if chains
/// ended at different nodes, all of these would have to keep the gate at the same time.
pub(super) fn common_tail(record: &Record) -> Option<NodeId> {
    let mut tails = record.chains.iter().map(|chain| chain.last().copied());
    let tail = tails.next()??;
    tails.all(|other| other == Some(tail)).then_some(tail)
}
