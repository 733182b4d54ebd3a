//! `catena-bench figures`: the experiments of the thesis that Catena comes from, done again.
//!
//! Replicas and Spark join them: a series more in [`operations`] and in [`workers`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_engine::Engine;
use catena_kmeans::data::{DataSet, Hints};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, Summary};
use catena_kmeans::link::Link;
use catena_kmeans::threads;
use tempfile::TempDir;

use crate::args::Common;
use crate::contest::{Contender, contest};
use crate::machine;
use crate::multiplied::COMPLEX_TIMES;
use crate::record::{Axis, Record, Sample};
use crate::server::Server;
use crate::wire::{Plan, Workload};

/// Measures the simple and the complex operation, what the engine does while k-means runs, and
/// k-means by workers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

    /// How many points k-means clusters.
    #[arg(long, default_value_t = 200_000)]
    points: u64,

    /// Dimensions of a point.
    #[arg(long, default_value_t = 100)]
    dims: usize,

    /// Clusters.
    #[arg(long, default_value_t = 25)]
    k: usize,

    /// How many workers share the points; can be given several times.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2,4,8")]
    workers: Vec<u32>,
}

/// Iterations of a run, as in the thesis.
const ITERATIONS: u64 = 10;

/// Standard deviation within a cluster, in data whose centres are within 10 of the origin: clusters
/// overlap, so that centres go on moving.
const SPREAD: f64 = 10.0;

/// Shared numbers.
const PRODUCTS: u64 = 200;

/// How many multiply them at a time.
const CALLERS: [u32; 7] = [1, 2, 4, 8, 16, 64, 200];

/// How often the engine is asked what it has done.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut record = Record::new("figures");
    let cpus = machine::cpus();
    operations(args, &mut record)?;
    // Workers run wherever there is room.
    machine::pin(&cpus)?;
    let folder = tempfile::tempdir()?;
    let data = points(args, &folder)?;
    workers(args, &data, &mut record)?;
    while_clustering(args, &data, &mut record)?;
    record.notes.push("replicas, Spark: not measured yet".to_owned());
    record.deliver(args.common.json.as_ref())
}

/// One multiplication of one of the thesis's 200 shared numbers, and ten thousand of them, by callers
/// that wait for each answer; then by a few that do not.
fn operations(args: &Args, record: &mut Record) -> anyhow::Result<()> {
    let server = Server::engine(&[args.common.engine_cpu], 0)?;
    args.common.pin_load()?;
    let timing = args.common.timing();
    let mut measure = |measure: &str, times, connections: u32, depth| {
        let workload = Workload::Multiply { times };
        let plan = Plan { workload, keys: PRODUCTS, connections: connections.into() };
        let mut contenders = [Contender::new(&server, &plan)?];
        for series in contest(&mut contenders, &timing.pressure(depth), timing.rounds)? {
            let sample = series.sample(measure);
            record.samples.push(match depth {
                1 => sample.at(Axis::Callers, connections.into()),
                _ => sample,
            });
        }
        anyhow::Ok(())
    };
    for (name, times) in [("simple operation", 1), ("complex operation", COMPLEX_TIMES)] {
        for callers in CALLERS {
            measure(name, times, callers, 1)?;
        }
    }
    measure("simple operation, 16x32", 1, 16, 32)
}

fn points(args: &Args, folder: &TempDir) -> anyhow::Result<DataSet> {
    let path = folder.path().join("points.npy");
    let (points, dims, clusters) = (args.points, args.dims, args.k as u64);
    Recipe { points, dims, clusters, spread: SPREAD, seed: 1 }.write(&path)?;
    Ok(DataSet::open(&path, Hints::default())?)
}

/// Time of ten iterations by number of workers, reading not included.
fn workers(args: &Args, data: &DataSet, record: &mut Record) -> anyhow::Result<()> {
    let engine = Engine::builder().start()?;
    let mut runs: Vec<(u32, Vec<f64>, Vec<f64>)> =
        args.workers.iter().map(|workers| (*workers, Vec::new(), Vec::new())).collect();
    for round in 0..args.common.rounds {
        // Few to many, and many to few.
        runs.reverse();
        for (workers, seconds, coordination) in &mut runs {
            let name = format!("catena-bench/workers-{workers}-{round}");
            let summary = cluster(args, data, &engine, *workers, name, ITERATIONS)?;
            // Round 0 only looks at the first centres.
            let rounds = summary.rounds.iter().skip(1);
            seconds.push(rounds.clone().map(|round| round.seconds).sum());
            coordination.extend(rounds.map(|round| round.seconds_coordination * 1e3));
        }
    }
    runs.sort_unstable_by_key(|(workers, ..)| *workers);
    for (workers, seconds, coordination) in &runs {
        let of = |what: &str, unit: &str, values: &[f64]| {
            Sample::new(what, "catena", unit, values).at(Axis::Workers, f64::from(*workers))
        };
        record.samples.push(of("k-means, 10 iterations", "s", seconds));
        record.samples.push(of("k-means, coordination in an iteration", "ms", coordination));
    }
    Ok(())
}

/// Updates the engine applies per second, as they happen.
#[allow(clippy::cast_precision_loss)] // far below 2^53 updates
fn while_clustering(args: &Args, data: &DataSet, record: &mut Record) -> anyhow::Result<()> {
    let engine = Engine::builder().start()?;
    let workers = args.workers.iter().copied().max().context("at least one worker")?;
    let done = AtomicBool::new(false);
    let updates = || engine.census().iter().map(|core| core.updates).sum::<u64>();
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let (start, mut seen, mut at) = (Instant::now(), updates(), Instant::now());
            let mut samples = Vec::new();
            while !done.load(Ordering::Relaxed) {
                thread::sleep(EVERY);
                let (now, sum) = (Instant::now(), updates());
                samples.push((
                    (now - start).as_secs_f64(),
                    (sum - seen) as f64 / (now - at).as_secs_f64(),
                ));
                (seen, at) = (sum, now);
            }
            samples
        });
        let name = "catena-bench/while-clustering".to_owned();
        let summary = cluster(args, data, &engine, workers, name, 10 * ITERATIONS);
        done.store(true, Ordering::Relaxed);
        let samples = sampler.join().expect("does not panic");
        summary?;
        let measure = format!("updates while k-means runs on {workers} workers");
        let sample = |rates: &[f64]| Sample::new(&measure, "catena", "op/s", rates);
        let rates: Vec<f64> = samples.iter().map(|(_, rate)| *rate).collect();
        record.samples.extend((!rates.is_empty()).then(|| sample(&rates)));
        let moment = |(seconds, rate)| sample(&[rate]).at(Axis::Seconds, seconds);
        record.samples.extend(samples.into_iter().map(moment));
        Ok(())
    })
}

fn cluster(
    args: &Args,
    data: &DataSet,
    engine: &Engine,
    workers: u32,
    name: String,
    iterations: u64,
) -> anyhow::Result<Summary> {
    let job = Job {
        name,
        engine: engine.addresses()[0].to_string(),
        data: data.clone(),
        k: args.k,
        iterations,
        // Never satisfied, so that every run has all iterations.
        tolerance: 0.0,
        init: Init::Random,
        seed: 1,
        workers,
        timeout: Duration::from_secs(120),
        labels: false,
        sample_step: 0,
    };
    Ok(threads::run(&job, Link::join, &mut |_| {})?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multiplied::{Multiplied, Multiply};

    #[test]
    fn the_shared_number_keeps_the_promises_of_a_type() {
        let by = |factor, times| Multiply { factor, times };
        let ops = [by(-1.0, 1), by(-1.0, COMPLEX_TIMES), by(2.0, 10), by(1.5, u32::MAX)];
        let ends = catena_engine::rehearse::<Multiplied>(&ops);
        assert_eq!(ends[..3], [Ok(-1.0), Ok(-1.0), Ok(-1024.0)]);
        assert!(ends[3].is_err(), "that would take for ever");
    }
}
