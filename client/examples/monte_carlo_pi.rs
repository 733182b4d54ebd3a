//! Estimates pi by throwing darts: workers that share only counters.
//!
//! `cargo run -p catena-client --example monte_carlo_pi [HOST:PORT]`; without an
//! address it starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use catena_client::Error;
use common::{ExampleEngine, Random, in_threads};

const WORKERS: u32 = 8;
const DARTS_EACH: u32 = 250_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;
    let client = engine.client()?;
    let (hits, thrown) = (client.counter("example/pi/hits"), client.counter("example/pi/thrown"));
    hits.reset()?;
    thrown.reset()?;

    in_threads(WORKERS, |worker| -> Result<(), Error> {
        let mut random = Random::new(u64::from(worker));
        let inside =
            (0..DARTS_EACH).filter(|_| random.unit().powi(2) + random.unit().powi(2) < 1.0).count();
        let client = engine.client()?;
        client.counter("example/pi/hits").add(i64::try_from(inside).expect("few darts"))?;
        client.counter("example/pi/thrown").add(DARTS_EACH.into())?;
        Ok(())
    })?;

    let (hits, thrown) = (hits.get()?, thrown.get()?);
    #[allow(clippy::cast_precision_loss, reason = "a few million darts")]
    let pi = 4.0 * hits as f64 / thrown as f64;
    println!("{WORKERS} workers threw {thrown} darts: pi is about {pi:.4}");
    assert_eq!(thrown, i64::from(WORKERS) * i64::from(DARTS_EACH), "every dart counts once");
    assert!((pi - std::f64::consts::PI).abs() < 0.01, "{pi} is not pi");
    client.delete_prefix("example/pi/")?;
    Ok(())
}
