//! What the engine said about itself in its Welcome: where each shard lives, its limits, its clock.

use std::net::SocketAddr;
use std::time::Instant;

use catena_protocol::{Fault, ObjectId, ShardId, ShardMap, Status, Welcome, features};

#[derive(Debug)]
pub(crate) struct Topology {
    /// An address of the node; each core has its own port on this host.
    host: SocketAddr,
    welcome: Welcome,
    map: ShardMap,
    heard_at: Instant,
    /// Shards that the engine said live elsewhere than [`ShardMap::core_of`] has it.
    moved: Vec<(ShardId, u16)>,
}

impl Topology {
    /// What `welcome`, heard from `host`, says.
    ///
    /// # Errors
    ///
    /// If it describes an engine that this client cannot use.
    pub(crate) fn new(host: SocketAddr, welcome: Welcome) -> Result<Topology, Fault> {
        if welcome.features & features::ALL != features::ALL {
            return Err(Fault::expected(Status::MissingFeature, welcome.features, features::ALL));
        }
        let map = welcome.shard_map().ok_or(Status::BadBody)?;
        if welcome.core >= map.cores() || welcome.session_window == 0 {
            return Err(Fault::new(Status::BadBody));
        }
        Ok(Topology { host, welcome, map, heard_at: Instant::now(), moved: Vec::new() })
    }

    /// Whether both describe the same node, whatever the time.
    pub(crate) fn agrees_with(&self, other: &Topology) -> bool {
        let facts = |topology: &Topology| {
            let Welcome { epoch, shards, frame_bytes_max, session_window, .. } = topology.welcome;
            (topology.host.ip(), epoch, shards, frame_bytes_max, session_window)
        };
        facts(self) == facts(other) && self.welcome.ports == other.welcome.ports
    }

    /// Takes over a later reading of the engine's clock.
    pub(crate) fn set_clock(&mut self, later: &Topology) {
        self.welcome.now_us = later.welcome.now_us;
        self.heard_at = later.heard_at;
    }

    /// The engine's clock now, or a little before: never ahead of it.
    ///
    /// Two clocks may drift apart by some parts in 10,000, so a thousandth is left out.
    pub(crate) fn now_us(&self) -> u64 {
        let elapsed_us = u64::try_from(self.heard_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.welcome.now_us.saturating_add(elapsed_us - elapsed_us / 1000)
    }

    pub(crate) fn shard_of(&self, object: ObjectId) -> ShardId {
        self.map.shard_of(object)
    }

    /// The core that owns a shard.
    pub(crate) fn core_of(&self, shard: ShardId) -> u16 {
        let moved = self.moved.iter().find(|(other, _)| *other == shard);
        moved.map_or_else(|| self.map.core_of(shard), |(_, core)| *core)
    }

    /// Takes note that the engine said where a shard lives; `false` if that cannot be.
    pub(crate) fn on_moved(&mut self, shard: ShardId, core: u64) -> bool {
        let Some(core) = u16::try_from(core).ok().filter(|core| *core < self.map.cores()) else {
            return false;
        };
        if self.core_of(shard) == core {
            return false;
        }
        self.moved.retain(|(other, _)| *other != shard);
        self.moved.push((shard, core));
        true
    }

    /// The core that the Welcome came from.
    pub(crate) fn welcome_core(&self) -> u16 {
        self.welcome.core
    }

    /// Where a core listens.
    pub(crate) fn address_of(&self, core: u16) -> SocketAddr {
        let mut address = self.host;
        address.set_port(self.welcome.ports[usize::from(core)]);
        address
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.welcome.epoch
    }

    pub(crate) fn shards(&self) -> u32 {
        self.welcome.shards
    }

    pub(crate) fn session_window(&self) -> u16 {
        self.welcome.session_window
    }

    pub(crate) fn frame_bytes_max(&self) -> u32 {
        self.welcome.frame_bytes_max
    }

    /// Name and version of the engine.
    pub(crate) fn engine(&self) -> &str {
        &self.welcome.engine
    }
}
