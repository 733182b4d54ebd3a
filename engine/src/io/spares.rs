//! Reply buffers that nobody uses at the moment, shared by the connections of a core.
//!
//! A connection has one only from its first reply to the end of the write. The one that was given back
//! last is taken first, as it is still in the cache; and a connection that is idle has none.

use std::cell::{Cell, RefCell};

use crate::config::{BUFFER_BYTES, BUFFER_BYTES_MIN};

/// The buffers. There are never more than connections, so none is asked of the allocator again and
/// again.
#[derive(Default)]
pub(super) struct Spares {
    buffers: RefCell<Vec<Vec<u8>>>,
    connections: Cell<usize>,
}

impl Spares {
    /// One more connection, or one less, may need a buffer.
    pub(super) fn count(&self, connections: usize) {
        self.connections.set(connections);
        self.buffers.borrow_mut().truncate(connections);
    }

    /// An empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        let spare = self.buffers.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES_MIN))
    }

    /// Takes a buffer back, whatever is in it; the memory of one that held something large goes.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < self.connections.get() {
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
    fn the_last_one_given_is_taken_first_and_there_are_not_too_many() {
        let spares = Spares::default();
        spares.count(2);
        for size in [100_000, 20_000, 30_000] {
            spares.give(vec![7; size]);
        }
        let taken = || {
            let buffer = spares.take();
            (buffer.len(), buffer.capacity())
        };
        assert_eq!([taken(), taken()], [(0, 20_000), (0, BUFFER_BYTES)]);
        assert_eq!(taken(), (0, BUFFER_BYTES_MIN), "a third connection's was not kept");
        spares.give(Vec::with_capacity(50_000));
        spares.count(0);
        assert_eq!(spares.take().capacity(), BUFFER_BYTES_MIN, "nobody is left to need it");
    }
}
