//! Receive buffers, in which frames are read in place, and the pool that reuses them.
//!
//! 1. A buffer begins on a multiple of 16 and only whole frames are taken from its front, so every
//!    frame in it is aligned, as [`frame::next`](catena_protocol::frame::next) requires.
//! 2. A view of a reply owns the buffer, so nothing is received into it meanwhile.
//! 3. The pool keeps at most [`POOL_BUFFERS_MAX`] buffers of [`POOL_BYTES_MAX`] bytes in all.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::cancel::locked;
use crate::config::{BUFFER_BYTES, POOL_BUFFERS_MAX, POOL_BYTES_MAX};

/// Bytes, stored in words of 16 to align them.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    words: Vec<u128>,
    /// The first byte that was not taken yet.
    start: usize,
    /// The end of the received bytes.
    end: usize,
}

const WORD_BYTES: usize = size_of::<u128>();

impl Buffer {
    /// An empty buffer with room for at least `bytes`.
    pub(crate) fn with_room(bytes: usize) -> Buffer {
        Buffer { words: vec![0; bytes.div_ceil(WORD_BYTES)], start: 0, end: 0 }
    }

    /// The number of bytes it can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.words.len() * WORD_BYTES
    }

    /// All bytes, including those that were taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The bytes that were received and not taken.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes()[self.start..self.end]
    }

    /// Where [`Buffer::unread`] begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Room to receive into.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        let end = self.end;
        &mut bytemuck::cast_slice_mut(&mut self.words)[end..]
    }

    /// Records bytes received into [`Buffer::spare`].
    pub(crate) fn received(&mut self, bytes: usize) {
        self.end += bytes;
        assert!(self.end <= self.capacity(), "received into the spare room");
    }

    /// Takes a frame from the front.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.end, "only what was received can be taken");
    }

    /// Whether a frame of `bytes` fits behind the bytes that were taken.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.capacity() - self.start >= bytes && self.end < self.capacity()
    }

    /// Discards everything.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Moves the unread bytes to the front, over the ones that were taken.
    pub(crate) fn compact(&mut self) {
        let unread = self.start..self.end;
        self.end -= self.start;
        self.start = 0;
        // At most the beginning of one frame; often nothing.
        bytemuck::cast_slice_mut::<_, u8>(&mut self.words).copy_within(unread, 0);
    }

    /// Copies the unread bytes of `other` to the end of this one.
    pub(crate) fn adopt(&mut self, other: &Buffer) {
        let unread = other.unread();
        self.spare()[..unread.len()].copy_from_slice(unread);
        self.received(unread.len());
    }

    /// The position of `part`, a piece of this buffer.
    pub(crate) fn place_of(&self, part: &[u8]) -> Range<usize> {
        if part.is_empty() {
            // An empty slice may point anywhere.
            return 0..0;
        }
        let from = part.as_ptr().addr() - self.bytes().as_ptr().addr();
        let place = from..from + part.len();
        assert!(place.end <= self.capacity(), "the slice is a piece of this buffer");
        place
    }
}

/// Buffers for reuse.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Mutex<Vec<Buffer>>,
}

impl Pool {
    /// An empty buffer with room for at least `bytes`, preferably a used one.
    pub(crate) fn take(&self, bytes: usize) -> Buffer {
        let mut buffers = locked(&self.buffers);
        let bytes = bytes.max(BUFFER_BYTES);
        match buffers.iter().position(|buffer| buffer.capacity() >= bytes) {
            Some(at) => buffers.swap_remove(at),
            None => {
                drop(buffers);
                Buffer::with_room(bytes)
            }
        }
    }

    /// Puts a buffer back.
    pub(crate) fn put(&self, mut buffer: Buffer) {
        let mut buffers = locked(&self.buffers);
        let held: usize = buffers.iter().map(Buffer::capacity).sum();
        let fits = buffers.len() < POOL_BUFFERS_MAX && held + buffer.capacity() <= POOL_BYTES_MAX;
        if fits && buffer.capacity() > 0 {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// The body of a received reply with its buffer, which returns to the pool when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldReply {
    buffer: Buffer,
    body: Range<usize>,
    pool: Arc<Pool>,
}

impl HeldReply {
    pub(crate) fn new(buffer: Buffer, body: Range<usize>, pool: Arc<Pool>) -> HeldReply {
        HeldReply { buffer, body, pool }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer.bytes()[self.body.clone()]
    }

    pub(crate) fn place_of(&self, part: &[u8]) -> Range<usize> {
        self.buffer.place_of(part)
    }

    pub(crate) fn at(&self, place: &Range<usize>) -> &[u8] {
        &self.buffer.bytes()[place.clone()]
    }
}

impl Drop for HeldReply {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_keeps_what_was_not_taken() {
        let mut buffer = Buffer::with_room(100);
        assert_eq!(buffer.capacity(), 112);
        assert!(buffer.bytes().as_ptr().addr().is_multiple_of(16));
        buffer.spare()[..40].copy_from_slice(&[7; 40]);
        buffer.received(40);
        buffer.take(32);
        assert_eq!(buffer.unread(), [7; 8]);
        assert!(buffer.has_room(80) && !buffer.has_room(96));
        buffer.compact();
        assert_eq!(buffer.unread(), [7; 8]);
        assert!(buffer.has_room(96));
        let mut next = Buffer::with_room(16);
        next.adopt(&buffer);
        assert_eq!(next.unread(), [7; 8]);
        assert_eq!(next.place_of(&next.bytes()[3..5]), 3..5);
    }

    #[test]
    fn the_pool_reuses_and_stays_bounded() {
        let pool = Pool::default();
        let large = pool.take(BUFFER_BYTES * 3);
        pool.put(large);
        assert_eq!(pool.take(1).capacity(), BUFFER_BYTES * 3);
        for _ in 0..2 * POOL_BUFFERS_MAX {
            pool.put(Buffer::with_room(BUFFER_BYTES));
        }
        assert_eq!(locked(&pool.buffers).len(), POOL_BUFFERS_MAX);
        let pool = Pool::default();
        pool.put(Buffer::with_room(POOL_BYTES_MAX + 16));
        assert!(locked(&pool.buffers).is_empty());
    }
}
