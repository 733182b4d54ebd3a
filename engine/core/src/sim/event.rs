//! What happens in a simulation.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::network::FrameBytes;
use crate::chain::member::{CasOutcome, MembershipView, PeerMessage, ReadOutcome, Removals};
use crate::chain::record::{ChangeId, NodeId, Record, RecordToken};

/// An event.
#[derive(Clone, Debug)]
pub(super) enum SimEvent {
    /// A process starts.
    Start {
        slot: usize,
        removals: Removals,
    },
    /// A node's timer expires.
    Wake {
        node: NodeId,
    },
    /// A node checks the progress of its successors.
    Tick {
        node: NodeId,
    },
    Message {
        from: NodeId,
        to: NodeId,
        message: Box<PeerMessage>,
    },
    Frames {
        from: NodeId,
        to: NodeId,
        /// The link's generation when they were sent.
        generation: u64,
        bytes: FrameBytes,
    },
    /// A link has taken what a node wrote to it.
    Written {
        from: NodeId,
        to: NodeId,
        generation: u64,
    },
    /// A node tries to connect to another.
    Dial {
        from: NodeId,
        to: NodeId,
    },
    /// A view gets to the core of a shard.
    View {
        node: NodeId,
        shard: usize,
        view: Arc<MembershipView>,
    },
    CoresReady {
        node: NodeId,
        view: u64,
    },
    /// A request gets to the register, whose reply is sent if `replies`.
    AtRegister {
        node: NodeId,
        request: RegisterRequest,
        replies: bool,
    },
    RegisterReplies {
        node: NodeId,
        reply: RegisterReply,
    },
    ClientTimer {
        client: usize,
        timer: u64,
    },
    /// A client's connection gets to a node.
    Hello {
        client: usize,
        conn: u64,
        slot: usize,
    },
    /// The node's greeting gets to the client.
    Welcome {
        client: usize,
        conn: u64,
        record: Option<Arc<Record>>,
        time: u64,
    },
    Request {
        node: NodeId,
        conn: u64,
        bytes: FrameBytes,
    },
    Reply {
        client: usize,
        conn: u64,
        bytes: FrameBytes,
    },
    /// A client learns that its connection has ended.
    Disconnect {
        client: usize,
        conn: u64,
    },
    /// A node learns that a client's connection has ended.
    ConnEnd {
        node: NodeId,
        conn: u64,
    },
    /// An operator asks one node to remove another.
    RemoveRequest {
        by: NodeId,
        node: NodeId,
    },
    /// A node is told to leave the cluster.
    LeaveRequest {
        node: NodeId,
    },
    /// A learner notices that the link to the source of its state transfer broke.
    TransferLost {
        node: NodeId,
        epoch: u32,
    },
    Fault(InjectedFault),
    /// No more faults occur.
    FaultsEnd,
    /// Clients begin no more calls.
    CallsEnd,
    /// The run ends.
    End,
}

/// A fault, or the end of one.
#[derive(Clone, Copy, Debug)]
pub(super) enum InjectedFault {
    Crash,
    Pause,
    Unpause { node: NodeId },
    Cut,
    Mend { from: usize, to: usize },
    Remove,
    Departure,
    ClientDeath,
    LinkReset,
    Disconnect,
    Outage,
    OutageOver,
    SlowWrites,
    SlowWritesOver,
}

/// What a node asks of the register.
#[derive(Clone, Debug)]
pub(super) enum RegisterRequest {
    Read,
    Cas(Option<RecordToken>, Arc<Record>),
    /// A write that changes nothing.
    Probe,
}

/// The register's reply.
#[derive(Clone, Debug)]
pub(super) enum RegisterReply {
    Read(ReadOutcome),
    Cas(ChangeId, CasOutcome),
    Probed(bool),
}
