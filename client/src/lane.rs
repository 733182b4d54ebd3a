//! The way to one endpoint: a connection, what waits to be sent on it, and what was sent and not yet
//! answered.
//!
//! 1. `queue` and `in_flight` hold places of requests in the exchange under way. `queue` is sorted,
//!    so requests are sent in the order in which they were asked, repeated ones first.
//! 2. Between two exchanges both are empty and the connection, if there is one, is at the boundary
//!    of a frame in both directions.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use catena_protocol::frame::{self, Next};
use catena_protocol::{Fault, HEADER_BYTES, Header};

use crate::buffer::{Buffer, Pool};
use crate::config::{BUFFER_BYTES, LOOK_AFTER, LOOK_PAUSE_MAX, STALL, WELCOME_BYTES_MAX};
use crate::connection::Connection;
use crate::random;
use crate::request::Failure;
use crate::topology::Clock;

#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) connection: Option<Connection>,
    /// Requests to send.
    pub(crate) queue: VecDeque<usize>,
    /// Requests that were sent.
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Frames to be handed to the kernel, and how much of them was.
    pub(crate) out: Vec<u8>,
    pub(crate) written: usize,
    pub(crate) buffer: Buffer,
    /// The number of `buffer` among the kept ones.
    pub(crate) kept_as: Option<usize>,
    /// How many bytes the frame at the front of `buffer` needs.
    wanted: usize,
    /// Nothing is sent before this.
    pub(crate) not_before: Option<Instant>,
    /// Take no more requests on this connection; replace it when the last is answered.
    pub(crate) retiring: bool,
    /// Send nothing before what was sent is answered: an object that is not there yet refuses every
    /// request without its name, and they have to reach it in their order.
    pub(crate) settling: bool,
    pub(crate) trouble: Option<Trouble>,
    /// The clock of the node at the other end, as its Welcome had it.
    pub(crate) clock: Option<Clock>,
    /// The node's clock has to be read anew before a session can be opened.
    pub(crate) ask_clock: bool,
    /// Reads that may go elsewhere do, until then.
    pub(crate) avoid_until: Option<Instant>,
    /// How often others were asked for news because the oldest request in flight has no answer, and when
    /// they are asked again.
    looks: u32,
    look_at: Option<Instant>,
}

/// A request that was sent, or is about to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) request: usize,
    /// It has begun to be sent once this many bytes of `out` are written; 0 once all were.
    begun_at: usize,
    sent_at: Instant,
}

/// What went wrong since the last reply.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) since: Instant,
    pub(crate) tries: u32,
    /// The latest reason.
    pub(crate) reason: Failure,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) header: Header,
    /// Where its body lies in the lane's buffer.
    pub(crate) body: Range<usize>,
}

/// How long to wait for bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// A moment, because other sockets matter too.
    Moment,
    /// As long as this; spin first.
    Within(Duration),
}

impl Lane {
    /// Whether there is anything to do here.
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.in_flight.is_empty()
    }

    /// Whether it is connected and between two exchanges.
    pub(crate) fn is_at_rest(&self) -> bool {
        let greeted = self.connection.as_ref().is_some_and(|connection| connection.greeted);
        greeted && !self.is_busy() && self.written == 0
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.written < self.out.len()
    }

    /// Puts a request where it belongs in the queue.
    pub(crate) fn enqueue(&mut self, request: usize) {
        // A queue that is filled in order is appended to: look at its end first.
        if self.queue.back().is_none_or(|last| *last < request) {
            self.queue.push_back(request);
            return;
        }
        let behind = self.queue.iter().position(|queued| *queued > request);
        self.queue.insert(behind.expect("the last one is behind"), request);
    }

    /// Takes note that `request`, the frame of which begins at `begins`, is encoded.
    pub(crate) fn on_encoded(&mut self, request: usize, begins: usize, now: Instant) {
        self.in_flight.push_back(InFlight { request, begun_at: begins + 1, sent_at: now });
    }

    /// Takes out of `in_flight` the request at `place`, which has its answer.
    pub(crate) fn on_answered(&mut self, place: usize) {
        self.in_flight.remove(place);
        self.trouble = None;
        if place == 0 {
            (self.looks, self.look_at) = (0, None);
        }
    }

    /// When others should be asked whether they know why nothing is answered here; `patience` is how
    /// much later than everybody this client takes silence for trouble.
    pub(crate) fn look_at(&self, patience: Duration) -> Option<Instant> {
        let oldest = self.in_flight.front()?;
        Some(self.look_at.unwrap_or(oldest.sent_at + LOOK_AFTER + patience))
    }

    /// Takes note that others were asked, and had nothing new.
    pub(crate) fn on_looked(&mut self, now: Instant) {
        self.looks += 1;
        let pause = LOOK_AFTER.saturating_mul(1 << self.looks.min(16)).min(LOOK_PAUSE_MAX);
        self.look_at = Some(now + random::stretched(pause));
    }

    /// Sends what is encoded. `patience` is how long to wait for room.
    pub(crate) fn write(&mut self, patience: Patience) -> io::Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let unsent = &self.out[self.written..];
        if unsent.is_empty() {
            return Ok(false);
        }
        let sent = match patience {
            Patience::None => connection.write_now(unsent)?,
            Patience::Moment => connection.write_within(unsent, STALL)?,
            Patience::Within(timeout) => connection.write_within(unsent, timeout)?,
        };
        self.written += sent;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            for sent in self.in_flight.iter_mut().rev().take_while(|sent| sent.begun_at > 0) {
                sent.begun_at = 0;
            }
        }
        Ok(sent > 0)
    }

    /// Receives; `false` if nothing came. A full buffer goes to `kept` if there is such a thing.
    pub(crate) fn read(
        &mut self,
        patience: Patience,
        spin: Duration,
        pool: &Pool,
        kept: Option<&mut Vec<Buffer>>,
    ) -> io::Result<bool> {
        self.make_room(pool, kept);
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let spare = self.buffer.spare();
        let received = match patience {
            Patience::None => connection.read_now(spare)?,
            Patience::Moment => connection.read_within(spare, STALL, Duration::ZERO)?,
            Patience::Within(timeout) => connection.read_within(spare, timeout, spin)?,
        };
        self.buffer.received(received.unwrap_or_default());
        Ok(received.is_some())
    }

    /// Takes the next frame of what was received, `None` if it is not all there.
    pub(crate) fn next_frame(&mut self, reply_bytes_max: u32) -> Result<Option<Arrival>, Fault> {
        let greeted = self.connection.as_ref().is_some_and(|connection| connection.greeted);
        let frame_bytes_max = if greeted { reply_bytes_max } else { WELCOME_BYTES_MAX };
        let next = frame::next(self.buffer.unread(), frame_bytes_max).map_err(|e| e.fault)?;
        match next {
            Next::Partial { bytes } => {
                self.wanted = bytes;
                Ok(None)
            }
            Next::Frame(frame) => {
                let begins = self.buffer.start() + HEADER_BYTES as usize;
                let body = begins..begins + frame.body.len();
                let (header, bytes) = (frame.header, frame.bytes.len());
                self.buffer.take(bytes);
                self.wanted = HEADER_BYTES as usize;
                Ok(Some(Arrival { header, body }))
            }
        }
    }

    /// Lends out the buffer and goes on with another one.
    pub(crate) fn swap_buffer(&mut self, pool: &Pool) -> Buffer {
        let mut next = pool.take(BUFFER_BYTES.max(self.buffer.unread().len()));
        // Nothing, unless more was asked than this one reply.
        next.adopt(&self.buffer);
        std::mem::replace(&mut self.buffer, next)
    }

    /// Puts a buffer with replies in it where it is kept.
    pub(crate) fn keep_buffer(&mut self, kept: &mut [Buffer]) {
        if let Some(at) = self.kept_as.take() {
            kept[at] = std::mem::take(&mut self.buffer);
        }
    }

    /// Gives up the connection; answers the requests that were in flight and whether each may have
    /// reached the engine.
    pub(crate) fn hang_up(&mut self) -> impl Iterator<Item = (usize, bool)> + use<> {
        if let Some(connection) = self.connection.take() {
            connection.abort();
        }
        let written = self.written;
        self.out.clear();
        self.written = 0;
        self.wanted = 0;
        (self.retiring, self.settling) = (false, false);
        (self.clock, self.looks, self.look_at) = (None, 0, None);
        if self.kept_as.is_none() {
            self.buffer.clear();
        }
        let in_flight = std::mem::take(&mut self.in_flight);
        in_flight.into_iter().map(move |sent| (sent.request, sent.begun_at <= written))
    }

    /// Makes room for the rest of the frame at the front, or for the next header. Without `kept`
    /// nothing in front of the unread bytes is needed any more; with it, everything is.
    fn make_room(&mut self, pool: &Pool, kept: Option<&mut Vec<Buffer>>) {
        let wanted = self.wanted.max(HEADER_BYTES as usize);
        let Some(kept) = kept else {
            if self.buffer.unread().is_empty() {
                self.buffer.clear();
            } else if !self.buffer.has_room(wanted) && self.buffer.capacity() >= wanted {
                self.buffer.compact();
            }
            if !self.buffer.has_room(wanted) {
                pool.put(self.outgrow(wanted, pool));
            }
            return;
        };
        let at = *self.kept_as.get_or_insert_with(|| {
            self.buffer.clear();
            kept.push(Buffer::default());
            kept.len() - 1
        });
        if !self.buffer.has_room(wanted) {
            kept[at] = self.outgrow(wanted, pool);
            self.kept_as = Some(kept.len());
            kept.push(Buffer::default());
        }
    }

    /// Goes on in a larger buffer; answers the old one.
    fn outgrow(&mut self, wanted: usize, pool: &Pool) -> Buffer {
        let mut next = pool.take(wanted);
        // The beginning of one frame, at most: it moves once.
        next.adopt(&self.buffer);
        std::mem::replace(&mut self.buffer, next)
    }
}
