//! The shared objects: one file per kind, all of the same shape.
//!
//! An object is plain state with three entry points, called by the shard and by nobody else:
//!
//! - `read` answers without changing anything;
//! - `check` decides whether an update can be applied, and changes nothing;
//! - `apply` applies an update that `check` allowed. It cannot fail, and it depends on nothing but
//!   the state, the op and what [`Turn`] says, so every node that applies the same ops in the same
//!   order holds the same state (I6).
//!
//! Objects never see sessions, connections or clocks. A request that has to wait is a [`WaiterId`]
//! that the object keeps until a later op releases it, or the shard cancels it. What a session holds
//! of an object is a [`HoldId`] that the object keeps until it takes it back, or the shard says that
//! it is lost.

mod answer;
mod barrier;
mod byte_string;
mod cell;
mod counter;
mod flag;
mod future;
pub(crate) mod holds;
mod latch;
mod list;
mod log;
mod map;
mod numbers;
mod queue;
mod reduction;
mod restore_error;
mod round;
mod seats;
mod semaphore;
mod set;
mod state;
mod turn;
pub mod user;
mod vector;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;

use catena_protocol::op::{CounterOp, Loss};
use catena_protocol::{Fault, ItemsBuf, Kind, Missing, Op, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

pub use self::answer::Answer;
use self::barrier::Barrier;
use self::cell::Cell;
use self::counter::Counter;
use self::flag::Flag;
use self::future::Future;
use self::latch::Latch;
use self::list::List;
use self::log::Log;
use self::map::Map;
use self::reduction::Reduction;
pub use self::restore_error::RestoreError;
use self::semaphore::{Lock, Semaphore};
use self::set::Set;
pub(crate) use self::state::{Reader, Writer, check};
pub(crate) use self::turn::{Applied, Desk, Place, Turn};
pub use self::user::Types;
use self::user::User;
use self::vector::Vector;
use crate::prefetch::prefetch;

/// A parked request, as an object knows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct WaiterId(pub(crate) u64);

/// Something that a session holds, as an object knows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct HoldId(pub(crate) u64);

/// Why a session no longer holds something that the object did not take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its time is up: whoever held it cannot be running any more.
    Late,
    /// Its session was closed or forgotten.
    Left,
}

/// What people want to know of an object.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// Its state in a line.
    pub(crate) detail: String,
    /// Who has not come yet.
    pub(crate) missing: Vec<String>,
    /// Who holds something of it; at most [`HOLDERS_NAMED_MAX`].
    pub(crate) held: Vec<Held>,
}

/// Holders that are listed.
const HOLDERS_NAMED_MAX: usize = 64;

/// One thing that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) hold: HoldId,
    /// The fencing token it was given out with; 0 if there is none.
    pub(crate) token: u64,
    pub(crate) permits: u32,
    /// In whose name, where names count.
    pub(crate) party: String,
}

/// An object of any kind. Small ones are inline, so that a million counters stay small.
#[derive(Debug)]
pub(crate) enum Object {
    Counter(Counter),
    Flag(Flag),
    Cell(Box<Cell>),
    Vector(Box<Vector>),
    Reduction(Box<Reduction>),
    Barrier(Box<Barrier>),
    Latch(Box<Latch>),
    List(Box<List>),
    Map(Box<Map>),
    Set(Box<Set>),
    Semaphore(Box<Semaphore>),
    Lock(Box<Lock>),
    Future(Box<Future>),
    Log(Box<Log>),
    User(Box<User>),
}

const _: () = assert!(size_of::<Object>() <= 16, "a million counters stay small");

/// The proof that an update may be applied, with what a user-defined object's check found in its
/// arguments.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'o>(Option<&'o dyn Any>);

/// Hands an op to the object of its kind: `dispatch!(object, op, |object, op| …)`.
macro_rules! dispatch {
    ($object:expr, $op:expr, |$o:ident, $p:ident| $body:expr) => {
        match ($object, $op) {
            (Object::Counter($o), Op::Counter($p)) => $body,
            (Object::Flag($o), Op::Flag($p)) => $body,
            (Object::Cell($o), Op::Cell($p)) => $body,
            (Object::Vector($o), Op::Vector($p)) => $body,
            (Object::Reduction($o), Op::Reduction($p)) => $body,
            (Object::Barrier($o), Op::Barrier($p)) => $body,
            (Object::Latch($o), Op::Latch($p)) => $body,
            (Object::List($o), Op::List($p)) => $body,
            (Object::Map($o), Op::Map($p)) => $body,
            (Object::Set($o), Op::Set($p)) => $body,
            (Object::Semaphore($o), Op::Semaphore($p)) => $body,
            (Object::Lock($o), Op::Lock($p)) => $body,
            (Object::Future($o), Op::Future($p)) => $body,
            (Object::Log($o), Op::Log($p)) => $body,
            (object, op) => {
                unreachable!("{:?} asked {:?}: kinds were checked", object.kind(), op.code())
            }
        }
    };
}

/// Whatever kind it is: `each!(object, |object| …)`.
macro_rules! each {
    ($object:expr, |$o:ident| $body:expr) => {
        match $object {
            Object::Counter($o) => $body,
            Object::Flag($o) => $body,
            Object::Cell($o) => $body,
            Object::Vector($o) => $body,
            Object::Reduction($o) => $body,
            Object::Barrier($o) => $body,
            Object::Latch($o) => $body,
            Object::List($o) => $body,
            Object::Map($o) => $body,
            Object::Set($o) => $body,
            Object::Semaphore($o) => $body,
            Object::Lock($o) => $body,
            Object::Future($o) => $body,
            Object::Log($o) => $body,
            Object::User($o) => $body,
        }
    };
}

impl Object {
    /// The object that an op on a name nobody used finds; `UnknownType` if no such object can be
    /// made here.
    pub(crate) fn fresh(op: &Op<'_>, types: &Types) -> Result<Object, Fault> {
        Ok(match op.kind() {
            Kind::Counter => Object::Counter(Counter::default()),
            Kind::Flag => Object::Flag(Flag::default()),
            Kind::Cell => Object::Cell(Box::default()),
            Kind::Vector => Object::Vector(Box::default()),
            Kind::Reduction => Object::Reduction(Box::default()),
            Kind::Barrier => Object::Barrier(Box::default()),
            Kind::Latch => Object::Latch(Box::default()),
            Kind::List => Object::List(Box::default()),
            Kind::Map => Object::Map(Box::default()),
            Kind::Set => Object::Set(Box::default()),
            Kind::Semaphore => Object::Semaphore(Box::default()),
            Kind::Lock => Object::Lock(Box::default()),
            Kind::Future => Object::Future(Box::default()),
            Kind::Log => Object::Log(Box::default()),
            Kind::User => Object::User(Box::new(User::fresh(op, types)?)),
            kind @ (Kind::Session | Kind::Object | Kind::Scope) => {
                unreachable!("{kind:?} is no kind of object")
            }
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Object::Counter(_) => Kind::Counter,
            Object::Flag(_) => Kind::Flag,
            Object::Cell(_) => Kind::Cell,
            Object::Vector(_) => Kind::Vector,
            Object::Reduction(_) => Kind::Reduction,
            Object::Barrier(_) => Kind::Barrier,
            Object::Latch(_) => Kind::Latch,
            Object::List(_) => Kind::List,
            Object::Map(_) => Kind::Map,
            Object::Set(_) => Kind::Set,
            Object::Semaphore(_) => Kind::Semaphore,
            Object::Lock(_) => Kind::Lock,
            Object::Future(_) => Kind::Future,
            Object::Log(_) => Kind::Log,
            Object::User(_) => Kind::User,
        }
    }

    /// Refuses an op for another kind of object.
    pub(crate) fn check_kind(&self, op: &Op<'_>) -> Result<(), Fault> {
        let (asked, ours) = (op.kind(), self.kind());
        if asked == ours {
            return Ok(());
        }
        let (expected, got) = (asked.to_wire().into(), ours.to_wire().into());
        Err(Fault::expected(Status::WrongKind, expected, got))
    }

    /// Answers a read of the object, whose version is `version`. What is not there to be borrowed is
    /// put into `room`.
    pub(crate) fn read<'a>(
        &'a self,
        op: &Op<'_>,
        version: u64,
        room: &'a mut Vec<u8>,
    ) -> Result<Reply<'a>, Refusal> {
        match (self, op) {
            (Object::Cell(cell), Op::Cell(op)) => cell.read(op, version),
            (Object::Vector(vector), Op::Vector(op)) => vector.read(op, version),
            (Object::Counter(counter), Op::Counter(op)) => counter.read(op),
            (Object::Flag(flag), Op::Flag(op)) => flag.read(op),
            (Object::Reduction(reduction), Op::Reduction(op)) => reduction.read(op),
            (Object::Barrier(barrier), Op::Barrier(op)) => barrier.read(op),
            (Object::Latch(latch), Op::Latch(op)) => latch.read(op),
            (Object::List(list), Op::List(op)) => list.read(op),
            (Object::Map(map), Op::Map(op)) => map.read(op),
            (Object::Set(set), Op::Set(op)) => set.read(op),
            (Object::Semaphore(semaphore), Op::Semaphore(op)) => semaphore.read(op),
            (Object::Lock(lock), Op::Lock(op)) => lock.read(op),
            (Object::Future(future), Op::Future(op)) => future.read(op),
            (Object::Log(log), Op::Log(op)) => log.read(op),
            (Object::User(user), Op::User(op)) => user.read(op, room),
            (object, op) => {
                unreachable!("{:?} asked {:?}: kinds were checked", object.kind(), op.code())
            }
        }
    }

    /// Decides whether an update can be applied.
    pub(crate) fn check<'o>(&self, op: &Op<'o>) -> Result<Checked<'o>, Refusal> {
        if let (Object::User(user), Op::User(op)) = (self, op) {
            return Ok(Checked(Some(user.check(op)?)));
        }
        dispatch!(self, op, |object, op| object.check(op))?;
        Ok(Checked(None))
    }

    /// Applies an update that [`Object::check`] allowed.
    pub(crate) fn apply(
        &mut self,
        op: &Op<'_>,
        checked: Checked<'_>,
        turn: &mut Turn<'_>,
    ) -> Applied {
        if let (Object::User(user), Checked(Some(op))) = (&mut *self, checked) {
            return user.apply(op, turn);
        }
        dispatch!(self, op, |object, op| object.apply(op, turn))
    }

    /// Check and apply in one for the common case, an update of a counter that is answered by a
    /// number. `None` says that this is another case, or the update is refused; nothing has changed.
    #[inline(always)]
    pub(crate) fn count(&mut self, op: &CounterOp) -> Option<u64> {
        match self {
            Object::Counter(counter) => counter.count(op),
            _ => None,
        }
    }

    /// Forgets a waiter whose time is up, and says who it was waiting for. Others may no longer have
    /// to wait then.
    pub(crate) fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        match self {
            Object::Barrier(barrier) => barrier.cancel(waiter, turn),
            Object::List(list) => list.cancel(waiter, turn),
            Object::Semaphore(semaphore) => semaphore.cancel(waiter, turn),
            Object::Lock(lock) => lock.cancel(waiter, turn),
            // That one waits less changes nothing of these.
            Object::Reduction(reduction) => {
                turn.unchanged();
                reduction.cancel(waiter)
            }
            Object::Latch(latch) => {
                turn.unchanged();
                latch.cancel(waiter)
            }
            Object::Future(future) => {
                turn.unchanged();
                future.cancel(waiter)
            }
            _ => unreachable!("nobody waits on a {:?}", self.kind()),
        }
    }

    /// Takes back what a session does not hold any more; the shard has forgotten the hold.
    pub(crate) fn lose(&mut self, hold: HoldId, why: Lost, turn: &mut Turn<'_>) {
        match self {
            Object::Reduction(reduction) => reduction.lose(hold, why, turn),
            Object::Barrier(barrier) => barrier.lose(hold, why, turn),
            Object::List(list) => list.lose(hold, why, turn),
            Object::Semaphore(semaphore) => semaphore.lose(hold, why, turn),
            Object::Lock(lock) => lock.lose(hold, why, turn),
            _ => unreachable!("nobody holds a {:?}", self.kind()),
        }
    }

    /// Whoever waits, in no particular order.
    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        match self {
            Object::Reduction(reduction) => reduction.waiters(),
            Object::Barrier(barrier) => barrier.waiters(),
            Object::Latch(latch) => latch.waiters(),
            Object::List(list) => list.waiters(),
            Object::Semaphore(semaphore) => semaphore.waiters(),
            Object::Lock(lock) => lock.waiters(),
            Object::Future(future) => future.waiters(),
            _ => Vec::new(),
        }
    }

    /// All that is held of it, what waiting requests are going to hold included.
    pub(crate) fn holds(&self) -> Vec<HoldId> {
        match self {
            Object::Reduction(reduction) => reduction.holds(),
            Object::Barrier(barrier) => barrier.holds(),
            Object::List(list) => list.holds(),
            Object::Semaphore(semaphore) => semaphore.holds(),
            Object::Lock(lock) => lock.holds(),
            _ => Vec::new(),
        }
    }

    /// What people want to know of it.
    pub(crate) fn describe(&self) -> Description {
        each!(self, |object| object.describe())
    }

    /// Begins to bring into the cache what the object has on the heap.
    pub(crate) fn prefetch(&self) {
        if let Object::Cell(cell) = self {
            prefetch(&**cell, 1);
        }
    }

    /// The same for what is found only by [`Object::prefetch`]'s.
    pub(crate) fn prefetch_contents(&self) {
        if let Object::Cell(cell) = self {
            cell.prefetch_contents();
        }
    }

    /// The heap the object takes, in bytes, near enough for a budget.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Object::Counter(_) | Object::Flag(_) => 0,
            Object::Cell(cell) => cell.bytes(),
            Object::Vector(vector) => vector.bytes(),
            Object::Reduction(reduction) => reduction.bytes(),
            Object::Barrier(barrier) => barrier.bytes(),
            Object::Latch(latch) => latch.bytes(),
            Object::List(list) => list.bytes(),
            Object::Map(map) => map.bytes(),
            Object::Set(set) => set.bytes(),
            Object::Semaphore(semaphore) => semaphore.bytes(),
            Object::Lock(lock) => lock.bytes(),
            Object::Future(future) => future.bytes(),
            Object::Log(log) => log.bytes(),
            Object::User(user) => user.bytes(),
        }
    }
}

/// Refuses a party count that means nothing, or a name that is empty or too long.
fn check_seat(party: Option<&str>, parties: u32) -> Result<(), Fault> {
    use catena_protocol::limits::{PARTIES_MAX, PARTY_BYTES_MAX};
    if parties == 0 || parties > PARTIES_MAX {
        let (limit, got) = (PARTIES_MAX.into(), parties.into());
        return Err(Fault::expected(Status::BadArgument, limit, got));
    }
    match party.map(str::len) {
        Some(len) if len == 0 || len > PARTY_BYTES_MAX => {
            let (limit, got) = (PARTY_BYTES_MAX as u64, len as u64);
            Err(Fault::expected(Status::BadArgument, limit, got))
        }
        _ => Ok(()),
    }
}

/// Refuses another policy about lost parties than the one agreed.
fn check_loss(ours: Option<Loss>, theirs: Loss) -> Result<(), Fault> {
    match ours {
        Some(ours) if ours != theirs => {
            let (expected, got) = (ours.to_wire().into(), theirs.to_wire().into());
            Err(Fault::expected(Status::Mismatch, expected, got))
        }
        _ => Ok(()),
    }
}

/// Refuses a reason that is too long.
fn check_reason(reason: &str) -> Result<(), Fault> {
    use catena_protocol::limits::REASON_BYTES_MAX;
    if reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::expected(Status::BadArgument, REASON_BYTES_MAX as u64, reason.len() as u64))
}

/// What a waiter costs in an ordered set, near enough.
const WAITER_BYTES: usize = 8;

/// Refuses one more waiter than an object may have.
fn check_waiters(waiting: usize) -> Result<(), Fault> {
    use crate::config::WAITERS_MAX;
    if waiting < WAITERS_MAX {
        return Ok(());
    }
    Err(Fault::expected(Status::TooManyWaiters, WAITERS_MAX as u64, waiting as u64 + 1))
}

/// Refuses a value that is larger than it may be.
fn check_len(len: usize, limit: usize) -> Result<(), Fault> {
    if len <= limit {
        return Ok(());
    }
    Err(Fault::expected(Status::TooLarge, limit as u64, len as u64))
}

/// Refuses a value that is too large to be the reply to an update, which its session has to keep.
fn check_stored(len: usize) -> Result<(), Fault> {
    check_len(len, crate::config::STORED_REPLY_BYTES_MAX)
}

/// A count in 32 bits: whatever is counted is bounded far below.
fn count(len: usize) -> u32 {
    u32::try_from(len).expect("it is bounded")
}

/// Whether a page that has something is better sent than made longer by so many bytes.
fn page_is_full(page: &ItemsBuf, more: usize) -> bool {
    !page.is_empty() && page.bytes_len() + more > crate::config::PAGE_BYTES_MAX
}
