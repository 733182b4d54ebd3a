//! A connection, of a client or of a peer: one task that reads and serves, and one that writes what
//! other tasks have put into the connection's buffer.
//!
//! A task that has something to write takes the right to write, writes until the buffer is empty,
//! and gives the right back. If another task holds it, that task writes the rest, too.
//!
//! What a connection may cost is bounded: what is received by `receive_memory`, what is not sent by
//! `unsent`, and how long either may take by `sweep`.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use catena_protocol::frame::{self, Next};
use catena_protocol::{Fault, Frame, FrameKind, Header, Refusal, Status};

use super::buffer::ReadBuffer;
use super::core::Core;
use super::core_link::PeerCore;
use super::local_notify::LocalNotify;
use super::receive_memory::LoanWait;
use super::reply_buffers::ReplyBuffers;
use super::runtime;
use super::shared_body::{SharedBody, SharedReply};
use super::stream::{Stream, StreamReader, StreamWriter};
use super::sweep::Lateness;
use super::unsent::UnsentTotal;
use crate::config::{BUFFER_BYTES, LINK_BUFFER_BYTES, UNSENT_BYTES_MAX};
use catena_core::ahead::{Lookahead, Step};
use catena_core::shard::ConnId;

/// A connection, as the tasks of its core share it.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) role: Cell<ConnRole>,
    /// Where the connection came from.
    pub(super) source: IpAddr,
    /// Replies, or frames to a peer, that were not yet handed to the kernel.
    pub(super) unsent: RefCell<Vec<u8>>,
    /// Large replies, each with its place between the bytes of `unsent`.
    unsent_shared: RefCell<VecDeque<SharedReply>>,
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
    /// This node has broken the connection, which is about to end …
    broken: Cell<bool>,
    /// … to make room for another.
    pub(super) is_displaced: Cell<bool>,
    /// Bytes that are being written.
    in_flight: Cell<usize>,
    /// The same of a large reply.
    in_flight_shared: Cell<usize>,
    /// The part of the core's unsent replies that is counted for this connection.
    counted: Cell<usize>,
    unsent_total: Rc<UnsentTotal>,
    pub(super) late: Cell<Lateness>,
    /// The wait of the reading task for memory.
    loan_wait: RefCell<Option<Rc<LoanWait>>>,
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
pub(super) fn start(core: &Rc<Core>, stream: Stream, source: IpAddr, role: ConnRole) -> Rc<Conn> {
    let (reader, writer) = stream.split();
    let conn = core.conns.insert(|id| Conn {
        id,
        role: Cell::new(role),
        source,
        unsent: RefCell::default(),
        unsent_shared: RefCell::default(),
        spare: RefCell::default(),
        reply_buffers: core.reply_buffers.clone(),
        writer,
        flush_wanted: LocalNotify::default(),
        drained: LocalNotify::default(),
        closed: Cell::new(false),
        broken: Cell::new(false),
        is_displaced: Cell::new(false),
        in_flight: Cell::new(0),
        in_flight_shared: Cell::new(0),
        counted: Cell::new(0),
        unsent_total: core.unsent_total.clone(),
        late: Cell::default(),
        loan_wait: RefCell::default(),
    });
    core.reply_buffers.set_max(core.conns.len());
    runtime::spawn(serve(core.clone(), conn.clone(), reader));
    conn
}

/// Serves a connection until the other end closes it or sends an invalid frame, or the node stops.
async fn serve(core: Rc<Core>, conn: Rc<Conn>, reader: StreamReader) {
    let writing = runtime::spawn(write_for_others(core.clone(), conn.clone()));
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
    let mut buffer = ReadBuffer::new(core.receive_memory.clone(), conn.source);
    loop {
        conn.begin_receiving(&buffer);
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
        conn.end_receiving();
        loop {
            let action = core.turn(conn, &mut buffer);
            buffer.return_loan();
            if conn.is_link() {
                // Never waits for the peer to read: two nodes that both wait would wait for ever.
                conn.flush_wanted.notify();
            } else {
                core.limit_unsent(conn);
                if core.spin.is_only_active(conn.id) {
                    conn.send_now();
                }
                conn.flush().await?;
                conn.wait_for_reader().await?;
            }
            match action {
                NextAction::Receive(frame_bytes) => {
                    if !make_room(core, conn, &mut buffer, frame_bytes).await {
                        return Ok(());
                    }
                    break;
                }
                NextAction::Flush => {}
                NextAction::Close => return Ok(()),
            }
        }
    }
}

/// Makes room for more of the frame at the front, once there is memory for it. Returns `false` if the
/// connection was broken meanwhile.
async fn make_room(core: &Core, conn: &Conn, buffer: &mut ReadBuffer, frame_bytes: usize) -> bool {
    if buffer.make_room(frame_bytes) {
        return true;
    }
    if conn.is_link() {
        core.receive_memory.lend_to_link(conn.source, frame_bytes);
        buffer.accept_loan(frame_bytes);
        return buffer.make_room(frame_bytes);
    }
    let wait = core.receive_memory.request(conn.source, frame_bytes);
    conn.loan_wait.replace(Some(wait.clone()));
    if conn.broken.get() || core.is_stopping() {
        wait.cancel();
    }
    let granted = core.receive_memory.granted(&wait).await;
    conn.loan_wait.replace(None);
    if granted {
        buffer.accept_loan(frame_bytes);
        assert!(buffer.make_room(frame_bytes), "a loan has room for its frame");
    }
    granted
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
    frame_bytes_max: u32,
    unsent: &mut Vec<u8>,
    prefetch: impl Fn(Step, &Header) -> bool,
    mut serve: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Option<NextAction>,
) -> NextAction {
    let mut rest = buffer.received();
    let received = rest.len();
    let mut ahead = Lookahead::new(rest, frame::peek);
    let action = loop {
        if unsent.len() > BUFFER_BYTES {
            if unsent.len() > UNSENT_BYTES_MAX {
                break NextAction::Flush;
            }
            if !rest.is_empty() {
                // All of it at once: growing step by step would copy it, and leave the steps behind.
                unsent.reserve_exact(UNSENT_BYTES_MAX + BUFFER_BYTES - unsent.len());
            }
        }
        ahead.advance(&prefetch);
        match frame::next(rest, frame_bytes_max) {
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

async fn write_for_others(core: Rc<Core>, conn: Rc<Conn>) {
    while !conn.closed.get() {
        conn.flush_wanted.notified().await;
        if conn.flush().await.is_err() {
            // The reading task gets an error, too.
            return;
        }
        if conn.is_link() {
            core.on_link_drained(&conn);
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
        self.cancel_loan_wait();
    }

    /// Breaks the connection.
    pub(super) fn abandon(&self) {
        self.writer.shut_down();
        self.cancel_loan_wait();
    }

    /// Breaks the connection of a client for a reason, which the client gets unless a reply is being
    /// written. Its replies are freed.
    pub(super) fn break_off(&self, fault: Fault) {
        if self.broken.replace(true) {
            return;
        }
        if let Ok(mut unsent) = self.unsent.try_borrow_mut() {
            *unsent = Vec::new();
        }
        self.unsent_shared.take();
        self.unsent_total.replace(self.counted.replace(0), 0);
        let mut refusal = Vec::new();
        write_refusal(&mut refusal, &fault.into());
        _ = self.writer.try_write_now(&refusal);
        self.abandon();
        self.drained.notify();
    }

    /// Returns whether [`break_off`](Conn::break_off) has broken the connection.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn cancel_loan_wait(&self) {
        if let Some(wait) = &*self.loan_wait.borrow() {
            wait.cancel();
        }
    }

    /// Lets the sweep count how long the next bytes take.
    #[inline]
    fn begin_receiving(&self, buffer: &ReadBuffer) {
        let Lateness { hello, frame, .. } = self.late.get();
        let received = buffer.received().len();
        let bytes = (received > 0).then_some(0);
        let frame = buffer.has_loan().then(|| frame.unwrap_or_default().with(received));
        self.late.set(Lateness { hello, bytes, frame });
    }

    /// Stops that count: what follows is up to this core, or to the reader of its replies.
    #[inline]
    fn end_receiving(&self) {
        self.late.set(Lateness { bytes: None, ..self.late.get() });
    }

    /// Returns the unsent replies of the connection in bytes, with those that it shares.
    #[inline]
    pub(super) fn unsent_bytes(&self) -> usize {
        self.counted.get() + self.in_flight_shared.get() + self.unsent_shared_bytes()
    }

    fn unsent_shared_bytes(&self) -> usize {
        self.unsent_shared.borrow().iter().map(|reply| reply.body.len()).sum()
    }

    /// Counts the unsent replies of a client anew, and returns their bytes.
    #[inline]
    pub(super) fn count_unsent(&self) -> usize {
        let is_counted = !self.is_link() && !self.broken.get();
        let now = if is_counted { self.unsent.borrow().len() + self.in_flight.get() } else { 0 };
        self.unsent_total.replace(self.counted.replace(now), now);
        self.unsent_bytes()
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
        if unsent.is_empty() || !self.unsent_shared.borrow().is_empty() {
            return;
        }
        if let Ok(sent) = self.writer.try_write_now(&unsent) {
            unsent.drain(..sent);
            drop(unsent);
            self.count_unsent();
        }
    }

    /// Writes all replies, in one write unless more come meanwhile.
    async fn flush(&self) -> io::Result<()> {
        let Some(mut writer) = self.writer.try_lock() else { return Ok(()) };
        let mut written = Ok(());
        while written.is_ok() {
            if let Some(SharedReply { to, status, body, .. }) = self.next_shared() {
                let bytes = body.bytes();
                let envelope = frame::envelope_of_encoded(&to, status, &bytes);
                self.in_flight_shared.set(bytes.len());
                written = writer.write_reply(envelope, bytes).await;
                self.in_flight_shared.set(0);
                continue;
            }
            if self.unsent.borrow().is_empty() {
                break;
            }
            let batch = self.next_batch();
            self.in_flight.set(batch.len());
            let (result, mut batch) = writer.write_all(batch).await;
            self.in_flight.set(0);
            self.count_unsent();
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

    /// Returns the large reply that goes next, unless other bytes go before.
    fn next_shared(&self) -> Option<SharedReply> {
        self.unsent_shared.borrow_mut().pop_front_if(|reply| reply.at == 0)
    }

    /// Returns the bytes that go next: all of them, or those in front of a large reply.
    fn next_batch(&self) -> Vec<u8> {
        let mut unsent = self.unsent.borrow_mut();
        let mut shared = self.unsent_shared.borrow_mut();
        let rest = match shared.front() {
            Some(first) => {
                let before = first.at;
                shared.iter_mut().for_each(|reply| reply.at -= before);
                unsent.split_off(before)
            }
            None => self.spare.take(),
        };
        std::mem::replace(&mut *unsent, rest)
    }

    /// Queues a reply whose body other connections may have, too.
    pub(super) fn push_shared(&self, to: Header, status: Status, body: Rc<SharedBody>) {
        let at = self.unsent.borrow().len();
        self.unsent_shared.borrow_mut().push_back(SharedReply { at, to, status, body });
    }

    /// Waits while the client does not read its replies. Its requests stay in its socket meanwhile,
    /// and TCP's back-pressure reaches it.
    async fn wait_for_reader(&self) -> io::Result<()> {
        while self.unsent.borrow().len() + self.unsent_shared_bytes() > UNSENT_BYTES_MAX {
            self.drained.notified().await;
            self.flush().await?;
        }
        Ok(())
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.unsent_total.replace(self.counted.get(), 0);
    }
}
