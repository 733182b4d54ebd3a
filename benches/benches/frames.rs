//! What a frame costs by itself: checked and decoded, and written.

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, CounterOp, MapOp, VectorOp};
use catena_protocol::{Elements, FrameKind, Header, ObjectId, Op, Reply, ShardId};
use divan::{Bencher, black_box, counter::ItemsCount};

// A part of it is for sessions.
#[allow(dead_code)]
#[path = "../src/client_frames.rs"]
mod client_frames;

use self::client_frames::{RequestHead, put_request};

fn main() {
    divan::main();
}

/// Makes a frame with this op, as it lies in a receive buffer.
fn frame_of(op: &Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = RequestHead {
        epoch: 0,
        shard: ShardId(0),
        object: ObjectId::of("catena-bench"),
        session: 1,
        number: 1,
        acked_gap: 1,
        deadline_ms: 0,
    };
    put_request(&mut bytes, &head, None, op);
    bytes
}

/// Checks and borrows a frame and the op in it.
fn decode(bencher: Bencher<'_, '_>, op: &Op<'_>) {
    let bytes = frame_of(op);
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        let Ok(Next::Frame(frame)) = frame::next(black_box(&bytes), FRAME_BYTES_MAX) else {
            unreachable!("it was just written")
        };
        Op::decode(frame.header.op, frame.body).is_ok()
    });
}

#[divan::bench]
fn decode_counter_add(bencher: Bencher<'_, '_>) {
    decode(bencher, &Op::Counter(CounterOp::Add { delta: 1 }));
}

#[divan::bench]
fn decode_cell_set_1k(bencher: Bencher<'_, '_>) {
    decode(bencher, &Op::Cell(CellOp::Set { bytes: &[7; 1_024] }));
}

#[divan::bench]
fn decode_map_put(bencher: Bencher<'_, '_>) {
    decode(bencher, &Op::Map(MapOp::Put { key: &[7; 8], value: &[7; 16] }));
}

#[divan::bench]
fn decode_vector_add_2525(bencher: Bencher<'_, '_>) {
    decode(bencher, &Op::Vector(VectorOp::Add { elements: Elements::F64(&[1.0; 2_525]) }));
}

/// Writes a reply into a buffer that is there.
fn encode(bencher: Bencher<'_, '_>, reply: &Reply<'_>) {
    let to = Header::new(FrameKind::Request);
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        out.clear();
        frame::write_reply(black_box(&mut out), &to, Ok(reply));
    });
}

#[divan::bench]
fn encode_counter_value(bencher: Bencher<'_, '_>) {
    encode(bencher, &Reply::Int(42));
}

/// The same by the way that a counter's reply takes.
#[divan::bench]
fn encode_word(bencher: Bencher<'_, '_>) {
    let to = Header::new(FrameKind::Request);
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        out.clear();
        frame::write_word(black_box(&mut out), &to, 42);
    });
}

#[divan::bench]
fn encode_cell_1k(bencher: Bencher<'_, '_>) {
    encode(bencher, &Reply::Cell { version: 1, bytes: Some(&[7; 1_024]) });
}

#[divan::bench]
fn encode_vector_2525(bencher: Bencher<'_, '_>) {
    let elements = Some(Elements::F64(&[1.0; 2_525]));
    encode(bencher, &Reply::Vector { version: 1, columns: 2_525, elements });
}
