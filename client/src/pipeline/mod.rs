//! Many ops in one batch.
//!
//! A pipeline keeps references to its ops, copies nothing, and sends them in as few writes as the
//! engine's windows allow. Each op has its own outcome; if one fails, the others are not affected.
//! Replies stay in the buffers they were received in.

mod queue;
pub mod values;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catena_protocol::op::ObjectOp;
use catena_protocol::{ObjectId, Op, OpCode, Reply};

pub use self::queue::Queue;
use self::values::{OpValue, Ticket};
use crate::buffer::{Buffer, Pool};
use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::objects::Object;
use crate::request::{Addressee, Failure, PendingRequest, ReplyLocation};
use crate::requester::Requester;
use crate::shared::CallClass;
use crate::target::CallTarget;
use crate::trace;

/// A batch of ops; made by [`Client::pipeline`](crate::Client::pipeline).
///
/// Ops on one object are executed in the order in which they were queued, unless the engine refuses
/// one temporarily (it is full, shutting down, or not the head yet) and the op is sent again. Ops
/// on different objects have no order. Nothing is sent before [`Pipeline::run`].
#[derive(Debug)]
pub struct Pipeline<'o> {
    requester: Requester,
    queued: Vec<QueuedOp<'o>>,
    timeout: Option<Duration>,
    /// Identifies it to the tickets of its ops.
    id: u64,
}

#[derive(Debug)]
struct QueuedOp<'o> {
    target: CallTarget,
    op: Op<'o>,
}

impl<'o> Pipeline<'o> {
    pub(crate) fn new(requester: &Requester) -> Pipeline<'o> {
        Pipeline { requester: requester.clone(), queued: Vec::new(), timeout: None, id: next_id() }
    }

    /// Queues an op as the protocol has it. Returns its index in the [`Replies`]. [`Pipeline::on`]
    /// has a method for each op instead, and values of the right types.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::{CounterOp, Reply};
    ///
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let index = pipeline.push(&visits, CounterOp::Add { delta: 2 });
    /// assert_eq!(pipeline.run().get(index).unwrap(), Reply::Int(2));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn push<T: Object>(&mut self, object: &T, op: T::Op<'o>) -> usize {
        self.queue(object.target(), T::op(op))
    }

    /// Queues the deletion of an object, whose reply is a [`Reply::Bool`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let (visits, page) = (client.counter("visits"), client.cell("page"));
    /// let mut pipeline = client.pipeline();
    /// pipeline.delete(&visits);
    /// pipeline.run().all_ok()?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn delete<T: Object>(&mut self, object: &T) -> usize {
        self.queue(object.target(), Op::Object(ObjectOp::Delete))
    }

    /// Sets how long ops may wait inside the engine; not at all unless set. [`Pipeline::run`] takes
    /// at most the client's call timeout longer, however many ops there are.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// let jobs = client.list("jobs");
    /// let mut pipeline = client.pipeline().timeout(Duration::from_secs(10));
    /// let pushed = pipeline.on(&jobs).push_back("resize");
    /// let popped = pipeline.on(&jobs).pop_front_wait();
    /// assert_eq!(pipeline.run().value(popped)?, b"resize");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout.min(TIMEOUT_MAX));
        self
    }

    /// Returns the number of queued ops.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let (visits, page) = (client.counter("visits"), client.cell("page"));
    /// let mut pipeline = client.pipeline();
    /// pipeline.on(&visits).add(1);
    /// assert_eq!(pipeline.len(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Returns whether no op is queued.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.pipeline().is_empty());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Sends everything and waits for all replies.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let (visits, page) = (client.counter("visits"), client.cell("page"));
    /// let mut pipeline = client.pipeline();
    /// let added = pipeline.on(&visits).add(1);
    /// let read = pipeline.on(&page).get();
    /// let replies = pipeline.run();
    /// assert_eq!((replies.value(added)?, replies.value(read)?.bytes), (1, &b""[..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn run(self) -> Replies {
        let _span = trace::pipeline(self.queued.len());
        let shared = &self.requester.shared;
        let queued = self.queued.iter();
        let mut requests: Vec<PendingRequest<'_>> =
            queued.map(|queued| queued.target.request(queued.op, self.timeout)).collect();
        if shared.config.makes_objects {
            name_firsts(&mut requests);
        }
        let mut kept = Vec::new();
        let timeout = shared.config.call_timeout + self.timeout.unwrap_or_default();
        let (deadline, class) = (Instant::now() + timeout, CallClass::of(self.timeout));
        drop(self.requester.run(&mut requests, Some(&mut kept), deadline, class));
        let outcomes = requests.iter_mut().zip(&self.queued);
        let outcomes = outcomes.map(|(request, queued)| outcome(request, &queued.target, &kept));
        let (outcomes, pool) = (outcomes.collect(), Arc::clone(&shared.buffers));
        drop(requests);
        let targets = self.queued.into_iter().map(|queued| queued.target).collect();
        Replies { outcomes, targets, kept, pool, pipeline: self.id }
    }

    pub(crate) fn queue(&mut self, target: &CallTarget, op: Op<'o>) -> usize {
        self.queued.push(QueuedOp { target: target.clone(), op });
        self.queued.len() - 1
    }
}

/// A number for a pipeline.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Attaches the object's name to the first update of every object with further requests. Otherwise
/// the engine might have to ask for the name, and would execute the requests behind it first.
fn name_firsts(requests: &mut [PendingRequest<'_>]) {
    if requests.len() < 2 {
        return;
    }
    // For each object the index of its first update, until that has its name.
    let mut firsts: HashMap<ObjectId, Option<usize>, BuildHasherDefault<IdHasher>> =
        HashMap::default();
    for at in 0..requests.len() {
        let request = &requests[at];
        let Addressee::Object(id) = request.addressee else { continue };
        match firsts.get_mut(&id) {
            None if request.may_make() => _ = firsts.insert(id, Some(at)),
            None => {}
            Some(first) => {
                let first = first.take();
                if request.code == OpCode::ObjectDelete {
                    firsts.remove(&id);
                }
                if let Some(first) = first {
                    requests[first].is_named = requests[first].outcome.is_none();
                }
            }
        }
    }
}

/// Takes an id as its own hash, because ids are hashes.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u128(&mut self, id: u128) {
        let [low, _]: [u64; 2] = bytemuck::cast(id);
        self.0 = low;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("an id is hashed as one number")
    }
}

/// The outcome of each op of a pipeline, in the order in which they were queued.
#[derive(Debug)]
pub struct Replies {
    outcomes: Vec<Result<LocatedReply, Error>>,
    /// What each op was on.
    targets: Vec<CallTarget>,
    kept: Vec<Buffer>,
    pool: Arc<Pool>,
    /// The pipeline.
    pipeline: u64,
}

/// A checked reply: its op, and where its body lies.
#[derive(Debug)]
struct LocatedReply {
    code: OpCode,
    location: ReplyLocation,
}

impl Replies {
    /// Returns the number of ops.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let added = pipeline.on(&visits).add(1);
    /// let replies = pipeline.run();
    /// assert_eq!(replies.len(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Returns whether there were none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.pipeline().run().is_empty());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Returns the outcome of the op for which [`Pipeline::push`] returned `index`. Bytes and
    /// numbers in the reply are borrowed from the buffer they were received in.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Reply;
    ///
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let added = pipeline.on(&visits).add(1);
    /// let replies = pipeline.run();
    /// assert_eq!(replies.get(added.index()).unwrap(), Reply::Int(1));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the op, if it failed.
    ///
    /// # Panics
    ///
    /// If there was no such op.
    pub fn get(&self, index: usize) -> Result<Reply<'_>, &Error> {
        let LocatedReply { code, location } = self.outcomes[index].as_ref()?;
        let body = &self.kept[location.buffer].bytes()[location.body.clone()];
        Ok(Reply::decode(*code, body).expect("the reply was checked when it came"))
    }

    /// Returns the value of the op for which a method of [`Pipeline::on`] returned `ticket`. Bytes
    /// and numbers are borrowed from the buffer they were received in. Can be called again.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let added = pipeline.on(&visits).add(1);
    /// let replies = pipeline.run();
    /// assert_eq!(replies.value(added)?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the op, if it failed.
    ///
    /// # Panics
    ///
    /// If the ticket is of another pipeline.
    pub fn value<V: OpValue>(&self, ticket: Ticket<V>) -> Result<V::Value<'_>, Error> {
        assert_eq!(ticket.pipeline, self.pipeline, "the ticket is of another pipeline");
        let reply = self.get(ticket.index).map_err(Error::clone)?;
        V::read(reply).ok_or_else(|| {
            let code = self.outcomes[ticket.index].as_ref().map(|located| located.code);
            self.targets[ticket.index].garbled(code.expect("the op has a reply"))
        })
    }

    /// Returns an iterator over all outcomes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let added = pipeline.on(&visits).add(1);
    /// let replies = pipeline.run();
    /// assert!(replies.iter().all(|reply| reply.is_ok()));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Result<Reply<'_>, &Error>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns the replies if every op succeeded.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let added = pipeline.on(&visits).add(1);
    /// let replies = pipeline.run();
    /// let replies = replies.all_ok()?; // or the first error
    /// assert_eq!(replies.value(added)?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first error.
    pub fn all_ok(mut self) -> Result<Self, Error> {
        match self.outcomes.iter().position(Result::is_err) {
            None => Ok(self),
            Some(at) => match self.outcomes.swap_remove(at) {
                Err(error) => Err(error),
                Ok(_) => unreachable!("the outcome at {at} is an error"),
            },
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.kept.drain(..).for_each(|buffer| self.pool.put(buffer));
    }
}

/// Checks the outcome of a request whose reply lies in one of `kept`.
fn outcome(
    request: &mut PendingRequest<'_>,
    target: &CallTarget,
    kept: &[Buffer],
) -> Result<LocatedReply, Error> {
    let outcome = request.outcome.take().expect("an exchange gives every request an outcome");
    let code = request.code;
    let located = outcome.and_then(|location| {
        let body = &kept[location.buffer].bytes()[location.body.clone()];
        Reply::decode(code, body).map_err(Failure::Garbled)?;
        Ok(LocatedReply { code, location })
    });
    located.map_err(|failure| target.error(request, failure))
}
