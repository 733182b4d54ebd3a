//! Frames off a socket, one at a time. Off the data path: whole frames are moved to the front of the
//! buffer, and bodies copied out.

use std::io;

use catena_protocol::frame::{self, Next};
use catena_protocol::rkyv::util::AlignedVec;
use catena_protocol::{Fault, Frame};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// The frames that come in over a connection.
pub(super) struct Frames<R> {
    reader: R,
    /// Begins with a frame, so that its body is aligned.
    received: AlignedVec<16>,
    chunk: Box<[u8]>,
}

/// Why there is no further frame.
#[derive(Debug)]
pub(super) enum Broken {
    /// The other side has hung up.
    End,
    /// The connection broke.
    Io(io::Error),
    /// What came is no frame, or none that makes sense.
    Fault(Fault),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Broken {
        Broken::Fault(fault)
    }
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(reader: R) -> Frames<R> {
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        Frames { reader, received: AlignedVec::new(), chunk }
    }

    /// Waits for the next frame, of at most `bytes_max`, and takes what is needed from it.
    pub(super) async fn next<T>(
        &mut self,
        bytes_max: u32,
        take: impl FnOnce(&Frame<'_>) -> Result<T, Fault>,
    ) -> Result<T, Broken> {
        loop {
            if let Next::Frame(frame) = self.cut(bytes_max)? {
                let (taken, len) = (take(&frame), frame.bytes.len());
                self.consume(len);
                return Ok(taken?);
            }
            match self.reader.read(&mut self.chunk).await {
                Ok(0) => return Err(Broken::End),
                Ok(len) => self.received.extend_from_slice(&self.chunk[..len]),
                Err(error) => return Err(Broken::Io(error)),
            }
        }
    }

    /// Reads on until the other side hangs up, and drops what comes.
    pub(super) async fn drain(&mut self) {
        while self.reader.read(&mut self.chunk).await.is_ok_and(|len| len > 0) {}
    }

    fn cut(&self, bytes_max: u32) -> Result<Next<'_>, Fault> {
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
