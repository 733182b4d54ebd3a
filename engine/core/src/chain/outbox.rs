//! What the driver of a replica provides: buffers for replies and for frames to other nodes.

use alloc::vec::Vec;
use core::ops::DerefMut;

use catena_protocol::{Header, ShardId};

use super::record::NodeId;
use crate::objects::StoredReply;
use crate::shard::{Answered, ConnId, Outbox};
use crate::time::Time;

/// Where a replica puts replies, frames to other nodes, and reports to its node.
pub trait ReplicaOutbox: Outbox {
    /// Outgoing bytes, borrowed.
    type PeerBuffer<'a>: DerefMut<Target = Vec<u8>>
    where
        Self: 'a;

    /// Sends encoded replies, each of them whole, to `conn`, like [`Outbox::push`].
    fn send_encoded(&mut self, conn: ConnId, replies: &[u8]);

    /// Sends a reply whose body is large to `conn`, in its place between encoded ones.
    fn send_large(&mut self, conn: ConnId, to: &Header, reply: &StoredReply) {
        let mut frame = Vec::new();
        reply.write(to, &mut frame);
        self.send_encoded(conn, &frame);
    }

    /// Returns when this turn began by the driver's clock, for [`ReplicaOutbox::answered`].
    fn turn_start(&self) -> Time {
        Time::default()
    }

    /// Announces one of the replies that the next [`ReplicaOutbox::send_encoded`] contains.
    fn answered(&mut self, answered: Answered) {
        let _ = answered;
    }

    /// Returns the outgoing bytes to another node, whole frames only; `None` while there is no
    /// link.
    fn peer_buffer(&mut self, node: NodeId) -> Option<Self::PeerBuffer<'_>>;

    /// Reports to the node what only the node can act on.
    fn report(&mut self, shard: ShardId, report: ReplicaReport);
}

/// What a replica reports to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaReport {
    /// The successor needs entries that are no longer kept: it has to join again.
    Behind(NodeId),
    /// A peer's log contradicts this one. Nothing that the peer sends can be used.
    Diverged(NodeId),
    /// The successor has the same log, and has come to other replies.
    Differs(NodeId),
}
