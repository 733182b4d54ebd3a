//! A queue of work whose items survive their workers: words are counted by several of them, of which
//! one gives up half-way.
//!
//! `cargo run -p catena-client --example work [HOST:PORT]`; without an address it starts an engine of
//! its own.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::{Duration, Instant};

use catena_client::{Client, Error};
use catena_engine::Engine;

const WORKERS: u32 = 4;
const LINES: [&str; 4] = [
    "the quick brown fox jumps over the lazy dog",
    "the dog sleeps on",
    "a fox is a fox is a fox",
    "so the fox jumps again",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (_engine, address) = match std::env::args().nth(1) {
        Some(address) => (None, address),
        None => {
            let engine = Engine::builder().cores(1).start()?;
            let address = engine.addresses()[0].to_string();
            (Some(engine), address)
        }
    };

    let client = Client::connect(&address)?;
    // Everything of this job has one prefix, and goes away with it.
    let job = client.scope("example/words/");
    job.delete_all()?;
    job.list("lines").extend(LINES)?;
    std::thread::scope(|scope| {
        let address = &address;
        let workers: Vec<_> =
            (0..WORKERS).map(|worker| scope.spawn(move || work(address, worker))).collect();
        let mut workers = workers.into_iter();
        workers.try_for_each(|worker| worker.join().expect("a worker passes its errors on"))
    })?;

    for entry in job.map("words").entries() {
        let (word, count) = entry?;
        let count = count.first_chunk().map_or(0, |count| i64::from_le_bytes(*count));
        println!("{count:3} {}", String::from_utf8_lossy(&word));
    }
    println!("{} objects deleted", job.delete_all()?);
    Ok(())
}

/// One worker: takes line by line until there are none for a while.
fn work(address: &str, worker: u32) -> Result<(), Error> {
    let client = Client::connect(address)?;
    // As a function on Lambda would, which is told when it ends.
    client.set_deadline(Instant::now() + Duration::from_secs(60));
    let job = client.scope("example/words/");
    let (lines, words) = (job.list("lines"), job.map("words"));
    while let Ok(claim) = lines.claim(Duration::from_millis(200)) {
        if worker == 0 {
            // This one drops what it has; another one finds it at the front of the list.
            return Ok(());
        }
        let line = String::from_utf8_lossy(&claim).into_owned();
        // Who dies between these two lets the line be counted twice. A job that minds lets the words
        // of each line be added under a name of their own, or by a type of its own.
        words.add_all(line.split(' ').map(|word| (word, 1)))?;
        claim.done()?;
    }
    Ok(())
}
