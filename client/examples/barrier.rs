//! Workers that go through a computation step by step, none ahead of the others.
//!
//! `cargo run -p catena-client --example barrier [HOST:PORT]`; without an address it starts an
//! engine of its own.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use std::time::{Duration, Instant};

use catena_client::{Client, Error};
use common::Place;

const WORKERS: u32 = 8;
const STEPS: i64 = 100;
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = Place::find()?;

    let client = place.client()?;
    client.barrier("example/step").delete()?;
    client.counter("example/work").reset()?;

    let start = Instant::now();
    std::thread::scope(|scope| {
        let address = &place.address;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(address, &format!("worker {worker}"))))
            .collect();
        let mut workers = workers.into_iter();
        workers.try_for_each(|worker| worker.join().expect("a worker passes its errors on"))
    })?;
    println!("{WORKERS} workers took {STEPS} steps together in {:?}", start.elapsed());
    client.barrier("example/step").delete()?;
    client.counter("example/work").delete()?;
    Ok(())
}

/// One worker: does its part of each step, then waits for the others to have done theirs.
fn work(address: &str, name: &str) -> Result<(), Error> {
    let client = Client::connect(address)?;
    let done = client.counter("example/work");
    let barrier = client.barrier("example/step");
    let mut me = barrier.party(name, WORKERS);
    for step in 1..=STEPS {
        done.increment()?;
        me.wait(TIMEOUT)?;
        assert_eq!(done.get()?, step * i64::from(WORKERS), "{name} sees all of step {step}");
        // Nobody begins the next step before everybody has looked.
        me.wait(TIMEOUT)?;
    }
    Ok(())
}
