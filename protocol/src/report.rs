//! What an engine says about objects, scopes and itself: for people and their tools.

use rkyv::{Archive, Deserialize, Serialize};

use crate::object::Kind;

/// Everything about one object.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its version: the place of its last change in its shard's order.
    pub version: u64,
    /// What it takes, in bytes.
    pub bytes: u64,
    /// Milliseconds until it is deleted, at least 1; 0 for never.
    pub expires_ms: u64,
    /// Requests that wait on it.
    pub waiters: u32,
    /// Its kind as it stands on the wire; see [`Inspection::kind`].
    pub kind: u8,
    /// Its name; empty if it was made without one.
    pub name: String,
    /// Its state in one line, for people.
    pub detail: String,
    /// Parties known to be missing, at most
    /// [`MISSING_NAMED_MAX`](crate::limits::MISSING_NAMED_MAX).
    pub missing: Vec<String>,
    /// Who holds something of it.
    pub holders: Vec<Holder>,
}

impl Inspection {
    /// Its kind; `None` if this version has no such kind.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_wire(self.kind)
    }
}

/// Who holds something of an object: permits, a claim, a seat.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The session that holds it.
    pub session: u64,
    /// The token it was given; 0 for a seat.
    pub token: u64,
    /// Milliseconds until the engine takes it back, at least 1; 0 for as long as the session lives.
    pub left_ms: u64,
    /// How many permits; 1 for a claim, 0 for a seat.
    pub permits: u32,
    /// The name of the party; empty where there are none.
    pub party: String,
}

/// What the named objects with some prefix take in one shard, and may take there.
#[derive(Archive, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many there are.
    pub objects: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// How many there may be; 0 for no limit.
    pub objects_max: u64,
    /// What they may take, in bytes; 0 for no limit.
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

/// What one shard and its core are doing.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The node's clock, as in [`Welcome::now_us`](crate::Welcome::now_us).
    pub now_us: u64,
    /// Updates executed since the shard began.
    pub updates: u64,
    /// Reads answered since the shard began.
    pub reads: u64,
    /// Objects there are.
    pub objects: u64,
    /// Objects that have a name.
    pub named: u64,
    /// Sessions that are open.
    pub sessions: u64,
    /// Requests that wait.
    pub waiters: u64,
    /// Permits, claims and seats that are held, or that waiting requests are going to hold.
    pub holds: u64,
    /// What objects and sessions take, in bytes.
    pub bytes: u64,
    /// What they may take, in bytes.
    pub memory_bytes_max: u64,
    /// Connections of the core.
    pub connections: u64,
    /// The core that owns the shard.
    pub core: u64,
}
