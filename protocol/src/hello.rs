//! The handshake: the first frame each way on every connection.

use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body;
use crate::frame;
use crate::header::{FrameKind, Header};
use crate::object::ShardMap;
use crate::status::{Fault, Status};

/// Bits of [`Hello::features`] and [`Welcome::features`].
pub mod features {
    /// Sessions with exactly-once retries.
    pub const SESSIONS: u64 = 1;
    /// Everything this version has.
    pub const ALL: u64 = SESSIONS;
}

/// What a client says first: the features it cannot do without.
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

/// What the engine answers: all a client has to know to reach every shard of the node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Features the engine has, from [`features`].
    pub features: u64,
    /// The node's clock, in microseconds since an arbitrary start. A session quotes it when opened.
    pub now_us: u64,
    /// The configuration in force; 0 on a single node.
    pub epoch: u32,
    /// How many shards there are.
    pub shards: u32,
    /// The largest frame the engine accepts, in bytes.
    pub frame_bytes_max: u32,
    /// The most requests a session may have in flight.
    pub session_window: u16,
    /// The core this connection reached.
    pub core: u16,
    /// The port of every core, in core order, on the host the client connected to.
    pub ports: Vec<u16>,
    /// Name and version of the engine, for people.
    pub engine: String,
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
    /// `BadBody` if it is no archive of a Welcome, or describes a node that cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Welcome, Fault> {
        let archived = body::decode::<ArchivedWelcome>(bytes)?;
        let welcome: Welcome = rkyv::deserialize::<_, Failure>(archived)
            .map_err(|Failure| Fault::new(Status::BadBody))?;
        match welcome.shard_map() {
            Some(_) => Ok(welcome),
            None => Err(Fault::new(Status::BadBody)),
        }
    }

    /// Where each shard lives; `None` if shards or ports make no sense.
    pub fn shard_map(&self) -> Option<ShardMap> {
        ShardMap::new(self.shards, u16::try_from(self.ports.len()).ok()?)
    }
}
