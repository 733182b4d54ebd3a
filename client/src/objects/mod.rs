//! Handles to shared objects, one file for each kind.
//!
//! A handle shares the connections of its client and remembers the object's id, which is the hash of
//! its name; making a handle costs no round trip. An object exists from its first update on.

mod any;
mod barrier;
mod cell;
mod claim;
mod counter;
mod flag;
mod future;
mod latch;
mod list;
mod lock;
mod log;
mod map;
mod reduction;
mod scan;
mod semaphore;
mod set;
mod sorted_map;
mod user;
mod vector;

use catena_protocol::{Op, Reply};

pub(crate) use self::any::ttl_ms;
pub use self::barrier::{Barrier, Party};
pub use self::cell::{Appended, Cell};
pub use self::claim::Claim;
pub use self::counter::Counter;
pub use self::flag::Flag;
pub(crate) use self::future::future_state;
pub use self::future::{Future, FutureState};
pub use self::latch::Latch;
pub use self::list::List;
pub use self::lock::{Lock, LockGuard};
pub use self::log::Log;
pub use self::map::Map;
pub use self::reduction::{Reduction, Seat};
pub use self::scan::Scan;
pub use self::semaphore::{Permit, PermitState, Semaphore};
pub use self::set::Set;
pub use self::sorted_map::SortedMap;
pub use self::user::UserObject;
pub use self::vector::Vector;
use crate::requester::Requester;
use crate::target::CallTarget;

/// A handle of any kind, as [`Pipeline::push`](crate::Pipeline::push) takes it.
pub trait Object: sealed::Object {
    /// The ops of its kind.
    type Op<'o>;

    /// Wraps an op of its kind as an op of any kind.
    fn op<'o>(op: Self::Op<'o>) -> Op<'o>;
}

/// The result of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swapped<T> {
    /// Whether the expected value was there, and was replaced.
    pub swapped: bool,
    /// The current value; for a cell, its current version.
    pub now: T,
}

/// Seals [`Object`]: only this crate may implement it, and see its target.
pub(crate) mod sealed {
    pub trait Object {
        fn target(&self) -> &super::CallTarget;

        fn requester(&self) -> &super::Requester;

        /// The same handle, with another requester.
        fn with_requester(&self, requester: super::Requester) -> Self;
    }
}

/// The methods of all handles.
macro_rules! common {
    () => {
        /// Returns the name of the object.
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// let visits = client.counter("visits");
        /// assert_eq!(visits.name(), "visits");
        /// # Ok::<(), catena_client::Error>(())
        /// ```
        pub fn name(&self) -> &str {
            &self.target.name
        }

        /// Returns a handle to the same object whose calls `canceller` ends from another thread, see
        /// [`Client::cancelled_by`](crate::Client::cancelled_by).
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// use std::time::Duration;
        ///
        /// use catena_client::Canceller;
        ///
        /// let canceller = Canceller::new();
        /// let jobs = client.list("jobs").cancelled_by(&canceller);
        /// canceller.cancel();
        /// assert!(jobs.pop_front_wait(Duration::from_secs(600)).is_err());
        /// # Ok::<(), catena_client::Error>(())
        /// ```
        #[must_use]
        pub fn cancelled_by(&self, canceller: &crate::Canceller) -> Self {
            let requester = self.requester.cancelled_by(canceller);
            crate::objects::sealed::Object::with_requester(self, requester)
        }

        /// Deletes the object; requests that wait on it fail with
        /// [`Status::Deleted`](crate::Status::Deleted). Returns whether it existed.
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// let visits = client.counter("visits");
        /// visits.increment()?;
        /// assert!(visits.delete()? && !visits.delete()?);
        /// # Ok::<(), catena_client::Error>(())
        /// ```
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn delete(&self) -> Result<bool, crate::Error> {
            self.requester.delete_object(&self.target)
        }

        /// Returns the version: the position of the object's last change in its shard's order. It
        /// grows with every change, also across deletion; 0 if the object does not exist.
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// let visits = client.counter("visits");
        /// assert_eq!(visits.version()?, 0, "it does not exist");
        /// visits.increment()?;
        /// assert!(visits.version()? > 0);
        /// # Ok::<(), catena_client::Error>(())
        /// ```
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn version(&self) -> Result<u64, crate::Error> {
            let inspection = self.requester.inspect_object(&self.target)?;
            Ok(inspection.map_or(0, |inspection| inspection.version))
        }

        /// Waits until the version is above `version`, and returns it.
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// use std::time::Duration;
        ///
        /// let visits = client.counter("visits");
        /// let seen = visits.version()?;
        /// visits.increment()?;
        /// assert!(visits.wait_newer(seen, Duration::from_secs(10))? > seen);
        /// # Ok::<(), catena_client::Error>(())
        /// ```
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
            self.requester.wait_newer_object(&self.target, version, timeout)
        }

        /// Sets the object to be deleted after `ttl`, even if it changes meanwhile; `None` cancels
        /// that. Returns whether the object exists.
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// use std::time::Duration;
        ///
        /// let visits = client.counter("visits");
        /// assert!(!visits.expire(Some(Duration::from_secs(60)))?, "it does not exist");
        /// # Ok::<(), catena_client::Error>(())
        /// ```
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn expire(&self, ttl: Option<std::time::Duration>) -> Result<bool, crate::Error> {
            self.requester.expire_object(&self.target, ttl)
        }

        /// Describes the object for people; `None` if it does not exist.
        ///
        /// ```
        /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
        /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
        /// let visits = client.counter("visits");
        /// visits.increment()?;
        /// println!("{}", visits.inspect()?.unwrap().detail);
        /// # Ok::<(), catena_client::Error>(())
        /// ```
        ///
        /// # Errors
        ///
        /// See [`Error`](crate::Error).
        pub fn inspect(&self) -> Result<Option<crate::Inspection>, crate::Error> {
            self.requester.inspect_object(&self.target)
        }
    };
}

use common;

/// Declares a handle: the struct, its constructor, and the methods that [all handles have](common).
macro_rules! handle {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $kind:ident $({ $($field:ident: $type:ty),* $(,)? })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            pub(crate) requester: crate::requester::Requester,
            pub(crate) target: crate::target::CallTarget,
            $($(pub(crate) $field: $type,)*)?
        }

        impl $name {
            pub(crate) fn new(
                requester: &crate::requester::Requester,
                name: &str,
                $($($field: $type,)*)?
            ) -> $name {
                let target = crate::target::CallTarget::new(catena_protocol::Kind::$kind, name);
                $name { requester: requester.clone(), target, $($($field,)*)? }
            }

            crate::objects::common!();
        }

        impl crate::objects::sealed::Object for $name {
            fn target(&self) -> &crate::target::CallTarget {
                &self.target
            }

            fn requester(&self) -> &crate::requester::Requester {
                &self.requester
            }

            fn with_requester(&self, requester: crate::requester::Requester) -> Self {
                $name { requester, ..self.clone() }
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
