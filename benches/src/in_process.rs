//! Requests through a shard without sockets: decode, check, apply, encode. For `limits` and for the
//! micro-benchmarks in `benches/objects.rs`, each with its own clock.

use std::sync::Arc;

use catena_core::shard::{ConnId, Moment, Outbox, Output, Shard, Time, Types};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::SessionOp;
use catena_protocol::{FrameKind, Header, ObjectId, Op, ShardId, Status};

use crate::multiplied::Multiplied;

/// A shard with one open session, and where its replies go.
pub(crate) struct InProcess {
    shard: Shard,
    out: Replies,
    number: u64,
}

struct Replies(Vec<u8>);

impl Outbox for Replies {
    fn push(&mut self, _conn: ConnId, to: &Header, output: Output<'_>) {
        output.write(to, &mut self.0);
    }
}

const MOMENT: Moment = Moment { now: Time(0), memory_bytes_max: 1 << 30 };
const SESSION: u64 = 1;

impl InProcess {
    pub(crate) fn new() -> InProcess {
        let mut types = Types::default();
        types.register::<Multiplied>();
        let mut shard = InProcess {
            shard: Shard::new(ShardId(0), 7, Arc::new(types)),
            out: Replies(Vec::new()),
            number: 0,
        };
        let open = Op::Session(SessionOp::Open { born_us: 0, nonce: 1, ttl_ms: 0 });
        let mut bytes = Vec::new();
        write(&mut bytes, 0, ObjectId(0), &open);
        shard.serve(&bytes);
        shard
    }

    /// Replaces `batch` by so many requests, as a connection would receive them, each on another of
    /// so many objects. `op` gets the request's number, which only grows.
    pub(crate) fn encode<'a>(
        &mut self,
        batch: &mut Vec<u8>,
        requests: u64,
        objects: u64,
        op: &dyn Fn(u64) -> Op<'a>,
    ) {
        batch.clear();
        for _ in 0..requests {
            self.number += 1;
            // Odd, so that it meets every object; large, so that neighbours are not in one line.
            let object = self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % objects;
            write(batch, self.number, ObjectId(object.into()), &op(self.number));
        }
    }

    /// What a core does with the bytes of one read.
    pub(crate) fn serve(&mut self, bytes: &[u8]) {
        self.out.0.clear();
        let mut rest = bytes;
        while let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) {
            self.shard.on_request(MOMENT, ConnId(0), &frame, &mut self.out);
            rest = &rest[frame.bytes.len()..];
        }
    }

    /// How many of the last requests were refused. That is quick, and nothing to measure.
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

fn write(bytes: &mut Vec<u8>, number: u64, object: ObjectId, op: &Op<'_>) {
    let header = Header {
        op: op.code().to_wire(),
        session: SESSION,
        number,
        acked_gap: 1,
        object,
        ..Header::new(FrameKind::Request)
    };
    frame::write(bytes, &header, |out| op.encode(out)).expect("fits a frame");
}
