//! Workers as threads of this process.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::coordination::AllReduce;
use crate::data::ReadMeter;
use crate::error::Result;
use crate::job::{Job, LoadedRows, RunSummary, SummaryBuilder, WorkerEvent};

/// How often progress of reading is reported.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// Runs a job with one thread per worker; `join` connects each of them to the others.
///
/// All rows are read before the first contribution, so a malformed row ends the run at once.
///
/// # Errors
///
/// The first error of a worker.
pub fn run<'j, L: AllReduce>(
    job: &'j Job,
    join: impl Fn(&'j Job, u32) -> Result<L> + Sync,
    on_event: &mut dyn FnMut(&WorkerEvent),
) -> Result<RunSummary> {
    job.check()?;
    let mut builder = SummaryBuilder::new(job.workers);
    let start = Instant::now();
    let points = load(job, on_event)?;
    let loaded = WorkerEvent::Loaded { seconds: start.elapsed().as_secs_f64() };
    builder.note(&loaded);
    on_event(&loaded);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let mut workers = Vec::new();
        for (party, points) in (0..).zip(points) {
            let (sender, join) = (sender.clone(), &join);
            workers.push(scope.spawn(move || {
                let mut report = |event| {
                    sender.send(event).expect("the driver listens until all workers have ended");
                    Ok(())
                };
                job.work(party, points, &mut join(job, party)?, job.resumable, &mut report)
            }));
        }
        drop(sender);
        for event in receiver {
            builder.note(&event);
            on_event(&event);
        }
        (0..).zip(workers).try_for_each(|(party, worker)| {
            builder.note_done(party, worker.join().expect("workers do not panic")?);
            Ok(())
        })
    })?;
    Ok(builder.finish())
}

/// Reads the rows of all workers and reports progress.
fn load(job: &Job, on_event: &mut dyn FnMut(&WorkerEvent)) -> Result<Vec<LoadedRows>> {
    let meter = ReadMeter::default();
    let (working, finished) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let loading: Vec<_> = (0..job.workers)
            .map(|party| {
                let (meter, working) = (&meter, working.clone());
                scope.spawn(move || {
                    let loaded = job.load(party, meter);
                    drop(working);
                    loaded
                })
            })
            .collect();
        drop(working);
        let mut reported = 0;
        while finished.recv_timeout(REPORT_EVERY) == Err(RecvTimeoutError::Timeout) {
            let bytes = meter.bytes();
            on_event(&WorkerEvent::Read(bytes - reported));
            reported = bytes;
        }
        loading.into_iter().map(|worker| worker.join().expect("workers do not panic")).collect()
    })
}
