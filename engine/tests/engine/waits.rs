//! Requests that wait are records in the engine, not threads.

use std::time::Duration;

use catena_engine::CoreCensus;
use catena_protocol::op::{Arrival, BarrierOp, GENERATION_CURRENT, LatchOp, ListOp, Loss};
use catena_protocol::{Missing, Op, Refusal, Reply, Status};

use crate::wire::{RequestHeader, Wire, hello, open};
use crate::with_drivers;

#[test]
fn a_thousand_parties_leave_a_barrier_together() {
    const PARTIES: u32 = 1_000;
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let mut wires: Vec<Wire> = (1..=PARTIES)
            .map(|party| {
                let session = u64::from(party);
                let mut wire = Wire::silent(address);
                let name = format!("party-{party}");
                let arrival = Arrival {
                    party: &name,
                    parties: PARTIES,
                    generation: GENERATION_CURRENT,
                    hold_ms: 0,
                    loss: Loss::Wait,
                };
                let ask = RequestHeader {
                    session,
                    number: 1,
                    deadline_ms: 60_000,
                    ..RequestHeader::default()
                };
                let wait = ask.frame(Op::Barrier(BarrierOp::ArriveAndWait(arrival)));
                wire.send(&[hello(), open(session, 0), wait].concat());
                wire
            })
            .collect();
        for wire in &mut wires {
            wire.receive();
            assert_eq!(wire.receive().status(), Status::Ok, "the session is open");
            assert_eq!(wire.receive().reply(), Reply::Number(0), "the barrier is done");
        }
        let census = engine.census();
        assert_eq!((census[0].waiters, census[0].sessions), (0, u64::from(PARTIES)));
        assert_eq!(census[0].connections, u64::from(PARTIES));
    });
}

#[test]
fn requests_of_closed_connections_take_nothing() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let popper = |session| {
            let mut wire = Wire::open(address, session);
            let wait = RequestHeader {
                session,
                number: 1,
                deadline_ms: 60_000,
                ..RequestHeader::default()
            };
            wire.send(&wait.frame(Op::List(ListOp::PopFrontWait)));
            wire
        };
        let mut first = popper(1);
        let others = [popper(2), popper(3)];
        let until = |is_done: &dyn Fn(&CoreCensus) -> bool| {
            for _ in 0..3_000 {
                if is_done(&engine.census()[0]) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("{:?}", engine.census());
        };
        until(&|census| census.waiters == 3);
        drop(others);
        until(&|census| census.connections == 1);
        let mut wire = Wire::open(address, 4);
        for (number, len) in [(1, 0), (2, 1), (3, 2)] {
            let push = RequestHeader { session: 4, number, ..RequestHeader::default() };
            wire.send(&push.frame(Op::List(ListOp::PushBack { bytes: &[7] })));
            assert_eq!(wire.receive().reply(), Reply::Number(len));
        }
        assert_eq!(first.receive().reply(), Reply::Value(Some(&[7])));
        until(&|census| census.waiters == 0);
    });
}

#[test]
fn a_later_request_overtakes_a_wait_that_ends_at_its_deadline() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        let wait = Op::Latch(LatchOp::Wait { parties: 2 });
        for deadline_ms in [0, 1, 50] {
            let number = u64::from(deadline_ms) * 2 + 1;
            wire.send(
                &RequestHeader { session: 7, number, deadline_ms, ..RequestHeader::default() }
                    .frame(wait),
            );
            let gap = 2;
            let ask = RequestHeader {
                session: 7,
                number: number + 1,
                acked_gap: gap,
                ..RequestHeader::default()
            };
            wire.send(&ask.frame(Op::Latch(LatchOp::CountDown { party: "p", parties: 2 })));
            let mut answers = [wire.receive(), wire.receive()];
            answers.sort_by_key(|answer| answer.header.number);
            let missing = Missing { arrived: 1, parties: 2, names: vec![] };
            let early = Missing { arrived: 0, ..missing.clone() };
            let refusal = answers[0].refusal();
            // With a deadline of 0 the count may come too late.
            let is_right = refusal == Refusal::Timeout(missing)
                || (deadline_ms == 0 && refusal == Refusal::Timeout(early));
            assert!(is_right, "{refusal:?} after {deadline_ms} ms");
            assert_eq!(answers[1].reply(), Reply::Number(1));
        }
    });
}

#[test]
fn a_retry_on_another_connection_replaces_the_first_request() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let wait = Op::Latch(LatchOp::Wait { parties: 1 });
        let wait = RequestHeader {
            session: 7,
            number: 1,
            deadline_ms: 60_000,
            ..RequestHeader::default()
        }
        .frame(wait);
        let count = Op::Latch(LatchOp::CountDown { party: "p", parties: 1 });
        let mut first = Wire::open(address, 7);
        first.send(&wait);
        // The engine has received the wait once it has replied to the request behind it.
        assert_eq!(first.add_behind(7, 2, "other"), 1);
        let (mut second, _) = Wire::welcomed(address);
        second.send(&wait);
        assert_eq!(second.add_behind(7, 3, "other"), 2);
        let mut other = Wire::open(address, 8);
        other.send(
            &RequestHeader { session: 8, number: 1, ..RequestHeader::default() }.frame(count),
        );
        assert_eq!(other.receive().reply(), Reply::Number(0));
        let answer = second.receive();
        assert_eq!((answer.header.number, answer.reply()), (1, Reply::Number(0)));
        // The first connection works as before, and never gets that reply.
        assert_eq!(first.add(7, 4, "other"), 3);
    });
}

/// The client of a waiting request may be gone when the reply is ready.
#[test]
fn a_reply_to_a_closed_connection_is_kept_for_the_retry() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let wait = Op::Latch(LatchOp::Wait { parties: 1 });
        let ask = RequestHeader {
            session: 7,
            number: 1,
            deadline_ms: 60_000,
            ..RequestHeader::default()
        };
        let mut gone = Wire::open(address, 7);
        gone.send(&ask.frame(wait));
        assert_eq!(gone.add_behind(7, 2, "other"), 1);
        drop(gone);
        let mut other = Wire::open(address, 8);
        let count = Op::Latch(LatchOp::CountDown { party: "p", parties: 1 });
        other.send(
            &RequestHeader { session: 8, number: 1, ..RequestHeader::default() }.frame(count),
        );
        assert_eq!(other.receive().reply(), Reply::Number(0));
        // The client reconnects, retries and gets the reply.
        let (mut back, _) = Wire::welcomed(address);
        back.send(&ask.frame(wait));
        assert_eq!(back.receive().reply(), Reply::Number(0));
    });
}
