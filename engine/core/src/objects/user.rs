//! Objects that users define: what a type has to say of itself, and how the shard holds objects of
//! types it was not built with.
//!
//! The type is erased behind a pointer. Its ops travel as rkyv archives, are validated once, by
//! `check`, and read where they lie in the frame; what `apply` answers is archived into the room that
//! the turns share.
//!
//! What a type must not do, the shard cannot prevent: [`rehearse`](crate::rehearse) tries it. What it
//! does by mistake is contained where that is possible: a panic in anything that changes nothing is
//! caught and answered, and a panic in `apply` stops the node rather than keep half an update.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::panic::AssertUnwindSafe;

use catena_protocol::op::UserOp;
use catena_protocol::rkyv::{Archive, Archived};
use catena_protocol::{Fault, Refusal, Reply, Status, UserType, user_type};
use serde::{Deserialize, Serialize, Serializer};

use super::RestoreError;
use super::kind::SharedObject;
use super::state::{Blob, check};
use super::{Applied, Description, StoredReply, Turn, check_stored};
use crate::config::STORED_REPLY_BYTES_MAX;
use crate::unwind;

/// A type of shared objects, of your own.
///
/// An object is plain state in one shard; its ops run there one after the other, each at one place in
/// the shard's order, once however often a client has to ask. The ops and replies are those of its
/// [`UserType`], which clients have as well; `Default` is the object nobody has changed yet. An
/// engine serves the types that `Builder::register` was called with, and
/// [`rehearse`](crate::rehearse) is the test that each of them should have.
///
/// A method gets the archive of an op, lent out where it was received and validated before:
/// malformed bytes never get here.
///
/// # What a type promises
///
/// [`apply`](Object::apply) depends on nothing but the state, the op and the [`Context`]: no clock,
/// no chance, no addresses, no maps whose order is another one each time (`std`'s hash maps), no
/// float functions beyond `+ - * / sqrt`, whose results differ between machines. Whoever applies the
/// same ops in the same order holds the same object. All other methods change nothing, not even
/// behind a `Cell`.
///
/// # Panics
///
/// A panic in `default`, `check`, `read`, `reply_bytes_max` or `describe` is caught and answered
/// ([`Status::Panicked`], or in the description); nothing was changed. One in `restore` is taken as a
/// snapshot that is none. A panic in `apply`, `bytes` or `snapshot` may leave half a change behind, so it
/// is what a broken invariant of the engine is: the core ends, `Engine::wait` says why and stops the
/// others. Decide in `check` whatever can be refused.
///
/// # Example
///
/// ```
/// # extern crate catena_core as catena_engine;
/// use catena_engine::rkyv::{Archive, Archived, Deserialize, Serialize};
/// use catena_engine::{BadSnapshot, Context, Object, Rejection, UserType};
///
/// /// Tickets that are sold while there are any.
/// #[derive(Default)]
/// struct Tickets {
///     sold: u64,
/// }
///
/// #[derive(Archive, Serialize)]
/// #[rkyv(crate = catena_engine::rkyv)]
/// enum Ask {
///     Buy { count: u64 },
///     Sold,
/// }
///
/// const SEATS: u64 = 500;
/// const SOLD_OUT: Rejection = Rejection(1);
///
/// impl UserType for Tickets {
///     const TYPE_ID: u32 = 1;
///     const NAME: &'static str = "tickets";
///     type Op = Ask;
///     type Reply = u64;
/// }
///
/// impl Object for Tickets {
///     fn check(&self, op: &Archived<Ask>) -> Result<(), Rejection> {
///         match op {
///             ArchivedAsk::Buy { count } if count.to_native() > SEATS - self.sold => Err(SOLD_OUT),
///             _ => Ok(()),
///         }
///     }
///
///     fn apply(&mut self, op: &Archived<Ask>, context: &mut Context) -> u64 {
///         match op {
///             ArchivedAsk::Buy { count } => self.sold += count.to_native(),
///             ArchivedAsk::Sold => context.unchanged(),
///         }
///         self.sold
///     }
///
///     fn read(&self, op: &Archived<Ask>) -> Result<u64, Rejection> {
///         match op {
///             ArchivedAsk::Sold => Ok(self.sold),
///             ArchivedAsk::Buy { .. } => Err(Rejection::UNSUPPORTED),
///         }
///     }
///
///     fn bytes(&self) -> u64 {
///         0
///     }
///
///     fn snapshot(&self, out: &mut Vec<u8>) {
///         out.extend_from_slice(&self.sold.to_le_bytes());
///     }
///
///     fn restore(bytes: &[u8]) -> Result<Tickets, BadSnapshot> {
///         let sold = bytes.try_into().map_err(|_| BadSnapshot("one number"))?;
///         Ok(Tickets { sold: u64::from_le_bytes(sold) })
///     }
///
///     fn describe(&self) -> String {
///         format!("{} of {SEATS} sold", self.sold)
///     }
/// }
///
/// let ops = [Ask::Buy { count: 499 }, Ask::Sold, Ask::Buy { count: 2 }];
/// let replies = catena_engine::rehearse::<Tickets>(&ops);
/// assert_eq!(replies, [Ok(499), Ok(499), Err(SOLD_OUT)]);
/// ```
///
/// A node serves the type once it is registered: `Engine::builder().register::<Tickets>().start()`.
pub trait Object: UserType<Op: Archive<Archived: 'static>> + Default + Send + 'static {
    /// Decides whether `apply` may have the op; changes nothing.
    ///
    /// # Errors
    ///
    /// The type's own reason, which the client gets with [`Status::Rejected`].
    fn check(&self, op: &Archived<Self::Op>) -> Result<(), Rejection> {
        let _ = op;
        Ok(())
    }

    /// Applies an op that `check` allowed, and answers it. Cannot fail.
    fn apply(&mut self, op: &Archived<Self::Op>, context: &mut Context) -> Self::Reply;

    /// Answers an op that was asked as a read; changes nothing, and takes no place in the shard's
    /// order.
    ///
    /// # Errors
    ///
    /// The type's own reason; [`Rejection::UNSUPPORTED`] for an op that is no read.
    fn read(&self, op: &Archived<Self::Op>) -> Result<Self::Reply, Rejection>;

    /// How many bytes the archive of what `apply` is going to answer takes at most.
    ///
    /// A session keeps the answer for a retry, so an update that could answer more than
    /// [`STORED_REPLY_BYTES_MAX`] is refused with [`Status::TooLarge`] before it is applied. Few
    /// types need this: without it, replies are taken to be short. If one turns out to be longer
    /// than what is kept, the update has happened all the same, and is answered, once and again,
    /// with the absence of a value.
    fn reply_bytes_max(&self, op: &Archived<Self::Op>) -> usize {
        let _ = op;
        0
    }

    /// The heap that the object takes, in bytes, near enough for a budget.
    fn bytes(&self) -> u64;

    /// Appends all that there is to know of the object: for a node that has to hold it too. The same
    /// state gives the same bytes.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// Makes the object of which these bytes are the snapshot.
    ///
    /// # Errors
    ///
    /// [`BadSnapshot`] if they are not. They may be anything; do not panic, and do not trust a
    /// length in them.
    fn restore(bytes: &[u8]) -> Result<Self, BadSnapshot>;

    /// The object's state in a line, for people who inspect it.
    fn describe(&self) -> String {
        String::new()
    }
}

/// Why a user-defined object refused an op, by the type's own list of reasons: the client gets the
/// number with [`Status::Rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection(pub u64);

impl Rejection {
    /// The op cannot be asked this way: it is no read.
    pub const UNSUPPORTED: Rejection = Rejection(u64::MAX);
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Fault {
        Fault::expected(Status::Rejected, rejection.0, 0)
    }
}

/// Bytes that are no snapshot of a type; says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no snapshot: expected {0}")]
pub struct BadSnapshot(pub &'static str);

/// What [`Object::apply`] may know beside state and op, and say beside its answer.
#[derive(Debug)]
pub struct Context {
    pub(crate) now_us: u64,
    pub(crate) version: u64,
    pub(crate) changed: bool,
}

impl Context {
    /// The logical time of the update, in microseconds since the node started. It never goes back,
    /// and is the same for whoever applies the update.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// The object's version once this is done: a number that no earlier update of any object in the
    /// shard had, and that all later ones exceed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Says that the object is as it was: it keeps its version, and who waits for a newer one goes on
    /// waiting.
    pub fn unchanged(&mut self) {
        self.changed = false;
    }
}

/// The types of objects that users defined, by id.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// In the order of the ids.
    known: Vec<KnownType>,
}

/// Makes an object of its snapshot.
type Restore = fn(&[u8]) -> Result<Box<dyn Erased>, BadSnapshot>;

/// What the engine needs of a type to begin with.
#[derive(Clone, Copy, Debug)]
struct KnownType {
    type_id: u32,
    name: &'static str,
    fresh: fn() -> Box<dyn Erased>,
    restore: Restore,
}

impl Types {
    /// Adds a type.
    pub fn register<T: Object>(&mut self) {
        let known = KnownType {
            type_id: T::TYPE_ID,
            name: T::NAME,
            fresh: || Box::new(Typed(T::default())),
            restore: |bytes| Ok(Box::new(Typed(T::restore(bytes)?))),
        };
        let at = self.known.partition_point(|other| other.type_id <= T::TYPE_ID);
        self.known.insert(at, known);
    }

    /// An id that two types have, and their names.
    pub fn clash(&self) -> Option<(u32, [&'static str; 2])> {
        let clash = self.known.windows(2).find(|pair| pair[0].type_id == pair[1].type_id)?;
        Some((clash[0].type_id, [clash[0].name, clash[1].name]))
    }

    fn find(&self, type_id: u32) -> Result<&KnownType, Fault> {
        match self.known.binary_search_by_key(&type_id, |known| known.type_id) {
            Ok(at) => Ok(&self.known[at]),
            Err(_) => Err(Fault::expected(Status::UnknownType, 0, type_id.into())),
        }
    }
}

/// A user-defined object.
#[derive(Debug)]
pub(crate) struct User {
    type_id: u32,
    /// What the object said it takes after its last change. Kept, so that what the shard counts does
    /// not depend on the type's answering the same each time.
    bytes: u64,
    object: Box<dyn Erased>,
}

impl User {
    pub(super) fn fresh(op: &UserOp<'_>, types: &Types) -> Result<User, Fault> {
        let (UserOp::Read { type_id, .. } | UserOp::Update { type_id, .. }) = *op;
        let object = guard(types.find(type_id)?.fresh)?;
        Ok(User { type_id, bytes: 0, object })
    }

    /// Makes the object that a snapshot says.
    pub(super) fn restored(kept: &UserSnapshot<'_>, types: &Types) -> Result<User, RestoreError> {
        let UserSnapshot { type_id, bytes, object: Blob(object) } = *kept;
        let known = types.find(type_id).map_err(|_| RestoreError::UnknownType(type_id))?;
        check(bytes <= BYTES_MAX, "a user-defined object is too large")?;
        let bad = |why| RestoreError::User { name: known.name, why };
        let object = guard(|| (known.restore)(object))
            .map_err(|_| bad(BadSnapshot("a restore that does not panic")))?
            .map_err(bad)?;
        Ok(User { type_id, bytes, object })
    }

    /// Answers a read, in `out`.
    pub(super) fn read<'a>(
        &self,
        op: &UserOp<'_>,
        out: &'a mut Vec<u8>,
    ) -> Result<Reply<'a>, Refusal> {
        let UserOp::Read { type_id, args } = *op else { unreachable!("{op:?} is no read") };
        self.check_type(type_id)?;
        clear(out);
        guard(|| self.object.read(args, out))??;
        Ok(Reply::Value(Some(out)))
    }

    /// Validates an update and lets the object check it. The op comes back as the object's
    /// [`apply`](User::apply) takes it.
    pub(super) fn check<'o>(&self, op: &UserOp<'o>) -> Result<&'o dyn Any, Refusal> {
        let UserOp::Update { type_id, args } = *op else { unreachable!("{op:?} is no update") };
        self.check_type(type_id)?;
        Ok(guard(|| self.object.check(args))??)
    }

    pub(super) fn apply(&mut self, op: &dyn Any, turn: &mut Turn<'_>) -> Applied {
        let mut context = Context { now_us: turn.now.0, version: turn.version, changed: true };
        let reply = &mut turn.workspace.value;
        clear(reply);
        let apply = || self.object.apply(op, &mut context, reply);
        let bytes = unwind::catch(AssertUnwindSafe(apply)).unwrap_or_else(|payload| {
            let (name, said) = (self.object.name(), unwind::panic_text(&*payload));
            panic!("the user-defined type `{name}` panicked in the middle of an update: {said}")
        });
        self.bytes = bytes.min(BYTES_MAX);
        if !context.changed {
            turn.unchanged();
        }
        Applied::Done(turn.store_value())
    }

    fn check_type(&self, type_id: u32) -> Result<(), Fault> {
        if type_id == self.type_id {
            return Ok(());
        }
        Err(Fault::expected(Status::Mismatch, self.type_id.into(), type_id.into()))
    }
}

impl SharedObject for User {
    fn describe(&self) -> Description {
        let name = self.object.name();
        let text = guard(|| self.object.describe());
        let line = match &text {
            Ok(text) => text.lines().next().unwrap_or_default(),
            Err(_) => "its description panicked",
        };
        let line = &line[..line.floor_char_boundary(DESCRIPTION_BYTES_MAX)];
        let detail = if line.is_empty() { name.to_owned() } else { format!("{name}: {line}") };
        Description { detail, ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        size_of::<User>() as u64 + self.bytes
    }
}

/// What a snapshot says of a user-defined object.
#[derive(Serialize, Deserialize)]
pub(super) struct UserSnapshot<'a> {
    type_id: u32,
    bytes: u64,
    #[serde(borrow)]
    object: Blob<'a>,
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Vec::new();
        self.object.snapshot(&mut object);
        let User { type_id, bytes, .. } = *self;
        UserSnapshot { type_id, bytes, object: Blob(&object) }.serialize(serializer)
    }
}

/// More than any object takes, and little enough for sums of it.
const BYTES_MAX: u64 = 1 << 40;

/// Longest line about an object, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 512;

/// Calls what changes nothing, even if it panics.
fn guard<R>(ask: impl FnOnce() -> R) -> Result<R, Fault> {
    // What was changed behind a `Cell` stays changed; types promise not to.
    unwind::catch(AssertUnwindSafe(ask)).map_err(|_payload| Fault::new(Status::Panicked))
}

/// Makes room for a reply, without keeping the memory of a very large one.
fn clear(reply: &mut Vec<u8>) {
    reply.clear();
    reply.shrink_to(STORED_REPLY_BYTES_MAX);
}

impl Turn<'_> {
    /// Makes an answer of the value in `workspace.value`, or of its absence if it is larger than what a
    /// session keeps.
    fn store_value(&mut self) -> StoredReply {
        let value = &self.workspace.value;
        let value = check_stored(value.len()).is_ok().then_some(&**value);
        StoredReply::of(&Reply::Value(value), &mut self.workspace.scratch)
    }
}

/// An object of any type.
trait Erased: core::fmt::Debug + Send {
    fn name(&self) -> &'static str;

    /// Appends the archive of the answer.
    fn read(&self, args: &[u8], out: &mut Vec<u8>) -> Result<(), Fault>;

    fn check<'o>(&self, args: &'o [u8]) -> Result<&'o dyn Any, Fault>;

    /// Appends the archive of the answer; answers the heap that the object takes now.
    fn apply(&mut self, op: &dyn Any, context: &mut Context, out: &mut Vec<u8>) -> u64;

    fn describe(&self) -> String;

    /// Appends all that there is to know of it.
    fn snapshot(&self, out: &mut Vec<u8>);
}

/// An object of a type that is known here.
struct Typed<T>(T);

impl<T: Object> Erased for Typed<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn read(&self, args: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let op = user_type::access_args::<T>(args)?;
        user_type::encode_reply::<T>(&self.0.read(op)?, out)
    }

    fn check<'o>(&self, args: &'o [u8]) -> Result<&'o dyn Any, Fault> {
        let op = user_type::access_args::<T>(args)?;
        self.0.check(op)?;
        check_stored(self.0.reply_bytes_max(op))?;
        Ok(op)
    }

    fn apply(&mut self, op: &dyn Any, context: &mut Context, out: &mut Vec<u8>) -> u64 {
        let op = op.downcast_ref().expect("the op that was checked is of the object's type");
        let reply = self.0.apply(op, context);
        user_type::encode_reply::<T>(&reply, out).expect("a reply can be archived");
        size_of::<T>() as u64 + self.0.bytes()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        self.0.snapshot(out);
    }
}

impl<T: Object> core::fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut snapshot = Vec::new();
        self.0.snapshot(&mut snapshot);
        f.debug_tuple(T::NAME).field(&snapshot).finish()
    }
}
