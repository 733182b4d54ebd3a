//! A shard: a slice of the object space as a pure state machine.
//!
//! The driver passes it validated frames and the time, and takes replies through an [`Outbox`]. A
//! shard has no socket, clock, thread or randomness of its own, so the same events give the same
//! state and the same replies with every driver: the io layer, a test, the simulator, the fuzzer.
//!
//! 1. An update takes effect at exactly one position in the shard's order ([`Shard::seq`]), after
//!    its object has checked that it can be applied; from then on it cannot fail.
//! 2. An update is applied exactly once per `(session, number)`. Its reply is kept until the client
//!    acknowledges it. A retry gets that reply, or takes over the wait of the request.
//! 3. Every waiting request gets exactly one reply: when another update releases it, at its
//!    deadline, or when its object or its session ends. One whose connection has ended is passed
//!    over, and forgotten if it is not retried soon.
//! 4. A refusal changes nothing.
//! 5. Nothing grows beyond the limits in [`config`](crate::config), and all memory is accounted
//!    for.

mod attendance;
mod closed_sessions;
mod directory;
mod ends;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod manage;
mod outbox;
mod quotas;
mod room;
mod seq;
mod sessions;
mod shared_replies;
pub(crate) mod snapshot;
mod table;
mod waiters;
mod watchers;

use alloc::boxed::Box;
use alloc::sync::Arc;

use catena_protocol::limits::WAIT_MS_MAX;
use catena_protocol::op::{CounterOp, LogOp, ObjectOp, SessionOp};
use catena_protocol::{
    Fault, Frame, Header, Kind, ObjectId, Op, OpCode, Refusal, Reply, ShardId, Status, flags, named,
};

use self::directory::Directory;
pub use self::outbox::{Answered, ConnId, Outbox, Output};
use self::quotas::Used;
use self::room::{check_memory, growth};
pub(crate) use self::seq::SEQ_MAX;
pub use self::seq::Seq;
use self::sessions::{Admission, Opening, SessionKey, Sessions};
use self::snapshot::SnapshotWalk;
use self::table::{Seed, Table};
use self::waiters::{Waiter, Waiters};
use self::watchers::Watchers;
use crate::ahead::Step;
use crate::config::{BORN_AHEAD_MS_MAX, NAMED_BYTES, OBJECT_BYTES, OBJECTS_MAX, SESSION_BYTES};
use crate::objects::{
    AnyObject, Applied, ITEMS_BYTES, StoredReply, Turn, UpdatePlace, WaiterId, Workspace,
};
pub use crate::objects::{RestoreError, Types};
pub use crate::time::Time;

/// The time and the memory budget of a call.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Time,
    /// The memory that this shard may take, in bytes, given what the other shards of its core take.
    pub memory_bytes_max: u64,
}

/// A shard as the only replica of its chain: every update that it applies is committed.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    /// The epoch that requests may name, besides 0.
    incarnation: u32,
    /// The position before its first update.
    base: Seq,
    seq: Seq,
    /// The digest of all replies to updates, see [`Shard::outcomes`].
    outcomes: u64,
    /// The number of reads, for statistics.
    reads: u64,
    now: Time,
    objects: Table<ObjectId, ObjectEntry>,
    directory: Directory,
    sessions: Sessions,
    waiters: Waiters,
    watchers: Watchers,
    types: Arc<Types>,
    /// No wait, hold, object or session ends before this time.
    due: Option<Time>,
    /// Memory that the objects take, in bytes, including their table entries.
    object_bytes: u64,
    memory_bytes_max: u64,
    workspace: Workspace,
    /// The snapshot that is being written, if there is one.
    walk: Option<Box<SnapshotWalk>>,
    /// A snapshot has the items of a large object in parts of about so many bytes.
    part_bytes: usize,
}

/// An object in the table.
#[derive(Debug)]
struct ObjectEntry {
    object: AnyObject,
    /// The position of its last change in the shard's order.
    version: Seq,
}

const _: () = assert!(size_of::<ObjectEntry>() <= 24, "a million counters stay small");

impl Shard {
    /// Returns an empty shard. `hash_seed` prevents clients from choosing ids that collide in the
    /// tables; no reply depends on it. `types` are the registered user-defined types.
    pub fn new(id: ShardId, hash_seed: u64, types: Arc<Types>) -> Shard {
        Shard::empty(id, Seed::new(hash_seed), types)
    }

    fn empty(id: ShardId, seed: Seed, types: Arc<Types>) -> Shard {
        Shard {
            id,
            incarnation: 0,
            base: Seq::default(),
            seq: Seq::default(),
            outcomes: 0,
            reads: 0,
            now: Time::default(),
            objects: Table::new(seed),
            directory: Directory::new(seed),
            sessions: Sessions::new(seed),
            waiters: Waiters::default(),
            watchers: Watchers::default(),
            types,
            due: None,
            object_bytes: 0,
            memory_bytes_max: 0,
            workspace: Workspace::default(),
            walk: None,
            part_bytes: ITEMS_BYTES,
        }
    }

    /// Makes it a shard of a node without a cluster, which draws `incarnation` at its start.
    pub fn of_incarnation(self, incarnation: u32) -> Shard {
        Shard { incarnation, ..self }
    }

    /// Makes snapshots consist of parts of about so many bytes, so that a few items are many parts.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn with_parts_of(self, part_bytes: usize) -> Shard {
        Shard { part_bytes, ..self }
    }

    /// Makes an empty shard begin behind this position, so that its versions and fencing tokens are
    /// above those of a shard that was lost.
    pub fn starting_at(mut self, base: Seq) -> Shard {
        self.start_at(base);
        self
    }

    /// Does the same as [`Shard::starting_at`].
    pub(crate) fn start_at(&mut self, base: Seq) {
        assert_eq!(self.seq, self.base, "a shard that has had updates goes on");
        (self.base, self.seq) = (base, base);
    }

    /// Returns the number of updates that were applied.
    pub fn updates(&self) -> u64 {
        self.seq.0 - self.base.0
    }

    /// Returns the shard's id.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Returns the time of the latest call.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Returns the position of an object's last change; `None` if there is no such object.
    pub(crate) fn version(&self, object: ObjectId) -> Option<Seq> {
        self.objects.get(&object).map(|entry| entry.version)
    }

    /// Returns the position of the last update.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Returns a digest of all replies that updates have led to, in their order. Replicas that have
    /// applied the same updates have the same one, or one of them computes something else.
    pub(crate) fn outcomes(&self) -> u64 {
        mix(self.outcomes, self.seq.0)
    }

    /// Returns the memory that the shard takes, in bytes, near enough for a budget.
    #[inline]
    pub fn bytes(&self) -> u64 {
        let lists = self.waiters.bytes() + self.workspace.holds.bytes();
        self.object_bytes + self.sessions.bytes() + self.directory.bytes() + lists
    }

    /// Returns whether a session is open.
    pub fn has_session(&self, session: u64) -> bool {
        self.sessions.is_open(session)
    }

    /// Counts what the shard has.
    pub fn census(&self) -> Census {
        Census {
            objects: self.objects.len() as u64,
            sessions: self.sessions.open_count() as u64,
            waiters: self.waiters.len() as u64,
            bytes: self.bytes(),
        }
    }

    /// Prefetches the memory that a request is going to need; has no other effect. Returns whether
    /// the request needs the later steps.
    #[inline]
    pub(crate) fn prefetch(&mut self, step: Step, header: &Header) -> bool {
        // A counter has no memory outside the table.
        let goes_on = header.op.to_be_bytes()[0] == Kind::Cell.to_wire();
        if step == Step::Places {
            self.objects.prefetch(&header.object);
            if header.session != 0 {
                self.sessions.prefetch(header);
            }
        } else if goes_on && let Some(ObjectEntry { object, .. }) = self.objects.get(&header.object)
        {
            if step == Step::Behind { object.prefetch() } else { object.prefetch_contents() }
        }
        goes_on
    }

    /// Returns whether items of large objects were removed, and their memory is to be freed.
    pub(crate) fn has_discarded(&self) -> bool {
        !self.workspace.discarded.is_empty()
    }

    /// Frees some of that memory.
    pub(crate) fn free_discarded(&mut self) {
        self.workspace.discarded.free_some();
    }

    /// Serves a request that arrived on connection `conn`. Returns whether it took effect: exactly
    /// the requests that did are forwarded to replicas.
    pub fn on_request(
        &mut self,
        moment: Moment,
        conn: ConnId,
        frame: &Frame<'_>,
        out: &mut impl Outbox,
    ) -> bool {
        self.advance(moment.now);
        self.memory_bytes_max = moment.memory_bytes_max;
        if let Some(word) = self.count(frame) {
            self.outcomes = mix(self.outcomes, word);
            out.push(conn, &frame.header, Output::Word(word));
            return true;
        }
        let before = self.seq;
        if let Err(fault) = self.serve(conn, frame, out) {
            out.push(conn, &frame.header, Output::Refusal(&fault));
        }
        self.seq > before
    }

    /// Returns whether an update was applied before, and its reply is kept.
    pub(crate) fn is_repeated(&self, header: &Header) -> bool {
        self.sessions.is_answered(header)
    }

    /// Returns up to which number a request acknowledges replies, if they take the memory that it
    /// needs. They are to be dropped first, with [`Shard::acknowledge`]: a refusal would keep them.
    #[inline]
    pub(crate) fn acknowledged_in_need(&self, moment: Moment, frame: &Frame<'_>) -> Option<u64> {
        let growth = frame.bytes.len() as u64;
        let has_room = check_memory(growth, self.bytes(), moment.memory_bytes_max).is_ok();
        if has_room { None } else { self.sessions.acknowledged(&frame.header) }
    }

    /// Drops the replies of a session up to a number, which its client has. Returns whether the
    /// state has changed.
    pub(crate) fn acknowledge(&mut self, now: Time, session: u64, upto: u64) -> bool {
        self.advance(now);
        let changed = self.sessions.acknowledge(session, upto);
        self.seq.0 += u64::from(changed);
        changed
    }

    /// Serves a request in the quick way, see [`Shard::count`], and returns its reply. It takes no
    /// memory and adds no deadline, so budget and due times need no check.
    #[inline(always)]
    pub(crate) fn on_count(&mut self, now: Time, frame: &Frame<'_>) -> Option<u64> {
        self.advance(now);
        self.count(frame)
    }

    /// Serves the most common requests in few steps: updates of an existing counter by a number,
    /// with a number as reply, in a session without special cases. `None` if it is another case or
    /// the update is refused; then nothing has changed, and [`Shard::serve`] takes the request.
    #[inline(always)]
    fn count(&mut self, frame: &Frame<'_>) -> Option<u64> {
        let header = &frame.header;
        let is_common = header.op.to_be_bytes()[0] == Kind::Counter.to_wire()
            // On an object that exists, NAME_WANTED asks for nothing.
            && header.flags & !flags::NAME_WANTED == 0
            && self.is_in_epoch(header)
            && self.watchers.is_empty();
        if !is_common {
            return None;
        }
        let op = CounterOp::by_number(header.op, frame.body)?;
        let slot = self.sessions.reserve(header)?;
        if let Some(walk) = &mut self.walk {
            walk.before_change(&mut self.objects, &self.directory, header.object);
        }
        let entry = self.objects.get_mut(&header.object)?;
        let word = entry.object.count(&op)?;
        self.seq.0 += 1;
        entry.version = self.seq;
        slot.fill(word, self.now);
        Some(word)
    }

    #[inline(always)]
    fn is_in_epoch(&self, header: &Header) -> bool {
        header.epoch == 0 || header.epoch == self.incarnation
    }

    /// Returns the earliest time at which a wait, hold, object or session may end.
    fn earliest_due(&self) -> Option<Time> {
        let dues = [
            self.waiters.next_due(),
            self.workspace.holds.next_due(),
            self.directory.next_due(),
            self.directory.counting_since(),
            self.sessions.next_due(),
        ];
        dues.into_iter().flatten().min()
    }

    /// Returns when to call [`Shard::on_time`] next; it may then have nothing to do.
    pub fn next_due(&self) -> Option<Time> {
        self.due
    }

    /// Replies to all waiting requests that the node is shutting down. They stay in the state and
    /// keep waiting, but get no further reply from this node.
    pub fn on_shutdown(&mut self, out: &mut impl Outbox) {
        let answer = StoredReply::refusal(&Fault::new(Status::ShuttingDown).into());
        let now = self.now;
        self.waiters.take_conns(|conn, waiter| {
            let waited_us = waiter.waited_us(now);
            out.push_waited(conn, &waiter.header, Output::Stored(&answer), waited_us);
        });
    }

    /// Rolls the shard's clock back to `now`: nothing has taken effect since, so replicas cannot
    /// have seen the later time.
    pub(crate) fn turn_back(&mut self, now: Time) {
        self.now = self.now.min(now);
    }

    fn advance(&mut self, now: Time) {
        assert!(now >= self.now, "time does not go back: {now:?} after {:?}", self.now);
        self.now = now;
    }

    fn serve(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal> {
        let header = &frame.header;
        if header.flags & !flags::ALL != 0 {
            return Err(Fault::expected(Status::BadFlags, 0, header.flags.into()).into());
        }
        if !self.is_in_epoch(header) {
            let (ours, theirs) = (self.incarnation.into(), header.epoch.into());
            return Err(Fault::expected(Status::WrongEpoch, ours, theirs).into());
        }
        assert_eq!(header.shard, self.id, "the driver routes by shard");
        let code = OpCode::known(header.op)?;
        let (name, body) = if header.flags & flags::NAMED == 0 {
            (None, frame.body)
        } else {
            let (name, body) = named::split(frame.body)?;
            (Some(name), body)
        };
        // Matched by reference: moving an op costs more than decoding it.
        match &Op::decode_body(code, body) {
            Err(fault) => Err((*fault).into()),
            Ok(Op::Session(op)) => self.serve_session(conn, header, *op, out),
            Ok(op) if code.is_read() => self.read(conn, header, op, out),
            Ok(op) => self.update(conn, Request { header, name, body, op }, out),
        }
    }

    fn serve_session(
        &mut self,
        conn: ConnId,
        header: &Header,
        op: SessionOp,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal> {
        match op {
            SessionOp::Open { born_us, nonce, ttl_ms } => {
                let room = self.check_memory(SESSION_BYTES);
                // A node without a cluster has one clock.
                let ahead_ms = if self.incarnation == 0 { BORN_AHEAD_MS_MAX } else { 0 };
                let opening = Opening { now: self.now, ahead_ms, room };
                self.sessions.open(header.session, nonce, Time(born_us), ttl_ms, opening)?;
                self.expect_due(self.sessions.next_due());
                self.seq.0 += 1;
            }
            SessionOp::Close => self.close_session(header.session, out),
        }
        out.push(conn, header, Output::Reply(&Reply::Unit));
        Ok(())
    }

    fn read(
        &mut self,
        conn: ConnId,
        header: &Header,
        op: &Op<'_>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal> {
        self.reads += 1;
        let reply = match op {
            Op::Object(ObjectOp::Inspect) => self.inspect(header.object)?,
            Op::Scope(op) => self.read_scope(op, out)?,
            op => match self.objects.get(&header.object) {
                Some(ObjectEntry { object, version }) => {
                    object.check_kind(op)?;
                    let reply = object.read(op, version.0, &mut self.workspace.value)?;
                    out.push(conn, header, Output::Reply(&reply));
                    return Ok(());
                }
                None => {
                    let fresh = AnyObject::fresh(op, &self.types)?;
                    let reply = fresh.read(op, 0, &mut self.workspace.value)?;
                    out.push(conn, header, Output::Reply(&reply));
                    return Ok(());
                }
            },
        };
        out.push(conn, header, Output::Reply(&reply));
        Ok(())
    }

    fn update(
        &mut self,
        conn: ConnId,
        request: Request<'_>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal> {
        let header = request.header;
        let (other_bytes, budget) = (self.bytes() - self.sessions.bytes(), self.memory_bytes_max);
        let room = |session_bytes| check_memory(0, other_bytes + session_bytes, budget);
        let session = match self.sessions.admit(header, room)? {
            Admission::New(session) => session,
            Admission::Answered(answer) => {
                out.push(conn, header, Output::Stored(answer));
                return Ok(());
            }
            Admission::Parked(waiter) => {
                self.attach(waiter, conn, out);
                return Ok(());
            }
        };
        let applied = match *request.op {
            Op::Object(op) => self.manage(header, op, out)?,
            Op::Scope(op) => self.manage_scope(&op, out)?,
            _ => self.apply(&request)?,
        };
        // Only now, because a refusal must not change the session either.
        self.sessions.accept(session, header, self.now);
        match applied {
            Applied::Word(word) => {
                self.outcomes = mix(self.outcomes, word);
                out.push(conn, header, Output::Word(word));
                self.sessions.settle_word(session, header.number, word);
            }
            Applied::Parked => {
                let seen = match *request.op {
                    Op::Object(ObjectOp::WaitNewer { version }) => Some(version),
                    _ => None,
                };
                self.park(conn, header, session, seen);
            }
            Applied::Done(answer) => {
                self.outcomes = mix(self.outcomes, answer.fingerprint());
                out.push(conn, header, Output::Stored(&answer));
                self.sessions.settle(session, header.number, answer);
            }
        }
        if let Op::Log(LogOp::Print { line }) = *request.op {
            out.print(header.object, self.directory.name(header.object), line);
        }
        self.release(out);
        Ok(())
    }

    /// Checks and applies an update to its object, which is created if there is none.
    fn apply(&mut self, request: &Request<'_>) -> Result<Applied, Refusal> {
        let Request { header, name, body, op } = *request;
        let id = header.object;
        let growth = growth(op, body);
        if growth > 0 {
            self.check_memory(growth)?;
            self.check_quota(id, growth)?;
        }
        let version = self.seq.0 + 1;
        let place = UpdatePlace {
            object: id,
            session: header.session,
            now: self.now,
            version_before: 0,
            version,
        };
        let (waiter, used) = (self.waiters.next_id(), self.bytes());
        self.preserve(id);
        let Some(entry) = self.objects.get_mut(&id) else {
            return self.create(request, waiter, place);
        };
        let object = &mut entry.object;
        object.check_kind(op)?;
        let checked = object.check(op)?;
        if let Some(name) = name
            && self.directory.name(id).is_none()
        {
            let bytes = OBJECT_BYTES + object.bytes();
            check_name(id, name)?;
            check_memory(NAMED_BYTES + name.len() as u64, used, self.memory_bytes_max)?;
            let more = Used { objects: 1, bytes: bytes + growth };
            self.directory.quotas.check(name, more)?;
            self.directory.put_name(id, name, bytes);
        }
        let place = UpdatePlace { version_before: entry.version.0, ..place };
        let mut turn = Turn::new(waiter, place, &mut self.workspace);
        let has_heap = object.has_heap();
        let bytes_before = if has_heap { object.bytes() } else { 0 };
        let applied = object.apply(op, checked, &mut turn);
        self.seq.0 = version;
        let changed = turn.has_changed();
        if changed {
            entry.version = self.seq;
        }
        if has_heap {
            let bytes = object.bytes();
            self.resized(id, bytes_before, bytes);
        }
        self.release_watchers(id, changed);
        Ok(applied)
    }

    /// Keeps an object for the snapshot that is being written, before the object changes.
    #[inline]
    fn preserve(&mut self, id: ObjectId) {
        if let Some(walk) = &mut self.walk {
            walk.before_change(&mut self.objects, &self.directory, id);
        }
    }

    /// Creates an object by its first update.
    fn create(
        &mut self,
        request: &Request<'_>,
        waiter: WaiterId,
        place: UpdatePlace,
    ) -> Result<Applied, Refusal> {
        let Request { header, name, body, op } = *request;
        let mut object = AnyObject::fresh(op, &self.types)?;
        let checked = object.check(op)?;
        self.check_memory(OBJECT_BYTES + name.map_or(0, |name| NAMED_BYTES + name.len() as u64))?;
        if self.objects.len() >= OBJECTS_MAX {
            let (limit, got) = (OBJECTS_MAX as u64, OBJECTS_MAX as u64 + 1);
            return Err(Fault::expected(Status::TooManyObjects, limit, got).into());
        }
        match name {
            None if header.flags & flags::NAME_WANTED != 0 => {
                return Err(Fault::new(Status::NameNeeded).into());
            }
            None => {}
            Some(name) => {
                check_name(header.object, name)?;
                let more = Used { objects: 1, bytes: OBJECT_BYTES + body.len() as u64 };
                self.directory.quotas.check(name, more)?;
            }
        }
        if let Some(walk) = &mut self.walk {
            walk.before_creation(&self.objects, header.object);
        }
        let mut turn = Turn::new(waiter, place, &mut self.workspace);
        let applied = object.apply(op, checked, &mut turn);
        let changed = turn.has_changed();
        self.seq.0 = place.version;
        if !changed && !matches!(applied, Applied::Parked) {
            // An update that changes nothing does not create an object.
            return Ok(applied);
        }
        let bytes = OBJECT_BYTES + object.bytes();
        self.object_bytes += bytes;
        if let Some(name) = name {
            self.directory.put_name(header.object, name, bytes);
        }
        self.objects.insert(header.object, ObjectEntry { object, version: self.seq });
        self.expect_due(self.workspace.holds.next_due());
        self.release_watchers(header.object, true);
        Ok(applied)
    }

    /// Parks a request, whose object has kept [`Waiters::next_id`]; `seen` is the version that it has
    /// seen, if it watches its object.
    fn park(&mut self, conn: ConnId, header: &Header, session: SessionKey, seen: Option<u64>) {
        let deadline = self.now.plus_ms(header.deadline_ms.min(WAIT_MS_MAX));
        let waiter = Waiter::new(*header, deadline, seen, self.now);
        let waiter = self.waiters.insert(waiter, conn);
        self.sessions.park(session, header.number, waiter);
        self.expect_due(Some(deadline));
    }

    /// Makes sure that [`Shard::next_due`] is not later than `due`.
    fn expect_due(&mut self, due: Option<Time>) {
        self.due = [self.due, due].into_iter().flatten().min();
    }

    /// Replies to the requests that the last update released.
    fn release(&mut self, out: &mut impl Outbox) {
        if self.workspace.released.is_empty() {
            return;
        }
        let mut released = core::mem::take(&mut self.workspace.released);
        for (waiter, answer) in released.drain(..) {
            self.answer_waiter(waiter, answer, out);
        }
        self.workspace.released = released;
    }

    /// Ends a wait: sends the reply, if the request has a connection, and keeps it for retries.
    fn answer_waiter(&mut self, waiter: WaiterId, answer: StoredReply, out: &mut impl Outbox) {
        let waiter = self.waiters.remove(waiter);
        let header = &waiter.header;
        self.outcomes = mix(self.outcomes, header.number ^ answer.fingerprint());
        if let Some(conn) = waiter.conn() {
            out.push_waited(conn, header, Output::Stored(&answer), waiter.waited_us(self.now));
        }
        self.sessions.settle_parked(header.session, header.number, answer);
    }

    /// Accounts for the memory that an object takes more or less than before.
    fn resized(&mut self, id: ObjectId, bytes_before: u64, bytes: u64) {
        self.object_bytes = self.object_bytes + bytes - bytes_before;
        if !self.directory.quotas.is_empty() {
            self.directory.resized(id, bytes_before, bytes);
        }
        self.expect_due(self.workspace.holds.next_due());
    }

    /// Releases the requests that wait for an object to change, if it has.
    fn release_watchers(&mut self, id: ObjectId, changed: bool) {
        if changed && !self.watchers.is_empty() {
            self.watchers.changed(id, self.seq.0, &mut self.workspace.released);
        }
    }

    /// Checks the invariants that tie the tables together: cheap ones always, the rest in debug
    /// builds.
    fn check_invariants(&self) {
        assert!(self.workspace.released.is_empty(), "every released request has its reply");
        if cfg!(debug_assertions) {
            let objects = || self.objects.values().map(|entry| &entry.object);
            let waiting: usize = objects().map(|object| object.waiters().len()).sum();
            let waiting = waiting + self.watchers.len();
            assert_eq!(
                waiting,
                self.waiters.len(),
                "invariant 3: objects and shard know the same waiters"
            );
            assert_eq!(
                waiting,
                self.sessions.parked_count(),
                "invariant 2: sessions know the same waiters"
            );
            let held: usize = objects().map(|object| object.holds().len()).sum();
            assert_eq!(held, self.workspace.holds.len(), "objects and shard know the same holds");
            self.watchers.check_invariants();
            self.waiters.check_invariants();
            let due = self.earliest_due();
            let in_time = due.is_none_or(|due| self.due.is_some_and(|ours| ours <= due));
            assert!(in_time, "no end is missed: {due:?} is before {:?}", self.due);
            self.workspace.holds.check_invariants();
            let bytes: u64 = objects().map(|object| OBJECT_BYTES + object.bytes()).sum();
            assert_eq!(bytes, self.object_bytes, "invariant 5: memory is accounted for");
            self.directory.check_invariants(|id| self.size_of(id));
            self.sessions.check_invariants();
        }
    }
}

/// The parts of a request for an update.
#[derive(Clone, Copy)]
struct Request<'a> {
    header: &'a Header,
    /// The name of its object, if the request carries it.
    name: Option<&'a str>,
    body: &'a [u8],
    op: &'a Op<'a>,
}

/// Counts of what a shard has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Objects of all kinds.
    pub objects: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Waiting requests.
    pub waiters: u64,
    /// Memory that the shard takes, in bytes, near enough for a budget.
    pub bytes: u64,
}

/// Adds a word to a digest; the order of the words counts.
#[inline(always)]
fn mix(digest: u64, word: u64) -> u64 {
    // An odd constant with about as many ones as zeros: 2^64 divided by the golden ratio.
    (digest.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Refuses a name that does not hash to the object's id.
fn check_name(id: ObjectId, name: &str) -> Result<(), Fault> {
    if ObjectId::of(name) == id {
        return Ok(());
    }
    Err(Fault::new(Status::BadArgument))
}

#[cfg(test)]
mod tests;
