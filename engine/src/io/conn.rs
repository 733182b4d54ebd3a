//! A connection, of a client or to another node: a task that reads and one that writes what others have
//! to say.
//!
//! Whoever has something to write takes the right to write, writes until the reply buffer is empty, and
//! gives it back. If somebody else has it, that somebody takes the rest along.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{Frame, FrameKind, Header, Refusal};

use super::buffer::ReadBuffer;
use super::core::Core;
use super::link::PeerCore;
use super::notify::Notify;
use super::runtime;
use super::spares::Spares;
use super::stream::{Stream, StreamReader, StreamWriter};
use crate::config::{LINK_BUFFER_BYTES, UNSENT_BYTES_MAX};
use catena_core::ahead::{Lookahead, Step};
use catena_core::shard::ConnId;

/// A connection, as the tasks of its core share it.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) role: Cell<Role>,
    /// Replies, or frames to another node, not yet handed to the kernel.
    pub(super) unsent: RefCell<Vec<u8>>,
    /// Of a link: the buffer that was written last, to be filled next. Clients share theirs.
    spare: RefCell<Vec<u8>>,
    spares: Rc<Spares>,
    writer: StreamWriter,
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
pub(super) fn start(core: &Rc<Core>, stream: Stream, role: Role) -> Rc<Conn> {
    let (reader, writer) = stream.split();
    let conn = core.conns.insert(|id| Conn {
        id,
        role: Cell::new(role),
        unsent: RefCell::default(),
        spare: RefCell::default(),
        spares: core.spares.clone(),
        writer,
        flush_wanted: Notify::default(),
        drained: Notify::default(),
        closed: Cell::new(false),
    });
    core.spares.count(core.conns.len());
    runtime::spawn(serve(core.clone(), conn.clone(), reader));
    conn
}

/// Serves a connection until the other end hangs up, sends what is no frame, or the node stops.
async fn serve(core: Rc<Core>, conn: Rc<Conn>, reader: StreamReader) {
    let writing = runtime::spawn(write_for_others(conn.clone()));
    if let Err(error) = read(&core, &conn, reader).await {
        tracing::debug!(conn = conn.id.0, %error, "connection broke");
    }
    conn.closed.set(true);
    conn.flush_wanted.notify();
    // The last replies go out. Then nobody but us holds the socket, and it is closed with us.
    writing.await;
    core.remove(&conn);
}

async fn read(core: &Rc<Core>, conn: &Rc<Conn>, mut reader: StreamReader) -> io::Result<()> {
    let mut buffer = ReadBuffer::new();
    loop {
        let received = match look(core, conn, &mut reader, &mut buffer).await {
            Some(received) => received,
            None => {
                let (received, returned) = reader.read(buffer).await;
                buffer = returned;
                received?
            }
        };
        if received == 0 {
            return Ok(());
        }
        loop {
            let verdict = core.turn(conn, &mut buffer);
            if conn.is_link() {
                // Two nodes that both wait for the other to read would wait for ever.
                conn.flush_wanted.notify();
            } else {
                if core.spin.is_alone(conn.id) {
                    conn.send_now();
                }
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

/// Looks for more from a client that nobody else interrupts, until it has to be left to the ring. An error is
/// left to it, too.
async fn look(
    core: &Core,
    conn: &Conn,
    reader: &mut StreamReader,
    buffer: &mut ReadBuffer,
) -> Option<usize> {
    while core.spin.is_alone(conn.id) && !conn.is_link() {
        if let Ok(received) = reader.try_read_now(buffer) {
            return Some(received);
        }
        core.spin.round().await;
    }
    None
}

/// Serves the frames in `buffer` with `serve`, until it has no more, the replies are too many, or
/// `serve` says that this was the last. `expect` sees what comes, some time before.
#[inline(always)]
pub(super) fn drain(
    buffer: &mut ReadBuffer,
    unsent: &mut Vec<u8>,
    expect: impl Fn(Step, &Header) -> bool,
    mut serve: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Option<Verdict>,
) -> Verdict {
    let mut rest = buffer.received();
    let received = rest.len();
    let mut ahead = Lookahead::new(rest, frame::peek);
    let verdict = loop {
        if unsent.len() > UNSENT_BYTES_MAX {
            break Verdict::Flush;
        }
        ahead.advance(&expect);
        match frame::next(rest, FRAME_BYTES_MAX) {
            Ok(Next::Partial { bytes }) => break Verdict::Receive(bytes),
            Ok(Next::Frame(frame)) => {
                rest = &rest[frame.bytes.len()..];
                if let Some(verdict) = serve(&frame, unsent) {
                    break verdict;
                }
            }
            Err(error) => {
                refuse(unsent, &Refusal::Fault(error.fault));
                break Verdict::Close;
            }
        }
    };
    let served = received - rest.len();
    buffer.consume(served);
    verdict
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

impl Conn {
    /// Whether the other end is another node.
    pub(super) fn is_link(&self) -> bool {
        matches!(self.role.get(), Role::Called(_) | Role::Peer(_))
    }

    /// Lets the reading task see the end of the requests; replies still go out.
    pub(super) fn stop_reading(&self) {
        self.writer.shut_down_reading();
    }

    /// Gives up on a client that does not take its replies.
    pub(super) fn abandon(&self) {
        self.writer.shut_down();
    }

    /// Where replies to a client go, with a buffer to put them in.
    pub(super) fn replies(&self) -> RefMut<'_, Vec<u8>> {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.capacity() == 0 {
            *unsent = self.spares.take();
        }
        unsent
    }

    /// Parts with a buffer that nothing was put in.
    fn give_back(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.capacity() > 0 && unsent.is_empty() && !self.is_link() {
            self.spares.give(std::mem::take(&mut *unsent));
        }
    }

    /// Sends what the socket takes at once. The rest, and what may be wrong with it, is left to [`Conn::flush`].
    fn send_now(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            return;
        }
        if let Ok(sent) = self.writer.try_write_now(&unsent) {
            unsent.drain(..sent);
        }
    }

    /// Writes the replies, all in one write unless more come meanwhile.
    async fn flush(&self) -> io::Result<()> {
        let Some(mut writer) = self.writer.try_lock() else { return Ok(()) };
        let mut written = Ok(());
        while written.is_ok() && !self.unsent.borrow().is_empty() {
            let batch = self.unsent.replace(self.spare.take());
            let (result, mut batch) = writer.write_all(batch).await;
            written = result.map(drop);
            if self.is_link() {
                batch.clear();
                batch.shrink_to(LINK_BUFFER_BYTES);
                self.spare.replace(batch);
            } else {
                self.spares.give(batch);
            }
        }
        self.give_back();
        drop(writer);
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
