//! Starting, stopping, and several cores.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use catena_engine::{CancelHandle, Engine, StartError};
use catena_protocol::op::{CellOp, LatchOp};
use catena_protocol::{Fault, ObjectId, Op, Refusal, Reply, ShardMap, Status};

use crate::wire::{ADD, GET, RequestHeader, Wire, hello, open};
use crate::with_drivers;

#[test]
fn a_node_that_stops_replies_to_waiting_requests() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let wait = Op::Latch(LatchOp::Wait { parties: 1 });
        let mut wires: Vec<Wire> = (1..=20)
            .map(|session| {
                let mut wire = Wire::open(address, session);
                for number in 1..=20 {
                    let acked_gap = u16::try_from(number).expect("few");
                    let ask = RequestHeader {
                        session,
                        number,
                        acked_gap,
                        deadline_ms: 60_000,
                        ..RequestHeader::default()
                    };
                    wire.send(&ask.frame(wait));
                }
                let ask = RequestHeader {
                    session,
                    number: 21,
                    acked_gap: 21,
                    name: "n",
                    ..RequestHeader::default()
                };
                wire.send(&ask.frame(ADD));
                assert_eq!(wire.receive().status(), Status::Ok, "it has received the waits before");
                wire
            })
            .collect();
        assert_eq!(engine.census()[0].waiters, 400);
        engine.stop();
        engine.wait().expect("it stops without an error");
        for wire in &mut wires {
            for _ in 0..20 {
                assert_eq!(wire.receive().status(), Status::ShuttingDown);
            }
            assert!(wire.next().is_none(), "there is no further reply");
        }
    });
}

#[test]
fn a_port_is_free_again_at_once() {
    with_drivers(|builder| {
        let first = builder.clone().start().expect("the engine starts");
        let address = first.addresses()[0];
        for _ in 0..5 {
            let engine = builder.clone().listen(address).start();
            assert!(matches!(engine, Err(StartError::Bind { .. })), "{engine:?}");
        }
        let error = builder.clone().listen(address).start().expect_err("the port is taken");
        let text = error.to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains("another engine"), "{text}");
        // With a connection that the engine closed first, which leaves the port in TIME_WAIT.
        let mut wire = Wire::open(address, 7);
        drop(first);
        assert!(wire.next().is_none());
        for _ in 0..5 {
            let again = builder.clone().listen(address).start().expect("the port is free");
            let mut wire = Wire::open(address, 7);
            assert_eq!(wire.add(7, 1, "counter"), 1);
            drop(again);
            assert!(wire.next().is_none());
        }
    });
}

#[test]
fn a_node_waits_for_its_port() {
    let first = Engine::builder().start().expect("the engine starts");
    let address = first.addresses()[0];
    let cancel = CancelHandle::default();
    let waiting =
        Engine::builder().listen(address).wait_for_ports(Duration::from_secs(60), &cancel);
    let second = std::thread::spawn({
        let waiting = waiting.clone();
        move || waiting.start()
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!second.is_finished(), "the port is in use");
    drop(first);
    let second = second.join().expect("it does not panic").expect("the port is free");
    assert_eq!(second.addresses(), [address]);

    let third = std::thread::spawn(move || waiting.start());
    std::thread::sleep(Duration::from_millis(200));
    cancel.cancel();
    let third = third.join().expect("it does not panic");
    assert!(matches!(third, Err(StartError::Cancelled)), "{third:?}");
}

#[test]
fn every_core_serves_its_own_shards() {
    with_drivers(|builder| {
        let engine = builder.cores(3).shards(8).start().expect("three cores start");
        let map = ShardMap::new(8, 3).expect("a map");
        let object = ObjectId::of("object");
        let shard = map.shard_of(object);
        let home = map.core_of(shard);
        for (core, address) in (0..).zip(engine.addresses()) {
            let (mut wire, _) = Wire::welcomed(*address);
            for asked in 0..9 {
                wire.send(&RequestHeader { shard: asked, ..RequestHeader::default() }.frame(GET));
                let answer = wire.receive();
                if asked == 8 {
                    let fault = Fault::expected(Status::BadShard, 8, 8);
                    assert_eq!(answer.refusal(), Refusal::Fault(fault));
                } else if asked != shard.0 {
                    let fault = Fault::expected(Status::BadShard, shard.0.into(), asked.into());
                    assert_eq!(answer.refusal(), Refusal::Fault(fault));
                } else if core != home {
                    let fault = Fault::expected(Status::WrongShard, home.into(), core.into());
                    assert_eq!(answer.refusal(), Refusal::Fault(fault));
                } else {
                    assert_eq!(answer.status(), Status::Ok);
                }
            }
        }
        let census = engine.census();
        assert_eq!(census.len(), 3);
        assert!(census.iter().all(|core| core.objects == 0 && core.updates == 0));
    });
}

#[test]
fn a_census_counts_what_the_cores_hold() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        let (_idle, _) = Wire::welcomed(engine.addresses()[0]);
        for number in 1..=10 {
            wire.add(7, number, &format!("counter-{}", number % 3));
        }
        let census = engine.census()[0];
        assert_eq!((census.connections, census.objects, census.sessions), (2, 3, 1));
        assert_eq!((census.waiters, census.updates), (0, 11));
        assert!(census.bytes > 0);
    });
}

/// While a core spins, each of its tasks still gets its turn.
#[test]
fn a_core_that_spins_serves_all_clients() {
    with_drivers(|builder| {
        let engine = builder.spin(Duration::from_micros(1_000)).start().expect("it starts");
        let address = engine.addresses()[0];
        let mut busy = Wire::open(address, 7);
        let mut others: Vec<Wire> = Vec::new();
        for number in 1..=200 {
            // One client keeps the core spinning; others connect, wait, and time out meanwhile.
            busy.add(7, number, "counter");
            if number % 10 == 0 {
                let session = 100 + number;
                let mut wire = Wire::silent(address);
                let ask = RequestHeader {
                    session,
                    number: 1,
                    deadline_ms: 1,
                    ..RequestHeader::default()
                };
                let wait = ask.frame(Op::Latch(LatchOp::Wait { parties: 1 }));
                wire.send(&[hello(), open(session, 0), wait].concat());
                others.push(wire);
            }
        }
        for wire in &mut others {
            wire.receive();
            assert_eq!(wire.receive().status(), Status::Ok);
            assert_eq!(wire.receive().status(), Status::Timeout);
        }
        assert_eq!(engine.census()[0].connections, 21);
    });
}

/// While only one client sends, its socket is polled between rounds; no longer once another client
/// sends or it falls silent.
#[test]
fn a_core_that_spins_serves_one_and_then_another() {
    // More than a socket takes at once.
    let bytes = vec![7; 8 * 1024 * 1024];
    with_drivers(|builder| {
        for window_us in [1, 50, 1_000] {
            let builder = builder.clone().spin(Duration::from_micros(window_us));
            let engine = builder.start().expect("it starts");
            let address = engine.addresses()[0];
            let mut wires = [7, 8].map(|session| Wire::open(address, session));
            let mut count = 0;
            for round in 0..100 {
                // Each sends up to three requests, more in each round.
                for (wire, session) in wires.iter_mut().zip([7, 8]) {
                    for nth in 1..=round % 4 {
                        count += 1;
                        let number = 1_000 * round + nth;
                        assert_eq!(wire.add(session, number, "counter"), count);
                    }
                }
                if round % 25 == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            let [mut one, other] = wires;
            let set = RequestHeader {
                session: 7,
                number: 1_000_000,
                name: "cell",
                ..RequestHeader::default()
            };
            one.send(&set.frame(Op::Cell(CellOp::Set { bytes: &bytes })));
            assert_eq!(one.receive().status(), Status::Ok);
            for _ in 0..3 {
                one.send(
                    &RequestHeader { name: "cell", ..RequestHeader::default() }
                        .frame(Op::Cell(CellOp::Get)),
                );
                let got = one.receive();
                assert!(
                    matches!(got.reply(), Reply::Cell { bytes: Some(got), .. } if got == bytes)
                );
            }
            drop(other);
            assert_eq!(one.add(7, 1_000_001, "counter"), count + 1);
            assert_eq!(one.add(7, 1_000_002, "counter"), count + 2);
            drop(engine);
            assert!(one.next().is_none(), "the connection is closed");
        }
    });
}

#[test]
fn an_engine_with_connections_can_be_dropped() {
    with_drivers(|builder| {
        for round in 0..20 {
            let engine = builder.clone().start().expect("the engine starts");
            let address = engine.addresses()[0];
            let mut idle: Vec<Wire> = (1..=3).map(|session| Wire::open(address, session)).collect();
            let silent: Vec<Wire> = (0..3).map(|_| Wire::silent(address)).collect();
            let mut busy = Wire::open(address, 7);
            busy.send(&RequestHeader::default().frame(GET).repeat(1 + round * 50));
            drop(engine);
            assert!(idle.iter_mut().all(|wire| wire.next().is_none()));
            // It replied to the requests that it had received, and closed the connection.
            while busy.next().is_some() {}
            drop(silent);
        }
    });
}

#[test]
fn start_errors_say_what_is_wrong() {
    let wide: SocketAddr = ([0, 0, 0, 0], 0).into();
    let high: SocketAddr = ([127, 0, 0, 1], 65_535).into();
    let strange: SocketAddr = ([192, 0, 2, 1], 0).into();
    let refusals = [
        (Engine::builder().cores(0), "cores cannot be 0"),
        (Engine::builder().cores(3).shards(2), "cores cannot be 3"),
        (Engine::builder().shards(3), "shards cannot be 3"),
        (Engine::builder().spin(Duration::from_secs(1)), "spin cannot be 1s"),
        (Engine::builder().pinned_to([4_000]), "cpu cannot be 4000"),
        (Engine::builder().cores(2).shards(2).listen(high), "port cannot be 65535"),
        (Engine::builder().listen(wide), "does not encrypt or"),
        (Engine::builder().listen(strange).insecure_network(true), "has no such address"),
    ];
    for (builder, expected) in refusals {
        let text = builder.start().expect_err(expected).to_string();
        assert!(text.contains(expected), "`{text}` does not contain `{expected}`");
    }
    assert!(Engine::builder().listen(wide).insecure_network(true).start().is_ok());
}

#[test]
fn a_connection_beyond_the_limit_is_refused_with_a_reply() {
    const CONNECTIONS_MAX: usize = catena_engine::Builder::CONNECTIONS;
    // Both ends of each connection are in this process.
    let needed = CONNECTIONS_MAX * 2 + 1_000;
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux reports it");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let allowed = files.split_whitespace().nth(3).and_then(|word| word.parse().ok());
    if allowed.is_some_and(|allowed: usize| allowed < needed) {
        println!("{needed} open files are needed and {allowed:?} allowed: not tested");
        return;
    }
    let engine = Engine::builder().shards(1).start().expect("the engine starts");
    let address = engine.addresses()[0];
    let wires: Vec<Wire> = (0..CONNECTIONS_MAX).map(|_| Wire::welcomed(address).0).collect();
    let mut refused = Wire::silent(address);
    // Most clients send Hello first. It is not read, and must not destroy the reply.
    _ = refused.stream.write_all(&hello());
    let limit = CONNECTIONS_MAX as u64;
    let fault = Fault::expected(Status::TooManyConnections, limit, limit + 1);
    assert_eq!(refused.receive().refusal(), Refusal::Fault(fault));
    assert!(refused.next().is_none(), "and the connection is closed");
    drop(wires);
    // There is room again once the engine has noticed. Until then it may not reply in time.
    while engine.census().first().is_none_or(|core| core.connections >= limit) {
        std::thread::yield_now();
    }
    Wire::open(address, 7);
}
