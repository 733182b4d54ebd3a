//! Peers that are not engines, or that send false data: typed errors, no panics, and no allocations
//! of a size that the peer chooses.

use std::time::Duration;

use catena_client::operator::{Operator, OperatorError};
use catena_client::{Client, Error, Retry, Status};
use catena_protocol::operator;
use catena_protocol::peer::write_welcome;
use catena_protocol::{FrameKind, HEADER_BYTES, Header, Members, ObjectId, Reply, ShardId, frame};

use crate::peer::Peer;
use crate::{LONG, SHORT};

/// A frame in which some bytes were changed.
fn spoiled(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { session: 9, number: 9, ..Header::new(FrameKind::Reply) };
    frame::write(&mut bytes, &header, |body| body.extend([0; 16])).unwrap();
    change(&mut bytes);
    bytes
}

fn nonsense() -> Vec<(Status, Vec<u8>)> {
    vec![
        (Status::BadMagic, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        (Status::BadMagic, b"-".to_vec()),
        (Status::BadMagic, vec![0; 200]),
        (Status::BadVersion, spoiled(|bytes| bytes[2] = 9)),
        (Status::BadLength, spoiled(|bytes| bytes[12..16].copy_from_slice(&[0xF0, 255, 255, 255]))),
        (Status::BadLength, spoiled(|bytes| bytes[16] = 200)),
        (Status::BadChecksum, spoiled(|bytes| bytes[70] ^= 1)),
    ]
}

#[test]
fn a_peer_that_is_not_an_engine_is_recognised() {
    for (status, bytes) in nonsense() {
        let peer = Peer::start(move |stage| {
            let mut conn = stage.accept();
            conn.expect_hello();
            conn.send(&bytes);
            while conn.next().is_some() {}
        });
        let error = Client::connect(peer.address).unwrap_err();
        assert!(matches!(error, Error::Incompatible { .. }), "{status:?}: {error:?}");
        assert_eq!(error.status(), Some(status), "{error}");
        assert!(error.to_string().contains(&peer.address.to_string()), "{error}");
        peer.join();
    }
}

/// A cluster of one, which has one shard.
fn members(address: &str) -> Members {
    Members {
        names: vec!["node-a".into()],
        controls: vec!["127.0.0.1:7399".into()],
        cores: vec![1],
        addresses: vec![address.into()],
        chains: vec![0],
    }
}

#[test]
fn an_invalid_welcome_is_refused() {
    type Lie = fn(&mut catena_protocol::Welcome);
    let lies: [(Status, Lie); 7] = [
        (Status::BadBody, |welcome| welcome.shards = 3),
        (Status::BadBody, |welcome| welcome.ports.clear()),
        (Status::BadBody, |welcome| welcome.core = 7),
        (Status::BadBody, |welcome| welcome.session_window = 0),
        (Status::MissingFeature, |welcome| welcome.features = 0),
        (Status::BadBody, |welcome| welcome.members = members("somewhere:7400")),
        (Status::BadBody, |welcome| {
            welcome.members = members("127.0.0.1:7400");
            welcome.members.chains[0] = 1;
        }),
    ];
    for (status, lie) in lies {
        let peer = Peer::start(move |mut stage| {
            lie(&mut stage.welcome);
            let mut conn = stage.greet();
            while conn.next().is_some() {}
        });
        let error = Client::connect(peer.address).unwrap_err();
        assert_eq!(error.status(), Some(status), "{error}");
        peer.join();
    }
}

#[test]
fn a_peer_that_is_not_a_control_port_is_recognised() {
    for (status, bytes) in nonsense() {
        let peer = Peer::start(move |stage| {
            let mut conn = stage.accept();
            assert_eq!(conn.next().unwrap().header.kind, FrameKind::PeerHello);
            conn.send(&bytes);
            while conn.next().is_some() {}
        });
        let error = Operator::connect(&peer.address.to_string(), LONG).unwrap_err();
        let OperatorError::Garbled { address, fault } = error else { panic!("{error:?}") };
        assert_eq!((address, fault.status), (peer.address, status));
        peer.join();
    }
}

#[test]
fn a_control_port_that_is_silent_or_sends_another_reply_is_an_error() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.accept();
        let hello = conn.next().unwrap().header;
        let mut welcome = Vec::new();
        write_welcome(&mut welcome);
        conn.send(&welcome);
        assert_eq!((hello.kind, conn.next().unwrap().header.kind), PEER_KINDS);
        let mut accepted = Vec::new();
        operator::Reply::Accepted.write(&mut accepted);
        conn.send(&accepted);
        while conn.next().is_some() {}
    });
    let mut node = Operator::connect(&peer.address.to_string(), SHORT).unwrap();
    // That is not a reply to a request for the status.
    let error = node.status().unwrap_err();
    assert!(matches!(error, OperatorError::Garbled { .. }), "{error:?}");
    let error = node.join().unwrap_err();
    assert!(matches!(error, OperatorError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().ends_with("(timed out)"), "{error}");
    drop(node);
    peer.join();
}

const PEER_KINDS: (FrameKind, FrameKind) = (FrameKind::PeerHello, FrameKind::Operator);

#[test]
fn a_peer_that_disconnects_instead_of_a_welcome_is_not_an_engine() {
    let peer = Peer::start(|stage| {
        stage.accept().expect_hello();
    });
    let error = Client::connect(peer.address).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    peer.join();
}

#[test]
fn a_silent_peer_is_given_up_in_time() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.accept();
        while conn.next().is_some() {}
    });
    let builder = Client::builder().connect_timeout(Duration::from_millis(100));
    let error = builder.connect(peer.address).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    peer.join();
}

#[test]
fn an_invalid_reply_is_an_error_and_the_client_stays_usable() {
    for (status, bytes) in nonsense() {
        let peer = Peer::start(move |stage| {
            for _ in 0..3 {
                let mut conn = stage.greet();
                assert_eq!(conn.request().header.number, 1);
                conn.send(&bytes);
                assert!(conn.next().is_none(), "the client hangs up");
            }
            stage.greet().serve();
        });
        let client = Client::connect(peer.address).unwrap();
        let error = client.counter("visits").add(1).unwrap_err();
        assert!(matches!(error, Error::Garbled { .. }), "{status:?}: {error:?}");
        assert_eq!((error.status(), error.retry()), (Some(status), Retry::Unknown), "{error}");
        client.counter("visits").add(1).expect("the next connection is a good one");
        drop(client);
        peer.join();
    }
}

#[test]
fn one_invalid_frame_counts_as_a_broken_connection() {
    for (_, bytes) in nonsense() {
        let peer = Peer::start(move |stage| {
            let mut conn = stage.greet();
            let add = conn.request();
            conn.send(&bytes);
            let mut conn = stage.greet();
            let again = conn.request();
            assert_eq!(again.ticket(), add.ticket());
            conn.reply(&again, &Reply::Int(1));
            conn.serve();
        });
        let client = Client::connect(peer.address).unwrap();
        assert_eq!(client.counter("visits").add(1).unwrap(), 1);
        drop(client);
        peer.join();
    }
}

#[test]
fn a_reply_without_a_request_is_an_error() {
    type Change = fn(&mut Header);
    let changes: [Change; 5] = [
        |header| header.flags = 999,
        |header| header.number += 1,
        |header| header.session ^= 1,
        |header| header.op = 0x0202,
        |header| header.kind = FrameKind::Welcome,
    ];
    for change in changes {
        let peer = Peer::start(move |stage| {
            for _ in 0..3 {
                let mut conn = stage.greet();
                let asked = conn.request();
                let mut header = asked.header.reply(Status::Ok);
                change(&mut header);
                let mut out = Vec::new();
                frame::write(&mut out, &header, |body| Reply::Int(1).encode(body)).unwrap();
                conn.send(&out);
                assert!(conn.next().is_none());
            }
        });
        let client = Client::connect(peer.address).unwrap();
        let error = client.counter("visits").add(1).unwrap_err();
        assert!(matches!(error, Error::Garbled { .. }), "{error:?}");
        drop(client);
        peer.join();
    }
}

#[test]
fn a_reply_of_the_wrong_sort_is_an_error_and_the_connection_stays() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let asked = conn.request();
        conn.reply(&asked, &Reply::Unit);
        let asked = conn.request();
        conn.reply(&asked, &Reply::Int(2));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let error = client.counter("visits").add(1).unwrap_err();
    assert_eq!(error.status(), Some(Status::BadBody));
    assert_eq!(client.counter("visits").add(1).unwrap(), 2);
    drop(client);
    peer.join();
}

#[test]
fn a_reply_beyond_the_callers_limit_is_not_received() {
    let peer = Peer::start(|stage| {
        for _ in 0..3 {
            let mut conn = stage.greet();
            let asked = conn.request();
            conn.reply(&asked, &Reply::Cell { version: 1, bytes: Some(&[7; 5000]) });
            assert!(conn.next().is_none());
        }
    });
    let client = Client::builder().reply_bytes_max(4096).connect(peer.address).unwrap();
    let error = client.cell("page").get().unwrap_err();
    assert_eq!(error.status(), Some(Status::BadLength), "{error}");
    drop(client);
    peer.join();
}

#[test]
fn a_request_beyond_the_engines_limit_is_not_sent() {
    let peer = Peer::start(|mut stage| {
        stage.welcome.frame_bytes_max = 4096;
        let mut conn = stage.greet();
        assert_eq!(conn.serve(), 1);
    });
    let client = Client::connect(peer.address).unwrap();
    let error = client.cell("page").set(&[0; 4096]).unwrap_err();
    assert_eq!(error.status(), Some(Status::TooLarge), "{error}");
    let error = client.cell("page").set(&vec![0; 20 << 20]).unwrap_err();
    assert_eq!(error.status(), Some(Status::TooLarge), "{error}");
    assert_eq!(client.counter("visits").add(1).unwrap(), 3);
    drop(client);
    peer.join();
}

#[test]
fn names_are_neither_empty_nor_endless() {
    let peer = Peer::start(|stage| {
        assert_eq!(stage.greet().serve(), 1);
    });
    let client = Client::connect(peer.address).unwrap();
    for name in [String::new(), "x".repeat(catena_client::NAME_BYTES_MAX + 1)] {
        let error = client.counter(&name).add(1).unwrap_err();
        assert!(matches!(error, Error::BadName { bytes, .. } if bytes == name.len()), "{error:?}");
    }
    client.counter(&"x".repeat(catena_client::NAME_BYTES_MAX)).add(1).unwrap();
    drop(client);
    peer.join();
}

#[test]
fn an_object_goes_where_its_name_says() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let asked = conn.request();
        assert_eq!(asked.header.object, ObjectId::of("visits"));
        assert_eq!(asked.header.shard, ShardId(0));
        assert_eq!(asked.header.session, 0, "reads need no session");
        assert_eq!(asked.body().len() + HEADER_BYTES as usize, 64);
        conn.reply(&asked, &Reply::Int(4));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    assert_eq!(client.counter("visits").get().unwrap(), 4);
    drop(client);
    peer.join();
}
