//! Attempts as threads of this process.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::deadline;
use super::drive::{Attempt, Call, Heard, Place, Said};
use super::functions::{Context, Functions, Stop};

pub(super) struct Threads {
    functions: Arc<Functions>,
}

impl Threads {
    pub(super) fn new(functions: Functions) -> Self {
        Self { functions: Arc::new(functions) }
    }
}

/// A thread cannot be ended; it is not listened to any more.
struct Left;

impl Attempt for Left {}

impl Place for Threads {
    fn begin(&self, call: &Call, heard: Sender<Heard>) -> Box<dyn Attempt> {
        let (functions, call) = (self.functions.clone(), call.clone());
        let refused = heard.clone();
        let thread = thread::Builder::new().name(call.function.clone()).spawn(move || {
            let say = |said| heard.send(Heard::Said { said, log: None });
            let tell = |event| {
                say(Said::Event(event)).map_err(|_| Stop::Failed("nobody listens any more".into()))
            };
            let deadline = deadline(call.seconds.map(Duration::from_secs_f64));
            let context = Context::new(call.attempt, deadline, true, &tell);
            // What a panic leaves behind is the function's own; it is not touched again.
            let run = AssertUnwindSafe(|| functions.run(call, &context));
            let last = match panic::catch_unwind(run) {
                Ok(said) => Heard::Said { said, log: None },
                Err(payload) => Heard::Death { how: panicked(&*payload), log: None },
            };
            drop(heard.send(last));
        });
        if let Err(cause) = thread {
            drop(refused.send(Heard::Busy(cause.to_string())));
        }
        Box::new(Left)
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
