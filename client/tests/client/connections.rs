//! Connecting, finding the right core, and replacing broken connections.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use catena_client::{Client, Error, Retry, Status};
use catena_engine::{CancelHandle, Engine};
use catena_protocol::op::SessionOp;
use catena_protocol::{Op, Reply};

use crate::peer::{Peer, Stage, fault, name_in};

type Script = Box<dyn FnOnce(Stage) + Send>;

#[test]
fn connecting_takes_one_round_trip_and_names_the_engine() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        assert_eq!(conn.serve(), 0, "nothing is asked before it is needed");
    });
    let client = Client::connect(peer.address).unwrap();
    assert_eq!(client.engine(), "a script");
    client.close();
    peer.join();
}

#[test]
fn the_first_call_on_another_core_takes_one_round_trip() {
    let first: Script = Box::new(|stage| {
        stage.greet().serve();
    });
    let second: Script = Box::new(|stage| {
        let mut conn = stage.accept();
        // All three arrive before any reply.
        conn.expect_hello();
        let open = conn.next().unwrap();
        assert!(matches!(open.op(), Op::Session(SessionOp::Open { .. })));
        assert_eq!(open.header.number, 0);
        let add = conn.next().unwrap();
        assert_eq!(add.header.session, open.header.session);
        assert_eq!((add.header.number, add.header.acked_gap), (1, 1));
        conn.welcome(&stage.welcome);
        conn.reply(&open, &Reply::Unit);
        conn.reply(&add, &Reply::Int(5));
        conn.serve();
    });
    let peers = Peer::of_cores([first, second]);
    let client = Client::connect(peers[0].address).unwrap();
    assert_eq!(client.counter(&name_in(1, 2)).add(5).unwrap(), 5);
    client.close();
    peers.into_iter().for_each(Peer::join);
}

#[test]
fn an_address_without_an_engine_is_an_error_with_advice() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Client::connect(address).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "no engine answers at {address} (connection refused): start one with \
             `catena-engine --listen {address}`"
        )
    );
    assert_eq!(error.retry(), Retry::Later);
}

#[test]
fn an_address_without_port_is_an_error_that_names_it() {
    let error = Client::connect("nowhere").unwrap_err();
    assert!(matches!(error, Error::BadAddress { .. }), "{error:?}");
    assert!(error.to_string().contains("`nowhere`"), "{error}");
}

#[test]
fn the_first_seed_that_answers_is_taken() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer::start(|stage| {
        stage.greet().serve();
    });
    let client = Client::connect(format!("{closed}, {}", peer.address)).unwrap();
    assert_eq!(client.counter("a").add(1).unwrap(), 1);
    client.close();
    peer.join();
}

#[test]
fn a_socket_that_died_while_idle_is_replaced_before_it_is_used() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let add = conn.request();
        conn.reply(&add, &Reply::Int(1));
        drop(conn);
        let mut conn = stage.accept();
        conn.expect_hello();
        conn.welcome(&stage.welcome);
        let (open, again) = conn.request_and_open();
        assert!(open.is_none(), "a session that is open is not opened anew");
        assert_eq!(again.header.number, 2);
        conn.reply(&again, &Reply::Int(2));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("a");
    assert_eq!(counter.add(1).unwrap(), 1);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(counter.add(1).unwrap(), 2);
    client.close();
    peer.join();
}

#[test]
fn a_silent_node_is_an_error_at_the_deadline() {
    let peer = Peer::start(|stage| {
        for _ in 0..2 {
            let mut conn = stage.greet();
            while conn.next().is_some() {}
        }
    });
    let timeout = Duration::from_millis(200);
    let client = Client::builder().call_timeout(timeout).connect(peer.address).unwrap();
    let start = Instant::now();
    let error = client.counter("visits").add(1).unwrap_err();
    let elapsed = start.elapsed();
    assert!(elapsed >= timeout && elapsed < timeout * 2, "{elapsed:?}");
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Unknown);
    let start = format!("add of counter `visits` at {}: no reply in time", peer.address);
    assert!(error.to_string().starts_with(&start), "{error}");
    // A read changes nothing, so it can be repeated.
    let error = client.counter("visits").get().unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    client.close();
    peer.join();
}

#[test]
fn a_node_that_goes_away_is_an_error_within_the_call_timeout_even_for_a_long_wait() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        conn.request();
        // The script ends, and with it the node.
    });
    let client =
        Client::builder().call_timeout(Duration::from_millis(300)).connect(peer.address).unwrap();
    let start = Instant::now();
    let error = client.latch("done").wait(2, Duration::from_secs(600)).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(error.to_string().contains(&peer.address.to_string()), "{error}");
    peer.join();
}

#[test]
fn a_request_follows_a_shard_that_moved() {
    let (tell, told) = std::sync::mpsc::channel();
    let first: Script = Box::new(move |stage| {
        let mut conn = stage.greet();
        let (open, add) = conn.request_and_open();
        assert!(open.is_some(), "it is opened where the shard is");
        assert_eq!(told.recv().unwrap(), add.ticket(), "it keeps session and number");
        conn.reply(&add, &Reply::Int(5));
        conn.serve();
    });
    let second: Script = Box::new(move |stage| {
        let mut conn = stage.greet();
        let open = conn.next().unwrap();
        conn.refuse(&open, fault(Status::WrongShard, 0));
        let add = conn.next().unwrap();
        tell.send(add.ticket()).unwrap();
        conn.refuse(&add, fault(Status::WrongShard, 0));
        conn.serve();
    });
    let peers = Peer::of_cores([first, second]);
    let client = Client::connect(peers[0].address).unwrap();
    let counter = client.counter(&name_in(1, 2));
    assert_eq!(counter.add(5).unwrap(), 5);
    assert_eq!(counter.add(5).unwrap(), 2, "and the client remembers");
    client.close();
    peers.into_iter().for_each(Peer::join);
}

#[test]
fn a_node_that_restarted_with_other_cores_is_asked_again() {
    let peer = Peer::start(|mut stage| {
        // A core that does not exist.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut before = stage.welcome.clone();
        before.shards = 2;
        before.ports.push(closed.port());
        let mut conn = stage.accept();
        conn.expect_hello();
        conn.welcome(&before);
        // The second core refuses, so the client asks the seed again.
        stage.welcome.shards = 2;
        let mut conn = stage.greet();
        let (open, add) = conn.request_and_open();
        assert!(open.is_some());
        conn.reply(&add, &Reply::Int(1));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    assert_eq!(client.counter(&name_in(1, 2)).add(1).unwrap(), 1);
    client.close();
    peer.join();
}

/// A node that is restarted has nothing of what its clients have put there. A client that had a
/// session there is told so, once, and nothing is executed before.
#[test]
fn a_restarted_node_is_reported_once() {
    let engine = Engine::builder().cores(1).start().unwrap();
    let address = engine.addresses()[0];
    let [updates, reads, idle] = [(); 3].map(|()| Client::connect(address).unwrap());
    for client in [&updates, &reads] {
        client.counter("a").add(1).unwrap();
    }
    assert_eq!(idle.counter("a").get().unwrap(), 2);
    drop(engine);
    // The kernel may take a moment to close the port.
    let builder = Engine::builder().cores(1).listen(address);
    let engine =
        builder.wait_for_ports(Duration::from_secs(30), &CancelHandle::default()).start().unwrap();
    let error = updates.counter("a").add(1).unwrap_err();
    assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
    let error = reads.counter("a").get().unwrap_err();
    assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
    assert_eq!(idle.counter("a").get().unwrap(), 0, "it had nothing to lose");
    assert_eq!(engine.census()[0].updates, 0, "nothing was executed");
    assert_eq!(updates.counter("a").add(1).unwrap(), 1);
    assert_eq!(reads.counter("a").get().unwrap(), 1);
    assert_eq!(reads.counter("a").add(1).unwrap(), 2);
}

#[test]
fn a_node_without_free_connections_is_a_temporary_error() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.accept();
        let hello = conn.next().unwrap();
        conn.refuse(&hello, fault(Status::TooManyConnections, 8));
    });
    let error = Client::connect(peer.address).unwrap_err();
    assert!(matches!(error, Error::Unwelcome { .. }), "{error:?}");
    assert_eq!(error.status(), Some(Status::TooManyConnections));
    assert_eq!(error.retry(), Retry::Later);
    peer.join();
}

#[test]
fn dropping_a_client_closes_its_sessions() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let add = conn.request();
        conn.reply(&add, &Reply::Int(1));
        let close = conn.next().expect("a goodbye");
        assert!(matches!(close.op(), Op::Session(SessionOp::Close)));
        assert_eq!(close.header.session, add.header.session);
        assert!(conn.next().is_none());
    });
    let client = Client::connect(peer.address).unwrap();
    client.counter("a").add(1).unwrap();
    drop(client);
    peer.join();
}

#[test]
fn spinning_gets_the_same_replies() {
    let peer = Peer::start(|stage| {
        stage.greet().serve();
    });
    let client = Client::builder().spin(Duration::from_micros(50)).connect(peer.address).unwrap();
    let counter = client.counter("a");
    for expected in 1..=100 {
        assert_eq!(counter.add(1).unwrap(), expected);
    }
    client.close();
    peer.join();
}
