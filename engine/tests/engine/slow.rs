//! A client that sends requests and does not read the replies.

use catena_protocol::op::CellOp;
use catena_protocol::{Op, Reply};

use crate::binary::Running;
use crate::wire::{RequestHeader, Wire};

/// The replies are 400 MiB. The engine stops reading that client, serves the others, and sends all
/// replies in the end.
#[test]
fn a_slow_reader_costs_little_memory_and_delays_no_other_client() {
    const REQUESTS: usize = 400;
    const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
    let bytes = vec![7; 1024 * 1024];
    for driver in ["auto", "epoll"] {
        let engine = Running::start(&["--driver", driver, "--shards", "1"]);
        let mut writer = Wire::open(engine.addresses[0], 7);
        let set = Op::Cell(CellOp::Set { bytes: &bytes });
        let cell =
            RequestHeader { session: 7, number: 1, name: "cell", ..RequestHeader::default() };
        writer.send(&cell.frame(set));
        let Reply::Number(version) = writer.receive().reply() else { panic!("a version") };

        let (mut slow, _) = Wire::welcomed(engine.addresses[0]);
        let get =
            RequestHeader { name: "cell", ..RequestHeader::default() }.frame(Op::Cell(CellOp::Get));
        slow.send(&get.repeat(REQUESTS));
        for number in 2..1_000 {
            let value = i64::try_from(number).expect("few") - 1;
            assert_eq!(writer.add(7, number, "counter"), value);
        }
        let peak = engine.memory_bytes_peak();
        assert!(peak < MEMORY_BYTES_MAX, "the engine took {peak} bytes ({driver})");
        for _ in 0..REQUESTS {
            let cell = slow.receive();
            assert_eq!(cell.reply(), Reply::Cell { version, bytes: Some(&bytes) });
        }
        let peak = engine.memory_bytes_peak();
        assert!(peak < MEMORY_BYTES_MAX, "the engine took {peak} bytes ({driver})");
    }
}
