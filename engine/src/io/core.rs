//! The state that the tasks of one core share: shards, connections, links; and the turns in which
//! it changes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::limits::{FRAME_BYTES_MAX, SESSION_WINDOW_MAX};
use catena_protocol::{
    Fault, Frame, FrameKind, Header, Hello, Kind, Monitored, OpCode, Refusal, ShardId, ShardMap,
    Status, Welcome, features, frame,
};

use super::accept::Crowding;
use super::buffer::ReadBuffer;
use super::cluster::ClusterState;
use super::conn::{self, Conn, ConnRole, NextAction};
use super::conn_table::{ConnTable, NO_CONN};
use super::core_link::CoreLink;
use super::local_notify::LocalNotify;
use super::monitor::Monitor;
use super::newcomers::Newcomers;
use super::notice::CoreCluster;
use super::outbox::CoreOutbox;
use super::receive_memory::ReceiveMemory;
use super::reply_buffers::ReplyBuffers;
use super::session_sources::SessionSources;
use super::shared_body::LastShared;
use super::spin::Spin;
use super::stream::Listener;
use super::unsent::UnsentTotal;
use crate::clock::Clock;
use crate::config::{HELLO_BYTES_MAX, receive_bytes_max, transfer_lag_bytes, unsent_bytes_max};
use crate::metrics::{CoreCensus, Counters, Meter};
use crate::resident::{ResidentLimit, ResidentShare};
use catena_core::ahead::Step;
use catena_core::chain::assignment::Assignment;
use catena_core::chain::replica::{Replica, TransferLimits};
use catena_core::chain::rules::Rules;
use catena_core::shard::{Census, ConnId, Moment, Outbox, Output, Seq, Shard, Time, Types};

/// The configuration of a core.
#[derive(Clone, Debug)]
pub(crate) struct CoreConfig {
    /// The index of the core in its node.
    pub(crate) index: u16,
    pub(crate) map: ShardMap,
    /// The port of every core.
    pub(crate) ports: Vec<u16>,
    pub(crate) clock: Clock,
    pub(crate) memory_bytes_max: u64,
    /// The limit for the memory of the whole process, if there is one.
    pub(crate) resident: Option<Arc<ResidentLimit>>,
    pub(crate) connections_max: usize,
    pub(crate) hash_seed: u64,
    /// The number of a node without a cluster, drawn at its start; 0 in a cluster.
    pub(crate) incarnation: u32,
    /// The position behind which its shards begin; 0 in a cluster.
    pub(crate) base: Seq,
    pub(crate) spin: Duration,
    /// The user-defined types of objects.
    pub(crate) types: Arc<Types>,
    /// `None` outside of a cluster.
    pub(crate) cluster: Option<CoreCluster>,
    /// Written by this core only.
    pub(crate) counters: Arc<Counters>,
}

/// The state of a core. Its parts are borrowed for a turn at a time, never across an await.
pub(super) struct Core {
    config: CoreConfig,
    /// The shards of this core: shard `index + i * cores` at `i`.
    pub(super) shards: RefCell<Vec<Replica>>,
    /// The index in `shards` of each shard of the node, if it is here: a lookup takes less time
    /// than a division.
    shard_indexes: Vec<Option<u16>>,
    /// Memory that all of its shards take, in bytes.
    memory_bytes: Cell<u64>,
    resident: RefCell<ResidentShare>,
    pub(super) conns: ConnTable,
    pub(super) newcomers: RefCell<Newcomers>,
    /// Connections that make room for others and have not ended yet.
    pub(super) displaced: Cell<usize>,
    pub(super) crowding: Cell<Crowding>,
    /// Where the sessions of each shard were opened.
    session_sources: RefCell<Vec<SessionSources>>,
    pub(super) receive_memory: Rc<ReceiveMemory>,
    pub(super) unsent_total: Rc<UnsentTotal>,
    pub(super) last_shared: LastShared,
    pub(super) reply_buffers: Rc<ReplyBuffers>,
    cluster: Option<ClusterState>,
    /// The epoch of the latest view; 0 if there is no cluster.
    pub(super) epoch: Cell<u32>,
    pub(super) links: RefCell<Vec<CoreLink>>,
    /// Shards that may have frames for other nodes, a bit each.
    touched: RefCell<Vec<u64>>,
    pub(super) spin: Rc<Spin>,
    pub(super) meter: Meter,
    monitor: Monitor,
    /// When the timer task wakes next.
    timer_due: Cell<Option<Time>>,
    /// Wakes the timer task earlier.
    timer_wake: LocalNotify,
    /// Wakes [`Core::watch_connections`] earlier.
    pub(super) sweep_wake: LocalNotify,
    stopping: Cell<bool>,
    /// The last connection has ended.
    pub(super) no_connections: LocalNotify,
}

impl Core {
    pub(super) fn new(config: CoreConfig) -> Core {
        let map = config.map;
        let all = (0..=u16::MAX).take_while(|shard| u32::from(*shard) < map.shards()).map(ShardId);
        let is_mine = |shard: &ShardId| map.core_of(*shard) == config.index;
        let shard_indexes =
            all.clone().map(|shard| is_mine(&shard).then_some(shard.0 / map.cores())).collect();
        let shards: Vec<Replica> =
            all.filter(is_mine).map(|shard| empty_replica(&config, shard)).collect();
        let spin = Spin::start(config.spin);
        let cluster = config.cluster.clone();
        let cluster = cluster.map(|cluster| ClusterState::new(cluster, shards.len()));
        let monitor = Monitor::new(shards.len());
        let meter = Meter::new(config.counters.clone());
        let receive_memory = receive_bytes_max(config.memory_bytes_max);
        let receive_memory = Rc::new(ReceiveMemory::new(receive_memory));
        let unsent_total = unsent_bytes_max(config.memory_bytes_max);
        let unsent_total = Rc::new(UnsentTotal::new(unsent_total));
        Core {
            config,
            cluster,
            epoch: Cell::new(0),
            links: RefCell::default(),
            touched: RefCell::new(vec![0; shards.len().div_ceil(64)]),
            session_sources: RefCell::new(
                shards.iter().map(|_| SessionSources::default()).collect(),
            ),
            shards: RefCell::new(shards),
            shard_indexes,
            memory_bytes: Cell::new(0),
            resident: RefCell::default(),
            conns: ConnTable::default(),
            newcomers: RefCell::default(),
            displaced: Cell::new(0),
            crowding: Cell::default(),
            receive_memory,
            unsent_total,
            last_shared: LastShared::default(),
            reply_buffers: Rc::default(),
            spin,
            meter,
            monitor,
            timer_due: Cell::new(None),
            timer_wake: LocalNotify::default(),
            sweep_wake: LocalNotify::default(),
            stopping: Cell::new(false),
            no_connections: LocalNotify::default(),
        }
    }

    /// Returns the state of the cluster; `None` outside of a cluster.
    pub(super) fn cluster(&self) -> Option<&ClusterState> {
        self.cluster.as_ref()
    }

    /// Returns the number that is another one if what was in memory is lost.
    fn incarnation(&self) -> u64 {
        match self.cluster() {
            Some(cluster) => cluster.view().map_or(0, |view| view.record.base.0),
            None => self.config.incarnation.into(),
        }
    }

    pub(super) fn index(&self) -> u16 {
        self.config.index
    }

    pub(super) fn core_count(&self) -> u16 {
        self.config.map.cores()
    }

    pub(super) fn shard_count(&self) -> u32 {
        self.config.map.shards()
    }

    pub(super) fn connections_max(&self) -> usize {
        self.config.connections_max
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Returns the time of the node's own clock.
    pub(super) fn now(&self) -> Time {
        self.config.clock.now()
    }

    /// Returns the time of day at `now` of the node's own clock.
    pub(super) fn time_of_day(&self, now: Time) -> Time {
        self.config.clock.shards_time(now)
    }

    /// Returns the time of the shards, of the earliest if they differ: a client that opens a session
    /// must not be ahead of any.
    fn time_of_shards(&self, now: Time) -> Time {
        let now = self.time_of_day(now);
        self.shards.borrow().iter().map(|replica| replica.time_at(now)).min().unwrap_or(now)
    }

    /// Begins a turn, in which an event changes shards and produces output. Returns the time.
    pub(super) fn begin_turn(&self) -> Time {
        let now = self.now();
        self.meter.begin(now);
        now
    }

    /// Serves all frames that were received whole. Everything between bytes in and bytes out
    /// happens here, without an await.
    pub(super) fn turn(&self, conn: &Rc<Conn>, buffer: &mut ReadBuffer) -> NextAction {
        self.spin.on_bytes(conn.id);
        if conn.is_link() {
            return self.turn_link(conn, buffer);
        }
        let now = self.begin_turn();
        let is_new = conn.role.get() == ConnRole::New;
        let frame_bytes_max = if is_new { HELLO_BYTES_MAX } else { FRAME_BYTES_MAX };
        let serve =
            |frame: &Frame<'_>, unsent: &mut Vec<u8>| match self.serve(conn, frame, now, unsent) {
                // The frame was a Hello. Others follow in another turn, as frames of a client or a link.
                Ok(()) if is_new => Some(NextAction::Flush),
                Ok(()) => None,
                Err(refusal) => {
                    conn::write_refusal(unsent, &refusal);
                    Some(NextAction::Close)
                }
            };
        let mut unsent = conn.replies();
        let prefetch = |step, header: &Header| self.prefetch(step, header);
        let action = conn::serve_frames(buffer, frame_bytes_max, &mut unsent, prefetch, serve);
        drop(unsent);
        self.flush_touched();
        self.meter.end(|| self.now());
        action
    }

    /// Brings the memory that a request is going to need into the cache.
    #[inline]
    fn prefetch(&self, step: Step, header: &Header) -> bool {
        let index = self.shard_index(header.shard);
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
        if conn.role.get() != ConnRole::Client {
            self.on_hello(conn, frame, now, unsent)?;
            self.newcomers.borrow_mut().remove(conn.id);
            return Ok(());
        }
        frame.expect_kind(FrameKind::Request)?;
        let header = &frame.header;
        let route = self.route(header);
        if self.monitor.is_on()
            && let Ok(index) = route
        {
            let noted = self.monitor.begin(index, now, header.op, unsent);
            self.serve_request(conn, frame, route, now, unsent);
            if let Some(noted) = noted {
                let replica = &self.shards.borrow()[index];
                self.monitor.note(&noted, conn, frame, replica, unsent);
            }
            return Ok(());
        }
        self.serve_request(conn, frame, route, now, unsent);
        Ok(())
    }

    /// Serves a request that has come to the right core, or says why it has not.
    #[inline(always)]
    fn serve_request(
        &self,
        conn: &Rc<Conn>,
        frame: &Frame<'_>,
        route: Result<usize, Fault>,
        now: Time,
        unsent: &mut Vec<u8>,
    ) {
        let header = &frame.header;
        if let Ok(index) = route {
            let now = self.config.clock.shards_time(now);
            if let Some(word) = self.shards.borrow_mut()[index].on_count(now, frame) {
                self.meter.at_once(header.op, Status::Ok);
                frame::write_word(unsent, header, word);
                return;
            }
        }
        let mut out = CoreOutbox::of_turn(self, conn.id, unsent);
        match route {
            Ok(index) if header.op == OpCode::SessionOpen.to_wire() => {
                self.on_session_open(index, now, conn, frame, &mut out);
            }
            Ok(index) => self.on_request(index, now, conn.id, frame, &mut out),
            Err(fault) => out.push(conn.id, header, Output::Refusal(&fault.into())),
        }
    }

    /// Returns requests that were noted for a shard of this core, see [`Monitor`].
    pub(super) fn monitored(&self, shard: ShardId, after: u64, per_second: u32) -> Monitored {
        match self.shard_index(shard) {
            Some(index) => self.monitor.monitored(index, self.now(), after, per_second),
            None => Monitored::default(),
        }
    }

    /// Passes a request that opens a session to its shard, unless its source has too many.
    fn on_session_open(
        &self,
        index: usize,
        now: Time,
        conn: &Conn,
        frame: &Frame<'_>,
        out: &mut CoreOutbox<'_>,
    ) {
        let session = frame.header.session;
        let shards = &self.shards;
        let is_open = |session| shards.borrow()[index].shard().has_session(session);
        let was_open = is_open(session);
        if !was_open && self.is_head(index) {
            let open = shards.borrow()[index].shard().census().sessions;
            let sources = &mut self.session_sources.borrow_mut()[index];
            if let Err(fault) = sources.admit(conn.source, open, is_open) {
                return out.push(conn.id, &frame.header, Output::Refusal(&fault.into()));
            }
        }
        self.on_request(index, now, conn.id, frame, out);
        if !was_open && is_open(session) {
            let sources = &mut self.session_sources.borrow_mut()[index];
            sources.on_opened(conn.source, session, is_open);
        }
    }

    /// Returns whether this node is the head of a shard's chain, or serves it alone.
    fn is_head(&self, index: usize) -> bool {
        let shards = self.shards.borrow();
        let assignment = shards[index].assignment();
        assignment.member && assignment.predecessor.is_none()
    }

    /// Says how much memory is counted, and returns what is not needed any more.
    pub(super) fn sweep_memory(&self) {
        if let Some(limit) = &self.config.resident {
            let buffers = self.receive_memory.lent_bytes() + self.unsent_total.bytes();
            let counted = self.memory_bytes.get() + buffers as u64;
            limit.sweep(&mut self.resident.borrow_mut(), counted);
        }
    }

    /// Forgets where sessions were opened that have ended.
    pub(super) fn sweep_session_sources(&self) {
        let shards = self.shards.borrow();
        for (sources, replica) in self.session_sources.borrow_mut().iter_mut().zip(shards.iter()) {
            sources.sweep(|session| replica.shard().has_session(session));
        }
    }

    /// Passes a request to its shard.
    fn on_request(
        &self,
        index: usize,
        now: Time,
        conn: ConnId,
        frame: &Frame<'_>,
        out: &mut CoreOutbox<'_>,
    ) {
        let replica = &mut self.shards.borrow_mut()[index];
        let elsewhere = self.memory_bytes.get() - replica.bytes();
        // A shard stops growing at 85 % of its limit. For all shards together to stop at 85 % of
        // the core's limit, the memory of the others is subtracted at the same rate.
        let taken = elsewhere.saturating_mul(100) / 85;
        let mut memory_bytes_max = self.config.memory_bytes_max.saturating_sub(taken);
        if self.config.resident.as_ref().is_some_and(|limit| limit.is_over()) {
            // What there is fills it.
            memory_bytes_max = memory_bytes_max.min(replica.bytes());
        }
        let moment = Moment { now: self.config.clock.shards_time(now), memory_bytes_max };
        replica.on_request(now, moment, conn, frame, out);
        self.memory_bytes.set(elsewhere + replica.bytes());
        self.wake_timer_by(replica.next_due());
        if !replica.is_alone() {
            self.touch(index);
        }
    }

    /// Returns the limit of the memory that its shards may take, in bytes.
    pub(super) fn memory_bytes_max(&self) -> u64 {
        self.config.memory_bytes_max
    }

    /// Lets `act` change one of this core's replicas.
    pub(super) fn with_replica(
        &self,
        index: usize,
        act: impl FnOnce(&mut Replica, &mut CoreOutbox<'_>),
    ) {
        let replica = &mut self.shards.borrow_mut()[index];
        let elsewhere = self.memory_bytes.get() - replica.bytes();
        let mut unsent = Vec::new();
        act(replica, &mut CoreOutbox::of_turn(self, NO_CONN, &mut unsent));
        self.memory_bytes.set(elsewhere + replica.bytes());
        self.wake_timer_by(replica.next_due());
        self.touch(index);
    }

    /// Lets `act` change each of this core's replicas.
    pub(super) fn for_each_replica(
        &self,
        mut act: impl FnMut(ShardId, &mut Replica, &mut CoreOutbox<'_>),
    ) {
        let count = self.shards.borrow().len();
        for index in 0..count {
            self.with_replica(index, |replica, out| act(replica.shard().id(), replica, out));
        }
    }

    /// Replaces all shards by empty ones.
    pub(super) fn empty_shards(&self) {
        for replica in self.shards.borrow_mut().iter_mut() {
            *replica = empty_replica(&self.config, replica.shard().id());
        }
        self.session_sources.borrow_mut().fill_with(SessionSources::default);
        self.memory_bytes.set(0);
    }

    /// Marks a shard that may have frames for other nodes.
    pub(super) fn touch(&self, index: usize) {
        self.touched.borrow_mut()[index / 64] |= 1 << (index % 64);
    }

    /// Sends the frames of all marked shards to other nodes, those to the same core in one write.
    pub(super) fn flush_touched(&self) {
        if self.cluster.is_none() {
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
                let elsewhere = self.memory_bytes.get() - replica.bytes();
                replica.flush(&mut CoreOutbox::of_shard(self, shard, &mut unsent));
                self.memory_bytes.set(elsewhere + replica.bytes());
            }
        }
        for link in self.links.borrow().iter() {
            if !link.conn.unsent.borrow().is_empty() {
                link.conn.flush_wanted.notify();
            }
        }
    }

    /// Returns the index of a shard among this core's, if it is one of them.
    #[inline(always)]
    pub(super) fn shard_index(&self, shard: ShardId) -> Option<usize> {
        self.shard_indexes.get(usize::from(shard.0)).copied().flatten().map(usize::from)
    }

    /// Returns the index of a request's shard, or why this core does not serve the request.
    fn route(&self, header: &Header) -> Result<usize, Fault> {
        if self.stopping.get() {
            return Err(Fault::new(Status::ShuttingDown));
        }
        let map = self.config.map;
        let got = header.shard;
        if u32::from(got.0) >= map.shards() {
            return Err(Fault::expected(Status::BadShard, map.shards().into(), got.0.into()));
        }
        // Sessions and scopes belong to a shard: their requests name no object.
        let of_shards = [Kind::Session.to_wire(), Kind::Scope.to_wire()];
        let is_of_shard = of_shards.contains(&kind_of(header));
        let right = if is_of_shard { got } else { map.shard_of(header.object) };
        if right != got {
            return Err(Fault::expected(Status::BadShard, right.0.into(), got.0.into()));
        }
        self.shard_index(got).ok_or_else(|| {
            let (right, ours) = (map.core_of(got).into(), self.config.index.into());
            Fault::expected(Status::WrongShard, right, ours)
        })
    }

    /// Handles the first frame of a connection.
    fn on_hello(
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
        conn.role.set(ConnRole::Client);
        Welcome {
            features: features::ALL,
            now_us: self.time_of_shards(now).0,
            incarnation: self.incarnation(),
            epoch: self.epoch.get().max(self.config.incarnation),
            shards: self.config.map.shards(),
            frame_bytes_max: FRAME_BYTES_MAX,
            session_window: SESSION_WINDOW_MAX,
            core: self.config.index,
            ports: self.config.ports.clone(),
            engine: concat!("catena-engine ", env!("CARGO_PKG_VERSION")).to_owned(),
            members: self.cluster().map(|cluster| cluster.members().clone()).unwrap_or_default(),
        }
        .write(unsent);
        Ok(())
    }

    /// Makes the timer task wake at `due` at the latest.
    fn wake_timer_by(&self, due: Option<Time>) {
        if let Some(due) = due
            && self.timer_due.get().is_none_or(|earlier| due < earlier)
        {
            self.timer_due.set(Some(due));
            self.timer_wake.notify();
        }
    }

    /// Ends waits and sessions when their time is up, until the node stops.
    pub(super) async fn run_timer(self: Rc<Core>) {
        while !self.stopping.get() {
            let now = self.config.clock.shards_time(self.begin_turn());
            let due = self.on_time(now);
            self.timer_due.set(due);
            let sleep = due.map(|due| Duration::from_micros(due.0.saturating_sub(now.0)));
            self.timer_wake.notified_within(sleep).await;
        }
    }

    /// Ends waits and sessions that are due. Returns when the next are.
    fn on_time(&self, now: Time) -> Option<Time> {
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

    /// Passes over the requests of a client whose connection has ended.
    pub(super) fn on_client_end(&self, conn: &Conn) {
        if conn.role.get() != ConnRole::Client {
            return;
        }
        let now = self.config.clock.shards_time(self.begin_turn());
        let count = self.shards.borrow().len();
        for index in 0..count {
            let waits = self.shards.borrow()[index].shard().has_waits_of(conn.id);
            if waits {
                self.with_replica(index, |replica, out| replica.on_disconnect(now, conn.id, out));
            }
        }
        self.flush_touched();
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(self: &Rc<Core>, conn: &Rc<Conn>) {
        self.conns.remove(conn.id);
        self.newcomers.borrow_mut().remove(conn.id);
        self.displaced.set(self.displaced.get() - usize::from(conn.is_displaced.get()));
        self.reply_buffers.set_max(self.conns.len());
        self.on_conn_end(conn);
        if self.conns.len() == 0 {
            self.no_connections.notify();
        }
    }

    /// Takes no more connections and requests, and replies `ShuttingDown` to requests that wait.
    pub(super) fn stop(&self, listener: &Listener) {
        self.stopping.set(true);
        // Ends the accept under way. Dropping it could leak the connection that it has just
        // accepted.
        listener.shut_down();
        self.timer_wake.notify();
        self.sweep_wake.notify();
        if let Some(cluster) = self.cluster() {
            cluster.wake.notify();
        }
        self.begin_turn();
        self.for_each_replica(|_, replica, out| replica.on_shutdown(out));
        self.conns.for_each(Conn::stop_reading);
    }

    /// Breaks all connections, of clients that do not take their last replies.
    pub(super) fn abandon(&self) {
        self.conns.for_each(Conn::abandon);
    }

    /// Counts connections, objects and memory.
    pub(super) fn census(&self) -> CoreCensus {
        let mut census = CoreCensus {
            core: self.config.index,
            connections: self.conns.len() as u64,
            epoch: self.epoch.get(),
            receiving_bytes: self.receive_memory.lent_bytes() as u64,
            unsent_bytes: self.unsent_total.bytes() as u64,
            ..Default::default()
        };
        for replica in self.shards.borrow().iter() {
            let Census { objects, sessions, waiters, .. } = replica.shard().census();
            census.objects += objects;
            census.sessions += sessions;
            census.waiters += waiters;
            census.bytes += replica.bytes();
            census.updates += replica.shard().updates();
            census.chain_lag = census.chain_lag.max(replica.uncommitted());
        }
        census
    }
}

/// Returns the kind of object that a request is for: the high byte of its op.
fn kind_of(header: &Header) -> u8 {
    header.op.to_be_bytes()[0]
}

/// Creates an empty shard: ready to serve on a node alone, not yet assigned to a chain in a
/// cluster.
fn empty_replica(config: &CoreConfig, shard: ShardId) -> Replica {
    let post =
        if config.cluster.is_some() { Assignment::default() } else { Assignment::standalone() };
    let shard = Shard::new(shard, config.hash_seed, config.types.clone());
    let shard = shard.of_incarnation(config.incarnation).starting_at(config.base);
    let shards = config.map.shards().div_ceil(config.map.cores().into());
    let lag_bytes = transfer_lag_bytes(config.memory_bytes_max, shards);
    Replica::new(shard, post, Rules::default())
        .with_transfer_limits(TransferLimits { lag_bytes, ..TransferLimits::default() })
}
