//! The handle to a semaphore, and to its permits.

use std::time::Duration;

use catena_protocol::Op;
use catena_protocol::op::{Permit as PermitTerms, SemaphoreOp};

use super::{Object, boolean, granted, handle, permits};
use crate::Error;
use crate::hold::Hold;
use crate::shared::HoldKeeper;

handle! {
    /// Permits that clients hold for a limited time; as with a [`Lock`](crate::Lock), a holder that
    /// dies loses them when its hold ends.
    ///
    /// All clients give the same total number of permits; another number is refused with
    /// [`Status::Mismatch`](crate::Status::Mismatch).
    pub struct Semaphore: Semaphore { permits: u32, hold: Hold }
}

/// The state of a semaphore or lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermitState {
    /// The number of free permits.
    pub available: u32,
    /// The total number of permits; a lock has one.
    pub permits: u32,
    /// The number of grants that are held.
    pub holders: u32,
    /// The number of waiting requests.
    pub waiting: u32,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Semaphore {
    /// Sets how long permits are held; until the client's deadline unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let gpus = client.semaphore("gpus", 4).with_hold(std::time::Duration::from_secs(60));
    /// let permit = gpus.acquire(1, seconds)?; // released after a minute at the latest
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> Semaphore {
        self.hold = hold.into();
        self
    }

    /// Waits until `count` permits are free and takes them. Waiting clients are served in order of
    /// arrival, so a request for few permits does not overtake one for many. [`Error::TimedOut`]
    /// after `timeout`, of at most 15 minutes, or if the hold would end before they are free;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if `count` is more than the total.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let permit = client.semaphore("gpus", 4).acquire(2, seconds)?;
    /// assert_eq!(permit.count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn acquire(&self, count: u32, timeout: Duration) -> Result<Permit, Error> {
        let op = Op::Semaphore(SemaphoreOp::Acquire(self.terms(count)));
        let (token, keeper) =
            self.requester.ask_hold(&self.target, op, Some(timeout), |reply| granted(reply)?)?;
        Ok(Permit::new(self, token, count, keeper))
    }

    /// Takes `count` permits if they are free and no client waits.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let gpus = client.semaphore("gpus", 1);
    /// let permit = gpus.try_acquire(1)?;
    /// assert!(permit.is_some() && gpus.try_acquire(1)?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_acquire(&self, count: u32) -> Result<Option<Permit>, Error> {
        let op = Op::Semaphore(SemaphoreOp::TryAcquire(self.terms(count)));
        let (token, keeper) = self.requester.ask_hold(&self.target, op, None, granted)?;
        Ok(token.map(|token| Permit::new(self, token, count, keeper)))
    }

    /// Returns how many permits there are, are free and are held;
    /// [`Status::Absent`](crate::Status::Absent) if none was requested yet.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let gpus = client.semaphore("gpus", 4);
    /// let permit = gpus.try_acquire(3)?;
    /// assert_eq!(gpus.state()?.available, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn state(&self) -> Result<PermitState, Error> {
        self.requester.ask(&self.target, Op::Semaphore(SemaphoreOp::State), None, permits)
    }

    /// Releases the permits that were granted under `token`, to any client. Returns whether they
    /// were still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let gpus = client.semaphore("gpus", 4);
    /// let token = gpus.acquire(1, seconds)?.keep();
    /// assert!(gpus.release(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn release(&self, token: u64) -> Result<bool, Error> {
        self.boolean(SemaphoreOp::Release { token }, token)
    }

    /// Extends the hold of the permits that were granted under `token`, counted from now. Returns
    /// whether they were still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let gpus = client.semaphore("gpus", 4);
    /// let token = gpus.acquire(1, seconds)?.keep();
    /// assert!(gpus.extend(token, seconds)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn extend(&self, token: u64, hold: impl Into<Hold>) -> Result<bool, Error> {
        let hold_ms = self.requester.hold_ms(hold);
        self.boolean(SemaphoreOp::Extend { token, hold_ms }, token)
    }

    fn terms(&self, count: u32) -> PermitTerms {
        PermitTerms { permits: self.permits, count, hold_ms: self.requester.hold_ms(self.hold) }
    }

    fn boolean(&self, op: SemaphoreOp, token: u64) -> Result<bool, Error> {
        let ends = matches!(op, SemaphoreOp::Release { .. });
        let requester = self.requester.for_token(&self.target, token, ends);
        requester.ask(&self.target, Op::Semaphore(op), None, boolean)
    }
}

impl Object for Semaphore {
    type Op<'o> = SemaphoreOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Semaphore(op)
    }
}

/// Held permits, released when this is dropped. Errors are ignored then, because the engine
/// releases them automatically when the hold ends.
#[derive(Debug)]
pub struct Permit {
    semaphore: Semaphore,
    token: u64,
    count: u32,
    /// There until the permits are released.
    keeper: Option<HoldKeeper>,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Permit {
    fn new(semaphore: &Semaphore, token: u64, count: u32, keeper: HoldKeeper) -> Permit {
        let Semaphore { requester, target, permits, hold } = semaphore;
        let (requester, target) = (requester.through(&keeper), target.clone());
        let semaphore = Semaphore { requester, target, permits: *permits, hold: *hold };
        Permit { semaphore, token, count, keeper: Some(keeper) }
    }

    /// Returns the fencing token, which is larger than that of every earlier grant of this
    /// semaphore.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let permit = client.semaphore("gpus", 4).acquire(1, seconds)?;
    /// client.cell("gpu-0").set_with_token(permit.token(), b"mine")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Returns the number of permits.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// assert_eq!(client.semaphore("gpus", 4).acquire(3, seconds)?.count(), 3);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Extends the hold, counted from now. Returns whether the permits were still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let permit = client.semaphore("gpus", 4).acquire(1, seconds)?;
    /// assert!(permit.extend(seconds)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn extend(&self, hold: impl Into<Hold>) -> Result<bool, Error> {
        self.semaphore.extend(self.token, hold)
    }

    /// Releases the permits. Returns whether they were still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let permit = client.semaphore("gpus", 4).acquire(1, seconds)?;
    /// assert!(permit.release()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn release(mut self) -> Result<bool, Error> {
        let _keeper = self.keeper.take();
        self.semaphore.release(self.token)
    }

    /// Keeps the permits held beyond this value. Returns the token, with which any client can
    /// release them.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let gpus = client.semaphore("gpus", 4);
    /// let token = gpus.acquire(1, seconds)?.keep();
    /// assert!(gpus.release(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn keep(mut self) -> u64 {
        if let Some(keeper) = self.keeper.take() {
            self.semaphore.requester.keep(&self.semaphore.target, self.token, &keeper);
        }
        self.token
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            _ = self.semaphore.release(self.token);
        }
    }
}
