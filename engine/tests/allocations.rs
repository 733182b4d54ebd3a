//! In steady state a request allocates nothing, from the received frame to the reply; and an engine that
//! is dropped frees its memory.
//!
//! This is a test binary of its own, because a process has one allocator.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use catena_core::shard::{ConnId, Moment, Outbox, Output, Shard, Time, Types};
use catena_engine::rkyv::Archived;
use catena_engine::rkyv::util::AlignedVec;
use catena_engine::{BadSnapshot, Context, Driver, Engine, Object, Rejection, UserType};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{
    CellOp, CounterOp, FlagOp, ListOp, MapOp, ScopeOp, SessionOp, SetOp, UserOp, VectorOp,
};
use catena_protocol::{
    Elements, FrameKind, Header, Hello, Items, ObjectId, Op, ShardId, flags, named, user_type,
};

/// Requests until every buffer and table has its final size.
const WARM_UP: u64 = 100;
/// Requests that are measured; none may allocate.
const MEASURED: u64 = 1_000;

#[test]
fn a_warmed_up_request_allocates_nothing() {
    let (bytes, numbers) = ([7; 1_000], [1.5; 512]);
    let mut args = Vec::new();
    user_type::encode_args::<Sum>(&vec![1, 2, 3], &mut args).expect("it can be archived");
    let ops = [
        ("counter add", Op::Counter(CounterOp::Add { delta: 1 })),
        ("counter get", Op::Counter(CounterOp::Get)),
        ("counter cas", Op::Counter(CounterOp::CompareAndSwap { expected: 0, value: 1 })),
        ("flag set", Op::Flag(FlagOp::Set { value: true })),
        ("flag get", Op::Flag(FlagOp::Get)),
        ("flag cas", Op::Flag(FlagOp::CompareAndSwap { expected: true, value: false })),
        ("cell set", Op::Cell(CellOp::Set { bytes: &bytes })),
        ("cell get", Op::Cell(CellOp::Get)),
        ("vector add", Op::Vector(VectorOp::Add { elements: Elements::F64(&numbers) })),
        ("vector get", Op::Vector(VectorOp::Get)),
        ("list get", Op::List(ListOp::Get { index: 1 })),
        ("list set", Op::List(ListOp::Set { index: 0, bytes: b"a short item" })),
        ("map get", Op::Map(MapOp::Get { key: b"key" })),
        ("map put, short", Op::Map(MapOp::Put { key: b"key", value: b"another" })),
        ("map put, as long as before", Op::Map(MapOp::Put { key: b"long", value: &bytes })),
        ("set contains", Op::Set(SetOp::Contains { bytes: b"member" })),
        ("user update", Op::User(UserOp::Update { type_id: 1, args: &args })),
        ("user read", Op::User(UserOp::Read { type_id: 1, args: &args })),
    ];
    let made = [
        Op::List(ListOp::Extend { items: Items::new(&[1, 4], b"aitem").expect("two items") }),
        Op::Map(MapOp::Put { key: b"key", value: b"value" }),
        Op::Set(SetOp::Add { bytes: b"member" }),
    ];
    for window in [1, 64] {
        let mut client = Client::new(window);
        made.iter().for_each(|op| client.ask(1, op));
        for (name, op) in &ops {
            client.ask(WARM_UP, op);
            let before = ALLOCATIONS.get();
            client.ask(MEASURED, op);
            let allocations = ALLOCATIONS.get() - before;
            assert_eq!(allocations, 0, "{name} with {window} in flight, over {MEASURED} requests");
        }
        let push = Op::List(ListOp::PushBack { bytes: b"a short item" });
        let mut push_and_pop = |times| {
            for _ in 0..times {
                client.ask(1, &push);
                client.ask(1, &Op::List(ListOp::PopFront));
            }
        };
        push_and_pop(WARM_UP);
        let before = ALLOCATIONS.get();
        push_and_pop(MEASURED);
        assert_eq!(ALLOCATIONS.get() - before, 0, "push and pop with {window} in flight");
    }
    assert!(ALLOCATIONS.get() > 0, "the allocator counts");
}

/// Nor does a request that carries the name of its object, under a quota.
#[test]
fn a_known_name_costs_no_allocation() {
    let bytes = [7; 1_000];
    let ops = [
        ("counter add", Op::Counter(CounterOp::Add { delta: 1 })),
        ("cell set", Op::Cell(CellOp::Set { bytes: &bytes })),
    ];
    for (name, op) in &ops {
        let mut client = Client::new(64);
        let quota = ScopeOp::Quota { prefix: "some/", objects_max: 1, bytes_max: 1 << 20 };
        client.ask(1, &Op::Scope(quota));
        client.name = Some("some/object");
        client.ask(WARM_UP, op);
        let before = ALLOCATIONS.get();
        client.ask(MEASURED, op);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{name} by name, over {MEASURED} requests");
    }
}

/// Memory that a core fails to free leaks, because its thread is gone.
#[test]
fn a_dropped_engine_frees_its_memory() {
    const CELL_BYTES: usize = 4 * 1024 * 1024;
    let mut request = Vec::new();
    Hello { features: 0 }.write(&mut request);
    let open = Op::Session(SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 0 });
    let set = Op::Cell(CellOp::Set { bytes: &[7; CELL_BYTES] });
    for (number, op) in [(0, open), (1, set)] {
        let header = Header {
            op: op.code().to_wire(),
            session: 1,
            number,
            acked_gap: 1,
            ..Header::new(FrameKind::Request)
        };
        frame::write(&mut request, &header, |out| op.encode(out)).expect("it fits a frame");
    }
    for driver in [Driver::Auto, Driver::Epoll] {
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        let builder = Engine::builder().shards(1).driver(driver).spin(Duration::from_micros(50));
        let engine = builder.start().expect("the engine starts");
        let mut client = TcpStream::connect(engine.addresses()[0]).expect("it listens");
        client.write_all(&request).expect("it reads");
        while engine.census()[0].objects == 0 {}
        let held = LIVE_BYTES.load(Ordering::Relaxed) - before;
        assert!(held > CELL_BYTES.cast_signed() / 2, "{held} bytes with the cell");
        drop(engine);
        let kept = LIVE_BYTES.load(Ordering::Relaxed) - before;
        assert!(kept < 1024 * 1024, "{kept} bytes are left ({driver:?})");
    }
}

/// A user-defined type: the sum of all values, and their number.
#[derive(Default)]
struct Sum(u64, u64);

impl UserType for Sum {
    const TYPE_ID: u32 = 1;
    const NAME: &'static str = "sum";
    type Op = Vec<u64>;
    type Reply = (u64, u64);
}

impl Object for Sum {
    fn apply(&mut self, op: &Archived<Vec<u64>>, _: &mut Context) -> (u64, u64) {
        for value in op.iter() {
            self.0 += value.to_native();
            self.1 += 1;
        }
        (self.0, self.1)
    }

    fn read(&self, _: &Archived<Vec<u64>>) -> Result<(u64, u64), Rejection> {
        Ok((self.0, self.1))
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn snapshot(&self, _: &mut Vec<u8>) {}

    fn restore(_: &[u8]) -> Result<Sum, BadSnapshot> {
        Ok(Sum::default())
    }
}

/// A session of a shard with a number of requests in flight.
struct Client {
    shard: Shard,
    number: u64,
    window: u64,
    /// The name of its object, if the requests carry it.
    name: Option<&'static str>,
    request: Vec<u8>,
    received: AlignedVec<16>,
    replies: Replies,
}

impl Client {
    fn new(window: u64) -> Client {
        let mut types = Types::default();
        types.register::<Sum>();
        let mut client = Client {
            shard: Shard::new(ShardId(0), 1, Arc::new(types)),
            number: 0,
            window,
            name: None,
            // Room for any request and all replies of the test, as the driver reuses its buffers.
            request: Vec::with_capacity(64 * 1024),
            received: AlignedVec::with_capacity(64 * 1024),
            replies: Replies(Vec::with_capacity(64 * 1024)),
        };
        let open = SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 0 };
        client.send(0, &Op::Session(open));
        client
    }

    fn ask(&mut self, times: u64, op: &Op<'_>) {
        for _ in 0..times {
            self.number += 1;
            self.send(self.number.min(self.window), op);
        }
    }

    fn send(&mut self, acked_gap: u64, op: &Op<'_>) {
        let header = Header {
            op: op.code().to_wire(),
            session: 1,
            number: self.number,
            acked_gap: u16::try_from(acked_gap).expect("in the window"),
            flags: self.name.map_or(0, |_| flags::NAMED),
            object: match self.name {
                Some(name) => ObjectId::of(name),
                None => ObjectId(u128::from(op.code().to_wire() >> 8)),
            },
            ..Header::new(FrameKind::Request)
        };
        self.request.clear();
        let body = |out: &mut Vec<u8>| {
            self.name.iter().for_each(|name| named::put(name, out));
            op.encode(out);
        };
        frame::write(&mut self.request, &header, body).expect("a small frame");
        self.received.clear();
        self.received.extend_from_slice(&self.request);
        let Ok(Next::Frame(frame)) = frame::next(&self.received, FRAME_BYTES_MAX) else {
            unreachable!("what was just written is a frame")
        };
        let now = Time(self.number);
        self.replies.0.clear();
        let moment = Moment { now, memory_bytes_max: 1 << 30 };
        self.shard.on_request(moment, ConnId(0), &frame, &mut self.replies);
        assert!(!self.replies.0.is_empty(), "every request gets a reply");
    }
}

/// Reply frames, as the driver collects them.
struct Replies(Vec<u8>);

impl Outbox for Replies {
    fn push(&mut self, _: ConnId, to: &Header, output: Output<'_>) {
        output.write(to, &mut self.0);
    }
}

/// Bytes that the process has allocated.
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts the allocations of each thread and the live bytes of all.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call goes to `System` unchanged, so its contract is the one to keep; the counters need
// no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        LIVE_BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        let grown = bytes.cast_signed() - layout.size().cast_signed();
        LIVE_BYTES.fetch_add(grown, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
