//! The first frame in each direction.

use catena_protocol::{Fault, FrameKind, Header, Hello, Refusal, Status, features, frame};

use crate::wire::{ADD, GET, RequestHeader, Wire, hello, open};
use crate::with_drivers;

#[test]
fn a_welcome_has_all_that_a_client_needs() {
    with_drivers(|builder| {
        let engine = builder.cores(2).shards(4).start().expect("two cores start");
        let addresses = engine.addresses();
        for (core, address) in (0..).zip(addresses) {
            let (_wire, welcome) = Wire::welcomed(*address);
            assert_eq!((welcome.core, welcome.shards), (core, 4));
            assert_ne!(welcome.epoch, 0, "the number of this start");
            assert_eq!(welcome.features, features::ALL);
            let ports: Vec<u16> = addresses.iter().map(std::net::SocketAddr::port).collect();
            assert_eq!(welcome.ports, ports);
            assert!(welcome.engine.starts_with("catena-engine "));
        }
    });
}

#[test]
fn requests_may_follow_hello_in_the_same_write() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let add = RequestHeader { session: 7, number: 1, ..RequestHeader::default() }.frame(ADD);
        let mut wire = Wire::silent(address);
        wire.send(&[hello(), open(7, 0), add].concat());
        assert_eq!(wire.receive().header.kind, FrameKind::Welcome);
        assert_eq!(wire.receive().status(), Status::Ok);
        assert_eq!(wire.receive().reply(), catena_protocol::Reply::Int(1));
    });
}

#[test]
fn a_bad_start_is_refused_and_ends_the_connection() {
    let mut greedy = Vec::new();
    Hello { features: u64::MAX }.write(&mut greedy);
    let mut malformed = Vec::new();
    frame::write(&mut malformed, &Header::new(FrameKind::Hello), |_| {}).expect("no body");
    let missing = Fault::expected(Status::MissingFeature, features::ALL, u64::MAX);
    let twice = Fault::expected(Status::BadFrameKind, 3, 1);
    let starts = [
        (RequestHeader::default().frame(GET), Fault::new(Status::HelloRequired)),
        (greedy, missing),
        (malformed, Fault::new(Status::BadBody)),
        ([hello(), hello()].concat(), twice),
    ];
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        for (bytes, fault) in &starts {
            let mut wire = Wire::silent(engine.addresses()[0]);
            wire.send(bytes);
            let mut answer = wire.receive();
            if answer.header.kind == FrameKind::Welcome {
                answer = wire.receive();
            }
            assert_eq!(answer.refusal(), Refusal::Fault(*fault));
            assert!(wire.next().is_none(), "{fault} ends the connection");
        }
    });
}
