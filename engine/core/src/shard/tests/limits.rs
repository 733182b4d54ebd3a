//! Tests of a shard's limits. They send too many requests for a [`Trial`], so they drive a single
//! shard.
//!
//! [`Trial`]: crate::shard::fuzz::trial::Trial

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::{
    FRAME_BYTES_MAX, ITEMS_MAX, KEY_BYTES_MAX, PERMITS_MAX, SESSION_WINDOW_MAX,
};
use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, CounterOp, FutureOp, GENERATION_CURRENT, LatchOp, ListOp, LockOp,
    Loss, MapOp, ObjectOp, Permit, SemaphoreOp, SessionOp, SetOp,
};
use catena_protocol::{FrameKind, Header, ItemsBuf, ObjectId, Op, Status};

use crate::config::{
    CLOSED_BYTES, CLOSED_MS, COMPARED_MAX, ENDS_MAX, FILTERED_MAX, SESSIONS_MAX, WAITERS_MAX,
};
use crate::shard::fuzz::trial::{Aligned, SHARD};
use crate::shard::{ConnId, Moment, Outbox, Output, Shard, Time};

#[test]
fn a_shard_has_a_maximum_number_of_sessions() {
    let mut crowd = ClientCrowd::new();
    let most = SESSIONS_MAX as u64;
    (1..=most).for_each(|session| crowd.open(session));
    assert_eq!(crowd.take(), (SESSIONS_MAX, vec![]));
    crowd.open(most + 1);
    assert_eq!(crowd.take(), (0, vec![Status::TooManySessions]));
    // An open session is still found.
    crowd.open(most);
    assert_eq!(crowd.take(), (1, vec![]));
}

/// For all ops that wait.
#[test]
fn an_object_has_a_maximum_number_of_waiters() {
    let arrival = Arrival {
        party: "p",
        parties: 2,
        generation: GENERATION_CURRENT,
        hold_ms: 0,
        loss: Loss::Wait,
    };
    let permit = Permit { permits: 1, count: 1, hold_ms: 0 };
    let none = None::<Op<'_>>;
    let waits = [
        (none, Op::Latch(LatchOp::Wait { parties: 1 })),
        (none, Op::Barrier(BarrierOp::ArriveAndWait(arrival))),
        (none, Op::Future(FutureOp::Get)),
        (none, Op::List(ListOp::PopFrontWait)),
        (none, Op::List(ListOp::Claim { hold_ms: 900_000 })),
        (none, Op::Object(ObjectOp::WaitNewer { version: 0 })),
        (
            Some(Op::Lock(LockOp::TryAcquire { hold_ms: 0 })),
            Op::Lock(LockOp::Acquire { hold_ms: 900_000 }),
        ),
        (
            Some(Op::Semaphore(SemaphoreOp::TryAcquire(permit))),
            Op::Semaphore(SemaphoreOp::Acquire(permit)),
        ),
    ];
    for (first, wait) in waits {
        let mut crowd = ClientCrowd::new();
        let window = u64::from(SESSION_WINDOW_MAX);
        let sessions = WAITERS_MAX as u64 / window;
        let last = sessions + 1;
        crowd.open(last);
        if let Some(first) = first {
            crowd.ask(first, last, 1);
        }
        for session in 1..=sessions {
            crowd.open(session);
            (1..=window).for_each(|number| crowd.ask(wait, session, number));
        }
        let opened = usize::try_from(last).expect("few");
        assert_eq!(crowd.take(), (opened + usize::from(first.is_some()), vec![]), "{wait:?}");
        assert_eq!(crowd.shard.census().waiters, WAITERS_MAX as u64);
        crowd.ask(wait, last, 2);
        assert_eq!(crowd.take(), (0, vec![Status::TooManyWaiters]), "{wait:?}");
        // All waits end in one call.
        crowd.pass(900_000);
        assert_eq!(crowd.take(), (WAITERS_MAX, vec![]), "{wait:?}");
        assert_eq!(crowd.shard.census().waiters, 0);
    }
}

#[test]
fn a_latch_releases_all_its_waiters_in_one_update() {
    let mut crowd = ClientCrowd::new();
    let window = u64::from(SESSION_WINDOW_MAX);
    for session in 1..=WAITERS_MAX as u64 / window {
        crowd.open(session);
        let wait = LatchOp::Wait { parties: 1 };
        (1..=window).for_each(|number| crowd.ask(Op::Latch(wait), session, number));
    }
    crowd.open(1_000);
    crowd.take();
    let count_down = LatchOp::CountDown { party: "p", parties: 1 };
    crowd.ask(Op::Latch(count_down), 1_000, 1);
    assert_eq!(crowd.take(), (WAITERS_MAX + 1, vec![]));
    assert_eq!(crowd.shard.census().waiters, 0);
}

#[test]
fn a_barrier_releases_a_thousand_parties_in_one_update() {
    const PARTIES: u32 = 1_000;
    let mut crowd = ClientCrowd::new();
    for round in 1..=3 {
        for party in 1..=PARTIES {
            let (session, name) = (u64::from(party), format!("party {party}"));
            let arrival = Arrival {
                party: &name,
                parties: PARTIES,
                generation: GENERATION_CURRENT,
                hold_ms: 900_000,
                loss: Loss::Break,
            };
            if round == 1 {
                crowd.open(session);
            }
            if party == PARTIES {
                crowd.take();
                assert_eq!(crowd.shard.census().waiters, u64::from(PARTIES) - 1);
            }
            crowd.ask(Op::Barrier(BarrierOp::ArriveAndWait(arrival)), session, round);
        }
        assert_eq!(crowd.take(), (PARTIES as usize, vec![]), "round {round}");
        assert_eq!(crowd.shard.census().waiters, 0);
    }
}

/// Each grant of an update has its own token, and there are as many tokens as permits.
#[test]
fn all_permits_can_be_granted_in_one_update() {
    let permit = |count, hold_ms| Permit { permits: PERMITS_MAX, count, hold_ms };
    let mut crowd = ClientCrowd::new();
    let window = u64::from(SESSION_WINDOW_MAX);
    crowd.open(1_000);
    crowd.ask(Op::Semaphore(SemaphoreOp::Acquire(permit(PERMITS_MAX, 10))), 1_000, 1);
    for session in 1..=u64::from(PERMITS_MAX) / window {
        crowd.open(session);
        let acquire = SemaphoreOp::Acquire(permit(1, 0));
        (1..=window).for_each(|number| crowd.ask(Op::Semaphore(acquire), session, number));
    }
    crowd.take();
    crowd.pass(10);
    assert_eq!(crowd.take(), (PERMITS_MAX as usize, vec![]));
    assert_eq!(crowd.shard.workspace.holds.len(), PERMITS_MAX as usize);
    // Closing a session returns all its permits in one update.
    for session in 1..=u64::from(PERMITS_MAX) / window {
        crowd.ask(Op::Session(SessionOp::Close), session, 0);
    }
    crowd.pass(1);
    assert_eq!(crowd.shard.workspace.holds.len(), 0);
}

/// A reply that many requests get is in memory once, and counted once.
#[test]
fn a_shared_reply_takes_memory_once() {
    const WAITERS: u64 = 100;
    let mut crowd = ClientCrowd::new();
    for session in 1..=WAITERS {
        crowd.open(session);
        crowd.ask(Op::Future(FutureOp::Get), session, 1);
    }
    crowd.open(WAITERS + 1);
    let bytes = vec![7; 1024 * 1024];
    crowd.ask(Op::Future(FutureOp::Set { bytes: &bytes }), WAITERS + 1, 1);
    let counted = crowd.shard.census().bytes;
    assert!((1 << 20..5 << 20).contains(&counted), "{counted}");
    let restored = crowd.shard.restored(&crowd.shard.snapshot()).unwrap();
    assert_eq!(restored.census().bytes, counted);
    crowd.shard = restored;
    for session in 1..=WAITERS + 1 {
        crowd.ask(Op::Session(SessionOp::Close), session, 0);
    }
    let counted = crowd.shard.census().bytes - crowd.shard.object_bytes;
    assert_eq!(counted, (WAITERS + 1) * CLOSED_BYTES);
}

/// The items of a large object are written in parts, as they were, whatever changes meanwhile.
#[test]
fn a_snapshot_has_large_objects_as_they_were() {
    const MAP: u128 = 1;
    const LIST: u128 = 2;
    const SET: u128 = 3;
    let mut crowd = ClientCrowd::new();
    crowd.open(1);
    let keys = (0..ITEMS_MAX).map(u32::to_le_bytes).collect::<ItemsBuf>();
    let pairs = (0..ITEMS_MAX).map(|item| item.to_le_bytes().repeat(20)).collect::<ItemsBuf>();
    let mut number = 0;
    let mut update_on = |crowd: &mut ClientCrowd, object, op: Op<'_>| {
        number += 1;
        crowd.ask_on(object, op, 1, number, 1);
        assert!(crowd.take().1.is_empty());
    };
    for steps in 0..160 {
        update_on(&mut crowd, MAP, Op::Map(MapOp::PutAll { items: pairs.items() }));
        update_on(&mut crowd, LIST, Op::List(ListOp::Extend { items: pairs.items() }));
        update_on(&mut crowd, SET, Op::Set(SetOp::AddAll { items: keys.items() }));
        let before = crowd.shard.digest();
        crowd.shard.begin_snapshot();
        crowd.shard.continue_snapshot(steps, usize::MAX);
        match steps % 3 {
            0 => {
                update_on(&mut crowd, MAP, Op::Map(MapOp::Clear));
                update_on(&mut crowd, LIST, Op::List(ListOp::PopFront));
                update_on(&mut crowd, SET, Op::Set(SetOp::Remove { bytes: &7_u32.to_le_bytes() }));
            }
            1 => {
                update_on(&mut crowd, MAP, Op::Map(MapOp::Put { key: b"new", value: b"new" }));
                update_on(&mut crowd, LIST, Op::List(ListOp::Clear));
                update_on(&mut crowd, SET, Op::Set(SetOp::RetainAll { items: keys.items() }));
            }
            _ => {
                for object in [MAP, LIST, SET] {
                    update_on(&mut crowd, object, Op::Object(ObjectOp::Delete));
                }
            }
        }
        crowd.shard.continue_snapshot(1, usize::MAX);
        update_on(&mut crowd, MAP, Op::Map(MapOp::PutAll { items: pairs.items() }));
        crowd.shard.continue_snapshot(usize::MAX, usize::MAX);
        let (bytes, is_over) = crowd.shard.snapshot_bytes().expect("it was begun");
        assert!(is_over);
        let restored = crowd.shard.restored(bytes).expect("it is a snapshot");
        assert_eq!(restored.digest(), before, "changed after {steps} steps");
        crowd.shard.end_snapshot();
        update_on(&mut crowd, LIST, Op::List(ListOp::Clear));
    }
}

/// What a change makes a snapshot keep depends on the change, not on the object.
#[test]
fn a_snapshot_keeps_what_changes_of_a_large_object() {
    const KEPT_MAX: u64 = 8 * 1024;
    let mut crowd = ClientCrowd::new();
    crowd.open(1);
    let pairs = (0..ITEMS_MAX).map(|item| item.to_le_bytes().repeat(20)).collect::<ItemsBuf>();
    crowd.ask(Op::Map(MapOp::PutAll { items: pairs.items() }), 1, 1);
    crowd.ask(Op::List(ListOp::Extend { items: pairs.items() }), 1, 2);
    crowd.ask(Op::Set(SetOp::AddAll { items: pairs.items() }), 1, 3);
    let (key, other) = (1_000_u32.to_le_bytes().repeat(20), b"other");
    let changes = [
        Op::Map(MapOp::Put { key: &key, value: other }),
        Op::Map(MapOp::Put { key: other, value: other }),
        Op::Map(MapOp::Remove { key: &key }),
        Op::List(ListOp::PopFront),
        Op::List(ListOp::PopBack),
        Op::List(ListOp::PushFront { bytes: other }),
        Op::List(ListOp::Set { index: 5_000, bytes: other }),
        Op::List(ListOp::RemoveAt { index: 5_000 }),
        Op::Set(SetOp::Add { bytes: other }),
        Op::Set(SetOp::Remove { bytes: &key }),
    ];
    for (number, change) in (4..).zip(changes) {
        let digest = crowd.shard.digest();
        crowd.shard.begin_snapshot();
        let before = crowd.shard.snapshot_memory();
        crowd.ask_behind(change, 1, number, 1);
        let kept = crowd.shard.snapshot_memory() - before;
        assert!(kept < KEPT_MAX, "{change:?} keeps {kept} bytes");
        crowd.shard.continue_snapshot(usize::MAX, usize::MAX);
        let (bytes, _) = crowd.shard.snapshot_bytes().expect("it was begun");
        let restored = crowd.shard.restored(bytes).expect("it is a snapshot");
        assert_eq!(restored.digest(), digest, "{change:?}");
        crowd.shard.end_snapshot();
    }
    // One that is removed belongs to the snapshot alone until it is written.
    let bytes = crowd.shard.bytes();
    crowd.shard.begin_snapshot();
    crowd.ask_behind(Op::Map(MapOp::Clear), 1, 50, 1);
    let kept = crowd.shard.snapshot_memory();
    assert!(kept > bytes / 5, "{kept} of {bytes} bytes are kept");
    crowd.shard.end_snapshot();
    assert_eq!(crowd.shard.snapshot_memory(), 0);
    assert!(crowd.take().1.is_empty());
}

/// A step writes one large object at most, and many small ones.
#[test]
fn a_step_of_a_snapshot_is_short() {
    const LARGE: usize = 1024 * 1024;
    let mut crowd = ClientCrowd::new();
    crowd.open(1);
    let bytes = vec![7; LARGE];
    for number in 1..=40 {
        crowd.ask_on(number.into(), Op::Cell(CellOp::Set { bytes: &bytes }), 1, number, 1);
    }
    for number in 41..=2_000 {
        crowd.ask_on(number.into(), Op::Cell(CellOp::Set { bytes: &[7; 900] }), 1, number, 1);
    }
    assert_eq!(crowd.take(), (2_001, vec![]));
    let before = crowd.shard.digest();
    crowd.shard.begin_snapshot();
    let (mut written, mut steps) = (Vec::new(), 0);
    loop {
        crowd.shard.continue_snapshot(1, usize::MAX);
        steps += 1;
        let (bytes, is_over) = crowd.shard.snapshot_bytes().expect("it was begun");
        assert!(bytes.len() <= LARGE + 1_000, "{} bytes in step {steps}", bytes.len());
        written.extend_from_slice(bytes);
        let count = bytes.len();
        crowd.shard.take_snapshot_bytes(count);
        if is_over {
            break;
        }
    }
    assert!((64..1_000).contains(&steps), "{steps}");
    crowd.shard.end_snapshot();
    assert_eq!(crowd.shard.restored(&written).expect("it is a snapshot").digest(), before);
}

/// What changes early is counted; what is refused keeps nothing.
#[test]
fn what_a_snapshot_keeps_is_counted() {
    let mut crowd = ClientCrowd::new();
    let bytes = vec![7; 60 * 1024];
    for session in 1..=50 {
        crowd.open(session);
        crowd.ask(Op::Cell(CellOp::Swap { bytes: &bytes }), session, 1);
    }
    crowd.take();
    crowd.shard.begin_snapshot();
    let begun = crowd.shard.snapshot_memory();
    let long = vec![7; KEY_BYTES_MAX + 1];
    for object in 1_000..1_999 {
        crowd.ask_on(object, Op::Map(MapOp::Put { key: &long, value: &[] }), 1, 2, 1);
    }
    let refused = crowd.take().1;
    assert!(
        refused.len() == 999 && refused.iter().all(|it| *it == Status::TooLarge),
        "{refused:?}"
    );
    assert_eq!(crowd.shard.snapshot_memory(), begun, "nothing has changed");
    // The replies that the sessions kept are still to be written.
    for session in 1..=50 {
        crowd.ask_behind(Op::Counter(CounterOp::Add { delta: 1 }), session, 2, 1);
    }
    let kept = crowd.shard.snapshot_memory() - begun;
    assert!(kept > 45 * 60 * 1024, "{kept}");
    crowd.shard.end_snapshot();
    assert_eq!(crowd.shard.snapshot_memory(), 0);
}

/// No request works on more items than a core does in a few milliseconds.
#[test]
fn a_request_looks_at_so_many_items() {
    let too_large = (0, vec![Status::TooLarge]);
    let mut crowd = ClientCrowd::new();
    crowd.open(1);
    let items = |count: u32| (0..count).map(u32::to_le_bytes).collect::<ItemsBuf>();
    let (most, more) = (items(ITEMS_MAX), items(ITEMS_MAX + 2));
    crowd.ask(Op::Map(MapOp::PutAll { items: more.items() }), 1, 1);
    assert_eq!(crowd.take(), (1, vec![Status::TooLarge]), "and a session was opened");
    let pages = COMPARED_MAX as u64 / u64::from(ITEMS_MAX) + 1;
    let ask = |crowd: &mut ClientCrowd, op, number| {
        crowd.ask_behind(op, 1, number, 1);
        crowd.take()
    };
    let look = ListOp::IndexOf { from_end: false, bytes: b"x" };
    let few = most.items();
    let one = items(1);
    for number in 1..=pages {
        assert_eq!(ask(&mut crowd, Op::List(ListOp::Extend { items: few }), number), (1, vec![]));
        let len = number * u64::from(ITEMS_MAX);
        let expected = |limit: usize| match len <= limit as u64 {
            true => (1, vec![]),
            false => too_large.clone(),
        };
        assert_eq!(ask(&mut crowd, Op::List(look), 0), expected(COMPARED_MAX));
        let contains = ListOp::ContainsAll { items: one.items() };
        assert_eq!(ask(&mut crowd, Op::List(contains), 0), expected(FILTERED_MAX));
    }
    for op in [
        ListOp::RemoveValue { bytes: b"x" },
        ListOp::RemoveAll { items: one.items() },
        ListOp::RetainAll { items: one.items() },
    ] {
        assert_eq!(ask(&mut crowd, Op::List(op), pages + 1), too_large, "{op:?}");
    }
}

/// Clients that open a session, use it and close it do not take the place of others.
#[test]
fn closed_sessions_take_no_place() {
    let mut crowd = ClientCrowd::new();
    for session in 1..=200_000 {
        crowd.open(session);
        crowd.ask(Op::Session(SessionOp::Close), session, 0);
    }
    assert_eq!(crowd.take(), (400_000, Vec::new()));
    let bytes = crowd.shard.census().bytes;
    assert!(bytes <= 200_000 * CLOSED_BYTES, "{bytes}");
    crowd.open(7);
    assert_eq!(crowd.take(), (0, vec![Status::SessionUnknown]));
    crowd.pass(u64::from(CLOSED_MS) + 1_000);
    assert_eq!(crowd.shard.census().bytes, 0);
    crowd.open(7);
    assert_eq!(crowd.take(), (1, Vec::new()));
}

/// What ends at once, ends in slices.
#[test]
fn requests_come_between_the_ends_of_many() {
    let mut crowd = ClientCrowd::new();
    for session in 1..=10_000 {
        let open = SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 1_000 };
        crowd.ask(Op::Session(open), session, 0);
    }
    crowd.now = Time(1_000_000);
    let mut sessions = vec![];
    while crowd.shard.next_due().is_some_and(|due| due <= crowd.now) {
        crowd.shard.on_time(crowd.now, &mut crowd.answers);
        sessions.push(crowd.shard.census().sessions);
    }
    assert_eq!(sessions.len(), 10_000_usize.div_ceil(ENDS_MAX));
    assert_eq!((sessions[0], sessions.last()), (10_000 - ENDS_MAX as u64, Some(&0)));
}

/// Sessions that are not closed expire, with everything they have.
#[test]
fn a_hundred_thousand_expired_sessions_leave_nothing() {
    const BATCH: u64 = 50_000;
    const TTL_MS: u32 = 1_000;
    let bytes = [7; 1_000];
    let mut crowd = ClientCrowd::new();
    crowd.open(u64::MAX);
    crowd.ask(Op::Cell(CellOp::Set { bytes: &bytes }), u64::MAX, 1);
    let permit = Permit { permits: PERMITS_MAX, count: 1, hold_ms: 0 };
    let mut before = None;
    for batch in 0..2 {
        for session in batch * BATCH + 1..=(batch + 1) * BATCH {
            let born_us = crowd.now.0;
            let open = SessionOp::Open { born_us, nonce: 0, ttl_ms: TTL_MS };
            crowd.ask(Op::Session(open), session, 0);
            crowd.ask(Op::Semaphore(SemaphoreOp::Acquire(permit)), session, 1);
            crowd.ask(Op::Cell(CellOp::Swap { bytes: &bytes }), session, 2);
            crowd.ask(Op::Future(FutureOp::Get), session, 3);
            crowd.ask(Op::List(ListOp::Claim { hold_ms: 900_000 }), session, 4);
        }
        let census = crowd.shard.census();
        assert_eq!(census.waiters, 2 * BATCH);
        assert_eq!(crowd.shard.workspace.holds.len() as u64, 2 * BATCH);
        // A session, its holds and waits, and a reply of a kilobyte.
        assert!(census.bytes > BATCH * 2_000 && census.bytes < BATCH * 4_000, "{census:?}");
        crowd.pass(u64::from(TTL_MS));
        let census = crowd.shard.census();
        assert_eq!((census.sessions, census.waiters), (1, 0));
        assert_eq!(crowd.shard.workspace.holds.len(), 0);
        crowd.pass(u64::from(CLOSED_MS));
        let census = crowd.shard.census();
        assert_eq!(*before.get_or_insert(census), census, "batch {batch}");
    }
    assert!(before.is_some_and(|census| census.bytes < 4_000), "{before:?}");
}

/// Many clients of one shard; only refusals are distinguished.
struct ClientCrowd {
    shard: Shard,
    now: Time,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    done: usize,
    refused: Vec<Status>,
}

impl Outbox for Answers {
    fn push(&mut self, _: ConnId, _: &Header, output: Output<'_>) {
        match output {
            Output::Refusal(refusal) => self.refused.push(refusal.status()),
            _ => self.done += 1,
        }
    }
}

impl ClientCrowd {
    fn new() -> ClientCrowd {
        ClientCrowd {
            shard: Shard::new(SHARD, 1, alloc::sync::Arc::default()).with_parts_of(1024),
            now: Time(0),
            answers: Answers::default(),
        }
    }

    fn open(&mut self, session: u64) {
        let open = SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 0 };
        self.ask(Op::Session(open), session, 0);
    }

    fn ask(&mut self, op: Op<'_>, session: u64, number: u64) {
        self.ask_behind(op, session, number, u16::try_from(number).expect("in the window"));
    }

    /// Asks as [`ClientCrowd::ask`], and acknowledges the replies up to `acked_gap` before.
    fn ask_behind(&mut self, op: Op<'_>, session: u64, number: u64, acked_gap: u16) {
        self.ask_on(op.kind().to_wire().into(), op, session, number, acked_gap);
    }

    /// Asks as [`ClientCrowd::ask_behind`], of this object.
    fn ask_on(&mut self, object: u128, op: Op<'_>, session: u64, number: u64, acked_gap: u16) {
        let header = Header {
            op: op.code().to_wire(),
            session,
            number,
            acked_gap,
            deadline_ms: 900_000,
            object: ObjectId(object),
            ..Header::new(FrameKind::Request)
        };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &header, |out| op.encode(out)).expect("a small frame");
        let bytes = Aligned::copy_of(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(bytes.bytes(), FRAME_BYTES_MAX) else {
            unreachable!("what was just written is a frame")
        };
        let moment = Moment { now: self.now, memory_bytes_max: 1 << 40 };
        self.shard.on_request(moment, ConnId(0), &frame, &mut self.answers);
    }

    fn pass(&mut self, ms: u64) {
        self.now = Time(self.now.0 + ms * 1_000);
        while self.shard.next_due().is_some_and(|due| due <= self.now) {
            self.shard.on_time(self.now, &mut self.answers);
        }
    }

    /// Returns the number of results since the last call, and the statuses of the refusals.
    fn take(&mut self) -> (usize, Vec<Status>) {
        let Answers { done, refused } = core::mem::take(&mut self.answers);
        (done, refused)
    }
}
