//! User-defined objects: the trait that their types implement, and the type-erased objects of a
//! shard.
//!
//! Ops are rkyv archives, which `check` validates once, and which are then read in place in the
//! frame. The reply of `apply` is archived into a buffer that all updates share.
//!
//! The shard cannot enforce the promises of a type; [`rehearse`](crate::rehearse) tests them.
//! Panics are contained where possible: a panic in a method that changes nothing is caught and
//! becomes a refusal, and a panic in `apply` stops the node, because half an update must not be
//! kept.

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

/// A user-defined type of shared objects.
///
/// An object is plain state in one shard. Its updates run there one after the other and take effect
/// exactly once, even if a client retries. Ops and replies are those of its [`UserType`], which
/// clients use too; `Default` is the object before its first update. An engine serves the types
/// that `Builder::register` was called with, and [`rehearse`](crate::rehearse) is the test that
/// each of them should have.
///
/// Methods get the archive of an op, borrowed from the received bytes and validated: malformed
/// bytes never reach them.
///
/// # Promises of a type
///
/// [`apply`](Object::apply) depends on nothing but the state, the op and the [`Context`]: no clock,
/// no randomness, no addresses, no maps with an unspecified order (`std`'s hash maps), no float
/// functions other than `+ - * / sqrt`, because their results differ between machines. All nodes
/// that apply the same updates in the same order must have the same object. All other methods
/// change nothing, not even behind a `Cell`.
///
/// # Panics
///
/// A panic in `default`, `check`, `read`, `reply_bytes_max` or `describe` is caught, and the client
/// gets [`Status::Panicked`] or a description that says so; nothing has changed. A panic in
/// `restore` counts as a refused snapshot. A panic in `apply`, `bytes` or `snapshot` may leave half
/// a change behind, so it is treated like a broken invariant of the engine: the core ends,
/// `Engine::wait` returns the reason and stops the others. So refuse in `check` everything that can
/// be refused.
///
/// # Example
///
/// ```
/// # extern crate catena_core as catena_engine;
/// use catena_engine::rkyv::{Archive, Archived, Deserialize, Serialize};
/// use catena_engine::{BadSnapshot, Context, Object, Rejection, UserType};
///
/// /// Tickets, a limited number of which are sold.
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
/// const MAX: u64 = 500;
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
///             ArchivedAsk::Buy { count } if count.to_native() > MAX - self.sold => Err(SOLD_OUT),
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
///         format!("{} of {MAX} sold", self.sold)
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
    /// Decides whether an op can be applied; changes nothing.
    ///
    /// # Errors
    ///
    /// A reason of the type, which the client gets with [`Status::Rejected`].
    fn check(&self, op: &Archived<Self::Op>) -> Result<(), Rejection> {
        let _ = op;
        Ok(())
    }

    /// Applies an op that `check` allowed, and returns its reply. Cannot fail.
    fn apply(&mut self, op: &Archived<Self::Op>, context: &mut Context) -> Self::Reply;

    /// Returns the reply to an op that a client sent as a read; changes nothing, and takes no
    /// position in the shard's order.
    ///
    /// # Errors
    ///
    /// A reason of the type; [`Rejection::UNSUPPORTED`] for an op that is not a read.
    fn read(&self, op: &Archived<Self::Op>) -> Result<Self::Reply, Rejection>;

    /// Returns the maximum size of the archive of the reply of `apply`, in bytes.
    ///
    /// A session keeps the reply for retries, so an update whose reply could have more than
    /// [`STORED_REPLY_BYTES_MAX`] is refused with [`Status::TooLarge`] before it is applied. Few
    /// types need this method: without it, replies are assumed to be short. If a reply is longer
    /// than a session keeps, the update has still taken effect, and the client gets the absence of
    /// a value, also for a retry.
    fn reply_bytes_max(&self, op: &Archived<Self::Op>) -> usize {
        let _ = op;
        0
    }

    /// Returns the heap that the object takes, in bytes, near enough for a budget.
    fn bytes(&self) -> u64;

    /// Appends the complete state, for a state transfer to another node. The same state gives the
    /// same bytes.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// Restores an object from its snapshot.
    ///
    /// # Errors
    ///
    /// [`BadSnapshot`] if the bytes are not a snapshot. They may be arbitrary: do not panic, and do
    /// not trust a length in them.
    fn restore(bytes: &[u8]) -> Result<Self, BadSnapshot>;

    /// Describes the state in a line, for people who inspect the object.
    fn describe(&self) -> String {
        String::new()
    }
}

/// The reason why a user-defined object refused an op, from a list of the type's own. The client
/// gets the number with [`Status::Rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection(pub u64);

impl Rejection {
    /// The op is not a read.
    pub const UNSUPPORTED: Rejection = Rejection(u64::MAX);
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Fault {
        Fault::expected(Status::Rejected, rejection.0, 0)
    }
}

/// Bytes that are not a snapshot of a type, with what the type expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a snapshot of the type: expected {0}")]
pub struct BadSnapshot(pub &'static str);

/// The context of an update of a user-defined object.
#[derive(Debug)]
pub struct Context {
    pub(crate) now_us: u64,
    pub(crate) version: u64,
    pub(crate) changed: bool,
}

impl Context {
    /// Returns the logical time of the update, in microseconds since the node started. It never
    /// goes back, and is the same on all nodes that apply the update.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Returns the object's version after the update: a number that is higher than that of every
    /// earlier update in the shard, and lower than that of every later one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Records that the update has not changed the object, so that its version stays, and requests
    /// that wait for a newer version are not released.
    pub fn unchanged(&mut self) {
        self.changed = false;
    }
}

/// The registered user-defined types.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// In the order of the ids.
    known: Vec<KnownType>,
}

/// Restores an object from its snapshot.
type Restore = fn(&[u8]) -> Result<Box<dyn Erased>, BadSnapshot>;

/// A registered type.
#[derive(Clone, Copy, Debug)]
struct KnownType {
    type_id: u32,
    name: &'static str,
    fresh: fn() -> Box<dyn Erased>,
    restore: Restore,
}

impl Types {
    /// Registers a type.
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

    /// Returns an id that two types share, and their names.
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
    /// The bytes that the object reported after its last change. Stored, so that the shard's count
    /// does not depend on the type reporting the same each time.
    bytes: u64,
    object: Box<dyn Erased>,
}

impl User {
    pub(super) fn fresh(op: &UserOp<'_>, types: &Types) -> Result<User, Fault> {
        let (UserOp::Read { type_id, .. } | UserOp::Update { type_id, .. }) = *op;
        let object = guard(types.find(type_id)?.fresh)?;
        Ok(User { type_id, bytes: 0, object })
    }

    pub(super) fn restored(
        snapshot: &UserSnapshot<'_>,
        types: &Types,
    ) -> Result<User, RestoreError> {
        let UserSnapshot { type_id, bytes, object: Blob(object) } = *snapshot;
        let known = types.find(type_id).map_err(|_| RestoreError::UnknownType(type_id))?;
        check(bytes <= BYTES_MAX, "a user-defined object is too large")?;
        let bad = |why| RestoreError::User { name: known.name, why };
        let object = guard(|| (known.restore)(object))
            .map_err(|_| bad(BadSnapshot("a snapshot at which `restore` does not panic")))?
            .map_err(bad)?;
        Ok(User { type_id, bytes, object })
    }

    /// Executes a read; the reply is archived in `out`.
    pub(super) fn read<'a>(
        &self,
        op: &UserOp<'_>,
        out: &'a mut Vec<u8>,
    ) -> Result<Reply<'a>, Refusal> {
        let UserOp::Read { type_id, args } = *op else { unreachable!("{op:?} is not a read") };
        self.check_type(type_id)?;
        clear(out);
        guard(|| self.object.read(args, out))??;
        Ok(Reply::Value(Some(out)))
    }

    /// Validates and checks an update. Returns the validated arguments for [`apply`](User::apply).
    pub(super) fn check<'o>(&self, op: &UserOp<'o>) -> Result<&'o dyn Any, Refusal> {
        let UserOp::Update { type_id, args } = *op else { unreachable!("{op:?} is not an update") };
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

/// A user-defined object in a snapshot.
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

/// Bytes that an object counts as at most: more than any object takes, and few enough for sums.
const BYTES_MAX: u64 = 1 << 40;

/// Maximum length of a description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 512;

/// Calls a method that changes nothing, and catches its panic.
fn guard<R>(call: impl FnOnce() -> R) -> Result<R, Fault> {
    // A change behind a `Cell` would stay; types promise not to make one.
    unwind::catch(AssertUnwindSafe(call)).map_err(|_payload| Fault::new(Status::Panicked))
}

/// Empties the buffer for a reply, and frees the memory of a very large one.
fn clear(reply: &mut Vec<u8>) {
    reply.clear();
    reply.shrink_to(STORED_REPLY_BYTES_MAX);
}

impl Turn<'_> {
    /// Stores the value in `workspace.value` as a reply, or the absence of a value if it is longer
    /// than a session keeps.
    fn store_value(&mut self) -> StoredReply {
        let value = &self.workspace.value;
        let value = check_stored(value.len()).is_ok().then_some(&**value);
        StoredReply::of(&Reply::Value(value), &mut self.workspace.scratch)
    }
}

/// An object of any user-defined type.
trait Erased: core::fmt::Debug + Send {
    fn name(&self) -> &'static str;

    /// Appends the archive of the reply.
    fn read(&self, args: &[u8], out: &mut Vec<u8>) -> Result<(), Fault>;

    fn check<'o>(&self, args: &'o [u8]) -> Result<&'o dyn Any, Fault>;

    /// Appends the archive of the reply. Returns the bytes that the object takes now.
    fn apply(&mut self, op: &dyn Any, context: &mut Context, out: &mut Vec<u8>) -> u64;

    fn describe(&self) -> String;

    fn snapshot(&self, out: &mut Vec<u8>);
}

/// An object of a known type.
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
