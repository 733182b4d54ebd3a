//! Handles to shared objects, one file a kind.
//!
//! A handle borrows the client and remembers the object's id, which is the hash of its name; making
//! one costs no round trip. An object exists from the first time something is written to it.

mod barrier;
mod cell;
mod counter;
mod flag;
mod latch;
mod reduction;
mod vector;

use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::{Kind, ObjectId, Op, Reply};

pub use self::barrier::{Barrier, Party};
pub use self::cell::{Appended, Cell};
pub use self::counter::Counter;
pub use self::flag::Flag;
pub use self::latch::Latch;
pub use self::reduction::Reduction;
pub use self::vector::{Element, Vector};
use crate::config::{NAME_BYTES_MAX, TIMEOUT_MAX};
use crate::error::Error;
use crate::request::{Failure, Request};

/// A handle of any kind, as [`Pipeline::push`](crate::Pipeline::push) takes it.
pub trait Object: sealed::Object {
    /// What can be asked of it.
    type Op<'o>;

    /// The op with its kind.
    fn op<'o>(op: Self::Op<'o>) -> Op<'o>;
}

/// How a compare-and-swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swapped<T> {
    /// Whether what was expected was there, and is exchanged.
    pub swapped: bool,
    /// What is there now: the value, or for a cell its version.
    pub now: T,
}

/// The object of a handle.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
    id: ObjectId,
}

impl Target {
    fn new(kind: Kind, name: &str) -> Target {
        Target { kind, name: name.into(), id: ObjectId::of(name) }
    }

    /// A request to ask `op` of the object, which may wait for `wait` inside the engine. With a
    /// name that no object can have, it has failed already.
    pub(crate) fn request<'o>(&self, op: Op<'o>, wait: Option<Duration>) -> Request<'o> {
        let wait_until = wait.map(|wait| Instant::now() + wait.min(TIMEOUT_MAX));
        let mut request = Request::new(self.id, op, wait_until);
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) {
            request.outcome = Some(Err(Failure::BadName));
        }
        request
    }

    /// The error of a request to the object.
    pub(crate) fn error(&self, request: &Request<'_>, failure: Failure) -> Error {
        Error::of(self.kind, &self.name, request, failure)
    }
}

/// What only this crate may implement and call.
pub(crate) mod sealed {
    pub trait Object {
        fn target(&self) -> &super::Target;
    }
}

/// Declares a handle: the struct, and what all handles have.
macro_rules! handle {
    ($(#[$meta:meta])* pub struct $name:ident: $kind:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name<'c> {
            client: &'c crate::Client,
            target: crate::objects::Target,
        }

        impl<'c> $name<'c> {
            pub(crate) fn new(client: &'c crate::Client, name: &str) -> $name<'c> {
                let target = crate::objects::Target::new(catena_protocol::Kind::$kind, name);
                $name { client, target }
            }

            /// The name of the object.
            pub fn name(&self) -> &str {
                &self.target.name
            }

            /// Deletes the object; whoever waits on it is told so. Answers whether there was one.
            ///
            /// # Errors
            ///
            /// See [`Error`](crate::Error).
            pub fn delete(&self) -> Result<bool, crate::Error> {
                let op = catena_protocol::Op::Object(catena_protocol::op::ObjectOp::Delete);
                self.client.ask(&self.target, op, None, crate::objects::boolean)
            }
        }

        impl crate::objects::sealed::Object for $name<'_> {
            fn target(&self) -> &crate::objects::Target {
                &self.target
            }
        }
    };
}

use handle;

fn int(reply: Reply<'_>) -> Option<i64> {
    match reply {
        Reply::Int(value) => Some(value),
        _ => None,
    }
}

fn boolean(reply: Reply<'_>) -> Option<bool> {
    match reply {
        Reply::Bool(value) => Some(value),
        _ => None,
    }
}

fn number(reply: Reply<'_>) -> Option<u64> {
    match reply {
        Reply::Number(number) => Some(number),
        _ => None,
    }
}

fn seats(reply: Reply<'_>) -> Option<catena_protocol::SeatState> {
    match reply {
        Reply::Seats(state) => Some(state),
        _ => None,
    }
}
