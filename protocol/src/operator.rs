//! What an operator asks of a node, at its control port, and what the node answers.
//!
//! A connection begins with [`PeerHello`](crate::peer::PeerHello) as between nodes, `from` 0 and `to` 0
//! for whoever is there. After that every [`Operator`](FrameKind::Operator) frame gets one
//! [`OperatorReply`](FrameKind::OperatorReply), in their order. Off the data path: bodies are copied out.

use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body;
use crate::frame;
use crate::header::{FrameKind, Header};
use crate::status::Fault;

/// What an operator asks of a node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How it stands.
    Status,
    /// To have another member removed, or to leave if it is the node itself: its incarnation.
    Remove(u128),
    /// To join now rather than when its time to wait is over.
    Join,
}

/// What the node answers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// How it stands.
    Status(Box<NodeStatus>),
    /// It was told, and is doing it.
    Accepted,
    /// Why not.
    Refused(String),
}

/// How a node stands.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its incarnation.
    pub node: u128,
    /// What people call it.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Name and version of the engine.
    pub engine: String,
    /// The newest epoch it knows; 0 if it knows none.
    pub epoch: u32,
    /// In one word: `member`, `restarted`, `learner`, `outside` or `removed`.
    pub standing: String,
    /// Whether it takes part in the epoch.
    pub active: bool,
    /// Members wanted.
    pub replicas: u32,
    /// With fewer members than this, updates are refused.
    pub min_members: u32,
    /// The change that it proposes, for people; nothing if it proposes none.
    pub proposal: String,
    /// For how long it may still read, in microseconds; `None` if it may not, or needs no leave.
    pub lease_us: Option<u64>,
    /// Whom it teaches; 0 if nobody.
    pub learner: u128,
    /// Whom it learns from; 0 if nobody.
    pub teacher: u128,
    /// In how many milliseconds it begins another life; 0 if it does not wait for one.
    pub rejoins_ms: u64,
    /// What went wrong when the register was last used; empty if nothing did.
    pub register_trouble: String,
    /// The members, itself included.
    pub members: Vec<MemberStatus>,
    /// Its shards, in their order.
    pub shards: Vec<ShardStatus>,
}

/// What a node thinks of a member.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its incarnation.
    pub node: u128,
    /// What people call it.
    pub name: String,
    /// Its control port.
    pub control: String,
    /// How long nothing was heard of it, in microseconds; 0 for the node itself.
    pub silent_us: u64,
    /// Why it is suspected; empty if it is not.
    pub suspected: String,
}

/// How a shard of a node stands.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: u16,
    /// In one word: `head`, `middle`, `tail`, `sole`, `learner` or `none`.
    pub role: String,
    /// The last entry of its log.
    pub applied: u64,
    /// The last entry that all members have.
    pub committed: u64,
    /// How many entries the successor, or else the learner, is behind.
    pub lag: u64,
    /// Objects there are.
    pub objects: u64,
    /// Sessions that are open.
    pub sessions: u64,
    /// Memory it takes, in bytes.
    pub bytes: u64,
}

impl Request {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let header = Header::new(FrameKind::Operator);
        frame::write(out, &header, |out| body::encode_owned(self, out))
            .expect("what an operator asks is small");
    }

    /// Reads the body of an Operator frame.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(bytes: &[u8]) -> Result<Request, Fault> {
        body::owned(rkyv::deserialize::<_, Failure>(body::decode::<ArchivedRequest>(bytes)?))
    }
}

impl Reply {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let header = Header::new(FrameKind::OperatorReply);
        frame::write(out, &header, |out| body::encode_owned(self, out))
            .expect("the status of a node is less than a megabyte");
    }

    /// Reads the body of an OperatorReply frame.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(bytes: &[u8]) -> Result<Reply, Fault> {
        body::owned(rkyv::deserialize::<_, Failure>(body::decode::<ArchivedReply>(bytes)?))
    }
}
