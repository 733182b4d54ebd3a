//! The configuration record: the members of the cluster, and the order of each shard's chain.
//!
//! A cluster has one record, kept in a register; a change replaces the whole record. This module
//! creates records and validates them. It does not know where they are stored.
//!
//! Invariants:
//!
//! 1. A change removes one member from all chains, appends one at the tail of all chains, reorders
//!    the chains, or changes nothing but the epoch. Unless it reorders them, the remaining members
//!    keep their order in every chain.
//! 2. A change has the next epoch and an id of its own. So no two records of a cluster have the
//!    same bytes, and a register that compares contents cannot take an old record for the current
//!    one.
//! 3. A member that was removed is never a member again: a process that returns takes a new
//!    [`NodeId`], and holds no state from before.
//! 4. The last member is never removed, because no other node has the data.
//! 5. What [`Record::from_bytes`] returns has passed [`Record::validate`].

// What `clap` derives calls `to_owned`.
#[cfg(feature = "clap")]
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::shard::{SEQ_MAX, Seq};
use catena_protocol::ShardId;
use serde::{Deserialize, Serialize};

mod id;

pub use id::{BadId, ChangeId, NodeId};

/// The cluster's configuration in one epoch.
///
/// It is stored as JSON, so that an operator can read it. A reader ignores fields that it does not
/// know, and leaves them out of the changes it makes: a field that must survive needs a new
/// version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the format, [`VERSION`].
    pub v: u32,
    /// The name of the cluster.
    pub cluster: String,
    /// The number of records so far, this one included.
    pub epoch: u32,
    /// The change that made this record.
    pub change: RecordChange,
    /// The settings that the cluster was created with.
    #[serde(flatten)]
    pub settings: Settings,
    /// The members and their addresses.
    pub nodes: BTreeMap<NodeId, NodeInfo>,
    /// The members of each shard's chain in order, the head first.
    pub chains: Vec<Vec<NodeId>>,
    /// The members that were removed, the latest at the end.
    pub retired: Vec<NodeId>,
    /// The position behind which the shards began when they were last empty, so that their versions
    /// and fencing tokens are above those of the shards before.
    #[serde(default)]
    pub base: Seq,
}

/// Identifies the stored bytes of one record. The register returns it when it reads or stores a
/// record; it is only good for comparing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordToken(Box<str>);

impl RecordToken {
    /// Creates a token from a register's own text.
    pub fn new(text: impl Into<Box<str>>) -> RecordToken {
        RecordToken(text.into())
    }

    /// Returns the register's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for RecordToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The settings of a cluster, fixed when it is created.
///
/// 0 in `min_members` and `lease_ms`, their default, stands for a value that follows from another
/// setting; see [`Settings::resolved`].
///
/// The fields are also the settings in the JSON of [`Record`] and, with the feature `clap`, flags of a
/// command line whose help is the text of the field. So a new setting is a field here, its default,
/// and a line in [`Settings::validate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[cfg_attr(feature = "clap", group(id = "settings", requires = "create"))]
pub struct Settings {
    /// Number of shards of the object space, a power of two.
    #[cfg_attr(feature = "clap", arg(skip = DEFAULTS.shards))]
    pub shards: u32,
    /// Keep everything on this many nodes; further nodes wait as spares.
    #[serde(rename = "rf")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = DEFAULTS.replicas))]
    pub replicas: u32,
    /// Refuse updates while fewer nodes than this are members [default: 1 with up to 2 replicas,
    /// otherwise 2].
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    #[cfg_attr(feature = "clap", arg(default_value_t = 0, hide_default_value = true))]
    pub min_members: u32,
    /// What happens when no member is left alive.
    #[cfg_attr(feature = "clap", arg(long, value_name = "ACTION"))]
    #[cfg_attr(feature = "clap", arg(value_enum, default_value_t = DEFAULTS.on_total_loss))]
    pub on_total_loss: OnTotalLoss,
    /// Which members are the heads of the chains, the ones that take updates.
    #[serde(default)]
    #[cfg_attr(feature = "clap", arg(long, value_name = "MEMBERS"))]
    #[cfg_attr(feature = "clap", arg(value_enum, default_value_t = DEFAULTS.heads))]
    pub heads: Heads,
    /// Lease duration in milliseconds, shorter than `--suspect-ms` [default: nine tenths of it].
    #[cfg_attr(feature = "clap", arg(long, value_name = "MS"))]
    #[cfg_attr(feature = "clap", arg(default_value_t = 0, hide_default_value = true))]
    pub lease_ms: u32,
    /// Suspect a member after this much silence, in milliseconds.
    #[cfg_attr(feature = "clap", arg(long, value_name = "MS", default_value_t = DEFAULTS.suspect_ms))]
    pub suspect_ms: u32,
    /// How much too fast or too slow a node's clock may run, in millionths.
    #[cfg_attr(feature = "clap", arg(skip = DEFAULTS.drift_ppm))]
    pub drift_ppm: u32,
}

const DEFAULTS: Settings = Settings {
    shards: 64,
    replicas: 2,
    min_members: 0,
    on_total_loss: OnTotalLoss::Halt,
    heads: Heads::Spread,
    lease_ms: 0,
    suspect_ms: 1_000,
    drift_ppm: 10_000,
};

/// A change of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// Distinguishes this change from every other, whichever node proposes it.
    pub id: ChangeId,
    /// The node that made it.
    pub by: NodeId,
    /// What it did.
    pub kind: ChangeKind,
    /// The node that it removed or appended.
    pub subject: Option<NodeId>,
    /// The reason, for people; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Created the cluster.
    Create,
    /// Removed a member from all chains.
    Remove,
    /// Appended a node at the tail of all chains.
    Append,
    /// Changed the order of the chains.
    Reorder,
    /// Changed nothing but the epoch, which fences everything that was sent in the one before.
    Bump,
}

/// What happens when no member of a cluster is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum OnTotalLoss {
    /// It stays down until an operator creates another cluster.
    Halt,
    /// The next node that starts takes over with no objects.
    Empty,
}

/// Which members are the heads of a cluster's chains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Heads {
    /// Each member is the head of its part of the shards; updates pause briefly when a node joins.
    #[default]
    Spread,
    /// The oldest member is the head of all shards; spare nodes are kept in sync.
    One,
}

/// An order of the members in all chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainOrder {
    /// The same in all chains, that of the first one. So all chains end at one member, which can be
    /// the source of a state transfer.
    LinedUp,
    /// Each member is the head of a contiguous part of the chains. Whichever core owns a shard, its
    /// shards are in all parts.
    Spread,
}

/// The name and the addresses of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The name that people use. It survives restarts, so an earlier incarnation may have the same.
    pub name: String,
    /// The address of its control port, for other nodes.
    pub peer: SocketAddr,
    /// The addresses of its client ports, one per core, in the order of the cores.
    pub clients: Vec<SocketAddr>,
    /// Its availability zone, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub az: Option<String>,
}

/// A node's position in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPosition {
    /// The number of members in front of it.
    pub index: usize,
    /// The node that forwards to it.
    pub predecessor: Option<NodeId>,
    /// The node that it forwards to.
    pub successor: Option<NodeId>,
    /// The member that replies to clients.
    pub head: NodeId,
    /// The member that acknowledges first.
    pub tail: NodeId,
    /// The number of members in the chain.
    pub len: usize,
}

/// Why a record cannot be changed in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only a member can be removed.
    #[error("{0} is not a member")]
    NotAMember(NodeId),
    /// The last member cannot be removed, because no other node has the data.
    #[error("{0} is the last member: no other node has its data")]
    LastMember(NodeId),
    /// A member cannot be appended.
    #[error("{0} is a member already")]
    MemberAlready(NodeId),
    /// A removed member can return under a new id only.
    #[error("{0} was removed: it has to rejoin under a new id")]
    Retired(NodeId),
    /// There are as many members as wanted.
    #[error("the cluster has all {0} members that it wants")]
    Full(u32),
    /// The id is that of the previous change.
    #[error("change {0} was made already")]
    ChangeMade(ChangeId),
    /// The epoch has reached its maximum.
    #[error("epoch {0} is the last possible one")]
    EpochsSpent(u32),
}

/// Why bytes are not a valid record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The format has another version.
    #[error(
        "the record has version {got}, this program reads version {VERSION}: use the release that \
         wrote it, or a later one"
    )]
    Version {
        /// The version in the record.
        got: u64,
    },
    /// It is not JSON, or JSON of another shape.
    #[error("the record cannot be read: {0}")]
    Syntax(String),
    /// It exceeds the maximum length.
    #[error("the record is {got} bytes long, at most {RECORD_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length, or the length at which reading stopped.
        got: usize,
    },
    /// It contradicts itself or exceeds a limit.
    #[error("invalid record: {what}: expected {expected}, got {got}")]
    Invalid {
        /// The part.
        what: &'static str,
        /// What is allowed there.
        expected: String,
        /// What was found.
        got: String,
    },
}

/// The version of the format.
pub const VERSION: u32 = 1;

/// The largest number of shards in a cluster of more than one node.
pub const CHAINS_MAX: u32 = 4_096;

/// The largest number of members in a cluster. Every update passes through all of them.
pub const MEMBERS_MAX: u32 = 16;

/// The largest number of client ports of a node.
pub const CLIENT_PORTS_MAX: usize = 256;

/// The number of removed members that are remembered.
pub const RETIRED_MAX: usize = 256;

/// The longest name of a cluster, a node or a zone, in bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// The longest reason of a change, in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// The largest epoch of a valid record. It leaves room for as many changes as a cluster is ever
/// going to make.
pub const EPOCH_MAX: u32 = u32::MAX - EPOCH_JUMP_MAX;

/// A node that knows an epoch believes none that is further ahead than this, because no cluster
/// changes that often while a node is not listening.
pub const EPOCH_JUMP_MAX: u32 = 1_000_000;

/// The longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The largest error that a clock's rate may have, in millionths: one tenth.
pub const DRIFT_PPM_MAX: u32 = 100_000;

/// The longest lease and the longest silence, in milliseconds.
pub const TIMING_MS_MAX: u32 = 60_000;

// The largest valid record can be stored: an id with quotes and comma takes 37 bytes, an address at
// most 64, and everything else fits in a quarter.
const _: () = assert!(
    37 * (CHAINS_MAX as usize * (MEMBERS_MAX as usize + 1) + RETIRED_MAX)
        + MEMBERS_MAX as usize * (CLIENT_PORTS_MAX + 1) * 64
        < RECORD_BYTES_MAX / 4 * 3
);

impl Default for Settings {
    fn default() -> Settings {
        DEFAULTS
    }
}

impl Settings {
    /// Returns the settings with every default filled in that depends on another setting.
    #[must_use]
    pub fn resolved(&self) -> Settings {
        let mut settings = self.clone();
        if settings.min_members == 0 {
            settings.min_members = if settings.replicas <= 2 { 1 } else { 2 };
        }
        if settings.lease_ms == 0 {
            settings.lease_ms = (settings.suspect_ms / 10).saturating_mul(9).max(1);
        }
        settings
    }

    /// Checks settings that have been [resolved](Settings::resolved).
    ///
    /// # Errors
    ///
    /// [`RecordError::Invalid`] with the name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), RecordError> {
        if !self.shards.is_power_of_two() {
            return Err(invalid("shards", "a power of two", self.shards));
        }
        within("shards", 1, CHAINS_MAX, self.shards)?;
        within("replicas", 1, MEMBERS_MAX, self.replicas)?;
        within("min_members", 1, self.replicas, self.min_members)?;
        within("suspect_ms", 2, TIMING_MS_MAX, self.suspect_ms)?;
        // Leases of a member that fell silent are over before another member suspects it.
        within("lease_ms", 1, self.suspect_ms - 1, self.lease_ms)?;
        within("drift_ppm", 0, DRIFT_PPM_MAX, self.drift_ppm)
    }
}

impl Record {
    /// Creates the first record of a cluster: the founders in the order of their ids, with the
    /// heads placed according to the settings.
    ///
    /// # Errors
    ///
    /// [`RecordError::Invalid`] if the settings are invalid or `by` is not a founder.
    pub fn create(
        cluster: &str,
        settings: &Settings,
        founders: BTreeMap<NodeId, NodeInfo>,
        by: NodeId,
        id: ChangeId,
    ) -> Result<Record, RecordError> {
        let members: Vec<NodeId> = founders.keys().copied().collect();
        let shards = settings.shards.min(CHAINS_MAX + 1) as usize;
        let chains = match settings.heads {
            Heads::Spread => spread(&members, shards),
            Heads::One => vec![members; shards],
        };
        let record = Record {
            v: VERSION,
            cluster: cluster.into(),
            epoch: 1,
            change: RecordChange {
                id,
                by,
                kind: ChangeKind::Create,
                subject: None,
                reason: String::new(),
            },
            settings: settings.resolved(),
            chains,
            nodes: founders,
            retired: Vec::new(),
            base: Seq::default(),
        };
        record.validate()?;
        Ok(record)
    }

    /// Returns the record of a cluster whose shards begin behind `base`.
    pub fn starting_at(self, base: Seq) -> Record {
        Record { base, ..self }
    }

    /// Returns the record without a member.
    ///
    /// It may have fewer members than [`min_members`](Settings::min_members). Reads continue then;
    /// the members refuse updates.
    pub fn removed(
        &self,
        subject: NodeId,
        by: NodeId,
        reason: &str,
        id: ChangeId,
    ) -> Result<Record, ChangeError> {
        if !self.is_member(subject) {
            return Err(ChangeError::NotAMember(subject));
        }
        if self.nodes.len() == 1 {
            return Err(ChangeError::LastMember(subject));
        }
        let mut next = self.next(by, ChangeKind::Remove, Some(subject), reason, id)?;
        next.nodes.remove(&subject);
        for chain in &mut next.chains {
            chain.retain(|node| *node != subject);
        }
        next.retired.push(subject);
        let forgotten = next.retired.len().saturating_sub(RETIRED_MAX);
        next.retired.drain(..forgotten);
        Ok(next)
    }

    /// Returns the record with a synced learner as the tail of every chain.
    pub fn appended(
        &self,
        learner: NodeId,
        info: NodeInfo,
        by: NodeId,
        id: ChangeId,
    ) -> Result<Record, ChangeError> {
        if self.is_member(learner) {
            return Err(ChangeError::MemberAlready(learner));
        }
        if self.is_retired(learner) {
            return Err(ChangeError::Retired(learner));
        }
        if self.is_full() {
            return Err(ChangeError::Full(self.settings.replicas));
        }
        let mut next = self.next(by, ChangeKind::Append, Some(learner), "", id)?;
        next.nodes.insert(learner, info);
        for chain in &mut next.chains {
            chain.push(learner);
        }
        Ok(next)
    }

    /// Returns the record with the chains in another order. At that moment the logs of all members
    /// must be equal, see [`member`](crate::chain::member).
    pub fn reordered(
        &self,
        order: ChainOrder,
        by: NodeId,
        id: ChangeId,
    ) -> Result<Record, ChangeError> {
        let chains = self.in_order(order);
        Ok(Record { chains, ..self.next(by, ChangeKind::Reorder, None, "", id)? })
    }

    /// Returns the chains of these members in that order.
    pub fn in_order(&self, order: ChainOrder) -> Vec<Vec<NodeId>> {
        match order {
            ChainOrder::LinedUp => vec![self.chain(ShardId(0)).to_vec(); self.chains.len()],
            ChainOrder::Spread => {
                spread(&self.members().collect::<Vec<NodeId>>(), self.chains.len())
            }
        }
    }

    /// Returns the same members in the next epoch.
    pub fn bumped(&self, by: NodeId, reason: &str, id: ChangeId) -> Result<Record, ChangeError> {
        self.next(by, ChangeKind::Bump, None, reason, id)
    }

    fn next(
        &self,
        by: NodeId,
        kind: ChangeKind,
        subject: Option<NodeId>,
        reason: &str,
        id: ChangeId,
    ) -> Result<Record, ChangeError> {
        if id == self.change.id {
            return Err(ChangeError::ChangeMade(id));
        }
        let epoch = self.epoch.checked_add(1).filter(|epoch| *epoch <= EPOCH_MAX);
        let epoch = epoch.ok_or(ChangeError::EpochsSpent(self.epoch))?;
        let reason = reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].into();
        let change = RecordChange { id, by, kind, subject, reason };
        Ok(Record { epoch, change, ..self.clone() })
    }

    /// Returns the members, in the order of their ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.nodes.keys().copied()
    }

    /// Returns whether a node is a member.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Returns whether a node was removed, as far as that is remembered.
    pub fn is_retired(&self, node: NodeId) -> bool {
        self.retired.contains(&node)
    }

    /// Returns whether there are as many members as wanted.
    pub fn is_full(&self) -> bool {
        self.nodes.len() >= self.settings.replicas as usize
    }

    /// Returns the members of a shard's chain in order, the head first; none if there is no such
    /// shard.
    pub fn chain(&self, shard: ShardId) -> &[NodeId] {
        self.chains.get(usize::from(shard.0)).map_or(&[], Vec::as_slice)
    }

    /// Returns the position of a member in a shard's chain.
    pub fn position(&self, shard: ShardId, node: NodeId) -> Option<ChainPosition> {
        let chain = self.chain(shard);
        let index = chain.iter().position(|member| *member == node)?;
        Some(ChainPosition {
            index,
            predecessor: index.checked_sub(1).map(|before| chain[before]),
            successor: chain.get(index + 1).copied(),
            head: *chain.first()?,
            tail: *chain.last()?,
            len: chain.len(),
        })
    }

    /// Returns the record as it is stored.
    ///
    /// # Panics
    ///
    /// If the record does not pass [`validate`](Record::validate), because an invalid record must
    /// never be stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.validate().expect("only valid records are stored");
        let mut bytes = serde_json::to_vec(self).expect("a record has string keys only");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a stored record.
    ///
    /// # Errors
    ///
    /// The version is checked first, so that a later format is reported as such, whatever else it
    /// contains.
    pub fn from_bytes(bytes: &[u8]) -> Result<Record, RecordError> {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { got: bytes.len() });
        }
        let syntax = |error: serde_json::Error| RecordError::Syntax(error.to_string());
        let Version { v } = serde_json::from_slice(bytes).map_err(syntax)?;
        if v != u64::from(VERSION) {
            return Err(RecordError::Version { got: v });
        }
        let record: Record = serde_json::from_slice(bytes).map_err(syntax)?;
        record.validate()?;
        Ok(record)
    }

    /// Returns an error if the record cannot follow one of the epoch `known`: somebody else than a
    /// node has changed it.
    pub fn validate_after(&self, known: u32) -> Result<(), RecordError> {
        if self.epoch > known.saturating_add(EPOCH_JUMP_MAX) {
            let expected = format!("at most {EPOCH_JUMP_MAX} above {known}, the newest known here");
            return Err(invalid("epoch", expected, self.epoch));
        }
        Ok(())
    }

    /// Returns an error if the record is not valid.
    pub fn validate(&self) -> Result<(), RecordError> {
        if self.v != VERSION {
            return Err(RecordError::Version { got: u64::from(self.v) });
        }
        if !is_path_part(&self.cluster) {
            return Err(invalid("cluster", PATH_PART, format!("{:?}", self.cluster)));
        }
        within("epoch", 0, EPOCH_MAX, self.epoch)?;
        if self.base.0 >= SEQ_MAX {
            return Err(invalid("base", format!("below {SEQ_MAX}"), self.base.0));
        }
        self.settings.validate()?;
        self.validate_nodes()?;
        self.validate_chains()?;
        self.validate_change()
    }

    fn validate_nodes(&self) -> Result<(), RecordError> {
        let members = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        within("members", 1, self.settings.replicas, members)?;
        for info in self.nodes.values() {
            for label in [Some(&info.name), info.az.as_ref()].into_iter().flatten() {
                if label.is_empty() || label.len() > LABEL_BYTES_MAX {
                    let got = format!("{} bytes", label.len());
                    return Err(invalid("a node's name or zone", "1 to 64 bytes", got));
                }
            }
            let ports = info.clients.len();
            if ports == 0 || ports > CLIENT_PORTS_MAX {
                return Err(invalid("a node's client ports", "1 to 256", ports));
            }
        }
        if self.retired.len() > RETIRED_MAX {
            return Err(invalid("retired", "at most 256", self.retired.len()));
        }
        let mut seen = BTreeSet::new();
        for node in &self.retired {
            if self.is_member(*node) || !seen.insert(node) {
                return Err(invalid("retired", "no node twice, and no member", node));
            }
        }
        Ok(())
    }

    fn validate_chains(&self) -> Result<(), RecordError> {
        if self.chains.len() != self.settings.shards as usize {
            return Err(invalid("chains", self.settings.shards, self.chains.len()));
        }
        for (shard, chain) in self.chains.iter().enumerate() {
            let members: BTreeSet<NodeId> = chain.iter().copied().collect();
            if members.len() != chain.len() || !members.into_iter().eq(self.members()) {
                let got = format!("{chain:?} in shard {shard}");
                return Err(invalid("a chain", "every member, once", got));
            }
        }
        Ok(())
    }

    fn validate_change(&self) -> Result<(), RecordError> {
        let RecordChange { by, kind, subject, ref reason, .. } = self.change;
        if reason.len() > REASON_BYTES_MAX {
            return Err(invalid("the reason of the change", "at most 256 bytes", reason.len()));
        }
        let is_tail = |node| self.chains.iter().all(|chain| chain.last() == Some(&node));
        let (fits, expected) = match (kind, subject) {
            (ChangeKind::Create, None) => {
                (self.epoch == 1 && self.is_member(by), "epoch 1, made by a founder")
            }
            (ChangeKind::Bump | ChangeKind::Reorder, None) => {
                (self.epoch > 1, "a later epoch than 1")
            }
            (ChangeKind::Remove, Some(node)) => {
                (self.epoch > 1 && self.retired.last() == Some(&node), "the member removed last")
            }
            (ChangeKind::Append, Some(node)) => {
                (self.epoch > 1 && is_tail(node), "the tail of all chains")
            }
            (ChangeKind::Create | ChangeKind::Bump | ChangeKind::Reorder, Some(_)) => {
                (false, "no subject")
            }
            (ChangeKind::Remove | ChangeKind::Append, None) => (false, "a subject"),
        };
        if fits {
            Ok(())
        } else {
            let got = format!("{kind:?} of {subject:?} by {by:?} in epoch {}", self.epoch);
            Err(invalid("the change", expected, got))
        }
    }
}

/// Returns chains in which each member is the head of a contiguous part of the shards.
fn spread(members: &[NodeId], shards: usize) -> Vec<Vec<NodeId>> {
    let chain = |shard: usize| {
        let (before, from) = members.split_at(shard * members.len() / shards);
        [from, before].concat()
    };
    (0..shards).map(chain).collect()
}

/// What [`is_path_part`] accepts, in words.
pub const PATH_PART: &str = "1 to 64 of the letters a-z A-Z 0-9 . _ -, not beginning with a dot";

/// Returns whether a name can be one component of a path or a key, on every system.
pub fn is_path_part(name: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn within(what: &'static str, least: u32, most: u32, got: u32) -> Result<(), RecordError> {
    if (least..=most).contains(&got) {
        Ok(())
    } else {
        Err(invalid(what, format!("{least} to {most}"), got))
    }
}

fn invalid(what: &'static str, expected: impl ToString, got: impl ToString) -> RecordError {
    RecordError::Invalid { what, expected: expected.to_string(), got: got.to_string() }
}

#[cfg(test)]
mod tests;
