//! The client: what connects, and makes the handles of objects.

mod builder;
mod names;

use std::time::Instant;

use catena_protocol::UserType;

pub use self::builder::Builder;
use crate::cancel::Canceller;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::hold::Hold;
use crate::objects::{
    Barrier, Cell, Counter, Flag, Future, Latch, List, Lock, Log, Map, Reduction, Semaphore, Set,
    SortedMap, UserObject, Vector,
};
use crate::pipeline::Pipeline;
use crate::requester::Requester;
use crate::scope::Scope;

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
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("visits").increment()?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::Client;
    ///
    /// let address = engine.addresses()[0];
    /// let client = Client::builder().call_timeout(Duration::from_secs(1)).connect(address)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns a handle to the counter `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.counter("visits").increment()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn counter(&self, name: &str) -> Counter {
        Counter::new(&self.requester, name)
    }

    /// Returns a handle to the flag `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.flag("ready").set(true)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn flag(&self, name: &str) -> Flag {
        Flag::new(&self.requester, name)
    }

    /// Returns a handle to the cell `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.cell("page").set(b"hello")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn cell(&self, name: &str) -> Cell {
        Cell::new(&self.requester, name)
    }

    /// Returns a handle to the vector `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.vector("weights").set(2, &[0.5, 1.5])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn vector(&self, name: &str) -> Vector {
        Vector::new(&self.requester, name)
    }

    /// Returns a handle to the reduction `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let seat = client.reduction("sums").seat(0, 8);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn reduction(&self, name: &str) -> Reduction {
        Reduction::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the barrier `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let party = client.barrier("step").party("ada", 8);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn barrier(&self, name: &str) -> Barrier {
        Barrier::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the latch `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.latch("ready").count_down("ada", 8)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn latch(&self, name: &str) -> Latch {
        Latch::new(&self.requester, name)
    }

    /// Returns a handle to the list `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.list("jobs").push_back("resize")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn list(&self, name: &str) -> List {
        List::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the map `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.map("words").put("to", "be")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn map(&self, name: &str) -> Map {
        Map::new(&self.requester, name)
    }

    /// Returns a handle to the map `name` that offers what its order allows.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.sorted_map("scores").put("ada", "3")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn sorted_map(&self, name: &str) -> SortedMap {
        SortedMap::new(&self.requester, name)
    }

    /// Returns a handle to the set `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.set("names").add("ada")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, name: &str) -> Set {
        Set::new(&self.requester, name)
    }

    /// Returns a handle to the semaphore `name`, which has `permits` permits in all.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let permit = client.semaphore("gpus", 4).try_acquire(1)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn semaphore(&self, name: &str, permits: u32) -> Semaphore {
        Semaphore::new(&self.requester, name, permits, Hold::default())
    }

    /// Returns a handle to the lock `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let guard = client.lock("report").try_lock()?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn lock(&self, name: &str) -> Lock {
        Lock::new(&self.requester, name, Hold::default())
    }

    /// Returns a handle to the future `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.future("result").set("done")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn future(&self, name: &str) -> Future {
        Future::new(&self.requester, name)
    }

    /// Returns a handle to the log `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.log("progress").print("half done")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn log(&self, name: &str) -> Log {
        Log::new(&self.requester, name)
    }

    /// Returns a handle to the object `name` of a user-defined type.
    pub fn object<T: UserType>(&self, name: &str) -> UserObject<T> {
        UserObject::new(&self.requester, name)
    }

    /// Returns the scope of all objects whose names begin with `prefix`, such as the objects of a
    /// job.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// job.counter("done").increment()?;
    /// assert_eq!(client.counter("job-1/done").get()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn scope(&self, prefix: &str) -> Scope {
        Scope::new(&self.requester, prefix)
    }

    /// Sets the time at which the calling function ends. Locks, permits, claims and seats taken
    /// from now on are held until 2 seconds after it, unless the handle says otherwise: see
    /// [`Hold`].
    ///
    /// Set it anew in each invocation. With a deadline that has passed, holds last 2 seconds.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::{Duration, Instant};
    ///
    /// client.set_deadline(Instant::now() + Duration::from_secs(60));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set_deadline(&self, deadline: Instant) {
        self.requester.shared.set_deadline(Some(deadline));
    }

    /// Removes the deadline: what is taken from now on is held as long as the session.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.clear_deadline();
    /// assert!(client.deadline().is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn clear_deadline(&self) {
        self.requester.shared.set_deadline(None);
    }

    /// Returns the time at which the calling function ends, if it was set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.deadline().is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.requester.shared.deadline()
    }

    /// Converts a hold to milliseconds from now, as ops in a [`Pipeline`] take it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Hold;
    ///
    /// assert_eq!(client.hold_ms(Hold::Session), 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn hold_ms(&self, hold: impl Into<Hold>) -> u32 {
        self.requester.hold_ms(hold)
    }

    /// Returns an empty batch of ops, to be sent together.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let first = pipeline.on(&visits).add(1);
    /// let second = pipeline.on(&visits).add(1);
    /// let replies = pipeline.run();
    /// assert_eq!((replies.value(first)?, replies.value(second)?), (1, 2));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pipeline<'o>(&self) -> Pipeline<'o> {
        Pipeline::new(&self.requester)
    }

    /// Drops all connections and sessions; the next calls open new ones.
    ///
    /// Needed where a process is copied while it runs, as AWS Lambda SnapStart does: copies that
    /// share a session take each other's requests for retries. Call it first after such a restore,
    /// while no other thread uses the client.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.forget_sessions(); // after the restore of a snapshot of this process
    /// client.counter("visits").increment()?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn forget_sessions(&self) {
        self.requester.shared.forget_sessions();
    }

    /// Returns a clone whose calls, and those of its handles, `canceller` ends from another thread.
    ///
    /// A call that is cancelled fails with [`Error::Cancelled`]; if it waits inside the engine, it
    /// does so no longer, and gets no lock, permit or item any more. While it connects, it ends with
    /// the attempt.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::{Canceller, Error};
    ///
    /// let canceller = Canceller::new();
    /// let jobs = client.cancelled_by(&canceller).list("jobs");
    /// let worker = std::thread::spawn(move || jobs.pop_front_wait(Duration::from_secs(600)));
    /// canceller.cancel();
    /// assert!(matches!(worker.join().unwrap(), Err(Error::Cancelled { .. })));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn cancelled_by(&self, canceller: &Canceller) -> Client {
        Client { requester: self.requester.cancelled_by(canceller) }
    }

    /// Closes the client and its clones: when this returns, all that they held is free, and later
    /// calls fail with [`Error::Closed`]. Calls in progress end first. Waits for them and for the
    /// engine at most as long as a call may take; what the engine has not closed by then ends with
    /// the time to live of its session.
    ///
    /// Dropping the last clone and handle closes the sessions without waiting.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let guard = client.lock("report").try_lock()?.unwrap().keep();
    /// client.close(); // the lock is free
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn close(self) {
        self.requester.shared.close();
    }

    /// Returns name and version of the engine.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.engine().starts_with("catena"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn engine(&self) -> String {
        self.requester.engine()
    }

    /// Returns how many shards the node has.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.shards() > 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn shards(&self) -> u32 {
        self.requester.shards()
    }

    /// Returns the cluster that the node belongs to, as the client knows it; `None` if it is a
    /// single node. Sends no request: calls keep the client's view up to date as far as they need
    /// it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.cluster().is_none(), "a single node");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn cluster(&self) -> Option<Cluster> {
        self.requester.shared.topology(Cluster::of)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("engine", &self.engine()).finish_non_exhaustive()
    }
}
