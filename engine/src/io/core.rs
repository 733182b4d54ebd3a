//! What the tasks of one core share: its shards, its connections, its clock.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::limits::{FRAME_BYTES_MAX, SESSION_WINDOW_MAX};
use catena_protocol::operator::ShardStatus;
use catena_protocol::{
    Fault, Frame, FrameKind, Header, Hello, Kind, Members, ObjectId, Refusal, ShardId, ShardMap,
    Status, Welcome, features,
};
use monoio::net::{TcpListener, TcpStream};
use slab::Slab;

use super::buffer::ReadBuffer;
use super::close;
use super::conn::{self, Conn, Verdict, refuse};
use super::notice::CoreCluster;
use super::notify::Notify;
use super::spin::Spin;
use super::thread::CoreCensus;
use crate::chain::member::View;
use crate::chain::record::NodeId;
use crate::config::CONNECTIONS_MAX;
use crate::shard::{Census, ConnId, Moment, Outbox, Output, Shard, Time, Types};

/// What a core has to know about the node.
#[derive(Clone, Debug)]
pub(crate) struct CoreConfig {
    /// Which core of the node this is.
    pub(crate) index: u16,
    pub(crate) map: ShardMap,
    /// The port of every core.
    pub(crate) ports: Vec<u16>,
    /// When the node started: the zero of its logical time.
    pub(crate) started: Instant,
    pub(crate) memory_bytes_max: u64,
    pub(crate) hash_seed: u64,
    pub(crate) spin: Duration,
    /// The kinds of objects that users defined.
    pub(crate) types: Arc<Types>,
    /// The cluster that the node is part of, if it is.
    pub(crate) cluster: Option<CoreCluster>,
}

/// A core's state. Borrowed for a turn at a time, never across an await.
pub(super) struct Core {
    config: CoreConfig,
    /// The shards of this core: shard `index + i * cores` at `i`.
    shards: RefCell<Vec<Shard>>,
    /// Which of them a shard is, by its id: to look it up takes less than to divide.
    places: Vec<Option<u16>>,
    /// Memory that all of them take, in bytes.
    memory_bytes: Cell<u64>,
    pub(super) conns: Conns,
    spin: Rc<Spin>,
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
        let fresh = |shard| Shard::new(shard, config.hash_seed, config.types.clone());
        let shards = all.filter(mine).map(fresh).collect();
        let spin = Spin::start(config.spin);
        Core {
            config,
            shards: RefCell::new(shards),
            places,
            memory_bytes: Cell::new(0),
            conns: Conns::default(),
            spin,
            armed: Cell::new(None),
            rearm: Notify::default(),
            stopping: Cell::new(false),
            deserted: Notify::default(),
        }
    }

    /// Serves all frames that were received whole. Everything between bytes in and bytes out happens
    /// here, without waiting for anything.
    pub(super) fn turn(&self, conn: &Conn, buffer: &mut ReadBuffer) -> Verdict {
        let instant = Instant::now();
        self.spin.touch(instant);
        let now = self.time_at(instant);
        let mut unsent = conn.unsent.borrow_mut();
        let serve =
            |frame: &Frame<'_>, unsent: &mut Vec<u8>| match self.serve(conn, frame, now, unsent) {
                Ok(()) => Verdict::Flush,
                Err(refusal) => {
                    refuse(unsent, &refusal);
                    Verdict::Close
                }
            };
        conn::drain(buffer, &mut unsent, |frames| self.expect(frames), serve)
    }

    /// Brings into the cache what requests are going to need, with many of the misses under way at a
    /// time.
    fn expect(&self, frames: &[Frame<'_>]) {
        if frames.len() < WORTH_WARMING {
            return;
        }
        let mut shards = self.shards.borrow_mut();
        for frame in frames {
            if let Some(index) = self.place(frame.header.shard) {
                shards[index].prefetch(&frame.header);
            }
        }
        for frame in frames {
            if let Some(index) = self.place(frame.header.shard) {
                shards[index].prefetch_rest(&frame.header);
            }
        }
    }

    /// Serves one frame. An error ends the connection.
    fn serve(
        &self,
        conn: &Conn,
        frame: &Frame<'_>,
        now: Time,
        unsent: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if !conn.welcomed.get() {
            return self.welcome(conn, frame, now, unsent);
        }
        frame.expect_kind(FrameKind::Request)?;
        let header = &frame.header;
        let mut out = Replies { current: conn.id, unsent, conns: &self.conns };
        match self.route(header) {
            Ok(index) => self.ask(index, now, conn.id, frame, &mut out),
            Err(fault) => out.push(conn.id, header, Output::Refusal(&fault.into())),
        }
        Ok(())
    }

    /// Hands a request to its shard.
    fn ask(&self, index: usize, now: Time, conn: ConnId, frame: &Frame<'_>, out: &mut impl Outbox) {
        let shard = &mut self.shards.borrow_mut()[index];
        let elsewhere = self.memory_bytes.get() - shard.bytes();
        // The shard keeps growth below 85 % of what it is given; so that all of them together do,
        // what the others have counts in the same measure.
        let taken = elsewhere.saturating_mul(100) / 85;
        let memory_bytes_max = self.config.memory_bytes_max.saturating_sub(taken);
        let connections = u32::try_from(self.conns.len()).expect("connections are bounded");
        shard.on_request(
            Moment { now, memory_bytes_max, core: self.config.index, connections },
            conn,
            frame,
            out,
        );
        self.memory_bytes.set(elsewhere + shard.bytes());
        self.arm(shard.next_due());
    }

    /// Where a shard is among this core's, if it is.
    #[inline(always)]
    fn place(&self, shard: ShardId) -> Option<usize> {
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
        conn: &Conn,
        frame: &Frame<'_>,
        now: Time,
        unsent: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if frame.header.kind != FrameKind::Hello {
            return Err(Fault::new(Status::HelloRequired).into());
        }
        let hello = Hello::decode(frame.body)?;
        if hello.features & !features::ALL != 0 {
            let (ours, theirs) = (features::ALL, hello.features);
            return Err(Fault::expected(Status::MissingFeature, ours, theirs).into());
        }
        conn.welcomed.set(true);
        Welcome {
            features: features::ALL,
            now_us: now.0,
            epoch: 0,
            shards: self.config.map.shards(),
            frame_bytes_max: FRAME_BYTES_MAX,
            session_window: SESSION_WINDOW_MAX,
            core: self.config.index,
            ports: self.config.ports.clone(),
            engine: concat!("catena-engine ", env!("CARGO_PKG_VERSION")).to_owned(),
            members: Members::default(),
        }
        .write(unsent);
        Ok(())
    }

    /// The node's logical time now.
    fn time(&self) -> Time {
        self.time_at(Instant::now())
    }

    fn time_at(&self, instant: Instant) -> Time {
        let us = instant.duration_since(self.config.started).as_micros();
        Time(u64::try_from(us).expect("a node does not run for half a million years"))
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
            let now = self.time();
            let due = self.pass_time(now);
            self.armed.set(due);
            let sleep = due.map(|due| Duration::from_micros(due.0.saturating_sub(now.0)));
            self.rearm.notified_within(sleep).await;
        }
    }

    /// Ends what is due, and says when the next is.
    fn pass_time(&self, now: Time) -> Option<Time> {
        let mut out = Replies { current: NOBODY, unsent: &mut Vec::new(), conns: &self.conns };
        let mut shards = self.shards.borrow_mut();
        let is_due = |shard: &&mut Shard| shard.next_due().is_some_and(|due| due <= now);
        for shard in shards.iter_mut().filter(is_due) {
            let elsewhere = self.memory_bytes.get() - shard.bytes();
            shard.on_time(now, &mut out);
            self.memory_bytes.set(elsewhere + shard.bytes());
        }
        shards.iter().filter_map(Shard::next_due).min()
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
        conn::start(self, stream);
    }

    pub(super) fn remove(&self, conn: ConnId) {
        self.conns.remove(conn);
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
        let mut out = Replies { current: NOBODY, unsent: &mut Vec::new(), conns: &self.conns };
        for shard in self.shards.borrow_mut().iter_mut() {
            shard.on_shutdown(&mut out);
        }
        self.conns.for_each(Conn::stop_reading);
    }

    /// Gives up on clients that do not take their last replies.
    pub(super) fn abandon(&self) {
        self.conns.for_each(Conn::abandon);
    }

    pub(super) fn begin(&self, life: NodeId) {
        _ = life;
    }

    pub(super) fn look(&self, view: Arc<View>) {
        _ = view;
    }

    pub(super) fn shards(&self) -> Vec<ShardStatus> {
        Vec::new()
    }

    pub(super) fn census(&self) -> CoreCensus {
        let mut census = CoreCensus { connections: self.conns.len() as u64, ..Default::default() };
        for shard in self.shards.borrow().iter() {
            let Census { objects, sessions, waiters, bytes } = shard.census();
            census.objects += objects;
            census.sessions += sessions;
            census.waiters += waiters;
            census.bytes += bytes;
            census.updates += shard.seq().0;
        }
        census
    }
}

/// The kind a request says it is for: the high byte of its op.
fn kind_of(header: &Header) -> u8 {
    header.op.to_be_bytes()[0]
}

/// Fewer requests than this have too few misses to overlap.
const WORTH_WARMING: usize = 4;

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

    fn for_each(&self, act: impl Fn(&Conn)) {
        self.slots.borrow().iter().for_each(|(_, conn)| act(conn));
    }
}

fn slot(conn: ConnId) -> usize {
    usize::try_from(conn.0 & ((1 << SLOT_BITS) - 1)).expect("20 bits")
}

/// Sorts answers to the connections they are for.
struct Replies<'a> {
    /// The connection being served; its reply buffer is `unsent`.
    current: ConnId,
    unsent: &'a mut Vec<u8>,
    conns: &'a Conns,
}

impl Outbox for Replies<'_> {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        if conn == self.current {
            output.write(to, self.unsent);
        } else if let Some(conn) = self.conns.get(conn) {
            output.write(to, &mut conn.unsent.borrow_mut());
            conn.flush_wanted.notify();
        }
    }

    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        match name {
            Some(name) => tracing::info!(target: "catena::log", log = name, "{line}"),
            None => tracing::info!(target: "catena::log", ?log, "{line}"),
        }
    }
}
