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
//! that the object keeps until a later op releases it, or the shard cancels it.

mod barrier;
mod cell;
mod counter;
mod flag;
mod latch;
mod numbers;
mod reduction;
mod vector;

use std::sync::Arc;

use catena_protocol::{Fault, Header, Kind, Missing, Op, Refusal, Reply, Status, frame};

use self::barrier::Barrier;
use self::cell::Cell;
use self::counter::Counter;
use self::flag::Flag;
use self::latch::Latch;
use self::reduction::Reduction;
use self::vector::Vector;

/// A parked request, as an object knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WaiterId(pub(crate) u32);

/// An answer that is kept: encoded, and cheap to hand to many.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Done, and the reply is one number. Kept apart from the others, as its moves are cheap.
    Word(u64),
    /// Short enough to lie here.
    Short {
        /// How it ended.
        status: Status,
        /// How much of `body` counts.
        len: u8,
        /// The encoded body.
        body: [u8; SHORT_BYTES],
    },
    /// Shares its bytes with whoever gets the same answer.
    Long {
        /// How it ended.
        status: Status,
        /// The encoded body.
        body: Arc<[u8]>,
    },
}

/// Two numbers.
const SHORT_BYTES: usize = 16;

const _: () = assert!(size_of::<Answer>() <= 24, "sessions keep many");

impl Answer {
    /// Keeps an encoded body.
    fn of(status: Status, encoded: &[u8]) -> Answer {
        let mut body = [0; SHORT_BYTES];
        match body.get_mut(..encoded.len()) {
            Some(room) => {
                room.copy_from_slice(encoded);
                let len = u8::try_from(encoded.len()).expect("it is short");
                Answer::Short { status, len, body }
            }
            None => Answer::Long { status, body: encoded.into() },
        }
    }

    /// Keeps a reply, encoding it in `scratch` if it is not just a number.
    pub(crate) fn reply(reply: &Reply<'_>, scratch: &mut Vec<u8>) -> Answer {
        match reply.word() {
            Some(word) => Answer::Word(word),
            None => {
                scratch.clear();
                reply.encode(scratch);
                Answer::of(Status::Ok, scratch)
            }
        }
    }

    pub(crate) fn refusal(refusal: &Refusal) -> Answer {
        let mut body = Vec::new();
        refusal.encode(&mut body);
        Answer::of(refusal.status(), &body)
    }

    /// Appends it as the reply to the request with header `to`.
    pub(crate) fn write(&self, to: &Header, out: &mut Vec<u8>) {
        match self {
            Answer::Word(word) => frame::write_word(out, to, *word),
            Answer::Short { status, len, body } => {
                frame::write_encoded(out, to, *status, &body[..usize::from(*len)]);
            }
            Answer::Long { status, body } => frame::write_encoded(out, to, *status, body),
        }
    }

    /// The heap it takes, in bytes. Those who share it each count it whole, which errs on the safe
    /// side of a budget.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Answer::Word(_) | Answer::Short { .. } => 0,
            Answer::Long { body, .. } => body.len() as u64,
        }
    }
}

/// What an update may know and do beside changing its object.
pub(crate) struct Turn<'t> {
    /// The request itself, should it have to wait.
    pub(crate) waiter: WaiterId,
    /// Where replies are encoded on their way to an [`Answer`].
    scratch: &'t mut Vec<u8>,
    /// Requests this update releases, with their answer.
    released: &'t mut Vec<(WaiterId, Answer)>,
}

/// How an update ended.
#[derive(Debug)]
pub(crate) enum Applied {
    /// With this number: an [`Answer::Word`] that is still in a register.
    Word(u64),
    /// With this answer.
    Done(Answer),
    /// The request waits; the object holds its [`WaiterId`].
    Parked,
}

impl<'t> Turn<'t> {
    pub(crate) fn new(
        waiter: WaiterId,
        scratch: &'t mut Vec<u8>,
        released: &'t mut Vec<(WaiterId, Answer)>,
    ) -> Turn<'t> {
        Turn { waiter, scratch, released }
    }

    /// Makes an answer of a reply.
    fn answer(&mut self, reply: &Reply<'_>) -> Answer {
        Answer::reply(reply, self.scratch)
    }

    /// Answers the request.
    fn done(&mut self, reply: &Reply<'_>) -> Applied {
        match reply.word() {
            Some(word) => Applied::Word(word),
            None => Applied::Done(self.answer(reply)),
        }
    }

    /// Answers requests that were waiting.
    fn release(&mut self, waiters: impl IntoIterator<Item = WaiterId>, answer: &Answer) {
        self.released.extend(waiters.into_iter().map(|waiter| (waiter, answer.clone())));
    }
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
}

const _: () = assert!(size_of::<Object>() <= 16, "a million counters stay small");

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
            (object, op) => {
                unreachable!("{:?} asked {:?}: kinds were checked", object.kind(), op.code())
            }
        }
    };
}

impl Object {
    /// The object that an op on a name nobody used finds.
    pub(crate) fn fresh(kind: Kind) -> Object {
        match kind {
            Kind::Counter => Object::Counter(Counter::default()),
            Kind::Flag => Object::Flag(Flag::default()),
            Kind::Cell => Object::Cell(Box::default()),
            Kind::Vector => Object::Vector(Box::default()),
            Kind::Reduction => Object::Reduction(Box::default()),
            Kind::Barrier => Object::Barrier(Box::default()),
            Kind::Latch => Object::Latch(Box::default()),
            Kind::Session | Kind::Object => unreachable!("{kind:?} is no kind of object"),
        }
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

    /// Answers a read.
    pub(crate) fn read(&self, op: &Op<'_>) -> Result<Reply<'_>, Refusal> {
        dispatch!(self, op, |object, op| object.read(op))
    }

    /// Decides whether an update can be applied.
    pub(crate) fn check(&self, op: &Op<'_>) -> Result<(), Refusal> {
        dispatch!(self, op, |object, op| object.check(op))
    }

    /// Applies an update that [`Object::check`] allowed.
    pub(crate) fn apply(&mut self, op: &Op<'_>, turn: &mut Turn<'_>) -> Applied {
        dispatch!(self, op, |object, op| object.apply(op, turn))
    }

    /// Check and apply in one for the common case, an update of a counter that is answered by a
    /// number. `None` says that this is another case, or the update is refused; nothing has changed.
    #[inline(always)]
    pub(crate) fn count(&mut self, op: &Op<'_>) -> Option<u64> {
        match (self, op) {
            (Object::Counter(counter), Op::Counter(op)) => counter.count(op),
            _ => None,
        }
    }

    /// Forgets a waiter whose time is up, and says who it was waiting for.
    pub(crate) fn cancel(&mut self, waiter: WaiterId) -> Missing {
        match self {
            Object::Reduction(reduction) => reduction.cancel(waiter),
            Object::Barrier(barrier) => barrier.cancel(waiter),
            Object::Latch(latch) => latch.cancel(waiter),
            _ => unreachable!("nobody waits on a {:?}", self.kind()),
        }
    }

    /// Whoever waits, in no particular order.
    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        match self {
            Object::Reduction(reduction) => reduction.waiters(),
            Object::Barrier(barrier) => barrier.waiters(),
            Object::Latch(latch) => latch.waiters(),
            Object::Counter(_) | Object::Flag(_) | Object::Cell(_) | Object::Vector(_) => {
                Vec::new()
            }
        }
    }

    /// Begins to bring into the cache what the object has on the heap.
    pub(crate) fn prefetch(&self) {
        if let Object::Cell(cell) = self {
            cell.prefetch();
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
