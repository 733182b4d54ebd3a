//! The lane to one endpoint: a connection, the requests to send on it, and the requests in flight.
//!
//! 1. `queue` and `in_flight` hold indexes of requests in the current exchange. `queue` is sorted,
//!    so requests are sent in the caller's order, retries first.
//! 2. Between two exchanges both are empty and the connection, if there is one, is at a frame
//!    boundary in both directions.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use catena_protocol::frame::{self, Next};
use catena_protocol::{Fault, HEADER_BYTES, Header};

use crate::buffer::{Buffer, Pool};
use crate::config::{BUFFER_BYTES, REFRESH_AFTER, REFRESH_PAUSE_MAX, STALL, WELCOME_BYTES_MAX};
use crate::connection::Connection;
use crate::random;
use crate::request::Failure;
use crate::topology::Clock;

#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) connection: Option<Connection>,
    /// Requests to send.
    pub(crate) queue: VecDeque<usize>,
    /// Requests that were sent and have no reply.
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Frames to be written to the socket, and how many bytes of them were.
    pub(crate) out: Vec<u8>,
    pub(crate) written: usize,
    pub(crate) buffer: Buffer,
    /// The index of `buffer` among the kept ones.
    pub(crate) kept_as: Option<usize>,
    /// The size of the frame at the front of `buffer`, as far as it is known.
    wanted: usize,
    /// Nothing is sent before this.
    pub(crate) not_before: Option<Instant>,
    /// Which requests it sends.
    pub(crate) intake: Intake,
    pub(crate) outage: Option<Outage>,
    /// The clock of the node at the other end, from its Welcome.
    pub(crate) clock: LaneClock,
    /// Reads that can go to another member do so until then.
    pub(crate) avoid_until: Option<Instant>,
    /// How often other members were asked for the configuration because the oldest request in
    /// flight has no reply, and when to ask again.
    refreshes: u32,
    refresh_at: Option<Instant>,
}

/// Which requests a lane sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Intake {
    /// All that are queued.
    #[default]
    Open,
    /// None until the requests in flight have replies: an object that does not exist yet refuses every
    /// request without its name, and they have to reach it in order.
    Settling,
    /// None on this connection, which is replaced after the last reply.
    Retiring,
}

/// What is known of the clock of the node at the other end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum LaneClock {
    /// Nothing, before the Welcome.
    #[default]
    Unknown,
    /// A reading.
    Known(Clock),
    /// It has to be read again before a session can be opened. The last reading, if the connection
    /// is still that of it.
    Stale(Option<Clock>),
}

impl LaneClock {
    /// The last reading.
    pub(crate) fn latest(self) -> Option<Clock> {
        match self {
            LaneClock::Unknown => None,
            LaneClock::Known(clock) => Some(clock),
            LaneClock::Stale(clock) => clock,
        }
    }

    pub(crate) fn is_stale(self) -> bool {
        matches!(self, LaneClock::Stale(_))
    }

    /// Has it read again.
    pub(crate) fn distrust(&mut self) {
        *self = LaneClock::Stale(self.latest());
    }

    /// Forgets the reading, because the next connection may be to another process.
    fn disconnect(&mut self) {
        *self = if self.is_stale() { LaneClock::Stale(None) } else { LaneClock::Unknown };
    }
}

/// A request that was sent, or is encoded to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) request: usize,
    /// Its first byte is sent once this many bytes of `out` are written; 0 once all of them are.
    begun_at: usize,
    sent_at: Instant,
}

/// Failures of a lane since its last reply.
#[derive(Debug)]
pub(crate) struct Outage {
    pub(crate) since: Instant,
    pub(crate) tries: u32,
    /// The latest reason.
    pub(crate) reason: Failure,
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct ReceivedFrame {
    pub(crate) header: Header,
    /// Where its body lies in the lane's buffer.
    pub(crate) body: Range<usize>,
}

/// How long to wait on a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IoWait {
    /// Not at all.
    None,
    /// For [`STALL`], because other sockets may be ready sooner.
    Briefly,
    /// At most this long, spinning first.
    UpTo(Duration),
}

impl Lane {
    /// Lets the requests in flight get their replies before others are sent.
    pub(crate) fn settle(&mut self) {
        if self.intake == Intake::Open {
            self.intake = Intake::Settling;
        }
    }

    /// Records that the requests in flight have their replies, or may wait for long.
    pub(crate) fn settled(&mut self) {
        if self.intake == Intake::Settling {
            self.intake = Intake::Open;
        }
    }

    /// Has the connection replaced after the last reply.
    pub(crate) fn retire(&mut self) {
        self.intake = Intake::Retiring;
    }

    pub(crate) fn is_retiring(&self) -> bool {
        self.intake == Intake::Retiring
    }

    /// Whether it has requests, queued or in flight.
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.in_flight.is_empty()
    }

    /// Whether it is connected and idle.
    pub(crate) fn is_idle(&self) -> bool {
        let greeted = self.connection.as_ref().is_some_and(|connection| connection.greeted);
        greeted && !self.is_busy() && self.written == 0
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.written < self.out.len()
    }

    /// Inserts a request into the sorted queue.
    pub(crate) fn enqueue(&mut self, request: usize) {
        // Mostly the queue is filled in order.
        if self.queue.back().is_none_or(|last| *last < request) {
            self.queue.push_back(request);
            return;
        }
        let behind = self.queue.iter().position(|queued| *queued > request);
        self.queue.insert(behind.expect("the last one is behind"), request);
    }

    /// Records that `request` is encoded, with its frame beginning at `begins`.
    pub(crate) fn on_encoded(&mut self, request: usize, begins: usize, now: Instant) {
        self.in_flight.push_back(InFlight { request, begun_at: begins + 1, sent_at: now });
    }

    /// Removes the request at `place` of `in_flight`, which has its reply.
    pub(crate) fn on_answered(&mut self, place: usize) {
        self.in_flight.remove(place);
        self.outage = None;
        if place == 0 {
            (self.refreshes, self.refresh_at) = (0, None);
        }
    }

    /// When to ask other members whether the cluster has changed, because no reply comes here.
    /// `jitter` differs between clients, so that they do not all ask at once.
    pub(crate) fn refresh_at(&self, jitter: Duration) -> Option<Instant> {
        let oldest = self.in_flight.front()?;
        Some(self.refresh_at.unwrap_or(oldest.sent_at + REFRESH_AFTER + jitter))
    }

    /// Records that other members are asked, and schedules the next time.
    pub(crate) fn on_refresh(&mut self, now: Instant) {
        self.refreshes += 1;
        let doubled = REFRESH_AFTER.saturating_mul(1 << self.refreshes.min(16));
        let pause = doubled.min(REFRESH_PAUSE_MAX);
        self.refresh_at = Some(now + random::stretched(pause));
    }

    /// Sends encoded frames. Returns whether anything was sent; `wait` is how long to wait for
    /// room.
    pub(crate) fn write(&mut self, wait: IoWait) -> io::Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let unsent = &self.out[self.written..];
        if unsent.is_empty() {
            return Ok(false);
        }
        let sent = match wait {
            IoWait::None => connection.write_now(unsent)?,
            IoWait::Briefly => connection.write_within(unsent, STALL)?,
            IoWait::UpTo(timeout) => connection.write_within(unsent, timeout)?,
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

    /// Receives. Returns whether anything arrived. With `kept`, full buffers go there.
    pub(crate) fn read(
        &mut self,
        wait: IoWait,
        spin: Duration,
        pool: &Pool,
        kept: Option<&mut Vec<Buffer>>,
    ) -> io::Result<bool> {
        self.make_room(pool, kept);
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let spare = self.buffer.spare();
        let received = match wait {
            IoWait::None => connection.read_now(spare)?,
            IoWait::Briefly => connection.read_within(spare, STALL, Duration::ZERO)?,
            IoWait::UpTo(timeout) => connection.read_within(spare, timeout, spin)?,
        };
        self.buffer.received(received.unwrap_or_default());
        Ok(received.is_some())
    }

    /// Sends what is encoded, and drops this many replies as they arrive. Gives up at `deadline`.
    pub(crate) fn take_replies(
        &mut self,
        count: usize,
        deadline: Instant,
        reply_bytes_max: u32,
        pool: &Pool,
    ) -> io::Result<()> {
        let mut open = count;
        while open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if self.has_unsent() {
                self.write(IoWait::UpTo(left))?;
                continue;
            }
            self.read(IoWait::UpTo(left), Duration::ZERO, pool, None)?;
            while self.next_frame(reply_bytes_max).map_err(io::Error::other)?.is_some() {
                open = open.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Takes the next received frame; `None` if it is not complete.
    pub(crate) fn next_frame(
        &mut self,
        reply_bytes_max: u32,
    ) -> Result<Option<ReceivedFrame>, Fault> {
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
                Ok(Some(ReceivedFrame { header, body }))
            }
        }
    }

    /// Returns the buffer, for a view of the last reply, and continues with another one.
    pub(crate) fn swap_buffer(&mut self, pool: &Pool) -> Buffer {
        let mut next = pool.take(BUFFER_BYTES.max(self.buffer.unread().len()));
        // Copies nothing, unless other replies are in the buffer.
        next.adopt(&self.buffer);
        std::mem::replace(&mut self.buffer, next)
    }

    /// Moves a buffer with replies to the kept ones.
    pub(crate) fn keep_buffer(&mut self, kept: &mut [Buffer]) {
        if let Some(at) = self.kept_as.take() {
            kept[at] = std::mem::take(&mut self.buffer);
        }
    }

    /// Closes the connection. Returns the requests that were in flight, each with whether it may
    /// have reached the engine.
    pub(crate) fn disconnect(&mut self) -> impl Iterator<Item = (usize, bool)> + use<> {
        if let Some(connection) = self.connection.take() {
            connection.abort();
        }
        let written = self.written;
        self.out.clear();
        self.written = 0;
        self.wanted = 0;
        self.intake = Intake::Open;
        self.clock.disconnect();
        (self.refreshes, self.refresh_at) = (0, None);
        if self.kept_as.is_none() {
            self.buffer.clear();
        }
        let in_flight = std::mem::take(&mut self.in_flight);
        in_flight.into_iter().map(move |sent| (sent.request, sent.begun_at <= written))
    }

    /// Makes room for the rest of the frame at the front, or for the next header. Without `kept`
    /// the bytes in front of the unread ones are no longer needed; with it, they are.
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

    /// Continues in a larger buffer. Returns the old one.
    fn outgrow(&mut self, wanted: usize, pool: &Pool) -> Buffer {
        let mut next = pool.take(wanted);
        // At most the beginning of one frame, which is copied once.
        next.adopt(&self.buffer);
        std::mem::replace(&mut self.buffer, next)
    }
}
