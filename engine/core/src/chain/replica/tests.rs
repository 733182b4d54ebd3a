//! What two or three replicas send each other, frame by frame.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::frame::Next;
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, CounterOp, FutureOp, ListOp, SessionOp};
use catena_protocol::{Op, OpCode, frame};
use rkyv::util::AlignedVec;

use super::*;
use crate::chain::outbox::ReplicaReport;
use crate::chain::record::NodeId;
use crate::shard::Types;

/// What a replica put out.
#[derive(Default)]
struct TestOutbox {
    replies: Vec<Vec<u8>>,
    frames: BTreeMap<NodeId, Vec<u8>>,
    reports: Vec<ReplicaReport>,
}

impl Outbox for TestOutbox {
    fn push(&mut self, _conn: ConnId, to: &Header, output: Output<'_>) {
        let mut bytes = Vec::new();
        output.write(to, &mut bytes);
        self.replies.push(bytes);
    }
}

impl ReplicaOutbox for TestOutbox {
    type PeerBuffer<'a> = &'a mut Vec<u8>;

    fn send_encoded(&mut self, _conn: ConnId, replies: &[u8]) {
        let mut rest = replies;
        while !rest.is_empty() {
            let len = u32::from_le_bytes([rest[12], rest[13], rest[14], rest[15]]) as usize;
            self.replies.push(rest[..len].to_vec());
            rest = &rest[len..];
        }
    }

    fn peer_buffer(&mut self, node: NodeId) -> Option<&mut Vec<u8>> {
        Some(self.frames.entry(node).or_default())
    }

    fn report(&mut self, _shard: ShardId, report: ReplicaReport) {
        self.reports.push(report);
    }
}

/// Nodes 1, 2, … as a chain, in whose links frames move only on request.
struct TestChain {
    replicas: BTreeMap<NodeId, Replica>,
    out: BTreeMap<NodeId, TestOutbox>,
    clock: Time,
    memory_bytes_max: u64,
}

const DAY: Time = Time(1 << 50);

fn node(number: u128) -> NodeId {
    NodeId(number)
}

impl TestChain {
    fn new(len: u128) -> TestChain {
        let mut chain = TestChain {
            replicas: BTreeMap::new(),
            out: BTreeMap::new(),
            clock: Time(1_000),
            memory_bytes_max: 1 << 30,
        };
        for number in 1..=len {
            chain.add(number, Assignment::default());
        }
        chain.start_epoch(1, &(1..=len).collect::<Vec<_>>());
        chain
    }

    fn add(&mut self, number: u128, assignment: Assignment) {
        let shard = Shard::new(ShardId(0), 1, Arc::new(Types::default()));
        self.replicas.insert(node(number), Replica::new(shard, assignment, Rules::default()));
        self.out.insert(node(number), TestOutbox::default());
    }

    /// Starts an epoch, in which all members may act at once and read for ever.
    fn start_epoch(&mut self, epoch: u32, members: &[u128]) {
        for (at, number) in members.iter().enumerate() {
            let beside = |at: Option<usize>| at.and_then(|at| members.get(at)).map(|it| node(*it));
            let assignment = Assignment {
                epoch,
                member: true,
                predecessor: beside(at.checked_sub(1)),
                successor: beside(Some(at + 1)),
                active: true,
                lease: Some(Time(u64::MAX)),
                writable: true,
                ..Assignment::default()
            };
            self.assign(*number, assignment);
        }
    }

    fn assign(&mut self, number: u128, assignment: Assignment) {
        let id = node(number);
        let out = self.out.get_mut(&id).unwrap();
        self.replicas.get_mut(&id).unwrap().on_assignment(assignment, out);
    }

    /// Sends a client's request; returns the replies so far.
    fn request(&mut self, number: u128, day: Time, header: Header, op: &Op<'_>) -> Vec<Status> {
        let header = Header { op: op.code().to_wire(), ..header };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &header, |out| op.encode(out)).unwrap();
        let bytes = aligned(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(&bytes, FRAME_BYTES_MAX) else { panic!() };
        let moment = Moment { now: day, memory_bytes_max: self.memory_bytes_max };
        let id = node(number);
        let out = self.out.get_mut(&id).unwrap();
        self.replicas.get_mut(&id).unwrap().on_request(self.clock, moment, ConnId(1), &frame, out);
        self.statuses(number)
    }

    fn statuses(&mut self, number: u128) -> Vec<Status> {
        let replies = core::mem::take(&mut self.out.get_mut(&node(number)).unwrap().replies);
        let status = |reply: Vec<u8>| u16::from_le_bytes([reply[10], reply[11]]);
        replies.into_iter().map(|reply| Status::from_wire(status(reply)).unwrap()).collect()
    }

    /// Opens a session and adds to a counter; returns the replies that come at once.
    fn add_one(&mut self, number: u128, session: u64, request: u64) -> Vec<Status> {
        let header = Header { session, ..Header::new(FrameKind::Request) };
        let born_us = DAY.0;
        let open = Op::Session(SessionOp::Open { born_us, nonce: 1, ttl_ms: 0 });
        let mut statuses = self.request(number, DAY, header, &open);
        let header = Header { number: request, object: ObjectId(1), acked_gap: 1, ..header };
        statuses.extend(self.request(
            number,
            DAY,
            header,
            &Op::Counter(CounterOp::Add { delta: 1 }),
        ));
        statuses
    }

    /// Delivers everything that a node has sent to another; returns the number of frames.
    fn deliver(&mut self, from: u128, to: u128) -> usize {
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
                FrameKind::Forward => replica.on_forward(from, DAY, &frame, out),
                FrameKind::Ack => replica.on_ack(from, &frame.header, out),
                FrameKind::Resume => replica.on_resume(from, &frame.header, out),
                FrameKind::Digest => replica.on_digest(from, &frame.header, out),
                FrameKind::Snapshot => replica.on_snapshot(from, DAY, &frame, out),
                other => panic!("{other:?}"),
            }
        }
        count
    }

    /// Delivers everything between two nodes until they send nothing more.
    fn deliver_all(&mut self, a: u128, b: u128) {
        while self.deliver(a, b) + self.deliver(b, a) > 0 {}
    }

    /// Tells a node that its link to another is new.
    fn link(&mut self, number: u128, peer: u128) {
        let id = node(number);
        self.replicas.get_mut(&id).unwrap().on_link(node(peer), self.out.get_mut(&id).unwrap());
    }

    fn stop_transfer(&mut self, number: u128) {
        let id = node(number);
        self.replicas.get_mut(&id).unwrap().stop_transfer(self.out.get_mut(&id).unwrap());
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
fn a_reply_waits_for_the_tail() {
    let mut chain = TestChain::new(3);
    chain.deliver_all(1, 2);
    chain.deliver_all(2, 3);
    assert_eq!(chain.add_one(1, 7, 1), []);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), []);
    chain.deliver_all(2, 3);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok, Status::Ok]);
    assert_eq!(chain.replica(3).hash(), chain.replica(1).hash());
}

/// A successor that sends its position acknowledges nothing for the replicas behind it.
#[test]
fn a_position_is_no_acknowledgement() {
    let mut chain = TestChain::new(3);
    chain.deliver_all(1, 2);
    assert_eq!(chain.add_one(1, 7, 1), []);
    chain.deliver_all(1, 2);
    chain.start_epoch(2, &[1, 2, 3]);
    chain.deliver_all(1, 2);
    assert_eq!(chain.replica(2).applied(), 2);
    assert_eq!((chain.replica(1).committed(), chain.statuses(1)), (0, vec![]));
    chain.deliver_all(2, 3);
    chain.deliver_all(1, 2);
    assert_eq!((chain.replica(1).committed(), chain.statuses(1)), (2, vec![Status::Ok; 2]));
}

/// No later frame would cause it to be repeated.
#[test]
fn an_acknowledgement_lost_with_a_link_is_repeated() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    chain.add_one(1, 7, 1);
    chain.deliver(1, 2);
    let out = chain.out.get_mut(&node(2)).unwrap();
    chain.replicas.get_mut(&node(2)).unwrap().flush(out);
    assert!(!core::mem::take(&mut out.frames).is_empty(), "the acknowledgement is lost");
    chain.link(1, 2);
    chain.link(2, 1);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok, Status::Ok]);
}

/// The replies that a client has may take the memory that its next request needs.
#[test]
fn an_acknowledgement_counts_although_there_is_no_room() {
    for len in [1, 2] {
        let mut chain = TestChain::new(len);
        chain.deliver_all(1, 2.min(len));
        let header = Header { session: 7, object: ObjectId(1), ..Header::new(FrameKind::Request) };
        let open = SessionOp::Open { born_us: DAY.0, nonce: 1, ttl_ms: 0 };
        chain.request(1, DAY, header, &Op::Session(open));
        let bytes = vec![1; 60_000];
        let ask = |chain: &mut TestChain, number, acked_gap, op| {
            let header = Header { number, acked_gap, ..header };
            let mut statuses = chain.request(1, DAY, header, &Op::Cell(op));
            if len == 2 {
                chain.deliver_all(1, 2);
            }
            statuses.extend(chain.statuses(1));
            statuses
        };
        let mut number = 0;
        while number < 3 {
            number += 1;
            ask(&mut chain, number, 1, CellOp::Swap { bytes: &bytes });
        }
        // The cell, and a reply with its former value.
        let used = chain.replica(1).shard().bytes();
        assert!((120_000..130_000).contains(&used), "{used}");
        chain.memory_bytes_max = 150_000;
        let append = CellOp::Append { bytes: &bytes[..10_000] };
        let without = ask(&mut chain, number + 1, 2, append);
        assert_eq!(without, [Status::OutOfMemory], "{len}");
        assert_eq!(ask(&mut chain, number + 1, 1, append), [Status::Ok], "{len}");
        if len == 2 {
            assert_eq!(chain.replica(2).shard().digest(), chain.replica(1).shard().digest());
        }
    }
}

/// What one client asks for in one go must not take any memory that it likes, before the successor has
/// acknowledged the first of it.
#[test]
fn replies_that_wait_are_bounded() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    let header = |object| Header {
        session: 7,
        object: ObjectId(object),
        deadline_ms: 60_000,
        ..Header::new(FrameKind::Request)
    };
    let open = SessionOp::Open { born_us: DAY.0, nonce: 1, ttl_ms: 0 };
    chain.request(1, DAY, header(0), &Op::Session(open));
    let bytes = vec![7; 3 * 1024 * 1024];
    let future = Header { number: 1, acked_gap: 1, ..header(1) };
    chain.request(1, DAY, future, &Op::Future(FutureOp::Set { bytes: &bytes }));
    chain.deliver_all(1, 2);
    let cell = Header { number: 2, acked_gap: 2, ..header(2) };
    chain.request(1, DAY, cell, &Op::Cell(CellOp::Set { bytes: &bytes }));
    chain.statuses(1);
    // Copies of a cell that is not committed, and one copy of what a future has.
    for (object, op) in [(2, Op::Cell(CellOp::Get)), (1, Op::Future(FutureOp::Get))] {
        let mut refused = 0;
        for number in 0..10 {
            let number = if object == 1 { 3 + number } else { 0 };
            let acked_gap = if object == 1 { u16::try_from(number).unwrap() } else { 0 };
            let header = Header { number, acked_gap, ..header(object) };
            let statuses = chain.request(1, DAY, header, &op);
            refused += usize::from(statuses == [Status::Busy]);
        }
        assert_eq!(refused, 7, "{op:?}");
        assert!(chain.replica(1).bytes() < 40 * 1024 * 1024);
        chain.deliver_all(1, 2);
        let fine = [Status::Ok; 3];
        assert!(chain.statuses(1).ends_with(&fine), "{op:?}");
    }
    assert!(chain.replica(1).replies.memory() < 128 * 1024);
}

/// The head passes over a request whose connection has ended, and the next head passes over all that
/// waited at the one before.
#[test]
fn waits_without_a_connection_are_detached_by_the_head() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    let header = |session| Header {
        session,
        object: ObjectId(1),
        deadline_ms: 60_000,
        ..Header::new(FrameKind::Request)
    };
    let ask = |chain: &mut TestChain, number, session, op: &Op<'_>| {
        let header = Header { number: 1, acked_gap: 1, ..header(session) };
        let mut statuses = chain.request(number, DAY, header, op);
        chain.deliver_all(1, 2);
        statuses.extend(chain.statuses(number));
        statuses
    };
    for session in 1..=3 {
        let open = SessionOp::Open { born_us: DAY.0, nonce: 1, ttl_ms: 0 };
        ask(&mut chain, 1, session, &Op::Session(open));
    }
    assert_eq!(ask(&mut chain, 1, 1, &Op::List(ListOp::PopFrontWait)), []);
    let (id, entries) = (node(1), chain.replica(1).applied());
    let (head, out) = (chain.replicas.get_mut(&id).unwrap(), chain.out.get_mut(&id).unwrap());
    assert_ne!(head.next_due(), Some(Time(0)));
    head.on_disconnect(DAY, ConnId(1), out);
    assert_eq!(head.applied(), entries + 1, "it is in the log");
    chain.deliver_all(1, 2);
    assert_eq!(ask(&mut chain, 1, 2, &Op::List(ListOp::PushBack { bytes: b"1" })), [Status::Ok]);
    // The retry takes what is there.
    assert_eq!(ask(&mut chain, 1, 1, &Op::List(ListOp::PopFrontWait)), [Status::Ok]);
    assert_eq!(ask(&mut chain, 1, 3, &Op::List(ListOp::PopFrontWait)), []);
    assert_eq!(chain.replica(2).shard().digest(), chain.replica(1).shard().digest());

    chain.start_epoch(2, &[2]);
    let id = node(2);
    let (head, out) = (chain.replicas.get_mut(&id).unwrap(), chain.out.get_mut(&id).unwrap());
    assert_eq!(head.next_due(), Some(Time(0)), "the new head has no connection to it");
    head.on_time(DAY, out);
    assert_ne!(head.next_due(), Some(Time(0)));
    chain.deliver_all(2, 2);
    let header = Header { number: 2, acked_gap: 1, ..header(2) };
    let pushed = chain.request(2, DAY, header, &Op::List(ListOp::PushBack { bytes: b"2" }));
    assert_eq!(pushed, [Status::Ok]);
    assert_eq!(chain.replica(2).shard().census().waiters, 1);
    let due = chain.replica(2).next_due().unwrap();
    let (head, out) = (chain.replicas.get_mut(&id).unwrap(), chain.out.get_mut(&id).unwrap());
    head.on_time(due, out);
    assert_eq!(head.shard().census().waiters, 0, "it is forgotten");
}

/// A client that repeats an acknowledged update must not be told that it was refused.
#[test]
fn a_repeated_request_gets_its_reply_although_members_are_missing() {
    let mut chain = TestChain::new(1);
    assert_eq!(chain.add_one(1, 7, 1), [Status::Ok, Status::Ok]);
    let few = Assignment { epoch: 2, writable: false, ..chain.replica(1).assignment().clone() };
    chain.assign(1, few);
    let header = Header { session: 7, object: ObjectId(1), ..Header::new(FrameKind::Request) };
    let add = Op::Counter(CounterOp::Add { delta: 1 });
    for (number, expected) in [(1, Status::Ok), (2, Status::UnderReplicated)] {
        let header = Header { number, acked_gap: 1, ..header };
        assert_eq!(chain.request(1, DAY, header, &add), [expected], "{number}");
    }
}

/// A new cluster's versions and fencing tokens are above those of a lost one.
#[test]
fn an_empty_shard_begins_at_the_base_of_the_record() {
    let mut chain = TestChain::new(0);
    chain.add(1, Assignment::default());
    let assignment = Assignment {
        epoch: 7,
        member: true,
        active: true,
        writable: true,
        base: Seq(5_000),
        ..Assignment::default()
    };
    chain.assign(1, assignment.clone());
    assert_eq!(chain.add_one(1, 7, 1), [Status::Ok, Status::Ok]);
    assert_eq!(chain.replica(1).shard().seq(), Seq(5_002));
    // Only an empty shard begins there.
    chain.assign(1, Assignment { epoch: 8, base: Seq(9_000), ..assignment });
    assert_eq!(chain.replica(1).shard().seq(), Seq(5_002));
    assert_eq!(chain.replica(1).shard().updates(), 2);
}

#[test]
fn a_request_may_name_the_epoch() {
    let mut chain = TestChain::new(2);
    chain.start_epoch(5, &[1, 2]);
    chain.deliver_all(1, 2);
    let header = Header { session: 7, epoch: 5, ..Header::new(FrameKind::Request) };
    let open = Op::Session(SessionOp::Open { born_us: DAY.0, nonce: 1, ttl_ms: 0 });
    assert_eq!(chain.request(1, DAY, header, &open), []);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok]);
    let header = Header { epoch: 4, ..header };
    assert_eq!(chain.request(1, DAY, header, &open), [Status::WrongEpoch]);
    // It is the only member now.
    chain.start_epoch(6, &[1]);
    let header = Header { epoch: 5, ..header };
    assert_eq!(chain.request(1, DAY, header, &open), [Status::WrongEpoch]);
    let header = Header { epoch: 6, ..header };
    assert_eq!(chain.request(1, DAY, header, &open), [Status::Ok]);
}

/// Time is the head's: a read at a node whose clock is ahead must not make its next entry one from
/// the past.
#[test]
fn a_read_does_not_advance_time() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    chain.add_one(1, 7, 1);
    chain.deliver_all(1, 2);
    let get = Op::Counter(CounterOp::Get);
    let header = Header { object: ObjectId(1), ..Header::new(FrameKind::Request) };
    assert_eq!(chain.request(2, DAY.plus_ms(60_000), header, &get), [Status::Ok]);
    chain.add_one(1, 7, 2);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok; 2]);
    assert_eq!(chain.out[&node(2)].reports, []);
}

/// An update that is refused has only read. Without a lease it must not be refused either, because
/// the state may be stale.
#[test]
fn without_a_lease_the_state_refuses_nothing() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    let assignment = Assignment { lease: Some(Time(500)), ..chain.replica(1).assignment().clone() };
    chain.assign(1, assignment);
    let header =
        Header { session: 9, number: 1, object: ObjectId(1), ..Header::new(FrameKind::Request) };
    let add = Op::Counter(CounterOp::Add { delta: 1 });
    assert_eq!(chain.request(1, DAY, header, &add), [Status::Busy]);
    let assignment =
        Assignment { lease: Some(Time(2_000)), ..chain.replica(1).assignment().clone() };
    chain.assign(1, assignment);
    assert_eq!(chain.request(1, DAY, header, &add), [Status::SessionUnknown]);
}

/// The state of an empty shard has to be transferred and acknowledged, too.
#[test]
fn a_learner_of_an_empty_shard_has_to_acknowledge_its_state() {
    let mut chain = TestChain::new(1);
    chain.add(2, Assignment::default());
    chain.replicas.get_mut(&node(1)).unwrap().start_transfer(node(2));
    assert!(!chain.replica(1).is_synced(node(2)));
}

/// A learner whose link comes up only after the transfer was started has missed nothing.
#[test]
fn a_new_link_does_not_stop_a_transfer_that_has_not_begun() {
    let mut chain = TestChain::new(1);
    chain.add(2, Assignment::default());
    let learner = Assignment { epoch: 1, predecessor: Some(node(1)), ..Assignment::default() };
    chain.assign(2, learner);
    chain.add_one(1, 7, 1);
    chain.replicas.get_mut(&node(1)).unwrap().start_transfer(node(2));
    chain.link(1, 2);
    chain.deliver_all(1, 2);
    assert!(chain.replica(1).is_synced(node(2)));
    assert_eq!(chain.replica(2).shard().digest(), chain.replica(1).shard().digest());
}

/// Only so much is put on a link at once; the shard has to be flushed again when the link has
/// drained. That holds for the state and for the entries after it.
#[test]
fn a_transfer_continues_when_its_link_has_drained() {
    let mut chain = TestChain::new(1);
    chain.add(2, Assignment::default());
    let learner = Assignment { epoch: 1, predecessor: Some(node(1)), ..Assignment::default() };
    chain.assign(2, learner);
    for session in 7..30 {
        chain.add_one(1, session, 1);
    }
    let source = chain.replicas.remove(&node(1)).unwrap();
    let limits =
        TransferLimits { piece_bytes: 16, backlog_bytes: 100, steps: 1, ..Default::default() };
    chain.replicas.insert(node(1), source.with_transfer_limits(limits));
    chain.replicas.get_mut(&node(1)).unwrap().start_transfer(node(2));
    for request in 2..5 {
        chain.add_one(1, 7, request);
    }
    let mut rounds = 0;
    while chain.replica(1).waits_for_room(node(2)) {
        assert!(chain.deliver(1, 2) <= 2, "a frame of 80 bytes leaves room for another");
        rounds += 1;
    }
    assert!(rounds > 10, "{rounds}");
    chain.deliver(2, 1);
    assert!(chain.replica(1).is_synced(node(2)));
    assert_eq!(chain.replica(2).shard().digest(), chain.replica(1).shard().digest());
    assert!(!chain.replica(1).waits_for_room(node(3)));
}

/// Clients that update faster than a learner applies must not keep it out for ever: what is committed
/// waits for it, and it is caught up with after twice as many entries as it lacked.
#[test]
fn a_learner_catches_up_although_updates_come_faster_than_it_applies_them() {
    for (is_last_phase, lag_bytes, rule) in
        [(true, usize::MAX, ""), (false, 0, ""), (false, usize::MAX, ""), (true, 0, "pace")]
    {
        let mut chain = TestChain::new(1);
        let rules = Rules::without(rule).unwrap_or_default();
        chain.add(2, Assignment::default());
        let learner = Assignment { epoch: 1, predecessor: Some(node(1)), ..Assignment::default() };
        chain.assign(2, learner);
        let source = chain.replicas.remove(&node(1)).unwrap();
        let limits = TransferLimits { backlog_bytes: 8 * 1024, lag_bytes, ..Default::default() };
        chain.replicas.insert(node(1), Replica { rules, ..source.with_transfer_limits(limits) });
        let (mut next, mut answered) = (0, 0);
        let mut add = |chain: &mut TestChain, count: u64| {
            for number in next + 1..=next + count {
                // Refused, it is not repeated here.
                let refused = chain.add_one(1, 7, number).contains(&Status::Busy);
                next = if refused { next } else { number };
            }
        };
        add(&mut chain, 100);
        chain.replicas.get_mut(&node(1)).unwrap().start_transfer(node(2));
        chain.deliver_all(1, 2);
        assert!(chain.replica(1).has_state(node(2)));
        // It lacks much, and takes a frame at a time.
        add(&mut chain, 10_000);
        if is_last_phase {
            chain.replicas.get_mut(&node(1)).unwrap().begin_last_phase(node(2));
        }
        let mut rounds = 0;
        while rounds < 20 || !chain.replica(1).is_nearly_synced(node(2)) && rounds < 2_000 {
            add(&mut chain, 500);
            chain.deliver(1, 2);
            chain.deliver(2, 1);
            answered += chain.statuses(1).len();
            rounds += 1;
        }
        let catches_up = rule.is_empty() && (is_last_phase || lag_bytes == 0);
        assert_eq!(rounds < 2_000, catches_up, "{rounds} {is_last_phase} {lag_bytes} {rule}");
        let is_limited = answered > 1_000 && chain.replica(1).waits_for_learner();
        assert!(!catches_up || is_limited, "{rounds} {answered}");
        // Without a learner nothing waits for it.
        chain.stop_transfer(1);
        let source = chain.replica(1);
        assert!(source.committed() == source.applied() && !source.waits_for_learner());
        assert_eq!(source.uncommitted_bytes, 0);
    }
}

/// What is kept for a slow learner is counted, so that the driver can give up on it.
#[test]
fn what_a_transfer_keeps_is_counted() {
    let mut chain = TestChain::new(1);
    chain.add_one(1, 7, 1);
    assert_eq!(chain.replica(1).transfer_memory(), 0);
    chain.replicas.get_mut(&node(1)).unwrap().start_transfer(node(2));
    let before = chain.replica(1).transfer_memory();
    let header =
        Header { session: 7, object: ObjectId(2), acked_gap: 1, ..Header::new(FrameKind::Request) };
    let bytes = vec![7; 1024 * 1024];
    for number in 2..6 {
        chain.request(
            1,
            DAY,
            Header { number, ..header },
            &Op::Cell(CellOp::Set { bytes: &bytes }),
        );
    }
    let after = chain.replica(1).transfer_memory();
    assert!(after > before + 4 * 1024 * 1024, "{before} to {after}");
    assert!(chain.replica(1).bytes() > after);
    chain.stop_transfer(1);
    assert_eq!(chain.replica(1).transfer_memory(), 0);
}

/// An acknowledgement of an earlier incarnation's transfer does not count.
#[test]
fn an_acknowledgement_before_the_state_does_not_count() {
    let mut chain = TestChain::new(1);
    chain.add(2, Assignment::default());
    chain.add_one(1, 7, 1);
    let (source, out) =
        (chain.replicas.get_mut(&node(1)).unwrap(), chain.out.get_mut(&node(1)).unwrap());
    source.start_transfer(node(2));
    let ack = |index| peer::header(FrameKind::Ack, ShardId(0), 1, index);
    source.on_ack(node(2), &ack(source.applied() - 1), out);
    assert!(!source.is_synced(node(2)) && !source.is_nearly_synced(node(2)));
    source.on_ack(node(2), &ack(source.applied()), out);
    assert!(source.is_synced(node(2)));
}

/// While updates arrive without a pause, a learner never has everything. It need not: no reply
/// depends on what it lacks, and none will before it has it.
#[test]
fn a_learner_is_synced_when_it_has_what_was_acknowledged() {
    let mut chain = TestChain::new(1);
    chain.add(2, Assignment::default());
    let learner = Assignment { epoch: 1, predecessor: Some(node(1)), ..Assignment::default() };
    chain.assign(2, learner);
    chain.add_one(1, 7, 1);
    chain.replicas.get_mut(&node(1)).unwrap().start_transfer(node(2));
    chain.deliver_all(1, 2);
    let gated = Assignment { gate: Some(node(2)), ..chain.replica(1).assignment().clone() };
    chain.assign(1, gated);
    chain.statuses(1);
    assert_eq!(chain.add_one(1, 7, 2), []);
    let source = chain.replica(1);
    assert!(source.applied() > source.committed() && source.is_synced(node(2)));
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok; 2]);
}

/// An acknowledgement of an older epoch does not count in a later one.
#[test]
fn acknowledgements_of_another_epoch_are_ignored() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    chain.add_one(1, 7, 1);
    chain.deliver(1, 2);
    let inactive = Assignment { epoch: 2, active: false, ..chain.replica(1).assignment().clone() };
    chain.assign(1, inactive.clone());
    chain.deliver(2, 1);
    chain.assign(1, Assignment { active: true, ..inactive });
    assert_eq!(chain.statuses(1), []);
    let behind = Assignment { epoch: 2, ..chain.replica(2).assignment().clone() };
    chain.assign(2, behind);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok, Status::Ok]);
}

#[test]
fn op_codes_distinguish_reads() {
    let header = |op: OpCode| Header { op: op.to_wire(), ..Header::new(FrameKind::Request) };
    assert!(is_read(&header(OpCode::CounterGet)));
    assert!(!is_read(&header(OpCode::CounterAdd)));
    assert!(!is_read(&header(OpCode::SessionOpen)));
}

/// Quiescing heads accept no updates, and are quiesced when all members have what they accepted.
#[test]
fn a_head_quiesces() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    assert_eq!(chain.add_one(1, 7, 1), []);
    for number in [1, 2] {
        let quiescing =
            Assignment { quiescing: true, ..chain.replica(number).assignment().clone() };
        chain.assign(number, quiescing);
    }
    assert!(!chain.replica(1).is_quiesced() && chain.replica(2).is_quiesced());
    assert_eq!(chain.add_one(1, 7, 2), [Status::Busy; 2]);
    assert_eq!(chain.replica(1).next_due(), None, "no deadline passes");
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(1), [Status::Ok; 2]);
    assert!(chain.replica(1).is_quiesced());

    // In the other order the log continues.
    chain.start_epoch(2, &[2, 1]);
    chain.deliver_all(1, 2);
    assert_eq!(chain.add_one(2, 7, 2), []);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(2), [Status::Ok; 2]);
    assert_eq!(chain.replica(1).hash(), chain.replica(2).hash());
    assert_eq!(chain.add_one(1, 7, 3), [Status::NotHead; 2]);
}

/// The time of a head advances with every request; that of other replicas only with entries.
#[test]
fn a_former_head_forgets_time_without_entries() {
    let mut chain = TestChain::new(2);
    chain.deliver_all(1, 2);
    chain.add_one(1, 7, 1);
    chain.deliver_all(1, 2);
    chain.statuses(1);
    let header = Header { object: ObjectId(1), ..Header::new(FrameKind::Request) };
    let later = Time(DAY.0 + 1_000_000);
    assert_eq!(chain.request(1, later, header, &Op::Counter(CounterOp::Get)), [Status::Ok]);
    chain.start_epoch(2, &[2, 1]);
    chain.deliver_all(1, 2);
    chain.add_one(2, 7, 2);
    chain.deliver_all(1, 2);
    assert_eq!(chain.statuses(2), [Status::Ok; 2]);
    assert!(chain.out.values().all(|out| out.reports.is_empty()));
}

/// A replica that computes something else is found once a minute, and after so many entries.
#[test]
fn neighbours_compare_what_they_have_come_to() {
    let minute = |count: u64| Time(DAY.0 + count * 60_000_000);
    let add = Op::Counter(CounterOp::Add { delta: 1 });
    for is_wrong in [false, true] {
        let mut chain = TestChain::new(2);
        chain.deliver_all(1, 2);
        chain.add_one(1, 7, 1);
        chain.deliver_all(1, 2);
        let mut header =
            Header { session: 7, object: ObjectId(1), ..Header::new(FrameKind::Request) };
        header.acked_gap = 1;
        if is_wrong {
            // An update that no log has.
            let header = Header { number: 2, op: add.code().to_wire(), ..header };
            let mut bytes = Vec::new();
            frame::write(&mut bytes, &header, |out| add.encode(out)).unwrap();
            let bytes = aligned(&bytes);
            let Ok(Next::Frame(frame)) = frame::next(&bytes, FRAME_BYTES_MAX) else { panic!() };
            let moment = Moment { now: DAY, memory_bytes_max: u64::MAX };
            let shard = &mut chain.replicas.get_mut(&node(2)).unwrap().shard;
            assert!(shard.on_request(moment, ConnId(1), &frame, &mut TestOutbox::default()));
        }
        chain.request(1, DAY, Header { number: 3, ..header }, &add);
        chain.deliver_all(1, 2);
        assert_eq!(chain.out[&node(1)].reports, [], "nothing is compared in between");
        chain.request(1, minute(1), Header { number: 4, ..header }, &add);
        chain.deliver_all(1, 2);
        let expected = if is_wrong { vec![ReplicaReport::Differs(node(2))] } else { vec![] };
        assert_eq!(chain.out[&node(1)].reports, expected);
    }
}
