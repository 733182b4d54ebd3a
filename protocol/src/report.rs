//! Reports about objects, scopes and the engine, for people and their tools.

use rkyv::{Archive, Deserialize, Serialize};

use crate::object::Kind;
use crate::op::OpCode;
use crate::status::Status;

/// Everything about one object.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its version: the number of its last change among the updates of its shard.
    pub version: u64,
    /// The memory it takes, in bytes.
    pub bytes: u64,
    /// Milliseconds until it is deleted, at least 1; 0 for never.
    pub expires_ms: u64,
    /// How many requests wait on it.
    pub waiters: u32,
    /// The code of its kind; see [`Inspection::kind`].
    pub kind: u8,
    /// Its name; empty if it was created without one.
    pub name: String,
    /// Its state in one line, for people.
    pub detail: String,
    /// The names of missing parties as far as they are known, at most
    /// [`MISSING_NAMED_MAX`](crate::limits::MISSING_NAMED_MAX).
    pub missing: Vec<String>,
    /// The sessions that hold permits, claims or seats of it.
    pub holders: Vec<Holder>,
}

impl Inspection {
    /// Returns its kind; `None` if this version has no such kind.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_wire(self.kind)
    }
}

/// A session that holds permits, a claim or a seat of an object.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The session.
    pub session: u64,
    /// The token of the grant or claim; 0 for a seat.
    pub token: u64,
    /// Milliseconds until the engine takes it back, at least 1; 0 for as long as the session lives.
    pub left_ms: u64,
    /// How many permits it holds; 1 for a claim, 0 for a seat.
    pub permits: u32,
    /// The name of the party that has the seat; else empty.
    pub party: String,
}

/// The memory that the named objects with some prefix take in one shard, and their quota there.
#[derive(Archive, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many objects there are.
    pub objects: u64,
    /// The memory they take, in bytes.
    pub bytes: u64,
    /// The most objects there may be; 0 for no limit.
    pub objects_max: u64,
    /// The most memory they may take, in bytes; 0 for no limit.
    pub bytes_max: u64,
}

impl From<&ArchivedUsage> for Usage {
    fn from(usage: &ArchivedUsage) -> Usage {
        Usage {
            objects: usage.objects.to_native(),
            bytes: usage.bytes.to_native(),
            objects_max: usage.objects_max.to_native(),
            bytes_max: usage.bytes_max.to_native(),
        }
    }
}

/// Requests that a shard has served, a sample of them: see
/// [`ScopeOp::Monitor`](crate::op::ScopeOp::Monitor).
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitored {
    /// What to send as `after` to get the requests behind these.
    pub next: u64,
    /// How many were noted behind `after` and are gone, because nobody asked for them in time.
    pub missed: u64,
    /// The requests, in their order.
    pub requests: Vec<MonitoredRequest>,
}

/// A request that a shard has served.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitoredRequest {
    /// When it was served: microseconds since 1970, by the clock of the node.
    pub at_us: u64,
    /// The session that it names; 0 for none.
    pub session: u64,
    /// The time that the shard took for it, in nanoseconds.
    pub took_ns: u32,
    /// The bytes of its body, without a name.
    pub body_bytes: u32,
    /// The code of its op.
    pub op: u32,
    /// The status of the reply, if there was one at once.
    pub status: u32,
    /// Whether there was a reply at once. Other requests wait, for an event or for the members.
    pub replied: bool,
    /// The address of the client.
    pub source: String,
    /// The name of the object, or its id if it has none; empty if it is about no single object.
    pub object: String,
}

impl MonitoredRequest {
    /// Returns the op; [`None`] if this version has no such op.
    pub fn op_code(&self) -> Option<OpCode> {
        OpCode::from_wire(u16::try_from(self.op).ok()?)
    }

    /// Returns the status of the reply, if there was one at once and this version knows it.
    pub fn status(&self) -> Option<Status> {
        Status::from_wire(u16::try_from(self.status).ok()?).filter(|_| self.replied)
    }
}

/// Statistics of one shard and its core.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The node's clock, as in [`Welcome::now_us`](crate::Welcome::now_us).
    pub now_us: u64,
    /// Updates executed since the shard began.
    pub updates: u64,
    /// Reads served since the shard began.
    pub reads: u64,
    /// Objects.
    pub objects: u64,
    /// Objects that have a name.
    pub named: u64,
    /// Sessions that are open.
    pub sessions: u64,
    /// Requests that wait.
    pub waiters: u64,
    /// Permits, claims and seats that are held, or that waiting requests will hold.
    pub holds: u64,
    /// The memory that objects and sessions take, in bytes.
    pub bytes: u64,
    /// The memory that they may take, in bytes.
    pub memory_bytes_max: u64,
    /// Connections of the core.
    pub connections: u64,
    /// The core that owns the shard.
    pub core: u64,
}
