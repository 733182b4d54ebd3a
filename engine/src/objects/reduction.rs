//! The all-reduce step: parties contribute, all get the result, round after round.

use catena_protocol::limits::MISSING_NAMED_MAX;
use catena_protocol::op::{ReduceOp, ReductionOp};
use catena_protocol::{Elements, Fault, Missing, Refusal, Reply, SeatState, Status};

use super::numbers::Numbers;
use super::round::Progress;
use super::vector::check_size;
use super::{Applied, Description, HoldId, Lost, Turn, WaiterId, check_seat};

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
