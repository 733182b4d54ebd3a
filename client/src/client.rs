//! The client: from an object and an op to a result.

use std::cell::RefCell;
#[cfg(feature = "register")]
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "s3")]
use catena_location::S3Settings;
use catena_protocol::limits::SESSION_TTL_MS_MAX;
use catena_protocol::{Fault, Op, Reply, Status, UserType};

use crate::buffer::{Held, Pool};
use crate::config::{Config, ReadFrom, TIMEOUT_MAX};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::hold::Hold;
use crate::node::{Node, Seeds, Unreached};
use crate::objects::{
    Barrier, Cell, Counter, Flag, Future, Latch, List, Lock, Log, Map, Reduction, Semaphore, Set,
    SortedMap, Target, UserObject, Vector,
};
use crate::pipeline::Pipeline;
use crate::request::{Answer, Failure, Request};
use crate::scope::Scope;
use crate::view::ValueView;

/// A connection to a Catena node or cluster, and the way to its objects.
///
/// Calls block. A client can be moved to another thread but not shared by several: each thread has
/// its own. It connects to a core of a node when it first needs it, and keeps the connection.
///
/// Dropping a client closes its sessions.
pub struct Client {
    pub(crate) node: RefCell<Node>,
    pub(crate) pool: Pool,
    deadline: std::cell::Cell<Option<Instant>>,
}

impl Client {
    /// Connects to the engine at `address`: `host:port`, or several of them with commas, of which
    /// the first that answers is taken. It says which other members its cluster has, if it is in one.
    ///
    /// `s3://bucket/prefix` and `s3://bucket/prefix#cluster` are the places where a cluster called
    /// `catena`, or as said, keeps its record; the members it names are asked. The record is read once
    /// (one GET of `prefix/cluster/config.json`), and anew when none of the members answers that the
    /// client knows of. A store that cannot be asked is asked again within the deadline. Needs the feature
    /// `s3`; keys come from `CATENA_S3_ACCESS_KEY` and `CATENA_S3_SECRET_ACCESS_KEY`, or from where
    /// AWS' own tools have them. `file:///directory#cluster` is a place like that for nodes on this
    /// machine, and needs the feature `register`.
    ///
    /// Costs one round trip after the TCP handshake. Names are looked up by the operating system,
    /// in its own time.
    ///
    /// # Errors
    ///
    /// [`Error::BadAddress`], [`Error::NoRecord`], [`Error::Unreachable`], [`Error::Unwelcome`],
    /// [`Error::Incompatible`].
    pub fn connect(address: impl ToString) -> Result<Client, Error> {
        Client::builder().connect(address)
    }

    /// Connects to the cluster that has this record: the text of the object `config.json` in its
    /// register, which the caller has fetched. Needs the feature `register`.
    ///
    /// The record may be old, as long as one of the nodes it names is still there. For whoever has a
    /// client of the store at hand anyway; otherwise [`Client::connect`] fetches it.
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    #[cfg(feature = "register")]
    pub fn connect_record(record: &str) -> Result<Client, Error> {
        Client::builder().connect_record(record)
    }

    /// A client with other timeouts than the default ones.
    pub fn builder() -> Builder {
        Builder { config: Config::default(), deadline: None }
    }

    /// The counter called `name`.
    pub fn counter(&self, name: &str) -> Counter<'_> {
        Counter::new(self, name)
    }

    /// The flag called `name`.
    pub fn flag(&self, name: &str) -> Flag<'_> {
        Flag::new(self, name)
    }

    /// The cell called `name`.
    pub fn cell(&self, name: &str) -> Cell<'_> {
        Cell::new(self, name)
    }

    /// The vector called `name`.
    pub fn vector(&self, name: &str) -> Vector<'_> {
        Vector::new(self, name)
    }

    /// The reduction called `name`.
    pub fn reduction(&self, name: &str) -> Reduction<'_> {
        Reduction::new(self, name, Hold::default())
    }

    /// The barrier called `name`.
    pub fn barrier(&self, name: &str) -> Barrier<'_> {
        Barrier::new(self, name, Hold::default())
    }

    /// The latch called `name`.
    pub fn latch(&self, name: &str) -> Latch<'_> {
        Latch::new(self, name)
    }

    /// The list called `name`.
    pub fn list(&self, name: &str) -> List<'_> {
        List::new(self, name, Hold::default())
    }

    /// The map called `name`.
    pub fn map(&self, name: &str) -> Map<'_> {
        Map::new(self, name)
    }

    /// The map called `name`, seen as sorted.
    pub fn sorted_map(&self, name: &str) -> SortedMap<'_> {
        SortedMap::new(self, name)
    }

    /// The set called `name`.
    pub fn set(&self, name: &str) -> Set<'_> {
        Set::new(self, name)
    }

    /// The semaphore called `name`, of `permits` permits in all.
    pub fn semaphore(&self, name: &str, permits: u32) -> Semaphore<'_> {
        Semaphore::new(self, name, permits, Hold::default())
    }

    /// The lock called `name`.
    pub fn lock(&self, name: &str) -> Lock<'_> {
        Lock::new(self, name, Hold::default())
    }

    /// The future called `name`.
    pub fn future(&self, name: &str) -> Future<'_> {
        Future::new(self, name)
    }

    /// The log called `name`.
    pub fn log(&self, name: &str) -> Log<'_> {
        Log::new(self, name)
    }

    /// The object called `name` of a type of your own.
    pub fn object<T: UserType>(&self, name: &str) -> UserObject<'_, T> {
        UserObject::new(self, name)
    }

    /// All objects whose names begin with `prefix`: the objects of a job.
    pub fn scope(&self, prefix: &str) -> Scope<'_> {
        Scope::new(self, prefix)
    }

    /// Says when this function ends. What it takes from then on (locks, permits, claims, seats) is
    /// held until 2 seconds after, unless the handle says otherwise: see [`Hold`].
    ///
    /// Set it anew in each invocation; a deadline that has passed leaves the 2 seconds.
    pub fn set_deadline(&self, deadline: Instant) {
        self.deadline.set(Some(deadline));
    }

    /// Takes the deadline back: what is taken from then on is held as long as the session.
    pub fn clear_deadline(&self) {
        self.deadline.set(None);
    }

    /// When this function ends, if it said so.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// An empty batch of ops, to be sent together.
    pub fn pipeline<'o>(&self) -> Pipeline<'_, 'o> {
        Pipeline::new(self)
    }

    /// Begins anew: the next calls use new connections and new sessions.
    ///
    /// Needed where a process is copied while it runs, as Lambda SnapStart does: copies that share a
    /// session take each other's requests for repetitions. Call it first thing after being restored.
    pub fn forget_sessions(&mut self) {
        let node = self.node.get_mut();
        node.sessions.clear();
        node.lanes.clear();
        // A cluster may have been founded anew meanwhile, and count its epochs from the beginning.
        node.trusting = node.topology.is_cluster();
        node.topology_stale |= node.trusting;
    }

    /// Closes the client's sessions: what it holds is free for others at once. Dropping a client does
    /// the same; this says so where it is meant.
    pub fn close(self) {
        drop(self);
    }

    /// Name and version of the engine.
    pub fn engine(&self) -> String {
        self.node.borrow().topology.engine().to_owned()
    }

    /// Asks one thing and reads the reply with `read`, which answers `None` if it is of the wrong
    /// sort. `wait` is how long the request may wait inside the engine.
    pub(crate) fn ask<T>(
        &self,
        target: &Target,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, Error> {
        let mut node = self.node.borrow_mut();
        let mut request = target.request(op, wait);
        let answer = self.exchange(&mut node, target, &mut request, wait)?;
        let body = &node.lanes[answer.buffer].buffer.bytes()[answer.body];
        let reply = Reply::decode(request.code, body).map(read);
        reply.and_then(wrong_sort).map_err(|fault| target.error(&request, Failure::Garbled(fault)))
    }

    /// Asks one thing and keeps the reply where it was received; `read` says what in it matters.
    pub(crate) fn ask_held<T>(
        &self,
        target: &Target,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(&Held<'_>, Reply<'_>) -> Option<T>,
    ) -> Result<(Held<'_>, T), Error> {
        let mut node = self.node.borrow_mut();
        let mut request = target.request(op, wait);
        let answer = self.exchange(&mut node, target, &mut request, wait)?;
        let buffer = node.lanes[answer.buffer].swap_buffer(&self.pool);
        let held = Held::new(buffer, answer.body, &self.pool);
        let read = Reply::decode(request.code, held.body()).map(|reply| read(&held, reply));
        match read.and_then(wrong_sort) {
            Ok(parts) => Ok((held, parts)),
            Err(fault) => Err(target.error(&request, Failure::Garbled(fault))),
        }
    }

    /// Asks for bytes that may be there, and keeps them where they were received.
    pub(crate) fn ask_value(
        &self,
        target: &Target,
        op: Op<'_>,
        wait: Option<Duration>,
    ) -> Result<Option<ValueView<'_>>, Error> {
        let (held, place) = self.ask_held(target, op, wait, |held, reply| match reply {
            Reply::Value(bytes) => Some(bytes.map(|bytes| held.place_of(bytes))),
            _ => None,
        })?;
        Ok(place.map(|place| ValueView::new(held, place)))
    }

    /// Asks for bytes that are always there, and keeps them where they were received.
    pub(crate) fn ask_bytes(
        &self,
        target: &Target,
        op: Op<'_>,
        wait: Option<Duration>,
    ) -> Result<ValueView<'_>, Error> {
        let (held, place) = self.ask_held(target, op, wait, |held, reply| match reply {
            Reply::Value(bytes) => bytes.map(|bytes| held.place_of(bytes)),
            _ => None,
        })?;
        Ok(ValueView::new(held, place))
    }

    fn exchange(
        &self,
        node: &mut Node,
        target: &Target,
        request: &mut Request<'_>,
        wait: Option<Duration>,
    ) -> Result<Answer, Error> {
        let timeout = node.config.call_timeout + wait.unwrap_or_default().min(TIMEOUT_MAX);
        let exchange = Exchange {
            node,
            pool: &self.pool,
            requests: std::slice::from_mut(request),
            kept: None,
            deadline: Instant::now() + timeout,
            open: 0,
        };
        exchange.run();
        let outcome = request.outcome.take().expect("an exchange gives every request an outcome");
        outcome.map_err(|failure| target.error(request, failure))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.node.get_mut().close_sessions();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

/// Chooses timeouts and limits for a [`Client`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
    deadline: Option<Instant>,
}

impl Builder {
    /// Longest time to set up a connection, and until an unresponsive path is given up for another
    /// connection. 2 seconds unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.config.connect_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Longest time from a call to its result, with all repetitions. 5 seconds unless set. Calls
    /// that wait inside the engine take this beyond their own timeout, and no longer than this if
    /// the engine is gone.
    pub fn call_timeout(mut self, timeout: Duration) -> Builder {
        self.config.call_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// How long to ask the socket for the reply again and again before sleeping until it comes. Off
    /// unless set. 20 to 50 µs shorten the round trip where the caller has a core for itself, and
    /// only steal time where it has not.
    pub fn spin(mut self, spin: Duration) -> Builder {
        self.config.spin = spin.min(TIMEOUT_MAX);
        self
    }

    /// After how much silence the engine may forget a session of this client, at most an hour. 20
    /// minutes unless set. A repetition that comes later is refused.
    pub fn session_ttl(mut self, ttl: Duration) -> Builder {
        let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        // 0 would mean the engine's default.
        self.config.session_ttl_ms = ttl_ms.clamp(1, SESSION_TTL_MS_MAX);
        self
    }

    /// Largest reply frame to make room for, in bytes: what any frame may have, unless set.
    pub fn reply_bytes_max(mut self, bytes: u32) -> Builder {
        self.config.reply_bytes_max = bytes;
        self
    }

    /// Which members of a cluster are asked what changes nothing: the heads of the chains unless set.
    /// On a single node it makes no difference.
    ///
    /// With [`ReadFrom::Any`], reads are answered as if the head had been asked: a member answers only
    /// what all members have, and only while the others have promised to go on with nobody but it. So
    /// reads stay linearizable, and see what this client and all others have written before. It takes
    /// load from the heads if many clients read what few write. A member that is busy twice, or cannot
    /// be reached, is left alone for a second, and the head is asked. The reads of a
    /// [`Pipeline`](crate::Pipeline) with updates in it go to the heads, to keep their order, and so
    /// does whatever waits.
    pub fn read_from(mut self, read_from: ReadFrom) -> Builder {
        self.config.read_from = read_from;
        self
    }

    /// How a store with a cluster's record is reached. What is not said here, the environment says
    /// (`CATENA_S3_ENDPOINT_URL` and so on), or where AWS' own tools have it. Needs the feature `s3`.
    #[cfg(feature = "s3")]
    pub fn s3(mut self, settings: S3Settings) -> Builder {
        self.config.s3 = settings;
        self
    }

    /// Whether an update of an object that is not there makes it, as it does unless set. With `false` it is
    /// refused with [`Status::Absent`]: for those who come late to a job whose objects somebody else makes and
    /// deletes.
    pub fn makes_objects(mut self, makes: bool) -> Builder {
        self.config.makes_objects = makes;
        self
    }

    /// When this function ends, see [`Client::set_deadline`].
    pub fn deadline(mut self, deadline: Instant) -> Builder {
        self.deadline = Some(deadline);
        self
    }

    /// Connects, see [`Client::connect`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    pub fn connect(self, address: impl ToString) -> Result<Client, Error> {
        let address = address.to_string();
        self.connect_seeds(Seeds::parse(&address), &address)
    }

    /// Connects, see [`Client::connect_record`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    #[cfg(feature = "register")]
    pub fn connect_record(self, record: &str) -> Result<Client, Error> {
        const NAME: &str = "the record";
        let bad = |error| Error::BadAddress { address: NAME.into(), source: Arc::new(error) };
        let seeds = Seeds::in_record(record).map_err(bad)?;
        self.connect_seeds(seeds, NAME)
    }

    fn connect_seeds(self, seeds: Seeds, name: &str) -> Result<Client, Error> {
        let pool = Pool::default();
        let node = Node::connect(self.config, seeds, &pool)
            .map_err(|unreached: Unreached| Error::of_unreached(name, unreached))?;
        Ok(Client { node: RefCell::new(node), pool, deadline: self.deadline.into() })
    }
}

/// Refuses a reply that is well-formed but not one the op has.
fn wrong_sort<T>(read: Option<T>) -> Result<T, Fault> {
    read.ok_or(Fault::new(Status::BadBody))
}
