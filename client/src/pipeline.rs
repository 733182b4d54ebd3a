//! Many ops at once.
//!
//! A pipeline remembers ops without copying what they carry, and sends them in as few writes as the
//! windows of the engine allow. Each op has its own outcome; one that fails leaves the others alone.
//! Replies stay in the buffers they were received in.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use catena_protocol::op::ObjectOp;
use catena_protocol::{ObjectId, Op, OpCode, Reply};

use crate::buffer::{Buffer, Pool};
use crate::client::Client;
use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::objects::{Object, Target};
use crate::request::{Answer, Failure, Place, Request};

/// Ops to be sent together; made by [`Client::pipeline`].
///
/// Ops on one object are executed in the order in which they were queued, unless the engine refuses
/// one for now (it is full, going away, or no head yet) and it has to be sent again. Ops on different objects
/// have no order. Nothing is sent before [`Pipeline::run`].
#[derive(Debug)]
pub struct Pipeline<'c, 'o> {
    client: &'c Client,
    queued: Vec<Queued<'o>>,
    timeout: Option<Duration>,
}

#[derive(Debug)]
struct Queued<'o> {
    target: Target,
    op: Op<'o>,
}

impl<'c, 'o> Pipeline<'c, 'o> {
    pub(crate) fn new(client: &'c Client) -> Pipeline<'c, 'o> {
        Pipeline { client, queued: Vec::new(), timeout: None }
    }

    /// Queues an op. Answers the place its reply will have.
    pub fn push<T: Object>(&mut self, object: &T, op: T::Op<'o>) -> usize {
        self.queue(object.target(), T::op(op))
    }

    /// Queues the deletion of an object, answered by a [`Reply::Bool`].
    pub fn delete<T: Object>(&mut self, object: &T) -> usize {
        self.queue(object.target(), Op::Object(ObjectOp::Delete))
    }

    /// How long ops may wait inside the engine; not at all unless set. [`Pipeline::run`] takes at
    /// most the client's call timeout longer, however many ops there are.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout.min(TIMEOUT_MAX));
        self
    }

    /// How many ops are queued.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether no op is queued.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Sends everything and waits for all replies.
    pub fn run(self) -> Replies<'c> {
        let mut node = self.client.node.borrow_mut();
        let queued = self.queued.iter();
        let mut requests: Vec<Request<'_>> =
            queued.map(|queued| queued.target.request(queued.op, self.timeout)).collect();
        if node.config.makes_objects {
            name_firsts(&mut requests);
        }
        let mut kept = Vec::new();
        let timeout = node.config.call_timeout + self.timeout.unwrap_or_default();
        let exchange = Exchange {
            node: &mut node,
            pool: &self.client.pool,
            requests: &mut requests,
            kept: Some(&mut kept),
            deadline: Instant::now() + timeout,
            open: 0,
        };
        exchange.run();
        let outcomes = requests.iter_mut().zip(&self.queued);
        let outcomes = outcomes.map(|(request, queued)| outcome(request, &queued.target, &kept));
        Replies { outcomes: outcomes.collect(), kept, pool: &self.client.pool }
    }

    pub(crate) fn queue(&mut self, target: &Target, op: Op<'o>) -> usize {
        self.queued.push(Queued { target: target.clone(), op });
        self.queued.len() - 1
    }
}

/// Puts its name in front of the first update of an object that is asked more than that. If the engine
/// had to ask for the name, what comes behind would be executed before.
fn name_firsts(requests: &mut [Request<'_>]) {
    if requests.len() < 2 {
        return;
    }
    // For each object the place of its first update, until that is named.
    let mut firsts: HashMap<ObjectId, Option<usize>, BuildHasherDefault<IdHasher>> =
        HashMap::default();
    for at in 0..requests.len() {
        let request = &requests[at];
        let Place::Object(id) = request.place else { continue };
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

/// Ids are hashes already.
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
pub struct Replies<'c> {
    outcomes: Vec<Result<Located, Error>>,
    kept: Vec<Buffer>,
    pool: &'c Pool,
}

/// A reply that was checked, and where it lies.
#[derive(Debug)]
struct Located {
    code: OpCode,
    answer: Answer,
}

impl Replies<'_> {
    /// How many ops there were.
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// The outcome of the op that [`Pipeline::push`] gave this place. Bytes and numbers in the reply
    /// are lent out where they were received.
    ///
    /// # Errors
    ///
    /// Why the op has no reply.
    ///
    /// # Panics
    ///
    /// If there was no such op.
    pub fn get(&self, place: usize) -> Result<Reply<'_>, &Error> {
        let Located { code, answer } = self.outcomes[place].as_ref()?;
        let body = &self.kept[answer.buffer].bytes()[answer.body.clone()];
        Ok(Reply::decode(*code, body).expect("the reply was checked when it came"))
    }

    /// All outcomes.
    pub fn iter(&self) -> impl Iterator<Item = Result<Reply<'_>, &Error>> {
        (0..self.len()).map(|place| self.get(place))
    }

    /// The replies, if all ops have one.
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

impl Drop for Replies<'_> {
    fn drop(&mut self) {
        self.kept.drain(..).for_each(|buffer| self.pool.put(buffer));
    }
}

/// The outcome of a request whose reply lies in one of `kept`.
fn outcome(request: &mut Request<'_>, target: &Target, kept: &[Buffer]) -> Result<Located, Error> {
    let outcome = request.outcome.take().expect("an exchange gives every request an outcome");
    let code = request.code;
    let located = outcome.and_then(|answer| {
        let body = &kept[answer.buffer].bytes()[answer.body.clone()];
        Reply::decode(code, body).map_err(Failure::Garbled)?;
        Ok(Located { code, answer })
    });
    located.map_err(|failure| target.error(request, failure))
}
