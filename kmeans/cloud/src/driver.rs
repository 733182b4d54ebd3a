//! The driver of one call, from its first attempt to its last.
//!
//! A [`Backend`] starts attempts, which send their events to a channel. All decisions about retries
//! are made here, so that they are the same for all back ends.

use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CallEvent, Error, deadline};

/// The longest first pause before another attempt. Each further one may be twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How often the longest pause doubles.
const PAUSE_DOUBLINGS_MAX: u32 = 7;

/// How long a back end may be busy before a call is given up.
const BUSY_MAX: Duration = Duration::from_secs(120);

/// The most attempts of a call that makes progress: days, if each takes as long as Lambda permits.
const RETRIES_MAX: u32 = 1_000;

/// How much longer than its timeout an attempt is waited for, so that the message of one that ends
/// by itself still arrives.
const GRACE: Duration = Duration::from_secs(1);

/// The request that a function receives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    /// The field that tells a request from other Lambda events.
    #[serde(rename = "catena")]
    pub(super) function: String,
    /// How many attempts there were before this one.
    pub(super) attempt: u32,
    /// The timeout.
    #[serde(default)]
    pub(super) seconds: Option<f64>,
    pub(super) payload: Value,
}

/// A message of a function: progress any number of times, then one of the others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Message {
    #[serde(rename = "event")]
    Progress(Value),
    Done(Value),
    Failed(String),
    #[serde(rename = "again")]
    Retry {
        reason: String,
        /// See [`Context::reached`](super::Context::reached).
        reached: u64,
    },
}

/// An event of one attempt.
#[derive(Debug)]
pub(super) enum AttemptEvent {
    Message {
        message: Message,
        log: Option<String>,
    },
    /// The output ended without a result; [`Attempt::end`] knows more.
    EndOfOutput,
    Died {
        reason: String,
        log: Option<String>,
    },
    /// It did not begin, but a later attempt might.
    Busy(String),
    /// It did not begin, and no later attempt will.
    Refused(String),
    /// The caller stopped the call.
    Stopped,
}

/// A place where attempts run.
pub(super) trait Backend: Send + Sync {
    /// Starts an attempt, which sends its events to `events`.
    fn start(&self, request: &Request, events: Sender<AttemptEvent>) -> Box<dyn Attempt>;

    /// Whether progress arrives when it is reported.
    fn is_live(&self) -> bool;
}

/// A running attempt; dropping it ends it as far as that is possible.
pub(super) trait Attempt {
    /// Describes how an attempt ended whose output ended.
    fn end(&mut self) -> String {
        "ended without a result".to_string()
    }
}

/// A call being driven.
pub(super) struct Driver {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) request: Request,
    pub(super) attempts: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) stopper: Arc<Stopper>,
}

/// How an attempt ended.
enum AttemptEnd {
    Finished(Result<Value, Error>),
    /// Another attempt should follow.
    Retry {
        reason: String,
        log: Option<String>,
        cause: RetryCause,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryCause {
    /// By the function, which has come this far.
    Requested(u64),
    Died,
    Busy,
}

impl Driver {
    /// Drives the call to its end.
    pub(super) fn run(mut self, mut on_event: impl FnMut(CallEvent)) {
        let mut deaths = 0;
        let mut farthest = 0;
        let mut busy: Option<(Instant, u32)> = None;
        loop {
            let end = self.attempt(&mut |progress| on_event(CallEvent::Progress(progress)));
            let (reason, log, cause) = match end {
                AttemptEnd::Finished(result) => return on_event(CallEvent::Finished(result)),
                AttemptEnd::Retry { reason, log, cause } => (reason, log, cause),
            };
            if cause == RetryCause::Busy {
                let (since, times) = busy.get_or_insert((Instant::now(), 0));
                *times += 1;
                if since.elapsed() > BUSY_MAX {
                    return on_event(CallEvent::Finished(Err(self.gave_up(reason, log, false))));
                }
                if !self.stopper.pause(pause(*times)) {
                    return on_event(CallEvent::Finished(Err(self.stopped())));
                }
                continue;
            }
            busy = None;
            self.request.attempt += 1;
            // Work that the next attempt has to repeat is no progress, whatever was reported.
            let reached = match cause {
                RetryCause::Requested(reached) => reached,
                RetryCause::Died | RetryCause::Busy => 0,
            };
            deaths = if reached > farthest { 0 } else { deaths + 1 };
            farthest = farthest.max(reached);
            if deaths >= self.attempts || self.request.attempt > RETRIES_MAX {
                let is_stuck = matches!(cause, RetryCause::Requested(_));
                return on_event(CallEvent::Finished(Err(self.gave_up(reason, log, is_stuck))));
            }
            on_event(CallEvent::Retrying { reason, log });
            if !self.stopper.pause(pause(deaths)) {
                return on_event(CallEvent::Finished(Err(self.stopped())));
            }
        }
    }

    fn attempt(&self, on_progress: &mut dyn FnMut(Value)) -> AttemptEnd {
        let (sender, events) = mpsc::channel();
        if !self.stopper.listen(sender.clone()) {
            return AttemptEnd::Finished(Err(self.stopped()));
        }
        let until = deadline(self.timeout.map(|timeout| timeout + GRACE));
        let mut attempt = self.backend.start(&self.request, sender);
        let function = || self.request.function.clone();
        let failed = |error| AttemptEnd::Finished(Err(error));
        let retry = |reason, log, cause| AttemptEnd::Retry { reason, log, cause };
        loop {
            return match receive(&events, until) {
                Some(AttemptEvent::Message { message, log }) => match message {
                    Message::Progress(progress) => {
                        on_progress(progress);
                        continue;
                    }
                    Message::Done(result) => AttemptEnd::Finished(Ok(result)),
                    Message::Failed(message) => {
                        failed(Error::Failed { function: function(), message, log })
                    }
                    Message::Retry { reason, reached } => {
                        retry(reason, log, RetryCause::Requested(reached))
                    }
                },
                Some(AttemptEvent::EndOfOutput) => retry(attempt.end(), None, RetryCause::Died),
                Some(AttemptEvent::Died { reason, log }) => retry(reason, log, RetryCause::Died),
                Some(AttemptEvent::Busy(reason)) => retry(reason, None, RetryCause::Busy),
                Some(AttemptEvent::Refused(reason)) => {
                    failed(Error::Refused { function: function(), reason })
                }
                Some(AttemptEvent::Stopped) => failed(self.stopped()),
                None => {
                    let timeout = self.timeout.unwrap_or_default();
                    retry(format!("took longer than {timeout:?}"), None, RetryCause::Died)
                }
            };
        }
    }

    fn stopped(&self) -> Error {
        Error::Stopped { function: self.request.function.clone() }
    }

    fn gave_up(&self, reason: String, log: Option<String>, is_stuck: bool) -> Error {
        let attempts = self.request.attempt.max(1);
        Error::GaveUp { function: self.request.function.clone(), reason, attempts, is_stuck, log }
    }
}

/// Returns the next event, or `None` if it does not come in time.
fn receive(events: &Receiver<AttemptEvent>, until: Option<Instant>) -> Option<AttemptEvent> {
    let Some(until) = until else {
        return Some(events.recv().expect("the stopper keeps a sender"));
    };
    match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => unreachable!("the stopper keeps a sender"),
    }
}

/// How long to wait before another attempt: a random part of a maximum that grows, so that many
/// calls that failed together do not retry together.
fn pause(times: u32) -> Duration {
    let most = PAUSE_MAX * (1 << times.min(PAUSE_DOUBLINGS_MAX));
    let part = RandomState::new().hash_one(times) >> 32;
    most.mul_f64(part as f64 / f64::from(u32::MAX))
}

/// Stops a call, in an attempt or between two.
#[derive(Debug, Default)]
pub(super) struct Stopper {
    state: Mutex<StopState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StopState {
    stopped: bool,
    attempt: Option<Sender<AttemptEvent>>,
}

impl Stopper {
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(attempt) = &state.attempt {
            // The attempt may be over.
            drop(attempt.send(AttemptEvent::Stopped));
        }
        self.changed.notify_all();
    }

    /// Registers the attempt that begins now; returns `false` if the call is stopped already.
    fn listen(&self, attempt: Sender<AttemptEvent>) -> bool {
        let mut state = self.lock();
        state.attempt = Some(attempt);
        !state.stopped
    }

    /// Waits; returns `false` if the call was stopped.
    fn pause(&self, time: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.stopped);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    fn lock(&self) -> MutexGuard<'_, StopState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
