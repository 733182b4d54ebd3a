//! The client: what connects, and makes the handles of objects.

mod builder;

use std::time::{Duration, Instant};

use catena_protocol::{Inspection, Stats, Usage, UserType};

pub use self::builder::Builder;
use crate::cancel::Canceller;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::hold::Hold;
use crate::manage::{ObjectWalk, Quota};
use crate::monitor::Monitor;
use crate::objects::{
    Barrier, Cell, Counter, Flag, Future, Latch, List, Lock, Log, Map, Reduction, Semaphore, Set,
    SortedMap, UserObject, Vector,
};
use crate::pipeline::Pipeline;
use crate::requester::Requester;
use crate::scope::Scope;
use crate::target::CallTarget;

/// A connection to a Catena node or cluster, through which its objects are reached.
///
/// Calls block. Clones share their connections, and threads share a client: a call never waits for
/// that of another thread. It connects to a core of a node on the first request for it, and keeps the
/// connection.
///
/// When the last clone, handle and guard of a client is dropped, its sessions are closed; see also
/// [`Client::close`].
#[derive(Clone)]
pub struct Client {
    requester: Requester,
}

impl Client {
    /// Connects to the engine at `address`: `host:port`, or several of them separated by commas, of
    /// which the first that answers is used. If it is in a cluster, it names the other members.
    ///
    /// `s3://bucket/prefix` and `s3://bucket/prefix#cluster` are places where a cluster keeps its
    /// record; without `#cluster` the cluster is called `catena`. The client connects to the
    /// members named there. It reads the record once (one GET of `prefix/cluster/config.json`), and
    /// again only when none of the members it knows answers. A store that cannot be reached is
    /// asked again until the deadline. Needs the feature `s3`; credentials come from
    /// `CATENA_S3_ACCESS_KEY` and `CATENA_S3_SECRET_ACCESS_KEY`, or from where the AWS tools look
    /// for them. `file:///directory#cluster` is such a place for nodes on this machine, and needs
    /// the feature `register`.
    ///
    /// Costs one round trip after the TCP handshake. The operating system looks names up, which has
    /// no deadline.
    ///
    /// # Errors
    ///
    /// [`Error::BadAddress`], [`Error::NoRecord`], [`Error::Unreachable`], [`Error::Unwelcome`],
    /// [`Error::Incompatible`].
    pub fn connect(address: impl ToString) -> Result<Client, Error> {
        Client::builder().connect(address)
    }

    /// Connects to the cluster with this record: the text of the object `config.json` in its
    /// register, which the caller has fetched. Needs the feature `register`.
    ///
    /// The record may be old as long as one of the nodes it names is still there. This is for
    /// callers that have a client of the store anyway; otherwise [`Client::connect`] fetches the
    /// record.
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    #[cfg(feature = "register")]
    pub fn connect_record(record: &str) -> Result<Client, Error> {
        Client::builder().connect_record(record)
    }

    /// Returns a builder, for timeouts and limits other than the default ones.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns a handle to the counter `name`.
    pub fn counter(&self, name: &str) -> Counter {
        Counter::new(&self.requester, name)
    }

    /// Returns a handle to the flag `name`.
    pub fn flag(&self, name: &str) -> Flag {
        Flag::new(&self.requester, name)
    }

    /// Returns a handle to the cell `name`.
    pub fn cell(&self, name: &str) -> Cell {
        Cell::new(&self.requester, name)
    }

    /// Returns a handle to the vector `name`.
    pub fn vector(&self, name: &str) -> Vector {
        Vector::new(&self.requester, name)
    }

    /// Returns a handle to the reduction `name`.
    pub fn reduction(&self, name: &str) -> Reduction {
        Reduction::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the barrier `name`.
    pub fn barrier(&self, name: &str) -> Barrier {
        Barrier::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the latch `name`.
    pub fn latch(&self, name: &str) -> Latch {
        Latch::new(&self.requester, name)
    }

    /// Returns a handle to the list `name`.
    pub fn list(&self, name: &str) -> List {
        List::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the map `name`.
    pub fn map(&self, name: &str) -> Map {
        Map::new(&self.requester, name)
    }

    /// Returns a handle to the map `name` that offers what its order allows.
    pub fn sorted_map(&self, name: &str) -> SortedMap {
        SortedMap::new(&self.requester, name)
    }

    /// Returns a handle to the set `name`.
    pub fn set(&self, name: &str) -> Set {
        Set::new(&self.requester, name)
    }

    /// Returns a handle to the semaphore `name`, which has `permits` permits in all.
    pub fn semaphore(&self, name: &str, permits: u32) -> Semaphore {
        Semaphore::new(&self.requester, name, permits, Hold::default())
    }

    /// Returns a handle to the lock `name`.
    pub fn lock(&self, name: &str) -> Lock {
        Lock::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the future `name`.
    pub fn future(&self, name: &str) -> Future {
        Future::new(&self.requester, name)
    }

    /// Returns a handle to the log `name`.
    pub fn log(&self, name: &str) -> Log {
        Log::new(&self.requester, name)
    }

    /// Returns a handle to the object `name` of a user-defined type.
    pub fn object<T: UserType>(&self, name: &str) -> UserObject<T> {
        UserObject::new(&self.requester, name)
    }

    /// Returns the scope of all objects whose names begin with `prefix`, such as the objects of a
    /// job.
    pub fn scope(&self, prefix: &str) -> Scope {
        Scope::new(&self.requester, prefix)
    }

    /// Sets the time at which the calling function ends. Locks, permits, claims and seats taken
    /// from now on are held until 2 seconds after it, unless the handle says otherwise: see
    /// [`Hold`].
    ///
    /// Set it anew in each invocation. With a deadline that has passed, holds last 2 seconds.
    pub fn set_deadline(&self, deadline: Instant) {
        self.requester.shared.set_deadline(Some(deadline));
    }

    /// Removes the deadline: what is taken from now on is held as long as the session.
    pub fn clear_deadline(&self) {
        self.requester.shared.set_deadline(None);
    }

    /// Returns the time at which the calling function ends, if it was set.
    pub fn deadline(&self) -> Option<Instant> {
        self.requester.shared.deadline()
    }

    /// Converts a hold to milliseconds from now, as ops in a [`Pipeline`] take it.
    pub fn hold_ms(&self, hold: impl Into<Hold>) -> u32 {
        self.requester.hold_ms(hold)
    }

    /// Returns an empty batch of ops, to be sent together.
    pub fn pipeline<'o>(&self) -> Pipeline<'o> {
        Pipeline::new(&self.requester)
    }

    /// Drops all connections and sessions; the next calls open new ones.
    ///
    /// Needed where a process is copied while it runs, as AWS Lambda SnapStart does: copies that
    /// share a session take each other's requests for retries. Call it first after such a restore,
    /// while no other thread uses the client.
    pub fn forget_sessions(&self) {
        self.requester.shared.forget_sessions();
    }

    /// Returns a clone whose calls, and those of its handles, `canceller` ends from another thread.
    ///
    /// A call that is cancelled fails with [`Error::Cancelled`]; if it waits inside the engine, it
    /// does so no longer, and gets no lock, permit or item any more. While it connects, it ends with
    /// the attempt.
    pub fn cancelled_by(&self, canceller: &Canceller) -> Client {
        Client { requester: self.requester.cancelled_by(canceller) }
    }

    /// Closes the client and its clones: when this returns, all that they held is free, and later
    /// calls fail with [`Error::Closed`]. Calls in progress end first. Waits for them and for the
    /// engine at most as long as a call may take; what the engine has not closed by then ends with
    /// the time to live of its session.
    ///
    /// Dropping the last clone and handle closes the sessions without waiting.
    pub fn close(self) {
        self.requester.shared.close();
    }

    /// Returns name and version of the engine.
    pub fn engine(&self) -> String {
        self.requester.engine()
    }

    /// Returns how many shards the node has.
    pub fn shards(&self) -> u32 {
        self.requester.shards()
    }

    /// Returns the cluster that the node belongs to, as the client knows it; `None` if it is a
    /// single node. Sends no request: calls keep the client's view up to date as far as they need
    /// it.
    pub fn cluster(&self) -> Option<Cluster> {
        self.requester.shared.topology(Cluster::of)
    }
}

/// What can be asked of any object by its name, and of all objects with a prefix. All methods that
/// return a [`Result`] fail with [`Error`].
impl Client {
    /// Walks the named objects whose names begin with `prefix`, in byte order of the names, over
    /// all shards. An object that is made or deleted during the walk may be missing or not; no
    /// other is missed.
    pub fn objects(&self, prefix: &str) -> ObjectWalk {
        ObjectWalk::new(&self.requester, prefix)
    }

    /// Describes an object for people; `None` if it does not exist.
    pub fn inspect(&self, name: &str) -> Result<Option<Inspection>, Error> {
        self.requester.inspect_object(&CallTarget::any(name))
    }

    /// Deletes an object of any kind; requests that wait on it fail with
    /// [`Status::Deleted`](crate::Status::Deleted). Returns whether it existed.
    pub fn delete(&self, name: &str) -> Result<bool, Error> {
        self.requester.delete_object(&CallTarget::any(name))
    }

    /// Deletes all named objects whose names begin with `prefix`. Returns how many. Objects that
    /// are made meanwhile may stay.
    pub fn delete_prefix(&self, prefix: &str) -> Result<u64, Error> {
        self.requester.delete_prefix(prefix)
    }

    /// Returns how many named objects there are whose names begin with `prefix`, their memory, and
    /// their quota, all summed over the shards.
    pub fn usage(&self, prefix: &str) -> Result<Usage, Error> {
        self.requester.usage(prefix)
    }

    /// Limits number and memory of the named objects whose names begin with `prefix`, in each of
    /// the [`shards`](Client::shards) separately. An update that would exceed the quota is refused
    /// with [`Status::QuotaExceeded`](crate::Status::QuotaExceeded); existing objects stay. A quota
    /// without limits removes it.
    pub fn set_quota(&self, prefix: &str, quota: Quota) -> Result<(), Error> {
        self.requester.set_quota(prefix, quota)
    }

    /// Sets an object to be deleted after `ttl`, even if it changes meanwhile; `None` cancels that.
    /// Returns whether the object exists.
    pub fn expire(&self, name: &str, ttl: Option<Duration>) -> Result<bool, Error> {
        self.requester.expire_object(&CallTarget::any(name), ttl)
    }

    /// Waits until the version of an object is above `version`, and returns it. An object that does
    /// not exist has version 0 and can be waited for. [`Error::TimedOut`] after `timeout`, of at
    /// most 15 minutes; [`Status::Deleted`](crate::Status::Deleted) if the object is deleted
    /// meanwhile.
    pub fn wait_newer(&self, name: &str, version: u64, timeout: Duration) -> Result<u64, Error> {
        self.requester.wait_newer_object(&CallTarget::any(name), version, timeout)
    }

    /// Returns the statistics of each shard and its core, by the number of the shard.
    pub fn stats(&self) -> Result<Vec<Stats>, Error> {
        self.requester.stats()
    }

    /// Follows what all clients do: of each shard at most so many requests a second, and at most
    /// 1,000. That costs the engine little, and nothing once nobody follows.
    ///
    /// Only what the heads of the chains serve is seen, not reads by other members.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().start().expect("an engine");
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let mut monitor = client.monitor(100);
    /// monitor.poll()?;
    /// client.counter("visits").add(1)?;
    /// for request in monitor.poll()? {
    ///     println!("{} {:?} {}", request.source, request.op_code(), request.object);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn monitor(&self, per_second: u32) -> Monitor {
        Monitor::new(&self.requester, per_second)
    }

    /// Sends a small request to one core, and returns how long the reply took.
    pub fn ping(&self) -> Result<Duration, Error> {
        self.requester.ping()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("engine", &self.engine()).finish_non_exhaustive()
    }
}
