//! What the examples share: an engine to connect to, worker threads, random numbers.

#![allow(dead_code, reason = "not every example needs all of it")]

use catena_client::Client;
use catena_engine::{Engine, StartError};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The engine at the address given on the command line, or one that this program starts, and that
/// stops with it.
pub(crate) struct ExampleEngine {
    pub(crate) address: String,
    _own: Option<Engine>,
}

impl ExampleEngine {
    pub(crate) fn find() -> Result<ExampleEngine, StartError> {
        if let Some(address) = std::env::args().nth(1) {
            return Ok(ExampleEngine { address, _own: None });
        }
        let engine = Engine::builder().cores(1).start()?;
        Ok(ExampleEngine { address: engine.addresses()[0].to_string(), _own: Some(engine) })
    }

    /// Connects a new client; each thread needs its own.
    pub(crate) fn client(&self) -> Result<Client, catena_client::Error> {
        Client::connect(&self.address)
    }
}

/// Runs `work` in this many threads, each with its number, and returns the first error.
pub(crate) fn in_threads<E: Send>(
    workers: u32,
    work: impl Fn(u32) -> Result<(), E> + Sync,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..workers).map(|at| scope.spawn(move || work(at))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a worker returns its errors"))
    })
}

/// Random numbers that are the same in every run.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(SplitMix64::seed_from_u64(seed))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.bits() >> 32).expect("32 bits")) / 4_294_967_296.0
    }
}
