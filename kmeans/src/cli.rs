//! The command line: flags, and what each command does with the library.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catena_kmeans::data::{DataSet, Format, Hints};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Event, Job, Summary};
use catena_kmeans::kernel::Precision;
use catena_kmeans::link::{Link, Place};
use catena_kmeans::{Error, Result, output, processes, report, threads};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const EXAMPLES: &str = "\
Examples:
  catena-kmeans
  catena-kmeans run --data points.csv --k 25 --out centroids.csv --report report.svg
  catena-kmeans run --data parts/ --workers 8 --backend processes --engine 127.0.0.1:7400 --json
  catena-kmeans run --data packed.f32 --dims 100 --init random --seed 7 --iterations 10
  catena-kmeans generate --points 500000 --dims 100 --clusters 25 --seed 1 --out points.npy";

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
    Run(RunArgs),
    /// Make up points in Gaussian clusters.
    #[command(after_help = EXAMPLES)]
    Generate(GenerateArgs),
    /// One worker of a run, told its part on standard input.
    #[command(hide = true)]
    Worker,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Points: a CSV, .npy, .f32 or .f64 file, gzipped or not, or a folder of such parts [default: shipped digits].
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// How the files are to be read, if their names do not tell.
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// Numbers in a row, for packed files, which do not say.
    #[arg(long, value_name = "N")]
    dims: Option<usize>,
    /// What to compute in, if not in what the data is stored as; CSV counts as f64.
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,
    /// Clusters.
    #[arg(long, short, default_value_t = 10)]
    k: usize,
    /// The most updates of the centres.
    #[arg(long, value_name = "N", default_value_t = 300)]
    iterations: u64,
    /// Stop when no centre moves farther than this, in the data's own units; 0 waits until all are at rest.
    #[arg(long, value_name = "DISTANCE", default_value_t = 0.0)]
    tolerance: f64,
    /// Initial centroids: first, random, kmeans++, or a file with one a row.
    #[arg(long, value_name = "first|random|kmeans++|FILE", default_value = "kmeans++")]
    init: InitArg,
    /// What random draws depend on.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Workers that share the points [default: one per core].
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// What workers are.
    #[arg(long, value_enum, default_value_t = Backend::Threads)]
    backend: Backend,
    /// An engine that runs already, by its first address [default: one of its own, inside this process].
    #[arg(long, value_name = "ADDR")]
    engine: Option<String>,
    /// How long a worker waits for the others, and for the engine.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Write the centroids here, one a row.
    #[arg(long, value_name = "centroids.csv")]
    out: Option<PathBuf>,
    /// Write the cluster of each point here, one a row.
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
    /// Rows.
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    points: u64,
    /// Numbers in a row.
    #[arg(long, value_name = "N", default_value_t = 100)]
    dims: usize,
    /// Clusters.
    #[arg(long, value_name = "N", default_value_t = 25)]
    clusters: u64,
    /// Standard deviation within a cluster; centres lie within 10 of the origin in each dimension.
    #[arg(long, default_value_t = 1.0)]
    spread: f64,
    /// What all numbers depend on.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to; the ending says how: .csv, .npy, .f32 or .f64, with .gz after it if wanted.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Threads,
    Processes,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Csv,
    Npy,
    F32,
    F64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PrecisionArg {
    F32,
    F64,
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

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|_| "not a number of seconds".to_string())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("some time is needed".to_string()) } else { Ok(duration) }
}

/// Does what the command line says.
pub(crate) fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(&args),
        Some(Command::Generate(args)) => generate(&args),
        Some(Command::Worker) => {
            // An error has been told to the driver, which tells the user.
            processes::work().or_else(|_| process::exit(1))
        }
    }
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let GenerateArgs { points, dims, clusters, spread, seed, ref out } = *args;
    Recipe { points, dims, clusters, spread, seed }.write(out)
}

fn run(args: &RunArgs) -> Result<()> {
    let place = Place::open(args.engine.as_deref())?;
    let job = job(args, &place)?;
    let progress = Progress::new(job.iterations);
    let mut relocated = BTreeSet::new();
    let mut on_event = |event: &Event| {
        progress.note(event);
        if let Event::Round(round) = event
            && round.calls > 1
        {
            relocated.insert(round.round);
        }
    };
    let summary = match args.backend {
        Backend::Threads => threads::run(&job, Link::join, &mut on_event),
        Backend::Processes => {
            let program = std::env::current_exe()
                .map_err(|cause| Error::Io { path: PathBuf::from("this program"), cause })?;
            processes::run(&job, &program, &mut on_event, &mut |death| {
                progress
                    .say(&format!("worker {}: {}; starting it again", death.party, death.status));
            })
        }
    };
    progress.end();
    place.clear(&job, &relocated);
    finish(args, &job, &summary?)
}

fn job(args: &RunArgs, place: &Place) -> Result<Job> {
    let format = args.format.map(|format| match format {
        FormatArg::Csv => Format::Csv,
        FormatArg::Npy => Format::Npy,
        FormatArg::F32 => Format::F32,
        FormatArg::F64 => Format::F64,
    });
    let precision = args.precision.map(|precision| match precision {
        PrecisionArg::F32 => Precision::F32,
        PrecisionArg::F64 => Precision::F64,
    });
    let hints = Hints { format, dims: args.dims, precision };
    let data = match &args.data {
        Some(path) => DataSet::open(path, hints)?,
        None => DataSet::digits(precision)?,
    };
    let init = match &args.init {
        InitArg::Rows(init) => init.clone(),
        InitArg::File(path) => centroids(path, args.k, data.dims())?,
    };
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = args.workers.unwrap_or_else(|| u32::try_from(cores()).unwrap_or(u32::MAX));
    Ok(Job {
        name: name(),
        engine: place.address(),
        k: args.k,
        iterations: args.iterations,
        tolerance: args.tolerance,
        init,
        seed: args.seed,
        workers,
        timeout: args.timeout,
        labels: args.assignments.is_some(),
        sample_step: if args.report.is_some() {
            data.points().div_ceil(report::POINTS_MAX)
        } else {
            0
        },
        data,
    })
}

/// Initial centroids from a file, which is read like data.
fn centroids(path: &Path, k: usize, dims: usize) -> Result<Init> {
    let hints = Hints { dims: Some(dims), precision: Some(Precision::F64), ..Hints::default() };
    let file = DataSet::open(path, hints)?;
    let rows = file.load::<f64>(0..file.points())?;
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

/// Not the name of any other run, here or elsewhere.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("kmeans/{:x}-{:x}", now.as_nanos(), process::id())
}

fn finish(args: &RunArgs, job: &Job, summary: &Summary) -> Result<()> {
    if let Some(path) = &args.out {
        output::write_centroids(path, job, summary)?;
    }
    if let Some(path) = &args.assignments {
        output::write_labels(path, summary)?;
    }
    let backend = match args.backend {
        Backend::Threads => "threads",
        Backend::Processes => "processes",
    };
    if let Some(path) = &args.report {
        let title =
            format!("{}, k = {}, {} {backend}", job.data.path().display(), job.k, job.workers);
        report::write(path, &title, job.data.dims(), summary)?;
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

/// A bar on a terminal, nothing elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn new(iterations: u64) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} round {pos} of at most {len}  {msg}");
        let bar = ProgressBar::with_draw_target(Some(iterations), target);
        Self(bar.with_style(style.expect("the template is valid")))
    }

    fn note(&self, event: &Event) {
        if let Event::Round(round) = event {
            self.0.set_position(round.round);
            self.0.set_message(format!("cost {:.6e}, {} points moved", round.cost, round.moved));
        }
    }

    fn say(&self, line: &str) {
        self.0.suspend(|| {
            // A closed terminal is no reason to stop.
            let _ = writeln!(io::stderr(), "catena-kmeans: {line}");
        });
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
