//! What the tasks of one core share: its shards, its connections, its clock.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::limits::{FRAME_BYTES_MAX, SESSION_WINDOW_MAX};
use catena_protocol::{
    Fault, Frame, FrameKind, Header, Hello, Kind, ObjectId, Refusal, ShardId, ShardMap, Stats,
    Status, Welcome, features, frame,
};
use monoio::net::{TcpListener, TcpStream};
use slab::Slab;

use super::buffer::ReadBuffer;
use super::chain::Chain;
use super::close;
use super::conn::{self, Conn, Role, Verdict, refuse};
use super::link::Link;
use super::notice::CoreCluster;
use super::notify::Notify;
use super::spares::Spares;
use super::spin::Spin;
use crate::clock::Clock;
use crate::config::CONNECTIONS_MAX;
use crate::metrics::{CoreCensus, Counters, Meter};
use catena_core::ahead::Step;
use catena_core::chain::record::NodeId;
use catena_core::chain::replica::{Exits, Post, Replica, Report};
use catena_core::chain::rules::Rules;
use catena_core::shard::{Answered, Census, ConnId, Moment, Outbox, Output, Shard, Time, Types};

/// What a core has to know about the node.
#[derive(Clone, Debug)]
pub(crate) struct CoreConfig {
    /// Which core of the node this is.
    pub(crate) index: u16,
    pub(crate) map: ShardMap,
    /// The port of every core.
    pub(crate) ports: Vec<u16>,
    pub(crate) clock: Clock,
    pub(crate) memory_bytes_max: u64,
    pub(crate) hash_seed: u64,
    pub(crate) spin: Duration,
    /// The kinds of objects that users defined.
    pub(crate) types: Arc<Types>,
    /// The cluster that the node is part of, if it is.
    pub(crate) cluster: Option<CoreCluster>,
    /// What the core counts, and nobody else.
    pub(crate) counters: Arc<Counters>,
}

/// A core's state. Borrowed for a turn at a time, never across an await.
pub(super) struct Core {
    config: CoreConfig,
    /// The shards of this core: shard `index + i * cores` at `i`.
    pub(super) shards: RefCell<Vec<Replica>>,
    /// Which of them a shard is, by its id: to look it up takes less than to divide.
    places: Vec<Option<u16>>,
    /// Memory that all of them take, in bytes.
    memory_bytes: Cell<u64>,
    pub(super) conns: Conns,
    pub(super) spares: Rc<Spares>,
    chain: Option<Chain>,
    /// The epoch of the last view; 0 if there is no cluster.
    pub(super) epoch: Cell<u32>,
    pub(super) links: RefCell<Vec<Link>>,
    /// Shards that may have something to say to other nodes, a bit each.
    touched: RefCell<Vec<u64>>,
    pub(super) spin: Rc<Spin>,
    meter: Meter,
    /// When the timer task is going to wake, and how to wake it earlier.
    armed: Cell<Option<Time>>,
    rearm: Notify,
    stopping: Cell<bool>,
    /// The last connection has gone.
    pub(super) deserted: Notify,
}

impl Core {
    pub(super) fn new(config: CoreConfig) -> Core {
        let map = config.map;
        let all = (0..=u16::MAX).take_while(|shard| u32::from(*shard) < map.shards()).map(ShardId);
        let mine = |shard: &ShardId| map.core_of(*shard) == config.index;
        let places =
            all.clone().map(|shard| mine(&shard).then_some(shard.0 / map.cores())).collect();
        let shards: Vec<Replica> = all.filter(mine).map(|shard| fresh(&config, shard)).collect();
        let spin = Spin::start(config.spin);
        let chain = config.cluster.clone().map(|cluster| Chain::new(cluster, shards.len()));
        let meter = Meter::new(config.counters.clone());
        Core {
            config,
            chain,
            epoch: Cell::new(0),
            links: RefCell::default(),
            touched: RefCell::new(vec![0; shards.len().div_ceil(64)]),
            shards: RefCell::new(shards),
            places,
            memory_bytes: Cell::new(0),
            conns: Conns::default(),
            spares: Rc::default(),
            spin,
            meter,
            armed: Cell::new(None),
            rearm: Notify::default(),
            stopping: Cell::new(false),
            deserted: Notify::default(),
        }
    }

    /// What it knows of its cluster, if it is part of one.
    pub(super) fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    pub(super) fn number(&self) -> u16 {
        self.config.index
    }

    pub(super) fn core_count(&self) -> u16 {
        self.config.map.cores()
    }

    pub(super) fn shard_count(&self) -> u32 {
        self.config.map.shards()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// The node's own clock.
    pub(super) fn now(&self) -> Time {
        self.config.clock.now()
    }

    /// Begins a turn: something happened, and answers may come of it.
    pub(super) fn begin_turn(&self) -> Time {
        let now = self.now();
        self.meter.begin(now);
        now
    }

    /// Serves all frames that were received whole. Everything between bytes in and bytes out happens
    /// here, without waiting for anything.
    pub(super) fn turn(&self, conn: &Rc<Conn>, buffer: &mut ReadBuffer) -> Verdict {
        self.spin.touch(conn.id);
        if conn.is_link() {
            return self.turn_link(conn, buffer);
        }
        let now = self.begin_turn();
        let serve =
            |frame: &Frame<'_>, unsent: &mut Vec<u8>| match self.serve(conn, frame, now, unsent) {
                // The rest is for a link.
                Ok(()) if conn.is_link() => Some(Verdict::Flush),
                Ok(()) => None,
                Err(refusal) => {
                    refuse(unsent, &refusal);
                    Some(Verdict::Close)
                }
            };
        let mut unsent = conn.replies();
        let verdict =
            conn::drain(buffer, &mut unsent, |step, header| self.expect(step, header), serve);
        drop(unsent);
        self.flush_touched();
        self.meter.end(|| self.now());
        verdict
    }

    /// Brings into the cache what a request is going to need.
    #[inline]
    fn expect(&self, step: Step, header: &Header) -> bool {
        let index = self.place(header.shard);
        index.is_some_and(|index| self.shards.borrow_mut()[index].prefetch(step, header))
    }

    /// Serves one frame. An error ends the connection.
    fn serve(
        &self,
        conn: &Rc<Conn>,
        frame: &Frame<'_>,
        now: Time,
        unsent: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if conn.role.get() != Role::Client {
            return self.welcome(conn, frame, now, unsent);
        }
        frame.expect_kind(FrameKind::Request)?;
        let header = &frame.header;
        let route = self.route(header);
        if let Ok(index) = route {
            let now = self.config.clock.shards_time(now);
            if let Some(word) = self.shards.borrow_mut()[index].on_count(now, frame) {
                self.meter.at_once(header.op, Status::Ok);
                frame::write_word(unsent, header, word);
                return Ok(());
            }
        }
        let mut out = Answers::of_turn(self, conn.id, unsent);
        match route {
            Ok(index) => self.ask(index, now, conn.id, frame, &mut out),
            Err(fault) => out.push(conn.id, header, Output::Refusal(&fault.into())),
        }
        Ok(())
    }

    /// Hands a request to its shard.
    fn ask(&self, index: usize, now: Time, conn: ConnId, frame: &Frame<'_>, out: &mut Answers<'_>) {
        let replica = &mut self.shards.borrow_mut()[index];
        let elsewhere = self.memory_bytes.get() - replica.bytes();
        // The shard keeps growth below 85 % of what it is given; so that all of them together do,
        // what the others have counts in the same measure.
        let taken = elsewhere.saturating_mul(100) / 85;
        let moment = Moment {
            now: self.config.clock.shards_time(now),
            memory_bytes_max: self.config.memory_bytes_max.saturating_sub(taken),
        };
        replica.on_request(now, moment, conn, frame, out);
        self.memory_bytes.set(elsewhere + replica.bytes());
        self.arm(replica.next_due());
        if !replica.is_alone() {
            self.touch(index);
        }
    }

    /// Lets something happen to one of this core's replicas.
    pub(super) fn with_replica(
        &self,
        index: usize,
        act: impl FnOnce(&mut Replica, &mut Answers<'_>),
    ) {
        let replica = &mut self.shards.borrow_mut()[index];
        let elsewhere = self.memory_bytes.get() - replica.bytes();
        let mut unsent = Vec::new();
        act(replica, &mut Answers::of_turn(self, NOBODY, &mut unsent));
        self.memory_bytes.set(elsewhere + replica.bytes());
        self.arm(replica.next_due());
        self.touch(index);
    }

    /// Lets something happen to all of this core's replicas.
    pub(super) fn for_each_replica(
        &self,
        mut act: impl FnMut(ShardId, &mut Replica, &mut Answers<'_>),
    ) {
        let count = self.shards.borrow().len();
        for index in 0..count {
            self.with_replica(index, |replica, out| act(replica.shard().id(), replica, out));
        }
    }

    /// Puts empty shards in the place of all.
    pub(super) fn empty_shards(&self) {
        for replica in self.shards.borrow_mut().iter_mut() {
            *replica = fresh(&self.config, replica.shard().id());
        }
        self.memory_bytes.set(0);
    }

    /// Takes note that a shard may have something to say to other nodes.
    pub(super) fn touch(&self, index: usize) {
        self.touched.borrow_mut()[index / 64] |= 1 << (index % 64);
    }

    /// Sends what the shards that were touched have to say to other nodes, everything to the same core
    /// in one write.
    pub(super) fn flush_touched(&self) {
        if self.chain.is_none() {
            return;
        }
        let mut unsent = Vec::new();
        for (word, bits) in self.touched.borrow_mut().iter_mut().enumerate() {
            let mut bits = std::mem::take(bits);
            while bits != 0 {
                let replica =
                    &mut self.shards.borrow_mut()[word * 64 + bits.trailing_zeros() as usize];
                bits &= bits - 1;
                let shard = replica.shard().id();
                replica
                    .flush(&mut Answers { shard, ..Answers::of_turn(self, NOBODY, &mut unsent) });
            }
        }
        for link in self.links.borrow().iter() {
            if !link.conn.unsent.borrow().is_empty() {
                link.conn.flush_wanted.notify();
            }
        }
    }

    /// Where a shard is among this core's, if it is.
    #[inline(always)]
    pub(super) fn place(&self, shard: ShardId) -> Option<usize> {
        self.places.get(usize::from(shard.0)).copied().flatten().map(usize::from)
    }

    /// Finds the shard of a request among this core's.
    fn route(&self, header: &Header) -> Result<usize, Fault> {
        if self.stopping.get() {
            return Err(Fault::new(Status::ShuttingDown));
        }
        let map = self.config.map;
        let got = header.shard;
        if u32::from(got.0) >= map.shards() {
            return Err(Fault::expected(Status::BadShard, map.shards().into(), got.0.into()));
        }
        // Sessions and scopes are a shard's own and name no object.
        let names_none = [Kind::Session.to_wire(), Kind::Scope.to_wire()];
        let is_of_shard = names_none.contains(&kind_of(header));
        let right = if is_of_shard { got } else { map.shard_of(header.object) };
        if right != got {
            return Err(Fault::expected(Status::BadShard, right.0.into(), got.0.into()));
        }
        self.place(got).ok_or_else(|| {
            let (right, ours) = (map.core_of(got).into(), self.config.index.into());
            Fault::expected(Status::WrongShard, right, ours)
        })
    }

    fn welcome(
        &self,
        conn: &Rc<Conn>,
        frame: &Frame<'_>,
        now: Time,
        unsent: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if frame.header.kind == FrameKind::PeerHello {
            return self.on_peer_hello(conn, frame, unsent);
        }
        if frame.header.kind != FrameKind::Hello {
            return Err(Fault::new(Status::HelloRequired).into());
        }
        let hello = Hello::decode(frame.body)?;
        if hello.features & !features::ALL != 0 {
            let (ours, theirs) = (features::ALL, hello.features);
            return Err(Fault::expected(Status::MissingFeature, ours, theirs).into());
        }
        conn.role.set(Role::Client);
        Welcome {
            features: features::ALL,
            now_us: self.config.clock.shards_time(now).0,
            epoch: self.epoch.get(),
            shards: self.config.map.shards(),
            frame_bytes_max: FRAME_BYTES_MAX,
            session_window: SESSION_WINDOW_MAX,
            core: self.config.index,
            ports: self.config.ports.clone(),
            engine: concat!("catena-engine ", env!("CARGO_PKG_VERSION")).to_owned(),
            members: self.chain.as_ref().map(|chain| chain.members().clone()).unwrap_or_default(),
        }
        .write(unsent);
        Ok(())
    }

    /// Sees to it that the timer task wakes in time.
    fn arm(&self, due: Option<Time>) {
        if let Some(due) = due
            && self.armed.get().is_none_or(|armed| due < armed)
        {
            self.armed.set(Some(due));
            self.rearm.notify();
        }
    }

    /// Lets time pass in the shards until the node stops: waits and sessions end when their time is
    /// up.
    pub(super) async fn keep_time(self: Rc<Core>) {
        while !self.stopping.get() {
            let now = self.config.clock.shards_time(self.begin_turn());
            let due = self.pass_time(now);
            self.armed.set(due);
            let sleep = due.map(|due| Duration::from_micros(due.0.saturating_sub(now.0)));
            self.rearm.notified_within(sleep).await;
        }
    }

    /// Ends what is due, and says when the next is.
    fn pass_time(&self, now: Time) -> Option<Time> {
        let due: Vec<usize> = {
            let shards = self.shards.borrow();
            let is_due = |replica: &Replica| replica.next_due().is_some_and(|due| due <= now);
            (0..).zip(shards.iter()).filter(|(_, it)| is_due(it)).map(|(index, _)| index).collect()
        };
        for index in due {
            self.with_replica(index, |replica, out| replica.on_time(now, out));
        }
        self.flush_touched();
        self.shards.borrow().iter().filter_map(Replica::next_due).min()
    }

    /// Accepts connections until the node stops.
    pub(super) async fn accept(self: Rc<Core>, listener: TcpListener) {
        while !self.stopping.get() {
            match listener.accept().await {
                _ if self.stopping.get() => return,
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    // Out of file descriptors, most likely; some may be closed soon.
                    tracing::warn!(%error, "cannot accept a connection");
                    monoio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn admit(self: &Rc<Core>, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection broke at once");
            return;
        }
        if self.conns.len() >= CONNECTIONS_MAX {
            tracing::warn!(%peer, limit = CONNECTIONS_MAX, "refused a connection");
            monoio::spawn(conn::turn_away(stream));
            return;
        }
        conn::start(self, stream, Role::New);
    }

    pub(super) fn remove(self: &Rc<Core>, conn: &Rc<Conn>) {
        self.conns.remove(conn.id);
        self.spares.count(self.conns.len());
        self.on_link_end(conn);
        if self.conns.len() == 0 {
            self.deserted.notify();
        }
    }

    /// Takes no more connections and requests, and answers whoever waits.
    pub(super) fn stop(&self, listener: RawFd) {
        self.stopping.set(true);
        // Wakes the accepting task: nothing else ends an accept without leaking what it accepted.
        close::both_ways(listener);
        self.rearm.notify();
        if let Some(chain) = &self.chain {
            chain.wake.notify();
        }
        self.begin_turn();
        self.for_each_replica(|_, replica, out| replica.on_shutdown(out));
        self.conns.for_each(Conn::stop_reading);
    }

    /// Gives up on clients that do not take their last replies.
    pub(super) fn abandon(&self) {
        self.conns.for_each(Conn::abandon);
    }

    pub(super) fn census(&self) -> CoreCensus {
        let mut census = CoreCensus {
            core: self.config.index,
            connections: self.conns.len() as u64,
            epoch: self.epoch.get(),
            ..Default::default()
        };
        for replica in self.shards.borrow().iter() {
            let Census { objects, sessions, waiters, .. } = replica.shard().census();
            census.objects += objects;
            census.sessions += sessions;
            census.waiters += waiters;
            census.bytes += replica.bytes();
            census.updates += replica.shard().seq().0;
            census.chain_lag = census.chain_lag.max(replica.uncommitted());
        }
        census
    }
}

/// The kind a request says it is for: the high byte of its op.
fn kind_of(header: &Header) -> u8 {
    header.op.to_be_bytes()[0]
}

/// The connections of a core.
#[derive(Default)]
pub(super) struct Conns {
    slots: RefCell<Slab<Rc<Conn>>>,
    /// How many there ever were: the upper half of the next id, so that no id is used twice.
    ever: Cell<u64>,
}

/// The id of no connection: no core ever has that many.
const NOBODY: ConnId = ConnId(u64::MAX);

const SLOT_BITS: u32 = 20;
const _: () = assert!(CONNECTIONS_MAX <= 1 << SLOT_BITS);

impl Conns {
    pub(super) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    pub(super) fn insert(&self, make: impl FnOnce(ConnId) -> Conn) -> Rc<Conn> {
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let generation = self.ever.replace(self.ever.get() + 1);
        let conn = Rc::new(make(ConnId(generation << SLOT_BITS | entry.key() as u64)));
        entry.insert(conn).clone()
    }

    fn remove(&self, conn: ConnId) {
        let removed = self.slots.borrow_mut().remove(slot(conn));
        assert_eq!(removed.id, conn, "a connection is removed once");
    }

    fn get(&self, conn: ConnId) -> Option<Rc<Conn>> {
        self.slots.borrow().get(slot(conn)).filter(|found| found.id == conn).cloned()
    }

    pub(super) fn for_each(&self, act: impl Fn(&Conn)) {
        self.slots.borrow().iter().for_each(|(_, conn)| act(conn));
    }
}

fn slot(conn: ConnId) -> usize {
    usize::try_from(conn.0 & ((1 << SLOT_BITS) - 1)).expect("20 bits")
}

/// Sorts answers to the connections they are for, and frames to the links.
pub(super) struct Answers<'a> {
    core: &'a Core,
    /// The connection being served; its reply buffer is `unsent`.
    current: ConnId,
    unsent: &'a mut Vec<u8>,
    /// The shard that has something to say to other nodes.
    shard: ShardId,
    links: Ref<'a, Vec<Link>>,
}

impl<'a> Answers<'a> {
    fn of_turn(core: &'a Core, current: ConnId, unsent: &'a mut Vec<u8>) -> Answers<'a> {
        Answers { core, current, unsent, shard: ShardId(0), links: core.links.borrow() }
    }

    /// Has bytes appended to what a connection is going to be sent.
    fn append(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        if conn == self.current {
            write(self.unsent);
        } else if let Some(conn) = self.core.conns.get(conn) {
            write(&mut conn.replies());
            conn.flush_wanted.notify();
        }
    }
}

impl Answers<'_> {
    fn write(&mut self, conn: ConnId, to: &Header, output: &Output<'_>) {
        match self.core.epoch.get() {
            0 => self.append(conn, |unsent| output.write(to, unsent)),
            // So that clients hear of a newer one.
            epoch => {
                let to = Header { epoch, ..*to };
                self.append(conn, |unsent| output.write(&to, unsent));
            }
        }
    }
}

impl Outbox for Answers<'_> {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        self.core.meter.at_once(to.op, output.status());
        self.write(conn, to, &output);
    }

    fn push_waited(&mut self, conn: ConnId, to: &Header, output: Output<'_>, waited_us: u64) {
        let since = Time(self.began().0.saturating_sub(waited_us));
        let (op, outcome) = (to.op, output.status());
        self.answered(Answered { op, outcome, since, waited: true });
        self.write(conn, to, &output);
    }

    fn complete(&self, stats: &mut Stats) {
        stats.core = self.core.config.index.into();
        stats.connections = self.core.conns.len() as u64;
    }

    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        match name {
            Some(name) => tracing::info!(target: "catena::log", log = name, "{line}"),
            None => tracing::info!(target: "catena::log", ?log, "{line}"),
        }
    }
}

impl Exits for Answers<'_> {
    type Bytes<'b>
        = RefMut<'b, Vec<u8>>
    where
        Self: 'b;

    fn encoded(&mut self, conn: ConnId, replies: &[u8]) {
        self.append(conn, |unsent| unsent.extend_from_slice(replies));
    }

    fn began(&self) -> Time {
        self.core.meter.began()
    }

    fn answered(&mut self, answered: Answered) {
        self.core.meter.late(answered);
    }

    fn peer(&mut self, node: NodeId) -> Option<RefMut<'_, Vec<u8>>> {
        let is_it = |link: &&Link| link.peer.node == node && link.peer.owns(self.shard);
        self.links.iter().find(is_it).map(|link| link.conn.unsent.borrow_mut())
    }

    fn report(&mut self, shard: ShardId, report: Report) {
        self.core.on_report(shard, report);
    }
}

/// A shard that holds nothing: of a node alone, or of one whose place in its cluster is not known yet.
fn fresh(config: &CoreConfig, shard: ShardId) -> Replica {
    let post = if config.cluster.is_some() { Post::default() } else { Post::alone() };
    let shard = Shard::new(shard, config.hash_seed, config.types.clone());
    Replica::new(shard, post, Rules::default())
}
