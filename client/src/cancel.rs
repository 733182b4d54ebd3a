//! Ends calls from another thread.
//!
//! A call that waits sleeps in a read of its socket. Cancelling shuts the socket down, which wakes
//! the thread, and the call finds that it is to end.
//!
//! 1. A call registers its [`Waker`] before it looks for the first time whether it is cancelled.
//! 2. It looks again after the waker has got the socket and before it sleeps, so that no
//!    cancellation is missed.
//! 3. A call that has ended is registered no longer, so that the sockets of later calls are left
//!    alone.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::CANCEL_POLL;

/// Ends calls from another thread, above all those that wait; see
/// [`Client::cancelled_by`](crate::Client::cancelled_by).
///
/// Clones cancel the same calls. A canceller that was used stays cancelled: calls that begin later
/// end at once.
#[derive(Clone, Debug, Default)]
pub struct Canceller {
    state: Arc<CancelState>,
}

#[derive(Debug, Default)]
struct CancelState {
    is_cancelled: AtomicBool,
    /// The calls in progress.
    calls: Mutex<Vec<Arc<Waker>>>,
}

impl Canceller {
    /// Returns a canceller of no calls yet.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Canceller;
    ///
    /// let canceller = Canceller::new();
    /// let visits = client.counter("visits").cancelled_by(&canceller);
    /// assert_eq!(visits.increment()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn new() -> Canceller {
        Canceller::default()
    }

    /// Ends the calls in progress, and those that begin later, with
    /// [`Error::Cancelled`](crate::Error::Cancelled). Does not wait for them.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::Canceller;
    ///
    /// let canceller = Canceller::new();
    /// let ready = client.latch("ready").cancelled_by(&canceller);
    /// let waiting = std::thread::spawn(move || ready.wait(2, Duration::from_secs(600)));
    /// canceller.cancel();
    /// assert!(waiting.join().unwrap().is_err());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn cancel(&self) {
        self.state.is_cancelled.store(true, Ordering::SeqCst);
        locked(&self.state.calls).iter().for_each(|call| call.wake());
    }

    /// Returns whether [`Canceller::cancel`] was called.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Canceller;
    ///
    /// let canceller = Canceller::new();
    /// canceller.cancel();
    /// assert!(canceller.clone().is_cancelled());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.state.is_cancelled.load(Ordering::SeqCst)
    }

    /// Registers a call, until the result is dropped.
    pub(crate) fn register(&self, waker: &Arc<Waker>) -> CallRegistration {
        locked(&self.state.calls).push(Arc::clone(waker));
        CallRegistration { canceller: self.clone(), waker: Arc::clone(waker) }
    }
}

/// A call that can be cancelled.
#[derive(Debug)]
pub(crate) struct CallRegistration {
    canceller: Canceller,
    waker: Arc<Waker>,
}

impl Drop for CallRegistration {
    fn drop(&mut self) {
        let mut calls = locked(&self.canceller.state.calls);
        if let Some(at) = calls.iter().position(|call| Arc::ptr_eq(call, &self.waker)) {
            calls.swap_remove(at);
        }
        *locked(&self.waker.watched) = None;
    }
}

/// Wakes a call that sleeps on a socket.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    watched: Mutex<Option<Arc<TcpStream>>>,
}

impl Waker {
    /// Records the socket that the call is going to sleep on.
    pub(crate) fn watch(&self, stream: &Arc<TcpStream>) {
        let mut watched = locked(&self.watched);
        if !watched.as_ref().is_some_and(|known| Arc::ptr_eq(known, stream)) {
            *watched = Some(Arc::clone(stream));
        }
    }

    fn wake(&self) {
        if let Some(stream) = locked(&self.watched).take() {
            // If it is closed already, nobody sleeps on it.
            _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// What may end a call early.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interrupts<'a> {
    /// See [`Builder::cancel_with`](crate::Builder::cancel_with).
    pub(crate) flag: Option<&'a AtomicBool>,
    pub(crate) canceller: Option<&'a Canceller>,
}

impl Interrupts<'_> {
    /// Whether the call is to end now.
    pub(crate) fn are_raised(&self) -> bool {
        self.flag.is_some_and(|flag| flag.load(Ordering::SeqCst))
            || self.canceller.is_some_and(Canceller::is_cancelled)
    }

    /// The longest time to sleep where nothing wakes the call.
    pub(crate) fn sleep_max(&self) -> Duration {
        match (self.flag, self.canceller) {
            (None, None) => Duration::MAX,
            _ => CANCEL_POLL,
        }
    }

    /// The longest time to sleep on a socket that is watched.
    pub(crate) fn watched_sleep_max(&self) -> Duration {
        if self.flag.is_some() { CANCEL_POLL } else { Duration::MAX }
    }
}

/// Locks a mutex whose data is valid at any time, so that a panic elsewhere does not matter.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
