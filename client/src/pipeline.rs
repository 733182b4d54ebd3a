//! Many ops at once.
//!
//! A pipeline remembers ops without copying what they carry, and sends them in as few writes as the
//! windows of the engine allow. Each op has its own outcome; one that fails leaves the others alone.
//! Replies stay in the buffers they were received in.

use std::time::{Duration, Instant};

use catena_protocol::op::ObjectOp;
use catena_protocol::{Op, OpCode, Reply};

use crate::buffer::{Buffer, Pool};
use crate::client::Client;
use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::objects::{Object, Target};
use crate::request::{Answer, Failure, Request};

/// Ops to be sent together; made by [`Client::pipeline`].
///
/// Ops on one object are executed in the order in which they were queued, unless the engine refuses
/// one for now (it is full, or going away) and it has to be sent again. Ops on different objects
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
        let request = |queued: &Queued<'o>| queued.target.request(queued.op, self.timeout);
        let mut requests: Vec<Request<'o>> = self.queued.iter().map(request).collect();
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

    fn queue(&mut self, target: &Target, op: Op<'o>) -> usize {
        self.queued.push(Queued { target: target.clone(), op });
        self.queued.len() - 1
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
