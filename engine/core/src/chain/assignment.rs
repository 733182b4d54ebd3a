//! What a replica is assigned: its epoch, its neighbours in the chain, and what it may do there.

use super::record::NodeId;
use crate::shard::Seq;
use crate::time::Time;

/// A replica's assignment in one epoch.
///
/// The driver derives it from the node's newest
/// [`MembershipView`](super::member::MembershipView); a replica never guesses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The epoch; 0 without a cluster.
    pub epoch: u32,
    /// Whether this node is a member of the epoch; otherwise it serves no client.
    pub member: bool,
    /// The node that forwards to this one; `None` at the head.
    pub predecessor: Option<NodeId>,
    /// The node that this one forwards to; `None` at the tail.
    pub successor: Option<NodeId>,
    /// Whether all grants of older epochs have expired, so that this replica may acknowledge and
    /// read.
    pub active: bool,
    /// Whether this node is appending a member: no reads.
    pub change_pending: bool,
    /// Whether the order of the chains is about to change: no updates until the epoch ends.
    pub quiescing: bool,
    /// The learner that this node is appending: only what it has may be acknowledged.
    pub gate: Option<NodeId>,
    /// When the permission to read expires; `None` if no other node has to grant it.
    pub lease: Option<Time>,
    /// Whether there are enough members to accept updates.
    pub writable: bool,
    /// Where the shard begins if the log has no entry.
    pub base: Seq,
}

impl Assignment {
    /// The assignment of a node without a cluster.
    pub fn standalone() -> Assignment {
        Assignment { member: true, active: true, writable: true, ..Assignment::default() }
    }

    pub(super) fn is_head(&self) -> bool {
        self.member && self.predecessor.is_none()
    }

    /// Returns whether this replica decides which deadlines have passed.
    pub(super) fn decides_time(&self) -> bool {
        self.is_head() && self.active && !self.quiescing
    }
}
