//! Compares what the generator sends with what `catena-client` sends, byte by byte: both go through
//! a recorder to an engine of their own, which is empty at first.
//!
//! Only what is drawn at random or read from a clock may differ: the id and nonce of a session, and
//! when it was born. Sessions may be opened earlier, see the contract of the module.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use catena_client::{Client, Pipeline};
use catena_engine::Engine;
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, CounterOp, ReduceOp, SessionOp, VectorOp};
use catena_protocol::{Elements, FrameKind, Header, Op, OpCode};

use super::parties::DEADLINE_MS;
use super::{MeetingKind, NodeTopology};
use crate::client_frames::SessionNumbers;
use crate::multiplied::{Multiplied, Multiply};
use crate::ops::WORKLOADS;
use crate::wire::{ITEM_BYTES, KeyOrder, TakenReply, Wire, Workload, divided, key_name};

/// Requests that go out together, and then the next ones. The first are calls by themselves, the
/// others pipelines; all but the last create objects.
const BATCHES: [usize; 6] = [1, 1, 1, 4, 4, 4];

/// How many keys there are, for objects without items.
const KEYS: u64 = 11;

#[test]
fn requests_are_those_of_the_client() {
    for workload in WORKLOADS.into_iter().chain([Workload::ListPush]) {
        let is_piped = workload.items(1_000) == 1 && !matches!(workload, Workload::Multiply { .. });
        let batches = if is_piped { &BATCHES[..] } else { &[1; 6] };
        // Two maps or lists, and the requests go from one to the other.
        let (keys, from) = if workload.items(1_000) == 1 { (KEYS, 0) } else { (2_000, 997) };
        let client = record(|address| call(address, workload, keys, from, batches));
        let generator = record(|address| {
            let node = NodeTopology::at(address).unwrap();
            let objects = node.objects(0, workload, keys).unwrap();
            let mut wire = node.connection(workload, keys, objects, KeyOrder::InTurn(from));
            drive(&mut wire, address, batches);
        });
        compare(&generator, &client, &format!("{workload:?}"));
    }
}

#[test]
fn parties_are_those_of_the_client() {
    let elements = 8;
    let kinds = [
        MeetingKind::Barrier,
        MeetingKind::Reduction { elements },
        MeetingKind::Semaphore,
        MeetingKind::Lock,
        MeetingKind::Future,
    ];
    for kind in kinds {
        let client = record(|address| meet(&Client::connect(address).unwrap(), kind));
        let generator = record(|address| {
            let node = NodeTopology::at(address).unwrap();
            let (mut wire, _) = node.parties(kind, OBJECT, 1).remove(0);
            drive(&mut *wire, address, &[1; ROUNDS]);
        });
        compare(&generator, &client, &format!("{kind:?}"));
    }
}

#[test]
fn numbers_count_as_acknowledged_up_to_the_first_without_a_reply() {
    let mut numbers = SessionNumbers::new();
    let drawn: Vec<u64> = (0..4).map(|_| numbers.draw()).collect();
    assert_eq!(drawn, [1, 2, 3, 4]);
    assert_eq!(drawn.iter().map(|n| numbers.acked_gap(*n)).collect::<Vec<_>>(), [1, 2, 3, 4]);
    numbers.answered(3);
    numbers.answered(2);
    assert_eq!(numbers.acked_gap(4), 4, "1 has no reply yet");
    numbers.answered(1);
    assert_eq!(numbers.acked_gap(4), 1);
    numbers.answered(4);
    let number = numbers.draw();
    assert_eq!((number, numbers.acked_gap(number)), (5, 1));
}

/// A party that waits for a future: only its first request, because what follows depends on who is
/// first.
#[test]
fn a_party_waits_for_a_future_as_the_client_does() {
    let [generator, client] = [0, 1].map(|side| {
        let recorded = record_all(|address| {
            let node = NodeTopology::at(address).unwrap();
            let mut party = node.parties(MeetingKind::Future, OBJECT, 2).remove(0).0;
            let set = || _ = Client::connect(address).unwrap().future(OBJECT).set([7; 8]);
            match side {
                0 => {
                    let mut socket = TcpStream::connect(address).unwrap();
                    party.greet(&mut socket).unwrap();
                    let mut out = Vec::new();
                    party.request(&mut out);
                    socket.write_all(&out).unwrap();
                    // Its refusal: the object has no name yet.
                    socket.read_exact(&mut [0; 64]).unwrap();
                }
                _ => {
                    std::thread::scope(|scope| {
                        let client = Client::connect(address).unwrap();
                        let wait = Duration::from_millis(DEADLINE_MS.into());
                        let getter = scope.spawn(move || {
                            assert_eq!(&*client.future(OBJECT).get(wait).unwrap(), [7; 8]);
                        });
                        set();
                        getter.join().unwrap();
                    });
                }
            }
        });
        // Who sets it has a connection of its own, and may be the first or the last.
        let mut frames = recorded.into_iter().flat_map(|recorded| recorded.requests);
        frames.find(|frame| frame.header.op == OpCode::FutureGet.to_wire())
    });
    assert_eq!(generator, client);
    assert!(client.is_some());
}

const OBJECT: &str = "catena-bench/meeting";
const ROUNDS: usize = 3;

/// Sends what the wire generates, and takes the replies to a batch before the next.
fn drive(wire: &mut dyn Wire, address: SocketAddr, batches: &[usize]) {
    let mut socket = TcpStream::connect(address).unwrap();
    wire.greet(&mut socket).unwrap();
    let mut received = Vec::new();
    for requests in batches {
        let mut out = Vec::new();
        for _ in 0..*requests {
            assert!(wire.is_ready());
            wire.request(&mut out);
        }
        let mut open = *requests;
        while open > 0 {
            socket.write_all(&out).unwrap();
            out.clear();
            let mut bytes = [0; 4_096];
            let read = socket.read(&mut bytes).unwrap();
            assert!(read > 0, "the engine closed the connection");
            received.extend_from_slice(&bytes[..read]);
            while let Some(TakenReply { len, is_final }) = wire.reply(&received, &mut out).unwrap()
            {
                received.drain(..len);
                open -= usize::from(is_final);
            }
        }
    }
}

/// Does with the client what `drive` does with the generator.
fn call(address: SocketAddr, workload: Workload, keys: u64, from: u64, batches: &[usize]) {
    let client = Client::connect(address).unwrap();
    let (items, prefix) = (workload.items(keys), workload.key_prefix());
    // Each push is followed by a pop from the same list.
    let each = if workload == Workload::ListPushPop { 2 } else { 1 };
    let mut sent = 0;
    for requests in batches {
        let mut batch = Vec::new();
        for _ in 0..*requests {
            let (object, item) = divided((from + sent / each) % keys, items);
            batch.push((key_name(prefix, object), key_name(b'f', item), sent % 2 == 1));
            sent += 1;
        }
        match &batch[..] {
            [(name, field, pops)] => call_one(&client, workload, name, field, *pops),
            names => {
                let (value, ones) = (value_of(workload), ones_of(workload));
                let mut pipeline = client.pipeline();
                for (name, ..) in names {
                    queue(&client, &mut pipeline, workload, name, &value, &ones);
                }
                assert!(pipeline.run().all_ok().is_ok());
            }
        }
    }
}

fn value_of(workload: Workload) -> Vec<u8> {
    match workload {
        Workload::CellPut { bytes } => vec![b'x'; bytes],
        _ => vec![b'x'; ITEM_BYTES],
    }
}

fn ones_of(workload: Workload) -> Vec<f64> {
    match workload {
        Workload::VectorAdd { elements } => vec![1.0; elements],
        _ => Vec::new(),
    }
}

fn call_one(client: &Client, workload: Workload, name: &str, field: &str, pops: bool) {
    let value = value_of(workload);
    match workload {
        Workload::CounterAdd => _ = client.counter(name).add(1).unwrap(),
        Workload::CounterMultiply => _ = client.counter(name).multiply(-1).unwrap(),
        Workload::Multiply { times } => {
            let op = Multiply { factor: -1.0, times };
            client.object::<Multiplied>(name).update(&op).unwrap();
        }
        Workload::CellPut { .. } => _ = client.cell(name).set(&value).unwrap(),
        Workload::CellGet { .. } => _ = client.cell(name).get().unwrap(),
        Workload::VectorAdd { .. } => {
            client.vector(name).add(&ones_of(workload)).unwrap();
        }
        Workload::MapPut => _ = client.map(name).put(field, value).unwrap(),
        Workload::MapGet => _ = client.map(name).get(field).unwrap(),
        Workload::ListPushPop if pops => _ = client.list(name).pop_back().unwrap(),
        Workload::ListPush | Workload::ListPushPop => {
            client.list(name).push_front(value).unwrap();
        }
    }
}

fn queue<'o>(
    client: &Client,
    pipeline: &mut Pipeline<'o>,
    workload: Workload,
    name: &str,
    value: &'o [u8],
    ones: &'o [f64],
) {
    match workload {
        Workload::CounterAdd => {
            pipeline.push(&client.counter(name), CounterOp::Add { delta: 1 });
        }
        Workload::CounterMultiply => {
            pipeline.push(&client.counter(name), CounterOp::Multiply { factor: -1 });
        }
        Workload::CellPut { .. } => {
            _ = pipeline.push(&client.cell(name), CellOp::Set { bytes: value })
        }
        Workload::CellGet { .. } => _ = pipeline.push(&client.cell(name), CellOp::Get),
        Workload::VectorAdd { .. } => {
            let add = VectorOp::Add { elements: Elements::F64(ones) };
            pipeline.push(&client.vector(name), add);
        }
        other => unreachable!("{other:?} is called one by one"),
    }
}

/// Goes through the rounds of a party that is alone.
fn meet(client: &Client, kind: MeetingKind) {
    let wait = Duration::from_millis(DEADLINE_MS.into());
    match kind {
        MeetingKind::Barrier => {
            let mut party = client.barrier(OBJECT).party("party-0", 1);
            (0..ROUNDS).for_each(|_| _ = party.wait(wait).unwrap());
        }
        MeetingKind::Reduction { elements } => {
            let mut seat = client.reduction(OBJECT).seat(0, 1);
            for _ in 0..ROUNDS {
                seat.contribute(ReduceOp::Sum, &vec![1.0; elements], wait).unwrap();
            }
        }
        MeetingKind::Semaphore => {
            let semaphore = client.semaphore(OBJECT, 1);
            let mut permit = semaphore.acquire(1, wait).unwrap();
            for _ in 1..ROUNDS {
                assert!(permit.release().unwrap());
                permit = semaphore.acquire(1, wait).unwrap();
            }
            permit.keep();
        }
        MeetingKind::Lock => {
            let lock = client.lock(OBJECT);
            let mut guard = lock.lock(wait).unwrap();
            for _ in 1..ROUNDS {
                assert!(guard.unlock().unwrap());
                guard = lock.lock(wait).unwrap();
            }
            guard.keep();
        }
        MeetingKind::Future => {
            let other = other_object();
            let names = [OBJECT, &other];
            for round in 0..ROUNDS {
                if round > 0 {
                    assert!(client.future(names[(round - 1) % 2]).delete().unwrap());
                }
                let value = (round as u64).to_le_bytes();
                assert!(client.future(names[round % 2]).set(value).unwrap());
            }
        }
    }
}

/// The second future of a meeting: the first name that is in the same shard.
fn other_object() -> String {
    let map = catena_protocol::ShardMap::new(SHARDS, 1).unwrap();
    let shard_of = |name: &str| map.shard_of(catena_protocol::ObjectId::of(name));
    let mut names = (0..).map(|i| format!("{OBJECT}/{i}"));
    names.find(|name| shard_of(name) == shard_of(OBJECT)).unwrap()
}

const SHARDS: u32 = 64;

/// What came to an engine on one connection.
#[derive(Debug, Default, PartialEq)]
struct Recorded {
    hello: Vec<u8>,
    /// What opened sessions, by shard.
    opens: BTreeMap<u16, RecordedFrame>,
    requests: Vec<RecordedFrame>,
}

#[derive(Debug, PartialEq)]
struct RecordedFrame {
    header: Header,
    body: Vec<u8>,
}

fn compare(generator: &Recorded, client: &Recorded, what: &str) {
    assert_eq!(generator.hello, client.hello, "{what}: Hello");
    assert_eq!(generator.opens, client.opens, "{what}: opening sessions");
    let count = [generator, client].map(|recorded| recorded.requests.len());
    for (nth, (ours, theirs)) in generator.requests.iter().zip(&client.requests).enumerate() {
        assert_eq!(ours, theirs, "{what}: request {nth} of {count:?}");
    }
    assert_eq!(count[0], count[1], "{what}");
}

/// Starts an engine, lets `act` use it, and returns what came on the connection with the most
/// requests.
fn record(act: impl FnOnce(SocketAddr)) -> Recorded {
    let all = record_all(act).into_iter();
    all.max_by_key(|recorded| recorded.requests.len()).unwrap()
}

/// Starts an engine, lets `act` use it, and returns what came on each connection.
fn record_all(act: impl FnOnce(SocketAddr)) -> Vec<Recorded> {
    let engine =
        Engine::builder().cores(1).shards(SHARDS).register::<Multiplied>().start().unwrap();
    let recorder = WireRecorder::start(engine.addresses()[0]);
    act(recorder.address);
    let connections = recorder.connections.lock().unwrap();
    connections.iter().map(|bytes| recorded(&bytes.lock().unwrap())).collect()
}

fn recorded(bytes: &[u8]) -> Recorded {
    let mut aligned = vec![0_u128; bytes.len().div_ceil(16)];
    let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    aligned[..bytes.len()].copy_from_slice(bytes);
    let mut rest = &aligned[..bytes.len()];
    let (mut recorded, mut first_token) = (Recorded::default(), None);
    while let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) {
        rest = &rest[frame.bytes.len()..];
        if frame.header.kind == FrameKind::Hello {
            recorded.hello = frame.bytes.to_vec();
            continue;
        }
        let mut header = frame.header;
        // Drawn at random.
        header.session = header.session.min(1);
        header.epoch = header.epoch.min(1);
        if header.deadline_ms != 0 {
            // The client counts what has passed since the call.
            assert!((DEADLINE_MS - 500..=DEADLINE_MS).contains(&header.deadline_ms), "{header:?}");
            header.deadline_ms = DEADLINE_MS;
        }
        let mut body = frame.body.to_vec();
        match OpCode::from_wire(header.op) {
            Some(OpCode::SessionOpen) => {
                let Ok(Op::Session(SessionOp::Open { nonce, ttl_ms, .. })) =
                    Op::decode(header.op, frame.body)
                else {
                    unreachable!("the op has this body")
                };
                assert_ne!(nonce, 0);
                let open = SessionOp::Open { born_us: 0, nonce: 0, ttl_ms };
                body.clear();
                Op::Session(open).encode(&mut body);
                recorded.opens.insert(header.shard.0, RecordedFrame { header, body });
            }
            // Fencing tokens begin at another number in each engine.
            Some(OpCode::SemaphoreRelease | OpCode::LockRelease) => {
                let token = u64::from_le_bytes(frame.body.try_into().unwrap());
                let first = *first_token.get_or_insert(token);
                body = (token - first).to_le_bytes().to_vec();
                recorded.requests.push(RecordedFrame { header, body });
            }
            // The generator ends with its connections, and its sessions by their time to live.
            Some(OpCode::SessionClose) => {}
            _ => recorded.requests.push(RecordedFrame { header, body }),
        }
    }
    assert!(rest.is_empty(), "{} bytes are no frame", rest.len());
    // The generator opens sessions in all shards that it may need, the client when it needs one.
    let shards: Vec<u16> = recorded.requests.iter().map(|frame| frame.header.shard.0).collect();
    recorded.opens.retain(|shard, _| shards.contains(shard));
    recorded
}

/// What was sent on one connection so far.
type SentBytes = Arc<Mutex<Vec<u8>>>;

/// A proxy that records what clients send.
///
/// It listens on the port of the engine at another address, so that the port that the engine
/// announces leads to the proxy as well.
struct WireRecorder {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<SentBytes>>>,
}

impl WireRecorder {
    fn start(engine: SocketAddr) -> WireRecorder {
        // Those of earlier tests still listen, maybe on the port that this engine was given.
        let hosts = (2..=254).map(|host| IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)));
        let mut listeners = hosts.filter_map(|host| TcpListener::bind((host, engine.port())).ok());
        let listener = listeners.next().expect("the port is free at another address");
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(node)) = (client, TcpStream::connect(engine)) else { return };
                for socket in [&client, &node] {
                    socket.set_nodelay(true).unwrap();
                }
                let record = SentBytes::default();
                all.lock().unwrap().push(Arc::clone(&record));
                let ends = (client.try_clone().unwrap(), node.try_clone().unwrap());
                std::thread::spawn(move || pass_on(ends.1, ends.0, None));
                std::thread::spawn(move || pass_on(client, node, Some(&record)));
            }
        });
        WireRecorder { address, connections }
    }
}

/// Passes everything on, and records it before.
fn pass_on(mut from: TcpStream, mut to: TcpStream, record: Option<&Mutex<Vec<u8>>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        if let Some(record) = record {
            record.lock().unwrap().extend_from_slice(&buffer[..bytes]);
        }
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    _ = to.shutdown(std::net::Shutdown::Both);
}
