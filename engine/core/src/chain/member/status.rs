//! A member's state as people see it. Nothing in here decides anything.

use super::{Member, Membership, Suspicion};
use crate::chain::record::NodeId;
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

    /// Returns why it suspects another member, if it does.
    pub fn suspicion(&self, node: NodeId) -> Option<Suspicion> {
        self.peers.suspicion(node)
    }
}
