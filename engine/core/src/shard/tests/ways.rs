//! The quick way of a counter's update, and the general way: both have the same effect and reply.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CounterOp, SessionOp};
use catena_protocol::{Frame, FrameKind, Header, ObjectId, Op, flags, named};
use proptest::prelude::*;

use super::script::answers;
use crate::shard::fuzz::trial::{Aligned, SHARD};
use crate::shard::{ConnId, Moment, Outbox, Output, Shard, Time, Types};

/// An update by a number of an object that is a counter, a flag, or absent.
fn update() -> impl Strategy<Value = String> {
    let number = prop_oneof![-3_i64..4, Just(i64::MAX), Just(i64::MIN)];
    let ops = vec!["add", "fetch_add", "set", "swap", "multiply", "min", "max"];
    let (object, op) = (prop::sample::select(vec!["c", "d", "flag"]), prop::sample::select(ops));
    (object, op, number).prop_map(|(object, op, number)| format!("counter {object} {op} {number}"))
}

/// Clients send updates, in or out of turn, repeated, and with every combination of flags, also
/// unknown ones. Another client sends requests that always take the general way.
fn step() -> impl Strategy<Value = String> {
    let client = || prop::sample::select(vec!["a", "b"]);
    let turn = prop_oneof![
        6 => Just(String::new()),
        1 => (1_u64..40).prop_map(|number| format!("#{number}")),
        1 => (0_u16..12).prop_map(|gap| format!("~{gap}")),
    ];
    let flags = prop_oneof![
        3 => Just("wanted"),
        3 => Just(""),
        1 => prop::sample::select(vec!["named", "named wanted", "!4", "wanted !4"]),
    ];
    let others = vec!["counter c get", "counter c cas 1 2", "flag flag set true", "delete d"];
    prop_oneof![
        12 => (client(), turn, flags, update())
            .prop_map(|(client, turn, flags, op)| format!("{client} {turn} {flags} {op}")),
        2 => client().prop_map(|client| format!("{client} retry")),
        1 => client().prop_map(|client| format!("{client} retry 1")),
        2 => prop::sample::select(others).prop_map(|op| format!("z {op}")),
    ]
}

proptest! {
    /// A client that waits for any object to change makes every update take the general way.
    #[test]
    fn both_ways_come_to_the_same(steps in prop::collection::vec(step(), 1..200)) {
        let begin = ["a counter c add 1", "b counter c add 1"].map(str::to_owned);
        let quick: Vec<String> = begin.iter().chain(&steps).cloned().collect();
        let watcher = "w @600000 object elsewhere wait_newer 0".to_owned();
        let whole: Vec<String> = core::iter::once(watcher).chain(quick.clone()).collect();
        let ((quick, seq), (whole, whole_seq)) = (answers(&quick), answers(&whole));
        prop_assert_eq!(&quick[..], &whole[1..]);
        // The watcher's session and its wait are two updates.
        prop_assert_eq!(seq + 2, whole_seq);
    }
}

/// Drops all replies.
struct Discard;

impl Outbox for Discard {
    fn push(&mut self, _conn: ConnId, _to: &Header, _output: Output<'_>) {}
}

/// An update of a counter, or the opening of the session, as it lies in a receive buffer.
fn request(number: u64, flags: u16, op: &Op<'_>) -> Aligned {
    let header = Header {
        op: op.code().to_wire(),
        flags,
        shard: SHARD,
        acked_gap: u16::from(number > 0),
        session: 7,
        number,
        object: ObjectId::of("c"),
        ..Header::new(FrameKind::Request)
    };
    let mut bytes = Vec::new();
    let written = frame::write(&mut bytes, &header, |out| {
        if flags & flags::NAMED != 0 {
            named::put("c", out);
        }
        op.encode(out);
    });
    written.expect("a few bytes");
    Aligned::copy_of(&bytes)
}

fn parsed(bytes: &Aligned) -> Frame<'_> {
    match frame::next(bytes.bytes(), FRAME_BYTES_MAX) {
        Ok(Next::Frame(frame)) => frame,
        other => unreachable!("a whole frame was written: {other:?}"),
    }
}

/// Clients set NAME_WANTED on every update of an object: if the quick way refused it, no client
/// would ever be served by it.
#[test]
fn the_quick_way_takes_updates_as_clients_send_them() {
    let mut shard = Shard::new(SHARD, 1, Arc::new(Types::default()));
    let add = Op::Counter(CounterOp::Add { delta: 1 });
    let open = Op::Session(SessionOp::Open { born_us: 0, nonce: 1, ttl_ms: 0 });
    for bytes in [request(0, 0, &open), request(1, flags::NAMED, &add)] {
        let moment = Moment { now: Time(0), memory_bytes_max: 1 << 30 };
        assert!(shard.on_request(moment, ConnId(0), &parsed(&bytes), &mut Discard));
    }
    let mut quick = |number, flags| {
        let bytes = request(number, flags, &add);
        shard.on_count(Time(0), &parsed(&bytes))
    };
    assert_eq!([quick(2, 0), quick(3, flags::NAME_WANTED)], [Some(2), Some(3)]);
    for flags in [flags::NAMED, flags::ALL, !flags::ALL] {
        assert_eq!(quick(4, flags), None, "{flags:#x}");
    }
    assert_eq!(quick(4, flags::NAME_WANTED), Some(4));
}
