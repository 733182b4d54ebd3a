//! The handle to a reduction.

use std::time::Duration;

use catena_protocol::op::{Contribution, ReductionOp};
use catena_protocol::{Op, Reply, SeatState};

use super::{Object, handle, seats};
use crate::Error;
use crate::view::{ElementsPlace, RoundView};

handle! {
    /// A vector that several parties reduce together, round by round: the all-reduce step, in one
    /// round trip.
    pub struct Reduction: Reduction
}

/// All methods fail with [`Error`].
impl<'c> Reduction<'c> {
    /// Contributes to a round, waits until all parties have, answers the result.
    ///
    /// The same party contributing again to the same round changes nothing and gets the result like
    /// the first time, so a worker that was started again repeats its step.
    /// [`Error::TimedOut`] after `timeout`, of at most 15 minutes, names the seats that are missing;
    /// the contribution stays.
    pub fn contribute(
        &self,
        contribution: Contribution<'_>,
        timeout: Duration,
    ) -> Result<RoundView<'c>, Error> {
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
