//! Large replies that several connections wait to send, such as the result of a reduction: the body
//! is in memory once, however many get it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use catena_core::objects::StoredReply;
use catena_protocol::{Header, Status};

use super::unsent::UnsentTotal;

/// A body that connections wait to send. It counts as unsent once, for as long as one of them has it.
pub(super) struct SharedBody {
    bytes: Bytes,
    unsent_total: Rc<UnsentTotal>,
}

/// A reply with such a body, in the queue of a connection.
pub(super) struct SharedReply {
    /// How many of the connection's unsent bytes go before it.
    pub(super) at: usize,
    /// The header of the request.
    pub(super) to: Header,
    pub(super) status: Status,
    pub(super) body: Rc<SharedBody>,
}

/// The body that was shared last. Those who get the same get it one after the other.
#[derive(Default)]
pub(super) struct LastShared(RefCell<Weak<SharedBody>>);

impl SharedBody {
    /// Returns the bytes, which are not copied.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        self.unsent_total.replace(self.bytes.len(), 0);
    }
}

impl LastShared {
    /// Returns the body of a reply, if it is large enough to be shared, and the reply's status.
    pub(super) fn of(
        &self,
        reply: &StoredReply,
        unsent_total: &Rc<UnsentTotal>,
    ) -> Option<(Status, Rc<SharedBody>)> {
        let (status, body) = reply.large_body()?;
        let last = self.0.borrow().upgrade().filter(|last| last.bytes.as_ptr() == body.as_ptr());
        let shared = last.unwrap_or_else(|| {
            unsent_total.replace(0, body.len());
            let bytes = Bytes::from_owner(Arc::clone(body));
            let shared = Rc::new(SharedBody { bytes, unsent_total: unsent_total.clone() });
            self.0.replace(Rc::downgrade(&shared));
            shared
        });
        Some((status, shared))
    }
}
