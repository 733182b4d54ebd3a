//! The command line: flags, and what each command does with the library.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use catena_cloud::Cloud;
use catena_kmeans::data::{DataSet, Hints};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Event, Job, Labels, Summary, unique_name};
use catena_kmeans::kernel::Precision;
use catena_kmeans::link::{Link, Place};
use catena_kmeans::output::{self, Out};
use catena_kmeans::s3::{Endpoint, Url};
use catena_kmeans::workers::{self, Again};
use catena_kmeans::{Error, Result, Settings, report, threads, upload};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const EXAMPLES: &str = "\
Examples:
  catena-kmeans
  catena-kmeans run --data points.csv --k 25 --out centroids.csv --report report.svg
  catena-kmeans run --data parts/ --workers 8 --backend processes --engine 127.0.0.1:7400 --json
  catena-kmeans run --data packed.f32 --dims 100 --init random --seed 7 --iterations 10
  catena-kmeans generate --points 500000 --dims 100 --clusters 25 --seed 1 --out points.npy
  catena-kmeans upload points.npy s3://bucket/points/
  catena-kmeans run --data s3://bucket/points/ --k 25 --out s3://bucket/results/centroids.csv
  catena-kmeans run --data s3://bucket/points/ --k 25 --backend lambda:NAME --engine s3://bucket/clusters#CLUSTER

`s3://` takes a build with --features s3. Keys come from CATENA_S3_ACCESS_KEY and CATENA_S3_SECRET_ACCESS_KEY, or from
where AWS' own tools have them.";

/// k-means over Catena: exact, and the same bits for any number of workers.
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
    /// Cluster points; also what no command does.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Make up points in Gaussian clusters.
    #[command(after_help = EXAMPLES)]
    Generate(GenerateArgs),
    /// Copy files, or folders of files, into a store.
    #[command(after_help = EXAMPLES)]
    Upload(UploadArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Points: a CSV, .npy, .f32 or .f64 file, gzipped or not, or a folder of such parts, here or in a store [default:
    /// shipped digits].
    #[arg(long, value_name = "PATH|s3://BUCKET/PREFIX")]
    data: Option<PathBuf>,
    #[command(flatten)]
    store: Endpoint,
    #[command(flatten)]
    hints: Hints,
    #[command(flatten)]
    settings: Settings,
    /// Initial centroids: first, random, kmeans++, or a file with one a row.
    #[arg(long, value_name = "first|random|kmeans++|FILE", default_value = "kmeans++")]
    init: InitArg,
    /// Workers that share the points [default: one per core].
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// What workers are: threads, processes, or invocations of a Lambda function.
    #[arg(long, value_name = "threads|processes|lambda:NAME", default_value = "threads")]
    backend: Backend,
    /// An emulator of Lambda [default: AWS].
    #[arg(long, value_name = "URL")]
    lambda_endpoint_url: Option<String>,
    /// An engine that runs already, by any of its addresses, or a cluster, by addresses of several members or the place
    /// of its record [default: one of its own, inside this process].
    #[arg(long, value_name = "ADDR|s3://BUCKET/PREFIX#CLUSTER")]
    engine: Option<String>,
    /// Write the centroids here, one a row; as all files, a path or s3://bucket/key.
    #[arg(long, value_name = "centroids.csv")]
    out: Option<PathBuf>,
    /// Write the cluster of each point here, one a row; into s3://bucket/prefix/, each worker writes its own part.
    #[arg(long, value_name = "FILE")]
    assignments: Option<PathBuf>,
    /// Draw cost and time by iteration, and points and centres, here.
    #[arg(long, value_name = "report.svg")]
    report: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct GenerateArgs {
    #[command(flatten)]
    recipe: Recipe,
    /// Where to, a path or s3://bucket/key; the ending says how: .csv, .npy, .f32 or .f64, with .gz after it if wanted.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Split into so many files, numbered before the ending.
    #[arg(long, value_name = "N", default_value_t = 1)]
    parts: u64,
    #[command(flatten)]
    store: Endpoint,
}

#[derive(Debug, Args)]
struct UploadArgs {
    /// Files, or folders of files.
    #[arg(value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Where to. With a slash at the end, or several files, each keeps its name.
    #[arg(value_name = "s3://BUCKET/PREFIX/")]
    to: PathBuf,
    #[command(flatten)]
    store: Endpoint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Backend {
    Threads,
    Processes,
    Lambda(String),
}

impl FromStr for Backend {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("lambda:")) {
            ("threads", _) => Ok(Self::Threads),
            ("processes", _) => Ok(Self::Processes),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Lambda(name.to_string())),
            _ => Err("expected threads, processes, or lambda: and the name of a function"),
        }
    }
}

impl Backend {
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

/// Does what the command line says.
pub(crate) fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(&args),
        Some(Command::Generate(args)) => generate(&args),
        Some(Command::Upload(args)) => upload(&args),
    }
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let GenerateArgs { recipe, out, parts, store } = args;
    let bar = Bar::new("{bar:30} {human_pos} of {human_len} rows  {per_sec}", recipe.points);
    recipe.write_parts(out, *parts, store, &mut |rows| bar.0.inc(rows))
}

fn upload(args: &UploadArgs) -> Result<()> {
    let plan = upload::plan(&args.files, &args.to)?;
    let bar = Bar::new(BYTES, plan.iter().map(|transfer| transfer.bytes).sum());
    upload::run(plan, &args.store, &|bytes| bar.0.inc(bytes))
}

fn run(args: &RunArgs) -> Result<()> {
    for path in [&args.out, &args.assignments, &args.report].into_iter().flatten() {
        let file = if is_folder(path)? { &path.join("labels") } else { path };
        Out::check(file, &args.store)?;
    }
    if matches!(args.backend, Backend::Lambda(_)) && args.engine.is_none() {
        let reason =
            "workers that are invocations meet in an engine that they can reach: say where";
        return Err(Error::Flag { flag: "--engine", reason });
    }
    let place = Place::open(args.engine.as_deref())?;
    let job = job(args, &place)?;
    if matches!(args.backend, Backend::Lambda(_)) && !job.data.is_shared() {
        let advice = "catena-kmeans upload copies it into a store";
        let path = job.data.path().to_path_buf();
        return Err(Error::NotShared { path, backend: "lambda", advice });
    }
    let progress = Progress::new(job.data.bytes(), job.settings.iterations);
    let mut on_event = |event: &Event| progress.note(event);
    let mut on_again = |again: &Again| {
        let Again { party, how, log } = again;
        progress.say(&format!("worker {party}: {how}; starting it again"));
        log.iter().flat_map(|log| log.lines()).for_each(|line| progress.say(&format!("  {line}")));
    };
    let summary = match &args.backend {
        Backend::Threads => threads::run(&job, Link::join, &mut on_event),
        Backend::Processes => {
            let program = std::env::current_exe()
                .map_err(|cause| Error::Io { path: PathBuf::from("this program"), cause })?;
            workers::run(&job, &Cloud::processes(program), &mut on_event, &mut on_again)
        }
        Backend::Lambda(function) => lambda(args, function)
            .and_then(|cloud| workers::run(&job, &cloud, &mut on_event, &mut on_again)),
    };
    drop(progress);
    place.clear(&job);
    finish(args, &job, &summary?)
}

#[cfg(feature = "lambda")]
fn lambda(args: &RunArgs, function: &str) -> Result<Cloud> {
    Cloud::lambda(function, args.lambda_endpoint_url.as_deref()).map_err(Error::Cloud)
}

#[cfg(not(feature = "lambda"))]
fn lambda(_: &RunArgs, function: &str) -> Result<Cloud> {
    Err(Error::NotBuilt { what: format!("--backend lambda:{function}"), feature: "lambda" })
}

fn job(args: &RunArgs, place: &Place) -> Result<Job> {
    let RunArgs { store, hints, settings, .. } = args;
    let data = match &args.data {
        Some(path) => DataSet::open_at(store, path, *hints)?,
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
        engine: place.address(),
        settings: Settings { init, ..settings.clone() },
        workers,
        prepared: false,
        labels: match &args.assignments {
            None => Labels::None,
            Some(path) if is_folder(path)? => Labels::Written(path.clone()),
            Some(_) => Labels::Told,
        },
        sample: args.report.is_some(),
        data,
    })
}

/// Initial centroids from a file, which is read like data.
fn centroids(endpoint: &Endpoint, path: &Path, k: usize, dims: usize) -> Result<Init> {
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

/// Whether a path is that of a folder in a store.
fn is_folder(path: &Path) -> Result<bool> {
    Ok(Url::of(path)?.is_some_and(|url| url.is_folder()))
}

fn finish(args: &RunArgs, job: &Job, summary: &Summary) -> Result<()> {
    let endpoint = &args.store;
    if let Some(path) = &args.out {
        output::write_centroids(path, endpoint, &job.data, &summary.done.centroids)?;
    }
    if let Some(path) = &args.assignments
        && job.labels == Labels::Told
    {
        output::write_labels(path, endpoint, &summary.labels)?;
    }
    let backend = args.backend.name();
    if let Some(path) = &args.report {
        let title = format!(
            "{}, k = {}, {} {backend}",
            job.data.path().display(),
            job.settings.k,
            job.workers
        );
        report::write(path, endpoint, &title, job.data.dims(), summary)?;
    }
    let mut out = io::stdout().lock();
    let result = output::Report::new(job, backend, summary);
    let written = if args.json {
        result.write_json(&mut out)
    } else {
        result.write_text(job, summary, &mut out)
    };
    written
        .and_then(|()| out.flush())
        .map_err(|cause| Error::Io { path: PathBuf::from("standard output"), cause })?;
    if !args.json {
        for path in [&args.out, &args.assignments, &args.report].into_iter().flatten() {
            let _ = writeln!(out, "wrote {}", path.display());
        }
    }
    Ok(())
}

/// How bytes are shown.
const BYTES: &str = "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}";

/// A bar on a terminal, nothing elsewhere.
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

/// How far a run is: bytes while points are read, then rounds.
struct Progress {
    bar: Bar,
    iterations: u64,
    in_rounds: Cell<bool>,
}

impl Progress {
    fn new(bytes: u64, iterations: u64) -> Self {
        Self { bar: Bar::new(BYTES, bytes), iterations, in_rounds: Cell::new(false) }
    }

    fn note(&self, event: &Event) {
        let bar = &self.bar.0;
        match event {
            Event::Read(bytes) if !self.in_rounds.get() => bar.inc(*bytes),
            Event::Round(round) => {
                let message = format!("cost {:.6e}, {} points moved", round.cost, round.moved);
                self.note_round(round.round, message);
            }
            Event::Seen { round, moved } => {
                self.note_round(*round, format!("{moved} points moved"));
            }
            Event::Read(_) | Event::Loaded { .. } => {}
        }
    }

    fn note_round(&self, round: u64, message: String) {
        let bar = &self.bar.0;
        if !self.in_rounds.replace(true) {
            bar.set_style(style("{bar:30} round {pos} of at most {len}  {msg}"));
            bar.set_length(self.iterations);
        }
        bar.set_position(round);
        bar.set_message(message);
    }

    fn say(&self, line: &str) {
        self.bar.0.suspend(|| {
            // A closed terminal is no reason to stop.
            let _ = writeln!(io::stderr(), "catena-kmeans: {line}");
        });
    }
}
