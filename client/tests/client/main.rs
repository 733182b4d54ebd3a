//! The client against scripted peers, which misbehave on demand, and against a real engine. All on
//! loopback, all on ports the system chooses.

#![allow(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

mod allocation;
mod connections;
mod exactly_once;
mod hostile;
mod kinds;
mod peer;
mod pipelines;
mod proxy;
mod retries;
mod users;
mod views;
mod waits;

use catena_client::Client;
use catena_engine::Engine;

/// An engine of `cores` cores and a client of it.
fn engine(cores: usize) -> (Engine, Client) {
    let engine = Engine::builder().cores(cores).start().expect("an engine starts on loopback");
    let client = Client::connect(engine.addresses()[0]).expect("the engine answers");
    (engine, client)
}
