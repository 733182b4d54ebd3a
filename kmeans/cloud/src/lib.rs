//! Cloud threads: functions that run somewhere else, and are spawned and joined as threads are.
//!
//! A function has a name, takes one value and answers one; both travel as JSON. Where it runs is the [`Cloud`]'s
//! business: on a thread of this process, in a process of its own, or in an environment of AWS Lambda. A program that
//! works with one works with all, because what is promised is the same:
//!
//! 1. A call is made at least once. An attempt that dies (a panic, a signal, a time that ran out, an environment that
//!    is gone) is followed by another, up to [`Cloud::attempts`] of them, after pauses that grow and are random. What
//!    must not happen twice has to be done by ops of shared objects that take a name, as the party of a reduction.
//! 2. An error that the function itself answers is final: [`Stop::Failed`]. [`Stop::Again`] asks for another attempt,
//!    as a function does whose time is nearly over; it counts as a death only if the attempt told nothing.
//! 3. What a function tells on the way ([`Context::tell`]) is heard in its order, at the latest with its answer. From
//!    Lambda it comes with the answer, and not at all from attempts that died.
//! 4. Who is not wanted any more is stopped as far as that can be: a process is killed, a thread and an invocation are
//!    left alone, and nobody listens to them.
//!
//! ```
//! use catena_cloud::{Cloud, Context, Functions, Stop};
//!
//! fn square(_: &Context<'_>, x: u64) -> Result<u64, Stop> {
//!     Ok(x * x)
//! }
//!
//! // In a process or an environment that was started to run a function, this runs it and never returns.
//! let functions = Functions::new().with("square", square).serve();
//! let cloud = Cloud::threads(functions);
//! let four = cloud.spawn("square", &2)?;
//! let more: Vec<u64> = cloud.invoke_all("square", 3..6)?;
//! assert_eq!((four.join()?, more), (4u64, vec![9, 16, 25]));
//! # Ok::<(), catena_cloud::Error>(())
//! ```
//!
//! `examples/pi.rs` is a whole program that runs in all three ways.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

mod drive;
mod functions;
#[cfg(feature = "lambda")]
mod lambda;
mod processes;
#[cfg(feature = "lambda")]
mod runtime;
#[cfg(feature = "lambda")]
mod runtime_api;
#[cfg(test)]
mod tests;
mod threads;

use drive::{Call, Drive, Place, Stopper};
pub use functions::{Context, Functions, PROCESS_ARGUMENT, Stop};
#[cfg(feature = "lambda")]
pub use runtime_api::serve as serve_lambda;

/// How often a call is attempted unless told otherwise, if no attempt gets anywhere.
pub const ATTEMPTS: u32 = 4;

/// A place where functions run.
#[derive(Clone)]
pub struct Cloud {
    place: Arc<dyn Place>,
    attempts: u32,
    timeout: Option<Duration>,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The function said so.
    #[error("{function}: {message}")]
    Failed {
        /// Which.
        function: String,
        /// In its own words.
        message: String,
        /// The end of its log, where that comes with the answer.
        log: Option<String>,
    },
    /// It died more often than is put up with.
    #[error("{function}: {how}, and was started {attempts} times; giving up")]
    GaveUp {
        /// Which.
        function: String,
        /// How the last attempt ended.
        how: String,
        /// How many there were.
        attempts: u32,
        /// The end of the last attempt's log, where that comes with the answer.
        log: Option<String>,
    },
    /// It could not be started, and could not be another time either.
    #[error("{function} cannot be started: {reason}")]
    Refused {
        /// Which.
        function: String,
        /// Why.
        reason: String,
    },
    /// What goes to it, or came from it, is no JSON of the type that is expected.
    #[error("{function}: {cause}")]
    Type {
        /// Which.
        function: String,
        /// What does not fit.
        cause: serde_json::Error,
    },
    /// It was stopped before it was over.
    #[error("{function} was stopped")]
    Stopped {
        /// Which.
        function: String,
    },
}

/// What is heard of a call.
#[derive(Debug)]
pub enum Told {
    /// What the function told.
    Event(Value),
    /// An attempt ended without a result; there is going to be another.
    Again {
        /// How it ended.
        how: String,
        /// The end of its log, where that is known.
        log: Option<String>,
    },
    /// The call is over, and nothing more will be heard.
    Ended(Result<Value, Error>),
}

/// A call that was made. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    stopper: Arc<Stopper>,
    driver: Option<JoinHandle<()>>,
}

/// A call whose result is wanted. Dropping it stops it.
#[derive(Debug)]
pub struct Handle<R> {
    function: String,
    heard: Receiver<Told>,
    running: Running,
    result: PhantomData<fn() -> R>,
}

impl Cloud {
    /// Threads of this process. A panic is a death; time that runs out is too, though the thread goes on.
    #[must_use]
    pub fn threads(functions: Functions) -> Self {
        Self::new(threads::Threads::new(functions), None)
    }

    /// Processes of a program that calls [`Functions::serve`] before anything else; each attempt is a new one. Its
    /// standard error is this process's.
    #[must_use]
    pub fn processes(program: impl Into<PathBuf>) -> Self {
        Self::new(processes::Processes::new(program.into()), None)
    }

    /// Environments of a Lambda function whose program calls [`Functions::serve`].
    ///
    /// Region and keys are had as by AWS' own tools; `endpoint_url` is for an emulator.
    ///
    /// # Errors
    ///
    /// Nobody says in which region the function is.
    #[cfg(feature = "lambda")]
    pub fn lambda(function: &str, endpoint_url: Option<&str>) -> Result<Self, Error> {
        let place = lambda::Lambda::connect(function, endpoint_url)?;
        Ok(Self::new(place, Some(lambda::TIME_MAX)))
    }

    fn new(place: impl Place + 'static, timeout: Option<Duration>) -> Self {
        Self { place: Arc::new(place), attempts: ATTEMPTS, timeout }
    }

    /// Attempts until a call is given up, at least one.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long an attempt may take; the function hears of it ([`Context::deadline`]). A Lambda function has a time of
    /// its own as well.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether what is told is heard at once.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.place.is_live()
    }

    /// Calls a function.
    ///
    /// # Errors
    ///
    /// A payload that does not become JSON. All others are met by whoever joins.
    pub fn spawn<R: DeserializeOwned>(
        &self,
        function: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Handle<R>, Error> {
        let (sender, heard) = mpsc::channel();
        // Who dropped the handle does not listen.
        let running = self.start(function, payload, move |told| drop(sender.send(told)))?;
        Ok(Handle { function: function.to_string(), heard, running, result: PhantomData })
    }

    /// Calls a function once for each payload, all at the same time. Answers the results in the order of the payloads.
    ///
    /// # Errors
    ///
    /// The first that is met; all other calls are stopped.
    pub fn invoke_all<P: Serialize, R: DeserializeOwned>(
        &self,
        function: &str,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<Vec<R>, Error> {
        let (sender, ended) = mpsc::channel();
        let mut calls = Vec::new();
        for (at, payload) in payloads.into_iter().enumerate() {
            let sender: Sender<(usize, Result<Value, Error>)> = sender.clone();
            calls.push(self.start(function, &payload, move |told| {
                if let Told::Ended(result) = told {
                    drop(sender.send((at, result)));
                }
            })?);
        }
        drop(sender);
        let mut results: Vec<Option<R>> = calls.iter().map(|_| None).collect();
        for (at, result) in ended {
            results[at] = Some(typed(function, result?)?);
        }
        let all = results.into_iter().map(|result| result.expect("every call ends"));
        Ok(all.collect())
    }

    /// Calls a function, and lets `on_told` hear, on another thread, all that is heard of it.
    ///
    /// # Errors
    ///
    /// A payload that does not become JSON.
    pub fn start(
        &self,
        function: &str,
        payload: &(impl Serialize + ?Sized),
        on_told: impl FnMut(Told) + Send + 'static,
    ) -> Result<Running, Error> {
        let payload = serde_json::to_value(payload)
            .map_err(|cause| Error::Type { function: function.to_string(), cause })?;
        let stopper = Arc::new(Stopper::default());
        let drive = Drive {
            place: self.place.clone(),
            call: Call {
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
            .spawn(move || drive.run(on_told))
            .map_err(|cause| Error::Refused {
                function: function.to_string(),
                reason: cause.to_string(),
            })?;
        Ok(Running { stopper, driver: Some(driver) })
    }
}

/// A driver only passes on what is heard; a thousand of them should not cost memory.
const DRIVER_STACK_BYTES: usize = 256 << 10;

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempts, timeout, .. } = self;
        f.debug_struct("Cloud")
            .field("attempts", attempts)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

impl<R: DeserializeOwned> Handle<R> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn join(self) -> Result<R, Error> {
        loop {
            match self.heard.recv() {
                Ok(Told::Ended(result)) => return typed(&self.function, result?),
                Ok(Told::Event(_) | Told::Again { .. }) => {}
                Err(_) => unreachable!("the end of a call is told"),
            }
        }
    }

    /// Stops the call; joining it answers [`Error::Stopped`], if it was not over before.
    pub fn stop(&self) {
        self.running.stopper.stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(driver) = self.driver.take() {
            // It ends at once, and a panic of whoever listens was seen where that happened.
            drop(driver.join());
        }
    }
}

fn typed<R: DeserializeOwned>(function: &str, result: Value) -> Result<R, Error> {
    serde_json::from_value(result)
        .map_err(|cause| Error::Type { function: function.to_string(), cause })
}

/// When an attempt that begins now is over.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
