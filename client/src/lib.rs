//! The blocking client of Catena: shared objects for functions that forget.
//!
//! A serverless function keeps nothing between calls and cannot talk to its siblings. With this
//! crate it names an object that lives in a Catena engine and calls an operation on it. The
//! operation runs next to the data, linearizably, once, even if the function has to ask twice.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use catena_client::Client;
//!
//! # fn main() -> Result<(), catena_client::Error> {
//! let client = Client::connect("127.0.0.1:7400")?;
//!
//! let visits = client.counter("visits");
//! println!("visit number {}", visits.increment()?);
//!
//! let page = client.cell("page");
//! page.set(b"hello")?;
//! let view = page.get()?; // the bytes are lent out where they were received
//! assert_eq!(&view[..], b"hello");
//!
//! let barrier = client.barrier("start");
//! let mut me = barrier.party("worker-3", 8);
//! me.wait(Duration::from_secs(30))?; // until all eight are there
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! | handle | made by | is |
//! |---|---|---|
//! | [`Counter`] | [`Client::counter`] | a 64-bit signed integer |
//! | [`Flag`] | [`Client::flag`] | a boolean |
//! | [`Cell`] | [`Client::cell`] | bytes with a version |
//! | [`Vector`] | [`Client::vector`] | numbers in rows and columns, with a version |
//! | [`Reduction`] | [`Client::reduction`] | a vector that parties reduce together: all-reduce in one round trip |
//! | [`Barrier`] | [`Client::barrier`] | named parties that wait for one another, again and again |
//! | [`Latch`] | [`Client::latch`] | opens once enough named parties have counted down |
//! | [`List`] | [`Client::list`] | byte strings in a row: a list, a queue, a queue of work whose items are claimed |
//! | [`Map`], [`SortedMap`] | [`Client::map`], [`Client::sorted_map`] | bytes by key, merged next to the data, in the order of the keys |
//! | [`Set`] | [`Client::set`] | byte strings without repetition |
//! | [`Semaphore`], [`Lock`] | [`Client::semaphore`], [`Client::lock`] | permits that are held for a while, with fencing tokens |
//! | [`Future`] | [`Client::future`] | bytes that are set once and waited for |
//! | [`Log`] | [`Client::log`] | numbered lines of text |
//! | [`UserObject`] | [`Client::object`] | an object of a type of your own |
//!
//! [`Client::pipeline`] sends many ops in one write and gives the replies in order. Every handle can
//! delete its object, inspect it, let it expire, and wait until it changes. [`Client::scope`] and
//! [`Client::objects`] are about all objects whose names begin alike, [`Client::stats`] about the node.
//!
//! # Threads and processes
//!
//! A [`Client`] is [`Send`] but not [`Sync`]: one for each thread. There is no runtime and no thread
//! behind it; a call writes to a socket and reads from it. Keep the client from one invocation of a
//! function to the next: if the environment was frozen meanwhile, a socket that died is replaced by
//! the next call without the caller noticing. A process that is *copied* while it runs (Lambda
//! SnapStart) calls [`Client::forget_sessions`] when it is restored.
//!
//! # Once, not twice
//!
//! If a connection breaks before the answer came, the client connects again and sends the same
//! request under the same session and number; the engine executes it if it did not, and gives the
//! first answer again if it did. That holds until the call's deadline, and as long as the engine
//! remembers the session ([`Builder::session_ttl`]). When a call fails all the same,
//! [`Error::retry`] says whether it may have been executed. A function that is *invoked* again is a
//! new client with a new session: what must not happen twice then takes a name, like the parties of
//! a [`Barrier`] and the party and round of a [`Reduction`].
//!
//! Refusals for now are repeated inside the deadline: with growing pauses if the engine is busy or a
//! cluster has too few members left, at once on the right core if a shard moved, and at most three times
//! if a node is full. All others are the caller's to see.
//!
//! # Clusters
//!
//! In a cluster several nodes hold every object. The client is given the addresses of some of them,
//! any of which may be dead, and learns of the others:
//!
//! ```no_run
//! # use catena_client::Client;
//! # fn main() -> Result<(), catena_client::Error> {
//! let client = Client::connect("10.0.1.5:7400,10.0.2.5:7400,10.0.3.5:7400")?;
//! client.counter("visits").increment()?; // kept by all members before this returns
//! # Ok(())
//! # }
//! ```
//!
//! Each shard has a head, which takes the updates. When a node dies, is cut off or leaves, another
//! becomes the head of its shards, and the client finds out: from a broken connection, from a node that
//! says that it is not the one to ask, or, if a request has had no answer for a second, by asking the
//! others. It goes by the newest configuration that anybody told, and sends what was not answered to the
//! new heads under the same sessions and numbers, so it is executed once; waits go on for the time they
//! had left. All of that is inside the deadline of the call, which notices nothing else. Calls with a
//! timeout of less than about 4 seconds may end before the others have found out that a node is gone.
//!
//! A cluster can also be found through the record that it keeps: [`Client::connect`] takes the place of
//! one in a bucket, `s3://bucket/prefix#cluster` (feature `s3`), or in a directory,
//! `file:///directory#cluster` (feature `register`). It is read to begin with, and again if all members
//! that the client knows are gone; never for a request. [`Client::cluster`] says who the members are, and
//! [`operator`] what each of them thinks of the others.
//!
//! Errors name the node that was asked ([`Call::member`]). [`Builder::read_from`] spreads reads over the
//! members.
//!
//! # Holding
//!
//! Locks, permits, claimed items, and the seats of barriers and reductions are held for a while, and
//! come back by themselves when it is over: a function that dies cannot take them along. Tell the client
//! with [`Client::set_deadline`] when the function ends, and nothing is held much longer than that; see
//! [`Hold`] for other times. A holder that is only slow does not notice, so what it writes carries the
//! token of its grant, and is refused once a later one was seen.
//!
//! ```no_run
//! # use std::time::{Duration, Instant};
//! # use catena_client::Client;
//! # fn main() -> Result<(), catena_client::Error> {
//! # let client = Client::connect("127.0.0.1:7400")?;
//! client.set_deadline(Instant::now() + Duration::from_secs(60)); // what Lambda said
//!
//! let guard = client.lock("page").lock(Duration::from_secs(10))?;
//! client.cell("page").set_with_token(guard.token(), b"mine")?;
//! guard.unlock()?; // or drop it
//!
//! let work = client.list("work");
//! work.extend(["this", "that"])?;
//! let claim = work.claim(Duration::from_secs(10))?; // comes back unless it is done in time
//! client.map("lengths").add(&claim, 4)?;
//! claim.done()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Names
//!
//! Requests name objects by a hash. An object learns its name when it is made: the engine asks for it
//! then, which costs that one request another round trip. What has a name is listed by
//! [`Client::objects`], counted by [`Client::usage`] and deleted by [`Client::delete_prefix`].
//!
//! # Time
//!
//! A call ends within [`Builder::call_timeout`], and a call that waits inside the engine within its
//! own timeout plus that; both to about 10 ms. Only the first connection depends on the system's
//! name lookup as well, which has no deadline.
//!
//! # Allocation
//!
//! Once a client has called what it calls, calls that take and answer numbers, flags, tokens or single
//! values allocate nothing; those that return a view as long as the views are dropped again. Those that
//! take or answer many items do.
//!
//! # Coming from Crucial
//!
//! `client/COUNTERPARTS.md` in the repository lists every method of its objects with what does the same
//! here.

#![forbid(unsafe_code)]

mod buffer;
mod client;
mod cluster;
mod config;
mod connection;
mod error;
mod exchange;
mod hold;
mod lane;
mod manage;
mod node;
mod objects;
pub mod operator;
mod page;
mod pipeline;
mod random;
mod register;
mod request;
mod scope;
mod session;
#[cfg(feature = "s3")]
mod store;
mod topology;
mod verdict;
mod view;

#[cfg(feature = "s3")]
pub use catena_location::{S3Settings, Secret, SettingsError};
pub use catena_protocol::limits::NAME_BYTES_MAX;
/// What [`SemaphoreOp`] asks for.
pub use catena_protocol::op::Permit as PermitTerms;
pub use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp,
    GENERATION_CURRENT, LatchOp, ListOp, LockOp, LogOp, Loss, MapOp, Merge, ReduceOp, ReductionOp,
    ScanArgs, ScanWhat, SemaphoreOp, SetOp, UserOp, VectorOp,
};
pub use catena_protocol::{
    Elements, Fault, Holder, Inspection, Items, ItemsBuf, Kind, Missing, OpCode, Reply, Retry,
    Scalar, SeatState, Stats, Status, Usage, UserType, rkyv, user_type,
};

pub use crate::client::{Builder, Client};
pub use crate::cluster::{Cluster, Member};
pub use crate::config::ReadFrom;
pub use crate::error::{Call, Error};
pub use crate::hold::Hold;
pub use crate::manage::{ListedObject, ObjectWalk, Quota};
pub use crate::objects::{
    Appended, Barrier, Cell, Claim, Counter, Element, Flag, Future, FutureState, Latch, List, Lock,
    LockGuard, Log, Map, Object, Party, Permit, PermitState, Reduction, Scan, Seat, Semaphore, Set,
    SortedMap, Swapped, UserObject, Vector,
};
pub use crate::page::{EntryWalk, ItemWalk, LineWalk, PageView, Pages};
pub use crate::pipeline::{Pipeline, Replies};
pub use crate::scope::Scope;
pub use crate::view::{CellView, EntryView, RoundView, ValueView, VectorView};

// A client may be moved to the thread that uses it.
const _: () = {
    const fn movable<T: Send>() {}
    movable::<Client>();
    const fn reportable<T: Send + Sync + 'static>() {}
    reportable::<Error>();
};
