//! What the examples share.

#![allow(dead_code, reason = "not every example needs all of it")]

use catena_client::Client;
use catena_engine::{Engine, StartError};

/// The engine at the address given on the command line, or one of this program's own, which stops
/// with it.
pub(crate) struct Place {
    pub(crate) address: String,
    _own: Option<Engine>,
}

impl Place {
    pub(crate) fn find() -> Result<Place, StartError> {
        if let Some(address) = std::env::args().nth(1) {
            return Ok(Place { address, _own: None });
        }
        let engine = Engine::builder().cores(1).start()?;
        Ok(Place { address: engine.addresses()[0].to_string(), _own: Some(engine) })
    }

    /// A client of one's own, as every thread has.
    pub(crate) fn client(&self) -> Result<Client, catena_client::Error> {
        Client::connect(&self.address)
    }
}

/// Runs `work` in so many threads, each with its number, and passes on the first error.
pub(crate) fn together<E: Send>(
    workers: u32,
    work: impl Fn(u32) -> Result<(), E> + Sync,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..workers).map(|at| scope.spawn(move || work(at))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a worker passes its errors on"))
    })
}

/// Numbers that look random and are the same every time (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.bits() >> 32).expect("32 bits")) / 4_294_967_296.0
    }
}
