//! Pi by throwing darts, wherever there is room: on threads, in processes, or in environments of Lambda.
//!
//! `cargo run -p catena-cloud --example pi [threads | processes]`
//!
//! With the feature `lambda`, this program is also the function: called `bootstrap`, zipped and uploaded as `pi`, it
//! throws the darts there for `pi lambda:pi`. An emulator's URL may follow.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use catena_cloud::{Cloud, Context, Functions, Stop};
use serde::{Deserialize, Serialize};

const CALLS: u64 = 8;
const DARTS_EACH: u64 = 500_000;

#[derive(Serialize, Deserialize)]
struct Darts {
    seed: u64,
    count: u64,
}

/// How many darts hit the quarter of the circle.
fn throw(_: &Context<'_>, Darts { seed, count }: Darts) -> Result<u64, Stop> {
    let mut state = seed;
    // SplitMix64: a sum, and a mixture of its bits.
    let mut unit = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 11) as f64 / (1u64 << 53) as f64
    };
    Ok((0..count).filter(|_| unit().powi(2) + unit().powi(2) < 1.0).count() as u64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Where this program was started as a function, it goes no further.
    let functions = Functions::new().with("throw", throw).serve();

    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "threads".into());
    let cloud = match (&*place, place.strip_prefix("lambda:")) {
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
    println!("{CALLS} {place} threw {thrown} darts: pi is about {pi:.4}");
    assert!((pi - std::f64::consts::PI).abs() < 0.01, "{pi} is not pi");
    Ok(())
}
