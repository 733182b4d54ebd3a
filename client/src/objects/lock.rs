//! The handle to a lock, and to being its holder.

use std::time::Duration;

use catena_protocol::Op;
use catena_protocol::op::LockOp;

use super::{Object, PermitState, boolean, granted, handle, permits};
use crate::Error;
use crate::hold::Hold;

handle! {
    /// A lock that one client holds at a time, for a while: a holder that dies loses it when it could
    /// not have been running any more.
    ///
    /// A holder that is merely slow may lose it too, and not know. What it writes under the lock has
    /// to carry the token of its grant, so that a write from before is refused:
    /// [`Cell::set_with_token`](crate::Cell::set_with_token),
    /// [`Map::put_with_token`](crate::Map::put_with_token).
    pub struct Lock: Lock { hold: Hold }
}

/// All methods fail with [`Error`].
impl<'c> Lock<'c> {
    /// For how long the lock is held, instead of until the client's deadline.
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Lock<'c> {
        self.hold = hold.into();
        self
    }

    /// Waits until the lock is free and takes it. Who asks first is served first.
    /// [`Error::TimedOut`] after `timeout`, of at most 15 minutes, or when the hold is over before the
    /// lock was free.
    pub fn lock(&self, timeout: Duration) -> Result<LockGuard<'c>, Error> {
        let op = Op::Lock(LockOp::Acquire { hold_ms: self.client.hold_ms(self.hold) });
        let token = self.client.ask(&self.target, op, Some(timeout), |reply| granted(reply)?)?;
        Ok(LockGuard { lock: self.clone(), token, open: true })
    }

    /// Takes the lock if it is free and nobody waits for it.
    pub fn try_lock(&self) -> Result<Option<LockGuard<'c>>, Error> {
        let op = Op::Lock(LockOp::TryAcquire { hold_ms: self.client.hold_ms(self.hold) });
        let token = self.client.ask(&self.target, op, None, granted)?;
        Ok(token.map(|token| LockGuard { lock: self.clone(), token, open: true }))
    }

    /// Whether it is held, and how many wait.
    pub fn state(&self) -> Result<PermitState, Error> {
        self.client.ask(&self.target, Op::Lock(LockOp::State), None, permits)
    }

    /// Gives the lock back that was granted under `token`, by whomever. Answers whether it was still
    /// held.
    pub fn unlock(&self, token: u64) -> Result<bool, Error> {
        self.boolean(LockOp::Release { token })
    }

    /// Holds the lock that was granted under `token` for so long from now on. Answers whether it was
    /// still held.
    pub fn extend(&self, token: u64, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.boolean(LockOp::Extend { token, hold_ms: self.client.hold_ms(hold) })
    }

    fn boolean(&self, op: LockOp) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::Lock(op), None, boolean)
    }
}

impl Object for Lock<'_> {
    type Op<'o> = LockOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Lock(op)
    }
}

/// The lock, held. Given back when it is dropped; errors are ignored then, since the engine takes it
/// back by itself when the hold ends.
#[derive(Debug)]
pub struct LockGuard<'c> {
    lock: Lock<'c>,
    token: u64,
    open: bool,
}

/// All methods fail with [`Error`].
impl LockGuard<'_> {
    /// Larger than that of every grant of this lock before.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Holds the lock for so long from now on. Answers whether it was still held.
    pub fn extend(&self, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.lock.extend(self.token, hold)
    }

    /// Gives the lock back. Answers whether it was still held; if it was not, somebody else may have
    /// had it meanwhile.
    pub fn unlock(mut self) -> Result<bool, Error> {
        self.open = false;
        self.lock.unlock(self.token)
    }

    /// Keeps the lock beyond this value, to be given back with its token by whoever has it.
    pub fn keep(mut self) -> u64 {
        self.open = false;
        self.token
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        if self.open {
            _ = self.lock.unlock(self.token);
        }
    }
}
