//! The handle to a lock, and the guard of its holder.

use std::time::Duration;

use catena_protocol::Op;
use catena_protocol::op::LockOp;

use super::{Object, PermitState, boolean, granted, handle, permits};
use crate::Error;
use crate::hold::Hold;
use crate::shared::HoldKeeper;

handle! {
    /// A lock with a lease: one client holds it at a time, and a holder that dies loses it when its
    /// hold ends, see [`Hold`].
    ///
    /// A slow holder may lose the lock too, without noticing. Its writes should therefore carry the
    /// fencing token of the grant, so that they are refused once a later holder has written:
    /// [`Cell::set_with_token`](crate::Cell::set_with_token),
    /// [`Map::put_with_token`](crate::Map::put_with_token).
    pub struct Lock: Lock { hold: Hold }
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Lock {
    /// Sets how long the lock is held; until the client's deadline unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let lock = client.lock("report").with_hold(std::time::Duration::from_secs(60));
    /// let guard = lock.lock(seconds)?; // released after a minute at the latest
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Lock {
        self.hold = hold.into();
        self
    }

    /// Waits until the lock is free and takes it. Waiting clients are served in order of arrival.
    /// [`Error::TimedOut`] after `timeout`, of at most 15 minutes, or if the hold would end before
    /// the lock is free.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let guard = client.lock("report").lock(seconds)?;
    /// assert!(client.lock("report").try_lock()?.is_none());
    /// drop(guard);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn lock(&self, timeout: Duration) -> Result<LockGuard, Error> {
        let op = Op::Lock(LockOp::Acquire { hold_ms: self.requester.hold_ms(self.hold) });
        let (token, keeper) =
            self.requester.ask_hold(&self.target, op, Some(timeout), |reply| granted(reply)?)?;
        Ok(LockGuard::new(self, token, keeper))
    }

    /// Takes the lock if it is free and no client waits for it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let Some(guard) = client.lock("report").try_lock()? else { panic!("it is free") };
    /// assert!(guard.unlock()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<Option<LockGuard>, Error> {
        let op = Op::Lock(LockOp::TryAcquire { hold_ms: self.requester.hold_ms(self.hold) });
        let (token, keeper) = self.requester.ask_hold(&self.target, op, None, granted)?;
        Ok(token.map(|token| LockGuard::new(self, token, keeper)))
    }

    /// Returns whether it is held, and how many clients wait.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let guard = client.lock("report").try_lock()?;
    /// assert_eq!(client.lock("report").state()?.holders, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn state(&self) -> Result<PermitState, Error> {
        self.requester.ask(&self.target, Op::Lock(LockOp::State), None, permits)
    }

    /// Releases the lock that was granted under `token`, to any client. Returns whether it was
    /// still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let lock = client.lock("report");
    /// let token = lock.lock(seconds)?.keep(); // another process may release it
    /// assert!(lock.unlock(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn unlock(&self, token: u64) -> Result<bool, Error> {
        self.boolean(LockOp::Release { token }, token)
    }

    /// Extends the hold of the lock that was granted under `token`, counted from now. Returns
    /// whether it was still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let lock = client.lock("report");
    /// let token = lock.lock(seconds)?.keep();
    /// assert!(lock.extend(token, seconds)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn extend(&self, token: u64, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.boolean(LockOp::Extend { token, hold_ms: self.requester.hold_ms(hold) }, token)
    }

    fn boolean(&self, op: LockOp, token: u64) -> Result<bool, Error> {
        let ends = matches!(op, LockOp::Release { .. });
        let requester = self.requester.for_token(&self.target, token, ends);
        requester.ask(&self.target, Op::Lock(op), None, boolean)
    }
}

impl Object for Lock {
    type Op<'o> = LockOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Lock(op)
    }
}

/// A held lock, released when this is dropped. Errors are ignored then, because the engine releases
/// it automatically when the hold ends.
#[derive(Debug)]
pub struct LockGuard {
    lock: Lock,
    token: u64,
    /// There until the lock is released.
    keeper: Option<HoldKeeper>,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl LockGuard {
    fn new(lock: &Lock, token: u64, keeper: HoldKeeper) -> LockGuard {
        let requester = lock.requester.through(&keeper);
        let lock = Lock { requester, target: lock.target.clone(), hold: lock.hold };
        LockGuard { lock, token, keeper: Some(keeper) }
    }

    /// Returns the fencing token, which is larger than that of every earlier grant of this lock.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let guard = client.lock("report").lock(seconds)?;
    /// client.map("reports").put_with_token(guard.token(), "today", "ready")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Extends the hold, counted from now. Returns whether the lock was still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let guard = client.lock("report").with_hold(seconds).lock(seconds)?;
    /// assert!(guard.extend(seconds)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn extend(&self, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.lock.extend(self.token, hold)
    }

    /// Releases the lock. Returns whether it was still held; if not, another client may have held
    /// it meanwhile.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let guard = client.lock("report").lock(seconds)?;
    /// assert!(guard.unlock()?, "it was held until now");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn unlock(mut self) -> Result<bool, Error> {
        let _keeper = self.keeper.take();
        self.lock.unlock(self.token)
    }

    /// Keeps the lock held beyond this value. Returns the token, with which any client can release
    /// it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let token = client.lock("report").lock(seconds)?.keep();
    /// assert!(client.lock("report").unlock(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn keep(mut self) -> u64 {
        if let Some(keeper) = self.keeper.take() {
            self.lock.requester.keep(&self.lock.target, self.token, &keeper);
        }
        self.token
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            _ = self.lock.unlock(self.token);
        }
    }
}
