//! The receive buffer of a connection: aligned and reused.
//!
//! The kernel writes behind the filled part, so a frame that came in pieces is contiguous. Frames
//! are borrowed from the front, which is aligned to 16 because the memory is and the length of
//! every frame is a multiple of 16.

use catena_protocol::limits::FRAME_ALIGNMENT;
use catena_protocol::rkyv::util::AlignedVec;

use crate::config::{BUFFER_BYTES, BUFFER_BYTES_MIN};

const ALIGNMENT: usize = FRAME_ALIGNMENT as usize;

/// A receive buffer. The bytes `start..end` are received and not yet consumed.
pub(super) struct ReadBuffer {
    /// Initialized over its whole length.
    memory: AlignedVec<ALIGNMENT>,
    start: usize,
    end: usize,
    /// Whether the last frames were larger than an ordinary buffer, so that more of them may
    /// follow.
    held_large: bool,
}

impl ReadBuffer {
    pub(super) fn new() -> ReadBuffer {
        ReadBuffer { memory: zeroed(BUFFER_BYTES_MIN), start: 0, end: 0, held_large: false }
    }

    /// Returns the bytes that were received and not consumed.
    pub(super) fn received(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Returns the part to receive into. It stays where it is when the `ReadBuffer` is moved.
    pub(super) fn unfilled(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// Counts bytes at the beginning of [`unfilled`](Self::unfilled) as received.
    pub(super) fn fill(&mut self, bytes: usize) {
        assert!(bytes <= self.memory.len() - self.end, "only what fits can be received: {bytes}");
        self.end += bytes;
    }

    /// Removes frames from the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        assert!(bytes.is_multiple_of(ALIGNMENT), "frames keep the rest aligned: {bytes}");
        assert!(bytes <= self.received().len(), "only what was received can be consumed");
        self.start += bytes;
    }

    /// Makes room to receive more of the frame at the front, which is `frame_bytes` long.
    ///
    /// If the frame is larger than the buffer, the buffer grows as the frame arrives, never ahead
    /// of it: announcing a large frame costs a client nothing, so it must not cost the node memory.
    pub(super) fn make_room(&mut self, frame_bytes: usize) {
        let received = self.received().len();
        let was_full = self.end == self.memory.len();
        // A frame that came whole is already consumed; only `end` still shows that it was large.
        let large = frame_bytes.max(self.end) > BUFFER_BYTES;
        let len = match self.memory.len() {
            // A busy connection gets a bigger buffer, and a large frame one of its size.
            len if was_full && received == len => (len * 2).min(frame_bytes.max(BUFFER_BYTES)),
            len if was_full && len < BUFFER_BYTES => len * 2,
            // A large buffer shrinks when no large frames come any more.
            len if len > BUFFER_BYTES && !large && !self.held_large => BUFFER_BYTES,
            len => len,
        };
        self.held_large = large;
        let len = len.next_multiple_of(ALIGNMENT);
        if len != self.memory.len() && received <= len {
            let mut memory = zeroed(len);
            memory[..received].copy_from_slice(self.received());
            self.memory = memory;
        } else if received > 0 && (was_full || self.start + frame_bytes > self.memory.len()) {
            // Moves the part of an incomplete frame to the front, because frames are contiguous.
            // With the move to a buffer of another size above, this is the only copy that the
            // driver makes on the way in; a complete frame is served where the kernel put it.
            self.memory.copy_within(self.start..self.end, 0);
        } else if received > 0 {
            return;
        }
        self.start = 0;
        self.end = received;
    }
}

fn zeroed(len: usize) -> AlignedVec<ALIGNMENT> {
    let mut memory = AlignedVec::with_capacity(len);
    memory.resize(len, 0);
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives `bytes` as the kernel would.
    fn receive(buffer: &mut ReadBuffer, bytes: &[u8]) {
        buffer.unfilled()[..bytes.len()].copy_from_slice(bytes);
        buffer.fill(bytes.len());
    }

    #[test]
    fn what_is_incomplete_stays_in_one_aligned_piece() {
        let mut buffer = ReadBuffer::new();
        let bytes: Vec<u8> = (0..BUFFER_BYTES_MIN).map(|i| i.to_le_bytes()[0]).collect();
        receive(&mut buffer, &bytes);
        buffer.consume(BUFFER_BYTES_MIN - 32);
        buffer.make_room(96);
        assert_eq!(buffer.received(), &bytes[BUFFER_BYTES_MIN - 32..]);
        assert_eq!(buffer.received().as_ptr().align_offset(ALIGNMENT), 0);
        assert!(buffer.unfilled().len() >= 64);
    }

    #[test]
    fn a_large_frame_gets_room_as_it_comes_and_gives_it_back() {
        const FRAME: usize = 1024 * 1024;
        let mut buffer = ReadBuffer::new();
        let mut received = 0;
        while received < FRAME {
            buffer.make_room(FRAME);
            let room = buffer.unfilled().len();
            assert!(room > 0 && room <= received.max(BUFFER_BYTES_MIN), "{room} after {received}");
            receive(&mut buffer, &vec![7; room]);
            received += room;
        }
        assert_eq!(buffer.received(), &[7; FRAME]);
        buffer.consume(FRAME);
        buffer.make_room(64);
        assert_eq!(buffer.memory.len(), FRAME, "another one may follow");
        for _ in 0..3 {
            // They follow, each received whole.
            receive(&mut buffer, &[7; FRAME]);
            buffer.consume(FRAME);
            buffer.make_room(64);
            assert_eq!(buffer.memory.len(), FRAME, "and the buffer stays");
        }
        buffer.make_room(64);
        assert_eq!(buffer.memory.len(), FRAME, "one may still follow");
        buffer.make_room(64);
        assert_eq!(buffer.memory.len(), BUFFER_BYTES);
        assert_eq!(buffer.received(), &[] as &[u8]);
    }
}
