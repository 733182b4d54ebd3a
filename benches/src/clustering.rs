//! k-means by number of workers, beside scikit-learn and Spark where they are installed: the same
//! points, the same initial centroids, the same number of iterations.
//!
//! 1. For each number of workers, all take turns in every round, in one order and then in the
//!    other.
//! 2. The time is that of an iteration: it does not include reading, preparing, and the assignment
//!    after the last iteration.
//! 3. The results must have the same cost; otherwise the comparison is void and an error.

mod peers;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use catena_engine::Engine;
use catena_kmeans::data::{DataSet, Hints};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, Labels, RunSummary};
use catena_kmeans::link::EngineLink;
use catena_kmeans::{Settings, threads};
use tempfile::TempDir;

use self::peers::{ClusteringRun, Contestant, PeerKind, PeerProgram, PeerStart};
use crate::figures::FailedMeasures;
use crate::machine;
use crate::record::{Axis, Row, RunRecord, Sample};
use crate::server::Server;
use crate::stats::{Paired, median};

/// What to cluster, with how many workers, and beside which programs.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct ClusteringArgs {
    /// Cluster this many points.
    #[arg(long, default_value_t = 200_000)]
    points: u64,

    /// Dimensions of a point.
    #[arg(long, default_value_t = 100)]
    dims: usize,

    /// Clusters.
    #[arg(long, default_value_t = 25)]
    k: usize,

    /// Share the points among this many workers; can be given several times.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2,4,8")]
    workers: Vec<u32>,

    /// Compare with these programs, if they are installed; no name for none.
    #[arg(long, value_name = "PEER", value_delimiter = ',', num_args = 0..,
        default_value = "scikit-learn,spark-rdd,spark-dataframe")]
    beside: Vec<PeerKind>,

    /// Use this Python, which has scikit-learn and Spark.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
}

/// What the names of these measures begin with.
pub(crate) const MEASURE: &str = "k-means";

/// Iterations of a run, as in the thesis.
pub(crate) const ITERATIONS: u64 = 10;

/// Standard deviation within a cluster, in data whose centres are within 10 of the origin: clusters
/// overlap, so that centres go on moving.
const SPREAD: f64 = 10.0;

/// How far costs may differ, relative to the peer's. scikit-learn adds them up in f32.
const COST_APART_MAX: f64 = 1e-4;

/// Points, and the centroids to begin with.
pub(crate) struct Clustering<'a> {
    args: &'a ClusteringArgs,
    data: DataSet,
    centroids: Vec<f64>,
    folder: TempDir,
}

impl<'a> Clustering<'a> {
    /// Makes the points, and takes the first of them as initial centroids.
    pub(crate) fn new(args: &'a ClusteringArgs) -> anyhow::Result<Clustering<'a>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(POINTS_FILE);
        let (points, dims, clusters) = (args.points, args.dims, args.k as u64);
        Recipe { points, dims, clusters, spread: SPREAD, seed: 1 }.write(&path)?;
        let data = DataSet::open(&path, Hints::default())?;
        anyhow::ensure!(clusters <= points, "expected at least {clusters} points, got {points}");
        let first = data.load::<f32>(0..clusters)?;
        let centroids: Vec<f64> = first.values.iter().map(|x| f64::from(*x)).collect();
        let mut file = std::fs::File::create(folder.path().join(CENTROIDS_FILE))?;
        for centroid in centroids.chunks_exact(dims) {
            let row: Vec<String> = centroid.iter().map(f64::to_string).collect();
            writeln!(file, "{}", row.join(","))?;
        }
        Ok(Clustering { args, data, centroids, folder })
    }

    pub(crate) fn workers_most(&self) -> Option<u32> {
        self.args.workers.iter().copied().max()
    }

    /// Measures the time of an iteration by number of workers.
    pub(crate) fn by_workers(
        &self,
        rounds: u32,
        replicas: &[u8],
        record: &mut RunRecord,
        failed: &mut FailedMeasures,
    ) {
        let Some(engine) = failed.note(MEASURE, Engine::builder().start().map_err(Into::into))
        else {
            return;
        };
        // Of all programs, for every number of workers.
        let mut costs: Vec<ClusterCosts> = Vec::new();
        for workers in &self.args.workers {
            let name = format!("{MEASURE}, {workers} workers");
            let measured = self.with_workers(*workers, &engine, rounds, replicas, record);
            let Some((measured, coordination)) = failed.note(&name, measured) else { continue };
            if failed.note(&name, measured.check(&mut costs)).is_none() {
                continue;
            }
            measured.add_to(record);
            let coordination = Sample::new(COORDINATION, "catena", "ms", &coordination);
            record.samples.push(coordination.at(Axis::Workers, f64::from(*workers)));
        }
        costs.iter().for_each(|costs| costs.add_to(record));
    }

    /// Measures all programs with one number of workers; returns their times and those of our
    /// coordination. A program other than ours that fails is left out, which a note says.
    fn with_workers(
        &self,
        workers: u32,
        engine: &Engine,
        rounds: u32,
        replicas: &[u8],
        record: &mut RunRecord,
    ) -> anyhow::Result<(WorkerRounds, Vec<f64>)> {
        let cpus = machine::cpus();
        let peers = self.start_peers(workers, record);
        let mut contestants = vec![Contestant::Us];
        for nodes in replicas {
            // Nodes run on any cpu, like workers.
            let place = |node: usize| cpus[node % cpus.len()];
            let cpus: Vec<usize> = (0..usize::from(*nodes)).map(place).collect();
            match Server::chain(&cpus, 0) {
                Ok(chain) => contestants.push(Contestant::Chain(chain)),
                Err(error) => {
                    record.notes.push(format!("{nodes} replicas: skipped, {}", one_line(&error)));
                }
            }
        }
        contestants.extend(peers.into_iter().map(Contestant::Peer));
        let mut all: Vec<Vec<ClusteringRun>> = contestants.iter().map(|_| Vec::new()).collect();
        let mut coordination = Vec::new();
        let mut failed: Vec<usize> = Vec::new();
        for round in 0..rounds {
            let mut order: Vec<usize> =
                (0..contestants.len()).filter(|i| !failed.contains(i)).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for i in order {
                let name = format!("catena-bench/workers-{workers}-{round}");
                let run = match &mut contestants[i] {
                    Contestant::Us => {
                        let summary = self.run(engine.addresses()[0], workers, name, ITERATIONS)?;
                        coordination.extend(iterations(&summary).map(|(_, ms)| ms));
                        Ok(ClusteringRun::of(&summary))
                    }
                    Contestant::Chain(head) => self
                        .run(head.address, workers, name, ITERATIONS)
                        .map(|summary| ClusteringRun::of(&summary)),
                    Contestant::Peer(peer) => peer.run(),
                };
                match run {
                    Ok(run) => all[i].push(run),
                    Err(error) => {
                        let (name, error) = (contestants[i].name(), one_line(&error));
                        let note = format!("{name}: left out with {workers} workers, {error}");
                        record.notes.push(note);
                        failed.push(i);
                    }
                }
            }
        }
        let (names, runs) = contestants
            .iter()
            .zip(all)
            .enumerate()
            .filter(|(i, _)| !failed.contains(i))
            .map(|(_, (one, runs))| (one.name().to_owned(), runs))
            .unzip();
        Ok((WorkerRounds { workers, names, runs }, coordination))
    }

    /// Starts the programs that are installed, and notes once for each whether it is.
    fn start_peers(&self, workers: u32, record: &mut RunRecord) -> Vec<PeerProgram> {
        let mut peers = Vec::new();
        for kind in &self.args.beside {
            let name = kind.name();
            let (python, folder) = (&self.args.python, self.folder.path());
            let note = match PeerProgram::start(*kind, python, folder, workers) {
                Ok(PeerStart::Ready(peer)) => {
                    let note = peer.about();
                    peers.push(peer);
                    note
                }
                Ok(PeerStart::Missing(what)) => format!("{name}: skipped, missing {what}"),
                // The others are measured all the same.
                Err(error) => format!("{name}: skipped, {}", one_line(&error)),
            };
            if !record.notes.contains(&note) {
                record.notes.push(note);
            }
        }
        peers
    }

    /// Runs ours once. The points are read again, which `RunSummary::rounds` does not include.
    pub(crate) fn run(
        &self,
        engine: SocketAddr,
        workers: u32,
        name: String,
        iterations: u64,
    ) -> anyhow::Result<RunSummary> {
        let job = Job {
            name,
            engine: engine.to_string(),
            data: self.data.clone(),
            settings: Settings {
                k: self.args.k,
                iterations,
                // So that every run has all iterations.
                tolerance: 0.0,
                init: Init::Centroids(self.centroids.clone()),
                seed: 1,
                timeout: Duration::from_secs(120),
                ..Settings::default()
            },
            workers,
            prepared: false,
            resumable: false,
            labels: Labels::None,
            sample: false,
        };
        let summary = threads::run(&job, EngineLink::join, &mut |_| {})?;
        let got = summary.done.iterations;
        anyhow::ensure!(got == iterations, "the centres came to rest after {got} iterations");
        Ok(summary)
    }
}

/// Returns an error and its causes in one line, for a note.
fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

const POINTS_FILE: &str = "points.npy";
const CENTROIDS_FILE: &str = "centroids.csv";
const COORDINATION: &str = "k-means, coordination in an iteration";

/// Returns the milliseconds of each iteration of the slowest worker, and of its coordination. The
/// round after the last one only assigns points.
fn iterations(summary: &RunSummary) -> impl Iterator<Item = (f64, f64)> + '_ {
    let rounds = summary.rounds.iter().zip(0..ITERATIONS);
    rounds.map(|(round, _)| (round.seconds * 1e3, round.seconds_coordination * 1e3))
}

impl ClusteringRun {
    #[allow(clippy::cast_precision_loss)] // ten
    fn of(summary: &RunSummary) -> ClusteringRun {
        let sum: f64 = iterations(summary).map(|(ms, _)| ms).sum();
        ClusteringRun { ms: sum / ITERATIONS as f64, cost: summary.done.cost, cost_expected: None }
    }
}

/// All rounds with one number of workers, ours first.
struct WorkerRounds {
    workers: u32,
    names: Vec<String>,
    runs: Vec<Vec<ClusteringRun>>,
}

impl WorkerRounds {
    /// Checks that all results cost the same, and remembers them.
    fn check(&self, all: &mut Vec<ClusterCosts>) -> anyhow::Result<()> {
        let ours = self.runs[0].first().context("at least one round")?.cost;
        for (name, runs) in self.names.iter().zip(&self.runs) {
            for run in runs {
                // One with other initial centroids has its own expectation.
                let expected = run.cost_expected.unwrap_or(ours);
                let apart = (run.cost - expected).abs() / expected;
                anyhow::ensure!(
                    apart <= COST_APART_MAX,
                    "{name} with {} workers: expected a cost of {expected}, got {}: not the same \
                     work, so its time says nothing",
                    self.workers,
                    run.cost
                );
                match all.iter_mut().find(|costs| costs.name == *name) {
                    Some(costs) => costs.add(run.cost, apart),
                    None => all.push(ClusterCosts {
                        name: name.clone(),
                        begins_elsewhere: run.cost_expected.is_some(),
                        costs: vec![run.cost],
                        apart,
                    }),
                }
            }
        }
        Ok(())
    }

    fn add_to(&self, record: &mut RunRecord) {
        let ms = |i: usize| self.runs[i].iter().map(|run| run.ms).collect::<Vec<f64>>();
        let ours = ms(0);
        for (i, name) in self.names.iter().enumerate() {
            let sample = Sample::new("k-means, an iteration", name, "ms", &ms(i));
            record.samples.push(sample.at(Axis::Workers, f64::from(self.workers)));
        }
        let plural = if self.workers == 1 { "" } else { "s" };
        for (i, name) in self.names.iter().enumerate().skip(1) {
            let theirs = ms(i);
            let Paired { ratio, spread } = Paired::of(&ours, &theirs);
            record.rows.push(Row {
                measure: format!("k-means iteration, {} worker{plural}", self.workers),
                peer: name.clone(),
                unit: "ms".to_owned(),
                ours: median(&ours),
                theirs: median(&theirs),
                ratio,
                spread,
                ours_cpu_ns: None,
                theirs_cpu_ns: None,
            });
        }
    }
}

/// What one program's clusters cost in all its runs.
struct ClusterCosts {
    name: String,
    begins_elsewhere: bool,
    costs: Vec<f64>,
    /// The largest difference from what is expected, relative to it.
    apart: f64,
}

impl ClusterCosts {
    fn add(&mut self, cost: f64, apart: f64) {
        self.costs.push(cost);
        self.apart = self.apart.max(apart);
    }

    fn add_to(&self, record: &mut RunRecord) {
        let ClusterCosts { name, begins_elsewhere, costs, apart } = self;
        record.samples.push(Sample::new("k-means, final cost", name, "", costs));
        record.notes.push(if *begins_elsewhere {
            format!(
                "cost, {name}: begins elsewhere; within {apart:.1e} of what numpy finds from there"
            )
        } else if name == US {
            format!("cost, {name}: {:.6e}, within {apart:.1e} in all runs", costs[0])
        } else {
            format!("cost, {name}: within {apart:.1e} of ours in all runs")
        });
    }
}

/// The name of ours.
const US: &str = "catena";

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(cost: f64, cost_expected: Option<f64>) -> WorkerRounds {
        let run = |ms, cost, cost_expected| ClusteringRun { ms, cost, cost_expected };
        WorkerRounds {
            workers: 2,
            names: vec![US.to_owned(), "a peer".to_owned()],
            runs: vec![
                vec![run(10.0, 500.0, None), run(11.0, 500.0, None), run(30.0, 500.0, None)],
                vec![
                    run(40.0, cost, cost_expected),
                    run(44.0, cost, cost_expected),
                    run(60.0, cost, cost_expected),
                ],
            ],
        }
    }

    #[test]
    fn rounds_become_a_row_and_samples() {
        let mut record = RunRecord::new("figures");
        let mut costs = Vec::new();
        let measured = measured(500.001, None);
        measured.check(&mut costs).unwrap();
        measured.add_to(&mut record);
        costs.iter().for_each(|costs| costs.add_to(&mut record));
        let row = &record.rows[0];
        assert_eq!((&*row.measure, &*row.peer), ("k-means iteration, 2 workers", "a peer"));
        assert_eq!([row.ours, row.theirs, row.ratio, row.spread], [11.0, 44.0, 0.25, 1.0]);
        let samples: Vec<String> = record.samples.iter().map(Sample::label).collect();
        let (iteration, cost) = ("k-means, an iteration, 2 workers", "k-means, final cost");
        assert_eq!(samples, [iteration, iteration, cost, cost]);
        assert!(record.notes[1].contains("within 2.0e-6 of ours"), "{:?}", record.notes);
    }

    #[test]
    fn notes_are_one_line() {
        let error = anyhow::anyhow!("no BLAS:\n  libblas.so.3").context("it did not answer");
        assert_eq!(one_line(&error), "it did not answer: no BLAS: libblas.so.3");
    }

    #[test]
    fn other_work_is_no_comparison() {
        let error = measured(501.0, None).check(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("expected a cost of 500, got 501"), "{error}");
        // Other initial centroids have their own expectation.
        assert!(measured(501.0, Some(501.0)).check(&mut Vec::new()).is_ok());
        assert!(measured(501.0, Some(502.0)).check(&mut Vec::new()).is_err());
    }
}
