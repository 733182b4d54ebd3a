//! All-reduce: parties contribute, all of them get the result, round after round.
//!
//! A party is a number, and its seat is held by the session that works for it. A contribution stays
//! in its round even if its session ends. A held seat makes sure that the party is noticed if it
//! does not contribute to the next round before its deadline.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use catena_protocol::limits::{MISSING_NAMED_MAX, PARTIES_MAX};
use catena_protocol::op::{Contribution, Loss, ReduceOp, ReductionOp};
use catena_protocol::{Elements, Fault, Missing, Refusal, Reply, SeatState, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{Growth, ObjectKind, SharedObject};
use super::numbers::Numbers;
use super::round::Round;
use super::seats::{SeatHolders, SeatSet, SeatTerms};
use super::state::{check, loss};
use super::vector::check_size;
use super::{
    Applied, Description, HoldId, LossCause, StoredReply, Turn, WaiterId, check_loss, check_reason,
    check_seat, count,
};

/// The highest number of a round.
const ROUND_MAX: u64 = u64::MAX - 1;

/// A reduction: the round in progress and the result of the one before it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reduction {
    /// The round in progress, or the next one.
    round: u64,
    /// The contributions to it; `None` before the first one.
    progress: Option<Round>,
    /// The result of the round before.
    last: Option<Numbers>,
    /// The number of parties, and of seats.
    parties: u32,
    /// What happens when a party is lost; set by the first contribution.
    #[serde(with = "loss")]
    loss: Option<Loss>,
    seats: SeatHolders<u32>,
    /// Parties that rounds no longer wait for.
    dropped: SeatSet,
    /// Why the reduction is broken, until a reset.
    broken: Option<Box<str>>,
}

impl ObjectKind for Reduction {
    type Op<'o> = ReductionOp<'o>;

    fn growth(op: &ReductionOp<'_>) -> Growth {
        match op {
            // A reason is short, and must reach the waiting parties even if memory is short.
            ReductionOp::Break { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &ReductionOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            ReductionOp::Last => match &self.last {
                Some(last) => Ok(self.last_round(last)),
                None => Err(Fault::new(Status::Absent).into()),
            },
            ReductionOp::State => Ok(Reply::Seats(self.state())),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &ReductionOp<'_>) -> Result<(), Refusal> {
        match op {
            ReductionOp::Contribute(part) => self.check_part(part),
            ReductionOp::Break { reason } => Ok(check_reason(reason)?),
            ReductionOp::Reset => Ok(()),
            ReductionOp::Last | ReductionOp::State => unreachable!("{op:?} is a read"),
        }
    }

    fn apply(&mut self, op: &ReductionOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match op {
            ReductionOp::Contribute(part) if self.is_last(part.round) => {
                self.come_late(part, turn);
                let last = self.last.as_ref().expect("the last round has a result");
                turn.done(&self.last_round(last))
            }
            ReductionOp::Contribute(part) => self.contribute(part, turn),
            ReductionOp::Reset => {
                self.break_waits("the reduction was reset", turn);
                // All parties are needed again, including dropped ones.
                self.dropped = SeatSet::default();
                self.seats.clear(turn);
                self.broken = None;
                turn.done(&Reply::Number(self.round))
            }
            ReductionOp::Break { reason } => {
                self.break_up(reason, turn);
                turn.done(&Reply::Number(self.round))
            }
            ReductionOp::Last | ReductionOp::State => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        let is_first = self.round == 0 && self.last.is_some();
        check(!is_first, "a reduction has a result before its first round")?;
        check(self.parties <= PARTIES_MAX, "a reduction has too many parties")?;
        self.dropped.complete_restored(self.parties)?;
        self.seats.complete_restored()?;
        let may_sit = |party: &u32| *party < self.parties && !self.dropped.contains(*party);
        check(self.seats.parties().all(may_sit), "a dropped or unknown party has a seat")?;
        if let Some(progress) = &mut self.progress {
            let may_be = self.loss.is_some() && self.round <= ROUND_MAX;
            check(may_be, "a round has no policy, or too high a number")?;
            progress.complete_restored(self.parties, &self.dropped)?;
        }
        Ok(())
    }
}

impl SharedObject for Reduction {
    fn describe(&self) -> Description {
        self.seats.describe(self.state(), self.broken.as_deref(), self.dropped.len().into())
    }

    fn bytes(&self) -> u64 {
        let last = self.last.as_ref().map_or(0, Numbers::bytes);
        let progress = self.progress.as_ref().map_or(0, Round::bytes);
        let reason = self.broken.as_ref().map_or(0, |reason| reason.len());
        let own = (size_of::<Reduction>() + reason) as u64;
        own + last + progress + self.seats.bytes() + self.dropped.bytes()
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.progress
            .as_ref()
            .map_or_else(Vec::new, |progress| progress.waiters.iter().copied().collect())
    }

    fn holds(&self) -> Vec<HoldId> {
        self.seats.holds()
    }

    /// Removes a waiter; its contribution stays.
    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        turn.unchanged();
        let Some(progress) = &mut self.progress else {
            unreachable!("{waiter:?} waits, but no round is in progress")
        };
        progress.waiters.remove(&waiter);
        self.who_is_missing()
    }

    /// Frees a seat, and does what the parties agreed on for this case.
    fn lose(&mut self, hold: HoldId, cause: LossCause, turn: &mut Turn<'_>) {
        let (party, waiter) = self.seats.lose(hold);
        if self.loss == Some(Loss::Break) && cause == LossCause::Expired && self.broken.is_none() {
            return self.break_up(&format!("party {party} is past its deadline"), turn);
        }
        self.time_out(waiter, turn);
        if self.loss == Some(Loss::Drop) {
            self.drop_party(party, turn);
        } else {
            turn.unchanged();
        }
    }
}

impl Reduction {
    fn check_part(&self, part: &Contribution<'_>) -> Result<(), Refusal> {
        check_seat(None, part.parties)?;
        check_size(part.elements)?;
        if part.party >= part.parties {
            let (expected, got) = (part.parties.into(), part.party.into());
            return Err(Fault::expected(Status::OutOfRange, expected, got).into());
        }
        // The round after it must have a number.
        if part.round > ROUND_MAX {
            return Err(Fault::expected(Status::BadArgument, ROUND_MAX, part.round).into());
        }
        if part.op == ReduceOp::Mean && matches!(part.elements, Elements::I64(_)) {
            return Err(Fault::new(Status::BadArgument).into());
        }
        if self.is_last(part.round) {
            return Ok(());
        }
        if !self.is_fresh() && part.round != self.round {
            return Err(Fault::expected(Status::WrongRound, self.round, part.round).into());
        }
        if let Some(reason) = &self.broken {
            return Err(Refusal::Broken(reason.to_string()));
        }
        check_loss(self.loss, part.loss)?;
        match &self.progress {
            Some(progress) => Ok(progress.check(part)?),
            None => Ok(()),
        }
    }

    fn contribute(&mut self, part: &Contribution<'_>, turn: &mut Turn<'_>) -> Applied {
        let Contribution { party, parties, hold_ms, loss, .. } = *part;
        if self.is_fresh() {
            self.round = part.round;
            self.loss = Some(loss);
        }
        if self.parties != parties {
            assert!(self.progress.is_none(), "a round keeps its parties");
            // With another number of parties, all seats are new and not held.
            self.seats.clear(turn);
            self.dropped = SeatSet::default();
            self.parties = parties;
        }
        let progress = self.progress.get_or_insert_with(|| Round::new(part, &self.dropped));
        let is_back = self.dropped.remove(party);
        if !progress.take(part, is_back) {
            turn.unchanged();
        }
        let waits = !progress.is_complete();
        let waiter = waits.then_some(turn.waiter);
        progress.waiters.extend(waiter);
        self.seats.take(&party, SeatTerms { hold_ms, loss }, waiter, turn);
        if waits { Applied::Parked } else { Applied::Done(self.complete(turn)) }
    }

    /// Gives a party that contributes to the last round its seat, because it is expected in this
    /// round.
    fn come_late(&mut self, part: &Contribution<'_>, turn: &mut Turn<'_>) {
        let Contribution { party, parties, hold_ms, loss, .. } = *part;
        let fits = parties == self.parties && Some(loss) == self.loss;
        if !fits || self.broken.is_some() {
            return turn.unchanged();
        }
        self.seats.take(&party, SeatTerms { hold_ms, loss }, None, turn);
        if !self.dropped.remove(party) {
            return turn.unchanged();
        }
        if let Some(progress) = &mut self.progress {
            progress.expect(party);
        }
    }

    /// Ends the round in progress. Returns the reply to all its parties.
    fn complete(&mut self, turn: &mut Turn<'_>) -> StoredReply {
        let progress = self.progress.take().expect("a complete round is in progress");
        let (result, waiters) = progress.finish();
        // Encoded once; every party gets the same bytes.
        let elements = result.elements();
        let answer = turn.store(&Reply::Round { round: self.round, elements });
        turn.release(waiters, &answer);
        self.last = Some(result);
        self.round += 1;
        answer
    }

    fn break_up(&mut self, reason: &str, turn: &mut Turn<'_>) {
        self.break_waits(reason, turn);
        self.broken = Some(reason.into());
    }

    /// Discards the round in progress; requests that wait for it get `Broken`.
    fn break_waits(&mut self, reason: &str, turn: &mut Turn<'_>) {
        if let Some(progress) = self.progress.take() {
            let answer = StoredReply::refusal(&Refusal::Broken(reason.into()));
            turn.release(progress.waiters, &answer);
        }
    }

    /// Ends the wait of a request, if it still waits.
    fn time_out(&mut self, waiter: Option<WaiterId>, turn: &mut Turn<'_>) {
        let Some((progress, waiter)) = self.progress.as_mut().zip(waiter) else { return };
        if progress.waiters.remove(&waiter) {
            let answer = StoredReply::refusal(&Refusal::Timeout(self.who_is_missing()));
            turn.release([waiter], &answer);
        }
    }

    fn drop_party(&mut self, party: u32, turn: &mut Turn<'_>) {
        self.dropped.insert(party);
        let Some(progress) = &mut self.progress else { return };
        progress.drop_party(party);
        if progress.is_complete() {
            self.complete(turn);
        }
    }

    /// Returns whether there was no contribution yet, so that the first one may choose the round.
    fn is_fresh(&self) -> bool {
        self.loss.is_none()
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
        let missing = progress.missing(&self.dropped).take(MISSING_NAMED_MAX);
        SeatState {
            round: self.round,
            arrived: progress.arrived(),
            parties: progress.needed(),
            waiting: count(progress.waiters.len()),
            missing: missing.map(|seat| seat.to_string()).collect(),
        }
    }

    fn who_is_missing(&self) -> Missing {
        let SeatState { arrived, parties, missing: names, .. } = self.state();
        Missing { arrived, parties, names }
    }
}
