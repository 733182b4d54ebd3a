//! Several threads count visits with one shared counter, and no visit is lost.
//!
//! `cargo run -p catena-client --example counter [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use catena_client::Error;
use common::ExampleEngine;

const THREADS: i64 = 4;
const VISITS: i64 = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;

    let client = engine.client()?;
    println!("connected to {} at {}", client.engine(), engine.address);
    let visits = client.counter("example/visits");
    visits.reset()?;

    std::thread::scope(|scope| {
        // A client belongs to one thread, so each thread connects its own.
        let visitors: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let client = engine.client()?;
                    let visits = client.counter("example/visits");
                    (0..VISITS).try_for_each(|_| visits.increment().map(drop))
                })
            })
            .collect();
        visitors.into_iter().try_for_each(|visitor| {
            visitor.join().expect("a visitor only counts") as Result<(), Error>
        })
    })?;

    let counted = visits.get()?;
    println!("{THREADS} threads made {VISITS} visits each, counted {counted}");
    assert_eq!(counted, THREADS * VISITS, "no visit is lost or counted twice");
    visits.delete()?;
    Ok(())
}
