//! A whole turn of a shard for each kind of object: decode, check, apply, encode, and the session.
//!
//! `frames.rs` has decoding and encoding by themselves; the rest is the shard and the object.

#[path = "../src/client_frames.rs"]
mod client_frames;
#[path = "../src/in_process.rs"]
#[expect(dead_code, reason = "memory is measured by the program")]
mod in_process;
#[path = "../src/multiplied.rs"]
mod multiplied;
#[path = "../src/random.rs"]
mod random;

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp,
    GENERATION_CURRENT, LatchOp, ListOp, LockOp, LogOp, Loss, MapOp, Merge, ObjectOp, Permit,
    ReduceOp, ReductionOp, ScanArgs, ScanWhat, SemaphoreOp, SetOp, UserOp, VectorOp,
};
use catena_protocol::{Elements, Op, UserType, user_type};
use divan::{Bencher, counter::ItemsCount};

use self::in_process::{InProcess, InProcessClient};
use self::multiplied::{COMPLEX_TIMES, Multiplied, Multiply};
use self::random::SplitMix64;

fn main() {
    divan::main();
}

/// Requests that are decoded, applied and replied to in a row.
const REQUESTS: u64 = 32;

/// Serves what one read brings: the same op on this many objects.
fn turn(bencher: Bencher<'_, '_>, objects: u64, op: Op<'_>) {
    turn_of(bencher, objects, &|_| op);
}

/// The same, with an op that depends on the number of the request.
fn turn_of<'a>(bencher: Bencher<'_, '_>, objects: u64, op: &dyn Fn(u64) -> Op<'a>) {
    turn_on(bencher, InProcess::new(), InProcessClient::new(), objects, op);
}

/// The same on a shard that `client` may have sent requests to. Encoding is not measured.
fn turn_on<'a>(
    bencher: Bencher<'_, '_>,
    mut shard: InProcess,
    mut client: InProcessClient,
    objects: u64,
    op: &dyn Fn(u64) -> Op<'a>,
) {
    let mut batch = Vec::new();
    // Creates the objects.
    for _ in 0..objects.div_ceil(REQUESTS) {
        client.encode(&mut batch, REQUESTS, objects, op);
        shard.serve(&batch);
        assert_eq!(shard.refused(), 0, "{:?}", op(1));
    }
    bencher
        .counter(ItemsCount::new(REQUESTS))
        .with_inputs(move || {
            let mut batch = Vec::new();
            client.encode(&mut batch, REQUESTS, objects, op);
            batch
        })
        .bench_local_refs(move |batch| shard.serve(batch));
}

/// A turn on one object that was filled by this many requests, an even number.
fn turn_on_filled<'a>(
    bencher: Bencher<'_, '_>,
    requests: u64,
    fill: &dyn Fn(u64) -> Op<'a>,
    op: &dyn Fn(u64) -> Op<'a>,
) {
    let (mut shard, mut client) = (InProcess::new(), InProcessClient::new());
    let mut batch = Vec::new();
    // In several batches, because a session has a limited window.
    for _ in 0..requests / REQUESTS {
        client.encode(&mut batch, REQUESTS, 1, fill);
        shard.serve(&batch);
    }
    turn_on(bencher, shard, client, 1, op);
}

#[divan::bench(args = [1, 1_000, 100_000])]
fn counter_add(bencher: Bencher<'_, '_>, objects: u64) {
    turn(bencher, objects, Op::Counter(CounterOp::Add { delta: 1 }));
}

#[divan::bench]
fn counter_multiply(bencher: Bencher<'_, '_>) {
    turn(bencher, 200, Op::Counter(CounterOp::Multiply { factor: -1 }));
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

#[divan::bench(args = [16, 1_024, 65_536])]
fn cell_get(bencher: Bencher<'_, '_>, bytes: usize) {
    let bytes = vec![7; bytes];
    let set = Op::Cell(CellOp::Set { bytes: &bytes });
    turn_on_filled(bencher, REQUESTS, &|_| set, &|_| Op::Cell(CellOp::Get));
}

#[divan::bench]
fn vector_add_2525(bencher: Bencher<'_, '_>) {
    turn(bencher, 1, Op::Vector(VectorOp::Add { elements: Elements::F64(&[1.0; 2_525]) }));
}

#[divan::bench]
fn vector_dot_2525(bencher: Bencher<'_, '_>) {
    let elements = Elements::F64(&[1.0; 2_525]);
    let add = Op::Vector(VectorOp::Add { elements });
    turn_on_filled(bencher, REQUESTS, &|_| add, &|_| Op::Vector(VectorOp::Dot { elements }));
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

/// Half of the requests push, half pop, at the ends of a list of this many items.
#[divan::bench(args = [32, 1_024])]
fn list_push_pop(bencher: Bencher<'_, '_>, items: u64) {
    let push = Op::List(ListOp::PushFront { bytes: &[7; 16] });
    let pop = Op::List(ListOp::PopBack);
    turn_on_filled(bencher, items, &|_| push, &|number| if number % 2 == 1 { push } else { pop });
}

/// 100 items of 16 bytes.
#[divan::bench]
fn list_range_100(bencher: Bencher<'_, '_>) {
    let push = Op::List(ListOp::PushBack { bytes: &[7; 16] });
    let range = Op::List(ListOp::Range { from: 400, limit: 100 });
    turn_on_filled(bencher, 1_024, &|_| push, &|_| range);
}

/// Keys that an op of a request borrows, in no order; they live as long as the benchmark runs.
struct MapKeys(Vec<[u8; 8]>);

impl MapKeys {
    fn new(keys: u64) -> MapKeys {
        let mut random = SplitMix64::new(0);
        MapKeys((0..keys).map(|_| random.bits().to_be_bytes()).collect())
    }

    fn of(&self, number: u64) -> &[u8] {
        &self.0[usize::try_from(number % self.0.len() as u64).expect("an index")]
    }
}

/// A value of 16 bytes under one of this many keys of one map.
#[divan::bench(args = [1_024, 131_072])]
fn map_put(bencher: Bencher<'_, '_>, keys: u64) {
    let names = MapKeys::new(keys);
    let put = |number| Op::Map(MapOp::Put { key: names.of(number), value: &[7; 16] });
    turn_on_filled(bencher, keys, &put, &put);
}

#[divan::bench(args = [1_024, 131_072])]
fn map_get(bencher: Bencher<'_, '_>, keys: u64) {
    let names = MapKeys::new(keys);
    let put = |number| Op::Map(MapOp::Put { key: names.of(number), value: &[7; 16] });
    let get = |number| Op::Map(MapOp::Get { key: names.of(number) });
    turn_on_filled(bencher, keys, &put, &get);
}

#[divan::bench]
fn map_merge_add(bencher: Bencher<'_, '_>) {
    let names = MapKeys::new(1_024);
    let (value, merge) = (&1_i64.to_le_bytes(), Merge::Add);
    let add = |number| Op::Map(MapOp::Merge { key: names.of(number), value, merge });
    turn_on_filled(bencher, 1_024, &add, &add);
}

/// 100 entries.
#[divan::bench]
fn map_scan_100(bencher: Bencher<'_, '_>) {
    let names = MapKeys::new(1_024);
    let put = |number| Op::Map(MapOp::Put { key: names.of(number), value: &[7; 16] });
    let scan = |number| {
        let (what, reverse, limit) = (ScanWhat::Entries, false, 100);
        let (from, to) = (Edge::Included(names.of(number)), Edge::None);
        Op::Map(MapOp::Scan(ScanArgs { what, reverse, limit, from, to }))
    };
    turn_on_filled(bencher, 1_024, &put, &scan);
}

/// Half of the requests add a member, half remove one.
#[divan::bench]
fn set_add_remove(bencher: Bencher<'_, '_>) {
    let names = MapKeys::new(1_024);
    let add = |number| Op::Set(SetOp::Add { bytes: names.of(number) });
    turn_on_filled(bencher, 1_024, &add, &|number| {
        if number % 2 == 1 {
            Op::Set(SetOp::Remove { bytes: names.of(number + 1) })
        } else {
            add(number)
        }
    });
}

/// Returns the token that the request before this one was granted: opening the session was update
/// 1, and every request is one update more.
fn token(number: u64) -> u64 {
    number << 16
}

/// Half of the requests acquire a permit, half release it.
#[divan::bench]
fn semaphore_acquire_release(bencher: Bencher<'_, '_>) {
    turn_of(bencher, 1, &|number| {
        let permit = Permit { permits: 8, count: 1, hold_ms: 0 };
        Op::Semaphore(match number % 2 {
            1 => SemaphoreOp::Acquire(permit),
            _ => SemaphoreOp::Release { token: token(number) },
        })
    });
}

/// Half of the requests acquire the lock, half release it.
#[divan::bench]
fn lock_acquire_release(bencher: Bencher<'_, '_>) {
    turn_of(bencher, 1, &|number| {
        Op::Lock(match number % 2 {
            1 => LockOp::Acquire { hold_ms: 60_000 },
            _ => LockOp::Release { token: token(number) },
        })
    });
}

/// Half of the requests set a future, half delete it.
#[divan::bench]
fn future_set_delete(bencher: Bencher<'_, '_>) {
    turn_of(bencher, 1, &|number| match number % 2 {
        1 => Op::Future(FutureOp::Set { bytes: &[7; 16] }),
        _ => Op::Object(ObjectOp::Delete),
    });
}

/// A future that is set.
#[divan::bench]
fn future_get(bencher: Bencher<'_, '_>) {
    let set = Op::Future(FutureOp::Set { bytes: &[7; 1_024] });
    turn_on_filled(bencher, REQUESTS, &|_| set, &|_| Op::Future(FutureOp::Get));
}

#[divan::bench]
fn log_print(bencher: Bencher<'_, '_>) {
    turn(bencher, 1, Op::Log(LogOp::Print { line: "iteration 7: cost 1234.5" }));
}

/// The thesis's simple and complex operation, of a user-defined type.
#[divan::bench(args = [1, COMPLEX_TIMES])]
fn user_multiply(bencher: Bencher<'_, '_>, times: u32) {
    let mut args = Vec::new();
    user_type::encode_args::<Multiplied>(&Multiply { factor: -1.0, times }, &mut args)
        .expect("two numbers");
    turn(bencher, 200, Op::User(UserOp::Update { type_id: Multiplied::TYPE_ID, args: &args }));
}
