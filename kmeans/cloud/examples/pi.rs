//! Estimates pi by throwing darts, on threads, in processes, or in environments of Lambda.
//!
//! `cargo run -p catena-cloud --example pi [threads | processes]`
//!
//! With the feature `lambda` this program is also the function: named `bootstrap`, zipped and
//! uploaded as `pi`, it throws the darts there for `pi lambda:pi`. The URL of an emulator may
//! follow.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use catena_cloud::{Cloud, Context, Failure, Functions};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

const CALLS: u64 = 8;
const DARTS_EACH: u64 = 500_000;

#[derive(Serialize, Deserialize)]
struct Darts {
    seed: u64,
    count: u64,
}

/// Returns how many darts hit the quarter of the circle.
fn throw(_: &Context<'_>, Darts { seed, count }: Darts) -> Result<u64, Failure> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut unit = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    Ok((0..count).filter(|_| unit().powi(2) + unit().powi(2) < 1.0).count() as u64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A process that was started to run a function does not get past this line.
    let functions = Functions::new().with("throw", throw).serve();

    let mut arguments = std::env::args().skip(1);
    let backend = arguments.next().unwrap_or_else(|| "threads".into());
    let cloud = match (&*backend, backend.strip_prefix("lambda:")) {
        ("threads", _) => Cloud::threads(functions),
        ("processes", _) => Cloud::processes(std::env::current_exe()?),
        #[cfg(feature = "lambda")]
        (_, Some(name)) => Cloud::lambda(name, arguments.next().as_deref())?,
        _ if cfg!(feature = "lambda") => return Err("threads, processes or lambda:NAME?".into()),
        _ => return Err("threads or processes? lambda:NAME takes --features lambda".into()),
    };

    let calls = (0..CALLS).map(|seed| Darts { seed, count: DARTS_EACH });
    let hits: u64 = cloud.invoke_all::<_, u64>("throw", calls)?.into_iter().sum();

    let thrown = CALLS * DARTS_EACH;
    let pi = 4.0 * hits as f64 / thrown as f64;
    println!("{CALLS} {backend} threw {thrown} darts: pi is about {pi:.4}");
    assert!((pi - std::f64::consts::PI).abs() < 0.01, "{pi} is not pi");
    Ok(())
}
