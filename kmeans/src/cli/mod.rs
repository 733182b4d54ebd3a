//! The command line: flags, and the calls of the library for each command.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use catena_kmeans::data::{DataSet, Hints, Spooled};
use catena_kmeans::generate::Recipe;
use catena_kmeans::model::Model;
use catena_kmeans::output::{self, OutputFile};
use catena_kmeans::s3::S3Endpoint;
use catena_kmeans::{Error, Result, upload};
use clap::{Args, Parser, Subcommand};

use elbow::ElbowArgs;
use progress::{BYTES, Bar};
use run::RunArgs;

mod elbow;
mod job;
mod progress;
mod run;

const EXAMPLES: &str = "\
Examples:
  catena-kmeans
  catena-kmeans run --data points.csv --k 25 --out centroids.csv --report report.svg
  catena-kmeans run --data parts/ --workers 8 --backend processes --engine 127.0.0.1:7400 --json
  catena-kmeans run --data packed.f32 --dims 100 --init random --seed 7 --iterations 10
  catena-kmeans run --data points.csv --k 25 --model model.json
  catena-kmeans elbow --k 2..10 --data points.csv --report elbow.html
  catena-kmeans predict --model model.json --data other.csv --out clusters.txt
  catena-kmeans generate --points 500000 --dims 100 --clusters 25 --seed 1 --out points.npy
  catena-kmeans upload points.npy s3://bucket/points/
  catena-kmeans run --data s3://bucket/points/ --k 25 --out s3://bucket/results/centroids.csv
  catena-kmeans run --data s3://bucket/points/ --k 25 --backend lambda:NAME \\
      --engine s3://bucket/clusters#CLUSTER

Files are paths or s3://bucket/key, folders are paths or s3://bucket/prefix/. `s3://` needs a build \
with --features s3. Credentials come from CATENA_S3_ACCESS_KEY and CATENA_S3_SECRET_ACCESS_KEY, or \
from where the AWS command line finds them.";

const ELBOW_EXAMPLES: &str = "\
Examples:
  catena-kmeans elbow
  catena-kmeans elbow --k 2..10 --data points.csv --report elbow.html
  catena-kmeans elbow --k 5,10,20,40 --data points.npy --n-init 3 --silhouette-sample 5000 --json

The points are read once for each number of clusters. A silhouette is between -1 and 1: how much nearer \
points are to their own cluster than to the next one, on average.";

/// k-means on Catena: exact, and the same bits for any number of workers.
#[derive(Debug, Parser)]
#[command(name = "catena-kmeans", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cluster points (the default command).
    #[command(after_help = EXAMPLES, allow_negative_numbers = true)]
    Run(Box<RunArgs>),
    /// Cluster points into several numbers of clusters, to choose one: costs and silhouettes.
    #[command(after_help = ELBOW_EXAMPLES, allow_negative_numbers = true)]
    Elbow(Box<ElbowArgs>),
    /// Assign points to the centroids of a saved model.
    #[command(after_help = EXAMPLES, allow_negative_numbers = true)]
    Predict(PredictArgs),
    /// Generate points in Gaussian clusters.
    #[command(after_help = EXAMPLES, allow_negative_numbers = true)]
    Generate(GenerateArgs),
    /// Copy files, or folders of files, to a store.
    #[command(after_help = EXAMPLES)]
    Upload(UploadArgs),
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
    /// Write the cluster of each point to this file, one per row; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct GenerateArgs {
    #[command(flatten)]
    recipe: Recipe,
    /// Write the points to this file; its extension (.csv, .npy, .f32, .f64, and .gz after it) sets
    /// the format. - is standard output, as CSV.
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

/// Runs the command line.
pub(crate) fn main() -> Result<ExitCode> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            refusal.print().map_err(Error::stdout)?;
            return Ok(if refusal.exit_code() == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            });
        }
    };
    let done = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Elbow(args)) => elbow::elbow(&args),
        Some(Command::Predict(args)) => predict(&args),
        Some(Command::Generate(args)) => generate(&args),
        Some(Command::Upload(args)) => upload(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn predict(args: &PredictArgs) -> Result<()> {
    let PredictArgs { model, data, store, hints, out } = args;
    OutputFile::check(out, store)?;
    let model = Model::read(model)?;
    let spooled = Spooled::of(data, hints)?;
    let open = |hints: &Hints| DataSet::open_source(store, data, spooled.as_ref(), hints);
    open(hints)?.check_output(out)?;
    let labels = model.predict(open, hints.clone())?.labels;
    output::write_labels(out, store, &labels)
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let GenerateArgs { recipe, out, parts, store } = args;
    if output::is_stdout(out) && *parts != 1 {
        let reason = "standard output is one file; pass a name";
        return Err(Error::Flag { flag: "--parts", reason });
    }
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
