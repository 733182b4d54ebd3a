//! Sends requests and reads replies: what handles, walks and pipelines are built on.
//!
//! It knows ops and replies, but no handles. Every handle has a requester, and all requesters of a
//! client share its connections, see `shared`.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::{Fault, Op, PageItems, Reply, Status};

use crate::buffer::{Buffer, HeldReply};
use crate::cancel::{Canceller, Interrupts};
use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::hold::Hold;
use crate::request::{Failure, PendingRequest};
use crate::shared::{CallClass, CheckedOutNode, HoldKeeper, NodeKey, Shared};
use crate::target::CallTarget;
use crate::topology::Topology;
use crate::trace;
use crate::view::{PageView, ValueView};

/// A way to send requests over the connections of a client.
#[derive(Clone)]
pub struct Requester {
    pub(crate) shared: Arc<Shared>,
    /// Ends the calls of this requester.
    canceller: Option<Canceller>,
    /// The node to use if it is free, because it holds something.
    via: Option<Arc<NodeKey>>,
    /// Its calls release something, so that nothing cancels them.
    releases: bool,
}

impl Requester {
    pub(crate) fn new(shared: Shared) -> Requester {
        Requester { shared: Arc::new(shared), canceller: None, via: None, releases: false }
    }

    /// One whose calls the canceller ends.
    pub(crate) fn cancelled_by(&self, canceller: &Canceller) -> Requester {
        Requester { canceller: Some(canceller.clone()), ..self.clone() }
    }

    /// One for the guard of a hold: it prefers the node that has taken it, and nothing cancels its
    /// calls, because they release what is held.
    pub(crate) fn through(&self, keeper: &HoldKeeper) -> Requester {
        let via = Some(Arc::clone(keeper.key()));
        Requester { shared: Arc::clone(&self.shared), canceller: None, via, releases: true }
    }

    /// One for a call that names the token of a hold, and releases it if the hold `ends`: it prefers
    /// the node that has taken the hold, because requests in its session keep that alive.
    pub(crate) fn for_token(&self, target: &CallTarget, token: u64, ends: bool) -> Requester {
        let keeper = self.shared.keeper_of(target.addressee, token, ends);
        Requester { via: keeper.or_else(|| self.via.clone()), ..self.clone() }
    }

    /// Lets a hold outlast its guard.
    pub(crate) fn keep(&self, target: &CallTarget, token: u64, keeper: &HoldKeeper) {
        self.shared.keep(target.addressee, token, keeper);
    }

    /// Name and version of the engine.
    pub(crate) fn engine(&self) -> String {
        self.shared.topology(|topology| topology.engine().to_owned())
    }

    /// How many shards the node has.
    pub(crate) fn shards(&self) -> u32 {
        self.shared.topology(Topology::shards)
    }

    /// A hold in milliseconds, as requests carry it.
    pub(crate) fn hold_ms(&self, hold: impl Into<Hold>) -> u32 {
        hold.into().ms(self.shared.deadline())
    }

    /// Sends one request and reads the reply with `read`, which returns `None` if the reply is not
    /// of a sort that the op has. `wait` is how long the request may wait inside the engine.
    pub(crate) fn ask<T>(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, Error> {
        self.ask_from(target, op, wait, |_, reply| read(reply))
    }

    /// As [`Requester::ask`]; also returns what keeps the node that has taken the hold.
    pub(crate) fn ask_hold<T>(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<(T, HoldKeeper), Error> {
        self.ask_from(target, op, wait, |node, reply| {
            Some((read(reply)?, HoldKeeper::new(Arc::clone(node))))
        })
    }

    fn ask_from<T>(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(&Arc<NodeKey>, Reply<'_>) -> Option<T>,
    ) -> Result<T, Error> {
        let mut request = target.request(op, wait);
        let (mut call, buffer, body) = self.exchange(target, &mut request, wait)?;
        let node = call.node();
        let body = &node.lanes[buffer].buffer.bytes()[body];
        let reply = Reply::decode(request.code, body).map(|reply| read(&node.key, reply));
        reply.and_then(of_its_sort).map_err(|fault| target.error(&request, Failure::Garbled(fault)))
    }

    /// Sends one request and keeps the reply in the buffer it was received in; `read` says which
    /// parts of it matter.
    pub(crate) fn ask_held<T>(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(&HeldReply, Reply<'_>) -> Option<T>,
    ) -> Result<(HeldReply, T), Error> {
        self.ask_held_from(target, op, wait, |_, held, reply| read(held, reply))
    }

    /// As [`Requester::ask_held`], with the key of the node to read with.
    pub(crate) fn ask_held_from<T>(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(&Arc<NodeKey>, &HeldReply, Reply<'_>) -> Option<T>,
    ) -> Result<(HeldReply, T), Error> {
        let mut request = target.request(op, wait);
        let (mut call, buffer, body) = self.exchange(target, &mut request, wait)?;
        let node = call.node();
        let buffer: Buffer = node.lanes[buffer].swap_buffer(&self.shared.buffers);
        let held = HeldReply::new(buffer, body, Arc::clone(&self.shared.buffers));
        let read =
            Reply::decode(request.code, held.body()).map(|reply| read(&node.key, &held, reply));
        match read.and_then(of_its_sort) {
            Ok(parts) => Ok((held, parts)),
            Err(fault) => Err(target.error(&request, Failure::Garbled(fault))),
        }
    }

    /// Asks for bytes that may be absent, and keeps them in the buffer they were received in.
    pub(crate) fn ask_value(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
    ) -> Result<Option<ValueView>, Error> {
        let (held, place) = self.ask_held(target, op, wait, |held, reply| match reply {
            Reply::Value(bytes) => Some(bytes.map(|bytes| held.place_of(bytes))),
            _ => None,
        })?;
        Ok(place.map(|place| ValueView::new(held, place)))
    }

    /// Asks for bytes that are never absent, and keeps them in the buffer they were received in.
    pub(crate) fn ask_bytes(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
    ) -> Result<ValueView, Error> {
        let (held, place) = self.ask_held(target, op, wait, |held, reply| match reply {
            Reply::Value(bytes) => bytes.map(|bytes| held.place_of(bytes)),
            _ => None,
        })?;
        Ok(ValueView::new(held, place))
    }

    /// Asks for a page of items, and keeps it in the buffer it was received in.
    pub(crate) fn ask_page(&self, target: &CallTarget, op: Op<'_>) -> Result<PageView, Error> {
        let (held, (at, more, lens, bytes)) =
            self.ask_held(target, op, None, |held, reply| match reply {
                Reply::Page { at, more, items: PageItems::Borrowed(items) } => {
                    let lens = held.place_of(bytemuck::cast_slice(items.lens()));
                    Some((at, more, lens, held.place_of(items.bytes())))
                }
                _ => None,
            })?;
        Ok(PageView::new(held, at, more, lens, bytes))
    }

    /// Runs an exchange of one request. Returns the node with the reply, and where that lies: the
    /// lane and the range in its buffer.
    fn exchange(
        &self,
        target: &CallTarget,
        request: &mut PendingRequest<'_>,
        wait: Option<Duration>,
    ) -> Result<(CheckedOutNode<'_>, usize, Range<usize>), Error> {
        let _span = trace::call(request.code, &target.name);
        let timeout = self.shared.config.call_timeout + wait.unwrap_or_default().min(TIMEOUT_MAX);
        let requests = std::slice::from_mut(request);
        let call = self.run(requests, None, Instant::now() + timeout, CallClass::of(wait));
        let outcome = request.outcome.take().expect("an exchange gives every request an outcome");
        match (outcome, call) {
            (Ok(location), Some(call)) => Ok((call, location.buffer, location.body)),
            (Err(failure), _) => Err(target.error(request, failure)),
            (Ok(_), None) => unreachable!("a reply comes from a node"),
        }
    }

    /// Gives every request its outcome. Returns the node that was used, unless there was none for
    /// the call.
    pub(crate) fn run(
        &self,
        requests: &mut [PendingRequest<'_>],
        kept: Option<&mut Vec<Buffer>>,
        deadline: Instant,
        class: CallClass,
    ) -> Option<CheckedOutNode<'_>> {
        let mut call = match self.shared.check_out(class, self.via.as_ref()) {
            Ok(call) => call,
            Err(failure) => {
                for request in requests {
                    request.outcome.get_or_insert_with(|| Err(failure.clone()));
                }
                return None;
            }
        };
        let node = call.node();
        let config = Arc::clone(&node.config);
        let flag = config.cancel.as_deref().filter(|_| !self.releases);
        let interrupts = Interrupts { flag, canceller: self.canceller.as_ref() };
        let registration = self.canceller.as_ref().map(|canceller| canceller.register(&node.waker));
        let exchange = Exchange {
            node,
            pool: &self.shared.buffers,
            requests,
            kept,
            deadline,
            interrupts,
            open: 0,
        };
        exchange.run();
        drop(registration);
        Some(call)
    }
}

impl std::fmt::Debug for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requester").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

/// Refuses a reply that is well-formed but not one that the op has.
fn of_its_sort<T>(read: Option<T>) -> Result<T, Fault> {
    read.ok_or(Fault::new(Status::BadBody))
}
