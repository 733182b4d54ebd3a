//! What two or three replicas say to each other, message by message.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::frame::Next;
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CounterOp, SessionOp};
use catena_protocol::{Op, OpCode, frame};
use rkyv::util::AlignedVec;

use super::*;
use crate::shard::Types;

/// What came out of a replica.
#[derive(Default)]
struct Out {
    replies: Vec<Vec<u8>>,
    frames: BTreeMap<NodeId, Vec<u8>>,
    reports: Vec<Report>,
}

impl Outbox for Out {
    fn push(&mut self, _conn: ConnId, to: &Header, output: Output<'_>) {
        let mut bytes = Vec::new();
        output.write(to, &mut bytes);
        self.replies.push(bytes);
    }
}

impl Exits for Out {
    type Bytes<'a> = &'a mut Vec<u8>;

    fn encoded(&mut self, _conn: ConnId, replies: &[u8]) {
        let mut rest = replies;
        while !rest.is_empty() {
            let len = u32::from_le_bytes([rest[12], rest[13], rest[14], rest[15]]) as usize;
            self.replies.push(rest[..len].to_vec());
            rest = &rest[len..];
        }
    }

    fn peer(&mut self, node: NodeId) -> Option<&mut Vec<u8>> {
        Some(self.frames.entry(node).or_default())
    }

    fn report(&mut self, _shard: ShardId, report: Report) {
        self.reports.push(report);
    }
}

/// Nodes 1, 2, … as a chain, in whose links nothing moves by itself.
struct Chain {
    replicas: BTreeMap<NodeId, Replica>,
    out: BTreeMap<NodeId, Out>,
    clock: Time,
}

const DAY: Time = Time(1 << 50);

fn node(number: u128) -> NodeId {
    NodeId(number)
}

impl Chain {
    fn new(len: u128) -> Chain {
        let mut chain =
            Chain { replicas: BTreeMap::new(), out: BTreeMap::new(), clock: Time(1_000) };
        for number in 1..=len {
            chain.add(number, Post::default());
        }
        chain.epoch(1, &(1..=len).collect::<Vec<_>>());
        chain
    }

    fn add(&mut self, number: u128, post: Post) {
        let shard = Shard::new(ShardId(0), 1, Arc::new(Types::default()));
        self.replicas.insert(node(number), Replica::new(shard, post, Rules::default()));
        self.out.insert(node(number), Out::default());
    }

    /// Tells all members of an epoch, who may act at once and read for ever.
    fn epoch(&mut self, epoch: u32, members: &[u128]) {
        for (at, number) in members.iter().enumerate() {
            let beside = |at: Option<usize>| at.and_then(|at| members.get(at)).map(|it| node(*it));
            let post = Post {
                epoch,
                member: true,
                predecessor: beside(at.checked_sub(1)),
                successor: beside(Some(at + 1)),
                active: true,
                lease: Some(Time(u64::MAX)),
                writable: true,
                ..Post::default()
            };
            self.post(*number, post);
        }
    }

    fn post(&mut self, number: u128, post: Post) {
        let id = node(number);
        let out = self.out.get_mut(&id).unwrap();
        self.replicas.get_mut(&id).unwrap().on_post(post, out);
    }

    /// A client asks; what it is told by now.
    fn ask(&mut self, number: u128, day: Time, header: Header, op: &Op<'_>) -> Vec<Status> {
        let header = Header { op: op.code().to_wire(), ..header };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &header, |out| op.encode(out)).unwrap();
        let bytes = aligned(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(&bytes, FRAME_BYTES_MAX) else { panic!() };
        let moment = Moment { now: day, memory_bytes_max: 1 << 30 };
        let id = node(number);
        let out = self.out.get_mut(&id).unwrap();
        self.replicas.get_mut(&id).unwrap().on_request(self.clock, moment, ConnId(1), &frame, out);
        self.told(number)
    }

    fn told(&mut self, number: u128) -> Vec<Status> {
        let replies = core::mem::take(&mut self.out.get_mut(&node(number)).unwrap().replies);
        let status = |reply: Vec<u8>| u16::from_le_bytes([reply[10], reply[11]]);
        replies.into_iter().map(|reply| Status::from_wire(status(reply)).unwrap()).collect()
    }

    /// Opens a session and adds to a counter; what the client is told at once.
    fn add_one(&mut self, number: u128, session: u64, request: u64) -> Vec<Status> {
        let header = Header { session, ..Header::new(FrameKind::Request) };
        let born_us = DAY.0;
        let open = Op::Session(SessionOp::Open { born_us, nonce: 1, ttl_ms: 0 });
        let mut told = self.ask(number, DAY, header, &open);
        let header = Header { number: request, object: ObjectId(1), acked_gap: 1, ..header };
        told.extend(self.ask(number, DAY, header, &Op::Counter(CounterOp::Add { delta: 1 })));
        told
    }

    /// Carries everything that a node has for another; says how many frames that were.
    fn carry(&mut self, from: u128, to: u128) -> usize {
        let (from, to) = (node(from), node(to));
        let out = self.out.get_mut(&from).unwrap();
        self.replicas.get_mut(&from).unwrap().flush(out);
        let bytes = aligned(&out.frames.remove(&to).unwrap_or_default());
        let (mut rest, mut count) = (&bytes[..], 0);
        let (replica, out) = (self.replicas.get_mut(&to).unwrap(), self.out.get_mut(&to).unwrap());
        while !rest.is_empty() {
            let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else { panic!() };
            rest = &rest[frame.bytes.len()..];
            count += 1;
            match frame.header.kind {
                FrameKind::Forward => replica.on_forward(from, &frame, out),
                FrameKind::Ack => replica.on_ack(from, &frame.header, out),
                FrameKind::Resume => replica.on_resume(from, &frame.header, out),
                FrameKind::Snapshot => replica.on_snapshot(from, &frame, out),
                other => panic!("{other:?}"),
            }
        }
        count
    }

    /// Carries everything between two nodes until they have nothing more to say.
    fn settle(&mut self, a: u128, b: u128) {
        while self.carry(a, b) + self.carry(b, a) > 0 {}
    }

    fn replica(&self, number: u128) -> &Replica {
        &self.replicas[&node(number)]
    }
}

fn aligned(bytes: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    aligned
}

#[test]
fn an_answer_waits_for_the_tail() {
    let mut chain = Chain::new(3);
    chain.settle(1, 2);
    chain.settle(2, 3);
    assert_eq!(chain.add_one(1, 7, 1), []);
    chain.settle(1, 2);
    assert_eq!(chain.told(1), []);
    chain.settle(2, 3);
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok, Status::Ok]);
    assert_eq!(chain.replica(3).hash(), chain.replica(1).hash());
}

/// A successor that says where it is says nothing of those behind it.
#[test]
fn to_resume_is_not_to_acknowledge() {
    let mut chain = Chain::new(3);
    chain.settle(1, 2);
    assert_eq!(chain.add_one(1, 7, 1), []);
    chain.settle(1, 2);
    chain.epoch(2, &[1, 2, 3]);
    chain.settle(1, 2);
    assert_eq!(chain.replica(2).applied(), 2);
    assert_eq!((chain.replica(1).committed(), chain.told(1)), (0, vec![]));
    chain.settle(2, 3);
    chain.settle(1, 2);
    assert_eq!((chain.replica(1).committed(), chain.told(1)), (2, vec![Status::Ok; 2]));
}

/// Nothing else may ever come that would have it repeated.
#[test]
fn an_acknowledgement_that_was_lost_with_a_link_is_repeated() {
    let mut chain = Chain::new(2);
    chain.settle(1, 2);
    chain.add_one(1, 7, 1);
    chain.carry(1, 2);
    let out = chain.out.get_mut(&node(2)).unwrap();
    chain.replicas.get_mut(&node(2)).unwrap().flush(out);
    assert!(!core::mem::take(&mut out.frames).is_empty(), "the acknowledgement is lost");
    chain.replicas.get_mut(&node(1)).unwrap().on_link(node(2));
    chain.replicas.get_mut(&node(2)).unwrap().on_link(node(1));
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok, Status::Ok]);
}

#[test]
fn a_request_may_name_the_epoch() {
    let mut chain = Chain::new(2);
    chain.epoch(5, &[1, 2]);
    chain.settle(1, 2);
    let header = Header { session: 7, epoch: 5, ..Header::new(FrameKind::Request) };
    let open = Op::Session(SessionOp::Open { born_us: DAY.0, nonce: 1, ttl_ms: 0 });
    assert_eq!(chain.ask(1, DAY, header, &open), []);
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok]);
    let header = Header { epoch: 4, ..header };
    assert_eq!(chain.ask(1, DAY, header, &open), [Status::WrongEpoch]);
    // Nobody else is there any more.
    chain.epoch(6, &[1]);
    let header = Header { epoch: 5, ..header };
    assert_eq!(chain.ask(1, DAY, header, &open), [Status::WrongEpoch]);
    let header = Header { epoch: 6, ..header };
    assert_eq!(chain.ask(1, DAY, header, &open), [Status::Ok]);
}

/// Time is the head's: a reader whose day is further on must not take its next entry for one from the
/// past.
#[test]
fn a_read_does_not_bring_time_forward() {
    let mut chain = Chain::new(2);
    chain.settle(1, 2);
    chain.add_one(1, 7, 1);
    chain.settle(1, 2);
    let get = Op::Counter(CounterOp::Get);
    let header = Header { object: ObjectId(1), ..Header::new(FrameKind::Request) };
    assert_eq!(chain.ask(2, DAY.plus_ms(60_000), header, &get), [Status::Ok]);
    chain.add_one(1, 7, 2);
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok; 2]);
    assert_eq!(chain.out[&node(2)].reports, []);
}

/// An update that is refused has only read. Whoever may not read may not refuse it either: it may
/// have been replaced long ago.
#[test]
fn without_a_lease_nothing_is_refused_for_what_the_state_is() {
    let mut chain = Chain::new(2);
    chain.settle(1, 2);
    let post = Post { lease: Some(Time(500)), ..chain.replica(1).post().clone() };
    chain.post(1, post);
    let header =
        Header { session: 9, number: 1, object: ObjectId(1), ..Header::new(FrameKind::Request) };
    let add = Op::Counter(CounterOp::Add { delta: 1 });
    assert_eq!(chain.ask(1, DAY, header, &add), [Status::Busy]);
    let post = Post { lease: Some(Time(2_000)), ..chain.replica(1).post().clone() };
    chain.post(1, post);
    assert_eq!(chain.ask(1, DAY, header, &add), [Status::SessionUnknown]);
}

/// A shard that nothing was written to has state nevertheless: that there is nothing.
#[test]
fn a_learner_of_an_empty_shard_has_to_say_that_it_has_it() {
    let mut chain = Chain::new(1);
    chain.add(2, Post::default());
    chain.replicas.get_mut(&node(1)).unwrap().teach(node(2));
    assert!(!chain.replica(1).is_synced(node(2)));
}

/// A learner whose link comes up only after it was to be taught has missed nothing.
#[test]
fn a_new_link_does_not_end_a_lesson_that_has_not_begun() {
    let mut chain = Chain::new(1);
    chain.add(2, Post::default());
    let learner = Post { epoch: 1, predecessor: Some(node(1)), ..Post::default() };
    chain.post(2, learner);
    chain.add_one(1, 7, 1);
    let teacher = chain.replicas.get_mut(&node(1)).unwrap();
    teacher.teach(node(2));
    teacher.on_link(node(2));
    chain.settle(1, 2);
    assert!(chain.replica(1).is_synced(node(2)));
    assert_eq!(chain.replica(2).shard().digest(), chain.replica(1).shard().digest());
}

/// What it has of another life's lesson does not count.
#[test]
fn a_learner_that_acknowledges_less_than_the_state_has_not_learned_it() {
    let mut chain = Chain::new(1);
    chain.add(2, Post::default());
    chain.add_one(1, 7, 1);
    let (teacher, out) =
        (chain.replicas.get_mut(&node(1)).unwrap(), chain.out.get_mut(&node(1)).unwrap());
    teacher.teach(node(2));
    let ack = |index| peer::header(FrameKind::Ack, ShardId(0), 1, index);
    teacher.on_ack(node(2), &ack(teacher.applied() - 1), out);
    assert!(!teacher.has_taught(node(2)) && !teacher.is_near(node(2)));
    teacher.on_ack(node(2), &ack(teacher.applied()), out);
    assert!(teacher.is_synced(node(2)));
}

/// While updates come without a pause, a learner never has everything. It need not: what it lacks
/// nobody was told of, and nobody is before it has it.
#[test]
fn a_learner_is_synced_when_it_has_what_was_acknowledged() {
    let mut chain = Chain::new(1);
    chain.add(2, Post::default());
    let learner = Post { epoch: 1, predecessor: Some(node(1)), ..Post::default() };
    chain.post(2, learner);
    chain.add_one(1, 7, 1);
    chain.replicas.get_mut(&node(1)).unwrap().teach(node(2));
    chain.settle(1, 2);
    let gated = Post { gate: Some(node(2)), ..chain.replica(1).post().clone() };
    chain.post(1, gated);
    chain.told(1);
    assert_eq!(chain.add_one(1, 7, 2), []);
    let teacher = chain.replica(1);
    assert!(teacher.applied() > teacher.committed() && teacher.is_synced(node(2)));
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok; 2]);
}

/// The head of a later epoch is not served what an older one's members had acknowledged to others.
#[test]
fn what_another_epoch_acknowledged_is_not_taken() {
    let mut chain = Chain::new(2);
    chain.settle(1, 2);
    chain.add_one(1, 7, 1);
    chain.carry(1, 2);
    let inactive = Post { epoch: 2, active: false, ..chain.replica(1).post().clone() };
    chain.post(1, inactive.clone());
    chain.carry(2, 1);
    chain.post(1, Post { active: true, ..inactive });
    assert_eq!(chain.told(1), []);
    let behind = Post { epoch: 2, ..chain.replica(2).post().clone() };
    chain.post(2, behind);
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok, Status::Ok]);
}

#[test]
fn op_codes_tell_reads() {
    let header = |op: OpCode| Header { op: op.to_wire(), ..Header::new(FrameKind::Request) };
    assert!(is_read(&header(OpCode::CounterGet)));
    assert!(!is_read(&header(OpCode::CounterAdd)));
    assert!(!is_read(&header(OpCode::SessionOpen)));
}

/// Heads that rest take nothing, and are at rest when all have what they took.
#[test]
fn a_head_comes_to_rest() {
    let mut chain = Chain::new(2);
    chain.settle(1, 2);
    assert_eq!(chain.add_one(1, 7, 1), []);
    for number in [1, 2] {
        let resting = Post { resting: true, ..chain.replica(number).post().clone() };
        chain.post(number, resting);
    }
    assert!(!chain.replica(1).is_at_rest() && chain.replica(2).is_at_rest());
    assert_eq!(chain.add_one(1, 7, 2), [Status::Busy; 2]);
    assert_eq!(chain.replica(1).next_due(), None, "time ends nothing");
    chain.settle(1, 2);
    assert_eq!(chain.told(1), [Status::Ok; 2]);
    assert!(chain.replica(1).is_at_rest());

    // In the other order it goes on where it was.
    chain.epoch(2, &[2, 1]);
    chain.settle(1, 2);
    assert_eq!(chain.add_one(2, 7, 2), []);
    chain.settle(1, 2);
    assert_eq!(chain.told(2), [Status::Ok; 2]);
    assert_eq!(chain.replica(1).hash(), chain.replica(2).hash());
    assert_eq!(chain.add_one(1, 7, 3), [Status::NotHead; 2]);
}

/// The time of a head goes on with every request; that of the others only with what took effect.
#[test]
fn who_is_no_head_any_more_forgets_time_in_which_nothing_happened() {
    let mut chain = Chain::new(2);
    chain.settle(1, 2);
    chain.add_one(1, 7, 1);
    chain.settle(1, 2);
    chain.told(1);
    let header = Header { object: ObjectId(1), ..Header::new(FrameKind::Request) };
    let later = Time(DAY.0 + 1_000_000);
    assert_eq!(chain.ask(1, later, header, &Op::Counter(CounterOp::Get)), [Status::Ok]);
    chain.epoch(2, &[2, 1]);
    chain.settle(1, 2);
    chain.add_one(2, 7, 2);
    chain.settle(1, 2);
    assert_eq!(chain.told(2), [Status::Ok; 2]);
    assert!(chain.out.values().all(|out| out.reports.is_empty()));
}
