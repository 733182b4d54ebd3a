//! What a core reports to its node, and its settings in a cluster.

use catena_protocol::ShardId;
use tokio::sync::mpsc;

use catena_core::chain::record::NodeId;

/// Takes the notices of all cores, each with the core's index and the node's incarnation.
pub(crate) type Notices = mpsc::Sender<(u16, NodeId, Notice)>;

/// A report on which only the whole node can act.
///
/// `Stalled`, `Near`, `Synced` and `AtRest` are repeated for as long as they hold, because a notice
/// is lost while the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The core acts according to this view, and has seen all before it.
    Ready { view: u64 },
    /// A link to a peer was established (`up`), or several attempts in a row have failed.
    Link { peer: NodeId, up: bool },
    /// A peer lacks updates that this node does not keep any more.
    Behind(NodeId),
    /// A peer's log of a shard contradicts this node's.
    Diverged { peer: NodeId, shard: ShardId },
    /// A peer has the same log of a shard as this node, and has come to other replies.
    Differs { peer: NodeId, shard: ShardId },
    /// Updates have gone unacknowledged for long. `peer` is the successor, and has `behind` members
    /// after it in the chain.
    Stalled { peer: NodeId, behind: u32 },
    /// The learner lacks little of every shard of the core.
    Near { epoch: u32, learner: NodeId },
    /// The learner has every update of the core's shards that was ever acknowledged or visible in a
    /// reply, and no others will be while the gate of this view stands.
    Synced { epoch: u32, learner: NodeId, view: u64 },
    /// The core takes no more updates in that epoch, and all members have those that it took.
    AtRest { epoch: u32 },
    /// The state transfer to this node in that epoch has broken off.
    SyncLost { epoch: u32 },
}

/// A core's settings in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct CoreCluster {
    /// The name of the cluster.
    pub(crate) name: String,
    /// The node's first incarnation.
    pub(crate) life: NodeId,
    /// Takes the core's notices.
    pub(crate) notices: Notices,
}
