//! What the client knows of the node it talks to: topology, a lane to each core, a session in each
//! shard.
//!
//! A node is reached through any of its cores; the first one to answer says where the others are.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::op::SessionOp;
use catena_protocol::{
    FrameKind, Header, Hello, Op, Refusal, Retry, ShardId, Status, Welcome, features, frame,
};

use crate::buffer::Pool;
use crate::config::Config;
use crate::connection::Connection;
use crate::lane::{Arrival, Lane, Patience};
use crate::request::Failure;
use crate::session::Session;
use crate::topology::Topology;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    seeds: Seeds,
    pub(crate) topology: Topology,
    /// The topology is in doubt: ask a seed before connecting to a core.
    pub(crate) topology_stale: bool,
    /// By core.
    pub(crate) lanes: Vec<Lane>,
    /// By shard.
    pub(crate) sessions: Vec<Option<Session>>,
    /// How many connections there have been.
    serial: u64,
    /// How many reads there have been.
    pub(crate) reads: u64,
}

/// Where to look for the node: `host:port`, one or several.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(Vec<String>);

/// Why no seed answered.
#[derive(Debug)]
pub(crate) struct Unreached {
    /// The addresses that were tried.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What happened at the last of them.
    pub(crate) failure: Failure,
}

impl Seeds {
    /// Seeds from a list with commas.
    pub(crate) fn parse(list: &str) -> Seeds {
        Seeds(list.split(',').map(|seed| seed.trim().to_owned()).collect())
    }

    /// Looks all of them up.
    pub(crate) fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for seed in &self.0 {
            addresses.extend(seed.to_socket_addrs()?);
        }
        Ok(addresses)
    }
}

impl Node {
    /// Finds the node.
    pub(crate) fn connect(config: Config, seeds: Seeds, pool: &Pool) -> Result<Node, Unreached> {
        let deadline = Instant::now() + config.call_timeout.max(config.connect_timeout);
        let (lane, topology) = greet_any(&seeds, 1, deadline, &config, pool)?;
        let mut node = Node {
            config,
            seeds,
            topology,
            topology_stale: false,
            lanes: Vec::new(),
            sessions: Vec::new(),
            serial: 1,
            reads: 0,
        };
        let core = usize::from(node.topology.welcome_core());
        *node.lane(core) = lane;
        Ok(node)
    }

    /// The lane to a core.
    pub(crate) fn lane(&mut self, core: usize) -> &mut Lane {
        if self.lanes.len() <= core {
            self.lanes.resize_with(core + 1, Lane::default);
        }
        &mut self.lanes[core]
    }

    /// The place of a shard's session.
    pub(crate) fn session(&mut self, shard: ShardId) -> &mut Option<Session> {
        session_in(&mut self.sessions, shard)
    }

    /// Connects the lane to a core, with a Hello to go out in front of the requests.
    pub(crate) fn open(&mut self, core: usize, timeout: Duration) -> Result<(), Failure> {
        self.serial += 1;
        let core_number = u16::try_from(core).expect("cores are counted in 16 bits");
        let peer = self.topology.address_of(core_number);
        let timeout = timeout.min(self.config.connect_timeout);
        let connection = Connection::open(peer, self.serial, timeout, &self.config);
        let lane = self.lane(core);
        lane.connection = Some(connection.map_err(lost)?);
        Hello { features: features::ALL }.write(&mut lane.out);
        Ok(())
    }

    /// Asks the seeds again. Answers a connected lane and what it learned.
    pub(crate) fn greet(
        &mut self,
        deadline: Instant,
        pool: &Pool,
    ) -> Result<(Lane, Topology), Failure> {
        self.serial += 1;
        greet_any(&self.seeds, self.serial, deadline, &self.config, pool)
            .map_err(|unreached| unreached.failure)
    }

    /// Tells the engine that the sessions are not needed any more, without waiting for its answer.
    pub(crate) fn close_sessions(&mut self) {
        for (shard, session) in (0..).map(ShardId).zip(&mut self.sessions) {
            let closable = |session: &mut Session| session.is_open && !session.strays;
            let Some(session) = session.take_if(closable) else { continue };
            let core = usize::from(self.topology.core_of(shard));
            let lane = self.lanes.get_mut(core).filter(|lane| lane.is_at_rest());
            let Some(lane) = lane else { continue };
            let op = Op::Session(SessionOp::Close);
            let header = Header {
                op: op.code().to_wire(),
                shard,
                epoch: self.topology.epoch(),
                session: session.id,
                ..Header::new(FrameKind::Request)
            };
            frame::write(&mut lane.out, &header, |out| op.encode(out))
                .expect("closing a session takes no body");
        }
        for lane in &mut self.lanes {
            // Whatever does not get through expires by itself.
            _ = lane.write(Patience::None);
        }
    }
}

/// The place of a shard's session among all.
pub(crate) fn session_in(
    sessions: &mut Vec<Option<Session>>,
    shard: ShardId,
) -> &mut Option<Session> {
    let at = usize::from(shard.0);
    if sessions.len() <= at {
        sessions.resize_with(at + 1, || None);
    }
    &mut sessions[at]
}

/// What a lane's first frame must be: the Welcome.
pub(crate) fn read_welcome(lane: &mut Lane, arrival: &Arrival) -> Result<Topology, Failure> {
    let body = &lane.buffer.bytes()[arrival.body.clone()];
    match arrival.header.kind {
        FrameKind::Welcome => {
            let connection = lane.connection.as_mut().expect("a frame came on it");
            let topology = Welcome::decode(body)
                .and_then(|welcome| Topology::new(connection.peer, welcome))
                .map_err(Failure::Incompatible)?;
            connection.greeted = true;
            Ok(topology)
        }
        FrameKind::Reply => Err(refused_at_door(arrival.header.flags, body)),
        _ => Err(Failure::Incompatible(Status::BadFrameKind.into())),
    }
}

/// What a connection-wide refusal says.
pub(crate) fn refused_at_door(flags: u16, body: &[u8]) -> Failure {
    let refusal = Status::from_wire(flags)
        .filter(|status| *status != Status::Ok)
        .ok_or(Status::BadFrameKind.into())
        .and_then(|status| Refusal::decode(status, body));
    match refusal {
        Ok(refusal) if refusal.status().retry() == Retry::Later => Failure::Refused(refusal),
        Ok(Refusal::Fault(fault)) | Err(fault) => Failure::Incompatible(fault),
        Ok(refusal) => Failure::Incompatible(refusal.status().into()),
    }
}

/// An input or output error of a connection.
pub(crate) fn lost(error: std::io::Error) -> Failure {
    Failure::Lost(Arc::new(error))
}

fn greet_any(
    seeds: &Seeds,
    serial: u64,
    deadline: Instant,
    config: &Config,
    pool: &Pool,
) -> Result<(Lane, Topology), Unreached> {
    let nothing = || lost(std::io::Error::other("the name has no address"));
    let addresses = seeds
        .addresses()
        .map_err(|error| Unreached { addresses: Vec::new(), failure: lost(error) })?;
    let mut failure = None;
    for peer in &addresses {
        match greet_one(*peer, serial, deadline, config, pool) {
            Ok(greeted) => return Ok(greeted),
            Err(reason) => failure = Some(reason),
        }
    }
    Err(Unreached { addresses, failure: failure.unwrap_or_else(nothing) })
}

fn greet_one(
    peer: SocketAddr,
    serial: u64,
    deadline: Instant,
    config: &Config,
    pool: &Pool,
) -> Result<(Lane, Topology), Failure> {
    let deadline = deadline.min(Instant::now() + config.connect_timeout);
    let left = || deadline.saturating_duration_since(Instant::now());
    let connection = Connection::open(peer, serial, left(), config).map_err(lost)?;
    let mut lane = Lane::default();
    lane.connection = Some(connection);
    Hello { features: features::ALL }.write(&mut lane.out);
    while lane.has_unsent() && !left().is_zero() {
        lane.write(Patience::Within(left())).map_err(lost)?;
    }
    while !left().is_zero() {
        lane.read(Patience::Within(left()), config.spin, pool, None).map_err(lost)?;
        let arrival = lane.next_frame(config.reply_bytes_max).map_err(Failure::Incompatible)?;
        if let Some(arrival) = arrival {
            let topology = read_welcome(&mut lane, &arrival)?;
            return Ok((lane, topology));
        }
    }
    Err(Failure::NoAnswer)
}
