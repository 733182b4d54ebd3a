//! What clients that send nothing, stop in the middle, or read nothing cost the others: a bounded
//! amount of memory, and seconds.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use catena_engine::Engine;
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, FutureOp, ObjectOp, SessionOp};
use catena_protocol::{Fault, FrameKind, ObjectId, Op, Refusal, Reply, ShardId, ShardMap, Status};
use socket2::{Domain, Socket, Type};

use crate::binary::Running;
use crate::metrics::{connections, memory};
use crate::wire::{GET, GUARD, RequestHeader, Wire, hello, open_in};
use crate::with_drivers;

const MIB: usize = 1024 * 1024;

/// Returns a connection that has sent one byte.
fn one_byte(address: SocketAddr) -> Wire {
    let mut wire = Wire::silent(address);
    wire.send(&hello()[..1]);
    wire
}

/// A request whose body is as large as a frame allows.
fn largest_frame() -> Vec<u8> {
    let mut frame = RequestHeader::default().frame(GET)[..64].to_vec();
    frame[12..16].copy_from_slice(&FRAME_BYTES_MAX.to_le_bytes());
    frame[16..20].copy_from_slice(&(FRAME_BYTES_MAX - 64).to_le_bytes());
    frame.resize(FRAME_BYTES_MAX as usize, 0);
    frame
}

#[test]
fn connections_without_hello_keep_nobody_out() {
    const LIMIT: usize = 16;
    let too_many = Fault::expected(Status::TooManyConnections, LIMIT as u64, LIMIT as u64 + 1);
    with_drivers(|builder| {
        let engine = builder.connections(LIMIT).start().expect("the engine starts");
        let address = engine.addresses()[0];
        // Four of them are a source's share, so the others make room for one another.
        let mut silent: Vec<Wire> = (0..8 * LIMIT).map(|_| one_byte(address)).collect();
        let mut clients: Vec<Wire> = (0..LIMIT - 1).map(|_| Wire::welcomed(address).0).collect();
        for wire in &mut silent[..7 * LIMIT] {
            if let Some(answer) = wire.next() {
                assert_eq!(answer.refusal(), Refusal::Fault(too_many));
                assert!(wire.next().is_none(), "it is closed");
            }
        }
        // Only the last place is disputed.
        let late: Vec<Wire> = (0..LIMIT).map(|_| one_byte(address)).collect();
        clients.push(Wire::welcomed(address).0);
        let mut refused = Wire::silent(address);
        assert_eq!(refused.receive().refusal(), Refusal::Fault(too_many));
        assert!(refused.next().is_none());
        for wire in &mut clients {
            wire.send(&RequestHeader::default().frame(GET));
            assert_eq!(wire.receive().status(), Status::Ok, "clients stay connected");
        }
        let started = Instant::now();
        while engine.census()[0].connections != LIMIT as u64 {
            assert!(started.elapsed() < GUARD, "{:?}", engine.census());
        }
        drop(late);
    });
}

#[test]
fn the_log_says_once_that_there_are_many_connections() {
    let mut engine = Running::start(&["--connections", "20", "--metrics", "127.0.0.1:0"]);
    let (address, metrics) = (engine.addresses[0], engine.metrics());
    let wait_for = |count| {
        let started = Instant::now();
        while connections(metrics) != Some(count) {
            assert!(started.elapsed() < GUARD, "there are {:?} connections", connections(metrics));
        }
    };
    let mut clients: Vec<Wire> = (0..15).map(|_| Wire::welcomed(address).0).collect();
    for _ in 0..3 {
        // The sixteenth comes and goes, and stays at last.
        drop(Wire::welcomed(address));
        wait_for(15.0);
    }
    clients.extend((0..5).map(|_| Wire::welcomed(address).0));
    for _ in 0..5 {
        assert_eq!(Wire::silent(address).receive().status(), Status::TooManyConnections);
    }
    engine.signal("-TERM");
    let (_, said) = engine.end();
    assert_eq!(said.matches("most of the connections").count(), 1, "{said}");
    assert_eq!(said.matches("refuses connections").count(), 1, "{said}");
}

#[test]
fn a_connection_has_five_seconds_for_its_hello() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let (mut idle, _) = Wire::welcomed(address);
        let started = Instant::now();
        let mut late = [Wire::silent(address), one_byte(address)];
        for wire in &mut late {
            let fault = Fault::expected(Status::TooSlow, 5_000, 0);
            assert_eq!(wire.receive().refusal(), Refusal::Fault(fault));
            assert!(wire.next().is_none(), "and it is closed");
        }
        assert!(started.elapsed() > Duration::from_secs(4), "after {:?}", started.elapsed());
        idle.send(&RequestHeader::default().frame(GET));
        assert_eq!(idle.receive().status(), Status::Ok, "a client may be silent for longer");
    });
}

#[test]
fn before_hello_no_large_frame_is_received() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let mut wire = Wire::silent(address);
        wire.send(&largest_frame()[..64]);
        let fault = Fault::expected(Status::BadLength, 4_096, FRAME_BYTES_MAX.into());
        assert_eq!(wire.receive().refusal(), Refusal::Fault(fault));
        assert!(wire.next().is_none());
        // Behind a Hello it is allowed, in the same write, too.
        let cell = vec![7; MIB];
        let set = RequestHeader { session: 9, number: 1, ..RequestHeader::default() };
        let set = set.frame(Op::Cell(CellOp::Set { bytes: &cell }));
        let mut wire = Wire::silent(address);
        wire.send(&[hello(), set].concat());
        assert_eq!(wire.receive().header.kind, FrameKind::Welcome);
        assert_eq!(wire.receive().status(), Status::SessionUnknown);
    });
}

/// Accepted sockets have the options that let the kernel notice a host that is gone.
#[test]
fn the_kernel_watches_idle_connections() {
    const KEEPALIVE_TIMER: &str = "02:";
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let (wire, _) = Wire::welcomed(address);
        let client = wire.stream.local_addr().expect("it is connected");
        let theirs = format!(":{:04X}", client.port());
        let sockets = sockets_at(address);
        let row = sockets.iter().find(|row| row[2].ends_with(&theirs)).expect("it is there");
        assert!(row[5].starts_with(KEEPALIVE_TIMER), "{row:?}");
    });
}

/// Returns what the kernel says of the sockets at an address, each in columns.
fn sockets_at(address: SocketAddr) -> Vec<Vec<String>> {
    let ours = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux has it");
    let rows = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
    rows.filter(|row: &Vec<String>| row[1].ends_with(&ours)).collect()
}

/// Returns the bytes that wait in the kernel to be sent by the connections at an address.
fn send_queues(address: SocketAddr) -> Vec<u64> {
    const ESTABLISHED: &str = "01";
    let sockets = sockets_at(address);
    let connections = sockets.iter().filter(|row| row[3] == ESTABLISHED);
    let queued = |row: &Vec<String>| row[4].split(':').next().map(str::to_owned);
    let bytes = connections.filter_map(queued).map(|text| u64::from_str_radix(&text, 16));
    bytes.map(|bytes| bytes.expect("a number")).collect()
}

#[test]
fn the_least_memory_is_enough_for_the_largest_cell() {
    let bytes = vec![7; 8 * MIB];
    with_drivers(|builder| {
        let engine = builder.memory_bytes(24 << 20).shards(64).start().expect("the engine starts");
        let address = engine.addresses()[0];
        let shard = ShardMap::new(64, 1).expect("a map").shard_of(ObjectId::of("cell"));
        let (mut wire, welcome) = Wire::welcomed(address);
        wire.send(&open_in(shard, 7, welcome.now_us));
        assert_eq!(wire.receive().status(), Status::Ok);
        for number in 1..=3 {
            let ask = RequestHeader {
                session: 7,
                number,
                shard: shard.0,
                name: "cell",
                ..RequestHeader::default()
            };
            wire.send(&ask.frame(Op::Cell(CellOp::Set { bytes: &bytes })));
            assert_eq!(wire.receive().status(), Status::Ok);
        }
    });
}

/// The budget of the core has room for all of it.
#[test]
fn a_process_above_its_memory_refuses_updates_until_objects_are_deleted() {
    const CELLS: u64 = 500;
    let mut engine =
        Running::start(&["--shards", "1", "--memory", "2GiB", "--resident-max", "200MiB"]);
    let mut wire = Wire::open(engine.addresses[0], 7);
    let bytes = vec![7; MIB];
    let mut number = 0;
    let mut ask = |wire: &mut Wire, name: &str, op: Op<'_>| {
        number += 1;
        let ask = RequestHeader { session: 7, number, name, ..RequestHeader::default() };
        wire.send(&ask.frame(op));
        wire.receive()
    };
    let name = |cell: u64| format!("cell {cell}");
    let set = Op::Cell(CellOp::Set { bytes: &bytes });
    let mut full = None;
    for cell in 0..CELLS {
        let reply = ask(&mut wire, &name(cell), set);
        if reply.status() == Status::Ok {
            // The kernel is asked ten times a second.
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        assert_eq!(reply.status(), Status::OutOfMemory);
        full = Some(cell);
        break;
    }
    let full = full.expect("it refuses before all are there");
    let get = RequestHeader { name: "cell 0", ..RequestHeader::default() };
    wire.send(&get.frame(Op::Cell(CellOp::Get)));
    assert_eq!(wire.receive().status(), Status::Ok, "it can still be read");
    for cell in 0..full {
        let reply = ask(&mut wire, &name(cell), Op::Object(ObjectOp::Delete));
        assert_eq!(reply.status(), Status::Ok);
    }
    // The memory goes back to the kernel, and the kernel says so.
    let started = Instant::now();
    while ask(&mut wire, "cell", set).status() != Status::Ok {
        assert!(started.elapsed() < GUARD, "it stays full");
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.signal("-TERM");
    let (_, said) = engine.end();
    assert_eq!(said.matches("more memory than its limit").count(), 1, "{said}");
    assert_eq!(said.matches("less memory than its limit").count(), 1, "{said}");
}

/// Cells of different sizes are written and deleted. The table is printed with `--nocapture`.
#[test]
fn memory_of_deleted_objects_goes_back_to_the_kernel() {
    /// What a process has besides what is counted, in bytes.
    const BESIDE: f64 = 64.0 * 1024.0 * 1024.0;
    const BATCH: u64 = 128;
    let engine = Running::start(&["--shards", "1", "--memory", "2GiB", "--metrics", "127.0.0.1:0"]);
    let mut wire = Wire::open(engine.addresses[0], 7);
    let mut number = 0;
    let mut run = |wire: &mut Wire, cells: u64, op: Op<'_>| {
        for from in (0..cells).step_by(usize::try_from(BATCH).expect("small")) {
            let batch = from..cells.min(from + BATCH);
            let mut frames = Vec::new();
            for (acked_gap, cell) in (1..).zip(batch.clone()) {
                number += 1;
                let name = format!("cell {cell}");
                let ask = RequestHeader {
                    session: 7,
                    number,
                    acked_gap,
                    name: &name,
                    ..RequestHeader::default()
                };
                frames.extend(ask.frame(op));
            }
            wire.send(&frames);
            for _ in batch {
                assert_eq!(wire.receive().status(), Status::Ok);
            }
        }
    };
    for (bytes, cells) in [(100, 200_000), (16 * 1024, 8_192), (MIB, 160), (4 * MIB, 40)] {
        let contents = vec![7; bytes];
        run(&mut wire, cells, Op::Cell(CellOp::Set { bytes: &contents }));
        let (full, counted) = memory(engine.metrics());
        assert!(full > counted, "{full} bytes, {counted} of them counted");
        run(&mut wire, cells, Op::Object(ObjectOp::Delete));
        let started = Instant::now();
        let (empty, left) = loop {
            let (resident, counted) = memory(engine.metrics());
            if resident <= counted * 1.5 + BESIDE {
                break (resident, counted);
            }
            assert!(started.elapsed() < GUARD, "{resident} bytes, {counted} of them counted");
            std::thread::sleep(Duration::from_millis(100));
        };
        let [full, counted, empty, left] = [full, counted, empty, left].map(|it| it / 1048576.0);
        println!(
            "{cells} cells of {bytes} B: {full:.0} MiB, {counted:.0} counted; deleted: {empty:.0} \
             MiB, {left:.0} counted, after {:?}",
            started.elapsed()
        );
    }
}

/// Waits until the memory that the first core has lent for large frames is as wanted.
fn wait_for_lent(engine: &Engine, is_wanted: impl Fn(u64) -> bool) {
    let started = Instant::now();
    let lent = || engine.census().first().map_or(0, |core| core.receiving_bytes);
    while !is_wanted(lent()) {
        assert!(started.elapsed() < GUARD, "{} bytes are lent", lent());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes as much as the connections take within `time`.
fn write_for(time: Duration, streams: &[TcpStream], frame: &[u8]) {
    let mut sent = vec![0; streams.len()];
    let started = Instant::now();
    while started.elapsed() < time {
        for (stream, sent) in streams.iter().zip(&mut sent) {
            stream.set_nonblocking(true).expect("a socket");
            if *sent < frame.len()
                && let Ok(len) = (&mut &*stream).write(&frame[*sent..])
            {
                *sent += len;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn unfinished_frames_take_a_bounded_part_of_the_memory() {
    const CONNECTIONS: usize = 100;
    // 32 MiB are lent at a time; a frame is copied as its memory grows, and each connection has 128 KiB.
    const GROWTH_MAX: u64 = 96 * 1024 * 1024;
    let frame = largest_frame();
    for driver in ["auto", "epoll"] {
        let engine = Running::start(&["--driver", driver, "--shards", "1", "--memory", "64MiB"]);
        let address = engine.addresses[0];
        let mut other = Wire::open(address, 7);
        assert_eq!(other.add(7, 1, "counter"), 1);
        let before = engine.memory_bytes_peak();
        let streams: Vec<TcpStream> =
            (0..CONNECTIONS).map(|_| Wire::welcomed(address).0.stream).collect();
        write_for(Duration::from_secs(2), &streams, &frame[..frame.len() - 16]);
        assert_eq!(other.add(7, 2, "counter"), 2);
        let growth = engine.memory_bytes_peak() - before;
        assert!(growth < GROWTH_MAX, "the engine took {growth} bytes ({driver})");
        // Once they are gone, a large frame finds its memory.
        drop(streams);
        let cell = vec![7; 8 * MIB];
        let set = RequestHeader { session: 7, number: 3, name: "cell", ..RequestHeader::default() };
        other.send(&set.frame(Op::Cell(CellOp::Set { bytes: &cell })));
        assert_eq!(other.receive().status(), Status::Ok);
        let growth = engine.memory_bytes_peak() - before;
        assert!(growth < GROWTH_MAX, "the engine took {growth} bytes ({driver})");
    }
}

#[test]
fn a_frame_that_stalls_loses_its_memory_to_those_that_wait() {
    let frame = largest_frame();
    let half = &frame[..frame.len() / 2];
    let cell = vec![7; 8 * MIB];
    with_drivers(|builder| {
        let engine = builder.memory_bytes(64 << 20).start().expect("the engine starts");
        let address = engine.addresses()[0];
        let mut wire = Wire::open(address, 7);
        let mut stalled: Vec<Wire> = (0..2).map(|_| Wire::welcomed(address).0).collect();
        for wire in &mut stalled {
            wire.send(half);
        }
        // One of them has memory, half of what there is; the other waits for it.
        wait_for_lent(&engine, |bytes| bytes == 16 << 20);
        let set = RequestHeader { session: 7, number: 1, name: "cell", ..RequestHeader::default() };
        wire.send(&set.frame(Op::Cell(CellOp::Set { bytes: &cell })));
        assert_eq!(wire.receive().status(), Status::Ok);
        for wire in &mut stalled {
            let fault = Fault::expected(Status::TooSlow, 1_000, 0);
            assert_eq!(wire.receive().refusal(), Refusal::Fault(fault));
            assert!(wire.next().is_none(), "and it is closed");
        }
    });
}

/// Connects from another address of this machine, and sends Hello.
fn from_elsewhere(address: SocketAddr) -> Wire {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("loopback has it");
    socket.connect(&address.into()).expect("the engine listens");
    let mut wire = Wire::accepted(socket.into());
    wire.send(&hello());
    assert_eq!(wire.receive().header.kind, FrameKind::Welcome);
    wire
}

#[test]
fn one_source_does_not_take_all_sessions() {
    /// Of a shard; half of them, and a quarter.
    const SESSIONS: u64 = 65_536;
    const BATCH: u64 = 1_024;
    let engine = Engine::builder().shards(1).start().expect("the engine starts");
    let address = engine.addresses()[0];
    /// Opens sessions on a connection; returns how many were opened, and the reply to the last.
    fn open(wire: &mut Wire, sessions: std::ops::Range<u64>) -> (u64, Option<Refusal>) {
        let mut opened = 0;
        let mut last = None;
        for from in sessions.clone().step_by(usize::try_from(BATCH).expect("small")) {
            let batch = from..sessions.end.min(from + BATCH);
            let frames: Vec<u8> = batch.clone().flat_map(|id| open_in(ShardId(0), id, 0)).collect();
            wire.send(&frames);
            for _ in batch {
                let reply = wire.receive();
                let is_open = reply.status() == Status::Ok;
                opened += u64::from(is_open);
                last = (!is_open).then(|| reply.refusal());
            }
        }
        (opened, last)
    }
    let refusal = |got| {
        let fault = Fault::expected(Status::TooManySessions, SESSIONS / 4, got);
        Some(Refusal::Fault(fault))
    };
    let (mut greedy, _) = Wire::welcomed(address);
    let (opened, last) = open(&mut greedy, 1..SESSIONS + 1);
    assert_eq!((opened, last), (SESSIONS / 2, refusal(SESSIONS / 2 + 1)));
    assert_eq!(open(&mut greedy, 1..2), (1, None), "its open sessions stay");
    // Another connection from there is no other source.
    assert_eq!(open(&mut Wire::welcomed(address).0, SESSIONS..SESSIONS + 1).0, 0);
    let mut other = from_elsewhere(address);
    let (opened, last) = open(&mut other, SESSIONS..2 * SESSIONS);
    assert_eq!((opened, last), (SESSIONS / 4, refusal(SESSIONS / 4 + 1)));
    // A source whose sessions have ended may open others.
    let close = |id| {
        let close = RequestHeader { session: id, ..RequestHeader::default() };
        close.frame(Op::Session(SessionOp::Close))
    };
    other.send(&close(SESSIONS));
    assert_eq!(other.receive().status(), Status::Ok);
    let started = Instant::now();
    while open(&mut other, 3 * SESSIONS..3 * SESSIONS + 1).0 == 0 {
        assert!(started.elapsed() < GUARD, "it has less than its share");
    }
}

/// However many connections of a source stall, those from elsewhere have memory, and a smaller frame
/// from there does not wait for all of them.
#[test]
fn an_update_does_not_wait_for_all_frames_that_stall() {
    const STALLED: u64 = 60;
    let frame = largest_frame();
    let cell = vec![7; 4 * MIB];
    let engine = Engine::builder().shards(1).memory_bytes(64 << 20).start().expect("it starts");
    let address = engine.addresses()[0];
    let mut same = Wire::open(address, 6);
    let mut elsewhere = from_elsewhere(address);
    elsewhere.send(&open_in(ShardId(0), 7, 0));
    assert_eq!(elsewhere.receive().status(), Status::Ok);
    let stalled: Vec<TcpStream> = (0..STALLED).map(|_| Wire::welcomed(address).0.stream).collect();
    write_for(Duration::from_secs(1), &stalled, &frame[..MIB]);
    // Half of what there is.
    wait_for_lent(&engine, |bytes| bytes == 16 << 20);
    for (wire, session) in [(&mut elsewhere, 7), (&mut same, 6)] {
        let set = RequestHeader { session, number: 1, name: "cell", ..RequestHeader::default() };
        wire.send(&set.frame(Op::Cell(CellOp::Set { bytes: &cell })));
        assert_eq!(wire.receive().status(), Status::Ok);
    }
    let left = engine.census()[0].connections;
    assert!(left > STALLED / 2, "most of them still stall, not {left}");
}

/// A wait for the bytes of a future, as update `number` of a session.
fn wait_for_future(session: u64, number: u64) -> Vec<u8> {
    let acked_gap = u16::try_from(number).expect("few");
    let ask = RequestHeader {
        session,
        number,
        acked_gap,
        deadline_ms: 60_000,
        name: "future",
        ..RequestHeader::default()
    };
    ask.frame(Op::Future(FutureOp::Get))
}

fn set_future(wire: &mut Wire, session: u64, number: u64, bytes: &[u8]) {
    let set = RequestHeader { session, number, name: "future", ..RequestHeader::default() };
    wire.send(&set.frame(Op::Future(FutureOp::Set { bytes })));
    assert_eq!(wire.receive().status(), Status::Ok);
}

/// Waits until the engine has received what was sent before: it has once it replies to what follows.
fn wait_for_reply(wire: &mut Wire) {
    wire.send(&RequestHeader::default().frame(GET));
    assert_eq!(wire.receive().status(), Status::Ok);
}

#[test]
fn released_waiters_that_read_nothing_are_closed() {
    const MEMORY_BYTES_MAX: u64 = 128 * 1024 * 1024;
    let bytes = vec![7; 8 * MIB];
    for driver in ["auto", "epoll"] {
        let engine = Running::start(&["--driver", driver, "--shards", "1", "--memory", "64MiB"]);
        let address = engine.addresses[0];
        let mut other = Wire::open(address, 8);
        // 2 GB of replies to one connection …
        let mut one = Wire::open(address, 7);
        (1..=250).for_each(|number| one.send(&wait_for_future(7, number)));
        wait_for_reply(&mut one);
        // … and 320 MiB to 40 connections, more than may wait if each had a copy.
        let mut many: Vec<Wire> = (100..140)
            .map(|session| {
                let mut wire = Wire::open(address, session);
                wire.send(&wait_for_future(session, 1));
                wait_for_reply(&mut wire);
                wire
            })
            .collect();
        set_future(&mut other, 8, 1, &bytes);
        wait_for_reply(&mut other);
        let peak = engine.memory_bytes_peak();
        assert!(peak < MEMORY_BYTES_MAX, "the engine took {peak} bytes ({driver})");

        // The client learns why, if it reads at last, unless a reply was being written to it.
        while let Some(answer) = one.next() {
            if answer.status() != Status::Ok {
                assert_eq!(answer.status(), Status::TooSlow);
            }
        }
        let is_it = |answer: &crate::wire::Received| {
            answer.status() == Status::Ok && answer.body().len() >= bytes.len()
        };
        let received = many.iter_mut().filter_map(Wire::next).filter(is_it).count();
        assert_eq!(received, 40, "all have their reply at once, because it is in memory once");
        // A client that comes back has the reply.
        let (mut back, _) = Wire::welcomed(address);
        back.send(&wait_for_future(7, 250));
        assert!(is_it(&back.receive()));
    }
}

#[test]
fn a_client_that_reads_nothing_costs_little_memory() {
    const CONNECTIONS: usize = 50;
    const EACH_BYTES_MAX: u64 = 2 * 1024 * 1024;
    const IN_KERNEL_BYTES_MAX: u64 = 2 * 1024 * 1024;
    let bytes = vec![7; 64 * 1024];
    for driver in ["auto", "epoll"] {
        let engine = Running::start(&["--driver", driver, "--shards", "1"]);
        let address = engine.addresses[0];
        let mut writer = Wire::open(address, 7);
        let cell = RequestHeader { name: "cell", ..RequestHeader::default() };
        let set = RequestHeader { session: 7, number: 1, ..cell };
        writer.send(&set.frame(Op::Cell(CellOp::Set { bytes: &bytes })));
        assert!(matches!(writer.receive().reply(), Reply::Number(_)));
        let before = engine.memory_bytes_peak();
        let gets = cell.frame(Op::Cell(CellOp::Get)).repeat(400);
        let streams: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| {
                let (mut wire, _) = Wire::welcomed(address);
                wire.send(&gets);
                wire.stream
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(writer.add(7, 2, "counter"), 1);
        let each = (engine.memory_bytes_peak() - before) / CONNECTIONS as u64;
        let in_kernel = send_queues(address);
        println!("{each} bytes each, and {in_kernel:?} in the kernel ({driver})");
        assert!(each < EACH_BYTES_MAX, "{each} bytes for each connection ({driver})");
        assert!(in_kernel.iter().all(|bytes| *bytes < IN_KERNEL_BYTES_MAX), "{in_kernel:?}");
        drop(streams);
    }
}

/// A client that stops in the middle of a frame hears of it when it closes its side, and costs nothing
/// afterwards.
#[test]
fn memory_that_is_lent_comes_back_with_the_end_of_a_connection() {
    let frame = largest_frame();
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let (mut wire, _) = Wire::welcomed(engine.addresses()[0]);
        wire.send(&frame[..MIB]);
        wait_for_lent(&engine, |bytes| bytes > 0);
        wire.stream.shutdown(Shutdown::Write).expect("an open socket");
        assert!(wire.next().is_none());
        wait_for_lent(&engine, |bytes| bytes == 0);
        let mut rest = Vec::new();
        assert_eq!(wire.stream.read_to_end(&mut rest).ok(), Some(0));
    });
}

#[test]
fn a_node_stops_although_frames_wait_for_memory() {
    let frame = largest_frame();
    with_drivers(|builder| {
        let engine = builder.memory_bytes(64 << 20).start().expect("the engine starts");
        let address = engine.addresses()[0];
        let streams: Vec<TcpStream> = (0..5).map(|_| Wire::welcomed(address).0.stream).collect();
        write_for(Duration::from_millis(500), &streams, &frame[..MIB]);
        // One of them has memory.
        wait_for_lent(&engine, |bytes| bytes == 16 << 20);
        drop(engine);
        for mut stream in streams {
            stream.set_nonblocking(false).expect("a socket");
            let mut rest = Vec::new();
            // The connection may be reset, because what it sent was not all read.
            _ = stream.read_to_end(&mut rest);
            assert!(rest.is_empty(), "it is closed without a reply");
        }
    });
}
