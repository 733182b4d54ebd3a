//! The handle to a future.

use std::time::Duration;

use catena_protocol::Op;
use catena_protocol::op::{FUTURE_CANCELLED, FUTURE_PENDING, FUTURE_SET, FutureOp};

use super::{Object, boolean, handle, number};
use crate::Error;
use crate::view::ValueView;

handle! {
    /// Bytes that are set once, at most 8 MiB, and waited for by anybody.
    pub struct Future: Future
}

/// How a future stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureState {
    /// Nobody has set it.
    Pending,
    /// The bytes are there.
    Set,
    /// There will be none.
    Cancelled,
}

/// All methods fail with [`Error`].
impl<'c> Future<'c> {
    /// Waits until the bytes are there. [`Error::TimedOut`] after `timeout`, of at most 15 minutes;
    /// [`Error::Broken`] if it is cancelled.
    pub fn get(&self, timeout: Duration) -> Result<ValueView<'c>, Error> {
        self.client.ask_bytes(&self.target, Op::Future(FutureOp::Get), Some(timeout))
    }

    /// The bytes if they are there; [`Error::Broken`] if it was cancelled.
    pub fn peek(&self) -> Result<Option<ValueView<'c>>, Error> {
        self.client.ask_value(&self.target, Op::Future(FutureOp::Peek), None)
    }

    /// How it stands.
    pub fn state(&self) -> Result<FutureState, Error> {
        let op = Op::Future(FutureOp::State);
        self.client.ask(&self.target, op, None, |reply| match number(reply)? {
            FUTURE_PENDING => Some(FutureState::Pending),
            FUTURE_SET => Some(FutureState::Set),
            FUTURE_CANCELLED => Some(FutureState::Cancelled),
            _ => None,
        })
    }

    /// Sets the bytes if nobody has. Answers whether this did; [`Error::Broken`] if it was cancelled.
    pub fn set(&self, bytes: impl AsRef<[u8]>) -> Result<bool, Error> {
        let op = FutureOp::Set { bytes: bytes.as_ref() };
        self.client.ask(&self.target, Op::Future(op), None, boolean)
    }

    /// Cancels it: whoever waits or asks gets [`Error::Broken`] with the reason. Answers false if the
    /// bytes were set before.
    pub fn cancel(&self, reason: &str) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::Future(FutureOp::Cancel { reason }), None, boolean)
    }
}

impl Object for Future<'_> {
    type Op<'o> = FutureOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Future(op)
    }
}
