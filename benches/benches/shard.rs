//! What a request costs inside the engine, without sockets: decode, check, apply, encode.

use catena_engine::shard::{ConnId, Moment, Outbox, Output, Shard, Time};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, CounterOp, SessionOp, VectorOp};
use catena_protocol::{Elements, FrameKind, Header, ObjectId, Op, ShardId};
use divan::{Bencher, counter::ItemsCount};

fn main() {
    divan::main();
}

/// Requests decoded, applied and answered in a row.
const REQUESTS: u64 = 32;

struct Replies(Vec<u8>);

impl Outbox for Replies {
    fn push(&mut self, _conn: ConnId, to: &Header, output: Output<'_>) {
        output.write(to, &mut self.0);
    }
}

/// A shard with one session, and a batch of requests as a connection would receive it.
struct Setup {
    shard: Shard,
    out: Replies,
    number: u64,
}

const MOMENT: Moment = Moment { now: Time(0), memory_bytes_max: 1 << 30 };
const SESSION: u64 = 1;

impl Setup {
    fn new() -> Setup {
        let mut setup =
            Setup { shard: Shard::new(ShardId(0), 7), out: Replies(Vec::new()), number: 0 };
        let open = Op::Session(SessionOp::Open { born_us: 0, nonce: 1, ttl_ms: 0 });
        let mut bytes = Vec::new();
        write(&mut bytes, 0, ObjectId(0), &open);
        setup.serve(&bytes);
        setup
    }

    /// Encodes a batch on so many objects in turn.
    fn batch(&mut self, objects: u64, op: &Op<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..REQUESTS {
            self.number += 1;
            write(&mut bytes, self.number, ObjectId((self.number % objects).into()), op);
        }
        bytes
    }

    fn serve(&mut self, bytes: &[u8]) {
        self.out.0.clear();
        let mut rest = bytes;
        while let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) {
            self.shard.on_request(MOMENT, ConnId(0), &frame, &mut self.out);
            rest = &rest[frame.bytes.len()..];
        }
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

fn bench(bencher: Bencher<'_, '_>, objects: u64, op: Op<'_>) {
    let mut setup = Setup::new();
    let mut next = Setup::new();
    bencher
        .counter(ItemsCount::new(REQUESTS))
        .with_inputs(move || next.batch(objects, &op))
        .bench_local_values(move |batch| setup.serve(&batch));
}

#[divan::bench(args = [1, 1_000, 100_000])]
fn counter_add(bencher: Bencher<'_, '_>, objects: u64) {
    bench(bencher, objects, Op::Counter(CounterOp::Add { delta: 1 }));
}

#[divan::bench]
fn counter_get(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, Op::Counter(CounterOp::Get));
}

#[divan::bench(args = [16, 1_024, 65_536])]
fn cell_set(bencher: Bencher<'_, '_>, bytes: usize) {
    bench(bencher, 1, Op::Cell(CellOp::Set { bytes: &vec![7; bytes] }));
}

#[divan::bench]
fn vector_add_2525(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, Op::Vector(VectorOp::Add { elements: Elements::F64(&[1.0; 2_525]) }));
}
