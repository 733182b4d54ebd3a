//! Requests through a shard without sockets: decode, check, apply, encode. For `limits` and for the
//! micro-benchmarks in `benches/objects.rs`, each with its own clock.

use std::sync::Arc;

use catena_core::shard::{ConnId, Moment, Outbox, Output, Shard, Time, Types};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::ObjectOp;
use catena_protocol::{Header, ObjectId, Op, ShardId, Status};

use crate::client_frames::{RequestHead, SessionNumbers, put_open, put_request};
use crate::multiplied::Multiplied;
use crate::random::SplitMix64;

/// A shard with one open session, and the replies to the last batch.
pub(crate) struct InProcess {
    shard: Shard,
    out: ReplyBytes,
}

struct ReplyBytes(Vec<u8>);

impl Outbox for ReplyBytes {
    fn push(&mut self, _conn: ConnId, to: &Header, output: Output<'_>) {
        output.write(to, &mut self.0);
    }
}

const MOMENT: Moment = Moment { now: Time(0), memory_bytes_max: 1 << 34 };
const SHARD: ShardId = ShardId(0);
const SESSION: u64 = 1;

impl InProcess {
    pub(crate) fn new() -> InProcess {
        let mut types = Types::default();
        types.register::<Multiplied>();
        let mut shard =
            InProcess { shard: Shard::new(SHARD, 7, Arc::new(types)), out: ReplyBytes(Vec::new()) };
        let mut open = Vec::new();
        put_open(&mut open, 0, SHARD, SESSION, 0);
        shard.serve(&open);
        shard
    }

    /// Does what a core does with the bytes of one read.
    pub(crate) fn serve(&mut self, bytes: &[u8]) {
        self.out.0.clear();
        let mut rest = bytes;
        while let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) {
            self.shard.on_request(MOMENT, ConnId(0), &frame, &mut self.out);
            rest = &rest[frame.bytes.len()..];
        }
    }

    /// Returns the bytes that the shard counts.
    pub(crate) fn bytes(&self) -> u64 {
        self.shard.census().bytes
    }

    /// Returns how many requests of the last batch were refused: a refusal is quick, and not what
    /// is to be measured.
    pub(crate) fn refused(&self) -> usize {
        let mut refused = 0;
        let mut rest = &self.out.0[..];
        while let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) {
            refused += usize::from(frame.header.flags != Status::Ok.to_wire());
            rest = &rest[frame.bytes.len()..];
        }
        refused
    }
}

/// The client of an [`InProcess`]: it has one batch of requests under way at a time.
///
/// The first update of an object carries its name at once. `catena-client` sends that request
/// twice, first without the name, and is refused.
pub(crate) struct InProcessClient {
    numbers: SessionNumbers,
    /// How many requests there were.
    requests: u64,
    random: SplitMix64,
    objects: Vec<KnownObject>,
}

struct KnownObject {
    id: ObjectId,
    exists: bool,
}

impl InProcessClient {
    pub(crate) fn new() -> InProcessClient {
        let (numbers, random) = (SessionNumbers::new(), SplitMix64::new(1));
        InProcessClient { numbers, requests: 0, random, objects: Vec::new() }
    }

    /// Returns the bytes that it takes itself.
    pub(crate) fn bytes(&self) -> u64 {
        (self.objects.capacity() * size_of::<KnownObject>()) as u64
    }

    /// Replaces `batch` by this many requests, as a connection would receive them, each for one of
    /// `objects`: for all of them in turn at first, then at random. `op` gets the number of the
    /// request.
    pub(crate) fn encode<'a>(
        &mut self,
        batch: &mut Vec<u8>,
        requests: u64,
        objects: u64,
        op: &dyn Fn(u64) -> Op<'a>,
    ) {
        batch.clear();
        let mut drawn = Vec::new();
        for _ in 0..requests {
            self.requests += 1;
            let in_turn = self.objects.len() as u64;
            let index = if in_turn < objects { in_turn } else { self.random.below(objects) };
            if index == in_turn {
                let id = ObjectId::of(&name(index));
                self.objects.push(KnownObject { id, exists: false });
            }
            let object = &mut self.objects[usize::try_from(index).expect("an index")];
            let op = op(self.requests);
            let code = op.code();
            let is_delete = matches!(op, Op::Object(ObjectOp::Delete));
            let makes = !object.exists && !is_delete && !code.is_read();
            let head = if code.is_read() {
                let (session, number, acked_gap) = (0, self.requests, 0);
                RequestHead { session, number, acked_gap, ..head(object.id) }
            } else {
                let number = self.numbers.draw();
                drawn.push(number);
                let acked_gap = self.numbers.acked_gap(number);
                RequestHead { session: SESSION, number, acked_gap, ..head(object.id) }
            };
            put_request(batch, &head, makes.then(|| name(index)).as_deref(), &op);
            object.exists = !is_delete && (object.exists || makes);
        }
        // All replies have come when the next batch is sent.
        drawn.into_iter().for_each(|number| self.numbers.answered(number));
    }
}

fn head(object: ObjectId) -> RequestHead {
    let (session, number, acked_gap, deadline_ms) = (0, 0, 0, 0);
    RequestHead { epoch: 0, shard: SHARD, object, session, number, acked_gap, deadline_ms }
}

fn name(index: u64) -> String {
    format!("catena-bench/{index}")
}
