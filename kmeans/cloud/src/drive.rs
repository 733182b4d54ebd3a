//! One call, from its first attempt to its last.
//!
//! A [`Place`] begins attempts; what they say arrives in a channel. All that is decided about them is decided here, so
//! that it is the same for all places.

use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Told, deadline};

/// The first pause before another attempt, at most; each further one may be twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Doublings of it.
const PAUSE_DOUBLINGS_MAX: u32 = 7;

/// How long a place may say that it is busy before a call is given up.
const BUSY_MAX: Duration = Duration::from_secs(120);

/// How often a function may ask for another attempt: days, if each is as long as Lambda lets it be.
const AGAIN_MAX: u32 = 1_000;

/// How much longer than its time an attempt is waited for, so that who ends by itself is heard.
const GRACE: Duration = Duration::from_secs(1);

/// What a function is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    /// By this field others can be told from events of Lambda.
    #[serde(rename = "catena")]
    pub(super) function: String,
    /// Attempts before this one.
    pub(super) attempt: u32,
    /// What it may take.
    #[serde(default)]
    pub(super) seconds: Option<f64>,
    pub(super) payload: Value,
}

/// What a function says, in this order: events, then one of the others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    Event(Value),
    Done(Value),
    Failed(String),
    Again(String),
}

/// What is heard of an attempt.
#[derive(Debug)]
pub(super) enum Heard {
    Said {
        said: Said,
        log: Option<String>,
    },
    /// It is over without a word; [`Attempt::end`] knows more.
    Silence,
    /// It died.
    Death {
        how: String,
        log: Option<String>,
    },
    /// It did not begin, but might later.
    Busy(String),
    /// It did not begin and never will.
    Refused(String),
    /// Nobody wants it any more.
    Stop,
}

/// Where attempts are made.
pub(super) trait Place: Send + Sync {
    /// Begins an attempt, which sends what it has to say.
    fn begin(&self, call: &Call, heard: Sender<Heard>) -> Box<dyn Attempt>;

    /// Whether events come as they are told.
    fn is_live(&self) -> bool;
}

/// An attempt under way; dropping it ends it, as far as that can be.
pub(super) trait Attempt {
    /// How it ended that fell silent.
    fn end(&mut self) -> String {
        "ended without an answer".to_string()
    }
}

/// A call being driven.
pub(super) struct Drive {
    pub(super) place: Arc<dyn Place>,
    pub(super) call: Call,
    pub(super) attempts: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) stopper: Arc<Stopper>,
}

/// How an attempt ended.
enum Ending {
    Over(Result<Value, Error>),
    /// Another one should follow.
    Again {
        how: String,
        log: Option<String>,
        why: Why,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Asked,
    Died,
    Busy,
}

impl Drive {
    /// Drives the call to its end.
    pub(super) fn run(mut self, mut on_told: impl FnMut(Told)) {
        let mut deaths = 0;
        let mut busy: Option<(Instant, u32)> = None;
        loop {
            let mut events = 0;
            let ending = self.attempt(&mut |event| {
                events += 1;
                on_told(Told::Event(event));
            });
            let (how, log, why) = match ending {
                Ending::Over(result) => return on_told(Told::Ended(result)),
                Ending::Again { how, log, why } => (how, log, why),
            };
            if why == Why::Busy {
                let (since, times) = busy.get_or_insert((Instant::now(), 0));
                *times += 1;
                if since.elapsed() > BUSY_MAX {
                    return on_told(Told::Ended(Err(self.gave_up(how, log))));
                }
                if !self.stopper.pause(pause(*times)) {
                    return on_told(Told::Ended(Err(self.stopped())));
                }
                continue;
            }
            busy = None;
            self.call.attempt += 1;
            // Who told something has come further.
            deaths = if why == Why::Asked && events > 0 { 0 } else { deaths + 1 };
            if deaths >= self.attempts || self.call.attempt > AGAIN_MAX {
                return on_told(Told::Ended(Err(self.gave_up(how, log))));
            }
            on_told(Told::Again { how, log });
            if !self.stopper.pause(pause(deaths)) {
                return on_told(Told::Ended(Err(self.stopped())));
            }
        }
    }

    fn attempt(&self, on_event: &mut dyn FnMut(Value)) -> Ending {
        let (sender, heard) = mpsc::channel();
        if !self.stopper.listen(sender.clone()) {
            return Ending::Over(Err(self.stopped()));
        }
        let until = deadline(self.timeout.map(|timeout| timeout + GRACE));
        let mut attempt = self.place.begin(&self.call, sender);
        let function = || self.call.function.clone();
        loop {
            let again = |how, log, why| Ending::Again { how, log, why };
            return match receive(&heard, until) {
                Some(Heard::Said { said: Said::Event(event), .. }) => {
                    on_event(event);
                    continue;
                }
                Some(Heard::Said { said: Said::Done(result), .. }) => Ending::Over(Ok(result)),
                Some(Heard::Said { said: Said::Failed(message), log }) => {
                    Ending::Over(Err(Error::Failed { function: function(), message, log }))
                }
                Some(Heard::Said { said: Said::Again(how), log }) => again(how, log, Why::Asked),
                Some(Heard::Silence) => again(attempt.end(), None, Why::Died),
                Some(Heard::Death { how, log }) => again(how, log, Why::Died),
                Some(Heard::Busy(how)) => again(how, None, Why::Busy),
                Some(Heard::Refused(reason)) => {
                    Ending::Over(Err(Error::Refused { function: function(), reason }))
                }
                Some(Heard::Stop) => Ending::Over(Err(self.stopped())),
                None => {
                    let how = format!("took longer than {:?}", self.timeout.unwrap_or_default());
                    again(how, None, Why::Died)
                }
            };
        }
    }

    fn stopped(&self) -> Error {
        Error::Stopped { function: self.call.function.clone() }
    }

    fn gave_up(&self, how: String, log: Option<String>) -> Error {
        let attempts = self.call.attempt.max(1);
        Error::GaveUp { function: self.call.function.clone(), how, attempts, log }
    }
}

/// What comes next; nothing if it does not come in time.
fn receive(heard: &Receiver<Heard>, until: Option<Instant>) -> Option<Heard> {
    let Some(until) = until else {
        return Some(heard.recv().expect("the stopper keeps a sender"));
    };
    match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(heard) => Some(heard),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => unreachable!("the stopper keeps a sender"),
    }
}

/// How long to wait before another attempt: some part of what grows, so that many who failed together do not come back
/// together.
fn pause(times: u32) -> Duration {
    let most = PAUSE_MAX * (1 << times.min(PAUSE_DOUBLINGS_MAX));
    let part = RandomState::new().hash_one(times) >> 32;
    most.mul_f64(part as f64 / f64::from(u32::MAX))
}

/// Stops a call, whatever it does at the moment.
#[derive(Debug, Default)]
pub(super) struct Stopper {
    state: Mutex<Stopping>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Stopping {
    stopped: bool,
    attempt: Option<Sender<Heard>>,
}

impl Stopper {
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(attempt) = &state.attempt {
            // It may be over.
            drop(attempt.send(Heard::Stop));
        }
        self.changed.notify_all();
    }

    /// Where the attempt that begins now is to hear of it; `false` if it is stopped already.
    fn listen(&self, attempt: Sender<Heard>) -> bool {
        let mut state = self.lock();
        state.attempt = Some(attempt);
        !state.stopped
    }

    /// Waits; `false` if it was stopped.
    fn pause(&self, time: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.stopped);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
