//! The blocking client of Catena: shared objects for serverless functions.
//!
//! A serverless function keeps no state between calls and cannot talk to other functions directly.
//! With this crate it names an object that lives in a Catena engine and calls operations on it.
//! Operations run on the server, are linearizable, and take effect exactly once, even if the client
//! retries.
//!
//! ```
//! use std::time::Duration;
//!
//! use catena_client::Client;
//!
//! # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
//! # let address = engine.addresses()[0];
//! let client = Client::connect(address)?; // such as "127.0.0.1:7400"
//!
//! let visits = client.counter("visits");
//! println!("visit number {}", visits.increment()?);
//!
//! let page = client.cell("page");
//! page.set(b"hello")?;
//! let view = page.get()?; // borrows the bytes from the receive buffer
//! assert_eq!(&view[..], b"hello");
//!
//! let barrier = client.barrier("start");
//! let mut me = barrier.party("worker-3", 1);
//! me.wait(Duration::from_secs(30))?; // until all have arrived, here the only one
//! # Ok::<(), catena_client::Error>(())
//! ```
//!
//! # Objects
//!
//! | handle | made by | object |
//! |---|---|---|
//! | [`Counter`] | [`Client::counter`] | a 64-bit signed integer |
//! | [`Flag`] | [`Client::flag`] | a boolean |
//! | [`Cell`] | [`Client::cell`] | bytes with a version |
//! | [`Vector`] | [`Client::vector`] | numbers in rows and columns, with a version |
//! | [`Reduction`] | [`Client::reduction`] | a vector that parties reduce together: an all-reduce in one round trip |
//! | [`Barrier`] | [`Client::barrier`] | named parties that wait for one another, repeatedly |
//! | [`Latch`] | [`Client::latch`] | opens once enough named parties have counted down |
//! | [`List`] | [`Client::list`] | a list, queue, or work queue whose items are claimed |
//! | [`Map`], [`SortedMap`] | [`Client::map`], [`Client::sorted_map`] | values by key, in the order of the keys, with merges on the server |
//! | [`Set`] | [`Client::set`] | distinct byte strings |
//! | [`Semaphore`], [`Lock`] | [`Client::semaphore`], [`Client::lock`] | permits with leases and fencing tokens |
//! | [`Future`] | [`Client::future`] | a value that is set once and waited for |
//! | [`Log`] | [`Client::log`] | numbered lines of text |
//! | [`UserObject`] | [`Client::object`] | an object of a user-defined type |
//!
//! [`Client::pipeline`] sends many ops in one write and returns the replies in order. Every handle
//! can delete its object, inspect it, let it expire, and wait until it changes. [`Client::scope`]
//! and [`Client::objects`] work on all objects with a prefix, and [`Client::stats`] describes the
//! node.
//!
//! # Threads and processes
//!
//! Threads share a [`Client`]: it is [`Send`], [`Sync`] and cheap to clone, and so are the handles,
//! which can be kept in a struct. A call never waits for that of another thread, because each call in
//! progress has connections and sessions of its own; later calls use them again
//! ([`Builder::calls_max`]). A [`Canceller`] ends the waits of another thread.
//!
//! A client uses no async runtime and no background thread; a call writes to a socket and reads from
//! it. Keep the client between
//! invocations of a function: if the environment was frozen meanwhile and a connection died, the
//! next call replaces it. A process that is *copied* while it runs (AWS Lambda SnapStart) calls
//! [`Client::forget_sessions`] after the restore.
//!
//! # Exactly once
//!
//! If a connection breaks before the reply arrives, the client connects again and sends the same
//! request with the same session and number. The engine executes it if it has not yet, and
//! otherwise returns the first reply again. This holds until the deadline of the call, and as long
//! as the engine remembers the session ([`Builder::session_ttl`]). If the call fails nevertheless,
//! [`Error::retry`] says whether it may have been executed. A function that is *invoked* again is a
//! new client with a new session; to make its calls idempotent too, give them a name, such as the
//! parties of a [`Barrier`], or the party and round of a [`Reduction`].
//!
//! Temporary refusals are retried until the deadline: with growing pauses if the engine is busy or
//! too few members of a cluster are left, at once on the right core if a shard has moved, and at
//! most three times if a node is full. All other refusals are returned as errors.
//!
//! # Clusters
//!
//! In a cluster several nodes hold replicas of every object. The client gets the addresses of some
//! of them, which need not all be alive, and learns the others:
//!
//! ```no_run
//! # use catena_client::Client;
//! # fn main() -> Result<(), catena_client::Error> {
//! let client = Client::connect("10.0.1.5:7400,10.0.2.5:7400,10.0.3.5:7400")?;
//! client.counter("visits").increment()?; // all members have it before this returns
//! # Ok(())
//! # }
//! ```
//!
//! Each shard has a head, which takes its updates. When a node dies, is cut off or leaves, another
//! node becomes the head of its shards. The client notices a broken connection, or a refusal from a
//! node that is no longer the head, or asks another member if a request has no reply for a second.
//! It follows the newest configuration that any member reports, and retries requests without a
//! reply at the new heads, with the same sessions and numbers, so they take effect once; waits
//! continue with their remaining time. All of this happens within the deadline of the call. A call
//! with a timeout of less than about 4 seconds may fail before the cluster has detected that a node
//! is gone.
//!
//! A cluster can also be found through its record: [`Client::connect`] accepts the place of a
//! record in a bucket, `s3://bucket/prefix#cluster` (feature `s3`), or in a directory,
//! `file:///directory#cluster` (feature `register`). The client reads it when it connects, and
//! again if all members that it knows are gone, never for a request. [`Client::cluster`] returns
//! the members; [`operator`] returns the state of each node, and how it sees the others.
//!
//! Errors name the member that was asked ([`Call::member`]). [`Builder::read_from`] spreads reads
//! over the members.
//!
//! # Holds
//!
//! Locks, permits, claimed items, and the seats of barriers and reductions are held for a limited
//! time, and released automatically at its end, so a function that dies does not keep them.
//! [`Client::set_deadline`] sets the time at which the function ends, and nothing is held much
//! longer than that; see [`Hold`] for other times. A slow holder does not notice that its hold has
//! ended, so its writes should carry the fencing token of the grant, and are refused once a write
//! with a later token was seen.
//!
//! ```
//! # use std::time::{Duration, Instant};
//! # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
//! # let client = catena_client::Client::connect(engine.addresses()[0])?;
//! client.set_deadline(Instant::now() + Duration::from_secs(60)); // from the Lambda context
//!
//! let guard = client.lock("page/lock").lock(Duration::from_secs(10))?;
//! client.cell("page").set_with_token(guard.token(), b"mine")?;
//! guard.unlock()?; // or drop it
//!
//! let work = client.list("work");
//! work.extend(["this", "that"])?;
//! let claim = work.claim(Duration::from_secs(10))?; // returns to the list unless done in time
//! client.map("lengths").add(&claim, 4)?;
//! claim.done()?;
//! # Ok::<(), catena_client::Error>(())
//! ```
//!
//! # Objects that do not exist
//!
//! One rule for all kinds: **an object that does not exist is read as a new one**, and reading does not
//! make it. So a counter is 0, a flag false, a cell empty, a list, map, set or log without items, a
//! future pending, a lock free, a barrier in generation 0.
//!
//! Some kinds have no beginning of their own, because the first update decides their shape: the
//! elements of a [`Vector`], the results of a [`Reduction`], the permits of a [`Semaphore`], the parties
//! of a [`Latch`]. Reading these before is refused with [`Status::Absent`], which
//! [`Optional::optional`] turns into `None`.
//!
//! For all kinds [`Client::inspect`] returns `None`, [`Counter::version`] and its like 0, and
//! [`Client::delete`] and [`Client::expire`] false. With [`Builder::makes_objects`] off, updates are
//! refused with [`Status::Absent`] too.
//!
//! ```
//! # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
//! # let client = catena_client::Client::connect(engine.addresses()[0])?;
//! use catena_client::{Optional, Status};
//!
//! assert_eq!((client.counter("c").get()?, client.flag("f").get()?), (0, false));
//! assert!(client.cell("e").get()?.is_empty() && client.list("l").is_empty()?);
//! assert_eq!(client.vector("v").get().unwrap_err().status(), Some(Status::Absent));
//! assert!(client.vector("v").get().optional()?.is_none());
//! for name in ["c", "f", "e", "l", "v"] {
//!     assert!(client.inspect(name)?.is_none(), "reading has not made it");
//! }
//! # Ok::<(), catena_client::Error>(())
//! ```
//!
//! # Names
//!
//! An object has one kind: a lock and a cell cannot have the same name
//! ([`Status::WrongKind`]). Requests identify objects by a hash of the name. When an update makes an object, the engine asks
//! for its name, which costs that one request another round trip. Objects with names are listed by
//! [`Client::objects`], counted by [`Client::usage`] and deleted by [`Client::delete_prefix`].
//!
//! # Time
//!
//! A call ends within [`Builder::call_timeout`], and a call that waits inside the engine within its
//! own timeout in addition; both are exact to about 10 ms. Only the first connection also depends
//! on the system's name lookup, which has no deadline.
//!
//! # Allocation
//!
//! In the steady state, calls with numbers, flags, tokens or single values allocate nothing, and
//! neither do calls that return a view, as long as the views are dropped. Calls with many items
//! allocate.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `serde` | typed values, see `typed` |
//! | `tokio` | async handles, see `asynchronous` |
//! | `tracing` | a span `call` for each call, with op and object, and events: retries, lost connections, changes of the cluster |
//! | `register`, `s3` | finding a cluster through its record |
//! | `cli` | the command-line tool `catena` |
//!
//! # Testing
//!
//! Tests of code that uses this crate start an engine of their own, see [`testing`].
//!
//! # Coming from Crucial
//!
//! `client/COUNTERPARTS.md` in the repository lists every method of Crucial's objects with its
//! counterpart here.

#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
pub mod asynchronous;
mod buffer;
mod cancel;
mod client;
mod cluster;
mod config;
mod connection;
mod element;
mod error;
mod exchange;
mod hold;
mod lane;
mod manage;
mod monitor;
mod node;
mod objects;
pub mod operator;
mod page;
mod pipeline;
mod random;
mod register;
mod request;
mod requester;
mod retry;
mod scope;
mod seeds;
mod session;
mod shared;
#[cfg(feature = "s3")]
mod store;
mod target;
mod topology;
mod trace;
#[cfg(feature = "serde")]
pub mod typed;
mod view;

#[cfg(feature = "s3")]
pub use catena_location::{S3Settings, Secret, SettingsError};
pub use catena_protocol::limits::NAME_BYTES_MAX;
/// The permits that a [`SemaphoreOp`] acquires.
pub use catena_protocol::op::Permit as PermitTerms;
pub use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp,
    GENERATION_CURRENT, LatchOp, ListOp, LockOp, LogOp, Loss, MapOp, Merge, ReduceOp, ReductionOp,
    ScanArgs, ScanWhat, SemaphoreOp, SetOp, UserOp, VectorOp,
};
pub use catena_protocol::{
    Elements, Fault, Holder, Inspection, Items, ItemsBuf, Kind, Missing, MonitoredRequest, OpCode,
    Reply, Retry, Scalar, SeatState, Stats, Status, Usage, UserType, rkyv, user_type,
};

pub use crate::cancel::Canceller;
pub use crate::client::{Builder, Client};
pub use crate::cluster::{Cluster, Member};
pub use crate::config::ReadFrom;
pub use crate::element::Element;
pub use crate::error::{Call, Error, Optional};
pub use crate::hold::Hold;
pub use crate::manage::{ListedObject, ObjectWalk, Quota};
pub use crate::monitor::Monitor;
pub use crate::objects::{
    Appended, Barrier, Cell, Claim, Counter, Flag, Future, FutureState, Latch, List, Lock,
    LockGuard, Log, Map, Object, Party, Permit, PermitState, Reduction, Scan, Seat, Semaphore, Set,
    SortedMap, Swapped, UserObject, Vector,
};
pub use crate::page::{EntryWalk, ItemWalk, LineWalk, Pages};
pub use crate::pipeline::values::{self, Ticket};
pub use crate::pipeline::{Pipeline, Queue, Replies};
pub use crate::scope::Scope;
pub use crate::view::{CellView, EntryView, PageView, RoundView, ValueView, VectorView};

#[doc = include_str!("../TESTING.md")]
pub mod testing {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// A client and its handles can be shared, and an error can be reported from anywhere.
const _: () = {
    const fn shareable<T: Send + Sync + Clone + 'static>() {}
    shareable::<Client>();
    shareable::<Counter>();
    shareable::<Party>();
    shareable::<Scope>();
    const fn sendable<T: Send + Sync + 'static>() {}
    sendable::<Claim>();
    sendable::<LockGuard>();
    sendable::<Pages>();
    sendable::<Replies>();
    sendable::<VectorView>();
    sendable::<Error>();
};
