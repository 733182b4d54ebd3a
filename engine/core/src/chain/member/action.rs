//! What a [`Member`](super::Member) wants done, and what the register says.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::message::PeerMessage;
use super::peers::Suspicion;
use super::view::View;
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeKind, NodeId, Record, RecordError};
use crate::time::Time;

/// What came of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The register has the new record, under this token.
    Won(RecordToken),
    /// The register had something else than expected. Perhaps that is the new record: an earlier
    /// attempt may have succeeded without our hearing of it.
    Lost,
    /// This attempt changed nothing and never will: it was not made, or not allowed.
    Failed,
    /// No answer, or none that says. The record may be there, may come to be there later, or never.
    Unknown,
}

/// What came of reading the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Its record and the token for it.
    Record(Box<Record>, RecordToken),
    /// There is none.
    Empty,
    /// The register was not reached, or has something that is no record.
    Failed,
}

/// What has to be done, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Tell a node.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// Tell all cores, and confirm with [`Member::on_cores_ready`](super::Member::on_cores_ready)
    /// when all of them act accordingly.
    View(View),
    /// Read the register and say what it has with [`Member::on_read`](super::Member::on_read).
    ReadRegister,
    /// Create the record in the register if there is none, and say what came of it with
    /// [`Member::on_cas`](super::Member::on_cas).
    Create(Arc<Record>),
    /// Replace the record of that token, and say what came of it likewise. The bytes of the same
    /// record are the same every time.
    Cas {
        /// What to replace.
        token: RecordToken,
        /// By what.
        record: Arc<Record>,
    },
    /// This life of the node is over: drop links and state, and begin another one with a new id and
    /// empty shards.
    Rejoin {
        /// Not before this.
        not_before: Time,
        /// How often it was removed, for the next life.
        removals: u32,
    },
    /// Something that people may want to know.
    Report(Report),
}

/// Something that people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A member may have failed.
    Suspected {
        /// Who.
        node: NodeId,
        /// Why.
        why: Suspicion,
    },
    /// A change was proposed.
    Proposed {
        /// What it does.
        kind: ChangeKind,
        /// To whom.
        subject: Option<NodeId>,
    },
    /// A record is followed from now on.
    Epoch {
        /// Its epoch.
        epoch: u32,
        /// Whether this node is in it.
        member: bool,
    },
    /// The node takes part in its epoch.
    Active {
        /// The epoch.
        epoch: u32,
    },
    /// A learner stopped being one in the last moment.
    LearnerDropped {
        /// Which.
        learner: NodeId,
    },
    /// No member has been heard for half a minute.
    TotalLoss,
    /// A node, or the register, has something that is no record of this cluster.
    BadRecord {
        /// Who sent it, if not the register.
        from: Option<NodeId>,
        /// What is wrong with it; [`None`] if it is of another cluster, another one of the same
        /// epoch, or not there any more.
        why: Option<RecordError>,
    },
}
