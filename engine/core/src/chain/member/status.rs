//! How a member stands, for people: nothing in here decides anything.

use super::{Member, Standing, Suspicion};
use crate::chain::record::NodeId;
use crate::time::Time;

impl Member {
    /// Where it stands, in one word: `member`, `restarted`, `learner`, `outside` or `removed`.
    pub fn standing(&self) -> &'static str {
        match self.standing {
            Standing::Member => "member",
            Standing::Restarted { .. } => "restarted",
            Standing::Outside if self.teacher.is_some() => "learner",
            Standing::Outside => "outside",
            Standing::Out => "removed",
        }
    }

    /// Until when the others let it read; nothing if it is the only member, or none.
    pub fn lease_until(&self) -> Option<Time> {
        let record = self.record().filter(|_| self.is_member())?;
        self.grants.lease(self.me, record, &self.rules).map(|lease| lease.until)
    }

    /// Whom it teaches, if it is the tail and somebody wants to join.
    pub fn learner(&self) -> Option<NodeId> {
        self.learner.as_ref().map(|learner| learner.node)
    }

    /// Who teaches it, if it is to become a member.
    pub fn teacher(&self) -> Option<NodeId> {
        self.teacher.map(|teacher| teacher.tail)
    }

    /// When it heard last of another member.
    pub fn heard(&self, node: NodeId) -> Option<Time> {
        self.peers.heard(node)
    }

    /// Why it suspects another member, if it does.
    pub fn suspicion(&self, node: NodeId) -> Option<Suspicion> {
        self.peers.suspicion(node)
    }
}

impl core::fmt::Display for Suspicion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}
