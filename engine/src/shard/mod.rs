//! A shard: a slice of the object space as a pure state machine.
//!
//! The driver hands it validated frames and the time; it answers through an [`Outbox`]. It has no
//! socket, clock, thread or randomness of its own, so the same events give the same state and the
//! same answers, whoever drives it: the io layer, a test, a simulator, a fuzzer.
//!
//! 1. An update takes effect at exactly one place in the shard's order ([`Shard::seq`]), after its
//!    object said that it can be applied; from then on it cannot fail.
//! 2. An update is applied once per `(session, number)`. Its answer is kept until the client has
//!    acknowledged it, and a repeated request gets that answer, or takes the place of the request
//!    that still waits.
//! 3. Every waiting request is answered exactly once: released by another update, cancelled when its
//!    time is up, or told that the object or the session is gone.
//! 4. A refusal changes nothing.
//! 5. Nothing grows beyond the limits in [`config`](crate::config).

#[doc(hidden)]
pub mod fuzz;
mod outbox;
mod session;
mod table;
mod waiters;

use catena_protocol::limits::WAIT_MS_MAX;
use catena_protocol::op::{ObjectOp, OpCode, SessionOp};
use catena_protocol::{
    Fault, Frame, Header, Kind, Missing, ObjectId, Op, Refusal, Reply, ShardId, Status,
};

pub use self::outbox::{ConnId, Outbox, Output};
use self::session::{Admission, SessionKey, Sessions};
use self::table::{Entry, Seed, Table};
use self::waiters::{Waiter, Waiters};
use crate::config::{OBJECT_BYTES, OBJECTS_MAX, SESSION_BYTES};
use crate::objects::{Answer, Applied, Object, Turn, WaiterId};

/// A point in the shard's logical time, in microseconds; it never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// The point `ms` milliseconds later.
    pub fn plus_ms(self, ms: u32) -> Time {
        Time(self.0.saturating_add(u64::from(ms) * 1_000))
    }
}

/// What the driver knows at the moment it calls.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Time,
    /// The memory this shard may take, in bytes, given what the other shards of its core take.
    pub memory_bytes_max: u64,
}

/// Where an update stands in the shard's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// A shard as sole member of its chain: what it has applied is committed.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    seq: Seq,
    now: Time,
    objects: Table<ObjectId, Object>,
    sessions: Sessions,
    waiters: Waiters,
    /// No wait and no session ends before this.
    due: Option<Time>,
    /// Heap that the objects take, in bytes, table entries included.
    object_bytes: u64,
    memory_bytes_max: u64,
    /// Reused from update to update: room to encode, and who was released.
    scratch: Vec<u8>,
    released: Vec<(WaiterId, Answer)>,
}

impl Shard {
    /// An empty shard. `hash_seed` keeps clients from choosing ids that collide in the tables; it has
    /// no influence on any answer.
    pub fn new(id: ShardId, hash_seed: u64) -> Shard {
        let seed = Seed::new(hash_seed);
        Shard {
            id,
            seq: Seq::default(),
            now: Time::default(),
            objects: Table::new(seed),
            sessions: Sessions::new(seed),
            waiters: Waiters::default(),
            due: None,
            object_bytes: 0,
            memory_bytes_max: 0,
            scratch: Vec::new(),
            released: Vec::new(),
        }
    }

    /// How many updates were applied.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Memory the shard takes, in bytes, near enough for a budget.
    pub fn bytes(&self) -> u64 {
        self.object_bytes + self.sessions.bytes()
    }

    /// What the shard holds.
    pub fn census(&self) -> Census {
        Census {
            objects: self.objects.len() as u64,
            sessions: self.sessions.open_count() as u64,
            waiters: self.waiters.len() as u64,
            bytes: self.bytes(),
        }
    }

    /// Begins to bring into the cache what a request is going to need. Nothing depends on it.
    #[inline]
    pub fn prefetch(&mut self, header: &Header) {
        self.objects.prefetch(&header.object);
        if header.session != 0 {
            self.sessions.prefetch(header);
        }
    }

    /// The same for what can be found only by what [`Shard::prefetch`] asked for; call it a little
    /// later.
    #[inline]
    pub fn prefetch_rest(&mut self, header: &Header) {
        if header.session != 0 {
            self.sessions.prefetch_slot(header);
        }
        // A counter has nothing outside the table.
        if header.op.to_be_bytes()[0] == Kind::Cell.to_wire()
            && let Some(object) = self.objects.get(&header.object)
        {
            object.prefetch();
        }
    }

    /// Takes a request that came on connection `conn`.
    pub fn on_request(
        &mut self,
        moment: Moment,
        conn: ConnId,
        frame: &Frame<'_>,
        out: &mut impl Outbox,
    ) {
        self.advance(moment.now);
        self.memory_bytes_max = moment.memory_bytes_max;
        if let Err(fault) = self.serve(conn, frame, out) {
            out.push(conn, &frame.header, Output::Refusal(&fault));
        }
    }

    /// Lets time pass: ends the waits and sessions whose time is up.
    pub fn on_time(&mut self, now: Time, out: &mut impl Outbox) {
        self.advance(now);
        while let Some(waiter) = self.waiters.first_due(self.now) {
            self.expire_waiter(waiter, out);
        }
        while let Some(session) = self.sessions.first_due(self.now) {
            self.close_session(session, out);
        }
        let dues = [self.waiters.next_due(), self.sessions.next_due()];
        self.due = dues.into_iter().flatten().min();
        self.check_invariants();
    }

    /// When to call [`Shard::on_time`] next; that it then finds nothing to do is possible.
    pub fn next_due(&self) -> Option<Time> {
        self.due
    }

    /// Tells whoever waits that the node is going away. They are still waited for, but nobody hears
    /// of it any more.
    pub fn on_shutdown(&mut self, out: &mut impl Outbox) {
        let answer = Answer::refusal(&Fault::new(Status::ShuttingDown).into());
        self.waiters.detach(|conn, header| out.push(conn, header, Output::Kept(&answer)));
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
        if header.flags != 0 {
            return Err(Fault::expected(Status::BadFlags, 0, header.flags.into()).into());
        }
        if header.epoch != 0 {
            return Err(Fault::expected(Status::WrongEpoch, 0, header.epoch.into()).into());
        }
        assert_eq!(header.shard, self.id, "the driver routes by shard");
        let code = OpCode::known(header.op)?;
        // Matched where it lies: moving an op costs more than decoding it.
        match &Op::decode_body(code, frame.body) {
            Err(fault) => Err((*fault).into()),
            Ok(Op::Session(op)) => self.serve_session(conn, header, *op, out),
            Ok(op) if code.is_read() => self.read(conn, header, op, out),
            Ok(op) => self.update(conn, frame, op, out),
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
                self.sessions.open(header.session, nonce, Time(born_us), ttl_ms, self.now, room)?;
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
        match self.objects.get(&header.object) {
            Some(object) => {
                object.check_kind(op)?;
                out.push(conn, header, Output::Reply(&object.read(op)?));
            }
            None => {
                let fresh = Object::fresh(op.kind());
                out.push(conn, header, Output::Reply(&fresh.read(op)?));
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        op: &Op<'_>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal> {
        let header = &frame.header;
        let (object_bytes, budget) = (self.object_bytes, self.memory_bytes_max);
        let room = |session_bytes| check_memory(0, object_bytes + session_bytes, budget);
        let session = match self.sessions.admit(header, self.now, room)? {
            Admission::New(session) => session,
            Admission::Answered(answer) => {
                out.push(conn, header, Output::Kept(answer));
                return Ok(());
            }
            Admission::Parked(waiter) => {
                self.waiters.attach(waiter, conn);
                return Ok(());
            }
        };
        let applied = match op {
            Op::Object(ObjectOp::Delete) => Ok(self.delete(header, out)),
            op => self.apply(frame, op),
        };
        match applied {
            Err(refusal) => return Err(refusal),
            Ok(Applied::Word(word)) => {
                out.push(conn, header, Output::Word(word));
                self.sessions.settle_word(session, header.number, word);
            }
            Ok(Applied::Parked) => self.park(conn, header, session),
            Ok(Applied::Done(answer)) => {
                out.push(conn, header, Output::Kept(&answer));
                self.sessions.settle(session, header.number, answer);
            }
        }
        self.release(out);
        Ok(())
    }

    /// Checks and applies an update to its object, making the object if there is none.
    fn apply(&mut self, frame: &Frame<'_>, op: &Op<'_>) -> Result<Applied, Refusal> {
        // Counters and flags change in place, and an op without a body brings nothing to keep.
        if !frame.body.is_empty() && !matches!(op, Op::Counter(_) | Op::Flag(_)) {
            self.check_memory(frame.body.len() as u64)?;
        }
        let waiter = self.waiters.next_id();
        let mut turn = Turn::new(waiter, &mut self.scratch, &mut self.released);
        let objects = self.objects.len();
        match self.objects.entry(frame.header.object) {
            Entry::Occupied(mut entry) => {
                let object = entry.get_mut();
                if let Some(word) = object.count(op) {
                    self.seq.0 += 1;
                    return Ok(Applied::Word(word));
                }
                object.check_kind(op)?;
                object.check(op)?;
                self.seq.0 += 1;
                let bytes_before = object.bytes();
                let applied = object.apply(op, &mut turn);
                self.object_bytes = self.object_bytes + object.bytes() - bytes_before;
                Ok(applied)
            }
            Entry::Vacant(entry) => {
                let mut object = Object::fresh(op.kind());
                object.check(op)?;
                let used = self.object_bytes + self.sessions.bytes();
                check_memory(OBJECT_BYTES, used, self.memory_bytes_max)?;
                if objects >= OBJECTS_MAX {
                    let (limit, got) = (OBJECTS_MAX as u64, OBJECTS_MAX as u64 + 1);
                    return Err(Fault::expected(Status::TooManyObjects, limit, got).into());
                }
                self.seq.0 += 1;
                let applied = object.apply(op, &mut turn);
                self.object_bytes += OBJECT_BYTES + object.bytes();
                entry.insert(object);
                Ok(applied)
            }
        }
    }

    /// Parks a request whose object holds on to [`Waiters::next_id`].
    fn park(&mut self, conn: ConnId, header: &Header, session: SessionKey) {
        let deadline = self.now.plus_ms(header.deadline_ms.min(WAIT_MS_MAX));
        let waiter = self.waiters.insert(Waiter { header: *header, conn: Some(conn), deadline });
        self.sessions.park(session, header.number, waiter);
        self.expect_due(Some(deadline));
    }

    /// Notes that something ends at `due`.
    fn expect_due(&mut self, due: Option<Time>) {
        self.due = [self.due, due].into_iter().flatten().min();
    }

    /// Answers the requests that the last update released.
    fn release(&mut self, out: &mut impl Outbox) {
        if self.released.is_empty() {
            return;
        }
        let mut released = std::mem::take(&mut self.released);
        for (waiter, answer) in released.drain(..) {
            self.answer_waiter(waiter, answer, out);
        }
        self.released = released;
    }

    /// Ends a wait: keeps the answer for a retry, and sends it if there is somebody to send it to.
    fn answer_waiter(&mut self, waiter: WaiterId, answer: Answer, out: &mut impl Outbox) {
        let Waiter { header, conn, .. } = self.waiters.remove(waiter);
        if let Some(conn) = conn {
            out.push(conn, &header, Output::Kept(&answer));
        }
        self.sessions.settle_parked(header.session, header.number, answer);
    }

    fn expire_waiter(&mut self, waiter: WaiterId, out: &mut impl Outbox) {
        let missing = self.cancel(waiter);
        self.seq.0 += 1;
        self.answer_waiter(waiter, Answer::refusal(&Refusal::Timeout(missing)), out);
    }

    /// Lets the object of a waiter forget it.
    fn cancel(&mut self, waiter: WaiterId) -> Missing {
        let object = self.waiters.object(waiter);
        let object = self.objects.get_mut(&object).expect("a waiter has its object");
        let bytes_before = object.bytes();
        let missing = object.cancel(waiter);
        self.object_bytes = self.object_bytes + object.bytes() - bytes_before;
        missing
    }

    /// Deletes an object, and tells whoever waits on it.
    fn delete(&mut self, header: &Header, out: &mut impl Outbox) -> Applied {
        let deleted = self.objects.remove(&header.object);
        self.seq.0 += 1;
        if let Some(object) = &deleted {
            self.object_bytes -= OBJECT_BYTES + object.bytes();
            let answer = Answer::refusal(&Fault::new(Status::Deleted).into());
            for waiter in object.waiters() {
                self.answer_waiter(waiter, answer.clone(), out);
            }
        }
        Applied::Done(Answer::reply(&Reply::Bool(deleted.is_some()), &mut self.scratch))
    }

    /// Takes back what a session was waiting for, and closes it.
    fn close_session(&mut self, session: u64, out: &mut impl Outbox) {
        for waiter in self.sessions.parked(session) {
            self.cancel(waiter);
            let answer = Answer::refusal(&Fault::new(Status::SessionUnknown).into());
            self.answer_waiter(waiter, answer, out);
        }
        self.sessions.close(session, self.now);
        self.expect_due(self.sessions.next_due());
        self.seq.0 += 1;
    }

    fn check_memory(&self, growth: u64) -> Result<(), Fault> {
        check_memory(growth, self.bytes(), self.memory_bytes_max)
    }

    /// The invariants that tie the tables together; cheap ones always, the rest while debugging.
    fn check_invariants(&self) {
        assert!(self.released.is_empty(), "whoever was released was answered");
        if cfg!(debug_assertions) {
            let waiting: usize = self.objects.values().map(|object| object.waiters().len()).sum();
            assert_eq!(waiting, self.waiters.len(), "I3: objects and shard know the same waiters");
            assert_eq!(waiting, self.sessions.parked_count(), "I2: and so do the sessions");
            let bytes: u64 =
                self.objects.values().map(|object| OBJECT_BYTES + object.bytes()).sum();
            assert_eq!(bytes, self.object_bytes, "I5: memory is accounted for");
            self.sessions.check_invariants();
        }
    }
}

/// What a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Objects of any kind.
    pub objects: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Requests that wait.
    pub waiters: u64,
    /// Memory they take, in bytes, near enough for a budget.
    pub bytes: u64,
}

/// Refuses growth beyond 85 % of the budget: the rest is for deletes, retries and waits under way.
fn check_memory(growth: u64, used: u64, budget: u64) -> Result<(), Fault> {
    if used.saturating_add(growth) <= budget / 100 * 85 {
        return Ok(());
    }
    Err(Fault::expected(Status::OutOfMemory, budget, growth))
}

#[cfg(test)]
mod tests;
