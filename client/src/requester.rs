//! Sends requests and reads replies: what handles, walks and pipelines are built on.
//!
//! It knows ops and replies, but no handles. A [`Client`](crate::Client) owns the only one, and
//! everything that a client makes borrows it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use catena_protocol::{Fault, Op, PageItems, Reply, Status};

use crate::buffer::{HeldReply, Pool};
use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::hold::Hold;
use crate::node::Node;
use crate::request::{Failure, PendingRequest, ReplyLocation};
use crate::target::CallTarget;
use crate::view::{PageView, ValueView};

/// The connections of a client, and the one way to send a request over them.
pub(crate) struct Requester {
    pub(crate) node: RefCell<Node>,
    pub(crate) pool: Pool,
    /// When the caller's function ends.
    pub(crate) deadline: Cell<Option<Instant>>,
}

impl Requester {
    pub(crate) fn new(node: Node, pool: Pool, deadline: Option<Instant>) -> Requester {
        Requester { node: RefCell::new(node), pool, deadline: Cell::new(deadline) }
    }

    /// Name and version of the engine.
    pub(crate) fn engine(&self) -> String {
        self.node.borrow().topology.engine().to_owned()
    }

    /// How many shards the node has.
    pub(crate) fn shards(&self) -> u32 {
        self.node.borrow().topology.shards()
    }

    /// A hold in milliseconds, as requests carry it.
    pub(crate) fn hold_ms(&self, hold: impl Into<Hold>) -> u32 {
        hold.into().ms(self.deadline.get())
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
        let mut node = self.node.borrow_mut();
        let mut request = target.request(op, wait);
        let location = self.exchange(&mut node, target, &mut request, wait)?;
        let body = &node.lanes[location.buffer].buffer.bytes()[location.body];
        let reply = Reply::decode(request.code, body).map(read);
        reply.and_then(of_its_sort).map_err(|fault| target.error(&request, Failure::Garbled(fault)))
    }

    /// Sends one request and keeps the reply in the buffer it was received in; `read` says which
    /// parts of it matter.
    pub(crate) fn ask_held<T>(
        &self,
        target: &CallTarget,
        op: Op<'_>,
        wait: Option<Duration>,
        read: impl FnOnce(&HeldReply<'_>, Reply<'_>) -> Option<T>,
    ) -> Result<(HeldReply<'_>, T), Error> {
        let mut node = self.node.borrow_mut();
        let mut request = target.request(op, wait);
        let location = self.exchange(&mut node, target, &mut request, wait)?;
        let buffer = node.lanes[location.buffer].swap_buffer(&self.pool);
        let held = HeldReply::new(buffer, location.body, &self.pool);
        let read = Reply::decode(request.code, held.body()).map(|reply| read(&held, reply));
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
    ) -> Result<Option<ValueView<'_>>, Error> {
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
    ) -> Result<ValueView<'_>, Error> {
        let (held, place) = self.ask_held(target, op, wait, |held, reply| match reply {
            Reply::Value(bytes) => bytes.map(|bytes| held.place_of(bytes)),
            _ => None,
        })?;
        Ok(ValueView::new(held, place))
    }

    /// Asks for a page of items, and keeps it in the buffer it was received in.
    pub(crate) fn ask_page(&self, target: &CallTarget, op: Op<'_>) -> Result<PageView<'_>, Error> {
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

    fn exchange(
        &self,
        node: &mut Node,
        target: &CallTarget,
        request: &mut PendingRequest<'_>,
        wait: Option<Duration>,
    ) -> Result<ReplyLocation, Error> {
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

impl Requester {
    /// Closes all sessions, and waits until the engine has done so, at most the timeout of a call.
    pub(crate) fn close(&mut self) {
        let node = self.node.get_mut();
        node.close_sessions(Instant::now() + node.config.call_timeout, &self.pool);
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        // Without waiting: a client may be dropped because something has failed.
        self.node.get_mut().close_sessions(Instant::now(), &self.pool);
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
