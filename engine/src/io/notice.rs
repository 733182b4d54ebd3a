//! What a core tells the node that it is part of, and what it has to know for that.

use catena_protocol::ShardId;
use tokio::sync::mpsc;

use catena_core::chain::record::NodeId;

/// Where the notices of all cores go: each with the core's number, and the life that it is about.
pub(crate) type Notices = mpsc::Sender<(u16, NodeId, Notice)>;

/// Something that only the whole node can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The core acts according to this view and all before it.
    Ready { view: u64 },
    /// A link to a peer was made, or could not be made for a while.
    Link { peer: NodeId, up: bool },
    /// A peer lacks updates that are not kept any more.
    Behind(NodeId),
    /// A peer's log of a shard contradicts ours.
    Diverged { peer: NodeId, shard: ShardId },
    /// Updates do not get through to a peer, which has so many members behind it, and back. Said again
    /// while it is so.
    Stalled { peer: NodeId, behind: u32 },
    /// All shards of the core say that the learner lacks little. Said again while it is so.
    Near { epoch: u32, learner: NodeId },
    /// All shards of the core say that the learner has everything that was ever acknowledged or
    /// answered, and that nothing else will be while the gate of this view is there. Said again while
    /// it is so.
    Synced { epoch: u32, learner: NodeId, view: u64 },
    /// The core takes no updates in that epoch any more, and all members have what it took. Said again
    /// while it is so.
    AtRest { epoch: u32 },
    /// What this node was taught in that epoch is not complete, and the rest will not come.
    SyncLost { epoch: u32 },
}

/// What a core has to know to be part of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct CoreCluster {
    /// The name of the cluster.
    pub(crate) name: String,
    /// The node's first life.
    pub(crate) life: NodeId,
    /// Where notices go.
    pub(crate) notices: Notices,
}
