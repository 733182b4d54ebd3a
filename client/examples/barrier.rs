//! Workers that go through a computation step by step, none ahead of the others.
//!
//! `cargo run -p catena-client --example barrier [HOST:PORT]`; without an address it starts an
//! engine of its own.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::{Duration, Instant};

use catena_client::{Client, Error};
use catena_engine::Engine;

const WORKERS: u32 = 8;
const STEPS: i64 = 100;
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = Engine::builder().cores(1);
    let (_engine, address) = match std::env::args().nth(1) {
        Some(address) => (None, address),
        None => {
            let engine = own.start()?;
            let address = engine.addresses()[0].to_string();
            (Some(engine), address)
        }
    };

    let client = Client::connect(&address)?;
    client.barrier("example/step").delete()?;
    client.counter("example/work").reset()?;

    let start = Instant::now();
    std::thread::scope(|scope| {
        let address = &address;
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
