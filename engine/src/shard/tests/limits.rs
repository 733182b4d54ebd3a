//! What a shard holds at most. Too many requests for a [`Trial`], so a shard stands alone here.
//!
//! [`Trial`]: crate::shard::fuzz::trial::Trial

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::{FRAME_BYTES_MAX, SESSION_WINDOW_MAX};
use catena_protocol::op::{LatchOp, SessionOp};
use catena_protocol::{FrameKind, Header, ObjectId, Op, Status};

use crate::config::{SESSIONS_MAX, WAITERS_MAX};
use crate::shard::fuzz::trial::{Aligned, SHARD};
use crate::shard::{ConnId, Moment, Outbox, Output, Shard, Time};

#[test]
fn a_shard_has_a_largest_number_of_sessions() {
    let mut crowd = Crowd::new();
    let most = SESSIONS_MAX as u64;
    (1..=most).for_each(|session| crowd.open(session));
    assert_eq!(crowd.take(), (SESSIONS_MAX, vec![]));
    crowd.open(most + 1);
    assert_eq!(crowd.take(), (0, vec![Status::TooManySessions]));
    // One that is open is found all the same.
    crowd.open(most);
    assert_eq!(crowd.take(), (1, vec![]));
}

#[test]
fn an_object_has_a_largest_number_of_waiters() {
    let mut crowd = Crowd::new();
    let window = u64::from(SESSION_WINDOW_MAX);
    let sessions = WAITERS_MAX as u64 / window;
    for session in 1..=sessions {
        crowd.open(session);
        (1..=window).for_each(|number| crowd.latch(session, number, WAIT));
    }
    crowd.open(sessions + 1);
    assert_eq!(crowd.take(), (usize::try_from(sessions).expect("few") + 1, vec![]));
    assert_eq!(crowd.shard.census().waiters, WAITERS_MAX as u64);
    crowd.latch(sessions + 1, 1, WAIT);
    assert_eq!(crowd.take(), (0, vec![Status::TooManyWaiters]));
    let count_down = LatchOp::CountDown { party: "p", parties: 1 };
    crowd.latch(sessions + 1, 2, count_down);
    assert_eq!(crowd.take(), (WAITERS_MAX + 1, vec![]));
    assert_eq!(crowd.shard.census().waiters, 0);
}

const WAIT: LatchOp<'_> = LatchOp::Wait { parties: 1 };

/// Many clients of one shard, of whom only the refused are told apart.
struct Crowd {
    shard: Shard,
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

impl Crowd {
    fn new() -> Crowd {
        Crowd {
            shard: Shard::new(SHARD, 1, std::sync::Arc::default()),
            answers: Answers::default(),
        }
    }

    fn open(&mut self, session: u64) {
        let open = SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 0 };
        self.ask(Op::Session(open), session, 0);
    }

    fn latch(&mut self, session: u64, number: u64, op: LatchOp<'_>) {
        self.ask(Op::Latch(op), session, number);
    }

    fn ask(&mut self, op: Op<'_>, session: u64, number: u64) {
        let header = Header {
            op: op.code().to_wire(),
            session,
            number,
            acked_gap: u16::try_from(number).expect("in the window"),
            object: ObjectId(1),
            ..Header::new(FrameKind::Request)
        };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &header, |out| op.encode(out)).expect("a small frame");
        let bytes = Aligned::copy_of(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(bytes.bytes(), FRAME_BYTES_MAX) else {
            unreachable!("what was just written is a frame")
        };
        let moment = Moment { now: Time(0), memory_bytes_max: 1 << 40, core: 0, connections: 1 };
        self.shard.on_request(moment, ConnId(0), &frame, &mut self.answers);
    }

    /// How many were answered since the last look, and what the others were told.
    fn take(&mut self) -> (usize, Vec<Status>) {
        let Answers { done, refused } = std::mem::take(&mut self.answers);
        (done, refused)
    }
}
