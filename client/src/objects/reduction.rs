//! The handle to a reduction, and to one of its seats.

use std::time::Duration;

use catena_protocol::op::{Contribution, Loss, ReduceOp, ReductionOp};
use catena_protocol::{Op, Reply, SeatState};

use super::{Object, handle, number, seats};
use crate::Error;
use crate::element::Element;
use crate::hold::Hold;
use crate::view::{ElementsLocation, RoundView};

handle! {
    /// A vector that several parties reduce together, round by round: an all-reduce in one round
    /// trip.
    ///
    /// A party holds its seat from one contribution to the next; [`Loss`] says what happens to the
    /// others if it does not contribute again in time.
    pub struct Reduction: Reduction { hold: Hold }
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Reduction {
    /// Sets how long a party holds its seat; until the client's deadline unless set.
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Reduction {
        self.hold = hold.into();
        self
    }

    /// Returns seat number `party`, from 0, of `parties`. It counts the rounds, as a worker in a
    /// loop needs. The first round is 0 unless [`Seat::starting_at`] says otherwise.
    pub fn seat(&self, party: u32, parties: u32) -> Seat {
        Seat { reduction: self.clone(), party, parties, round: 0, loss: Loss::Wait }
    }

    /// Contributes to a round, waits until all parties have contributed, and returns the result.
    ///
    /// If a party contributes to the same round again, nothing changes and it gets the same result,
    /// so a restarted worker can repeat its step. If `hold_ms` of the contribution is 0, the seat
    /// is held as set with [`with_hold`](Reduction::with_hold). [`Error::TimedOut`] after
    /// `timeout`, of at most 15 minutes, names the missing seats; the contribution stays.
    /// [`Error::Broken`] if the reduction is broken or reset meanwhile, or by the loss of a party.
    pub fn contribute(
        &self,
        contribution: Contribution<'_>,
        timeout: Duration,
    ) -> Result<RoundView, Error> {
        let hold_ms = match contribution.hold_ms {
            0 => self.requester.hold_ms(self.hold),
            asked => asked,
        };
        let contribution = Contribution { hold_ms, ..contribution };
        self.read(ReductionOp::Contribute(contribution), Some(timeout))
    }

    /// Returns number and result of the last complete round;
    /// [`Status::Absent`](crate::Status::Absent) if there is none.
    pub fn last(&self) -> Result<RoundView, Error> {
        self.read(ReductionOp::Last, None)
    }

    /// Returns the round in progress, and the parties missing in it.
    pub fn state(&self) -> Result<SeatState, Error> {
        self.requester.ask(&self.target, Op::Reduction(ReductionOp::State), None, seats)
    }

    /// Repairs a broken reduction and discards the contributions to the round in progress; waiting
    /// requests fail with [`Error::Broken`]. Returns the round in progress.
    pub fn reset(&self) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Reduction(ReductionOp::Reset), None, number)
    }

    /// Breaks the reduction: waiting and later contributions fail with [`Error::Broken`] and the
    /// reason, until it is reset. Returns the round in progress.
    pub fn break_with(&self, reason: &str) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Reduction(ReductionOp::Break { reason }), None, number)
    }

    fn read(&self, op: ReductionOp<'_>, wait: Option<Duration>) -> Result<RoundView, Error> {
        let op = Op::Reduction(op);
        let (held, (round, place)) =
            self.requester.ask_held(&self.target, op, wait, |held, reply| match reply {
                Reply::Round { round, elements } => {
                    Some((round, ElementsLocation::of(elements, held)))
                }
                _ => None,
            })?;
        Ok(RoundView::new(held, round, place))
    }
}

impl Object for Reduction {
    type Op<'o> = ReductionOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Reduction(op)
    }
}

/// A seat of a reduction that counts the rounds for consecutive contributions.
#[derive(Clone, Debug)]
pub struct Seat {
    reduction: Reduction,
    party: u32,
    parties: u32,
    round: u64,
    loss: Loss,
}

impl Seat {
    /// Continues with this round: for a restarted worker that knows its position.
    #[must_use]
    pub fn starting_at(mut self, round: u64) -> Self {
        self.round = round;
        self
    }

    /// Sets what happens to the others if this party is lost; [`Loss::Wait`] unless set.
    #[must_use]
    pub fn on_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Returns the next round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Contributes to the next round and waits for the others, see [`Reduction::contribute`]. After
    /// an error the next round stays the same.
    ///
    /// # Errors
    ///
    /// Those of [`Reduction::contribute`].
    pub fn contribute<T: Element>(
        &mut self,
        op: ReduceOp,
        elements: &[T],
        timeout: Duration,
    ) -> Result<RoundView, Error> {
        let Seat { party, parties, round, loss, .. } = *self;
        let elements = T::elements(elements);
        let contribution = Contribution { party, parties, round, op, hold_ms: 0, loss, elements };
        let view = self.reduction.contribute(contribution, timeout)?;
        self.round = view.round().saturating_add(1);
        Ok(view)
    }
}
