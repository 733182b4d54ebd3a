#![doc = include_str!("../README.md")]

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

mod driver;
mod error;
mod functions;
#[cfg(feature = "lambda")]
mod lambda;
mod processes;
#[cfg(feature = "lambda")]
mod runtime_api;
#[cfg(test)]
mod tests;
mod threads;

use driver::{Backend, Driver, Request, Stopper};
pub use error::Error;
pub use functions::{Context, Failure, Functions, PROCESS_ARGUMENT};

/// How many attempts a call gets by default if none of them makes progress.
pub const ATTEMPTS: u32 = 4;

/// A driver thread only passes events on; a thousand of them should not cost memory.
const DRIVER_STACK_BYTES: usize = 256 << 10;

/// Where functions run.
#[derive(Clone)]
pub struct Cloud {
    backend: Arc<dyn Backend>,
    attempts: u32,
    timeout: Option<Duration>,
}

/// An event of a call, for [`Cloud::start`].
#[derive(Debug)]
pub enum CallEvent {
    /// The function reported progress ([`Context::report`]).
    Progress(Value),
    /// An attempt ended without a result; another one follows.
    Retrying {
        /// How the attempt ended.
        reason: String,
        /// The end of its log, if the back end has one.
        log: Option<String>,
    },
    /// The call is over; no event follows.
    Finished(Result<Value, Error>),
}

/// A call that was started with a listener. Dropping it stops the call.
#[derive(Debug)]
pub struct CallGuard {
    stopper: Arc<Stopper>,
    driver: Option<JoinHandle<()>>,
}

/// A call whose result can be joined. Dropping it stops the call.
#[derive(Debug)]
pub struct CallHandle<R> {
    function: String,
    events: Receiver<CallEvent>,
    guard: CallGuard,
    result: PhantomData<fn() -> R>,
}

impl Cloud {
    /// Runs functions on threads of this process. A panic is the death of an attempt; so is a
    /// timeout, although the thread goes on.
    #[must_use]
    pub fn threads(functions: Functions) -> Self {
        Self::new(threads::Threads::new(functions), None)
    }

    /// Runs functions in processes of a program that calls [`Functions::serve`] before anything
    /// else; each attempt is a new process. It shares standard error with this process.
    #[must_use]
    pub fn processes(program: impl Into<PathBuf>) -> Self {
        Self::new(processes::Processes::new(program.into()), None)
    }

    /// Runs functions in environments of a Lambda function (a name or an ARN) whose program calls
    /// [`Functions::serve`].
    ///
    /// Region and credentials come from where the AWS command line finds them; `endpoint_url` is
    /// for an emulator.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if no region is configured.
    #[cfg(feature = "lambda")]
    pub fn lambda(function: &str, endpoint_url: Option<&str>) -> Result<Self, Error> {
        let backend = lambda::Lambda::connect(function, endpoint_url)?;
        Ok(Self::new(backend, Some(lambda::TIME_MAX)))
    }

    fn new(backend: impl Backend + 'static, timeout: Option<Duration>) -> Self {
        Self { backend: Arc::new(backend), attempts: ATTEMPTS, timeout }
    }

    /// Sets after how many attempts without progress a call is given up, at least one ([`ATTEMPTS`]
    /// by default).
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets how long an attempt may take; the function can read it ([`Context::deadline`]). A
    /// Lambda function has its own timeout as well.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Returns whether progress arrives when it is reported, and not only with the result.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.backend.is_live()
    }

    /// Calls a function; [`CallHandle::join`] waits for its result.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] if the payload cannot be converted to JSON, [`Error::Refused`] if there is
    /// no thread for it. All other errors come from [`CallHandle::join`].
    pub fn spawn<R: DeserializeOwned>(
        &self,
        function: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<CallHandle<R>, Error> {
        let (sender, events) = mpsc::channel();
        // Sending fails once the handle is dropped.
        let guard = self.start(function, payload, move |event| drop(sender.send(event)))?;
        Ok(CallHandle { function: function.to_string(), events, guard, result: PhantomData })
    }

    /// Calls a function once for each payload, all at the same time. Returns the results in the
    /// order of the payloads.
    ///
    /// # Errors
    ///
    /// The first error of any call; all other calls are stopped.
    pub fn invoke_all<P: Serialize, R: DeserializeOwned>(
        &self,
        function: &str,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<Vec<R>, Error> {
        let (sender, finished) = mpsc::channel();
        let mut calls = Vec::new();
        for (at, payload) in payloads.into_iter().enumerate() {
            let sender: Sender<(usize, Result<Value, Error>)> = sender.clone();
            calls.push(self.start(function, &payload, move |event| {
                if let CallEvent::Finished(result) = event {
                    drop(sender.send((at, result)));
                }
            })?);
        }
        drop(sender);
        let mut results: Vec<Option<R>> = calls.iter().map(|_| None).collect();
        for (at, result) in finished {
            results[at] = Some(typed(function, result?)?);
        }
        let all = results.into_iter().map(|result| result.expect("every call finishes"));
        Ok(all.collect())
    }

    /// Calls a function and passes all events of the call to `on_event`, on another thread.
    ///
    /// # Errors
    ///
    /// Those of [`Cloud::spawn`].
    pub fn start(
        &self,
        function: &str,
        payload: &(impl Serialize + ?Sized),
        on_event: impl FnMut(CallEvent) + Send + 'static,
    ) -> Result<CallGuard, Error> {
        let payload = serde_json::to_value(payload)
            .map_err(|cause| Error::Type { function: function.to_string(), cause })?;
        let stopper = Arc::new(Stopper::default());
        let driver = Driver {
            backend: self.backend.clone(),
            request: Request {
                function: function.to_string(),
                attempt: 0,
                seconds: self.timeout.map(|timeout| timeout.as_secs_f64()),
                payload,
            },
            attempts: self.attempts,
            timeout: self.timeout,
            stopper: stopper.clone(),
        };
        let driver = thread::Builder::new()
            .name(function.to_string())
            .stack_size(DRIVER_STACK_BYTES)
            .spawn(move || driver.run(on_event))
            .map_err(|cause| Error::Refused {
                function: function.to_string(),
                reason: cause.to_string(),
            })?;
        Ok(CallGuard { stopper, driver: Some(driver) })
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempts, timeout, .. } = self;
        f.debug_struct("Cloud")
            .field("attempts", attempts)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

impl<R: DeserializeOwned> CallHandle<R> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn join(self) -> Result<R, Error> {
        loop {
            match self.events.recv() {
                Ok(CallEvent::Finished(result)) => return typed(&self.function, result?),
                Ok(CallEvent::Progress(_) | CallEvent::Retrying { .. }) => {}
                Err(_) => unreachable!("a call finishes before its sender is dropped"),
            }
        }
    }

    /// Stops the call. Joining it returns [`Error::Stopped`] unless it has finished before.
    pub fn stop(&self) {
        self.guard.stopper.stop();
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(driver) = self.driver.take() {
            // It ends at once. A panic of the listener was printed by its own thread.
            drop(driver.join());
        }
    }
}

fn typed<R: DeserializeOwned>(function: &str, result: Value) -> Result<R, Error> {
    serde_json::from_value(result)
        .map_err(|cause| Error::Type { function: function.to_string(), cause })
}

/// The end of an attempt that begins now.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
