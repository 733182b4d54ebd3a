//! Workers as threads of this process.

use std::sync::mpsc;
use std::thread;

use crate::coordination::AllReduce;
use crate::error::Result;
use crate::job::{Board, Event, Job, Summary};

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
    let points = thread::scope(|scope| {
        let loading: Vec<_> =
            (0..job.workers).map(|party| scope.spawn(move || job.load(party))).collect();
        loading
            .into_iter()
            .map(|worker| worker.join().expect("workers do not panic"))
            .collect::<Result<Vec<_>>>()
    })?;
    for party in 0..job.workers {
        board.note(party, &Event::Loaded)?;
    }
    on_event(&Event::Loaded);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let mut workers = Vec::new();
        for (party, points) in (0..).zip(&points) {
            let (sender, join) = (sender.clone(), &join);
            workers.push(scope.spawn(move || {
                let mut tell = |event| {
                    sender
                        .send((party, event))
                        .expect("the driver listens until the last worker is gone");
                    Ok(())
                };
                job.work(party, points, &mut join(job, party)?, false, &mut tell)
            }));
        }
        drop(sender);
        for (party, event) in receiver {
            board.note(party, &event)?;
            on_event(&event);
        }
        workers.into_iter().try_for_each(|worker| worker.join().expect("workers do not panic"))
    })?;
    Ok(board.finish())
}
