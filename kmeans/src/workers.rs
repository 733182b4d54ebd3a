//! Driving a job whose workers are somewhere else: processes, or invocations of a function.
//!
//! The driver makes the job's shared objects, which workers only open; whoever chose the engine has them deleted in the
//! end ([`Place::clear`](crate::link::Place::clear)).
//! One that dies is called again and catches up; one that reports an error ends the run. Where workers tell only in
//! the end, the driver looks at the job's shared objects meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use catena_cloud::{CallEvent, CallGuard, Cloud};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::job::{Board, Event, Job, Summary};
use crate::link::Watch;
use crate::worker::{Assignment, FUNCTION};

/// How often the shared objects of a job are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long workers that were sent home may take to be gone.
const HOME_MAX: Duration = Duration::from_secs(5);

/// What the driver reports beside the workers' events.
#[derive(Debug)]
pub struct Again {
    /// Which worker is called again.
    pub party: u32,
    /// How it ended before.
    pub how: String,
    /// The end of its log, where that is known.
    pub log: Option<String>,
}

/// What is heard, and of whom.
enum Heard {
    Worker(u32, CallEvent),
    Watch(Event),
}

/// Runs a job with one call of [`FUNCTION`] per worker; what is called has to serve [`crate::worker::functions`].
///
/// # Errors
///
/// The first that a worker reports, or a worker that keeps dying.
pub fn run(
    job: &Job,
    cloud: &Cloud,
    on_event: &mut dyn FnMut(&Event),
    on_again: &mut dyn FnMut(&Again),
) -> Result<Summary> {
    job.check()?;
    Watch::open(job)?.prepare()?;
    let job = &Job { prepared: true, ..job.clone() };
    let (sender, heard) = mpsc::channel();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watched = (!cloud.is_live()).then(|| {
            let sender = sender.clone();
            scope.spawn(|| watch(job, &over, sender))
        });
        let calls = call(job, cloud, &sender)?;
        drop(sender);
        let mut running = job.workers;
        let driven = drive(job, &heard, &mut running, on_event, on_again);
        if let Err(error) = &driven
            && !cloud.is_live()
        {
            // Calls cannot be taken back, but nobody needs to wait for a worker that does not come.
            go_home(job, error, running, &heard);
        }
        over.store(true, Ordering::Relaxed);
        if let Some(watched) = watched {
            watched.thread().unpark();
        }
        drop(calls);
        driven
    })
}

fn call(job: &Job, cloud: &Cloud, sender: &Sender<Heard>) -> Result<Vec<CallGuard>> {
    (0..job.workers)
        .map(|party| {
            let sender = sender.clone();
            let running = cloud.start(FUNCTION, &Assignment::of(job, party), move |told| {
                // The driver may be gone after an error.
                drop(sender.send(Heard::Worker(party, told)));
            });
            running.map_err(Error::Cloud)
        })
        .collect()
}

/// Hears all workers out; ends with the first error.
fn drive(
    job: &Job,
    heard: &Receiver<Heard>,
    running: &mut u32,
    on_event: &mut dyn FnMut(&Event),
    on_again: &mut dyn FnMut(&Again),
) -> Result<Summary> {
    let mut board = Board::new(job.workers);
    while *running > 0 {
        let event = match heard.recv().expect("workers run, and their ends are told") {
            Heard::Watch(event) => event,
            Heard::Worker(party, CallEvent::Progress(event)) => typed(party, event)?,
            Heard::Worker(party, CallEvent::Retrying { reason: how, log }) => {
                on_again(&Again { party, how, log });
                continue;
            }
            Heard::Worker(party, CallEvent::Finished(result)) => {
                *running -= 1;
                let done = result.map_err(|error| ended(party, error))?;
                board.note_done(party, typed(party, done)?);
                continue;
            }
        };
        board.note(&event);
        on_event(&event);
    }
    Ok(board.finish())
}

fn typed<T: serde::de::DeserializeOwned>(party: u32, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|cause| Error::Worker {
        message: format!("worker {party} is another version of this program: {cause}"),
    })
}

/// What the end of a worker means for the run.
fn ended(party: u32, error: catena_cloud::Error) -> Error {
    match error {
        // It names its file and row by itself.
        catena_cloud::Error::Failed { message, .. } => Error::Worker { message },
        catena_cloud::Error::GaveUp { reason: how, attempts, log, .. } => {
            Error::WorkerDied { party, how, starts: attempts, log }
        }
        other => Error::Cloud(other),
    }
}

/// Lets those that still run find out that there is nothing to wait for, and waits a little for them.
fn go_home(job: &Job, error: &Error, mut running: u32, heard: &Receiver<Heard>) {
    let reason = error.to_string();
    let reason = reason.lines().next().unwrap_or_default();
    // Without an engine nobody waits in it.
    if Watch::open(job).and_then(|watch| watch.abandon(reason)).is_err() {
        return;
    }
    let until = Instant::now() + HOME_MAX;
    while running > 0 {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Heard::Worker(_, CallEvent::Finished(_))) => running -= 1,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Tells what can be seen of a job until it is over, or its engine gone.
fn watch(job: &Job, over: &AtomicBool, sender: Sender<Heard>) {
    let Ok(watch) = Watch::open(job) else { return };
    let (mut read, mut seen) = (0, None);
    while !over.load(Ordering::Relaxed) {
        let (Ok(bytes), Ok(round)) = (watch.read(), watch.round()) else { return };
        let more = Event::Read(bytes.saturating_sub(read));
        read = bytes;
        let next =
            round.filter(|_| round != seen).map(|(round, moved)| Event::Seen { round, moved });
        seen = round;
        for event in [Some(more), next].into_iter().flatten() {
            if sender.send(Heard::Watch(event)).is_err() {
                return;
            }
        }
        thread::park_timeout(LOOK_EVERY);
    }
}
