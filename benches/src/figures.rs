//! `catena-bench figures`: the experiments of the thesis that Catena comes from, repeated.
//!
//! k-means by number of workers, and beside others, is in `clustering`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_engine::Engine;

use crate::args::CommonArgs;
use crate::clustering::{self, Clustering, ITERATIONS};
use crate::contest::{Contender, Series, contest};
use crate::deliver::deliver;
use crate::machine;
use crate::multiplied::COMPLEX_TIMES;
use crate::record::{Axis, RunRecord, Sample};
use crate::report;
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

/// Measure the simple and the complex operation, the engine's operations while k-means runs, and
/// k-means by number of workers.
#[derive(Debug, clap::Args)]
pub(crate) struct FiguresArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Measure only what begins with this: `simple`, `complex`, `k-means` or `operations`.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    measure: String,

    /// Measure what this figure of the thesis shows: 5 the simple operation and 6 the complex one,
    /// without replication and with it, 7 k-means beside Spark.
    #[arg(long, value_name = "N", conflicts_with = "measure")]
    figure: Option<Figure>,

    /// Write the results as a page with plots, too, which needs no other file.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// Measure also with this many replicas, beside a single node; no number for none.
    #[arg(long, value_name = "N", value_delimiter = ',', num_args = 0.., default_value = "2,3")]
    #[arg(value_parser = clap::value_parser!(u8).range(2..=8))]
    replicas: Vec<u8>,

    #[command(flatten)]
    clustering: clustering::ClusteringArgs,
}

/// A figure of the thesis.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Figure {
    #[value(name = "5")]
    Simple,
    #[value(name = "6")]
    Complex,
    #[value(name = "7")]
    KMeans,
}

impl FiguresArgs {
    /// The beginning of the names of what is measured.
    fn measure(&self) -> &str {
        match self.figure {
            None => &self.measure,
            Some(Figure::Simple) => "simple",
            Some(Figure::Complex) => "complex",
            Some(Figure::KMeans) => clustering::MEASURE,
        }
    }
}

/// Shared numbers.
const PRODUCTS: u64 = 200;

/// How many callers multiply them at the same time.
const CALLERS: [u32; 7] = [1, 2, 4, 8, 16, 64, 200];

/// The name of the measure.
const OPERATIONS: &str = "operations while k-means runs";

/// How often the engine's counters are read.
const EVERY: Duration = Duration::from_millis(100);

/// How many points are drawn at most. Of more, every second, third and so on: workers send all at
/// once and then pause, and a picture of that is a comb.
const MOMENTS_MAX: usize = 40;

pub(crate) fn run(args: &FiguresArgs) -> anyhow::Result<()> {
    let mut record = RunRecord::new("figures");
    let cpus = machine::cpus();
    let mut failed = FailedMeasures::default();
    operations(args, &mut record, &mut failed);
    // Workers run on any cpu.
    machine::pin(&cpus)?;
    let is_wanted = |measure: &str| measure.starts_with(args.measure());
    let kinds = [is_wanted(clustering::MEASURE), is_wanted(OPERATIONS)];
    if kinds.contains(&true)
        && let Some(clustering) =
            failed.note(clustering::MEASURE, Clustering::new(&args.clustering))
    {
        if kinds[0] {
            let rounds = args.common.rounds;
            clustering.by_workers(rounds, &args.replicas, &mut record, &mut failed);
        }
        if kinds[1] {
            failed.note(OPERATIONS, while_clustering(&clustering, &mut record));
        }
    }
    record.notes.extend(failed.0.iter().map(|error| format!("failed: {error}")));
    // The page first, so that it is there whatever becomes of the rest.
    if let Some(path) = &args.page {
        report::write_page(std::slice::from_ref(&record), path)?;
    }
    deliver(&record, args.common.json.as_ref())?;
    anyhow::ensure!(failed.0.is_empty(), "{}", failed.0.join("; "));
    Ok(())
}

/// Why measures failed. One that fails, because points are few or a session was refused, does not take
/// the others with it.
#[derive(Debug, Default)]
pub(crate) struct FailedMeasures(Vec<String>);

impl FailedMeasures {
    /// Returns what succeeded; notes what did not.
    pub(crate) fn note<T>(&mut self, measure: &str, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(format!("{measure}: {error:#}"))).ok()
    }
}

/// Measures one multiplication of one of the thesis's 200 shared numbers, and ten thousand of them,
/// by callers that wait for each reply; then by a few that do not.
fn operations(args: &FiguresArgs, record: &mut RunRecord, failed: &mut FailedMeasures) {
    let all = [("simple operation", 1), ("complex operation", COMPLEX_TIMES)];
    let wanted: Vec<_> =
        all.into_iter().filter(|(name, _)| name.starts_with(args.measure())).collect();
    if wanted.is_empty() {
        return;
    }
    // All nodes of a chain share the cpu of the single node.
    let cpu = args.common.engine_cpu;
    let mut servers = Vec::new();
    servers.extend(failed.note("a single node", Server::engine(&[cpu], 0)));
    for nodes in &args.replicas {
        let chain = Server::chain(&vec![cpu; usize::from(*nodes)], 0);
        servers.extend(failed.note(&format!("{nodes} replicas"), chain));
    }
    if servers.is_empty() || failed.note("the load's cpu", args.common.pin_load()).is_none() {
        return;
    }
    for (name, times) in wanted {
        for callers in CALLERS {
            let samples = multiply(args, &servers, name, times, (callers, 1), failed);
            record.samples.extend(samples);
        }
        if times == 1 {
            let name = "simple operation, 16x32";
            record.samples.extend(multiply(args, &servers, name, times, (16, 32), failed));
        }
    }
}

/// Measures multiplications over so many connections, each of which has `depth` of them on the way. A
/// server that refuses them is left out.
fn multiply(
    args: &FiguresArgs,
    servers: &[Server],
    measure: &str,
    times: u32,
    (connections, depth): (u32, usize),
    failed: &mut FailedMeasures,
) -> Vec<Sample> {
    let timing = args.common.timing();
    let workload = Workload::Multiply { times };
    let plan = LoadPlan { workload, keys: PRODUCTS, connections: connections.into() };
    let name = format!("{measure}, {connections} callers");
    let of = |server: &Server| format!("{name}, {}", server.name);
    let mut contenders: Vec<Contender<'_>> = servers
        .iter()
        .filter_map(|server| failed.note(&of(server), Contender::new(server, &plan)))
        .collect();
    if contenders.is_empty() {
        return Vec::new();
    }
    let all = contest(&mut contenders, &timing.pressure(depth), timing.rounds);
    let sample = |series: Series| match depth {
        1 => series.sample(measure).at(Axis::Callers, connections.into()),
        _ => series.sample(measure),
    };
    failed.note(&name, all).into_iter().flatten().map(sample).collect()
}

/// Measures the engine's requests per second, by kind, as it counts them itself.
fn while_clustering(clustering: &Clustering<'_>, record: &mut RunRecord) -> anyhow::Result<()> {
    let engine = Engine::builder().start()?;
    let workers = clustering.workers_most().context("at least one worker")?;
    let done = AtomicBool::new(false);
    let course = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut course = Course::begin(&engine);
            while !done.load(Ordering::Relaxed) {
                thread::sleep(EVERY);
                course.go_on(&engine);
            }
            course
        });
        let name = "catena-bench/while-clustering".to_owned();
        let summary = clustering.run(engine.addresses()[0], workers, name, 10 * ITERATIONS);
        done.store(true, Ordering::Relaxed);
        let course = sampler.join().expect("does not panic");
        summary.map(|_| course)
    })?;
    course.add_to(&format!("{OPERATIONS} on {workers} workers"), record);
    Ok(())
}

/// How many requests an engine has served, at one time after another.
struct Course {
    start: Instant,
    /// The time, and the number of requests of each kind since the start of the engine.
    seen: Vec<(Duration, OpCounts)>,
}

type OpCounts = BTreeMap<&'static str, u64>;

impl Course {
    fn begin(engine: &Engine) -> Course {
        let mut course = Course { start: Instant::now(), seen: Vec::new() };
        course.go_on(engine);
        course
    }

    fn go_on(&mut self, engine: &Engine) {
        let mut answered = OpCounts::new();
        for it in engine.metrics().ops {
            *answered.entry(it.kind_name()).or_default() += it.count;
        }
        self.seen.push((self.start.elapsed(), answered));
    }

    /// Adds the requests per second, from one time to the next and altogether.
    fn add_to(&self, measure: &str, record: &mut RunRecord) {
        let [first, .., last] = &self.seen[..] else { return };
        let every = self.seen.len().div_ceil(MOMENTS_MAX);
        let seen: Vec<_> = self.seen.iter().step_by(every).collect();
        for kind in last.1.keys() {
            let server = format!("catena, {kind}");
            let sample = |rate| Sample::new(measure, &server, "op/s", &[rate]);
            record.samples.push(sample(rate(kind, first, last)));
            let moments = seen.windows(2).map(|pair| {
                let [before, after] = pair else { unreachable!("they are pairs") };
                sample(rate(kind, before, after)).at(Axis::Seconds, after.0.as_secs_f64())
            });
            record.samples.extend(moments);
        }
    }
}

/// Returns how many requests of a kind were served per second between two times.
#[allow(clippy::cast_precision_loss)] // far below 2^53
fn rate(kind: &str, before: &(Duration, OpCounts), after: &(Duration, OpCounts)) -> f64 {
    let count = |answered: &OpCounts| answered.get(kind).copied().unwrap_or_default();
    (count(&after.1) - count(&before.1)) as f64 / (after.0 - before.0).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multiplied::{Multiplied, Multiply};

    #[test]
    fn a_measure_that_fails_takes_no_other_with_it() {
        let mut failed = FailedMeasures::default();
        assert_eq!(failed.note("one", Ok(1)), Some(1));
        let refused = || Err::<u8, _>(anyhow::anyhow!("too many sessions").context("no session"));
        assert_eq!(failed.note("two", refused()), None);
        assert_eq!(failed.note("three", Ok(3)), Some(3));
        assert_eq!(failed.0, ["two: no session: too many sessions"]);
    }

    #[test]
    fn a_course_is_drawn_by_kind_and_summed_up() {
        let at = |ms, counts: &[(&'static str, u64)]| {
            (Duration::from_millis(ms), counts.iter().copied().collect())
        };
        let seen = vec![
            at(0, &[]),
            at(100, &[("session", 4)]),
            at(200, &[("session", 4), ("reduction", 30)]),
        ];
        let mut record = RunRecord::new("figures");
        Course { start: Instant::now(), seen }.add_to("m", &mut record);
        let got: Vec<(&str, f64, bool)> = record
            .samples
            .iter()
            .map(|sample| (&*sample.server, sample.value.round(), sample.is_moment()))
            .collect();
        let (reduction, session) = ("catena, reduction", "catena, session");
        let expected = [
            (reduction, 150.0, false),
            (reduction, 0.0, true),
            (reduction, 300.0, true),
            (session, 20.0, false),
            (session, 40.0, true),
            (session, 0.0, true),
        ];
        assert_eq!(got, expected);
        assert!(record.samples.iter().all(|sample| sample.spread == 0.0), "it can be saved");
    }

    #[test]
    fn the_shared_number_keeps_the_promises_of_a_type() {
        let by = |factor, times| Multiply { factor, times };
        let ops = [by(-1.0, 1), by(-1.0, COMPLEX_TIMES), by(2.0, 10), by(1.5, u32::MAX)];
        let ends = catena_engine::rehearse::<Multiplied>(&ops);
        assert_eq!(ends[..3], [Ok(-1.0), Ok(-1.0), Ok(-1024.0)]);
        assert!(ends[3].is_err(), "that would take too long");
    }
}
