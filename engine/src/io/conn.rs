//! A connection, of a client or to another node: a task that reads and one that writes what others have
//! to say.
//!
//! Whoever has something to write takes the write half, writes until the reply buffer is empty, and
//! puts it back. If somebody else has it, that somebody takes the rest along.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{Fault, Frame, FrameError, FrameKind, Header, Refusal, Status};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use smallvec::SmallVec;

use super::buffer::ReadBuffer;
use super::close;
use super::core::Core;
use super::link::PeerCore;
use super::notify::Notify;
use crate::config::{
    BUFFER_BYTES, BUFFER_BYTES_MIN, CONNECTIONS_MAX, LINK_BUFFER_BYTES, UNSENT_BYTES_MAX,
};
use crate::shard::ConnId;

/// A connection, as the tasks of its core share it.
pub(super) struct Conn {
    pub(super) id: ConnId,
    /// The socket, open for as long as the write half is.
    fd: RawFd,
    pub(super) role: Cell<Role>,
    /// Replies, or frames to another node, not yet handed to the kernel.
    pub(super) unsent: RefCell<Vec<u8>>,
    /// The buffer that was written last, to be filled next.
    spare: RefCell<Vec<u8>>,
    writer: RefCell<Option<OwnedWriteHalf<TcpStream>>>,
    /// There is something to write that the reading task does not know of.
    pub(super) flush_wanted: Notify,
    /// The reply buffer was emptied.
    drained: Notify,
    closed: Cell<bool>,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Whoever connected has not said.
    New,
    /// A client that has said Hello.
    Client,
    /// A core of another node that this one called and that has not answered.
    Called(PeerCore),
    /// A core of another node.
    Peer(PeerCore),
}

/// What to do after the received frames were served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Receive more, at least until the frame at the front has this many bytes.
    Receive(usize),
    /// Send the replies first; there may be more frames.
    Flush,
    /// Send the replies and hang up: what came was no frame.
    Close,
}

/// Begins to serve a connection, which counts from now on.
pub(super) fn start(core: &Rc<Core>, stream: TcpStream, role: Role) -> Rc<Conn> {
    let fd = stream.as_raw_fd();
    let (reader, writer) = stream.into_split();
    let conn = core.conns.insert(|id| Conn {
        id,
        fd,
        role: Cell::new(role),
        unsent: RefCell::new(Vec::with_capacity(BUFFER_BYTES_MIN)),
        spare: RefCell::new(Vec::with_capacity(BUFFER_BYTES_MIN)),
        writer: RefCell::new(Some(writer)),
        flush_wanted: Notify::default(),
        drained: Notify::default(),
        closed: Cell::new(false),
    });
    monoio::spawn(serve(core.clone(), conn.clone(), reader));
    conn
}

/// Serves a connection until the other end hangs up, sends what is no frame, or the node stops.
async fn serve(core: Rc<Core>, conn: Rc<Conn>, reader: OwnedReadHalf<TcpStream>) {
    let writing = monoio::spawn(write_for_others(conn.clone()));
    if let Err(error) = read(&core, &conn, reader).await {
        tracing::debug!(conn = conn.id.0, %error, "connection broke");
    }
    conn.closed.set(true);
    conn.flush_wanted.notify();
    // The last replies go out. Then nobody but us holds the socket, and it is closed with us.
    writing.await;
    core.remove(&conn);
}

async fn read(
    core: &Rc<Core>,
    conn: &Rc<Conn>,
    mut reader: OwnedReadHalf<TcpStream>,
) -> io::Result<()> {
    let mut buffer = ReadBuffer::new();
    loop {
        let (received, returned) = reader.read(buffer).await;
        buffer = returned;
        if received? == 0 {
            return Ok(());
        }
        loop {
            let verdict = core.turn(conn, &mut buffer);
            if conn.is_link() {
                // Two nodes that both wait for the other to read would wait for ever.
                conn.flush_wanted.notify();
            } else {
                conn.flush().await?;
                conn.wait_for_reader().await?;
            }
            match verdict {
                Verdict::Receive(frame_bytes) => break buffer.make_room(frame_bytes),
                Verdict::Flush => {}
                Verdict::Close => return Ok(()),
            }
        }
    }
}

/// Frames looked at together before they are served one by one.
const BATCH_FRAMES: usize = 64;

/// Serves the frames in `buffer` with `serve`, until it has no more, the replies are too many, or
/// `serve` says that this was the last. Before every batch, `expect` sees what comes.
pub(super) fn drain(
    buffer: &mut ReadBuffer,
    unsent: &mut Vec<u8>,
    expect: impl Fn(&[Frame<'_>]),
    mut serve: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Option<Verdict>,
) -> Verdict {
    loop {
        let Batch { frames, then } = Batch::cut(buffer.received());
        expect(&frames);
        let (mut served, mut verdict) = (0, None);
        for frame in &frames {
            if unsent.len() > UNSENT_BYTES_MAX {
                verdict = Some(Verdict::Flush);
                break;
            }
            verdict = serve(frame, unsent);
            served += frame.bytes.len();
            if verdict.is_some() {
                break;
            }
        }
        drop(frames);
        buffer.consume(served);
        match (verdict, then) {
            (Some(verdict), _) => return verdict,
            (None, Then::More) => {}
            (None, Then::Receive(bytes)) => return Verdict::Receive(bytes),
            (None, Then::Broken(error)) => {
                refuse(unsent, &Refusal::Fault(error.fault));
                return Verdict::Close;
            }
        }
    }
}

/// Frames that were received whole, and what is behind them.
struct Batch<'a> {
    frames: SmallVec<[Frame<'a>; BATCH_FRAMES]>,
    then: Then,
}

enum Then {
    /// There may be more frames.
    More,
    /// A frame that takes this many bytes and is not all there.
    Receive(usize),
    /// No frame.
    Broken(FrameError),
}

impl<'a> Batch<'a> {
    fn cut(received: &'a [u8]) -> Batch<'a> {
        let mut frames = SmallVec::new();
        let mut rest = received;
        let then = loop {
            if frames.len() == BATCH_FRAMES {
                break Then::More;
            }
            match frame::next(rest, FRAME_BYTES_MAX) {
                Ok(Next::Partial { bytes }) => break Then::Receive(bytes),
                Ok(Next::Frame(frame)) => {
                    rest = &rest[frame.bytes.len()..];
                    frames.push(frame);
                }
                Err(error) => break Then::Broken(error),
            }
        };
        Batch { frames, then }
    }
}

/// Says why a connection is about to be closed.
pub(super) fn refuse(unsent: &mut Vec<u8>, refusal: &Refusal) {
    frame::write_reply(unsent, &Header::new(FrameKind::Reply), Err(refusal));
}

async fn write_for_others(conn: Rc<Conn>) {
    while !conn.closed.get() {
        conn.flush_wanted.notified().await;
        if conn.flush().await.is_err() {
            // The reading task finds out by itself.
            return;
        }
    }
}

/// Tells a connection that there is no room for it.
pub(super) async fn turn_away(mut stream: TcpStream) {
    let mut reply = Vec::new();
    let limit = CONNECTIONS_MAX as u64;
    let fault = Fault::expected(Status::TooManyConnections, limit, limit + 1);
    refuse(&mut reply, &fault.into());
    // It may be gone already.
    _ = stream.write_all(reply).await;
}

impl Conn {
    /// Whether the other end is another node.
    pub(super) fn is_link(&self) -> bool {
        matches!(self.role.get(), Role::Called(_) | Role::Peer(_))
    }

    /// Lets the reading task see the end of the requests; replies still go out.
    pub(super) fn stop_reading(&self) {
        close::reading(self.fd);
    }

    /// Gives up on a client that does not take its replies.
    pub(super) fn abandon(&self) {
        close::both_ways(self.fd);
    }

    /// Writes the replies, all in one write unless more come meanwhile.
    async fn flush(&self) -> io::Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let mut written = Ok(());
        while written.is_ok() && !self.unsent.borrow().is_empty() {
            let batch = self.unsent.replace(self.spare.take());
            let (result, batch) = writer.write_all(batch).await;
            written = result.map(drop);
            let keep = if self.is_link() { LINK_BUFFER_BYTES } else { BUFFER_BYTES };
            self.spare.replace(reusable(batch, keep));
        }
        self.writer.replace(Some(writer));
        self.drained.notify();
        written
    }

    /// Leaves the client's requests in its socket while it does not take its replies.
    async fn wait_for_reader(&self) -> io::Result<()> {
        while self.unsent.borrow().len() > UNSENT_BYTES_MAX {
            self.drained.notified().await;
            self.flush().await?;
        }
        Ok(())
    }
}

/// Empties a buffer for the next replies; one that held something large is given back.
fn reusable(mut buffer: Vec<u8>, keep_bytes: usize) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(keep_bytes);
    buffer
}
