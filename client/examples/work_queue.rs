//! A work queue whose workers die: an item that a dead worker had claimed returns to the queue when
//! the hold ends, and another worker takes it.
//!
//! `cargo run -p catena-client --example work_queue [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use std::mem::forget;
use std::time::{Duration, Instant};

use catena_client::{Error, Status};
use common::{ExampleEngine, Random, in_threads};

const WORKERS: u32 = 4;
const JOBS: u32 = 200;
/// The maximum run time of a function, after which the engine releases its claims.
const FUNCTION: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;
    let client = engine.client()?;
    client.delete_prefix("example/queue/")?;
    let jobs = (0..JOBS).map(|job| format!("job {job:03}"));
    client.list("example/queue/jobs").extend(jobs)?;

    let start = Instant::now();
    in_threads(WORKERS, |worker| -> Result<(), Error> {
        let mut random = Random::new(worker.into());
        // A platform that restarts the function when it dies.
        while !work(&engine, &mut random)? {}
        Ok(())
    })?;

    let (done, deaths) = (client.map("example/queue/done"), client.counter("example/queue/deaths"));
    println!(
        "{WORKERS} workers did {} jobs in {:.1?}, and died {} times",
        done.len()?,
        start.elapsed(),
        deaths.get()?
    );
    assert_eq!(done.len()?, u64::from(JOBS), "no job is lost");
    for entry in done.entries() {
        let (job, times) = entry?;
        let times = i64::from_le_bytes(times.as_slice().try_into().expect("a number"));
        assert_eq!(times, 1, "{} is done once", String::from_utf8_lossy(&job));
    }
    assert!(deaths.get()? > 0, "some worker died, as the example should show");
    client.delete_prefix("example/queue/")?;
    Ok(())
}

/// Runs a worker until no job is left, and returns true; or until it dies, and returns false.
fn work(engine: &ExampleEngine, random: &mut Random) -> Result<bool, Error> {
    let client = engine.client()?;
    client.set_deadline(Instant::now());
    let jobs = client.list("example/queue/jobs").with_hold(FUNCTION);
    let done = client.map("example/queue/done");
    loop {
        let claim = match jobs.claim(PATIENCE) {
            Ok(claim) => claim,
            Err(error) if error.status() == Some(Status::Timeout) => return Ok(true),
            Err(error) => return Err(error),
        };
        if random.unit() < 0.05 {
            client.counter("example/queue/deaths").increment()?;
            // Killed in the middle of a job: it sends nothing more.
            forget(claim);
            forget(client);
            return Ok(false);
        }
        let job = claim.to_vec();
        // Only a worker that still holds the claim counts the job as done.
        if claim.done()? {
            done.add(&job, 1)?;
        }
    }
}
