//! A connection, of a client or of a peer: one task that reads and serves, and one that writes what
//! other tasks have put into the connection's buffer.
//!
//! A task that has something to write takes the right to write, writes until the buffer is empty,
//! and gives the right back. If another task holds it, that task writes the rest, too.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{Frame, FrameKind, Header, Refusal};

use super::buffer::ReadBuffer;
use super::core::Core;
use super::core_link::PeerCore;
use super::local_notify::LocalNotify;
use super::reply_buffers::ReplyBuffers;
use super::runtime;
use super::stream::{Stream, StreamReader, StreamWriter};
use crate::config::{LINK_BUFFER_BYTES, UNSENT_BYTES_MAX};
use catena_core::ahead::{Lookahead, Step};
use catena_core::shard::ConnId;

/// A connection, as the tasks of its core share it.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) role: Cell<ConnRole>,
    /// Replies, or frames to a peer, that were not yet handed to the kernel.
    pub(super) unsent: RefCell<Vec<u8>>,
    /// Of a core link: the buffer that was written last, to be filled next. Connections of clients
    /// take theirs from `reply_buffers`.
    spare: RefCell<Vec<u8>>,
    reply_buffers: Rc<ReplyBuffers>,
    writer: StreamWriter,
    /// Another task than the reading one has put something into `unsent`.
    pub(super) flush_wanted: LocalNotify,
    /// `unsent` was emptied.
    drained: LocalNotify,
    closed: Cell<bool>,
}

/// The role of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnRole {
    /// Not known before the first frame.
    New,
    /// A client that has sent Hello.
    Client,
    /// A core of another node that this core connected to and that has not replied yet.
    Connecting(PeerCore),
    /// A core of another node.
    Peer(PeerCore),
}

/// The reading task's next action after it has served frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAction {
    /// Receive more, at least until the frame at the front has this many bytes.
    Receive(usize),
    /// Send the replies; there may be more frames.
    Flush,
    /// Send the replies and close, because of an invalid frame or a refusal.
    Close,
}

/// Adds a connection to its core and starts to serve it.
pub(super) fn start(core: &Rc<Core>, stream: Stream, role: ConnRole) -> Rc<Conn> {
    let (reader, writer) = stream.split();
    let conn = core.conns.insert(|id| Conn {
        id,
        role: Cell::new(role),
        unsent: RefCell::default(),
        spare: RefCell::default(),
        reply_buffers: core.reply_buffers.clone(),
        writer,
        flush_wanted: LocalNotify::default(),
        drained: LocalNotify::default(),
        closed: Cell::new(false),
    });
    core.reply_buffers.set_max(core.conns.len());
    runtime::spawn(serve(core.clone(), conn.clone(), reader));
    conn
}

/// Serves a connection until the other end closes it or sends an invalid frame, or the node stops.
async fn serve(core: Rc<Core>, conn: Rc<Conn>, reader: StreamReader) {
    let writing = runtime::spawn(write_for_others(conn.clone()));
    if let Err(error) = read(&core, &conn, reader).await {
        tracing::debug!(conn = conn.id.0, %error, "connection broke");
    }
    core.on_client_end(&conn);
    conn.closed.set(true);
    conn.flush_wanted.notify();
    // The last replies go out. Then this task holds the connection alone, and closes it by
    // returning.
    writing.await;
    core.remove(&conn);
}

async fn read(core: &Rc<Core>, conn: &Rc<Conn>, mut reader: StreamReader) -> io::Result<()> {
    let mut buffer = ReadBuffer::new();
    loop {
        let received = match spin(core, conn, &mut reader, &mut buffer).await {
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
            let action = core.turn(conn, &mut buffer);
            if conn.is_link() {
                // Never waits for the peer to read: two nodes that both wait would wait for ever.
                conn.flush_wanted.notify();
            } else {
                if core.spin.is_only_active(conn.id) {
                    conn.send_now();
                }
                conn.flush().await?;
                conn.wait_for_reader().await?;
            }
            match action {
                NextAction::Receive(frame_bytes) => break buffer.make_room(frame_bytes),
                NextAction::Flush => {}
                NextAction::Close => return Ok(()),
            }
        }
    }
}

/// Polls the socket for as long as the core is awake and no other connection is active. Returns
/// `None` when the ring has to wait for more. Errors are left to the ring, too.
async fn spin(
    core: &Core,
    conn: &Conn,
    reader: &mut StreamReader,
    buffer: &mut ReadBuffer,
) -> Option<usize> {
    while core.spin.is_only_active(conn.id) && !conn.is_link() {
        if let Ok(received) = reader.try_read_now(buffer) {
            return Some(received);
        }
        core.spin.next_round().await;
    }
    None
}

/// Serves the frames in `buffer` with `serve`, until there are no more, the replies are too many,
/// or `serve` returns an action. `prefetch` gets each request some time before `serve` does.
#[inline(always)]
pub(super) fn serve_frames(
    buffer: &mut ReadBuffer,
    unsent: &mut Vec<u8>,
    prefetch: impl Fn(Step, &Header) -> bool,
    mut serve: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Option<NextAction>,
) -> NextAction {
    let mut rest = buffer.received();
    let received = rest.len();
    let mut ahead = Lookahead::new(rest, frame::peek);
    let action = loop {
        if unsent.len() > UNSENT_BYTES_MAX {
            break NextAction::Flush;
        }
        ahead.advance(&prefetch);
        match frame::next(rest, FRAME_BYTES_MAX) {
            Ok(Next::Partial { bytes }) => break NextAction::Receive(bytes),
            Ok(Next::Frame(frame)) => {
                rest = &rest[frame.bytes.len()..];
                if let Some(action) = serve(&frame, unsent) {
                    break action;
                }
            }
            Err(error) => {
                write_refusal(unsent, &Refusal::Fault(error.fault));
                break NextAction::Close;
            }
        }
    };
    let served = received - rest.len();
    buffer.consume(served);
    action
}

/// Writes why a connection is about to be closed.
pub(super) fn write_refusal(unsent: &mut Vec<u8>, refusal: &Refusal) {
    frame::write_reply(unsent, &Header::new(FrameKind::Reply), Err(refusal));
}

async fn write_for_others(conn: Rc<Conn>) {
    while !conn.closed.get() {
        conn.flush_wanted.notified().await;
        if conn.flush().await.is_err() {
            // The reading task gets an error, too.
            return;
        }
    }
}

impl Conn {
    /// Returns whether the other end is another node.
    pub(super) fn is_link(&self) -> bool {
        matches!(self.role.get(), ConnRole::Connecting(_) | ConnRole::Peer(_))
    }

    /// Ends the requests for the reading task; replies still go out.
    pub(super) fn stop_reading(&self) {
        self.writer.shut_down_reading();
    }

    /// Breaks the connection.
    pub(super) fn abandon(&self) {
        self.writer.shut_down();
    }

    /// Returns the buffer for replies to a client; takes one from the pool if there is none yet.
    pub(super) fn replies(&self) -> RefMut<'_, Vec<u8>> {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.capacity() == 0 {
            *unsent = self.reply_buffers.take();
        }
        unsent
    }

    /// Returns an empty reply buffer to the pool.
    fn put_buffer_back(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.capacity() > 0 && unsent.is_empty() && !self.is_link() {
            self.reply_buffers.put_back(std::mem::take(&mut *unsent));
        }
    }

    /// Sends what the socket takes at once. The rest, and errors, are left to [`Conn::flush`].
    fn send_now(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            return;
        }
        if let Ok(sent) = self.writer.try_write_now(&unsent) {
            unsent.drain(..sent);
        }
    }

    /// Writes all replies, in one write unless more come meanwhile.
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
                self.reply_buffers.put_back(batch);
            }
        }
        self.put_buffer_back();
        drop(writer);
        self.drained.notify();
        written
    }

    /// Waits while the client does not read its replies. Its requests stay in its socket meanwhile,
    /// and TCP's back-pressure reaches it.
    async fn wait_for_reader(&self) -> io::Result<()> {
        while self.unsent.borrow().len() > UNSENT_BYTES_MAX {
            self.drained.notified().await;
            self.flush().await?;
        }
        Ok(())
    }
}
