//! The command line: flags, and the calls of the library for each command.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use catena_cloud::Cloud;
use catena_kmeans::data::{DataSet, Hints, Spooled};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, Labels, RunSummary, WorkerEvent, unique_name};
use catena_kmeans::kernel::Precision;
use catena_kmeans::link::{EngineLink, JobEngine};
use catena_kmeans::model::Model;
use catena_kmeans::output::{self, OutputFile};
use catena_kmeans::s3::{S3Endpoint, S3Url};
use catena_kmeans::workers::{self, RunLimit, WorkerRestart};
use catena_kmeans::{Error, Result, Settings, report, threads, upload};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const EXAMPLES: &str = "\
Examples:
  catena-kmeans
  catena-kmeans run --data points.csv --k 25 --out centroids.csv --report report.svg
  catena-kmeans run --data parts/ --workers 8 --backend processes --engine 127.0.0.1:7400 --json
  catena-kmeans run --data packed.f32 --dims 100 --init random --seed 7 --iterations 10
  catena-kmeans run --data points.csv --k 25 --model model.json
  catena-kmeans predict --model model.json --data other.csv --out clusters.txt
  catena-kmeans generate --points 500000 --dims 100 --clusters 25 --seed 1 --out points.npy
  catena-kmeans upload points.npy s3://bucket/points/
  catena-kmeans run --data s3://bucket/points/ --k 25 --out s3://bucket/results/centroids.csv
  catena-kmeans run --data s3://bucket/points/ --k 25 --backend lambda:NAME \\
      --engine s3://bucket/clusters#CLUSTER

Files are paths or s3://bucket/key, folders are paths or s3://bucket/prefix/. `s3://` needs a build \
with --features s3. Credentials come from CATENA_S3_ACCESS_KEY and CATENA_S3_SECRET_ACCESS_KEY, or \
from where the AWS command line finds them.";

/// k-means on Catena: exact, and the same bits for any number of workers.
#[derive(Debug, Parser)]
#[command(name = "catena-kmeans", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cluster points (the default command).
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Assign points to the centroids of a saved model.
    Predict(PredictArgs),
    /// Generate points in Gaussian clusters.
    #[command(after_help = EXAMPLES)]
    Generate(GenerateArgs),
    /// Copy files, or folders of files, to a store.
    #[command(after_help = EXAMPLES)]
    Upload(UploadArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Read the points from a CSV, .npy, .f32 or .f64 file, gzipped or not, from the files of a
    /// folder and of the folders in it, from those that match a pattern such as 'day*/*.csv', or
    /// from a pipe (- for standard input) [default: shipped digits].
    #[arg(long, value_name = "PATH|s3://BUCKET/PREFIX")]
    data: Option<PathBuf>,
    #[command(flatten)]
    store: S3Endpoint,
    #[command(flatten)]
    hints: Hints,
    #[command(flatten)]
    settings: Settings,
    /// Choose initial centroids: the first rows, random rows, k-means++, or the rows of a file.
    #[arg(long, value_name = "first|random|kmeans++|FILE", default_value = "kmeans++")]
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
    backend: WorkerBackend,
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
    /// Write the centroids to this file, one per row.
    #[arg(long, value_name = "centroids.csv")]
    out: Option<PathBuf>,
    /// Write the centroids to this file with what `predict` needs to assign other points to them.
    #[arg(long, value_name = "model.json")]
    model: Option<PathBuf>,
    /// Write the cluster of each point to this file, one per row; in s3://bucket/prefix/, each
    /// worker writes a part.
    #[arg(long, value_name = "FILE")]
    assignments: Option<PathBuf>,
    /// Draw cost and time by round, and points and centres, to this file: a picture (.svg), or a page
    /// with the result in numbers (.html).
    #[arg(long, value_name = "report.html|report.svg")]
    report: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PredictArgs {
    /// Take the centroids of this model, which `run --model` has written.
    #[arg(long, value_name = "model.json")]
    model: PathBuf,
    /// Read the points from here, as for `run`.
    #[arg(long, value_name = "PATH|s3://BUCKET/PREFIX")]
    data: PathBuf,
    #[command(flatten)]
    store: S3Endpoint,
    #[command(flatten)]
    hints: Hints,
    /// Write the cluster of each point to this file, one per row [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct GenerateArgs {
    #[command(flatten)]
    recipe: Recipe,
    /// Write the points to this file; its extension (.csv, .npy, .f32, .f64, and .gz after it) sets
    /// the format.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Split the points into this many files, numbered before the extension.
    #[arg(long, value_name = "N", default_value_t = 1)]
    parts: u64,
    #[command(flatten)]
    store: S3Endpoint,
}

#[derive(Debug, Args)]
struct UploadArgs {
    /// Copy these files, or the files in these folders and in the folders in them, except hidden
    /// ones. Of several folders, each keeps its name.
    #[arg(value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Copy them here; they keep their names if this ends with a slash or if there are several.
    #[arg(value_name = "s3://BUCKET/PREFIX/")]
    to: PathBuf,
    #[command(flatten)]
    store: S3Endpoint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum WorkerBackend {
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
    fn name(&self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Lambda(_) => "lambda",
        }
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
            file => Self::File(PathBuf::from(file)),
        })
    }
}

/// Runs the command line.
pub(crate) fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(&args),
        Some(Command::Predict(args)) => predict(&args),
        Some(Command::Generate(args)) => generate(&args),
        Some(Command::Upload(args)) => upload(&args),
    }
}

fn predict(args: &PredictArgs) -> Result<()> {
    let PredictArgs { model, data, store, hints, out } = args;
    out.as_deref().map_or(Ok(()), |out| OutputFile::check(out, store))?;
    let model = Model::read(model)?;
    let spooled = Spooled::of(data, hints)?;
    let data = spooled.as_ref().map_or_else(|| data.clone(), Spooled::path);
    if let Some(out) = out {
        DataSet::open_at(store, &data, hints.clone())?.check_output(out)?;
    }
    let labels = model.predict(&data, hints.clone(), store)?.labels;
    match out {
        Some(out) => output::write_labels(out, store, &labels),
        None => {
            let mut out = io::BufWriter::new(io::stdout().lock());
            let written = labels.iter().try_for_each(|label| writeln!(out, "{label}"));
            let path = PathBuf::from("standard output");
            written.and_then(|()| out.flush()).map_err(|cause| Error::Io { path, cause })
        }
    }
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let GenerateArgs { recipe, out, parts, store } = args;
    let bar = Bar::new("{bar:30} {human_pos} of {human_len} rows  {per_sec}", recipe.points);
    recipe.write_parts(out, *parts, store, &mut |rows| bar.0.inc(rows))
}

fn upload(args: &UploadArgs) -> Result<()> {
    let upload::Plan { transfers, skipped } = upload::plan(&args.files, &args.to)?;
    for path in skipped {
        let _ = writeln!(
            io::stderr(),
            "catena-kmeans: {}: left out, because it is hidden or no plain file or folder; name it \
             to upload it",
            path.display()
        );
    }
    let bar = Bar::new(BYTES, transfers.iter().map(|transfer| transfer.bytes).sum());
    upload::run(transfers, &args.store, &|bytes| bar.0.inc(bytes))
}

fn run(args: &RunArgs) -> Result<()> {
    let outputs =
        || [&args.out, &args.model, &args.assignments, &args.report].into_iter().flatten();
    for (at, path) in outputs().enumerate() {
        if outputs().skip(at + 1).any(|other| other == path) {
            let reason = "two outputs have this name; give them different ones";
            return Err(Error::Output { path: path.clone(), reason });
        }
        let file = if is_folder(path)? { &path.join("labels") } else { path };
        OutputFile::check(file, &args.store)?;
    }
    if matches!(args.backend, WorkerBackend::Lambda(_)) && args.engine.is_none() {
        let reason = "workers on Lambda need an engine that they can reach; pass its address";
        return Err(Error::Flag { flag: "--engine", reason });
    }
    args.report.as_deref().map_or(Ok(()), report::check)?;
    let limit = args.limit()?;
    let engine = JobEngine::open(args.engine.as_deref())?;
    let spooled = match &args.data {
        Some(path) => Spooled::of(path, &args.hints)?,
        None => None,
    };
    let data = spooled.as_ref().map(Spooled::path).or_else(|| args.data.clone());
    let job = job(args, data.as_deref(), &engine)?;
    job.check()?;
    outputs().try_for_each(|path| job.data.check_output(path))?;
    if let (WorkerBackend::Lambda(_), Some(path)) = (&args.backend, &args.assignments) {
        job.check_reply(path)?;
    }
    if matches!(args.backend, WorkerBackend::Lambda(_)) && !job.data.is_shared() {
        let advice = "copy them to a store with `catena-kmeans upload`";
        let path = job.data.path().to_path_buf();
        return Err(Error::NotShared { path, backend: "lambda", advice });
    }
    if args.n_init == 0 {
        return Err(Error::Flag { flag: "--n-init", reason: "there must be at least one run" });
    }
    if args.n_init > 1 && matches!(job.labels, Labels::Written(_)) {
        let reason = "labels that workers write to a store would be those of the last run; run again \
                      with the --seed of the best run and without --n-init";
        return Err(Error::Flag { flag: "--n-init", reason });
    }
    let limit = limit(&job);
    let start = Instant::now();
    let mut best: Option<(Job, RunSummary)> = None;
    for at in 0..args.n_init {
        let mut job = job.clone();
        job.settings.seed = job.settings.seed.wrapping_add(u64::from(at));
        if at > 0 {
            job.name = unique_name();
        }
        let left = limit
            .map(|limit| RunLimit { time: limit.time.saturating_sub(start.elapsed()), ..limit });
        let summary = run_once(args, &engine, &job, left)?;
        if best.as_ref().is_none_or(|(_, other)| summary.done.cost < other.done.cost) {
            best = Some((job, summary));
        }
    }
    let (job, summary) = best.expect("there was a run");
    finish(args, &job, &summary)
}

fn run_once(
    args: &RunArgs,
    engine: &JobEngine,
    job: &Job,
    limit: Option<RunLimit>,
) -> Result<RunSummary> {
    let progress = Progress::new(job.data.bytes(), job.settings.iterations);
    let mut on_event = |event: &WorkerEvent| progress.note(event);
    let mut on_restart = |restart: &WorkerRestart| {
        let WorkerRestart { party, reason, log } = restart;
        progress.print(&format!("worker {party}: {reason}; restarting it"));
        let lines = log.iter().flat_map(|log| log.lines());
        lines.for_each(|line| progress.print(&format!("  {line}")));
    };
    let start = Instant::now();
    let summary = match &args.backend {
        WorkerBackend::Threads => threads::run(job, EngineLink::join, &mut on_event),
        WorkerBackend::Processes => {
            let program = std::env::current_exe()
                .map_err(|cause| Error::Io { path: PathBuf::from("this program"), cause })?;
            let cloud = Cloud::processes(program);
            workers::run_within(job, &cloud, limit, &mut on_event, &mut on_restart)
        }
        WorkerBackend::Lambda(function) => lambda(args, function).and_then(|cloud| {
            progress.print(&args.cost_line("workers cost up to", job.workers, ATTEMPT_TIME_MAX));
            workers::run_within(job, &cloud, limit, &mut on_event, &mut on_restart)
        }),
    };
    if matches!(args.backend, WorkerBackend::Lambda(_)) {
        progress.print(&args.cost_line("workers cost about", job.workers, start.elapsed()));
    }
    drop(progress);
    engine.clear(job);
    summary
}

/// The price of Lambda, for x86 in us-east-1, 2026-11: USD for a second of a GiB.
const USD_PER_GIB_SECOND: f64 = 0.000_016_666_7;

/// The longest time of an attempt on Lambda.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(15 * 60);

impl RunArgs {
    /// Returns the earlier limit of time and cost, for a job.
    fn limit(&self) -> Result<impl Fn(&Job) -> Option<RunLimit>> {
        let positive = |flag, value: Option<f64>| match value {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(Error::Flag { flag, reason: "expected a number greater than 0" })
            }
            value => Ok(value),
        };
        let time = positive("--max-time", self.max_time)?;
        let cost = positive("--max-cost", self.max_cost)?;
        let is_lambda = matches!(self.backend, WorkerBackend::Lambda(_));
        if cost.is_some() && !is_lambda {
            let reason = "only workers on Lambda have a cost";
            return Err(Error::Flag { flag: "--max-cost", reason });
        }
        if time.is_some() && self.backend == WorkerBackend::Threads {
            let reason = "threads cannot be stopped; pass --backend processes";
            return Err(Error::Flag { flag: "--max-time", reason });
        }
        let per_second = self.usd_per_second();
        Ok(move |job: &Job| {
            let by_cost = cost.map(|cost| cost / (per_second * f64::from(job.workers)));
            let limits = [("--max-time", time), ("--max-cost", by_cost)];
            let limits = limits.into_iter().filter_map(|(flag, seconds)| {
                let time = Duration::try_from_secs_f64(seconds?).unwrap_or(Duration::MAX);
                Some(RunLimit { flag, time })
            });
            limits.min_by_key(|limit| limit.time)
        })
    }

    /// Returns the cost of a worker on Lambda.
    fn usd_per_second(&self) -> f64 {
        f64::from(self.lambda_memory) / 1024.0 * USD_PER_GIB_SECOND
    }

    fn cost_line(&self, what: &str, workers: u32, time: Duration) -> String {
        let usd = self.usd_per_second() * f64::from(workers) * time.as_secs_f64();
        format!(
            "{what} {usd:.4} USD for {:.0} s of {workers} workers with {} MiB",
            time.as_secs_f64(),
            self.lambda_memory
        )
    }
}

#[cfg(feature = "lambda")]
fn lambda(args: &RunArgs, function: &str) -> Result<Cloud> {
    Cloud::lambda(function, args.lambda_endpoint_url.as_deref()).map_err(Error::Cloud)
}

#[cfg(not(feature = "lambda"))]
fn lambda(_: &RunArgs, function: &str) -> Result<Cloud> {
    Err(Error::NotBuilt { what: format!("--backend lambda:{function}"), feature: "lambda" })
}

fn job(args: &RunArgs, data: Option<&Path>, engine: &JobEngine) -> Result<Job> {
    let RunArgs { store, hints, settings, .. } = args;
    let data = match data {
        Some(path) => DataSet::open_at(store, path, hints.clone())?,
        None => DataSet::digits(hints.precision)?.with_endpoint(store),
    };
    let init = match &args.init {
        InitArg::Rows(init) => init.clone(),
        InitArg::File(path) => centroids(store, path, settings.k, data.dims())?,
    };
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = args.workers.unwrap_or_else(|| u32::try_from(cores()).unwrap_or(u32::MAX));
    Ok(Job {
        name: unique_name(),
        engine: engine.address(),
        settings: Settings { init, ..settings.clone() },
        workers,
        prepared: false,
        labels: match &args.assignments {
            None => Labels::None,
            Some(path) if is_folder(path)? => Labels::Written(path.clone()),
            Some(_) => Labels::Returned,
        },
        sample: args.report.is_some(),
        data,
    })
}

/// Reads initial centroids from a file, in any format of data.
fn centroids(endpoint: &S3Endpoint, path: &Path, k: usize, dims: usize) -> Result<Init> {
    let hints = Hints { dims: Some(dims), precision: Some(Precision::F64), ..Hints::default() };
    let file = DataSet::open_at(endpoint, path, hints)?;
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
fn is_folder(path: &Path) -> Result<bool> {
    Ok(S3Url::of(path)?.is_some_and(|url| url.is_folder()))
}

fn finish(args: &RunArgs, job: &Job, summary: &RunSummary) -> Result<()> {
    let endpoint = &args.store;
    if let Some(path) = &args.out {
        output::write_centroids(path, endpoint, &job.data, &summary.done.centroids)?;
    }
    if let Some(path) = &args.model {
        Model::of(job, summary).write(path, endpoint)?;
    }
    if let Some(path) = &args.assignments
        && job.labels == Labels::Returned
    {
        output::write_labels(path, endpoint, &summary.labels)?;
    }
    let backend = args.backend.name();
    let result = output::RunReport::new(job, backend, summary);
    if let Some(path) = &args.report {
        let title = format!(
            "{}, k = {}, {} {backend}",
            job.data.path().display(),
            job.settings.k,
            job.workers
        );
        report::write(path, endpoint, &title, job, summary, result.warnings())?;
    }
    let mut out = io::stdout().lock();
    if !args.json {
        for warning in result.warnings() {
            // The result is more important.
            let _ = writeln!(io::stderr(), "catena-kmeans: warning: {warning}");
        }
    }
    let written = if args.json {
        result.write_json(&mut out)
    } else {
        result.write_text(job, summary, &mut out)
    };
    written
        .and_then(|()| out.flush())
        .map_err(|cause| Error::Io { path: PathBuf::from("standard output"), cause })?;
    if !args.json {
        for path in [&args.out, &args.model, &args.assignments, &args.report].into_iter().flatten()
        {
            let _ = writeln!(out, "wrote {}", path.display());
        }
    }
    Ok(())
}

/// The template of progress in bytes.
const BYTES: &str = "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}";

/// A progress bar, if standard error is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(template: &str, whole: u64) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self(ProgressBar::with_draw_target(Some(whole), target).with_style(style(template)))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// How often a line of progress is printed without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of a run: bytes while points are read, then rounds. Without a terminal, a line from
/// time to time.
struct Progress {
    bar: Bar,
    iterations: u64,
    in_rounds: Cell<bool>,
    bytes: Cell<u64>,
    bytes_all: u64,
    line_due: Cell<Instant>,
}

impl Progress {
    fn new(bytes: u64, iterations: u64) -> Self {
        Self {
            bar: Bar::new(BYTES, bytes),
            iterations,
            in_rounds: Cell::new(false),
            bytes: Cell::new(0),
            bytes_all: bytes,
            line_due: Cell::new(Instant::now() + LINE_EVERY),
        }
    }

    fn note(&self, event: &WorkerEvent) {
        let bar = &self.bar.0;
        match event {
            WorkerEvent::Read(bytes) if !self.in_rounds.get() => {
                bar.inc(*bytes);
                self.bytes.set(self.bytes.get() + bytes);
                self.line(|| format!("read {} of {} bytes", self.bytes.get(), self.bytes_all));
            }
            WorkerEvent::Round(round) => {
                let message = format!("cost {:.6e}, {} points moved", round.cost, round.moved);
                self.note_round(round.round, message);
            }
            WorkerEvent::Seen { round, moved } => {
                self.note_round(*round, format!("{moved} points moved"));
            }
            WorkerEvent::Read(_) | WorkerEvent::Loaded { .. } => {}
        }
    }

    fn note_round(&self, round: u64, message: String) {
        let bar = &self.bar.0;
        if !self.in_rounds.replace(true) {
            bar.set_style(style("{bar:30} round {pos} of at most {len}  {msg}"));
            bar.set_length(self.iterations);
        }
        self.line(|| format!("round {round} of at most {}, {message}", self.iterations));
        bar.set_position(round);
        bar.set_message(message);
    }

    /// Prints a line if there is no bar and one is due.
    fn line(&self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.bar.0.is_hidden() && now >= self.line_due.get() {
            self.line_due.set(now + LINE_EVERY);
            self.print(&text());
        }
    }

    fn print(&self, line: &str) {
        self.bar.0.suspend(|| {
            // The run goes on if the terminal is closed.
            let _ = writeln!(io::stderr(), "catena-kmeans: {line}");
        });
    }
}
