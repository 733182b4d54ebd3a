//! What the commands that cluster have in common: their flags, and one run.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use catena_cloud::Cloud;
use catena_kmeans::data::{DataSet, Hints, Spooled};
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, Labels, RunSummary, WorkerEvent, named, unique_name};
use catena_kmeans::kernel::Precision;
use catena_kmeans::link::{EngineLink, JobEngine, JobWatch};
use catena_kmeans::s3::{S3Endpoint, S3Url};
use catena_kmeans::workers::{self, RunLimit, WorkerRestart};
use catena_kmeans::{Error, Result, Settings, threads};
use clap::Args;

use super::progress::Progress;

#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// Read the points from a CSV, Parquet, .npy, .f32 or .f64 file, gzipped or not, from the files of a
    /// folder and of the folders in it, from those that match a pattern such as 'day*/*.csv', or
    /// from a pipe (- for standard input) [default: shipped digits].
    #[arg(long, value_name = "PATH|s3://BUCKET/PREFIX")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: S3Endpoint,
    #[command(flatten)]
    hints: Hints,
    #[command(flatten)]
    settings: Settings,
    /// Choose initial centroids: the first rows, random rows, k-means++, k-means|| (fewer calls and
    /// passes than k-means++ if there are many clusters), or the rows of a file.
    #[arg(long, value_name = "first|random|kmeans++|kmeans|||FILE", default_value = "kmeans++")]
    init: InitArg,
    /// Repeat the run with this many seeds, one after the other, and take the result of the lowest
    /// cost.
    #[arg(long, value_name = "N", default_value_t = 1)]
    n_init: u32,
    /// Divide the points among this many workers [default: one per core].
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// Run workers as threads, as processes, or as invocations of a Lambda function.
    #[arg(long, value_name = "threads|processes|lambda:NAME", default_value = "threads")]
    pub(super) backend: WorkerBackend,
    /// Use this emulator of Lambda [default: AWS].
    #[arg(long, value_name = "URL")]
    lambda_endpoint_url: Option<String>,
    /// Stop workers in processes or on Lambda after this long.
    #[arg(long, value_name = "SECONDS")]
    max_time: Option<f64>,
    /// Stop workers on Lambda before they have cost more than this, by --lambda-memory and the price
    /// of x86 in us-east-1.
    #[arg(long, value_name = "USD")]
    max_cost: Option<f64>,
    /// The memory of the Lambda function, to compute costs; 3538 is that of kmeans/deploy/kmeans.yaml.
    #[arg(long, value_name = "MIB", default_value_t = 3538)]
    lambda_memory: u32,
    /// Use a running engine or cluster, by the address of any member, several addresses with
    /// commas, or the location of its record [default: an engine inside this process].
    #[arg(long, value_name = "ADDR|s3://BUCKET/PREFIX#CLUSTER")]
    engine: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkerBackend {
    Threads,
    Processes,
    Lambda(String),
}

impl FromStr for WorkerBackend {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("lambda:")) {
            ("threads", _) => Ok(Self::Threads),
            ("processes", _) => Ok(Self::Processes),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Lambda(name.to_string())),
            _ => Err("expected threads, processes, or lambda: followed by the name of a function"),
        }
    }
}

impl WorkerBackend {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Lambda(_) => "lambda",
        }
    }

    fn is_lambda(&self) -> bool {
        matches!(self, Self::Lambda(_))
    }
}

#[derive(Debug, Clone)]
enum InitArg {
    Rows(Init),
    File(PathBuf),
}

impl FromStr for InitArg {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "first" => Self::Rows(Init::First),
            "random" => Self::Rows(Init::Random),
            "kmeans++" => Self::Rows(Init::PlusPlus),
            "kmeans||" => Self::Rows(Init::Parallel),
            file => Self::File(PathBuf::from(file)),
        })
    }
}

/// The price of Lambda, for x86 in us-east-1, 2026-11: USD for a second of a GiB.
const USD_PER_GIB_SECOND: f64 = 0.000_016_666_7;

/// The longest time of an attempt on Lambda.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// Flags that were checked, an engine, and data that was inspected: what several runs share.
pub(super) struct Runner<'a> {
    args: &'a JobArgs,
    engine: JobEngine,
    data: DataSet,
    start: Instant,
    /// The limit in time and in cost, which depends on the number of workers.
    limit: Option<RunLimit>,
    /// Deleted when the runs are over.
    spooled: Option<Spooled>,
}

impl<'a> Runner<'a> {
    /// Checks the flags, starts or finds the engine, and inspects the data.
    pub(super) fn new(args: &'a JobArgs) -> Result<Self> {
        if args.backend.is_lambda() && args.engine.is_none() {
            let reason = "workers on Lambda need an engine that they can reach; pass its address";
            return Err(Error::Flag { flag: "--engine", reason });
        }
        if args.n_init == 0 {
            return Err(Error::Flag { flag: "--n-init", reason: "there must be at least one run" });
        }
        let limit = args.limit()?;
        let engine = JobEngine::open(args.engine.as_deref())?;
        let (data, spooled) = args.data()?;
        if args.backend.is_lambda() && !data.is_shared() {
            let advice = "copy them to a store with `catena-kmeans upload`";
            let path = data.path().to_path_buf();
            return Err(Error::NotShared { path, backend: "lambda", advice });
        }
        Ok(Self { args, engine, data, start: Instant::now(), limit, spooled })
    }

    pub(super) fn data(&self) -> &DataSet {
        &self.data
    }

    /// Returns a job of `k` clusters that can be resumed under a name.
    pub(super) fn named_job(&self, name: &str, job: Job) -> Result<Job> {
        const FLAG: &str = "--job";
        if self.args.engine.is_none() {
            let reason =
                "the job is in an engine that outlives this program; pass its address as --engine";
            return Err(Error::Flag { flag: FLAG, reason });
        }
        if self.spooled.is_some() {
            let reason = "the points of a pipe cannot be read again; pass a file";
            return Err(Error::Flag { flag: FLAG, reason });
        }
        Ok(Job { name: named(name)?, resumable: true, ..job })
    }

    /// Returns a job of `k` clusters.
    pub(super) fn job(&self, k: usize, labels: Labels, sample: bool) -> Result<Job> {
        let JobArgs { store, settings, init, .. } = self.args;
        let init = match init {
            InitArg::Rows(init) => init.clone(),
            InitArg::File(path) => centroids(store, path, k, self.data.dims())?,
        };
        let job = Job {
            name: unique_name(),
            engine: self.engine.address(),
            settings: Settings { k, init, ..settings.clone() },
            workers: self.args.workers(),
            prepared: false,
            resumable: false,
            labels,
            sample,
            data: self.data.clone(),
        };
        job.check()?;
        Ok(job)
    }

    /// Checks that labels and several runs go together.
    pub(super) fn check_labels(&self, job: &Job, path: &Path) -> Result<()> {
        if self.args.backend.is_lambda() {
            job.check_reply(path)?;
        }
        if self.args.n_init > 1 && matches!(job.labels, Labels::Written(_)) {
            let reason = "labels that workers write to a store would be those of the last run; run \
                          again with the --seed of the best run and without --n-init";
            return Err(Error::Flag { flag: "--n-init", reason });
        }
        Ok(())
    }

    /// Runs a job as often as the flags say; returns the run of the lowest cost.
    pub(super) fn best(&self, job: &Job) -> Result<(Job, RunSummary)> {
        let best = self.best_of(job);
        // Of a job with a name, the results of all runs are kept until the last one, because another driver
        // may have to begin with the first. A job that is another one is not this driver's to delete.
        let is_kept = match &best {
            Err(Error::OtherJob { .. }) => true,
            // Workers on Lambda were made to return, which breaks their objects.
            Err(Error::LimitReached { .. }) => !self.args.backend.is_lambda(),
            _ => false,
        };
        if job.resumable && !is_kept {
            self.engine.clear(job);
        }
        best
    }

    fn best_of(&self, job: &Job) -> Result<(Job, RunSummary)> {
        let mut best: Option<(Job, RunSummary)> = None;
        for at in 0..self.args.n_init {
            let mut job = job.clone();
            job.settings.seed = job.settings.seed.wrapping_add(u64::from(at));
            if at > 0 {
                // Below the name, so that they are deleted with it.
                let next = format!("{}/run-{at}", job.name);
                job.name = if job.resumable { next } else { unique_name() };
            }
            let summary = self.run(&job)?;
            if best.as_ref().is_none_or(|(_, other)| summary.done.cost < other.done.cost) {
                best = Some((job, summary));
            }
        }
        Ok(best.expect("there was a run"))
    }

    fn run(&self, job: &Job) -> Result<RunSummary> {
        let Self { args, engine, .. } = self;
        let limit = self.limit.map(|limit| RunLimit {
            time: limit.time.saturating_sub(self.start.elapsed()),
            ..limit
        });
        let progress = Progress::new(job.data.bytes(), job.settings.iterations);
        let mut on_event = |event: &WorkerEvent| progress.note(event);
        let mut on_restart = |restart: &WorkerRestart| {
            let WorkerRestart { party, reason, log } = restart;
            progress.print(&format!("worker {party}: {reason}; restarting it"));
            let lines = log.iter().flat_map(|log| log.lines());
            lines.for_each(|line| progress.print(&format!("  {line}")));
        };
        let start = Instant::now();
        if job.resumable {
            let watch = JobWatch::open(job)?;
            watch.prepare()?;
            if let Some((round, _)) = watch.round()? {
                progress.print(&format!("going on with {} after round {round}", job.name));
            }
        }
        let summary = match &args.backend {
            WorkerBackend::Threads => threads::run(job, EngineLink::join, &mut on_event),
            WorkerBackend::Processes => {
                let program = std::env::current_exe()
                    .map_err(|cause| Error::Io { path: PathBuf::from("this program"), cause })?;
                let cloud = Cloud::processes(program);
                workers::run_within(job, &cloud, limit, &mut on_event, &mut on_restart)
            }
            WorkerBackend::Lambda(function) => args.lambda(function).and_then(|cloud| {
                progress.print(&args.cost_line("workers cost up to", ATTEMPT_TIME_MAX));
                workers::run_within(job, &cloud, limit, &mut on_event, &mut on_restart)
            }),
        };
        if args.backend.is_lambda() {
            progress.print(&args.cost_line("workers cost about", start.elapsed()));
        }
        drop(progress);
        if !job.resumable {
            engine.clear(job);
        }
        summary
    }
}

impl JobArgs {
    fn workers(&self) -> u32 {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.workers.unwrap_or_else(|| u32::try_from(cores()).unwrap_or(u32::MAX))
    }

    fn data(&self) -> Result<(DataSet, Option<Spooled>)> {
        let Some(path) = &self.data else {
            let digits = DataSet::digits(self.hints.precision)?;
            return Ok((digits.with_endpoint(&self.store), None));
        };
        let spooled = Spooled::of(path, &self.hints)?;
        let data = DataSet::open_source(&self.store, path, spooled.as_ref(), &self.hints)?;
        Ok((data, spooled))
    }

    /// Returns the earlier limit of time and cost.
    fn limit(&self) -> Result<Option<RunLimit>> {
        let positive = |flag, value: Option<f64>| match value {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(Error::Flag { flag, reason: "expected a number greater than 0" })
            }
            value => Ok(value),
        };
        let time = positive("--max-time", self.max_time)?;
        let cost = positive("--max-cost", self.max_cost)?;
        if cost.is_some() && !self.backend.is_lambda() {
            let reason = "only workers on Lambda have a cost";
            return Err(Error::Flag { flag: "--max-cost", reason });
        }
        if time.is_some() && self.backend == WorkerBackend::Threads {
            let reason = "threads cannot be stopped; pass --backend processes";
            return Err(Error::Flag { flag: "--max-time", reason });
        }
        let by_cost = cost.map(|cost| cost / self.usd_per_second());
        let limits = [("--max-time", time), ("--max-cost", by_cost)];
        let limits = limits.into_iter().filter_map(|(flag, seconds)| {
            let time = Duration::try_from_secs_f64(seconds?).unwrap_or(Duration::MAX);
            Some(RunLimit { flag, time, is_pause: false })
        });
        Ok(limits.min_by_key(|limit| limit.time))
    }

    /// Returns the cost of all workers on Lambda.
    fn usd_per_second(&self) -> f64 {
        let one = f64::from(self.lambda_memory) / 1024.0 * USD_PER_GIB_SECOND;
        one * f64::from(self.workers())
    }

    fn cost_line(&self, what: &str, time: Duration) -> String {
        let (workers, seconds) = (self.workers(), time.as_secs_f64());
        let usd = self.usd_per_second() * seconds;
        let memory = self.lambda_memory;
        format!("{what} {usd:.4} USD for {seconds:.0} s of {workers} workers with {memory} MiB")
    }

    #[cfg(feature = "lambda")]
    fn lambda(&self, function: &str) -> Result<Cloud> {
        Cloud::lambda(function, self.lambda_endpoint_url.as_deref()).map_err(Error::Cloud)
    }

    #[cfg(not(feature = "lambda"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn lambda(&self, function: &str) -> Result<Cloud> {
        Err(Error::NotBuilt { what: format!("--backend lambda:{function}"), feature: "lambda" })
    }
}

/// Reads initial centroids from a file, in any format of data.
fn centroids(endpoint: &S3Endpoint, path: &Path, k: usize, dims: usize) -> Result<Init> {
    let hints = Hints { dims: Some(dims), precision: Some(Precision::F64), ..Hints::default() };
    let spooled = Spooled::of(path, &hints)?;
    let file = DataSet::open_source(endpoint, path, spooled.as_ref(), &hints)?;
    let rows = file.load::<f64>(file.share(0, 1))?;
    if rows.rows() != k || file.dims() != dims {
        let path = path.to_path_buf();
        return Err(Error::InitShape {
            path,
            rows: rows.rows(),
            dims: file.dims(),
            k,
            expected: dims,
        });
    }
    Ok(Init::Centroids(rows.values))
}

/// Returns whether a path is a folder in a store.
pub(super) fn is_folder(path: &Path) -> Result<bool> {
    Ok(S3Url::of(path)?.is_some_and(|url| url.is_folder()))
}
