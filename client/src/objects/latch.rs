//! The handle to a latch.

use std::time::Duration;

use catena_protocol::op::LatchOp;
use catena_protocol::{Op, SeatState};

use super::{Object, handle, number, seats};
use crate::Error;

handle! {
    /// Opens permanently once enough named parties have counted down.
    pub struct Latch: Latch
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Latch {
    /// Counts down in the name of `party`; the same name again changes nothing. `parties` is the
    /// number that opens the latch, the same in all calls. Returns how many are still missing.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let ready = client.latch("ready");
    /// assert_eq!((ready.count_down("ada", 2)?, ready.count_down("alan", 2)?), (1, 0));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn count_down(&self, party: &str, parties: u32) -> Result<u64, Error> {
        let op = Op::Latch(LatchOp::CountDown { party, parties });
        self.requester.ask(&self.target, op, None, number)
    }

    /// Waits until the latch is open. [`Error::TimedOut`] after `timeout`, of at most 15 minutes,
    /// says how many are missing.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let ready = client.latch("ready");
    /// ready.count_down("ada", 1)?;
    /// ready.wait(1, seconds)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn wait(&self, parties: u32, timeout: Duration) -> Result<(), Error> {
        let op = Op::Latch(LatchOp::Wait { parties });
        self.requester.ask(&self.target, op, Some(timeout), |reply| number(reply).map(drop))
    }

    /// Returns how many parties have counted down and how many are needed;
    /// [`Status::Absent`](crate::Status::Absent) if the latch was not used yet.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let ready = client.latch("ready");
    /// ready.count_down("ada", 3)?;
    /// assert_eq!(ready.state()?.arrived, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn state(&self) -> Result<SeatState, Error> {
        self.requester.ask(&self.target, Op::Latch(LatchOp::State), None, seats)
    }
}

impl Object for Latch {
    type Op<'o> = LatchOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Latch(op)
    }
}
