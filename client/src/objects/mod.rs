//! Handles to shared objects, one file a kind.
//!
//! A handle borrows the client and remembers the object's id, which is the hash of its name; making
//! one costs no round trip. An object exists from the first time something is written to it.

mod barrier;
mod cell;
mod counter;
mod flag;
mod future;
mod latch;
mod list;
mod lock;
mod log;
mod map;
mod reduction;
mod semaphore;
mod set;
mod sorted_map;
mod user;
mod vector;

use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::{Fault, Kind, ObjectId, Op, Reply, ShardId};

pub use self::barrier::{Barrier, Party};
pub use self::cell::{Appended, Cell};
pub use self::counter::Counter;
pub use self::flag::Flag;
pub use self::future::{Future, FutureState};
pub use self::latch::Latch;
pub use self::list::{Claim, List};
pub use self::lock::{Lock, LockGuard};
pub use self::log::Log;
pub use self::map::{Map, Scan};
pub use self::reduction::{Reduction, Seat};
pub use self::semaphore::{Permit, PermitState, Semaphore};
pub use self::set::Set;
pub use self::sorted_map::SortedMap;
pub use self::user::UserObject;
pub use self::vector::{Element, Vector};
use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::request::{Failure, Place, Request};

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

/// The object of a handle, or the shard that is asked about its objects.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
}

impl Target {
    pub(crate) fn new(kind: Kind, name: &str) -> Target {
        Target { kind, name: name.into(), place: Place::Object(ObjectId::of(name)) }
    }

    /// A shard, about objects whose names begin with `prefix`.
    pub(crate) fn shard(shard: ShardId, prefix: &Arc<str>) -> Target {
        Target { kind: Kind::Scope, name: Arc::clone(prefix), place: Place::Shard(shard) }
    }

    /// A request to ask `op` of the object, which may wait for `wait` inside the engine. With a
    /// name that no object can have, it has failed already.
    pub(crate) fn request<'o>(&'o self, op: Op<'o>, wait: Option<Duration>) -> Request<'o> {
        let wait_until = wait.map(|wait| Instant::now() + wait.min(TIMEOUT_MAX));
        let mut request = Request::new(self.place, &self.name, op, wait_until);
        let is_object = matches!(self.place, Place::Object(_));
        if is_object && !(1..=NAME_BYTES_MAX).contains(&self.name.len()) {
            request.outcome = Some(Err(Failure::BadName));
        }
        request
    }

    /// The error of an op whose answer is not what was asked for, as the engine would say it.
    pub(crate) fn refused(&self, op: Op<'_>, fault: Fault) -> Error {
        self.error(&self.request(op, None), Failure::Refused(fault.into()))
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

/// What all handles have.
macro_rules! common {
    () => {
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
            self.client.delete_object(&self.target)
        }

        /// The version: where the object's last change stands in its shard's order. It grows with
        /// every change, also over deletion; 0 if there is no such object.
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn version(&self) -> Result<u64, crate::Error> {
            let inspection = self.client.inspect_object(&self.target)?;
            Ok(inspection.map_or(0, |inspection| inspection.version))
        }

        /// Waits until the version is above `version`, and answers it.
        ///
        /// # Errors
        ///
        /// [`Error::TimedOut`](crate::Error::TimedOut) after `timeout`, of at most 15 minutes;
        /// [`Status::Deleted`](crate::Status::Deleted) if the object is deleted meanwhile.
        pub fn wait_newer(
            &self,
            version: u64,
            timeout: std::time::Duration,
        ) -> Result<u64, crate::Error> {
            self.client.wait_newer_object(&self.target, version, timeout)
        }

        /// Deletes the object after `ttl`, whatever happens to it in between; `None` keeps it.
        /// Answers whether there is such an object.
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn expire(&self, ttl: Option<std::time::Duration>) -> Result<bool, crate::Error> {
            self.client.expire_object(&self.target, ttl)
        }

        /// Everything about the object, for people; `None` if there is none.
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn inspect(&self) -> Result<Option<crate::Inspection>, crate::Error> {
            self.client.inspect_object(&self.target)
        }
    };
}

use common;

/// Declares a handle: the struct, and what all handles [have](common).
macro_rules! handle {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $kind:ident $({ $($field:ident: $type:ty),* $(,)? })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name<'c> {
            client: &'c crate::Client,
            target: crate::objects::Target,
            $($($field: $type,)*)?
        }

        impl<'c> $name<'c> {
            pub(crate) fn new(
                client: &'c crate::Client,
                name: &str,
                $($($field: $type,)*)?
            ) -> $name<'c> {
                let target = crate::objects::Target::new(catena_protocol::Kind::$kind, name);
                $name { client, target, $($($field,)*)? }
            }

            crate::objects::common!();
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

pub(crate) fn boolean(reply: Reply<'_>) -> Option<bool> {
    match reply {
        Reply::Bool(value) => Some(value),
        _ => None,
    }
}

pub(crate) fn number(reply: Reply<'_>) -> Option<u64> {
    match reply {
        Reply::Number(number) => Some(number),
        _ => None,
    }
}

fn granted(reply: Reply<'_>) -> Option<Option<u64>> {
    match reply {
        Reply::Granted { granted, token } => Some(granted.then_some(token)),
        _ => None,
    }
}

fn permits(reply: Reply<'_>) -> Option<PermitState> {
    match reply {
        Reply::Permits { available, permits, holders, waiting } => {
            Some(PermitState { available, permits, holders, waiting })
        }
        _ => None,
    }
}

fn seats(reply: Reply<'_>) -> Option<catena_protocol::SeatState> {
    match reply {
        Reply::Seats(state) => Some(state),
        _ => None,
    }
}
