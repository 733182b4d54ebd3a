//! A request on its way: what is asked, under which number, and how it ended.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::limits::WAIT_MS_MAX;
use catena_protocol::{
    Fault, FrameKind, Header, Kind, ObjectId, Op, OpCode, Refusal, ShardId, flags, named,
};

use crate::session::Session;

#[derive(Debug)]
pub(crate) struct Request<'o> {
    pub(crate) place: Place,
    /// What the object is called.
    name: &'o str,
    pub(crate) op: Op<'o>,
    pub(crate) code: OpCode,
    /// Until when it may wait inside the engine.
    wait_until: Option<Instant>,
    pub(crate) shard: ShardId,
    /// The session and number under which it is sent; number 0 until one is drawn. A read has a
    /// number only to find its reply, and session 0.
    pub(crate) session: u64,
    pub(crate) number: u64,
    /// It was sent at least once on a connection that broke before the reply came, so it may have
    /// been executed.
    pub(crate) maybe_done: bool,
    /// It carries the name of its object, which the engine may not know yet.
    pub(crate) is_named: bool,
    /// How often it was refused for now.
    pub(crate) tries: u32,
    /// How often its session was replaced.
    pub(crate) renewals: u32,
    /// Why it was refused for now, the last time.
    pub(crate) postponed: Option<Refusal>,
    /// It may go to any member of the shard's chain; if not, it goes to the head.
    pub(crate) anywhere: bool,
    /// The core it was sent to last.
    pub(crate) node: Option<SocketAddr>,
    /// What people call the node it was sent to last, in a cluster.
    pub(crate) member: Option<Arc<str>>,
    pub(crate) outcome: Option<Result<Answer, Failure>>,
}

/// What a request is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Object(ObjectId),
    /// All objects of a shard, or the shard itself.
    Shard(ShardId),
}

/// Where the body of the reply lies: in which buffer (the lane's own number while the buffer is
/// still there, or that of a kept buffer), and where in it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) buffer: usize,
    pub(crate) body: Range<usize>,
}

/// Why there is no reply.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No object can have this name.
    BadName,
    /// The engine, or the client in its place, refused the request.
    Refused(Refusal),
    /// Whatever listens there speaks no protocol that this client speaks.
    Incompatible(Fault),
    /// What came is no frame, or no reply to anything that was asked.
    Garbled(Fault),
    /// The connection could not be set up, or broke and could not be set up again in time.
    Lost(Arc<std::io::Error>),
    /// The time is up.
    NoAnswer,
    /// The session was forgotten, and with it whether the request was executed.
    SessionLost,
}

impl<'o> Request<'o> {
    pub(crate) fn new(
        place: Place,
        name: &'o str,
        op: Op<'o>,
        wait_until: Option<Instant>,
    ) -> Request<'o> {
        Request {
            place,
            name,
            op,
            code: op.code(),
            wait_until,
            shard: ShardId(0),
            session: 0,
            number: 0,
            maybe_done: false,
            is_named: false,
            tries: 0,
            renewals: 0,
            postponed: None,
            anywhere: false,
            node: None,
            member: None,
            outcome: None,
        }
    }

    pub(crate) fn is_update(&self) -> bool {
        !self.code.is_read()
    }

    /// Whether it may be parked inside the engine.
    pub(crate) fn may_wait(&self) -> bool {
        self.code.may_wait()
    }

    /// Whether every member would answer the same.
    pub(crate) fn may_go_anywhere(&self) -> bool {
        // What a shard says of itself is about the node as well.
        !self.is_update() && !self.may_wait() && self.code != OpCode::ScopeStats
    }

    /// Whether it may make its object, which then wants a name.
    pub(crate) fn may_make(&self) -> bool {
        let is_object = !matches!(self.code.kind(), Kind::Session | Kind::Object | Kind::Scope);
        is_object && self.is_update()
    }

    /// Makes sure that it has a number of `session`; `false` if the session's window is full.
    pub(crate) fn draw_number(&mut self, session: &mut Session, window: u16) -> bool {
        if self.session != session.id {
            let Some(number) = session.draw(window) else { return false };
            (self.session, self.number) = (session.id, number);
        }
        true
    }

    /// Appends the body: the name of the object if it is wanted, then the op.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.is_named {
            named::put(self.name, out);
        }
        self.op.encode(out);
    }

    /// The header to send it with.
    pub(crate) fn header(&self, epoch: u32, acked_gap: u16, now: Instant) -> Header {
        Header {
            op: self.code.to_wire(),
            flags: match (self.is_named, self.may_make()) {
                (true, _) => flags::NAMED,
                (false, true) => flags::NAME_WANTED,
                (false, false) => 0,
            },
            deadline_ms: self.wait_until.map_or(0, |until| wait_ms(until, now)),
            shard: self.shard,
            acked_gap,
            epoch,
            session: self.session,
            number: self.number,
            object: match self.place {
                Place::Object(id) => id,
                Place::Shard(_) => ObjectId(0),
            },
            ..Header::new(FrameKind::Request)
        }
    }

    /// Whether `header` belongs to the reply to this. Replies of different shards overtake one another,
    /// so what comes next on a connection says nothing.
    pub(crate) fn is_answered_by(&self, header: &Header) -> bool {
        (self.session, self.number, self.shard) == (header.session, header.number, header.shard)
    }
}

/// Whole milliseconds from now on, rounded up so that a short wait does not become none.
fn wait_ms(until: Instant, now: Instant) -> u32 {
    let rounding = Duration::from_micros(999);
    let left = until.saturating_duration_since(now) + rounding;
    u32::try_from(left.as_millis()).unwrap_or(WAIT_MS_MAX).min(WAIT_MS_MAX)
}
