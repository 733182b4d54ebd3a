//! What a request costs inside the engine, without sockets: decode, check, apply, encode.

#[path = "../src/in_process.rs"]
mod in_process;
#[path = "../src/multiplied.rs"]
mod multiplied;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, FlagOp, GENERATION_CURRENT, LatchOp, Loss,
    ReduceOp, ReductionOp, UserOp, VectorOp,
};
use catena_protocol::{Elements, FrameKind, Header, ObjectId, Op, Reply, UserType, user_type};
use divan::{Bencher, black_box, counter::ItemsCount};

use self::in_process::InProcess;
use self::multiplied::{COMPLEX_TIMES, Multiplied, Multiply};

fn main() {
    divan::main();
}

/// Requests decoded, applied and answered in a row.
const REQUESTS: u64 = 32;

/// A whole turn of a shard: what one read brings, answered.
fn turn(bencher: Bencher<'_, '_>, objects: u64, op: Op<'_>) {
    turn_of(bencher, objects, &|_| op);
}

/// The same, with an op that depends on the number of the request.
fn turn_of<'a>(bencher: Bencher<'_, '_>, objects: u64, op: &dyn Fn(u64) -> Op<'a>) {
    let mut shard = InProcess::new();
    // The same numbers again, for a shard that has not seen them: encoding is not measured.
    let mut client = InProcess::new();
    bencher
        .counter(ItemsCount::new(REQUESTS))
        .with_inputs(move || {
            let mut batch = Vec::new();
            client.encode(&mut batch, REQUESTS, objects, op);
            batch
        })
        .bench_local_refs(move |batch| shard.serve(batch));
}

#[divan::bench(args = [1, 1_000, 100_000])]
fn counter_add(bencher: Bencher<'_, '_>, objects: u64) {
    turn(bencher, objects, Op::Counter(CounterOp::Add { delta: 1 }));
}

#[divan::bench]
fn counter_multiply(bencher: Bencher<'_, '_>) {
    turn(bencher, 200, Op::Counter(CounterOp::Multiply { factor: -1 }));
}

/// The same of a user-defined type, and the thesis's complex operation.
#[divan::bench(args = [1, COMPLEX_TIMES])]
fn user_multiply(bencher: Bencher<'_, '_>, times: u32) {
    let mut args = Vec::new();
    user_type::encode_args::<Multiplied>(&Multiply { factor: -1.0, times }, &mut args)
        .expect("two numbers");
    turn(bencher, 200, Op::User(UserOp::Update { type_id: Multiplied::TYPE_ID, args: &args }));
}

#[divan::bench]
fn counter_get(bencher: Bencher<'_, '_>) {
    turn(bencher, 1, Op::Counter(CounterOp::Get));
}

#[divan::bench]
fn flag_swap(bencher: Bencher<'_, '_>) {
    turn(bencher, 1_000, Op::Flag(FlagOp::Swap { value: true }));
}

#[divan::bench(args = [16, 1_024, 65_536])]
fn cell_set(bencher: Bencher<'_, '_>, bytes: usize) {
    turn(bencher, 1, Op::Cell(CellOp::Set { bytes: &vec![7; bytes] }));
}

#[divan::bench]
fn vector_add_2525(bencher: Bencher<'_, '_>) {
    turn(bencher, 1, Op::Vector(VectorOp::Add { elements: Elements::F64(&[1.0; 2_525]) }));
}

#[divan::bench]
fn barrier_arrive(bencher: Bencher<'_, '_>) {
    let (party, parties, generation) = ("alone", 1, GENERATION_CURRENT);
    let arrival = Arrival { party, parties, generation, hold_ms: 0, loss: Loss::Wait };
    turn(bencher, 1_000, Op::Barrier(BarrierOp::Arrive(arrival)));
}

#[divan::bench]
fn latch_count_down(bencher: Bencher<'_, '_>) {
    turn(bencher, 1_000, Op::Latch(LatchOp::CountDown { party: "alone", parties: 1 }));
}

/// Of one party: folding the contribution in and answering with the result.
#[divan::bench(args = [8, 2_525])]
fn reduction_contribute(bencher: Bencher<'_, '_>, elements: usize) {
    let elements = vec![1.0; elements];
    let (op, elements) = (ReduceOp::Sum, Elements::F64(&elements));
    turn_of(bencher, 1, &|round| {
        let (party, parties, hold_ms, loss) = (0, 1, 0, Loss::Wait);
        let part = Contribution { party, parties, round, op, hold_ms, loss, elements };
        Op::Reduction(ReductionOp::Contribute(part))
    });
}

/// A frame with this op, as it lies in a receive buffer.
fn frame_of(op: &Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header {
        op: op.code().to_wire(),
        session: 1,
        number: 1,
        object: ObjectId(7),
        ..Header::new(FrameKind::Request)
    };
    frame::write(&mut bytes, &header, |out| op.encode(out)).expect("fits a frame");
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

#[divan::bench]
fn encode_cell_1k(bencher: Bencher<'_, '_>) {
    encode(bencher, &Reply::Cell { version: 1, bytes: Some(&[7; 1_024]) });
}

#[divan::bench]
fn encode_vector_2525(bencher: Bencher<'_, '_>) {
    let elements = Some(Elements::F64(&[1.0; 2_525]));
    encode(bencher, &Reply::Vector { version: 1, columns: 2_525, elements });
}
