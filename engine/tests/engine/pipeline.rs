//! Many requests in one write, and one request in many.

use catena_protocol::op::{CellOp, VectorOp};
use catena_protocol::{Elements, Op, Reply, Status};

use crate::wire::{ADD, GET, RequestHeader, Wire};
use crate::with_drivers;

#[test]
fn replies_to_a_batch_come_in_order() {
    const REQUESTS: u64 = 5_000;
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        // As many at once as the window allows, the rest as replies arrive.
        let ask = |number| {
            RequestHeader { session: 7, number, acked_gap: 200, ..RequestHeader::default() }
                .frame(ADD)
        };
        let mut batch = Vec::new();
        (1..=200).for_each(|number| {
            let acked_gap = u16::try_from(number).expect("in the window");
            batch.extend(
                RequestHeader { session: 7, number, acked_gap, ..RequestHeader::default() }
                    .frame(ADD),
            );
        });
        wire.send(&batch);
        for number in 1..=REQUESTS {
            let answer = wire.receive();
            assert_eq!(answer.header.number, number);
            assert_eq!(answer.reply(), Reply::Int(i64::try_from(number).expect("few")));
            if number + 200 <= REQUESTS {
                wire.send(&ask(number + 200));
            }
        }
    });
}

#[test]
fn a_batch_may_be_cut_at_every_byte() {
    let bytes: Vec<u8> = (0..90).collect();
    let numbers = [1.5; 7];
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let mut wire = Wire::open(address, 7);
        let mut number = 0;
        let mut ask = |op: Op<'_>, name| {
            number += 1;
            RequestHeader { session: 7, number, name, ..RequestHeader::default() }.frame(op)
        };
        let mut first = None;
        for cut in 0.. {
            let batch = [
                ask(Op::Cell(CellOp::Set { bytes: &bytes }), "cell"),
                ask(Op::Vector(VectorOp::Add { elements: Elements::F64(&numbers) }), "vector"),
                ask(ADD, "counter"),
                RequestHeader { name: "cell", ..RequestHeader::default() }
                    .frame(Op::Cell(CellOp::Get)),
            ]
            .concat();
            let Some((one, other)) = batch.split_at_checked(cut) else { break };
            wire.send(one);
            wire.send(other);
            // A version is a position in the shard's order.
            let round = cut as u64 + 1;
            let Reply::Number(version) = wire.receive().reply() else { panic!("cut at {cut}") };
            let first = *first.get_or_insert(version);
            assert_eq!(version, first + 3 * cut as u64, "cut at {cut}");
            assert_eq!(wire.receive().reply(), Reply::Number(version + 1));
            assert_eq!(wire.receive().reply(), Reply::Int(i64::try_from(round).expect("few")));
            assert_eq!(wire.receive().reply(), Reply::Cell { version, bytes: Some(&bytes) });
        }
    });
}

#[test]
fn a_frame_may_arrive_one_byte_at_a_time() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        for number in 1..=3 {
            let add = RequestHeader { session: 7, number, ..RequestHeader::default() }.frame(ADD);
            add.iter().for_each(|byte| wire.send(&[*byte]));
            assert_eq!(wire.receive().reply(), Reply::Int(i64::try_from(number).expect("few")));
        }
    });
}

/// From the smallest buffer to the largest frame and back.
#[test]
fn frames_of_all_sizes_follow_one_another() {
    let large = vec![7; 8 * 1024 * 1024];
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        let sizes = [1, 4_000, 4_096, 65_536, 8_388_608, 10, 70_000, 1_000_000, 0];
        let mut batch = Vec::new();
        for (number, size) in (1..).zip(sizes) {
            let ask =
                RequestHeader { session: 7, number, acked_gap: 1, ..RequestHeader::default() };
            batch.extend(ask.frame(Op::Cell(CellOp::Set { bytes: &large[..size] })));
            batch.extend(RequestHeader::default().frame(Op::Cell(CellOp::Get)));
        }
        // The engine stops reading while its replies are not read, so another thread writes.
        std::thread::scope(|scope| {
            let mut writer = wire.stream.try_clone().expect("a second handle");
            scope.spawn(move || std::io::Write::write_all(&mut writer, &batch));
            let mut last = None;
            for size in sizes {
                let Reply::Number(version) = wire.receive().reply() else { panic!("a version") };
                assert!(last.replace(version).is_none_or(|last| version == last + 1));
                let cell = wire.receive();
                assert_eq!(cell.reply(), Reply::Cell { version, bytes: Some(&large[..size]) });
            }
        });
    });
}

#[test]
fn a_refused_request_leaves_the_connection_open() {
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        wire.send(&RequestHeader { shard: 1, ..RequestHeader::default() }.frame(GET));
        assert_eq!(wire.receive().status(), Status::BadShard);
        wire.send(&RequestHeader { session: 8, number: 1, ..RequestHeader::default() }.frame(ADD));
        assert_eq!(wire.receive().status(), Status::SessionUnknown);
        assert_eq!(wire.add(7, 1, "counter"), 1);
    });
}
