//! The receive buffer of a connection: aligned and reused.
//!
//! The kernel writes behind the filled part, so a frame that came in pieces is contiguous. Frames
//! are borrowed from the front, which is aligned to 16 because the memory is and the length of
//! every frame is a multiple of 16.
//!
//! Up to [`KEPT_BUFFER_BYTES_MAX`] a connection keeps its buffer between frames. A larger frame is
//! received into memory that is lent for this one frame (see
//! [`receive_memory`](super::receive_memory)): at most the frame is received into it, so when the frame
//! is consumed the memory is empty and goes back.

use std::net::IpAddr;
use std::rc::Rc;

use catena_protocol::limits::FRAME_ALIGNMENT;

use super::receive_memory::{Memory, ReceiveMemory, zeroed};
use crate::config::{BUFFER_BYTES, BUFFER_BYTES_MIN, KEPT_BUFFER_BYTES_MAX};

const ALIGNMENT: usize = FRAME_ALIGNMENT as usize;

/// A receive buffer. The bytes `start..end` are received and not yet consumed.
pub(super) struct ReadBuffer {
    /// Initialized over its whole length.
    memory: Memory,
    start: usize,
    end: usize,
    /// How far `memory` is filled at most: all of it, or as far as the large frame in it.
    limit: usize,
    /// Whether the last frames were larger than an ordinary buffer, so that more of them may
    /// follow.
    held_large: bool,
    core: Rc<ReceiveMemory>,
    /// Where the connection came from.
    source: IpAddr,
    /// Bytes that the buffer keeps between frames, beyond its initial size.
    kept: usize,
    /// Bytes that are lent for the frame at the front; 0 for an ordinary frame.
    lent: usize,
}

impl ReadBuffer {
    pub(super) fn new(core: Rc<ReceiveMemory>, source: IpAddr) -> ReadBuffer {
        ReadBuffer {
            memory: zeroed(BUFFER_BYTES_MIN),
            start: 0,
            end: 0,
            limit: BUFFER_BYTES_MIN,
            held_large: false,
            core,
            source,
            kept: 0,
            lent: 0,
        }
    }

    /// Returns the bytes that were received and not consumed.
    pub(super) fn received(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Returns the part to receive into. It stays where it is when the `ReadBuffer` is moved.
    pub(super) fn unfilled(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..self.limit]
    }

    /// Counts bytes at the beginning of [`unfilled`](Self::unfilled) as received.
    pub(super) fn fill(&mut self, bytes: usize) {
        assert!(bytes <= self.limit - self.end, "only what fits can be received: {bytes}");
        self.end += bytes;
    }

    /// Removes frames from the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        assert!(bytes.is_multiple_of(ALIGNMENT), "frames keep the rest aligned: {bytes}");
        assert!(bytes <= self.received().len(), "only what was received can be consumed");
        self.start += bytes;
    }

    /// Returns whether memory is lent for the frame at the front.
    pub(super) fn has_loan(&self) -> bool {
        self.lent > 0
    }

    /// Takes over bytes that [`ReceiveMemory`] has lent for the frame at the front.
    pub(super) fn accept_loan(&mut self, bytes: usize) {
        assert!(self.lent == 0, "a frame has one loan");
        self.lent = bytes;
    }

    /// Makes room to receive more of the frame at the front, which is `frame_bytes` long. Returns
    /// `false` if that takes a loan of `frame_bytes`, and there is none yet.
    ///
    /// If the frame is larger than the buffer, the buffer grows as the frame arrives, never ahead
    /// of it: announcing a large frame costs a client nothing, so it must not cost the node memory.
    pub(super) fn make_room(&mut self, frame_bytes: usize) -> bool {
        self.return_loan();
        let received = self.received().len();
        if self.lent > 0 || self.is_full_of(frame_bytes, KEPT_BUFFER_BYTES_MAX) {
            return self.make_lent_room(frame_bytes);
        }
        let was_full = self.end == self.limit;
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
        let len = len.next_multiple_of(ALIGNMENT).min(KEPT_BUFFER_BYTES_MAX);
        if len != self.memory.len() && received <= len && self.keep(len) {
            self.move_to(zeroed(len), len);
        } else if received == self.memory.len() {
            return self.make_lent_room(frame_bytes);
        } else if received > 0 && (was_full || self.start + frame_bytes > self.memory.len()) {
            // Moves the part of an incomplete frame to the front, because frames are contiguous.
            // With `move_to`, this is the only copy that the driver makes on the way in; a complete
            // frame is served where the kernel put it.
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, received);
        } else if received == 0 {
            (self.start, self.end) = (0, 0);
        }
        true
    }

    /// Returns whether a frame above `bytes` fills a buffer that is as large as a busy connection's.
    fn is_full_of(&self, frame_bytes: usize, bytes: usize) -> bool {
        let len = self.memory.len();
        frame_bytes > bytes && len >= BUFFER_BYTES && self.received().len() == len
    }

    /// Makes room in memory that is lent for the frame at the front.
    fn make_lent_room(&mut self, frame_bytes: usize) -> bool {
        let mut memory = None;
        if self.lent == 0 {
            let Some(loan) = self.core.lend(self.source, frame_bytes) else { return false };
            (self.lent, memory) = (loan.bytes, loan.memory);
        }
        if let Some(memory) = memory {
            self.move_to(memory, frame_bytes);
        } else if self.end == self.limit {
            let len = (self.memory.len() * 2).min(frame_bytes);
            self.move_to(zeroed(len), len);
        }
        true
    }

    /// Gives lent memory back if the frame in it is consumed.
    pub(super) fn return_loan(&mut self) {
        if self.lent == 0 || !self.received().is_empty() {
            return;
        }
        let len = BUFFER_BYTES_MIN + self.kept;
        let memory = std::mem::replace(&mut self.memory, zeroed(len));
        (self.start, self.end, self.limit) = (0, 0, len);
        self.core.take_back(self.source, std::mem::take(&mut self.lent), Some(memory));
    }

    /// Keeps a buffer of `len` bytes between frames; returns whether there is memory for it.
    fn keep(&mut self, len: usize) -> bool {
        let kept = len - BUFFER_BYTES_MIN;
        let granted = self.core.keep(self.kept, kept);
        if granted {
            self.kept = kept;
        }
        granted
    }

    /// Moves what was received to the front of other memory, to be filled up to `limit`.
    fn move_to(&mut self, mut memory: Memory, limit: usize) {
        let received = self.received().len();
        memory[..received].copy_from_slice(self.received());
        self.memory = memory;
        (self.start, self.end, self.limit) = (0, received, limit);
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.core.keep(self.kept, 0);
        if self.lent > 0 {
            self.core.take_back(self.source, self.lent, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn source(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn buffer() -> ReadBuffer {
        ReadBuffer::new(Rc::new(ReceiveMemory::new(32 * MIB)), source(1))
    }

    /// Receives `bytes` as the kernel would.
    fn receive(buffer: &mut ReadBuffer, bytes: &[u8]) {
        buffer.unfilled()[..bytes.len()].copy_from_slice(bytes);
        buffer.fill(bytes.len());
    }

    /// Receives `bytes` of a frame of `frame_bytes`, as much at a time as there is room for.
    fn receive_part(buffer: &mut ReadBuffer, bytes: usize, frame_bytes: usize) -> bool {
        let mut left = bytes;
        while left > 0 {
            if !buffer.make_room(frame_bytes) {
                return false;
            }
            let room = buffer.unfilled().len().min(left);
            assert!(room > 0, "there is room");
            receive(buffer, &vec![7; room]);
            left -= room;
        }
        true
    }

    #[test]
    fn what_is_incomplete_stays_in_one_aligned_piece() {
        let mut buffer = buffer();
        let bytes: Vec<u8> = (0..BUFFER_BYTES_MIN).map(|i| i.to_le_bytes()[0]).collect();
        receive(&mut buffer, &bytes);
        buffer.consume(BUFFER_BYTES_MIN - 32);
        assert!(buffer.make_room(96));
        assert_eq!(buffer.received(), &bytes[BUFFER_BYTES_MIN - 32..]);
        assert_eq!(buffer.received().as_ptr().align_offset(ALIGNMENT), 0);
        assert!(buffer.unfilled().len() >= 64);
    }

    #[test]
    fn a_frame_gets_room_as_it_comes_and_a_busy_connection_keeps_it() {
        const FRAME: usize = 100 * 1024;
        let mut buffer = buffer();
        let mut received = 0;
        while received < FRAME {
            assert!(buffer.make_room(FRAME));
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

    #[test]
    fn memory_for_a_large_frame_is_lent_until_the_frame_is_consumed() {
        let mut buffer = buffer();
        for _ in 0..3 {
            assert!(receive_part(&mut buffer, 8 * MIB, 8 * MIB));
            assert_eq!(buffer.received(), vec![7; 8 * MIB]);
            assert_eq!(buffer.unfilled().len(), 0, "no other frame is received behind it");
            assert!(buffer.has_loan());
            buffer.consume(8 * MIB);
            assert!(buffer.make_room(64));
            assert!(!buffer.has_loan(), "an idle connection has no loan");
            assert_eq!(buffer.memory.len(), BUFFER_BYTES);
        }
    }

    #[test]
    fn a_large_frame_waits_for_memory_and_holds_no_loan_meanwhile() {
        let core = Rc::new(ReceiveMemory::new(32 * MIB));
        let new = |last| ReadBuffer::new(core.clone(), source(last));
        let mut buffers = [1, 2, 3].map(new);
        let got = buffers.each_mut().map(|buffer| receive_part(buffer, 10 * MIB, 16 * MIB));
        assert_eq!(got, [true, true, false]);
        let [one, _two, three] = &mut buffers;
        assert_eq!((three.received().len(), three.has_loan()), (BUFFER_BYTES, false));
        assert!(receive_part(one, 6 * MIB, 16 * MIB));
        one.consume(16 * MIB);
        assert!(one.make_room(64));
        assert!(receive_part(three, MIB, 16 * MIB), "what one gives back another gets");
        // A link gets more than there is.
        let mut link = new(4);
        assert!(!receive_part(&mut link, MIB, 16 * MIB));
        core.lend_to_link(source(4), 16 * MIB);
        link.accept_loan(16 * MIB);
        assert!(receive_part(&mut link, MIB, 16 * MIB));
        drop((buffers, link));
        assert_eq!(core.lent_bytes(), 0);
    }

    #[test]
    fn without_memory_to_keep_frames_of_any_size_still_arrive() {
        let core = Rc::new(ReceiveMemory::new(32 * MIB));
        assert!(core.keep(0, 32 * MIB), "other connections keep all");
        let mut buffer = ReadBuffer::new(core.clone(), source(1));
        for bytes in [64, 4 * 1024, 50 * 1024, 128 * 1024, MIB] {
            assert!(receive_part(&mut buffer, bytes, bytes), "{bytes}");
            buffer.consume(bytes);
            assert!(buffer.make_room(64));
            assert_eq!(buffer.memory.len(), BUFFER_BYTES_MIN);
        }
    }
}
