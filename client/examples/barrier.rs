//! Workers that compute in lockstep: none begins a step before all have finished the previous one.
//!
//! `cargo run -p catena-client --example barrier [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use std::time::{Duration, Instant};

use catena_client::{Client, Error};
use common::ExampleEngine;

const WORKERS: u32 = 8;
const STEPS: i64 = 100;
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;

    let client = engine.client()?;
    client.barrier("example/step").delete()?;
    client.counter("example/work").reset()?;

    let start = Instant::now();
    std::thread::scope(|scope| {
        let address = &engine.address;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(address, &format!("worker {worker}"))))
            .collect();
        let mut workers = workers.into_iter();
        workers.try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })?;
    println!("{WORKERS} workers took {STEPS} steps together in {:?}", start.elapsed());
    client.barrier("example/step").delete()?;
    client.counter("example/work").delete()?;
    Ok(())
}

/// Runs one worker, which does its part of each step and then waits for the others.
fn work(address: &str, name: &str) -> Result<(), Error> {
    let client = Client::connect(address)?;
    let done = client.counter("example/work");
    let barrier = client.barrier("example/step");
    let mut me = barrier.party(name, WORKERS);
    for step in 1..=STEPS {
        done.increment()?;
        me.wait(TIMEOUT)?;
        assert_eq!(done.get()?, step * i64::from(WORKERS), "{name} sees all of step {step}");
        // No worker begins the next step before all have checked this one.
        me.wait(TIMEOUT)?;
    }
    Ok(())
}
