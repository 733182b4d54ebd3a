//! The node or cluster at the other end: its topology, a lane to each endpoint, a session in each
//! shard.
//!
//! A node is reached through any of its cores, a cluster through any of its members; the first that
//! replies names the others. The client follows the newest epoch it has seen of a cluster, and
//! rejects a topology of an older one.
//!
//! A node serves one call at a time. The calls that are in progress at the same time have one each,
//! with connections and sessions of its own; see `shared`.

mod closing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catena_protocol::{
    FrameKind, Header, Hello, Op, Refusal, Retry, ShardId, Status, Welcome, features, frame,
};

use crate::buffer::Pool;
use crate::cancel::{Waker, locked};
use crate::config::{Config, MEMBER_TIMEOUT};
use crate::connection::Connection;
use crate::lane::{IoWait, Lane, LaneClock, ReceivedFrame};
use crate::random;
use crate::request::Failure;
use crate::seeds::Seeds;
use crate::session::Session;
use crate::shared::NodeKey;
use crate::topology::{Topology, TopologyUpdate};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Arc<Config>,
    /// Shared by all nodes of a client, so that they read a record once.
    seeds: Arc<Mutex<Seeds>>,
    pub(crate) topology: Topology,
    /// How far the topology can be relied on.
    pub(crate) trust: TopologyTrust,
    /// The topology is not refreshed before this, unless that is needed to connect.
    pub(crate) refresh_not_before: Option<Instant>,
    pub(crate) accepts: AcceptedTopology,
    pub(crate) seed_order: SeedOrder,
    /// By endpoint.
    pub(crate) lanes: Vec<Lane>,
    /// By shard.
    pub(crate) sessions: Vec<Option<Session>>,
    /// The number of connections opened so far.
    serial: u64,
    /// The number of reads sent so far.
    pub(crate) reads: u64,
    /// Random bits of this client, which spread reads over members and refreshes over time.
    pub(crate) salt: u64,
    /// Rotates through the members, so that another one is asked first each time.
    turn: usize,
    /// Identifies it among the nodes of its client.
    pub(crate) key: Arc<NodeKey>,
    /// Wakes the thread of a call.
    pub(crate) waker: Arc<Waker>,
    /// When the last call began.
    pub(crate) used_at: Instant,
    /// How long the sessions may hold something that no guard keeps.
    held: Held,
    /// Sessions of requests that were given up, to be closed with the others.
    abandoned: VecDeque<(ShardId, Session)>,
    /// The topology was replaced since the last call began.
    pub(crate) has_changed: bool,
    /// How many of the changes that its client knows it has followed.
    pub(crate) changes_seen: u64,
    /// The incarnation in which a session of this client was opened last.
    had_sessions: Arc<Mutex<Option<u64>>>,
}

/// How far the topology can be relied on, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopologyTrust {
    /// As far as is known, it is right.
    Current,
    /// A reply was of a newer epoch.
    Behind,
    /// It may be wrong: a member or seed has to be asked before anything else is sent.
    Stale,
}

/// Which topology replaces the known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedTopology {
    /// One that is newer.
    Newer,
    /// The next one, whatever its epoch.
    Any,
}

/// In which order seeds are asked, if the node is not known to be in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeedOrder {
    /// As they were given.
    AsGiven,
    /// Another one first each time: the node belongs to a cluster that it does not know yet, so
    /// other seeds may know more.
    Rotating,
}

/// How long sessions may hold something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing is held.
    Nothing,
    /// Until this time at the longest.
    Until(Instant),
    /// As long as the session.
    Session,
}

/// Which members to ask for the topology.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RefreshFrom {
    /// Any, the member at this endpoint after all others.
    Anyone { last: Option<usize> },
    /// All except the one at this endpoint.
    Others { than: usize },
}

/// Why no seed could be used.
#[derive(Debug)]
pub(crate) struct Unreached {
    /// The addresses that were tried.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The failure at the last of them.
    pub(crate) failure: Failure,
}

impl Node {
    /// Connects to the first seed that replies.
    pub(crate) fn connect(
        config: Arc<Config>,
        mut seeds: Seeds,
        pool: &Pool,
    ) -> Result<Node, Unreached> {
        let deadline = Instant::now() + config.call_timeout.max(config.connect_timeout);
        let addresses = seeds
            .addresses(&config, deadline)
            .map_err(|error| Unreached { addresses: Vec::new(), failure: lost(error) })?;
        let mut failure = lost(no_address());
        for (nth, peer) in addresses.iter().enumerate() {
            let timeout = share(deadline, addresses.len() - nth).min(config.connect_timeout);
            match greet(*peer, 1, timeout, &config, pool) {
                Ok((lane, topology)) => return Ok(Node::greeted(config, seeds, lane, topology)),
                Err(reason) => failure = reason,
            }
        }
        Err(Unreached { addresses, failure })
    }

    fn greeted(config: Arc<Config>, seeds: Seeds, lane: Lane, topology: Topology) -> Node {
        let greeter = topology.greeter();
        let mut node = Node {
            config,
            seeds: Arc::new(Mutex::new(seeds)),
            topology,
            trust: TopologyTrust::Current,
            refresh_not_before: None,
            accepts: AcceptedTopology::Newer,
            seed_order: SeedOrder::AsGiven,
            lanes: Vec::new(),
            sessions: Vec::new(),
            serial: 1,
            reads: 0,
            salt: random::bits(),
            turn: 0,
            key: Arc::default(),
            waker: Arc::default(),
            used_at: Instant::now(),
            held: Held::Nothing,
            abandoned: VecDeque::new(),
            has_changed: false,
            changes_seen: 0,
            had_sessions: Arc::default(),
        };
        if let Some(endpoint) = greeter {
            *node.lane(endpoint) = lane;
        }
        node
    }

    /// Another node of the same client, without connections and sessions.
    pub(crate) fn sibling(&self) -> Node {
        Node {
            config: Arc::clone(&self.config),
            seeds: Arc::clone(&self.seeds),
            topology: self.topology.clone(),
            trust: self.trust,
            refresh_not_before: None,
            accepts: self.accepts,
            seed_order: self.seed_order,
            lanes: Vec::new(),
            sessions: Vec::new(),
            serial: 0,
            reads: 0,
            salt: self.salt,
            turn: self.turn,
            key: Arc::default(),
            waker: Arc::default(),
            used_at: Instant::now(),
            held: Held::Nothing,
            abandoned: VecDeque::new(),
            has_changed: false,
            changes_seen: self.changes_seen,
            had_sessions: Arc::clone(&self.had_sessions),
        }
    }

    /// Takes over a newer topology of another node of this client. Returns whether it is newer.
    pub(crate) fn learn_from(&mut self, other: &Node) -> bool {
        let is_newer = self.accepts == AcceptedTopology::Any
            || self.topology.compare(&other.topology) == TopologyUpdate::Newer;
        if is_newer {
            self.topology = other.topology.clone();
            self.trust = other.trust;
            self.accepts = other.accepts;
            self.seed_order = other.seed_order;
        }
        is_newer
    }

    /// As [`Node::learn_from`], between two calls: keeps the connections to endpoints that still
    /// exist. If objects are lost, another call has reported that.
    pub(crate) fn follow(&mut self, other: &Node, pool: &Pool) {
        let before = self.topology.clone();
        if !self.learn_from(other) {
            return;
        }
        if before.shards() != self.topology.shards() || self.topology.has_lost_what(&before) {
            self.sessions.clear();
        }
        let are_clusters = before.is_cluster() && self.topology.is_cluster();
        for (at, lane) in std::mem::take(&mut self.lanes).into_iter().enumerate() {
            let index = self.topology.endpoint_at(before.address_of(at));
            match index.filter(|_| are_clusters && lane.connection.is_some() && !lane.is_retiring())
            {
                Some(index) => *self.lane(index) = lane,
                None => pool.put(lane.buffer),
            }
        }
    }

    /// Has the topology refreshed before anything else is sent.
    pub(crate) fn distrust_topology(&mut self) {
        self.trust = TopologyTrust::Stale;
    }

    /// Records that a session was opened.
    pub(crate) fn on_session_opened(&self) {
        *locked(&self.had_sessions) = Some(self.topology.incarnation());
    }

    /// Whether this client had a session in the incarnation of `topology`.
    pub(crate) fn had_sessions_in(&self, topology: &Topology) -> bool {
        *locked(&self.had_sessions) == Some(topology.incarnation())
    }

    /// Records that something may be held for as long as the session, or for some time from now on.
    pub(crate) fn on_held(&mut self, time: Option<Duration>) {
        self.held = match (self.held, time) {
            (Held::Session, _) | (_, None) => Held::Session,
            (Held::Nothing, Some(time)) => Held::Until(Instant::now() + time),
            (Held::Until(until), Some(time)) => Held::Until(until.max(Instant::now() + time)),
        };
    }

    /// Whether its sessions may hold something.
    pub(crate) fn may_hold(&self, now: Instant) -> bool {
        let is_held = match self.held {
            Held::Nothing => false,
            Held::Until(until) => now < until,
            Held::Session => true,
        };
        is_held || self.key.may_hold()
    }

    /// The lane to an endpoint.
    pub(crate) fn lane(&mut self, endpoint: usize) -> &mut Lane {
        if self.lanes.len() <= endpoint {
            self.lanes.resize_with(endpoint + 1, Lane::default);
        }
        &mut self.lanes[endpoint]
    }

    /// The slot of a shard's session.
    pub(crate) fn session(&mut self, shard: ShardId) -> &mut Option<Session> {
        session_in(&mut self.sessions, shard)
    }

    /// Connects the lane to an endpoint, and queues a Hello in front of the requests.
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

    /// Opens another connection to an endpoint. Returns it as a lane, with the topology from its
    /// Welcome.
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

    /// Connects to members and seeds, one after the other, until one sends an acceptable topology.
    /// Returns a connected lane and the topology.
    pub(crate) fn greet(
        &mut self,
        from: RefreshFrom,
        deadline: Instant,
        pool: &Pool,
    ) -> Result<(Lane, Topology), Failure> {
        self.serial += 1;
        self.turn = self.turn.wrapping_add(1);
        let (last, without) = match from {
            RefreshFrom::Anyone { last } => (last, None),
            RefreshFrom::Others { than } => (None, Some(self.topology.member_at(than))),
        };
        let mut members = self.topology.members_from(self.turn, last);
        members.retain(|(member, _)| Some(*member) != without);
        let mut failure = None;
        let count = members.len();
        for (nth, (_, peer)) in members.iter().enumerate() {
            match self.greet_and_check(*peer, share(deadline, count - nth), pool) {
                Ok(greeted) => return Ok(greeted),
                Err(reason) => failure = Some(reason),
            }
        }
        if let (Some(failure), Some(_)) = (&failure, without) {
            return Err(failure.clone());
        }
        // Names and records are resolved last, because that takes time that only the operating
        // system or a store controls.
        let until = deadline.min(Instant::now() + self.config.connect_timeout);
        // Without the lock, because it may take long; other calls look for themselves.
        let mut looked_up = locked(&self.seeds).clone();
        let mut seeds = looked_up.addresses(&self.config, until).map_err(lost)?;
        *locked(&self.seeds) = looked_up;
        let is_known = |seed: &SocketAddr| members.iter().any(|(_, member)| member == seed);
        let member_of = |seed: &SocketAddr| {
            let endpoint = self.topology.endpoint_at(*seed)?;
            Some(self.topology.member_at(endpoint))
        };
        seeds.retain(|seed| !is_known(seed) && (without.is_none() || member_of(seed) != without));
        let rotates = self.topology.is_cluster() || self.seed_order == SeedOrder::Rotating;
        if rotates && !seeds.is_empty() {
            let turn = self.turn % seeds.len();
            seeds.rotate_left(turn);
        }
        let count = seeds.len();
        for (nth, peer) in seeds.into_iter().enumerate() {
            match self.greet_and_check(peer, share(deadline, count - nth), pool) {
                Ok(greeted) => return Ok(greeted),
                Err(reason) => failure = Some(reason),
            }
        }
        Err(failure.unwrap_or_else(|| lost(no_address())))
    }

    /// Connects to one address, and rejects a topology of an older epoch or another cluster.
    fn greet_and_check(
        &mut self,
        peer: SocketAddr,
        timeout: Duration,
        pool: &Pool,
    ) -> Result<(Lane, Topology), Failure> {
        let timeout = timeout.min(self.greeting_timeout());
        let (lane, topology) = greet(peer, self.serial, timeout, &self.config, pool)?;
        self.check(&topology)?;
        Ok((lane, topology))
    }

    /// Compares a topology from a Welcome to the known one.
    ///
    /// # Errors
    ///
    /// If it is of an older epoch, or of another cluster.
    pub(crate) fn check(&self, told: &Topology) -> Result<TopologyUpdate, Failure> {
        match self.topology.compare(told) {
            update @ (TopologyUpdate::Same | TopologyUpdate::Newer) => Ok(update),
            TopologyUpdate::Older | TopologyUpdate::Foreign
                if self.accepts == AcceptedTopology::Any =>
            {
                Ok(TopologyUpdate::Newer)
            }
            TopologyUpdate::Older => Err(lost(std::io::Error::other(match told.is_cluster() {
                true => format!(
                    "the node knows epoch {} of the cluster, and epoch {} was seen before",
                    told.epoch(),
                    self.topology.epoch()
                ),
                false => "the node is outside the cluster: it was removed, or has not joined yet"
                    .to_owned(),
            }))),
            TopologyUpdate::Foreign => Err(Failure::Incompatible(Status::WrongCluster.into())),
        }
    }

    /// Whether the topology may be refreshed although that is not needed to connect.
    pub(crate) fn may_refresh(&self, now: Instant) -> bool {
        self.refresh_not_before.is_none_or(|time| time <= now)
    }

    /// How much later than others this client refreshes, so that not all ask at once.
    pub(crate) fn refresh_jitter(&self) -> Duration {
        Duration::from_millis(self.salt % 256)
    }

    /// Maximum time from connecting to the Welcome.
    fn greeting_timeout(&self) -> Duration {
        match self.topology.is_cluster() {
            true => self.config.connect_timeout.min(MEMBER_TIMEOUT),
            false => self.config.connect_timeout,
        }
    }

    /// Drops all connections and sessions. The next topology is accepted whatever its epoch,
    /// because a cluster may have been created anew meanwhile, and count its epochs from the
    /// beginning.
    pub(crate) fn forget_sessions(&mut self) {
        self.sessions.clear();
        self.lanes.clear();
        *locked(&self.had_sessions) = None;
        if self.topology.is_cluster() {
            self.accepts = AcceptedTopology::Any;
            self.distrust_topology();
        }
    }
}

/// Appends the frame that opens a session.
pub(crate) fn write_open(session: &Session, shard: ShardId, epoch: u32, out: &mut Vec<u8>) {
    let op = Op::Session(session.open_op());
    let header = Header {
        op: op.code().to_wire(),
        shard,
        epoch,
        session: session.id,
        ..Header::new(FrameKind::Request)
    };
    frame::write(out, &header, |out| op.encode(out)).expect("opening a session is a few bytes");
}

/// The slot of a shard's session.
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

/// Reads the first frame of a lane, which has to be a Welcome.
pub(crate) fn read_welcome(lane: &mut Lane, received: &ReceivedFrame) -> Result<Topology, Failure> {
    let body = &lane.buffer.bytes()[received.body.clone()];
    match received.header.kind {
        FrameKind::Welcome => {
            let connection = lane.connection.as_mut().expect("it received a frame");
            let topology = Welcome::decode(body)
                .and_then(|welcome| Topology::new(connection.peer, welcome))
                .map_err(Failure::Incompatible)?;
            connection.greeted = true;
            lane.clock = LaneClock::Known(topology.clock());
            Ok(topology)
        }
        FrameKind::Reply => Err(refused_connection(received.header.flags, body)),
        _ => Err(Failure::Incompatible(Status::BadFrameKind.into())),
    }
}

/// Reads a refusal of the whole connection.
pub(crate) fn refused_connection(flags: u16, body: &[u8]) -> Failure {
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

/// The failure of an input or output error of a connection.
pub(crate) fn lost(error: std::io::Error) -> Failure {
    Failure::Lost(Arc::new(error))
}

fn no_address() -> std::io::Error {
    std::io::Error::other("the name has no address")
}

/// An equal part of the time left, for each of `among` attempts.
pub(crate) fn share(deadline: Instant, among: usize) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left / u32::try_from(among).unwrap_or(u32::MAX).max(1)
}

/// Opens a connection and exchanges Hello and Welcome.
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
        lane.write(IoWait::UpTo(left())).map_err(lost)?;
    }
    while !left().is_zero() {
        lane.read(IoWait::UpTo(left()), config.spin, pool, None).map_err(lost)?;
        let received = lane.next_frame(config.reply_bytes_max).map_err(Failure::Incompatible)?;
        if let Some(received) = received {
            let topology = read_welcome(&mut lane, &received)?;
            return Ok((lane, topology));
        }
    }
    Err(Failure::NoAnswer)
}
