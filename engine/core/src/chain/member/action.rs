//! What a [`Member`](super::Member) wants done, and the results of what it wanted from the
//! register.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::message::PeerMessage;
use super::peers::Suspicion;
use super::removals::Removals;
use super::view::MembershipView;
use crate::chain::record::{ChangeKind, NodeId, Record, RecordError, RecordToken};
use crate::time::Time;

/// The outcome of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CasOutcome {
    /// The register has the new record, under this token.
    Won(RecordToken),
    /// The register had another record than expected. That may be the new record itself, if an
    /// earlier attempt succeeded and its reply was lost.
    Lost,
    /// This attempt changed nothing and never will: it was not sent, or not permitted.
    Failed,
    /// There was no clear reply. The change may have taken effect, may yet take effect, or may
    /// never.
    Unknown,
}

/// The outcome of reading the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Its record and the token for it.
    Record(Box<Record>, RecordToken),
    /// It has no record.
    Empty,
    /// The register was not reached, or has something that is not a valid record.
    Failed,
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a message to a node.
    Send {
        /// The recipient.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// Pass a view to all cores, and call [`Member::on_cores_ready`](super::Member::on_cores_ready)
    /// when all of them act according to it.
    View(MembershipView),
    /// Read the register, and call [`Member::on_read`](super::Member::on_read).
    ReadRegister,
    /// Write to the register in a way that changes nothing, to find out how long a write takes, and
    /// call [`Member::on_probed`](super::Member::on_probed).
    ProbeRegister,
    /// Create the record in the register if it has none, and call
    /// [`Member::on_cas`](super::Member::on_cas).
    Create(Arc<Record>),
    /// Replace the record that has this token, and call [`Member::on_cas`](super::Member::on_cas).
    /// The same record is sent as the same bytes every time.
    Cas {
        /// The token of the record to replace.
        token: RecordToken,
        /// The new record.
        record: Arc<Record>,
    },
    /// End this incarnation: drop links and state, and start another one with a new id and empty
    /// shards.
    Rejoin {
        /// The earliest time to start it.
        not_before: Time,
        /// How often the node was removed, for the next incarnation.
        removals: Removals,
    },
    /// Report something that people may want to know.
    Report(MemberReport),
}

/// Something that people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberReport {
    /// A member may have failed.
    Suspected {
        /// The member.
        node: NodeId,
        /// The reason.
        why: Suspicion,
    },
    /// A record change was proposed.
    Proposed {
        /// What it does.
        kind: ChangeKind,
        /// The node that it removes or appends.
        subject: Option<NodeId>,
    },
    /// The node follows a new record.
    Epoch {
        /// Its epoch.
        epoch: u32,
        /// Whether this node is a member in it.
        member: bool,
    },
    /// The node may act in its epoch.
    Active {
        /// The epoch.
        epoch: u32,
    },
    /// Appending a learner was given up.
    LearnerDropped {
        /// The learner.
        learner: NodeId,
    },
    /// No member was heard from for half a minute or more. Repeated each minute while that is so.
    TotalLoss {
        /// For how many seconds.
        silent_s: u64,
    },
    /// A node says that it is in an epoch that is too far ahead to be believed.
    BadEpoch {
        /// The node.
        from: NodeId,
        /// The epoch.
        epoch: u32,
        /// The newest epoch that this node knows.
        known: u32,
    },
    /// A node, or the register, has something that is not a record of this cluster.
    BadRecord {
        /// The node that sent it; [`None`] for the register.
        from: Option<NodeId>,
        /// What is wrong with it; [`None`] if it belongs to another cluster, contradicts the record
        /// of the same epoch, or was deleted.
        why: Option<RecordError>,
    },
}
