//! What the cores of a node are told about the cluster, and what they have confirmed.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use catena_protocol::ShardId;

use super::timing::{STUCK_MS, VIEWS_MAX};
use crate::chain::record::{NodeId, Record};
use crate::chain::replica::Post;
use crate::time::Time;

/// What a replica has to know. Later views replace earlier ones.
#[derive(Clone, Debug)]
pub struct View {
    /// Counts the views of a node; what the cores confirm.
    pub number: u64,
    /// The epoch that the node is in.
    pub epoch: u32,
    /// Its record.
    pub record: Arc<Record>,
    /// Whether the node is in that record. If not, nothing of the chain is its business.
    pub member: bool,
    /// Whether it may acknowledge, commit and read in this epoch.
    pub active: bool,
    /// Whether it must not read, because a proposal of its own may have ended this epoch.
    pub pending: bool,
    /// Whether it takes no updates, because the order of the chains is about to change.
    pub resting: bool,
    /// Only what this learner has acknowledged may be acknowledged.
    pub gate: Option<NodeId>,
    /// Whom its shards are copied to, and forwarded to from then on, as if it were the successor. A
    /// view that names another one than that before it, or is of another epoch, begins a new copy.
    pub learner: Option<NodeId>,
    /// Who copies its shards to this one, if it is not a member.
    pub teacher: Option<NodeId>,
    /// Until when it may read; [`None`] if it is the only member and nobody has to allow it.
    pub lease: Option<Lease>,
}

/// How long a member may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// In which epoch.
    pub epoch: u32,
    /// From then on no more, by the clock of this node.
    pub until: Time,
}

impl View {
    /// Whether a member with this view may acknowledge and commit.
    pub fn may_ack(&self) -> bool {
        self.member && self.active
    }

    /// What the replica of a shard has to know of it.
    pub fn post(&self, me: NodeId, shard: ShardId) -> Post {
        let position = self.record.position(shard, me).filter(|_| self.member);
        Post {
            epoch: self.epoch,
            member: self.member,
            predecessor: position.map_or(self.teacher, |position| position.predecessor),
            successor: position.and_then(|position| position.successor),
            active: self.active,
            pending: self.pending,
            resting: self.resting,
            gate: self.gate,
            lease: self.lease.map(|lease| lease.until),
            writable: self.record.nodes.len() >= self.record.settings.min_members as usize,
        }
    }

    /// Whether it may read. `now` must have been taken after the request arrived, and the state must
    /// be looked at in the same step.
    pub fn may_read(&self, now: Time) -> bool {
        let has_lease =
            self.lease.is_none_or(|lease| lease.epoch == self.epoch && now < lease.until);
        self.may_ack() && !self.pending && has_lease
    }

    fn tells_the_same(&self, other: &View) -> bool {
        let told = |view: &View| {
            let View { epoch, member, active, pending, resting, .. } = *view;
            let View { gate, learner, teacher, lease, .. } = *view;
            ((epoch, member, active, pending, resting), (gate, learner, teacher), lease)
        };
        told(self) == told(other)
    }
}

/// The views that were told, and how far they were confirmed.
#[derive(Debug, Default)]
pub(super) struct Views {
    last: Option<View>,
    confirmed: u64,
    /// The number and time of those that are not confirmed.
    unconfirmed: VecDeque<(u64, Time)>,
    /// The views with which the stop and the gate of the last one began.
    pending_since: u64,
    gate_since: u64,
    teacher_since: u64,
}

impl Views {
    /// Numbers a view that is to be told; nothing if it says nothing new, or if the cores have not
    /// caught up.
    pub(super) fn tell(&mut self, now: Time, mut view: View) -> Option<View> {
        let is_old = self.last.as_ref().is_some_and(|last| last.tells_the_same(&view));
        if is_old || self.unconfirmed.len() as u64 >= VIEWS_MAX {
            return None;
        }
        view.number = self.last.as_ref().map_or(0, |last| last.number) + 1;
        let differs = |what: fn(&View, &View) -> bool| {
            self.last.as_ref().is_none_or(|last| what(last, &view))
        };
        if differs(|last, view| last.pending != view.pending) {
            self.pending_since = view.number;
        }
        let begins =
            |last: &View, view: &View| (last.epoch, last.teacher) != (view.epoch, view.teacher);
        if differs(begins) {
            self.teacher_since = view.number;
        }
        if differs(|last, view| last.gate != view.gate) {
            self.gate_since = view.number;
        }
        self.unconfirmed.push_back((view.number, now));
        self.last = Some(view.clone());
        Some(view)
    }

    pub(super) fn confirm(&mut self, number: u64) {
        let told = self.last.as_ref().map_or(0, |last| last.number);
        assert!(number <= told, "view {number} is confirmed, {told} were told");
        self.confirmed = self.confirmed.max(number);
        self.unconfirmed.retain(|(unconfirmed, _)| *unconfirmed > number);
    }

    /// Whether no core reads.
    pub(super) fn is_stopped(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.pending) && self.confirmed >= self.pending_since
    }

    /// Whether no core acknowledges what the learner does not have.
    pub(super) fn is_gated(&self, learner: NodeId) -> bool {
        let told = self.last.as_ref().is_some_and(|last| last.gate == Some(learner));
        told && self.confirmed >= self.gate_since
    }

    /// Whether all cores take what the teacher's send.
    pub(super) fn is_taught_by(&self, tail: NodeId) -> bool {
        let told = self.last.as_ref().is_some_and(|last| last.teacher == Some(tail));
        told && self.confirmed >= self.teacher_since
    }

    /// When the cores are stuck if they confirm nothing until then.
    pub(super) fn stuck_at(&self) -> Option<Time> {
        self.unconfirmed.front().map(|(_, told)| told.plus_ms(STUCK_MS))
    }
}
