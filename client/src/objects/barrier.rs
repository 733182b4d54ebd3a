//! The handle to a barrier, and to one party of it.

use std::time::Duration;

use catena_protocol::op::{Arrival, BarrierOp, GENERATION_CURRENT, Loss};
use catena_protocol::{Op, SeatState, Status};

use super::{Object, handle, number, seats};
use crate::Error;
use crate::hold::Hold;

handle! {
    /// Named parties that wait for one another, generation after generation.
    ///
    /// A party holds its seat from one arrival to the next; [`Loss`] says what becomes of the others if
    /// it does not come again in time.
    pub struct Barrier: Barrier { hold: Hold }
}

/// All methods fail with [`Error`].
impl<'c> Barrier<'c> {
    /// For how long a party holds its seat, instead of until the client's deadline.
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Barrier<'c> {
        self.hold = hold.into();
        self
    }

    /// One party, which keeps count of the generations: what a worker in a loop wants. `parties` is
    /// how many a generation needs, the same for all of them.
    pub fn party(&self, name: &str, parties: u32) -> Party<'c> {
        let (generation, loss) = (GENERATION_CURRENT, Loss::Wait);
        Party { barrier: self.clone(), name: name.into(), parties, generation, loss }
    }

    /// Arrives and waits until all parties have. Answers the generation that was completed.
    ///
    /// Arriving again in the same generation changes nothing and waits like the first time; a past
    /// generation answers at once. An arrival whose `hold_ms` is 0 is held as
    /// [`with_hold`](Barrier::with_hold) says. [`Error::TimedOut`] after `timeout`, of at most 15
    /// minutes, names the parties known to be missing, and takes the arrival back. [`Error::Broken`]
    /// if somebody breaks or resets the barrier meanwhile, or a party is lost that breaks it.
    pub fn arrive_and_wait(&self, arrival: Arrival<'_>, timeout: Duration) -> Result<u64, Error> {
        let op = Op::Barrier(BarrierOp::ArriveAndWait(self.held(arrival)));
        self.client.ask(&self.target, op, Some(timeout), number)
    }

    /// Arrives without waiting. Answers the generation arrived in.
    pub fn arrive(&self, arrival: Arrival<'_>) -> Result<u64, Error> {
        self.ask(BarrierOp::Arrive(self.held(arrival)))
    }

    /// The generation in progress, and who is missing in it.
    pub fn state(&self) -> Result<SeatState, Error> {
        self.client.ask(&self.target, Op::Barrier(BarrierOp::State), None, seats)
    }

    /// Mends a broken barrier and begins a new generation; whoever waits gets [`Error::Broken`].
    /// Answers the new generation.
    pub fn reset(&self) -> Result<u64, Error> {
        self.ask(BarrierOp::Reset)
    }

    /// Breaks the barrier: whoever waits or arrives gets [`Error::Broken`] with the reason, until
    /// somebody resets it. Answers the generation that was broken.
    pub fn break_with(&self, reason: &str) -> Result<u64, Error> {
        self.ask(BarrierOp::Break { reason })
    }

    fn held<'a>(&self, arrival: Arrival<'a>) -> Arrival<'a> {
        match arrival.hold_ms {
            0 => Arrival { hold_ms: self.client.hold_ms(self.hold), ..arrival },
            _ => arrival,
        }
    }

    fn ask(&self, op: BarrierOp<'_>) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Barrier(op), None, number)
    }
}

impl Object for Barrier<'_> {
    type Op<'o> = BarrierOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Barrier(op)
    }
}

/// A party of a barrier that counts its generations, so that one wait follows the other.
#[derive(Clone, Debug)]
pub struct Party<'c> {
    barrier: Barrier<'c>,
    name: Box<str>,
    parties: u32,
    generation: u64,
    loss: Loss,
}

impl Party<'_> {
    /// Goes on with a known generation instead of whichever is in progress: for a worker that was
    /// started again and knows where it was.
    #[must_use]
    pub fn starting_at(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }

    /// What becomes of the others if this party is lost; [`Loss::Wait`] unless set.
    #[must_use]
    pub fn on_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Arrives in the next generation and waits for the others, see [`Barrier::arrive_and_wait`].
    /// Answers the generation that was completed.
    ///
    /// After a timeout, the next call arrives in the same generation again; after the barrier was
    /// broken or deleted, in whichever is then in progress.
    ///
    /// # Errors
    ///
    /// Those of [`Barrier::arrive_and_wait`].
    pub fn wait(&mut self, timeout: Duration) -> Result<u64, Error> {
        let Party { parties, generation, loss, .. } = *self;
        let arrival = Arrival { generation, loss, ..Arrival::new(&self.name, parties) };
        let waited = self.barrier.arrive_and_wait(arrival, timeout);
        match waited.as_ref().map_err(Error::status) {
            Ok(completed) => self.generation = completed.saturating_add(1),
            Err(Some(Status::Broken | Status::Deleted)) => self.generation = GENERATION_CURRENT,
            Err(_) => {}
        }
        waited
    }
}
