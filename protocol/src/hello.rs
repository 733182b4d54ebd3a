//! The handshake: the first frame each way on every connection.

use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body;
use crate::frame;
use crate::header::{FrameKind, Header};
use crate::object::{ShardId, ShardMap};
use crate::status::{Fault, Status};

/// Bits of [`Hello::features`] and [`Welcome::features`].
pub mod features {
    /// Sessions with exactly-once retries.
    pub const SESSIONS: u64 = 1;
    /// All features of this version.
    pub const ALL: u64 = SESSIONS;
}

/// The first frame of a client: the features that it needs.
#[derive(Archive, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Features the client needs, from [`features`].
    pub features: u64,
}

impl Hello {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(out, &Header::new(FrameKind::Hello), |out| body::encode(self, out))
            .expect("a Hello is 8 bytes");
    }

    /// Reads the body of a Hello frame.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(bytes: &[u8]) -> Result<Hello, Fault> {
        let archived = body::decode::<ArchivedHello>(bytes)?;
        Ok(Hello { features: archived.features.to_native() })
    }
}

/// The engine's reply to a Hello: all that a client has to know to reach every shard of the node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Features the engine has, from [`features`].
    pub features: u64,
    /// The node's clock, in microseconds: since its start on a single node, about the time of day
    /// in a cluster. A client repeats it when it opens a session.
    pub now_us: u64,
    /// Differs from an earlier Welcome's if what was in memory then is lost: on a single node its
    /// `epoch`; in a cluster the position behind which its shards began, higher for a later one.
    pub incarnation: u64,
    /// The current epoch of the cluster. On a single node, a number that it draws at its start: it
    /// refuses requests that name another one.
    pub epoch: u32,
    /// How many shards there are.
    pub shards: u32,
    /// The largest frame the engine accepts, in bytes.
    pub frame_bytes_max: u32,
    /// The most updates that a session may have without a reply.
    pub session_window: u16,
    /// The core that this connection reached.
    pub core: u16,
    /// The port of every core, in core order, on the host the client connected to.
    pub ports: Vec<u16>,
    /// Name and version of the engine, for people.
    pub engine: String,
    /// The members of the node's cluster; none on a single node.
    pub members: Members,
}

/// The members of a cluster: their addresses, and the chain of each shard.
///
/// Members are numbered from 0; a member's number is its index in these lists.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Their names.
    pub names: Vec<String>,
    /// Their control addresses, for other nodes and operators: an address and a port each.
    pub controls: Vec<String>,
    /// How many cores each has.
    pub cores: Vec<u16>,
    /// Their addresses for clients: an address and a port for each core of the first member, then
    /// for each of the second, and so on.
    pub addresses: Vec<String>,
    /// For each shard, all members in the order of its chain, the head first.
    pub chains: Vec<u16>,
}

impl Members {
    /// Returns how many members there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Returns the chain of a shard, the head first; empty on a single node, or if there is no such
    /// shard.
    pub fn chain(&self, shard: ShardId) -> &[u16] {
        let at = usize::from(shard.0) * self.count();
        self.chains.get(at..at + self.count()).unwrap_or_default()
    }

    /// Returns the addresses of a member's cores for clients.
    pub fn addresses_of(&self, member: u16) -> &[String] {
        let cores =
            |members: &[u16]| members.iter().map(|cores| usize::from(*cores)).sum::<usize>();
        let member = usize::from(member);
        let (Some(before), Some(of_it)) = (self.cores.get(..member), self.cores.get(member)) else {
            return &[];
        };
        let from = cores(before);
        self.addresses.get(from..from + usize::from(*of_it)).unwrap_or_default()
    }

    /// Returns whether all lists agree with one another and with the number of shards.
    fn are_sound(&self, shards: u32) -> bool {
        let count = self.count();
        let of_all: usize = self.cores.iter().map(|cores| usize::from(*cores)).sum();
        let is_chain = |chain: &[u16]| {
            let mut members = chain.to_vec();
            members.sort_unstable();
            members.iter().map(|member| usize::from(*member)).eq(0..count)
        };
        (self.controls.len(), self.cores.len(), self.addresses.len()) == (count, count, of_all)
            && !self.cores.contains(&0)
            && u64::from(shards) * count as u64 == self.chains.len() as u64
            && (count == 0 || self.chains.chunks_exact(count).all(is_chain))
    }
}

impl Welcome {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(out, &Header::new(FrameKind::Welcome), |out| {
            let written = rkyv::api::high::to_bytes_in::<_, Failure>(self, &mut *out);
            assert!(written.is_ok(), "a Vec takes all that is written");
        })
        .expect("a Welcome is a few hundred bytes");
    }

    /// Reads the body of a Welcome frame.
    ///
    /// # Errors
    ///
    /// `BadBody` if it is not the archive of a Welcome, or contradicts itself.
    pub fn decode(bytes: &[u8]) -> Result<Welcome, Fault> {
        let archived = body::decode::<ArchivedWelcome>(bytes)?;
        let welcome: Welcome = rkyv::deserialize::<_, Failure>(archived)
            .map_err(|Failure| Fault::new(Status::BadBody))?;
        let is_sound = welcome.shard_map().is_some() && welcome.members.are_sound(welcome.shards);
        if is_sound { Ok(welcome) } else { Err(Fault::new(Status::BadBody)) }
    }

    /// Returns where each shard is on this node; `None` if the number of shards or ports is
    /// invalid.
    pub fn shard_map(&self) -> Option<ShardMap> {
        ShardMap::new(self.shards, u16::try_from(self.ports.len()).ok()?)
    }
}
