//! The handle to a reduction, and to one seat of it.

use std::time::Duration;

use catena_protocol::op::{Contribution, Loss, ReduceOp, ReductionOp};
use catena_protocol::{Op, Reply, SeatState};

use super::{Element, Object, handle, number, seats};
use crate::Error;
use crate::hold::Hold;
use crate::view::{ElementsPlace, RoundView};

handle! {
    /// A vector that several parties reduce together, round by round: the all-reduce step, in one
    /// round trip.
    ///
    /// A party holds its seat from one contribution to the next; [`Loss`] says what becomes of the
    /// others if it does not come again in time.
    pub struct Reduction: Reduction { hold: Hold }
}

/// All methods fail with [`Error`].
impl<'c> Reduction<'c> {
    /// For how long a party holds its seat, instead of until the client's deadline.
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Reduction<'c> {
        self.hold = hold.into();
        self
    }

    /// Seat number `party`, from 0, of `parties`, which keeps count of the rounds: what a worker in a
    /// loop wants. The first round is 0 unless [`Seat::starting_at`] says otherwise.
    pub fn seat(&self, party: u32, parties: u32) -> Seat<'c> {
        Seat { reduction: self.clone(), party, parties, round: 0, loss: Loss::Wait }
    }

    /// Contributes to a round, waits until all parties have, answers the result.
    ///
    /// The same party contributing again to the same round changes nothing and gets the result like
    /// the first time, so a worker that was started again repeats its step. A contribution whose
    /// `hold_ms` is 0 is held as [`with_hold`](Reduction::with_hold) says. [`Error::TimedOut`] after
    /// `timeout`, of at most 15 minutes, names the seats that are missing; the contribution stays.
    /// [`Error::Broken`] if somebody breaks or resets the reduction meanwhile, or a party is lost that
    /// breaks it.
    pub fn contribute(
        &self,
        contribution: Contribution<'_>,
        timeout: Duration,
    ) -> Result<RoundView<'c>, Error> {
        let hold_ms = match contribution.hold_ms {
            0 => self.client.hold_ms(self.hold),
            asked => asked,
        };
        let contribution = Contribution { hold_ms, ..contribution };
        self.read(ReductionOp::Contribute(contribution), Some(timeout))
    }

    /// Number and result of the last complete round; [`Status::Absent`](crate::Status::Absent) if
    /// there is none.
    pub fn last(&self) -> Result<RoundView<'c>, Error> {
        self.read(ReductionOp::Last, None)
    }

    /// The round in progress, and who is missing in it.
    pub fn state(&self) -> Result<SeatState, Error> {
        self.client.ask(&self.target, Op::Reduction(ReductionOp::State), None, seats)
    }

    /// Mends a broken reduction and forgets what was contributed to the round in progress; whoever
    /// waits gets [`Error::Broken`]. Answers the round in progress.
    pub fn reset(&self) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Reduction(ReductionOp::Reset), None, number)
    }

    /// Breaks the reduction: whoever waits or contributes gets [`Error::Broken`] with the reason, until
    /// somebody resets it. Answers the round in progress.
    pub fn break_with(&self, reason: &str) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Reduction(ReductionOp::Break { reason }), None, number)
    }

    fn read(&self, op: ReductionOp<'_>, wait: Option<Duration>) -> Result<RoundView<'c>, Error> {
        let op = Op::Reduction(op);
        let (held, (round, place)) =
            self.client.ask_held(&self.target, op, wait, |held, reply| match reply {
                Reply::Round { round, elements } => {
                    Some((round, ElementsPlace::of(elements, held)))
                }
                _ => None,
            })?;
        Ok(RoundView::new(held, round, place))
    }
}

impl Object for Reduction<'_> {
    type Op<'o> = ReductionOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Reduction(op)
    }
}

/// A seat of a reduction that counts its rounds, so that one contribution follows the other.
#[derive(Clone, Debug)]
pub struct Seat<'c> {
    reduction: Reduction<'c>,
    party: u32,
    parties: u32,
    round: u64,
    loss: Loss,
}

impl<'c> Seat<'c> {
    /// Goes on with a known round: for a worker that was started again and knows where it was.
    #[must_use]
    pub fn starting_at(mut self, round: u64) -> Self {
        self.round = round;
        self
    }

    /// What becomes of the others if this party is lost; [`Loss::Wait`] unless set.
    #[must_use]
    pub fn on_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// The round that comes next.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Contributes to the next round and waits for the others, see [`Reduction::contribute`]. The same
    /// round comes next after an error.
    ///
    /// # Errors
    ///
    /// Those of [`Reduction::contribute`].
    pub fn contribute<T: Element>(
        &mut self,
        op: ReduceOp,
        elements: &[T],
        timeout: Duration,
    ) -> Result<RoundView<'c>, Error> {
        let Seat { party, parties, round, loss, .. } = *self;
        let elements = T::elements(elements);
        let contribution = Contribution { party, parties, round, op, hold_ms: 0, loss, elements };
        let view = self.reduction.contribute(contribution, timeout)?;
        self.round = view.round().saturating_add(1);
        Ok(view)
    }
}
