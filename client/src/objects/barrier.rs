//! The handle to a barrier, and to one of its parties.

use std::time::Duration;

use catena_protocol::op::{Arrival, BarrierOp, GENERATION_CURRENT, Loss};
use catena_protocol::{Op, SeatState, Status};

use super::{Object, handle, number, seats};
use crate::Error;
use crate::hold::Hold;

handle! {
    /// Named parties that wait for one another, generation after generation.
    ///
    /// A party holds its seat from one arrival to the next; [`Loss`] says what happens to the
    /// others if it does not arrive again in time.
    pub struct Barrier: Barrier { hold: Hold }
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Barrier {
    /// Sets how long a party holds its seat; until the client's deadline unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let step = client.barrier("step").with_hold(std::time::Duration::from_secs(60));
    /// step.party("ada", 1).wait(seconds)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Barrier {
        self.hold = hold.into();
        self
    }

    /// Returns one party. It counts the generations, as a worker in a loop needs. `parties` is the
    /// number of parties of a generation, the same for all of them.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let mut ada = client.barrier("step").party("ada", 1);
    /// assert_eq!((ada.wait(seconds)?, ada.wait(seconds)?), (0, 1));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn party(&self, name: &str, parties: u32) -> Party {
        let (generation, loss) = (GENERATION_CURRENT, Loss::Wait);
        Party { barrier: self.clone(), name: name.into(), parties, generation, loss }
    }

    /// Arrives and waits until all parties have arrived. Returns the completed generation.
    ///
    /// Arriving again in the same generation changes nothing and waits as before; for a past
    /// generation the call returns at once. If `hold_ms` of the arrival is 0, the seat is held as
    /// set with [`with_hold`](Barrier::with_hold). [`Error::TimedOut`] after `timeout`, of at most
    /// 15 minutes, names the parties known to be missing, and withdraws the arrival.
    /// [`Error::Broken`] if the barrier is broken or reset meanwhile, or by the loss of a party.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::Arrival;
    ///
    /// client.barrier("step").arrive_and_wait(Arrival::new("ada", 1), seconds)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn arrive_and_wait(&self, arrival: Arrival<'_>, timeout: Duration) -> Result<u64, Error> {
        let op = Op::Barrier(BarrierOp::ArriveAndWait(self.held(arrival)));
        self.requester.ask(&self.target, op, Some(timeout), number)
    }

    /// Arrives without waiting. Returns the generation of the arrival.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::Arrival;
    ///
    /// let step = client.barrier("step");
    /// step.arrive(Arrival::new("ada", 2))?;
    /// step.party("alan", 2).wait(seconds)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn arrive(&self, arrival: Arrival<'_>) -> Result<u64, Error> {
        self.ask(BarrierOp::Arrive(self.held(arrival)))
    }

    /// Returns the generation in progress, and the parties missing in it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Arrival;
    ///
    /// let step = client.barrier("step");
    /// step.arrive(Arrival::new("ada", 2))?;
    /// assert_eq!(step.state()?.arrived, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn state(&self) -> Result<SeatState, Error> {
        self.requester.ask(&self.target, Op::Barrier(BarrierOp::State), None, seats)
    }

    /// Repairs a broken barrier and begins a new generation; waiting requests fail with
    /// [`Error::Broken`]. Returns the new generation.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Arrival;
    ///
    /// let step = client.barrier("step");
    /// step.arrive(Arrival::new("ada", 2))?;
    /// assert_eq!(step.reset()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn reset(&self) -> Result<u64, Error> {
        self.ask(BarrierOp::Reset)
    }

    /// Breaks the barrier: waiting and later arrivals fail with [`Error::Broken`] and the reason,
    /// until it is reset. Returns the broken generation.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let step = client.barrier("step");
    /// step.break_with("out of memory")?;
    /// let error = step.party("ada", 1).wait(seconds).unwrap_err();
    /// assert!(error.to_string().contains("out of memory"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn break_with(&self, reason: &str) -> Result<u64, Error> {
        self.ask(BarrierOp::Break { reason })
    }

    fn held<'a>(&self, arrival: Arrival<'a>) -> Arrival<'a> {
        match arrival.hold_ms {
            0 => Arrival { hold_ms: self.requester.hold_ms(self.hold), ..arrival },
            _ => arrival,
        }
    }

    fn ask(&self, op: BarrierOp<'_>) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Barrier(op), None, number)
    }
}

impl Object for Barrier {
    type Op<'o> = BarrierOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Barrier(op)
    }
}

/// A party of a barrier that counts the generations for consecutive waits.
#[derive(Clone, Debug)]
pub struct Party {
    barrier: Barrier,
    name: Box<str>,
    parties: u32,
    generation: u64,
    loss: Loss,
}

impl Party {
    /// Continues with this generation instead of the one in progress: for a restarted worker that
    /// knows its position.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let mut ada = client.barrier("step").party("ada", 1).starting_at(0);
    /// assert_eq!(ada.wait(seconds)?, 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn starting_at(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }

    /// Sets what happens to the others if this party is lost; [`Loss::Wait`] unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::Loss;
    ///
    /// let mut ada = client.barrier("step").party("ada", 1).on_loss(Loss::Break);
    /// ada.wait(seconds)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn on_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Arrives in the next generation and waits for the others, see [`Barrier::arrive_and_wait`].
    /// Returns the completed generation.
    ///
    /// After a timeout, the next call arrives in the same generation again; after the barrier was
    /// broken or deleted, in the generation that is then in progress.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let mut ada = client.barrier("step").party("ada", 1);
    /// for round in 0..3 {
    ///     assert_eq!(ada.wait(seconds)?, round);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
