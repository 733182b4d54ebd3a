//! The handle to a semaphore, and to permits of it.

use std::time::Duration;

use catena_protocol::Op;
use catena_protocol::op::{Permit as Terms, SemaphoreOp};

use super::{Object, boolean, granted, handle, permits};
use crate::Error;
use crate::hold::Hold;

handle! {
    /// Permits that clients hold for a while; as with a [`Lock`](crate::Lock), a holder that dies
    /// loses them when it could not have been running any more.
    ///
    /// How many permits there are in all is the same for everybody who asks, else
    /// [`Status::Mismatch`](crate::Status::Mismatch).
    pub struct Semaphore: Semaphore { permits: u32, hold: Hold }
}

/// How a semaphore or lock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermitState {
    /// Permits that are free.
    pub available: u32,
    /// Permits there are in all; a lock has one.
    pub permits: u32,
    /// How many grants are held.
    pub holders: u32,
    /// How many requests wait.
    pub waiting: u32,
}

/// All methods fail with [`Error`].
impl<'c> Semaphore<'c> {
    /// For how long permits are held, instead of until the client's deadline.
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Semaphore<'c> {
        self.hold = hold.into();
        self
    }

    /// Waits until `count` permits are free and takes them. Who asks first is served first, so few
    /// permits do not overtake many. [`Error::TimedOut`] after `timeout`, of at most 15 minutes, or
    /// when the hold is over before they were free; [`Status::OutOfRange`](crate::Status::OutOfRange)
    /// if there are not that many in all.
    pub fn acquire(&self, count: u32, timeout: Duration) -> Result<Permit<'c>, Error> {
        let op = Op::Semaphore(SemaphoreOp::Acquire(self.terms(count)));
        let token = self.client.ask(&self.target, op, Some(timeout), |reply| granted(reply)?)?;
        Ok(Permit { semaphore: self.clone(), token, count, open: true })
    }

    /// Takes `count` permits if they are free and nobody waits.
    pub fn try_acquire(&self, count: u32) -> Result<Option<Permit<'c>>, Error> {
        let op = Op::Semaphore(SemaphoreOp::TryAcquire(self.terms(count)));
        let token = self.client.ask(&self.target, op, None, granted)?;
        Ok(token.map(|token| Permit { semaphore: self.clone(), token, count, open: true }))
    }

    /// How many permits there are, and who has them; [`Status::Absent`](crate::Status::Absent) if
    /// nobody asked for one yet.
    pub fn state(&self) -> Result<PermitState, Error> {
        self.client.ask(&self.target, Op::Semaphore(SemaphoreOp::State), None, permits)
    }

    /// Gives the permits back that were granted under `token`, to whomever. Answers whether they were
    /// still held.
    pub fn release(&self, token: u64) -> Result<bool, Error> {
        self.boolean(SemaphoreOp::Release { token })
    }

    /// Holds the permits that were granted under `token` for so long from now on. Answers whether
    /// they were still held.
    pub fn extend(&self, token: u64, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.boolean(SemaphoreOp::Extend { token, hold_ms: self.client.hold_ms(hold) })
    }

    fn terms(&self, count: u32) -> Terms {
        Terms { permits: self.permits, count, hold_ms: self.client.hold_ms(self.hold) }
    }

    fn boolean(&self, op: SemaphoreOp) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::Semaphore(op), None, boolean)
    }
}

impl Object for Semaphore<'_> {
    type Op<'o> = SemaphoreOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Semaphore(op)
    }
}

/// Permits, held. Given back when this is dropped; errors are ignored then, since the engine takes
/// them back by itself when the hold ends.
#[derive(Debug)]
pub struct Permit<'c> {
    semaphore: Semaphore<'c>,
    token: u64,
    count: u32,
    open: bool,
}

/// All methods fail with [`Error`].
impl Permit<'_> {
    /// Larger than that of every grant of this semaphore before.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How many permits.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Holds the permits for so long from now on. Answers whether they were still held.
    pub fn extend(&self, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.semaphore.extend(self.token, hold)
    }

    /// Gives the permits back. Answers whether they were still held.
    pub fn release(mut self) -> Result<bool, Error> {
        self.open = false;
        self.semaphore.release(self.token)
    }

    /// Keeps the permits beyond this value, to be given back with their token by whoever has it.
    pub fn keep(mut self) -> u64 {
        self.open = false;
        self.token
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.open {
            _ = self.semaphore.release(self.token);
        }
    }
}
