//! The handle to a future.

use std::time::Duration;

use catena_protocol::Op;
use catena_protocol::op::{FUTURE_CANCELLED, FUTURE_PENDING, FUTURE_SET, FutureOp};

use super::{Object, boolean, handle, number};
use crate::Error;
use crate::view::ValueView;

handle! {
    /// A value of at most 8 MiB that is set once, and that any number of clients can wait for.
    pub struct Future: Future
}

/// The state of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureState {
    /// It has no value yet.
    Pending,
    /// It has a value.
    Set,
    /// It was cancelled, and will never have a value.
    Cancelled,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Future {
    /// Waits for the value. [`Error::TimedOut`] after `timeout`, of at most 15 minutes;
    /// [`Error::Broken`] if it is cancelled.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let result = client.future("result");
    /// let waiting = {
    ///     let result = result.clone();
    ///     std::thread::spawn(move || result.get(seconds))
    /// };
    /// result.set("done")?;
    /// assert_eq!(waiting.join().unwrap()?.as_str(), Some("done"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self, timeout: Duration) -> Result<ValueView, Error> {
        self.requester.ask_bytes(&self.target, Op::Future(FutureOp::Get), Some(timeout))
    }

    /// Returns the value if there is one; [`Error::Broken`] if it was cancelled.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.future("result").peek()?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn peek(&self) -> Result<Option<ValueView>, Error> {
        self.requester.ask_value(&self.target, Op::Future(FutureOp::Peek), None)
    }

    /// Returns the state.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::FutureState;
    ///
    /// assert_eq!(client.future("result").state()?, FutureState::Pending);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn state(&self) -> Result<FutureState, Error> {
        let op = Op::Future(FutureOp::State);
        self.requester.ask(&self.target, op, None, |reply| future_state(number(reply)?))
    }

    /// Sets the value if there is none. Returns whether it did; [`Error::Broken`] if it was
    /// cancelled.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let result = client.future("result");
    /// assert!(result.set("done")? && !result.set("again")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, bytes: impl AsRef<[u8]>) -> Result<bool, Error> {
        let op = FutureOp::Set { bytes: bytes.as_ref() };
        self.requester.ask(&self.target, Op::Future(op), None, boolean)
    }

    /// Cancels it: waiting and later calls fail with [`Error::Broken`] and the reason. Returns
    /// false if it has a value already.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let result = client.future("result");
    /// assert!(result.cancel("no longer needed")?);
    /// assert!(result.get(seconds).is_err());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn cancel(&self, reason: &str) -> Result<bool, Error> {
        self.requester.ask(&self.target, Op::Future(FutureOp::Cancel { reason }), None, boolean)
    }
}

/// The state with this number.
pub(crate) fn future_state(number: u64) -> Option<FutureState> {
    match number {
        FUTURE_PENDING => Some(FutureState::Pending),
        FUTURE_SET => Some(FutureState::Set),
        FUTURE_CANCELLED => Some(FutureState::Cancelled),
        _ => None,
    }
}

impl Object for Future {
    type Op<'o> = FutureOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Future(op)
    }
}
