//! What the client knows of the node or cluster it talks to: topology, a lane to each endpoint, a
//! session in each shard.
//!
//! A node is reached through any of its cores, a cluster through any of its members; the first one to
//! answer says where the others are. Of a cluster the newest epoch that was ever told counts: a node
//! that tells an older one is not believed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::op::SessionOp;
use catena_protocol::{
    FrameKind, Header, Hello, Op, Refusal, Retry, ShardId, Status, Welcome, features, frame,
};

use crate::buffer::Pool;
use crate::config::{Config, MEMBER_TIMEOUT};
use crate::connection::Connection;
use crate::lane::{Arrival, Lane, Patience};
use crate::random;
use crate::register::Seed;
use crate::request::Failure;
use crate::session::Session;
use crate::topology::{News, Topology};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    seeds: Seeds,
    pub(crate) topology: Topology,
    /// The topology is in doubt: ask a member or seed before anything else is sent.
    pub(crate) topology_stale: bool,
    /// A reply was of a newer epoch than the topology.
    pub(crate) is_behind: bool,
    /// Nobody is asked before this, unless it is needed to connect.
    pub(crate) look_not_before: Option<Instant>,
    /// Whatever is told first is believed.
    pub(crate) trusting: bool,
    /// The node belongs to a cluster of which it could tell nothing: other seeds may know more.
    pub(crate) misled: bool,
    /// By endpoint.
    pub(crate) lanes: Vec<Lane>,
    /// By shard.
    pub(crate) sessions: Vec<Option<Session>>,
    /// How many connections there have been.
    serial: u64,
    /// How many reads there have been.
    pub(crate) reads: u64,
    /// What decides where reads may go, and when silence is taken for trouble.
    pub(crate) lot: u64,
    /// Whose turn it is to be asked first.
    turn: usize,
}

/// Whom to ask for news.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// Anybody, the member at this endpoint after all others.
    Anybody { last: Option<usize> },
    /// Other members than the one at this endpoint.
    Others { than: usize },
}

/// Where to look for the node: one or several of `host:port` and of places where a cluster has its
/// record.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(Vec<Seed>);

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
        Seeds(list.split(',').map(|seed| Seed::new(seed.trim())).collect())
    }

    /// The addresses that a cluster's record names.
    #[cfg(feature = "register")]
    pub(crate) fn in_record(record: &str) -> std::io::Result<Seeds> {
        let names = crate::register::names_in(record)?;
        Ok(Seeds(names.iter().map(|name| Seed::new(name)).collect()))
    }

    /// Looks all of them up. Some may have no address any more, as long as others have.
    pub(crate) fn addresses(
        &mut self,
        config: &Config,
        deadline: Instant,
    ) -> std::io::Result<Vec<SocketAddr>> {
        let (mut addresses, mut failure) = (Vec::new(), None);
        let count = self.0.len();
        for (nth, seed) in self.0.iter_mut().enumerate() {
            match seed.addresses(config, share(deadline, count - nth)) {
                Ok(found) => addresses.extend(found),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }
}

impl Node {
    /// Finds the node.
    pub(crate) fn connect(
        config: Config,
        mut seeds: Seeds,
        pool: &Pool,
    ) -> Result<Node, Unreached> {
        let deadline = Instant::now() + config.call_timeout.max(config.connect_timeout);
        let addresses = seeds
            .addresses(&config, deadline)
            .map_err(|error| Unreached { addresses: Vec::new(), failure: lost(error) })?;
        let mut failure = lost(std::io::Error::other("the name has no address"));
        for (nth, peer) in addresses.iter().enumerate() {
            let timeout = share(deadline, addresses.len() - nth).min(config.connect_timeout);
            match greet(*peer, 1, timeout, &config, pool) {
                Ok((lane, topology)) => return Ok(Node::greeted(config, seeds, lane, topology)),
                Err(reason) => failure = reason,
            }
        }
        Err(Unreached { addresses, failure })
    }

    fn greeted(config: Config, seeds: Seeds, lane: Lane, topology: Topology) -> Node {
        let greeter = topology.greeter();
        let mut node = Node {
            config,
            seeds,
            topology,
            topology_stale: false,
            is_behind: false,
            look_not_before: None,
            trusting: false,
            misled: false,
            lanes: Vec::new(),
            sessions: Vec::new(),
            serial: 1,
            reads: 0,
            lot: random::bits(),
            turn: 0,
        };
        if let Some(endpoint) = greeter {
            *node.lane(endpoint) = lane;
        }
        node
    }

    /// The lane to an endpoint.
    pub(crate) fn lane(&mut self, endpoint: usize) -> &mut Lane {
        if self.lanes.len() <= endpoint {
            self.lanes.resize_with(endpoint + 1, Lane::default);
        }
        &mut self.lanes[endpoint]
    }

    /// The place of a shard's session.
    pub(crate) fn session(&mut self, shard: ShardId) -> &mut Option<Session> {
        session_in(&mut self.sessions, shard)
    }

    /// Connects the lane to an endpoint, with a Hello to go out in front of the requests.
    pub(crate) fn open(&mut self, endpoint: usize, timeout: Duration) -> Result<(), Failure> {
        self.serial += 1;
        let peer = self.topology.address_of(endpoint);
        let timeout = timeout.min(self.greeting_timeout());
        let connection = Connection::open(peer, self.serial, timeout, &self.config);
        let lane = self.lane(endpoint);
        lane.connection = Some(connection.map_err(lost)?);
        Hello { features: features::ALL }.write(&mut lane.out);
        Ok(())
    }

    /// Asks an endpoint how it is. Answers a connected lane and what it learned.
    pub(crate) fn greet_at(
        &mut self,
        endpoint: usize,
        deadline: Instant,
        pool: &Pool,
    ) -> Result<(Lane, Topology), Failure> {
        self.serial += 1;
        let timeout = share(deadline, 1).min(self.greeting_timeout());
        greet(self.topology.address_of(endpoint), self.serial, timeout, &self.config, pool)
    }

    /// Asks members and seeds, one after the other, until one tells what may be believed. Answers a
    /// connected lane and what it learned.
    pub(crate) fn greet(
        &mut self,
        ask: Ask,
        deadline: Instant,
        pool: &Pool,
    ) -> Result<(Lane, Topology), Failure> {
        self.serial += 1;
        self.turn = self.turn.wrapping_add(1);
        let (last, without) = match ask {
            Ask::Anybody { last } => (last, None),
            Ask::Others { than } => (None, Some(self.topology.member_at(than))),
        };
        let mut members = self.topology.members_from(self.turn, last);
        members.retain(|(member, _)| Some(*member) != without);
        let mut failure = None;
        let count = members.len();
        for (nth, (_, peer)) in members.iter().enumerate() {
            match self.greet_believably(*peer, share(deadline, count - nth), pool) {
                Ok(greeted) => return Ok(greeted),
                Err(reason) => failure = Some(reason),
            }
        }
        if let (Some(failure), Some(_)) = (&failure, without) {
            return Err(failure.clone());
        }
        // Names and records are looked up only if it has to be: that takes the operating system's own
        // time, or a store's.
        let until = deadline.min(Instant::now() + self.config.connect_timeout);
        let mut seeds = self.seeds.addresses(&self.config, until).map_err(lost)?;
        let is_known = |seed: &SocketAddr| members.iter().any(|(_, member)| member == seed);
        let member_of = |seed: &SocketAddr| {
            let endpoint = self.topology.endpoint_at(*seed)?;
            Some(self.topology.member_at(endpoint))
        };
        seeds.retain(|seed| !is_known(seed) && (without.is_none() || member_of(seed) != without));
        if (self.topology.is_cluster() || self.misled) && !seeds.is_empty() {
            let turn = self.turn % seeds.len();
            seeds.rotate_left(turn);
        }
        let count = seeds.len();
        for (nth, peer) in seeds.into_iter().enumerate() {
            match self.greet_believably(peer, share(deadline, count - nth), pool) {
                Ok(greeted) => return Ok(greeted),
                Err(reason) => failure = Some(reason),
            }
        }
        let nobody = || lost(std::io::Error::other("the name has no address"));
        Err(failure.unwrap_or_else(nobody))
    }

    /// Asks one address, and believes nobody who tells how the cluster was before, or of another one.
    fn greet_believably(
        &mut self,
        peer: SocketAddr,
        timeout: Duration,
        pool: &Pool,
    ) -> Result<(Lane, Topology), Failure> {
        let timeout = timeout.min(self.greeting_timeout());
        let (lane, topology) = greet(peer, self.serial, timeout, &self.config, pool)?;
        self.believe(&topology)?;
        Ok((lane, topology))
    }

    /// Whether what a node told may be true now.
    ///
    /// # Errors
    ///
    /// If not: why not.
    pub(crate) fn believe(&self, told: &Topology) -> Result<News, Failure> {
        match self.topology.news(told) {
            news @ (News::None | News::Newer) => Ok(news),
            News::Older | News::Foreign if self.trusting => Ok(News::Newer),
            News::Older => Err(lost(std::io::Error::other(format!(
                "the node is at epoch {}, and epoch {} was seen before",
                told.epoch(),
                self.topology.epoch()
            )))),
            News::Foreign => Err(Failure::Incompatible(Status::WrongCluster.into())),
        }
    }

    /// Whether somebody may be asked for news who is not needed to connect.
    pub(crate) fn may_look(&self, now: Instant) -> bool {
        self.look_not_before.is_none_or(|time| time <= now)
    }

    /// How much longer than others this client takes silence for patience: not all should ask at once.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.lot % 256)
    }

    /// How long somebody may take to say Welcome.
    fn greeting_timeout(&self) -> Duration {
        match self.topology.is_cluster() {
            true => self.config.connect_timeout.min(MEMBER_TIMEOUT),
            false => self.config.connect_timeout,
        }
    }

    /// Tells the engine that the sessions are not needed any more, without waiting for its answer.
    pub(crate) fn close_sessions(&mut self) {
        for (shard, session) in (0..).map(ShardId).zip(&mut self.sessions) {
            let closable = |session: &mut Session| session.is_open && !session.strays;
            let Some(session) = session.take_if(closable) else { continue };
            let head = self.topology.head_of(shard);
            let lane = self.lanes.get_mut(head).filter(|lane| lane.is_at_rest());
            let Some(lane) = lane else { continue };
            let op = Op::Session(SessionOp::Close);
            let header = Header {
                op: op.code().to_wire(),
                shard,
                epoch: self.topology.request_epoch(),
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
            lane.clock = Some(topology.clock());
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

/// A part of the time that is left, when so many have to share it.
fn share(deadline: Instant, among: usize) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left / u32::try_from(among).unwrap_or(u32::MAX).max(1)
}

fn greet(
    peer: SocketAddr,
    serial: u64,
    timeout: Duration,
    config: &Config,
    pool: &Pool,
) -> Result<(Lane, Topology), Failure> {
    let deadline = Instant::now() + timeout;
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
