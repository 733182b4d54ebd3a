//! The client against scripted peers, which misbehave on demand, and against a real engine. All on
//! loopback, all on ports the system chooses.

#![allow(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

mod allocation;
#[cfg(feature = "tokio")]
mod asynchrony;
mod cancelled;
mod cluster;
mod collections;
mod connections;
mod counterparts;
mod crowd;
mod exactly_once;
mod holders;
mod hostile;
mod kinds;
mod members;
mod names;
mod peer;
mod pipelines;
mod proxy;
mod replicated;
mod retries;
mod sharing;
#[cfg(feature = "tracing")]
mod traces;
#[cfg(feature = "serde")]
mod typed;
mod users;
mod values;
mod views;
mod waits;

use std::time::Duration;

use catena_client::{Client, Error, Status};
use catena_engine::Engine;

/// Longer than any wait that succeeds.
const LONG: Duration = Duration::from_secs(30);

/// The timeout of waits that time out.
const SHORT: Duration = Duration::from_millis(80);

/// Starts an engine with `cores` cores, and connects a client.
fn engine(cores: usize) -> (Engine, Client) {
    let engine = Engine::builder().cores(cores).start().expect("an engine starts on loopback");
    let client = Client::connect(engine.addresses()[0]).expect("the engine answers");
    (engine, client)
}

/// The status of a call that must fail.
fn status<T: std::fmt::Debug>(result: Result<T, Error>) -> Status {
    result.unwrap_err().status().expect("the engine said why")
}
