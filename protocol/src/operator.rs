//! Requests of an operator to a node, at its control port, and the replies.
//!
//! A connection begins with [`PeerHello`](crate::peer::PeerHello) as between nodes, but `from` and
//! `to` are 0, because an operator has no incarnation and takes any node. After that every
//! [`Operator`](FrameKind::Operator) frame gets one [`OperatorReply`](FrameKind::OperatorReply), in
//! order. These frames are off the data path, so their bodies are copied out.

use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body;
use crate::frame;
use crate::header::{FrameKind, Header};
use crate::status::Fault;

/// A request of an operator to a node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Returns the status of the node.
    Status,
    /// Removes the member with this incarnation; the node leaves if it is its own.
    Remove(u128),
    /// Joins at once, without waiting until the next attempt is due. Accepted also by a node that
    /// is joining already.
    Join,
}

/// The node's reply to an operator.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The status of the node.
    Status(Box<NodeStatus>),
    /// The node has begun to do it.
    Accepted,
    /// The node refuses, for this reason.
    Refused(String),
}

/// The status of a node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its incarnation.
    pub node: u128,
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Name and version of the engine.
    pub engine: String,
    /// The newest epoch it knows; 0 if it knows none.
    pub epoch: u32,
    /// Its membership in one word: `member`, `restarted`, `learner`, `outside` or `removed`.
    pub standing: String,
    /// Whether it serves in the epoch.
    pub active: bool,
    /// How many members the cluster should have.
    pub replicas: u32,
    /// The fewest members with which updates are accepted.
    pub min_members: u32,
    /// The change of membership that it proposes, for people; empty if there is none.
    pub proposal: String,
    /// The rest of its lease on reads, in microseconds; `None` if it has none, or needs none.
    pub lease_us: Option<u64>,
    /// The learner to which it transfers its state; 0 if there is none.
    pub learner: u128,
    /// The member from which it receives its state; 0 if there is none.
    pub teacher: u128,
    /// Milliseconds until it rejoins with a new incarnation; 0 if it does not wait for that.
    pub rejoins_ms: u64,
    /// The error of the last access to the register; empty if it succeeded.
    pub register_trouble: String,
    /// The members, itself included.
    pub members: Vec<MemberStatus>,
    /// Its shards, in their order.
    pub shards: Vec<ShardStatus>,
    /// The nodes that it knows and that are no members: those that have asked it to join in the
    /// last seconds, and those that were removed although they may still run.
    pub spares: Vec<MemberStatus>,
}

/// A member as a node sees it, or a node that wants to be one.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its incarnation.
    pub node: u128,
    /// Its name.
    pub name: String,
    /// Its control address.
    pub control: String,
    /// Time since the node last heard from it, in microseconds; 0 for the node itself.
    pub silent_us: u64,
    /// Why the node suspects that it failed; empty if it does not.
    pub suspected: String,
    /// How far its clock is ahead of the node's, in microseconds, negative if it is behind; 0 while
    /// they differ little.
    pub clock_ahead_us: i64,
}

/// The status of a shard on a node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: u16,
    /// The node's role in its chain: `head`, `middle`, `tail`, `sole`, `learner` or `none`.
    pub role: String,
    /// The last entry of its log.
    pub applied: u64,
    /// The last entry that all members have.
    pub committed: u64,
    /// How many entries the successor is behind; without a successor, the learner.
    pub lag: u64,
    /// How many objects there are.
    pub objects: u64,
    /// How many sessions are open.
    pub sessions: u64,
    /// The memory it takes, in bytes.
    pub bytes: u64,
}

impl Request {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let header = Header::new(FrameKind::Operator);
        frame::write(out, &header, |out| body::encode_owned(self, out))
            .expect("an operator's request is small");
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
