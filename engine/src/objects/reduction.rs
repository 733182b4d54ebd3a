//! The all-reduce step: parties contribute, all get the result, round after round.
//!
//! Integers, minima and maxima are folded as they arrive. Float sums are folded in party order, so
//! that the result does not depend on who came first: a contribution that is ahead of its turn is
//! kept until the ones before it have come.

use std::collections::{BTreeMap, BTreeSet};

use catena_protocol::limits::MISSING_NAMED_MAX;
use catena_protocol::op::{Contribution, ReduceOp, ReductionOp};
use catena_protocol::{Elements, Fault, Missing, Refusal, Reply, SeatState, Status};

use super::numbers::Numbers;
use super::vector::check_size;
use super::{
    Applied, Description, HoldId, Lost, Turn, WAITER_BYTES, WaiterId, check_seat, check_waiters,
};

/// The last round there can be.
const ROUND_MAX: u64 = u64::MAX - 1;

/// A reduction: the round in progress and the result of the one before it.
#[derive(Debug, Default)]
pub(crate) struct Reduction {
    /// The round in progress, or the next one.
    round: u64,
    /// What came in for it; `None` before the first contribution of a round.
    progress: Option<Progress>,
    /// The result of the round before.
    last: Option<Numbers>,
}

/// A round in progress.
#[derive(Debug)]
struct Progress {
    parties: u32,
    op: ReduceOp,
    /// Who has come, a bit a seat.
    arrived: Vec<u64>,
    arrived_count: u32,
    /// All that was folded so far.
    folded: Option<Numbers>,
    /// The seat whose turn it is when floats are summed.
    turn: u32,
    /// Contributions ahead of their turn, by seat.
    early: BTreeMap<u32, Numbers>,
    /// Heap that these take, in bytes.
    early_bytes: u64,
    waiters: BTreeSet<WaiterId>,
}

impl Reduction {
    pub(super) fn read(&self, op: &ReductionOp<'_>) -> Result<Reply<'_>, Refusal> {
        match op {
            ReductionOp::Last => match &self.last {
                Some(last) => Ok(self.last_round(last)),
                None => Err(Fault::new(Status::Absent).into()),
            },
            ReductionOp::State => Ok(Reply::Seats(self.state())),
            _ => unreachable!("{op:?} is no read"),
        }
    }

    pub(super) fn check(&self, op: &ReductionOp<'_>) -> Result<(), Refusal> {
        let ReductionOp::Contribute(part) = op else { unreachable!("{op:?} is a read") };
        check_seat(None, part.parties)?;
        check_size(part.elements)?;
        if part.party >= part.parties {
            let (expected, got) = (part.parties.into(), part.party.into());
            return Err(Fault::expected(Status::OutOfRange, expected, got).into());
        }
        // The round after the last one has to have a number.
        if part.round > ROUND_MAX {
            return Err(Fault::expected(Status::BadArgument, ROUND_MAX, part.round).into());
        }
        if part.op == ReduceOp::Mean && matches!(part.elements, Elements::I64(_)) {
            return Err(Fault::new(Status::BadArgument).into());
        }
        if self.is_fresh() || self.is_last(part.round) {
            return Ok(());
        }
        if part.round != self.round {
            return Err(Fault::expected(Status::WrongRound, self.round, part.round).into());
        }
        match &self.progress {
            Some(progress) => Ok(progress.check(part)?),
            None => Ok(()),
        }
    }

    pub(super) fn apply(&mut self, op: &ReductionOp<'_>, turn: &mut Turn<'_>) -> Applied {
        let ReductionOp::Contribute(part) = op else { unreachable!("{op:?} is a read") };
        if self.is_fresh() {
            self.round = part.round;
        } else if self.is_last(part.round) {
            let last = self.last.as_ref().expect("the last round is there");
            return turn.done(&self.last_round(last));
        }
        let progress = self.progress.get_or_insert_with(|| Progress::new(part));
        if progress.take_seat(part.party) {
            progress.fold(part);
        }
        if progress.arrived_count < progress.parties {
            progress.waiters.insert(turn.waiter);
            return Applied::Parked;
        }
        let progress = self.progress.take().expect("was just there");
        let (result, waiters) = progress.finish();
        // Encoded once; every party gets the same bytes.
        let elements = result.elements();
        let answer = turn.answer(&Reply::Round { round: self.round, elements });
        turn.release(waiters, &answer);
        self.last = Some(result);
        self.round += 1;
        Applied::Done(answer)
    }

    /// Forgets a waiter; what it contributed stays.
    pub(super) fn cancel(&mut self, waiter: WaiterId) -> Missing {
        let Some(progress) = &mut self.progress else {
            unreachable!("{waiter:?} waits in a round")
        };
        progress.waiters.remove(&waiter);
        let state = self.state();
        Missing { arrived: state.arrived, parties: state.parties, names: state.missing }
    }

    pub(super) fn describe(&self) -> Description {
        let SeatState { round, arrived, parties, missing, .. } = self.state();
        let detail = format!("round {round}, {arrived} of {parties} parties");
        Description { detail, missing, held: Vec::new() }
    }

    pub(super) fn lose(&mut self, _hold: HoldId, _why: Lost, _turn: &mut Turn<'_>) {}

    pub(super) fn holds(&self) -> Vec<HoldId> {
        Vec::new()
    }

    pub(super) fn waiters(&self) -> Vec<WaiterId> {
        self.progress
            .as_ref()
            .map_or_else(Vec::new, |progress| progress.waiters.iter().copied().collect())
    }

    pub(super) fn bytes(&self) -> u64 {
        let last = self.last.as_ref().map_or(0, Numbers::bytes);
        size_of::<Reduction>() as u64 + last + self.progress.as_ref().map_or(0, Progress::bytes)
    }

    /// Whether nobody ever contributed, so that the first may choose the round.
    fn is_fresh(&self) -> bool {
        self.last.is_none() && self.progress.is_none()
    }

    fn is_last(&self, round: u64) -> bool {
        self.last.is_some() && round.checked_add(1) == Some(self.round)
    }

    fn last_round<'a>(&self, last: &'a Numbers) -> Reply<'a> {
        Reply::Round { round: self.round - 1, elements: last.elements() }
    }

    fn state(&self) -> SeatState {
        let Some(progress) = &self.progress else {
            return SeatState { round: self.round, ..SeatState::default() };
        };
        let missing = progress.missing().take(MISSING_NAMED_MAX).map(|seat| seat.to_string());
        let missing = missing.collect();
        SeatState {
            round: self.round,
            arrived: progress.arrived_count,
            parties: progress.parties,
            waiting: u32::try_from(progress.waiters.len()).expect("waiters are bounded"),
            missing,
        }
    }
}

impl Progress {
    fn new(part: &Contribution<'_>) -> Progress {
        Progress {
            parties: part.parties,
            op: part.op,
            arrived: vec![0; part.parties.div_ceil(64) as usize],
            arrived_count: 0,
            folded: None,
            turn: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
            waiters: BTreeSet::new(),
        }
    }

    /// Refuses a contribution that does not fit the ones before it.
    fn check(&self, part: &Contribution<'_>) -> Result<(), Fault> {
        if part.parties != self.parties {
            let (expected, got) = (self.parties.into(), part.parties.into());
            return Err(Fault::expected(Status::Mismatch, expected, got));
        }
        if part.op != self.op {
            let (expected, got) = (self.op.to_wire().into(), part.op.to_wire().into());
            return Err(Fault::expected(Status::Mismatch, expected, got));
        }
        check_waiters(self.waiters.len())?;
        let like = self.folded.as_ref().or(self.early.values().next());
        match like {
            Some(folded) if self.op == ReduceOp::Sum && !self.has_arrived(part.party) => {
                folded.check_like(part.elements).and_then(|()| folded.check_add(0, part.elements))
            }
            Some(folded) => folded.check_like(part.elements),
            None => Ok(()),
        }
    }

    /// Marks a seat taken; false if it was already.
    fn take_seat(&mut self, party: u32) -> bool {
        if self.has_arrived(party) {
            return false;
        }
        self.arrived[(party / 64) as usize] |= 1 << (party % 64);
        self.arrived_count += 1;
        true
    }

    fn has_arrived(&self, party: u32) -> bool {
        self.arrived[(party / 64) as usize] & (1 << (party % 64)) != 0
    }

    /// The seats that are free, in order. Skips full words: many waits may end at once, and each
    /// asks.
    fn missing(&self) -> impl Iterator<Item = u32> {
        let words = self.arrived.iter().zip((0..).step_by(64));
        words
            .filter(|(word, _)| **word != u64::MAX)
            .flat_map(|(word, first)| {
                (0..64).filter(move |bit| word & (1 << bit) == 0).map(move |bit| first + bit)
            })
            .take_while(|seat| *seat < self.parties)
    }

    fn fold(&mut self, part: &Contribution<'_>) {
        let ordered = match part.op {
            ReduceOp::Mean => true,
            ReduceOp::Sum => !matches!(part.elements, Elements::I64(_)),
            ReduceOp::Min | ReduceOp::Max => false,
        };
        if !ordered {
            return self.combine(part.elements);
        }
        if part.party != self.turn {
            let numbers = Numbers::of(part.elements);
            self.early_bytes += numbers.bytes();
            self.early.insert(part.party, numbers);
            return;
        }
        self.combine(part.elements);
        self.turn += 1;
        while let Some(next) = self.early.remove(&self.turn) {
            self.early_bytes -= next.bytes();
            self.combine(next.elements());
            self.turn += 1;
        }
    }

    fn combine(&mut self, elements: Elements<'_>) {
        match (&mut self.folded, self.op) {
            (None, _) => self.folded = Some(Numbers::of(elements)),
            (Some(folded), ReduceOp::Sum | ReduceOp::Mean) => folded.add(0, elements),
            (Some(folded), ReduceOp::Min) => folded.min(elements),
            (Some(folded), ReduceOp::Max) => folded.max(elements),
        }
    }

    /// The result, and who waits for it.
    fn finish(self) -> (Numbers, BTreeSet<WaiterId>) {
        assert!(self.early.is_empty(), "all seats are taken, so all had their turn");
        assert_eq!(self.early_bytes, 0, "what is gone takes no memory");
        let mut result = self.folded.expect("a complete round has contributions");
        if self.op == ReduceOp::Mean {
            result.divide(self.parties);
        }
        (result, self.waiters)
    }

    fn bytes(&self) -> u64 {
        let folded = self.folded.as_ref().map_or(0, Numbers::bytes);
        folded
            + self.early_bytes
            + (size_of::<Progress>() + self.arrived.len() * 8 + self.waiters.len() * WAITER_BYTES)
                as u64
    }
}
