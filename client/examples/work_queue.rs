//! A queue of work whose workers die: what a worker claimed and did not get done comes back to the
//! queue when the worker could not be running any more, and is done by another.
//!
//! `cargo run -p catena-client --example work_queue [HOST:PORT]`; without an address it starts an
//! engine of its own.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use std::mem::forget;
use std::time::{Duration, Instant};

use catena_client::{Error, Status};
use common::{Place, Random, together};

const WORKERS: u32 = 4;
const JOBS: u32 = 200;
/// How long a function may run: the engine takes back what it claimed after that.
const FUNCTION: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = Place::find()?;
    let client = place.client()?;
    client.delete_prefix("example/queue/")?;
    let jobs = (0..JOBS).map(|job| format!("job {job:03}"));
    client.list("example/queue/jobs").extend(jobs)?;

    let start = Instant::now();
    together(WORKERS, |worker| -> Result<(), Error> {
        let mut random = Random(worker.into());
        // A platform that starts the function again whenever it died.
        while !work(&place, &mut random)? {}
        Ok(())
    })?;

    let (done, deaths) = (client.map("example/queue/done"), client.counter("example/queue/deaths"));
    println!(
        "{WORKERS} workers did {} jobs in {:.1?}, and died {} times over it",
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
    assert!(deaths.get()? > 0, "somebody died, or nothing was shown");
    client.delete_prefix("example/queue/")?;
    Ok(())
}

/// One life of a worker: works until nothing is left, and answers true then; or dies.
fn work(place: &Place, random: &mut Random) -> Result<bool, Error> {
    let client = place.client()?;
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
            // Killed in the middle: nothing is said to anybody any more.
            forget(claim);
            forget(client);
            return Ok(false);
        }
        let job = claim.to_vec();
        // Only who still holds the claim may say that the job is done.
        if claim.done()? {
            done.add(&job, 1)?;
        }
    }
}
