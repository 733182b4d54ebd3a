//! A member's state as people see it. Nothing in here decides anything.

use super::{Member, Membership, Suspicion};
use crate::chain::record::{NodeId, NodeInfo};
use crate::time::Time;

impl Member {
    /// Returns its membership in one word: `member`, `restarted`, `learner`, `outside` or
    /// `removed`.
    pub fn membership(&self) -> &'static str {
        match self.membership {
            Membership::Member => "member",
            Membership::Restarted { .. } => "restarted",
            Membership::Outside if self.source.is_some() => "learner",
            Membership::Outside => "outside",
            // Its cores may still be stopping.
            Membership::Ended if self.ending.is_some() => "outside",
            Membership::Ended => "removed",
        }
    }

    /// Returns when its lease expires; [`None`] if it is the only member, or not a member.
    pub fn lease_until(&self) -> Option<Time> {
        let record = self.record().filter(|_| self.is_member())?;
        self.grants.lease(self.me, record, &self.rules).map(|lease| lease.until)
    }

    /// Returns the learner that it syncs, if it is the tail and a node wants to join.
    pub fn learner(&self) -> Option<NodeId> {
        self.learner.as_ref().map(|learner| learner.node)
    }

    /// Returns the tail that syncs this node, if it is a learner.
    pub fn transfer_source(&self) -> Option<NodeId> {
        self.source.map(|source| source.tail)
    }

    /// Returns when it last heard from another member.
    pub fn heard(&self, node: NodeId) -> Option<Time> {
        self.peers.heard(node)
    }

    /// Returns the nodes that it knows and that are no members, and when it heard from them: those
    /// that have asked it to join in the last seconds, and those that were removed although they
    /// may still run.
    pub fn spares(&self, now: Time) -> impl Iterator<Item = (NodeId, &NodeInfo, Time)> {
        // A node that has rejoined has another id.
        let is_spare = |info: &NodeInfo| {
            let mut members = self.record().into_iter().flat_map(|record| record.nodes.values());
            members.all(|member| member.peer != info.peer)
        };
        self.spares.iter(now).filter(move |(_, info, _)| is_spare(info))
    }

    /// Returns since when no member has replied, if this node is not a member and takes all members
    /// for lost.
    pub fn members_lost_since(&self) -> Option<Time> {
        let is_outside = self.membership == Membership::Outside;
        (is_outside && self.loss_reported.is_some()).then_some(self.members_heard)
    }

    /// Returns why it suspects another member, if it does.
    pub fn suspicion(&self, node: NodeId) -> Option<Suspicion> {
        self.peers.suspicion(node)
    }
}
