//! A pool of unused reply buffers, shared by the connections of a core.
//!
//! A connection has a buffer only from its first reply to the end of the write, so an idle
//! connection has none. The buffer returned last is taken first, because it is still in the cache.

use std::cell::{Cell, RefCell};

use crate::config::{BUFFER_BYTES, BUFFER_BYTES_MIN, REPLY_BUFFERS_MAX};

/// The pool. It keeps as many buffers as there are connections, up to [`REPLY_BUFFERS_MAX`], so that a
/// busy core does not allocate and free them again and again.
#[derive(Default)]
pub(super) struct ReplyBuffers {
    buffers: RefCell<Vec<Vec<u8>>>,
    buffers_max: Cell<usize>,
}

impl ReplyBuffers {
    /// Sets how many buffers are kept, by the number of connections.
    pub(super) fn set_max(&self, connections: usize) {
        let max = connections.min(REPLY_BUFFERS_MAX);
        self.buffers_max.set(max);
        self.buffers.borrow_mut().truncate(max);
    }

    /// Returns an empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        let buffer = self.buffers.borrow_mut().pop();
        buffer.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES_MIN))
    }

    /// Takes a buffer back and empties it. One that held large replies is shrunk.
    pub(super) fn put_back(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < self.buffers_max.get() {
            buffer.clear();
            buffer.shrink_to(BUFFER_BYTES);
            buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_returned_last_is_taken_first_and_the_pool_is_bounded() {
        let pool = ReplyBuffers::default();
        pool.set_max(2);
        for size in [100_000, 20_000, 30_000] {
            pool.put_back(vec![7; size]);
        }
        let taken = || {
            let buffer = pool.take();
            (buffer.len(), buffer.capacity())
        };
        assert_eq!([taken(), taken()], [(0, 20_000), (0, BUFFER_BYTES)]);
        assert_eq!(taken(), (0, BUFFER_BYTES_MIN), "a third buffer was not kept");
        pool.put_back(Vec::with_capacity(50_000));
        pool.set_max(0);
        assert_eq!(pool.take().capacity(), BUFFER_BYTES_MIN, "no connection is left to need it");
    }
}
