//! What the cores of a node need to know about the cluster, and what they have confirmed.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use catena_protocol::ShardId;

use super::timing::{STUCK_MS, VIEWS_MAX};
use crate::chain::assignment::Assignment;
use crate::chain::record::{NodeId, Record};
use crate::time::Time;

/// What the replicas of a node need to know. A later view replaces earlier ones.
#[derive(Clone, Debug)]
pub struct MembershipView {
    /// The number of the view, counted by node, by which the cores confirm it.
    pub number: u64,
    /// The node's epoch.
    pub epoch: u32,
    /// The record of that epoch.
    pub record: Arc<Record>,
    /// Whether the node is a member in that record. If not, its cores serve no client.
    pub member: bool,
    /// Whether it may acknowledge, commit and read in this epoch.
    pub active: bool,
    /// Whether it must not read, because an append of its own may have ended this epoch.
    pub change_pending: bool,
    /// Whether it accepts no updates, because the chains are about to be reordered.
    pub quiescing: bool,
    /// Only what this learner has acknowledged may be acknowledged.
    pub gate: Option<NodeId>,
    /// The learner to which its shards are copied, and forwarded from then on, as to a successor. A
    /// view that names another learner, or has another epoch, starts a new state transfer.
    pub learner: Option<NodeId>,
    /// The tail that copies its shards to this node, if it is a learner.
    pub source: Option<NodeId>,
    /// The lease to read; [`None`] if it is the only member, so that no other node has to grant it.
    pub lease: Option<Lease>,
}

/// A member's permission to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The epoch in which it holds.
    pub epoch: u32,
    /// When it expires, by the clock of this node.
    pub until: Time,
}

impl MembershipView {
    /// Returns whether a member with this view may acknowledge and commit.
    pub fn may_ack(&self) -> bool {
        self.member && self.active
    }

    /// Returns the assignment of a shard's replica.
    pub fn assignment(&self, me: NodeId, shard: ShardId) -> Assignment {
        let position = self.record.position(shard, me).filter(|_| self.member);
        Assignment {
            epoch: self.epoch,
            member: self.member,
            predecessor: position.map_or(self.source, |position| position.predecessor),
            successor: position.and_then(|position| position.successor),
            active: self.active,
            change_pending: self.change_pending,
            quiescing: self.quiescing,
            gate: self.gate,
            lease: self.lease.map(|lease| lease.until),
            writable: self.record.nodes.len() >= self.record.settings.min_members as usize,
            base: self.record.base,
        }
    }

    /// Returns whether it may read. `now` must be taken after the request arrived, and the state
    /// must be read in the same step.
    pub fn may_read(&self, now: Time) -> bool {
        let has_lease =
            self.lease.is_none_or(|lease| lease.epoch == self.epoch && now < lease.until);
        self.may_ack() && !self.change_pending && has_lease
    }

    fn is_same_as(&self, other: &MembershipView) -> bool {
        let told = |view: &MembershipView| {
            let MembershipView { epoch, member, active, change_pending, quiescing, .. } = *view;
            let MembershipView { gate, learner, source, lease, .. } = *view;
            ((epoch, member, active, change_pending, quiescing), (gate, learner, source), lease)
        };
        told(self) == told(other)
    }
}

/// The views that were published, and how far they were confirmed.
#[derive(Debug, Default)]
pub(super) struct PublishedViews {
    last: Option<MembershipView>,
    confirmed: u64,
    /// The number and time of each view that is not confirmed.
    unconfirmed: VecDeque<(u64, Time)>,
    /// The first views that had the last one's `change_pending`, `gate`, and source.
    change_pending_since: u64,
    gate_since: u64,
    source_since: u64,
}

impl PublishedViews {
    /// Numbers a view that is to be published; returns [`None`] if it differs in nothing, or if too
    /// many are unconfirmed.
    pub(super) fn publish(
        &mut self,
        now: Time,
        mut view: MembershipView,
    ) -> Option<MembershipView> {
        let is_old = self.last.as_ref().is_some_and(|last| last.is_same_as(&view));
        if is_old || self.unconfirmed.len() as u64 >= VIEWS_MAX {
            return None;
        }
        view.number = self.last.as_ref().map_or(0, |last| last.number) + 1;
        let differs = |what: fn(&MembershipView, &MembershipView) -> bool| {
            self.last.as_ref().is_none_or(|last| what(last, &view))
        };
        if differs(|last, view| last.change_pending != view.change_pending) {
            self.change_pending_since = view.number;
        }
        let begins = |last: &MembershipView, view: &MembershipView| {
            (last.epoch, last.source) != (view.epoch, view.source)
        };
        if differs(begins) {
            self.source_since = view.number;
        }
        if differs(|last, view| last.gate != view.gate) {
            self.gate_since = view.number;
        }
        self.unconfirmed.push_back((view.number, now));
        self.last = Some(view.clone());
        Some(view)
    }

    pub(super) fn confirm(&mut self, number: u64) {
        let published = self.last.as_ref().map_or(0, |last| last.number);
        assert!(number <= published, "view {number} is confirmed, {published} were published");
        self.confirmed = self.confirmed.max(number);
        self.unconfirmed.retain(|(unconfirmed, _)| *unconfirmed > number);
    }

    /// Returns whether no core reads.
    pub(super) fn is_stopped(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.change_pending)
            && self.confirmed >= self.change_pending_since
    }

    /// Returns whether no core acts as a member any more, in any epoch.
    pub(super) fn have_left(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !last.member && self.confirmed >= last.number)
    }

    /// Returns whether no core acknowledges what the learner lacks.
    pub(super) fn is_gated(&self, learner: NodeId) -> bool {
        let published = self.last.as_ref().is_some_and(|last| last.gate == Some(learner));
        published && self.confirmed >= self.gate_since
    }

    /// Returns whether all cores are ready to receive from the source's.
    pub(super) fn is_receiving_from(&self, tail: NodeId) -> bool {
        let published = self.last.as_ref().is_some_and(|last| last.source == Some(tail));
        published && self.confirmed >= self.source_since
    }

    /// Returns when the cores count as stuck if they confirm nothing until then.
    pub(super) fn stuck_at(&self) -> Option<Time> {
        self.unconfirmed.front().map(|(_, told)| told.plus_ms(STUCK_MS))
    }
}
