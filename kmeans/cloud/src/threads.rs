//! Attempts as threads of this process.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::deadline;
use super::driver::{Attempt, AttemptEvent, Backend, Message, Request};
use super::functions::{Context, Failure, Functions};

pub(super) struct Threads {
    functions: Arc<Functions>,
}

impl Threads {
    pub(super) fn new(functions: Functions) -> Self {
        Self { functions: Arc::new(functions) }
    }
}

/// A thread cannot be ended; when this is dropped, its events are no longer received.
struct Detached;

impl Attempt for Detached {}

impl Backend for Threads {
    fn start(&self, request: &Request, events: Sender<AttemptEvent>) -> Box<dyn Attempt> {
        let (functions, request) = (self.functions.clone(), request.clone());
        let refused = events.clone();
        let thread = thread::Builder::new().name(request.function.clone()).spawn(move || {
            let report = |progress| {
                let message = Message::Progress(progress);
                let sent = events.send(AttemptEvent::Message { message, log: None });
                sent.map_err(|_| Failure::Final("the caller has stopped listening".into()))
            };
            let deadline = deadline(request.seconds.map(Duration::from_secs_f64));
            let context = Context::new(request.attempt, deadline, true, &report);
            // What a panic leaves behind belongs to the function and is not used again.
            let run = AssertUnwindSafe(|| functions.run(request, &context));
            let last = match panic::catch_unwind(run) {
                Ok(message) => AttemptEvent::Message { message, log: None },
                Err(payload) => AttemptEvent::Died { reason: panicked(&*payload), log: None },
            };
            drop(events.send(last));
        });
        if let Err(cause) = thread {
            drop(refused.send(AttemptEvent::Busy(cause.to_string())));
        }
        Box::new(Detached)
    }

    fn is_live(&self) -> bool {
        true
    }
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.map_or_else(|| "panicked".to_string(), |text| format!("panicked: {text}"))
}
