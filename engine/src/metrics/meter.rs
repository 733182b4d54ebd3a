//! What a core counts of the requests to which it replies, in counters that it alone writes and other
//! threads read.
//!
//! Nothing here allocates, locks, or reads a clock. A turn (one read, the requests in it, and their
//! replies) begins and ends at a time that the core passes, and every request of the turn that gets its
//! reply in it took from one to the other: two readings of the clock, however many requests.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catena_protocol::{Kind, OpCode, Status};

use super::histogram::{Recorder, add};
use super::{Latency, OpCount};
use catena_core::shard::{Answered, Time};

/// The counters of a core.
#[derive(Debug)]
pub(crate) struct Counters {
    /// By op and outcome.
    ops: Box<[[AtomicU64; OUTCOMES]]>,
    /// By kind: of requests that got their reply at once, and of those that waited for an event.
    latency: Box<[[Recorder; 2]]>,
}

/// Ops that are told apart; the last one stands for all that this version does not know.
const OPS: usize = OpCode::ALL.len() + 1;
const KINDS: usize = Kind::ALL.len() + 1;

const UNKNOWN_OP: usize = OPS - 1;
const UNKNOWN_KIND: usize = KINDS - 1;

/// Statuses are indexed by their number on the wire.
const OUTCOMES: usize = 80;

const SLOTS_OF_KIND: usize = 32;

/// The index of each op in [`OpCode::ALL`], by its kind and its number in the kind.
#[allow(clippy::cast_possible_truncation)] // as is asserted
static OP_INDEX: [[u8; SLOTS_OF_KIND]; KINDS] = {
    assert!(OPS <= 1 << u8::BITS);
    let mut index = [[UNKNOWN_OP as u8; SLOTS_OF_KIND]; KINDS];
    let mut i = 0;
    while i < OpCode::ALL.len() {
        let [kind, number] = OpCode::ALL[i].to_wire().to_be_bytes();
        index[kind as usize][number as usize] = i as u8;
        i += 1;
    }
    index
};

const _: () = {
    let mut i = 0;
    while i < Status::ALL.len() {
        assert!((Status::ALL[i].to_wire() as usize) < OUTCOMES);
        i += 1;
    }
    let mut i = 0;
    while i < Kind::ALL.len() {
        assert!(Kind::ALL[i].to_wire() as usize == i, "kinds are numbered without gaps");
        i += 1;
    }
};

/// Returns the index of an op, and that of its kind.
#[inline(always)]
fn indices(op: u16) -> (usize, usize) {
    let [kind, number] = op.to_be_bytes().map(usize::from);
    let index = OP_INDEX.get(kind).and_then(|numbers| numbers.get(number)).copied();
    match index.map(usize::from) {
        Some(index) if index != UNKNOWN_OP => (index, kind),
        _ => (UNKNOWN_OP, UNKNOWN_KIND),
    }
}

impl Counters {
    pub(crate) fn new() -> Counters {
        let zeros = |_| std::array::from_fn(|_| AtomicU64::new(0));
        Counters {
            ops: (0..OPS).map(zeros).collect(),
            latency: (0..KINDS).map(|_| [Recorder::new(), Recorder::new()]).collect(),
        }
    }

    /// Returns the counts that are not 0.
    pub(super) fn ops(&self) -> impl Iterator<Item = OpCount> + '_ {
        self.ops.iter().enumerate().flat_map(|(index, counts)| {
            Status::ALL.iter().filter_map(move |outcome| {
                let count = counts[usize::from(outcome.to_wire())].load(Ordering::Relaxed);
                let op = OpCode::ALL.get(index).copied();
                (count > 0).then_some(OpCount { op, outcome: *outcome, count })
            })
        })
    }

    pub(super) fn latency(&self) -> impl Iterator<Item = Latency> + '_ {
        self.latency.iter().enumerate().flat_map(|(index, recorders)| {
            let kind = Kind::ALL.get(index).copied();
            [false, true].map(|waited| Latency {
                kind,
                waited,
                histogram: recorders[usize::from(waited)].read(),
            })
        })
    }
}

/// Where a core counts.
pub(crate) struct Meter {
    counters: Arc<Counters>,
    /// When the present turn began.
    began: Cell<Time>,
    /// The replies of the turn to its own requests, by kind, and a bit for each kind that has any.
    at_once: [Cell<u64>; KINDS],
    kinds: Cell<u32>,
}

const _: () = assert!(KINDS <= u32::BITS as usize);

impl Meter {
    pub(crate) fn new(counters: Arc<Counters>) -> Meter {
        Meter {
            counters,
            began: Cell::default(),
            at_once: std::array::from_fn(|_| Cell::new(0)),
            kinds: Cell::new(0),
        }
    }

    /// Begins a turn.
    pub(crate) fn begin(&self, now: Time) {
        self.began.set(now);
    }

    /// Returns when the present turn began.
    pub(crate) fn began(&self) -> Time {
        self.began.get()
    }

    /// Counts a request of this turn that gets its reply in it.
    #[inline]
    pub(crate) fn at_once(&self, op: u16, outcome: Status) {
        let (index, kind) = indices(op);
        add(&self.counters.ops[index][usize::from(outcome.to_wire())], 1);
        self.at_once[kind].set(self.at_once[kind].get() + 1);
        self.kinds.set(self.kinds.get() | 1 << kind);
    }

    /// Counts a request of an earlier turn that gets its reply in this one.
    pub(crate) fn late(&self, answered: Answered) {
        let Answered { op, outcome, since, waited } = answered;
        let (index, kind) = indices(op);
        add(&self.counters.ops[index][usize::from(outcome.to_wire())], 1);
        let us = self.began.get().0.saturating_sub(since.0);
        self.counters.latency[kind][usize::from(waited)].record(us, 1);
    }

    /// Ends the turn, when its replies go to the socket. `now` is only called if there are any.
    pub(crate) fn end(&self, now: impl FnOnce() -> Time) {
        let mut kinds = self.kinds.take();
        if kinds == 0 {
            return;
        }
        let us = now().0.saturating_sub(self.began.get().0);
        while kinds != 0 {
            let kind = kinds.trailing_zeros() as usize;
            kinds &= kinds - 1;
            self.counters.latency[kind][0].record(us, self.at_once[kind].take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_has_an_index_of_its_own() {
        for (index, code) in OpCode::ALL.iter().enumerate() {
            assert_eq!(indices(code.to_wire()), (index, usize::from(code.kind().to_wire())));
        }
        for unknown in [0x0000, 0x02FF, 0x021F, 0x1201, 0x2001, u16::MAX] {
            assert_eq!(indices(unknown), (UNKNOWN_OP, UNKNOWN_KIND), "{unknown:#x}");
        }
    }

    #[test]
    fn all_immediate_replies_of_a_turn_have_the_same_latency() {
        let counters = Arc::new(Counters::new());
        let meter = Meter::new(counters.clone());
        let (add, get) = (OpCode::CounterAdd.to_wire(), OpCode::CellGet.to_wire());
        meter.begin(Time(1_000));
        for _ in 0..3 {
            meter.at_once(add, Status::Ok);
        }
        meter.at_once(get, Status::WrongKind);
        let wait = OpCode::BarrierArriveAndWait.to_wire();
        meter.late(Answered { op: wait, outcome: Status::Ok, since: Time(400), waited: true });
        meter.late(Answered { op: add, outcome: Status::Ok, since: Time(990), waited: false });
        meter.end(|| Time(1_005));
        // A turn without replies.
        meter.begin(Time(2_000));
        meter.end(|| unreachable!("there is nothing to time"));

        let count = |op, outcome, count| OpCount { op: Some(op), outcome, count };
        let expected = [
            count(OpCode::CounterAdd, Status::Ok, 4),
            count(OpCode::CellGet, Status::WrongKind, 1),
            count(OpCode::BarrierArriveAndWait, Status::Ok, 1),
        ];
        assert_eq!(counters.ops().collect::<Vec<_>>(), expected);
        let found = |kind, waited| {
            let it = counters.latency().find(|it| it.kind == Some(kind) && it.waited == waited);
            let histogram = it.expect("there is one for each").histogram;
            (histogram.count(), histogram.sum_us())
        };
        assert_eq!(found(Kind::Counter, false), (4, 3 * 5 + 10));
        assert_eq!(found(Kind::Cell, false), (1, 5));
        assert_eq!(found(Kind::Barrier, true), (1, 600));
        assert_eq!(found(Kind::Barrier, false), (0, 0));
    }
}
