//! Tests with the maximum number of parties, all of which are lost at once. If an event took time
//! in proportion to the number of parties for each of them, these tests would not end.

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::{FRAME_BYTES_MAX, PARTIES_MAX};
use catena_protocol::op::{
    Arrival, BarrierOp, Contribution, GENERATION_CURRENT, Loss, ReduceOp, ReductionOp, SessionOp,
};
use catena_protocol::{Elements, FrameKind, Header, ObjectId, Op, Refusal, Reply, ShardId};

use crate::shard::fuzz::trial::Aligned;
use crate::shard::{ConnId, Moment, Outbox, Output, Shard, Time};

/// All parties but one are lost at the same time, and the last one continues at once.
#[test]
fn a_barrier_loses_all_parties_but_one() {
    let mut crowd = PartyCrowd::new();
    for party in 1..PARTIES_MAX {
        crowd.ask(party, &arrive(&party.to_string(), 100, Loss::Drop));
    }
    let survivor = arrive("0", 0, Loss::Drop);
    crowd.ask(0, &survivor);
    assert_eq!(crowd.told(), (PARTIES_MAX as usize, encoded(&Reply::Number(0))));
    crowd.ask(0, &survivor);
    assert_eq!(crowd.told().0, 0);
    crowd.pass(100);
    assert_eq!(crowd.told(), (1, encoded(&Reply::Number(1))));
    crowd.ask(0, &survivor);
    assert_eq!(crowd.told(), (1, encoded(&Reply::Number(2))));
}

#[test]
fn a_reduction_loses_all_parties_but_one() {
    let mut crowd = PartyCrowd::new();
    let elements = Elements::F64(&[2.0]);
    let part = |party, round, hold_ms| Contribution {
        party,
        parties: PARTIES_MAX,
        round,
        op: ReduceOp::Mean,
        hold_ms,
        loss: Loss::Drop,
        elements,
    };
    for party in 1..PARTIES_MAX {
        crowd.ask(party, &Op::Reduction(ReductionOp::Contribute(part(party, 0, 100))));
    }
    let survivor = |round| Op::Reduction(ReductionOp::Contribute(part(0, round, 0)));
    let result = |round| encoded(&Reply::Round { round, elements });
    crowd.ask(0, &survivor(0));
    assert_eq!(crowd.told(), (PARTIES_MAX as usize, result(0)));
    crowd.ask(0, &survivor(1));
    assert_eq!(crowd.told().0, 0);
    crowd.pass(100);
    assert_eq!(crowd.told(), (1, result(1)));
    crowd.ask(0, &survivor(2));
    assert_eq!(crowd.told(), (1, result(2)));
}

/// The first lost party breaks it for all.
#[test]
fn a_barrier_is_broken_by_all_parties_at_once() {
    let mut crowd = PartyCrowd::new();
    for party in 1..PARTIES_MAX {
        crowd.ask(party, &arrive(&party.to_string(), 100, Loss::Break));
    }
    crowd.pass(100);
    let mut reason = Vec::new();
    Refusal::Broken("party 1 is past its deadline".to_owned()).encode(&mut reason);
    assert_eq!(crowd.told(), (PARTIES_MAX as usize - 1, reason));
}

/// A shard with a session for each party.
struct PartyCrowd {
    shard: Shard,
    now: Time,
    /// The number of updates of each party.
    numbers: Vec<u64>,
    told: ReplyBodies,
}

/// The bodies of replies.
#[derive(Default)]
struct ReplyBodies(Vec<Vec<u8>>);

impl PartyCrowd {
    fn new() -> PartyCrowd {
        let shard = Shard::new(ShardId(0), 1, Arc::default());
        let (now, told) = (Time::default(), ReplyBodies::default());
        let mut crowd = PartyCrowd { shard, now, numbers: vec![0; PARTIES_MAX as usize], told };
        let open = SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 0 };
        for party in 0..PARTIES_MAX {
            crowd.send(party, 0, &Op::Session(open));
        }
        crowd.told.0.clear();
        crowd
    }

    /// A party sends an op with a long deadline.
    fn ask(&mut self, party: u32, op: &Op<'_>) {
        let number = &mut self.numbers[party as usize];
        *number += 1;
        let number = *number;
        self.send(party, number, op);
    }

    fn send(&mut self, party: u32, number: u64, op: &Op<'_>) {
        let header = Header {
            op: op.code().to_wire(),
            session: u64::from(party) + 1,
            number,
            acked_gap: 1,
            deadline_ms: 1_000,
            object: ObjectId(1),
            ..Header::new(FrameKind::Request)
        };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &header, |out| op.encode(out)).expect("a small frame");
        let bytes = Aligned::copy_of(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(bytes.bytes(), FRAME_BYTES_MAX) else {
            unreachable!("what was just written is a frame")
        };
        let moment = Moment { now: self.now, memory_bytes_max: 1 << 40 };
        self.shard.on_request(moment, ConnId(0), &frame, &mut self.told);
    }

    fn pass(&mut self, ms: u32) {
        self.now = self.now.plus_ms(ms);
        while self.shard.next_due().is_some_and(|due| due <= self.now) {
            self.shard.on_time(self.now, &mut self.told);
        }
    }

    /// Returns the number of replies since the last call, and their body, which is the same for
    /// all.
    fn told(&mut self) -> (usize, Vec<u8>) {
        let told = core::mem::take(&mut self.told.0);
        let first = told.first().cloned().unwrap_or_default();
        assert!(told.iter().all(|body| *body == first), "all replies are the same");
        (told.len(), first)
    }
}

impl Outbox for ReplyBodies {
    fn push(&mut self, _: ConnId, to: &Header, output: Output<'_>) {
        let mut bytes = Vec::new();
        output.write(to, &mut bytes);
        let bytes = Aligned::copy_of(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(bytes.bytes(), FRAME_BYTES_MAX) else {
            unreachable!("a reply is one frame")
        };
        self.0.push(frame.body.to_vec());
    }
}

fn arrive(party: &str, hold_ms: u32, loss: Loss) -> Op<'_> {
    let (parties, generation) = (PARTIES_MAX, GENERATION_CURRENT);
    Op::Barrier(BarrierOp::ArriveAndWait(Arrival { party, parties, generation, hold_ms, loss }))
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    reply.encode(&mut body);
    body
}
