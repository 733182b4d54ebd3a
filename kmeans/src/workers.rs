//! Drives a job whose workers run elsewhere: in processes, or as invocations of a function.
//!
//! The driver creates the job's shared objects, and workers only open them; the owner of the engine
//! has them deleted at the end ([`JobEngine::clear`](crate::link::JobEngine::clear)). A worker that
//! dies is started again and catches up; an error of a worker ends the run. If workers report only
//! with their result, the driver watches the job's shared objects meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use catena_cloud::{CallEvent, CallGuard, Cloud};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::job::{Job, RunSummary, SummaryBuilder, WorkerEvent};
use crate::link::JobWatch;
use crate::worker::{Assignment, FUNCTION};

/// How often the shared objects of a job are read.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// How long the driver waits for workers after it has abandoned the job.
const ABANDON_TIME_MAX: Duration = Duration::from_secs(5);

/// A worker that died and is started again.
#[derive(Debug)]
pub struct WorkerRestart {
    /// Number of the worker.
    pub party: u32,
    /// How it ended.
    pub reason: String,
    /// The end of its log, if that is known.
    pub log: Option<String>,
}

/// When a run is stopped although it is not over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunLimit {
    /// The flag that demands it.
    pub flag: &'static str,
    /// How long the workers may run.
    pub time: Duration,
    /// Whether another driver goes on with the job ([`Job::resumable`]): then its workers are not stopped.
    pub is_pause: bool,
}

/// What the driver receives.
enum DriverEvent {
    Worker(u32, CallEvent),
    Watch(WorkerEvent),
}

/// Runs a job with one call of [`FUNCTION`] per worker; the program that is called has to serve
/// [`crate::worker::functions`].
///
/// # Errors
///
/// The first error of a worker, or a worker that dies too often.
pub fn run(
    job: &Job,
    cloud: &Cloud,
    on_event: &mut dyn FnMut(&WorkerEvent),
    on_restart: &mut dyn FnMut(&WorkerRestart),
) -> Result<RunSummary> {
    run_within(job, cloud, None, on_event, on_restart)
}

/// Like [`run`], within a limit.
///
/// # Errors
///
/// Those of [`run`], and [`Error::LimitReached`].
pub fn run_within(
    job: &Job,
    cloud: &Cloud,
    limit: Option<RunLimit>,
    on_event: &mut dyn FnMut(&WorkerEvent),
    on_restart: &mut dyn FnMut(&WorkerRestart),
) -> Result<RunSummary> {
    job.check()?;
    JobWatch::open(job)?.prepare()?;
    let job = &Job { prepared: true, ..job.clone() };
    let (sender, events) = mpsc::channel();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = (!cloud.is_live()).then(|| {
            let sender = sender.clone();
            scope.spawn(|| watch(job, &over, sender))
        });
        let calls = start(job, cloud, &sender)?;
        drop(sender);
        let mut running = job.workers;
        let driven = drive(job, &events, limit, &mut running, on_event, on_restart);
        let is_paused = matches!(driven, Err(Error::LimitReached { .. }))
            && limit.is_some_and(|limit| limit.is_pause);
        if let Err(error) = &driven
            && !cloud.is_live()
            && !is_paused
        {
            // Invocations cannot be stopped, but they need not wait for workers that do not come.
            abandon(job, error, running, &events);
        }
        over.store(true, Ordering::Relaxed);
        if let Some(watcher) = watcher {
            watcher.thread().unpark();
        }
        drop(calls);
        let mut summary = driven?;
        if !cloud.is_live() {
            summary.done.centroids = JobWatch::open(job)?.result()?;
        }
        Ok(summary)
    })
}

fn start(job: &Job, cloud: &Cloud, sender: &Sender<DriverEvent>) -> Result<Vec<CallGuard>> {
    (0..job.workers)
        .map(|party| {
            let sender = sender.clone();
            let call = cloud.start(FUNCTION, &Assignment::of(job, party), move |event| {
                // After an error the driver no longer listens.
                drop(sender.send(DriverEvent::Worker(party, event)));
            });
            call.map_err(Error::Cloud)
        })
        .collect()
}

/// Receives events until all workers have finished, or until the first error.
fn drive(
    job: &Job,
    events: &Receiver<DriverEvent>,
    limit: Option<RunLimit>,
    running: &mut u32,
    on_event: &mut dyn FnMut(&WorkerEvent),
    on_restart: &mut dyn FnMut(&WorkerRestart),
) -> Result<RunSummary> {
    let mut builder = SummaryBuilder::new(job.workers);
    let start = Instant::now();
    while *running > 0 {
        let event = match limit {
            None => events.recv().expect("running workers have a sender"),
            Some(limit) => {
                let left = limit.time.saturating_sub(start.elapsed());
                events.recv_timeout(left).map_err(|_| Error::LimitReached {
                    limit: limit.flag,
                    seconds: start.elapsed().as_secs_f64(),
                })?
            }
        };
        let event = match event {
            DriverEvent::Watch(event) => event,
            DriverEvent::Worker(party, CallEvent::Progress(event)) => typed(party, event)?,
            DriverEvent::Worker(party, CallEvent::Retrying { reason, log }) => {
                on_restart(&WorkerRestart { party, reason, log });
                continue;
            }
            DriverEvent::Worker(party, CallEvent::Finished(result)) => {
                *running -= 1;
                let result = result.map_err(|error| worker_error(party, error))?;
                builder.note_done(party, typed(party, result)?);
                continue;
            }
        };
        builder.note(&event);
        on_event(&event);
    }
    Ok(builder.finish())
}

fn typed<T: serde::de::DeserializeOwned>(party: u32, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|cause| Error::Worker {
        message: format!("worker {party} is another version of this program: {cause}"),
    })
}

/// Converts the error of a worker's call.
fn worker_error(party: u32, error: catena_cloud::Error) -> Error {
    match error {
        // The worker's own message names its file and row.
        catena_cloud::Error::Failed { message, .. } => Error::Worker { message },
        catena_cloud::Error::GaveUp { reason, attempts, is_stuck, log, .. } => {
            Error::WorkerDied { party, reason, attempts, is_stuck, log }
        }
        other => Error::Cloud(other),
    }
}

/// Makes workers that wait for others return, and waits for them for a short time.
fn abandon(job: &Job, error: &Error, mut running: u32, events: &Receiver<DriverEvent>) {
    let reason = error.to_string();
    let reason = reason.lines().next().unwrap_or_default();
    // Without an engine no worker waits.
    if JobWatch::open(job).and_then(|watch| watch.abandon(reason)).is_err() {
        return;
    }
    let until = Instant::now() + ABANDON_TIME_MAX;
    while running > 0 {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(DriverEvent::Worker(_, CallEvent::Finished(_))) => running -= 1,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Reports what the job's shared objects show, until the job is over or its engine is unreachable.
fn watch(job: &Job, over: &AtomicBool, sender: Sender<DriverEvent>) {
    let Ok(watch) = JobWatch::open(job) else { return };
    let (mut read, mut seen) = (0, None);
    while !over.load(Ordering::Relaxed) {
        let (Ok(bytes), Ok(round)) = (watch.read(), watch.round()) else { return };
        let more = WorkerEvent::Read(bytes.saturating_sub(read));
        read = bytes;
        let next = round.filter(|_| round != seen);
        let next = next.map(|(round, moved)| WorkerEvent::Seen { round, moved });
        seen = round;
        for event in [Some(more), next].into_iter().flatten() {
            if sender.send(DriverEvent::Watch(event)).is_err() {
                return;
            }
        }
        thread::park_timeout(WATCH_EVERY);
    }
}
