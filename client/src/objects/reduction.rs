//! The handle to a reduction, and to one of its seats.

use std::time::Duration;

use catena_protocol::op::{Contribution, Loss, ReduceOp, ReductionOp};
use catena_protocol::{Op, OpCode, Reply, SeatState};

use super::{Object, handle, number, seats};
use crate::Error;
use crate::element::{Element, copy_elements};
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let sums = client.reduction("sums").with_hold(std::time::Duration::from_secs(60));
    /// sums.seat(0, 1).contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Reduction {
        self.hold = hold.into();
        self
    }

    /// Returns seat number `party`, from 0, of `parties`. It counts the rounds, as a worker in a
    /// loop needs. The first round is 0 unless [`Seat::starting_at`] says otherwise.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0, 2.0], seconds)?;
    /// assert_eq!(round.as_f64(), Some(&[1.0, 2.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::{Contribution, Elements, Loss, ReduceOp};
    ///
    /// let contribution = Contribution {
    ///     party: 0,
    ///     parties: 1,
    ///     round: 0,
    ///     op: ReduceOp::Max,
    ///     hold_ms: 0,
    ///     loss: Loss::Wait,
    ///     elements: Elements::I64(&[3]),
    /// };
    /// assert_eq!(client.reduction("sums").contribute(contribution, seconds)?.round(), 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contribute(
        &self,
        contribution: Contribution<'_>,
        timeout: Duration,
    ) -> Result<RoundView, Error> {
        self.read(ReductionOp::Contribute(self.held(contribution)), Some(timeout))
    }

    fn held<'a>(&self, contribution: Contribution<'a>) -> Contribution<'a> {
        match contribution.hold_ms {
            0 => Contribution { hold_ms: self.requester.hold_ms(self.hold), ..contribution },
            _ => contribution,
        }
    }

    /// Returns number and result of the last complete round;
    /// [`Status::Absent`](crate::Status::Absent) if there is none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let sums = client.reduction("sums");
    /// sums.seat(0, 1).contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(sums.last()?.as_f64(), Some(&[1.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn last(&self) -> Result<RoundView, Error> {
        self.read(ReductionOp::Last, None)
    }

    /// As [`Reduction::last`], but copies the result into `out`. Returns the number of the round;
    /// [`Status::Mismatch`](crate::Status::Mismatch) if type or number of the elements differ.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let sums = client.reduction("sums");
    /// sums.seat(0, 1).contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// let mut out = [0.0];
    /// assert_eq!((sums.last_into(&mut out)?, out), (0, [1.0]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn last_into<T: Element>(&self, out: &mut [T]) -> Result<u64, Error> {
        self.copy(ReductionOp::Last, None, out)
    }

    /// Returns the round in progress, and the parties missing in it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let sums = client.reduction("sums");
    /// sums.seat(0, 1).contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(sums.state()?.round, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn state(&self) -> Result<SeatState, Error> {
        self.requester.ask(&self.target, Op::Reduction(ReductionOp::State), None, seats)
    }

    /// Repairs a broken reduction and discards the contributions to the round in progress; waiting
    /// requests fail with [`Error::Broken`]. Returns the round in progress.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let sums = client.reduction("sums");
    /// sums.seat(0, 1).contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(sums.reset()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn reset(&self) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Reduction(ReductionOp::Reset), None, number)
    }

    /// Breaks the reduction: waiting and later contributions fail with [`Error::Broken`] and the
    /// reason, until it is reset. Returns the round in progress.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let sums = client.reduction("sums");
    /// sums.break_with("out of memory")?;
    /// assert!(sums.seat(0, 1).contribute(ReduceOp::Sum, &[1.0], seconds).is_err());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn break_with(&self, reason: &str) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Reduction(ReductionOp::Break { reason }), None, number)
    }

    fn copy<T: Element>(
        &self,
        op: ReductionOp<'_>,
        wait: Option<Duration>,
        out: &mut [T],
    ) -> Result<u64, Error> {
        let op = Op::Reduction(op);
        let copied = self.requester.ask(&self.target, op, wait, |reply| match reply {
            Reply::Round { round, elements } => Some(copy_elements(elements, out).map(|()| round)),
            _ => None,
        })?;
        copied.map_err(|fault| self.target.refused(op, fault))
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let seat = client.reduction("sums").seat(0, 1).starting_at(7);
    /// assert_eq!(seat.round(), 7);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn starting_at(mut self, round: u64) -> Self {
        self.round = round;
        self
    }

    /// Sets what happens to the others if this party is lost; [`Loss::Wait`] unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Loss;
    ///
    /// let seat = client.reduction("sums").seat(0, 1).on_loss(Loss::Break);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn on_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Returns the next round.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.reduction("sums").seat(0, 1).round(), 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Contributes to the next round and waits for the others, see [`Reduction::contribute`]. After
    /// an error the next round stays the same.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// for round in 0..3 {
    ///     assert_eq!(seat.contribute(ReduceOp::Sum, &[1.0], seconds)?.round(), round);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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

    /// As [`Seat::contribute`], but takes the elements from `elements` and puts the result there.
    /// Returns the number of the round.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("gradients").seat(0, 1);
    /// let mut gradient = [0.5, 1.5];
    /// seat.reduce(ReduceOp::Sum, &mut gradient, Duration::from_secs(10))?;
    /// assert_eq!(gradient, [0.5, 1.5]); // the only party
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Reduction::contribute`]; `elements` are unchanged then.
    pub fn reduce<T: Element>(
        &mut self,
        op: ReduceOp,
        elements: &mut [T],
        timeout: Duration,
    ) -> Result<u64, Error> {
        // A result has the shape of the contributions, so it fits.
        let view = self.contribute(op, elements, timeout)?;
        if let Some(slice) = view.as_slice::<T>().filter(|slice| slice.len() == elements.len()) {
            elements.copy_from_slice(slice);
            return Ok(view.round());
        }
        Err(self.reduction.target.garbled(OpCode::ReductionContribute))
    }
}
