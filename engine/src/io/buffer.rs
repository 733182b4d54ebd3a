//! The receive buffer: aligned, reused, and read into behind what is still incomplete.
//!
//! The kernel writes behind the filled part; frames are borrowed from the front, which is aligned to 16
//! because the memory is and frames are multiples of 16.

use catena_protocol::limits::FRAME_ALIGNMENT;
use catena_protocol::rkyv::util::AlignedVec;

use crate::config::{BUFFER_BYTES, BUFFER_BYTES_MIN};

const ALIGNMENT: usize = FRAME_ALIGNMENT as usize;

/// A receive buffer. `start..end` are received and not yet consumed.
pub(super) struct ReadBuffer {
    /// Initialized over its whole length.
    memory: AlignedVec<ALIGNMENT>,
    start: usize,
    end: usize,
    /// More was received lately than an ordinary buffer holds, so it may be again.
    held_large: bool,
}

impl ReadBuffer {
    pub(super) fn new() -> ReadBuffer {
        ReadBuffer { memory: zeroed(BUFFER_BYTES_MIN), start: 0, end: 0, held_large: false }
    }

    /// What was received and not consumed.
    pub(super) fn received(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The part to receive into. It does not move while the buffer does.
    pub(super) fn unfilled(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// Counts bytes at the beginning of [`unfilled`](Self::unfilled) as received.
    pub(super) fn fill(&mut self, bytes: usize) {
        assert!(bytes <= self.memory.len() - self.end, "no more is received than fits: {bytes}");
        self.end += bytes;
    }

    /// Drops a frame from the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        assert!(bytes.is_multiple_of(ALIGNMENT), "frames keep the rest aligned: {bytes}");
        assert!(bytes <= self.received().len(), "only what was received can be consumed");
        self.start += bytes;
    }

    /// Makes room to receive more of a frame of `frame_bytes` at the front.
    ///
    /// A frame that is larger than the buffer gets room as it comes: what it announces costs its
    /// sender nothing, so it must not cost us memory.
    pub(super) fn make_room(&mut self, frame_bytes: usize) {
        let received = self.received().len();
        let was_full = self.end == self.memory.len();
        // Of frames that come whole, only how far they reached is left to see.
        let large = frame_bytes.max(self.end) > BUFFER_BYTES;
        let len = match self.memory.len() {
            // A busy connection earns a bigger buffer, a large frame one of its size.
            len if was_full && received == len => (len * 2).min(frame_bytes.max(BUFFER_BYTES)),
            len if was_full && len < BUFFER_BYTES => len * 2,
            // One that is not needed any more is given back.
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
            // Copy 1 of 2 on the way in, of an incomplete frame only: it has to be in one piece.
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
