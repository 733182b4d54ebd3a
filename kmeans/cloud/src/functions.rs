//! The side of the function: its registry, its context, and how it fails.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::driver::{Message, Request};
use super::processes;

/// The argument with which a process is started to run a function.
pub const PROCESS_ARGUMENT: &str = "cloud-worker";

type Function = dyn Fn(&Context<'_>, Value) -> Result<Value, Failure> + Send + Sync;

type Report<'a> = dyn Fn(Value) -> Result<(), Failure> + Sync + 'a;

/// Functions by name.
#[derive(Clone, Default)]
pub struct Functions {
    named: BTreeMap<String, Arc<Function>>,
    fallback: Option<Arc<Function>>,
}

/// Why a function returns no result. Any other error converts to [`Failure::Final`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Another attempt would not help.
    Final(String),
    /// Another attempt should follow. It counts as a death unless this one has come farther than all
    /// before it ([`Context::reached`]).
    Retry(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Final(reason) | Self::Retry(reason)) = self;
        f.write_str(reason)
    }
}

/// What a function knows about its call.
pub struct Context<'a> {
    attempt: u32,
    deadline: Option<Instant>,
    is_live: bool,
    report: &'a Report<'a>,
    reached: AtomicU64,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        attempt: u32,
        deadline: Option<Instant>,
        is_live: bool,
        report: &'a Report<'a>,
    ) -> Self {
        Self { attempt, deadline, is_live, report, reached: AtomicU64::new(0) }
    }

    /// Returns how many attempts there were before this one, as far as the driver knows.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns when the function has to have returned, if there is a limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the time until [`Context::deadline`].
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns whether progress arrives when it is reported, and not only with the result.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Says how far the call has come: a number that grows with work that later attempts need not
    /// repeat. An attempt that asks for another one and has not come farther than all attempts before
    /// it counts as a death.
    pub fn reached(&self, step: u64) {
        self.reached.fetch_max(step, Ordering::Relaxed);
    }

    /// Reports progress to the caller.
    ///
    /// # Errors
    ///
    /// The value cannot be converted to JSON, or the caller has stopped listening, so that there is
    /// no point in going on.
    pub fn report(&self, progress: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        (self.report)(serde_json::to_value(progress)?)
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, deadline, is_live, .. } = self;
        f.debug_struct("Context")
            .field("attempt", attempt)
            .field("deadline", deadline)
            .field("is_live", is_live)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.named.keys()).finish()
    }
}

impl Functions {
    /// Creates an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function.
    #[must_use]
    pub fn with<P: DeserializeOwned, R: Serialize>(
        mut self,
        name: &str,
        function: impl Fn(&Context<'_>, P) -> Result<R, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.named.insert(name.to_string(), untyped(function));
        self
    }

    /// Adds a function for Lambda invocations that do not come from a [`Cloud`](super::Cloud):
    /// events, and invocations by hand. Its result and its error are those of the invocation.
    #[must_use]
    pub fn with_fallback<P: DeserializeOwned, R: Serialize>(
        mut self,
        function: impl Fn(&Context<'_>, P) -> Result<R, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(untyped(function));
        self
    }

    /// Runs the functions that this process was started to run, and never returns; or returns at
    /// once if the process was started for anything else.
    ///
    /// A process is started to run a function if its first argument is [`PROCESS_ARGUMENT`], or if
    /// Lambda started it (feature `lambda`).
    #[must_use]
    pub fn serve(self) -> Self {
        if std::env::args_os().nth(1).is_some_and(|argument| argument == PROCESS_ARGUMENT) {
            processes::serve(&self);
        }
        #[cfg(feature = "lambda")]
        if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
            super::runtime_api::serve(self);
        }
        self
    }

    /// Runs a request of a [`Cloud`](super::Cloud) to its end.
    pub(super) fn run(&self, request: Request, context: &Context<'_>) -> Message {
        let Some(function) = self.named.get(&request.function) else {
            let known = self.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Message::Failed(format!("unknown function; this program has: {known}"));
        };
        match function(context, request.payload) {
            Ok(result) => Message::Done(result),
            Err(Failure::Final(reason)) => Message::Failed(reason),
            Err(Failure::Retry(reason)) => {
                Message::Retry { reason, reached: context.reached.load(Ordering::Relaxed) }
            }
        }
    }

    /// Runs an invocation that is not a request of a [`Cloud`](super::Cloud).
    #[cfg(feature = "lambda")]
    pub(super) fn run_fallback(
        &self,
        event: Value,
        context: &Context<'_>,
    ) -> Result<Value, Failure> {
        match &self.fallback {
            Some(function) => function(context, event),
            None => Err(Failure::Final("this function takes only calls of catena-cloud".into())),
        }
    }
}

fn untyped<P: DeserializeOwned, R: Serialize>(
    function: impl Fn(&Context<'_>, P) -> Result<R, Failure> + Send + Sync + 'static,
) -> Arc<Function> {
    Arc::new(move |context, payload| {
        let payload = serde_json::from_value(payload)?;
        Ok(serde_json::to_value(function(context, payload)?)?)
    })
}
