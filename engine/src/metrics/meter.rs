//! What a core notes of the requests that it answers: counters that it alone writes, and others read.
//!
//! Nothing here allocates, locks, or reads a clock of its own. A turn (one read, the requests that it
//! brought, their answers) begins and ends at a time that the core says, and everything that the turn answers
//! at once took from one to the other: two readings of the clock, however many requests.

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
    /// By kind, of requests that were answered at once and of those that had to wait.
    latency: Box<[[Recorder; 2]]>,
}

/// Ops that are told apart; the last are all that this version does not know.
const OPS: usize = OpCode::ALL.len() + 1;
const KINDS: usize = Kind::ALL.len() + 1;

const UNKNOWN_OP: usize = OPS - 1;
const UNKNOWN_KIND: usize = KINDS - 1;

/// Statuses as they are on the wire.
const OUTCOMES: usize = 80;

const SLOTS_OF_KIND: usize = 32;

/// The place of each op in [`OpCode::ALL`], by its kind and its number in that.
#[allow(clippy::cast_possible_truncation)] // as is asserted
static PLACES: [[u8; SLOTS_OF_KIND]; KINDS] = {
    assert!(OPS <= 1 << u8::BITS);
    let mut places = [[UNKNOWN_OP as u8; SLOTS_OF_KIND]; KINDS];
    let mut i = 0;
    while i < OpCode::ALL.len() {
        let [kind, number] = OpCode::ALL[i].to_wire().to_be_bytes();
        places[kind as usize][number as usize] = i as u8;
        i += 1;
    }
    places
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

/// The places of an op, and of its kind.
#[inline(always)]
fn places(op: u16) -> (usize, usize) {
    let [kind, number] = op.to_be_bytes().map(usize::from);
    let place = PLACES.get(kind).and_then(|numbers| numbers.get(number)).copied();
    match place.map(usize::from) {
        Some(place) if place != UNKNOWN_OP => (place, kind),
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

    /// What was counted, if anything.
    pub(super) fn ops(&self) -> impl Iterator<Item = OpCount> + '_ {
        self.ops.iter().enumerate().flat_map(|(place, counts)| {
            Status::ALL.iter().filter_map(move |outcome| {
                let count = counts[usize::from(outcome.to_wire())].load(Ordering::Relaxed);
                let op = OpCode::ALL.get(place).copied();
                (count > 0).then_some(OpCount { op, outcome: *outcome, count })
            })
        })
    }

    pub(super) fn latency(&self) -> impl Iterator<Item = Latency> + '_ {
        self.latency.iter().enumerate().flat_map(|(place, recorders)| {
            let kind = Kind::ALL.get(place).copied();
            [false, true].map(|waited| Latency {
                kind,
                waited,
                histogram: recorders[usize::from(waited)].read(),
            })
        })
    }
}

/// A core's end of its counters.
pub(crate) struct Meter {
    counters: Arc<Counters>,
    /// When the turn began.
    began: Cell<Time>,
    /// What it answered at once, by kind, and of which kinds there is any.
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

    /// A turn begins.
    pub(crate) fn begin(&self, now: Time) {
        self.began.set(now);
    }

    /// When the turn began.
    pub(crate) fn began(&self) -> Time {
        self.began.get()
    }

    /// A request of this turn is answered in it.
    #[inline]
    pub(crate) fn at_once(&self, op: u16, outcome: Status) {
        let (place, kind) = places(op);
        add(&self.counters.ops[place][usize::from(outcome.to_wire())], 1);
        self.at_once[kind].set(self.at_once[kind].get() + 1);
        self.kinds.set(self.kinds.get() | 1 << kind);
    }

    /// A request of an earlier turn is answered in this one.
    pub(crate) fn late(&self, answered: Answered) {
        let Answered { op, outcome, since, waited } = answered;
        let (place, kind) = places(op);
        add(&self.counters.ops[place][usize::from(outcome.to_wire())], 1);
        let us = self.began.get().0.saturating_sub(since.0);
        self.counters.latency[kind][usize::from(waited)].record(us, 1);
    }

    /// The turn ends, and its answers go to the socket. `now` is asked only if there are any.
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
    fn every_op_has_a_place_of_its_own() {
        for (place, code) in OpCode::ALL.iter().enumerate() {
            assert_eq!(places(code.to_wire()), (place, usize::from(code.kind().to_wire())));
        }
        for unknown in [0x0000, 0x02FF, 0x021F, 0x1201, 0x2001, u16::MAX] {
            assert_eq!(places(unknown), (UNKNOWN_OP, UNKNOWN_KIND), "{unknown:#x}");
        }
    }

    #[test]
    fn a_turn_takes_as_long_for_all_that_it_answers() {
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
        // Nothing is answered in this one.
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
