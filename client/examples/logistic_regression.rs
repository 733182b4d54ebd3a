//! Logistic regression by gradient descent: in every iteration the workers add their gradients in
//! one all-reduce, and continue with the same weights.
//!
//! `cargo run -p catena-client --example logistic_regression [HOST:PORT]`; without an
//! address it starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use std::time::{Duration, Instant};

use catena_client::{Error, ReduceOp};
use common::{ExampleEngine, Random, in_threads};

const WORKERS: u32 = 4;
const FEATURES: usize = 10;
const POINTS: u32 = 8_000;
const ITERATIONS: u32 = 60;
const RATE: f64 = 2.0;
const TIMEOUT: Duration = Duration::from_secs(20);

/// The features, the first of which is always 1, and whether the point is of the class.
type Point = ([f64; FEATURES], bool);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;
    let client = engine.client()?;
    client.delete_prefix("example/regression/")?;

    let start = Instant::now();
    in_threads(WORKERS, |worker| -> Result<(), Error> {
        let weights = train(&engine, "together", worker, WORKERS)?;
        let client = engine.client()?;
        // All workers have the same weights, bit by bit.
        let shared = client.vector("example/regression/weights");
        shared.init(1, &weights)?;
        assert_eq!(shared.get()?.as_f64(), Some(&weights[..]), "worker {worker}");
        Ok(())
    })?;
    let took = start.elapsed();

    let view = client.vector("example/regression/weights").get()?;
    let weights = view.as_f64().expect("weights are f64");
    let points: Vec<Point> = points(0, 1);
    let right = points.iter().filter(|(x, is)| (dot(weights, x) > 0.0) == *is).count();
    #[allow(clippy::cast_precision_loss, reason = "a few thousand points")]
    let accuracy = right as f64 / points.len() as f64;
    println!(
        "{WORKERS} workers took {ITERATIONS} iterations over {POINTS} points in {took:.1?}: \
         {:.1} % right",
        100.0 * accuracy
    );
    assert!(accuracy > 0.95, "{accuracy}");

    // One worker alone has the same result, except for the order of the additions.
    let alone = train(&engine, "alone", 0, 1)?;
    let apart = weights.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-9, "{apart}");
    drop(view);
    client.delete_prefix("example/regression/")?;
    Ok(())
}

fn train(engine: &ExampleEngine, name: &str, worker: u32, workers: u32) -> Result<Vec<f64>, Error> {
    let points = points(worker, workers);
    let client = engine.client()?;
    let reduction = client.reduction(&format!("example/regression/{name}"));
    let mut seat = reduction.seat(worker, workers);
    let mut weights = vec![0.0; FEATURES];
    for _ in 0..ITERATIONS {
        let mut gradient = [0.0; FEATURES];
        for (x, is) in &points {
            let error = 1.0 / (1.0 + (-dot(&weights, x)).exp()) - f64::from(u8::from(*is));
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g += error * x);
        }
        let sum = seat.contribute(ReduceOp::Sum, &gradient, TIMEOUT)?;
        let sum = sum.as_f64().expect("gradients are f64");
        weights.iter_mut().zip(sum).for_each(|(w, g)| *w -= RATE * g / f64::from(POINTS));
    }
    Ok(weights)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The points of a worker: every `workers`-th one.
fn points(worker: u32, workers: u32) -> Vec<Point> {
    let point = |number: u32| {
        let mut random = Random::new(number.into());
        let mut x = [1.0; FEATURES];
        x[1..].iter_mut().for_each(|x| *x = 2.0 * random.unit() - 1.0);
        // A plane separates the classes, with a little noise.
        let side = x[1] + 2.0 * x[2] - x[3] + 0.1 * (random.unit() - 0.5);
        (x, side > 0.2)
    };
    (worker..POINTS).step_by(workers as usize).map(point).collect()
}
