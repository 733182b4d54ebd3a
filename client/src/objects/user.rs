//! The handle to an object of a user-defined type.

use std::marker::PhantomData;
use std::sync::Mutex;

use catena_protocol::op::UserOp;
use catena_protocol::{Fault, Kind, Op, Reply, Status, UserType, user_type};

use super::{Object, common};
use crate::Error;
use crate::cancel::locked;
use crate::requester::Requester;
use crate::target::CallTarget;

/// An object of a user-defined type, with which the engine has to be built.
/// [`UserType`](crate::UserType) describes what client and engine agree on.
///
/// ```no_run
/// use catena_client::rkyv::{Archive, Serialize};
/// use catena_client::{Client, UserType};
///
/// /// Tickets, sold until none is left.
/// struct Tickets;
///
/// #[derive(Archive, Serialize)]
/// #[rkyv(crate = catena_client::rkyv)]
/// enum Ask {
///     Buy { count: u64 },
///     Sold,
/// }
///
/// impl UserType for Tickets {
///     const TYPE_ID: u32 = 1;
///     const NAME: &'static str = "tickets";
///     type Op = Ask;
///     type Reply = u64;
/// }
///
/// # fn main() -> Result<(), catena_client::Error> {
/// let client = Client::connect("127.0.0.1:7400")?;
/// let tickets = client.object::<Tickets>("concert");
/// match tickets.update(&Ask::Buy { count: 2 }) {
///     Ok(sold) => println!("{sold} sold"),
///     Err(error) if error.rejection() == Some(1) => println!("sold out"),
///     Err(error) => return Err(error),
/// }
/// println!("{} sold by now", tickets.read(&Ask::Sold)?);
/// # Ok(())
/// # }
/// ```
///
/// In a [`Pipeline`](crate::Pipeline) its ops are [`UserOp`](crate::UserOp)s, with arguments and
/// replies of [`user_type`](crate::user_type).
pub struct UserObject<T> {
    requester: Requester,
    target: CallTarget,
    /// The archive of the last op, kept for its memory.
    args: Mutex<Vec<u8>>,
    of: PhantomData<fn() -> T>,
}

impl<T: UserType> UserObject<T> {
    pub(crate) fn new(requester: &Requester, name: &str) -> UserObject<T> {
        let (target, args) = (CallTarget::new(Kind::User, name), Mutex::default());
        UserObject { requester: requester.clone(), target, args, of: PhantomData }
    }

    /// Reads from the object.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::rejection`] returns the code with which the object refused the op.
    pub fn read(&self, op: &T::Op) -> Result<T::Reply, Error> {
        self.ask(op, |args| UserOp::Read { type_id: T::TYPE_ID, args })
    }

    /// Changes the object, exactly once even if the request is retried.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::rejection`] returns the code with which the object refused the op.
    pub fn update(&self, op: &T::Op) -> Result<T::Reply, Error> {
        self.ask(op, |args| UserOp::Update { type_id: T::TYPE_ID, args })
    }

    fn ask(&self, op: &T::Op, with: fn(&[u8]) -> UserOp<'_>) -> Result<T::Reply, Error> {
        // Another thread that uses the same handle meanwhile gets memory of its own.
        let mut args = std::mem::take(&mut *locked(&self.args));
        args.clear();
        let replied = self.ask_with(op, with, &mut args);
        *locked(&self.args) = args;
        replied
    }

    fn ask_with(
        &self,
        op: &T::Op,
        with: fn(&[u8]) -> UserOp<'_>,
        args: &mut Vec<u8>,
    ) -> Result<T::Reply, Error> {
        let archived = user_type::encode_args::<T>(op, args);
        let op = Op::User(with(args));
        archived.map_err(|fault| self.target.refused(op, fault))?;
        let reply = self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::Value(Some(bytes)) => Some(user_type::decode_reply::<T>(bytes)),
            Reply::Value(None) => Some(Err(Fault::new(Status::TooLarge))),
            _ => None,
        })?;
        reply.map_err(|fault| match self.target.refused(op, fault) {
            // It was executed; only the reply cannot be read.
            Error::Refused { call, fault } => Error::Unreadable { call, fault },
            other => other,
        })
    }

    common!();
}

impl<T: UserType> Object for UserObject<T> {
    type Op<'o> = UserOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::User(op)
    }
}

impl<T> super::sealed::Object for UserObject<T> {
    fn target(&self) -> &CallTarget {
        &self.target
    }

    fn requester(&self) -> &Requester {
        &self.requester
    }

    fn with_requester(&self, requester: Requester) -> UserObject<T> {
        UserObject { requester, ..self.clone() }
    }
}

impl<T> Clone for UserObject<T> {
    fn clone(&self) -> Self {
        let (target, args) = (self.target.clone(), Mutex::default());
        UserObject { requester: self.requester.clone(), target, args, of: PhantomData }
    }
}

impl<T> std::fmt::Debug for UserObject<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserObject").field("target", &self.target).finish_non_exhaustive()
    }
}
