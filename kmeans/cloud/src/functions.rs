//! The function's side: what it is called by, what it is told, what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drive::{Call, Said};
use super::processes;

/// What a process is started with to run a function.
pub const PROCESS_ARGUMENT: &str = "cloud-worker";

type Function = dyn Fn(&Context<'_>, Value) -> Result<Value, Stop> + Send + Sync;

/// Functions by name.
#[derive(Clone, Default)]
pub struct Functions {
    named: BTreeMap<String, Arc<Function>>,
    otherwise: Option<Arc<Function>>,
}

/// Why a function answers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// It cannot be done, and could not be another time.
    Failed(String),
    /// It should be called again.
    Again(String),
}

/// Errors are final, unless the function knows better.
impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(reason) | Self::Again(reason)) = self;
        f.write_str(reason)
    }
}

/// What a function knows about its call.
pub struct Context<'a> {
    attempt: u32,
    deadline: Option<Instant>,
    is_live: bool,
    tell: &'a (dyn Fn(Value) -> Result<(), Stop> + Sync),
}

impl<'a> Context<'a> {
    pub(super) fn new(
        attempt: u32,
        deadline: Option<Instant>,
        is_live: bool,
        tell: &'a (dyn Fn(Value) -> Result<(), Stop> + Sync),
    ) -> Self {
        Self { attempt, deadline, is_live, tell }
    }

    /// How many attempts there were before this one, as far as is known.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the function has to have answered; `None` if it may take its time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is left until then.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether what is told is heard at once, not only with the answer.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Tells something to whoever called.
    ///
    /// # Errors
    ///
    /// It does not become JSON, or nobody listens any more: there is no use in going on.
    pub fn tell(&self, event: &(impl Serialize + ?Sized)) -> Result<(), Stop> {
        (self.tell)(serde_json::to_value(event)?)
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
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These, and another one.
    #[must_use]
    pub fn with<P: DeserializeOwned, R: Serialize>(
        mut self,
        name: &str,
        function: impl Fn(&Context<'_>, P) -> Result<R, Stop> + Send + Sync + 'static,
    ) -> Self {
        self.named.insert(name.to_string(), untyped(function));
        self
    }

    /// These, and one for what comes to a Lambda function from others than a [`Cloud`](super::Cloud): events, and
    /// invocations by hand. Its answer is the invocation's, its error the invocation's error.
    #[must_use]
    pub fn otherwise<P: DeserializeOwned, R: Serialize>(
        mut self,
        function: impl Fn(&Context<'_>, P) -> Result<R, Stop> + Send + Sync + 'static,
    ) -> Self {
        self.otherwise = Some(untyped(function));
        self
    }

    /// Runs what this process was started to run, and never returns; or returns at once, if it was started for
    /// something else.
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

    /// Runs a call to its end.
    pub(super) fn run(&self, call: Call, context: &Context<'_>) -> Said {
        let Some(function) = self.named.get(&call.function) else {
            let known = self.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Said::Failed(format!("there is no such function here; there are: {known}"));
        };
        match function(context, call.payload) {
            Ok(result) => Said::Done(result),
            Err(Stop::Failed(message)) => Said::Failed(message),
            Err(Stop::Again(message)) => Said::Again(message),
        }
    }

    /// Runs what is no call of a cloud.
    #[cfg(feature = "lambda")]
    pub(super) fn run_otherwise(&self, event: Value, context: &Context<'_>) -> Result<Value, Stop> {
        match &self.otherwise {
            Some(function) => function(context, event),
            None => Err(Stop::Failed("this function is only called by a cloud".into())),
        }
    }
}

fn untyped<P: DeserializeOwned, R: Serialize>(
    function: impl Fn(&Context<'_>, P) -> Result<R, Stop> + Send + Sync + 'static,
) -> Arc<Function> {
    Arc::new(move |context, payload| {
        let payload = serde_json::from_value(payload)?;
        Ok(serde_json::to_value(function(context, payload)?)?)
    })
}
