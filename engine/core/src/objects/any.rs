//! Objects of any kind: the table of kinds, and the calls that reach the object of the right kind.
//!
//! Calls are matches rather than virtual, so that the hot path is compiled into one piece. All
//! matches are exhaustive: a kind without its line in the table does not compile.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;

use catena_protocol::op::CounterOp;
use catena_protocol::{Fault, Kind, Missing, Op, Refusal, Reply, Status};

use super::kind::{Growth, ObjectKind, SharedObject};
use super::user::{User, UserSnapshot};
use super::walked_items::WalkedItems;
use super::{
    Applied, Description, Discarded, HoldId, LossCause, Reader, RestoreError, Turn, Types,
    WaiterId, Writer,
};

/// Makes of the table of built-in kinds: the enum, what is decided by an op or a kind, and the
/// macros `each!` and `with_op!`, which call an object whatever its kind. `$d` is `$` inside these
/// two. User-defined objects have a line of their own, because they are made and called with their
/// type.
macro_rules! built_in_kinds {
    ($d:tt $($Kind:ident($Storage:ident<$State:ty>),)*) => {
        /// An object of any kind. Small ones are inline, so that a million counters stay small.
        #[derive(Debug)]
        pub(crate) enum AnyObject {
            $($Kind($Storage<$State>),)*
            User(Box<User>),
        }

        impl AnyObject {
            pub(crate) fn kind(&self) -> Kind {
                match self {
                    $(AnyObject::$Kind(_) => Kind::$Kind,)*
                    AnyObject::User(_) => Kind::User,
                }
            }

            /// Returns the object as it is before its first update, of the kind that `op` is for;
            /// `UnknownType` if that is a user-defined type that is not registered here.
            pub(crate) fn fresh(op: &Op<'_>, types: &Types) -> Result<AnyObject, Fault> {
                Ok(match op {
                    $(Op::$Kind(_) => AnyObject::$Kind(Default::default()),)*
                    Op::User(op) => AnyObject::User(Box::new(User::fresh(op, types)?)),
                    Op::Session(_) | Op::Object(_) | Op::Scope(_) => not_of_a_kind(op),
                })
            }

            /// Returns what an op may add to its object's memory.
            pub(crate) fn growth(op: &Op<'_>) -> Growth {
                match op {
                    $(Op::$Kind(op) => <$State as ObjectKind>::growth(op),)*
                    Op::User(_) => Growth::Body,
                    Op::Session(_) | Op::Object(_) | Op::Scope(_) => not_of_a_kind(op),
                }
            }

            /// Restores an object from the snapshot of a shard that is at `seq`.
            pub(crate) fn restore(
                input: &mut Reader<'_>,
                seq: u64,
                types: &Types,
            ) -> Result<AnyObject, RestoreError> {
                let kind: u8 = input.take()?;
                match Kind::from_wire(kind) {
                    $(Some(Kind::$Kind) => {
                        let mut object: $Storage<$State> = input.take()?;
                        object.complete_restored(seq)?;
                        Ok(AnyObject::$Kind(object))
                    })*
                    Some(Kind::User) => {
                        let snapshot: UserSnapshot<'_> = input.take()?;
                        Ok(AnyObject::User(Box::new(User::restored(&snapshot, types)?)))
                    }
                    Some(Kind::Session | Kind::Object | Kind::Scope) | None => {
                        Err(RestoreError::UnknownKind(kind))
                    }
                }
            }
        }

        /// Evaluates an expression with the object, whatever its kind: `each!(any, |object| …)`.
        macro_rules! each {
            ($d any:expr, |$d object:ident| $d result:expr) => {
                match $d any {
                    $(AnyObject::$Kind($d object) => $d result,)*
                    AnyObject::User($d object) => $d result,
                }
            };
        }

        /// Evaluates an expression with the object and the op of its kind, or another one if it is
        /// user-defined: `with_op!(any, op, |object, op| …, |user, op| …)`.
        macro_rules! with_op {
            (
                $d any:expr, $d any_op:expr,
                |$d object:ident, $d op:ident| $d result:expr,
                |$d user:ident, $d user_op:ident| $d user_result:expr
            ) => {
                match $d any {
                    $(AnyObject::$Kind($d object) => match $d any_op {
                        Op::$Kind($d op) => $d result,
                        other => wrong_kind(Kind::$Kind, other),
                    },)*
                    AnyObject::User($d user) => match $d any_op {
                        Op::User($d user_op) => $d user_result,
                        other => wrong_kind(Kind::User, other),
                    },
                }
            };
        }
    };
}

built_in_kinds! { $
    Counter(Inline<super::counter::Counter>),
    Flag(Inline<super::flag::Flag>),
    Cell(Box<super::cell::Cell>),
    Vector(Box<super::vector::Vector>),
    Reduction(Box<super::reduction::Reduction>),
    Barrier(Box<super::barrier::Barrier>),
    Latch(Box<super::latch::Latch>),
    List(Box<super::list::List>),
    Map(Box<super::map::Map>),
    Set(Box<super::set::Set>),
    Semaphore(Box<super::semaphore::Semaphore>),
    Lock(Box<super::semaphore::Lock>),
    Future(Box<super::future::Future>),
    Log(Box<super::log::Log>),
}

/// A kind that is stored in the table of objects itself, as opposed to a `Box`.
type Inline<K> = K;

const _: () = assert!(size_of::<AnyObject>() <= 16, "a million counters stay small");

/// The proof that an update may be applied, with the arguments that a user-defined object's check
/// has validated.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'o>(Option<&'o dyn Any>);

impl AnyObject {
    /// Refuses an op for another kind of object.
    pub(crate) fn check_kind(&self, op: &Op<'_>) -> Result<(), Fault> {
        let (asked, ours) = (op.kind(), self.kind());
        if asked == ours {
            return Ok(());
        }
        let (expected, got) = (asked.to_wire().into(), ours.to_wire().into());
        Err(Fault::expected(Status::WrongKind, expected, got))
    }

    /// Executes a read of the object, whose version is `version`. A reply that cannot be borrowed
    /// from the object is put into `room`.
    pub(crate) fn read<'a>(
        &'a self,
        op: &Op<'_>,
        version: u64,
        room: &'a mut Vec<u8>,
    ) -> Result<Reply<'a>, Refusal> {
        with_op!(self, op, |object, op| object.read(op, version), |user, op| user.read(op, room))
    }

    /// Decides whether an update can be applied.
    pub(crate) fn check<'o>(&self, op: &Op<'o>) -> Result<Checked<'o>, Refusal> {
        with_op!(self, op, |object, op| object.check(op).map(|()| Checked(None)), |user, op| Ok(
            Checked(Some(user.check(op)?))
        ))
    }

    /// Applies an update that [`AnyObject::check`] allowed.
    pub(crate) fn apply(
        &mut self,
        op: &Op<'_>,
        Checked(args): Checked<'_>,
        turn: &mut Turn<'_>,
    ) -> Applied {
        with_op!(self, op, |object, op| object.apply(op, turn), |user, _op| {
            let args = args.expect("the check of a user-defined object returns its arguments");
            user.apply(args, turn)
        })
    }

    /// Checks and applies in one step the common case, an update of a counter whose reply is a
    /// number. `None` if it is another case or the update is refused; then nothing has changed.
    #[inline(always)]
    pub(crate) fn count(&mut self, op: &CounterOp) -> Option<u64> {
        let AnyObject::Counter(counter) = self else { return None };
        counter.count(op)
    }

    /// Removes a waiter whose deadline has passed, and returns which parties it was waiting for.
    /// May release other waiters.
    pub(crate) fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        each!(self, |object| object.cancel(waiter, turn))
    }

    /// Passes a waiter over from now on, or no longer does so; it keeps its place.
    pub(crate) fn set_attended(&mut self, waiter: WaiterId, attended: bool) {
        each!(self, |object| object.set_attended(waiter, attended));
    }

    /// Gives attended waiters what they can have now.
    pub(crate) fn serve(&mut self, turn: &mut Turn<'_>) {
        each!(self, |object| object.serve(turn));
    }

    /// Takes back what a session no longer holds; the shard has removed the hold.
    pub(crate) fn lose(&mut self, hold: HoldId, cause: LossCause, turn: &mut Turn<'_>) {
        each!(self, |object| object.lose(hold, cause, turn));
    }

    /// Returns the requests that wait for the object, in no particular order.
    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        each!(self, |object| object.waiters())
    }

    /// Returns everything that sessions hold of the object, including what waiting requests are
    /// going to hold.
    pub(crate) fn holds(&self) -> Vec<HoldId> {
        each!(self, |object| object.holds())
    }

    /// Describes the object for people who inspect it.
    pub(crate) fn describe(&self) -> Description {
        each!(self, |object| object.describe())
    }

    /// Begins to load into the cache what the object has on the heap.
    pub(crate) fn prefetch(&self) {
        each!(self, |object| object.prefetch());
    }

    /// Begins to load into the cache what [`AnyObject::prefetch`] points to.
    pub(crate) fn prefetch_contents(&self) {
        each!(self, |object| object.prefetch_contents());
    }

    /// Returns the heap that the object takes, in bytes, near enough for a budget.
    pub(crate) fn bytes(&self) -> u64 {
        each!(self, |object| object.bytes())
    }

    /// Returns whether the object takes any heap; if not, [`AnyObject::bytes`] is always 0.
    pub(crate) fn has_heap(&self) -> bool {
        each!(self, |object| object.has_heap())
    }

    /// Writes the kind and the state into a snapshot.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.put(&self.kind().to_wire());
        each!(self, |object| out.put(object));
    }

    /// Takes the object apart, so that however many items are freed a few at a time.
    pub(crate) fn discard(self, discarded: &mut Discarded) {
        match self {
            AnyObject::Map(map) => discarded.add(map.into_items()),
            AnyObject::Set(set) => discarded.add(set.into_items()),
            AnyObject::List(list) => discarded.add(list.into_items()),
            _ => {}
        }
    }

    /// Returns its items, if it is of a kind that may have very many.
    pub(crate) fn items(&self) -> Option<&dyn WalkedItems> {
        each!(self, |object| object.items())
    }

    /// Returns its items, to be walked over.
    pub(crate) fn items_mut(&mut self) -> Option<&mut dyn WalkedItems> {
        each!(self, |object| object.items_mut())
    }

    /// Writes the kind and the state as if there were no items.
    pub(crate) fn write_without_items(&self, out: &mut Writer) {
        out.put(&self.kind().to_wire());
        each!(self, |object| object.write_without_items(out));
    }

    /// Restores items that [`WalkedItems`] wrote.
    pub(crate) fn read_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        each!(self, |object| object.read_items(input))
    }
}

#[cold]
fn wrong_kind(kind: Kind, op: &Op<'_>) -> ! {
    unreachable!("{:?} reaches a {kind:?}: kinds are checked before", op.code())
}

#[cold]
fn not_of_a_kind(op: &Op<'_>) -> ! {
    unreachable!("{:?} is not for one kind of object", op.code())
}
