//! What clients do, as `ScopeMonitor` shows it.

use std::time::Duration;

use catena_client::Client;
use catena_engine::Engine;
use catena_protocol::op::{CellOp, CounterOp, ListOp, ScopeOp};
use catena_protocol::{Monitored, ObjectId, Op, OpCode, Reply, Status};

use crate::wire::{ADD, RequestHeader, Wire};

fn monitor(wire: &mut Wire, after: u64) -> Monitored {
    let op = Op::Scope(ScopeOp::Monitor { after, per_second: 1_000_000 });
    wire.send(&RequestHeader::default().frame(op));
    match wire.receive().reply() {
        Reply::Monitored(monitored) => monitored,
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_are_noted_while_somebody_monitors() {
    let engine = Engine::builder().cores(1).shards(1).start().expect("it starts");
    let address = engine.addresses()[0];
    let mut client = Wire::open(address, 7);
    client.add(7, 1, "before");
    let (mut watcher, _) = Wire::welcomed(address);
    let before = monitor(&mut watcher, 0);
    assert_eq!(before, Monitored::default(), "nobody has asked until now");
    let pause = || std::thread::sleep(Duration::from_millis(3));
    let ask = |number, name, op| {
        RequestHeader { session: 7, number, name, ..RequestHeader::default() }.frame(op)
    };
    let named = |client: &mut Wire, number, name: &'static str, op| {
        pause();
        client.send(&ask(number, name, op));
        client.receive().status()
    };
    assert_eq!(named(&mut client, 2, "visits", ADD), Status::Ok);
    assert_eq!(named(&mut client, 3, "jobs", Op::Counter(CounterOp::Get)), Status::Ok);
    assert_eq!(named(&mut client, 4, "visits", Op::Cell(CellOp::Get)), Status::WrongKind);
    pause();
    let waits = RequestHeader {
        session: 7,
        number: 4,
        name: "queue",
        deadline_ms: 60_000,
        ..RequestHeader::default()
    };
    client.send(&waits.frame(Op::List(ListOp::PopFrontWait)));
    pause();
    let monitored = monitor(&mut watcher, before.next);
    let found: Vec<_> = monitored
        .requests
        .iter()
        .map(|it| {
            let op = OpCode::from_wire(u16::try_from(it.op).expect("16 bits"));
            let status = Status::from_wire(u16::try_from(it.status).expect("16 bits"));
            (op.expect("a known op"), it.session, it.replied.then_some(status.expect("known")))
        })
        .collect();
    assert_eq!(
        found,
        [
            (OpCode::CounterAdd, 7, Some(Status::Ok)),
            (OpCode::CounterGet, 7, Some(Status::Ok)),
            (OpCode::CellGet, 7, Some(Status::WrongKind)),
            (OpCode::ListPopFrontWait, 7, None),
        ]
    );
    let id = format!("#{:032x}", ObjectId::of("visits").0);
    assert_eq!(monitored.requests[0].object, id, "it was created without its name");
    assert_eq!((&*monitored.requests[0].source, monitored.missed), ("127.0.0.1", 0));
    // What is known is not sent again, and objects have their names.
    let client = Client::connect(address).expect("it is there");
    client.counter("named").add(1).expect("it works");
    pause();
    assert_eq!(client.counter("named").get().expect("it works"), 1);
    let later = monitor(&mut watcher, monitored.next);
    let last = later.requests.last().expect("some were noted");
    assert_eq!(last.object, "named");
    assert!(later.requests.iter().all(|request| request.object != id));
    assert!(later.next > monitored.next);
    // A position that this node does not know is that of another: everything is sent.
    let all = monitor(&mut watcher, u64::MAX);
    assert!(all.requests.len() > later.requests.len());
}
