//! Reads frames from a socket of the control port.
//!
//! This is off the data path: whole frames are moved to the front of the buffer, and bodies are
//! copied out.

use std::io;

use catena_protocol::frame::{self, Next};
use catena_protocol::rkyv::util::AlignedVec;
use catena_protocol::{Fault, Frame};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of one read.
const CHUNK_BYTES: usize = 16 * 1024;

/// Reads the frames of a connection.
pub(super) struct FrameReader<R> {
    reader: R,
    /// Begins with a frame, so that its body is aligned.
    received: AlignedVec<16>,
    chunk: Box<[u8]>,
}

/// Why there is no further frame.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The other side closed the connection.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// The bytes are not a frame, or not one that is allowed here.
    Invalid(Fault),
}

impl From<Fault> for FrameError {
    fn from(fault: Fault) -> FrameError {
        FrameError::Invalid(fault)
    }
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(reader: R) -> FrameReader<R> {
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        FrameReader { reader, received: AlignedVec::new(), chunk }
    }

    /// Waits for the next frame, of at most `bytes_max`, and returns what `decode` makes of it.
    pub(super) async fn next<T>(
        &mut self,
        bytes_max: u32,
        decode: impl FnOnce(&Frame<'_>) -> Result<T, Fault>,
    ) -> Result<T, FrameError> {
        loop {
            if let Next::Frame(frame) = self.parse(bytes_max)? {
                let (decoded, len) = (decode(&frame), frame.bytes.len());
                self.consume(len);
                return Ok(decoded?);
            }
            match self.reader.read(&mut self.chunk).await {
                Ok(0) => return Err(FrameError::Closed),
                Ok(len) => self.received.extend_from_slice(&self.chunk[..len]),
                Err(error) => return Err(FrameError::Io(error)),
            }
        }
    }

    /// Reads and drops everything until the other side closes the connection.
    pub(super) async fn drain(&mut self) {
        while self.reader.read(&mut self.chunk).await.is_ok_and(|len| len > 0) {}
    }

    fn parse(&self, bytes_max: u32) -> Result<Next<'_>, Fault> {
        frame::next(&self.received, bytes_max).map_err(|error| error.fault)
    }

    fn consume(&mut self, bytes: usize) {
        let left = self.received.len() - bytes;
        self.received.copy_within(bytes.., 0);
        self.received.resize(left, 0);
        if self.received.capacity() > CHUNK_BYTES * 2 && left <= CHUNK_BYTES {
            self.received.shrink_to_fit();
        }
    }
}
