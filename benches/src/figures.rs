//! `catena-bench figures`: the experiments of the thesis that Catena comes from, done again.
//!
//! k-means by workers, and beside others, is in `clustering`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_engine::Engine;

use crate::args::Common;
use crate::clustering::{self, Clustering, ITERATIONS};
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

    /// Only what begins with this: `simple`, `complex`, `k-means` or `updates`.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    measure: String,

    /// On how many nodes everything is kept, beside a node that is alone; nothing for none of these.
    #[arg(long, value_name = "N", value_delimiter = ',', num_args = 0.., default_value = "2,3")]
    #[arg(value_parser = clap::value_parser!(u8).range(2..=8))]
    replicas: Vec<u8>,

    #[command(flatten)]
    clustering: clustering::Args,
}

/// Shared numbers.
const PRODUCTS: u64 = 200;

/// How many multiply them at a time.
const CALLERS: [u32; 7] = [1, 2, 4, 8, 16, 64, 200];

/// What the engine does while k-means runs.
const UPDATES: &str = "updates while k-means runs";

/// How often the engine is asked what it has done.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut record = Record::new("figures");
    let cpus = machine::cpus();
    operations(args, &mut record)?;
    // Workers run wherever there is room.
    machine::pin(&cpus)?;
    let is_wanted = |measure: &str| measure.starts_with(&args.measure);
    let kinds = [is_wanted(clustering::MEASURE), is_wanted(UPDATES)];
    if kinds.contains(&true) {
        let clustering = Clustering::new(&args.clustering)?;
        if kinds[0] {
            clustering.by_workers(args.common.rounds, &args.replicas, &mut record)?;
        }
        if kinds[1] {
            while_clustering(&clustering, &mut record)?;
        }
    }
    record.deliver(args.common.json.as_ref())
}

/// One multiplication of one of the thesis's 200 shared numbers, and ten thousand of them, by callers
/// that wait for each answer; then by a few that do not.
fn operations(args: &Args, record: &mut Record) -> anyhow::Result<()> {
    let all = [("simple operation", 1), ("complex operation", COMPLEX_TIMES)];
    let wanted: Vec<_> =
        all.into_iter().filter(|(name, _)| name.starts_with(&args.measure)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // All nodes of a chain share the cpu of the one that is alone.
    let cpu = args.common.engine_cpu;
    let mut servers = vec![Server::engine(&[cpu], 0)?];
    for nodes in &args.replicas {
        servers.push(Server::chain(&vec![cpu; usize::from(*nodes)], 0)?);
    }
    args.common.pin_load()?;
    let timing = args.common.timing();
    let mut measure = |measure: &str, times, connections: u32, depth| {
        let workload = Workload::Multiply { times };
        let plan = Plan { workload, keys: PRODUCTS, connections: connections.into() };
        let mut contenders = servers
            .iter()
            .map(|it| Contender::new(it, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for series in contest(&mut contenders, &timing.pressure(depth), timing.rounds)? {
            let sample = series.sample(measure);
            record.samples.push(match depth {
                1 => sample.at(Axis::Callers, connections.into()),
                _ => sample,
            });
        }
        anyhow::Ok(())
    };
    for (name, times) in wanted {
        for callers in CALLERS {
            measure(name, times, callers, 1)?;
        }
        if times == 1 {
            measure("simple operation, 16x32", 1, 16, 32)?;
        }
    }
    Ok(())
}

/// Updates the engine applies per second, as they happen.
#[allow(clippy::cast_precision_loss)] // far below 2^53 updates
fn while_clustering(clustering: &Clustering<'_>, record: &mut Record) -> anyhow::Result<()> {
    let engine = Engine::builder().start()?;
    let workers = clustering.workers_most().context("at least one worker")?;
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
        let summary = clustering.run(engine.addresses()[0], workers, name, 10 * ITERATIONS);
        done.store(true, Ordering::Relaxed);
        let samples = sampler.join().expect("does not panic");
        summary?;
        let measure = format!("{UPDATES} on {workers} workers");
        let sample = |rates: &[f64]| Sample::new(&measure, "catena", "op/s", rates);
        let rates: Vec<f64> = samples.iter().map(|(_, rate)| *rate).collect();
        record.samples.extend((!rates.is_empty()).then(|| sample(&rates)));
        let moment = |(seconds, rate)| sample(&[rate]).at(Axis::Seconds, seconds);
        record.samples.extend(samples.into_iter().map(moment));
        Ok(())
    })
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
