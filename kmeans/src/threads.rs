//! Workers as threads of this process.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::coordination::AllReduce;
use crate::data::Meter;
use crate::error::Result;
use crate::job::{Board, Event, Job, Loaded, Summary};

/// How often it is told how much has been read.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// Runs a job with one thread per worker; `join` gives each its way to the others.
///
/// All rows are read before anybody contributes, so a bad row ends the run at once.
///
/// # Errors
///
/// The first that a worker met.
pub fn run<'j, L: AllReduce>(
    job: &'j Job,
    join: impl Fn(&'j Job, u32) -> Result<L> + Sync,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Summary> {
    job.check()?;
    let mut board = Board::new(job.workers);
    let start = Instant::now();
    let points = load(job, on_event)?;
    let loaded = Event::Loaded { seconds: start.elapsed().as_secs_f64() };
    board.note(&loaded);
    on_event(&loaded);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let mut workers = Vec::new();
        for (party, points) in (0..).zip(points) {
            let (sender, join) = (sender.clone(), &join);
            workers.push(scope.spawn(move || {
                let mut tell = |event| {
                    sender.send(event).expect("the driver listens until the last worker is gone");
                    Ok(())
                };
                job.work(party, points, &mut join(job, party)?, false, &mut tell)
            }));
        }
        drop(sender);
        for event in receiver {
            board.note(&event);
            on_event(&event);
        }
        (0..).zip(workers).try_for_each(|(party, worker)| {
            board.note_done(party, worker.join().expect("workers do not panic")?);
            Ok(())
        })
    })?;
    Ok(board.finish())
}

/// Reads the rows of all workers, and tells how far that is.
fn load(job: &Job, on_event: &mut dyn FnMut(&Event)) -> Result<Vec<Loaded>> {
    let meter = Meter::default();
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
        let mut told = 0;
        while finished.recv_timeout(TELL_EVERY) == Err(RecvTimeoutError::Timeout) {
            let bytes = meter.bytes();
            on_event(&Event::Read(bytes - told));
            told = bytes;
        }
        loading.into_iter().map(|worker| worker.join().expect("workers do not panic")).collect()
    })
}
