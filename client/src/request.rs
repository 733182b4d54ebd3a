//! A request from call to outcome: op, session and number, attempts.

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
pub(crate) struct PendingRequest<'o> {
    pub(crate) addressee: Addressee,
    /// The name of the object.
    name: &'o str,
    pub(crate) op: Op<'o>,
    pub(crate) code: OpCode,
    /// How long it may wait inside the engine.
    wait_until: Option<Instant>,
    pub(crate) shard: ShardId,
    /// Session and number with which it is sent; number 0 until one is drawn. Reads have session 0,
    /// and a number that only identifies their reply.
    pub(crate) session: u64,
    pub(crate) number: u64,
    /// It was sent on a connection that broke before the reply arrived, so it may have been
    /// executed.
    pub(crate) maybe_done: bool,
    /// It carries the name of its object.
    pub(crate) is_named: bool,
    /// How often it was refused temporarily.
    pub(crate) tries: u32,
    /// How often its session was replaced.
    pub(crate) renewals: u32,
    /// The last temporary refusal.
    pub(crate) postponed: Option<Refusal>,
    /// It may go to any member of the shard's chain; otherwise to the head.
    pub(crate) any_member: bool,
    /// The core it was sent to last.
    pub(crate) node: Option<SocketAddr>,
    /// The name of the member it was sent to last, in a cluster.
    pub(crate) member: Option<Arc<str>>,
    pub(crate) outcome: Option<Result<ReplyLocation, Failure>>,
}

/// What a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressee {
    Object(ObjectId),
    /// All objects of a shard, or the shard itself.
    Shard(ShardId),
}

/// Where the body of a reply lies: the index of the buffer (of its lane, or of a kept buffer), and
/// the range in it.
#[derive(Clone, Debug)]
pub(crate) struct ReplyLocation {
    pub(crate) buffer: usize,
    pub(crate) body: Range<usize>,
}

/// Why a request has no reply.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No object can have the name.
    BadName,
    /// The engine, or the client in its place, refused the request.
    Refused(Refusal),
    /// The peer is not an engine, or one of another release.
    Incompatible(Fault),
    /// The peer sent an invalid frame, or a reply that no request expects.
    Garbled(Fault),
    /// The connection could not be opened, or broke and could not be opened again in time.
    Lost(Arc<std::io::Error>),
    /// No reply arrived in time.
    NoAnswer,
    /// The engine lost the session, and with it whether the request was executed.
    SessionLost,
    /// The caller has cancelled the call.
    Cancelled,
    /// The client was closed.
    Closed,
    /// As many calls are in progress as the client may have.
    TooManyCalls { calls_max: u32 },
}

impl<'o> PendingRequest<'o> {
    pub(crate) fn new(
        addressee: Addressee,
        name: &'o str,
        op: Op<'o>,
        wait_until: Option<Instant>,
    ) -> PendingRequest<'o> {
        PendingRequest {
            addressee,
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
            any_member: false,
            node: None,
            member: None,
            outcome: None,
        }
    }

    pub(crate) fn is_update(&self) -> bool {
        !self.code.is_read()
    }

    /// Whether it may wait inside the engine.
    pub(crate) fn may_wait(&self) -> bool {
        self.code.may_wait()
    }

    /// Whether every member can serve it.
    pub(crate) fn fits_any_member(&self) -> bool {
        // The statistics of a shard include some of its node.
        !self.is_update() && !self.may_wait() && self.code != OpCode::ScopeStats
    }

    /// Whether it may make its object, which then needs a name.
    pub(crate) fn may_make(&self) -> bool {
        let is_object = !matches!(self.code.kind(), Kind::Session | Kind::Object | Kind::Scope);
        is_object && self.is_update()
    }

    /// Draws a number of `session` unless it has one; `false` if the session's window is full.
    pub(crate) fn draw_number(&mut self, session: &mut Session, window: u16) -> bool {
        if self.session != session.id {
            let Some(number) = session.draw(window) else { return false };
            (self.session, self.number) = (session.id, number);
        }
        true
    }

    /// Appends the body: the name of the object if it is attached, then the op.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.is_named {
            named::put(self.name, out);
        }
        self.op.encode(out);
    }

    /// The header of its frame.
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
            object: match self.addressee {
                Addressee::Object(id) => id,
                Addressee::Shard(_) => ObjectId(0),
            },
            ..Header::new(FrameKind::Request)
        }
    }

    /// Whether `header` is that of its reply. The order of replies does not tell, because replies
    /// of different shards can overtake one another.
    pub(crate) fn is_answered_by(&self, header: &Header) -> bool {
        (self.session, self.number, self.shard) == (header.session, header.number, header.shard)
    }
}

/// Whole milliseconds from now on, rounded up so that a short wait does not become 0.
fn wait_ms(until: Instant, now: Instant) -> u32 {
    let rounding = Duration::from_micros(999);
    let left = until.saturating_duration_since(now) + rounding;
    u32::try_from(left.as_millis()).unwrap_or(WAIT_MS_MAX).min(WAIT_MS_MAX)
}
