//! `catena`: shared objects from the shell.
//!
//! Every kind and op of the client, and what people want to see of an engine. One call does one
//! thing, prints one answer, and says by its exit code how it went; see [`answer`].

#![forbid(unsafe_code)]

mod answer;
mod cluster;
mod lists;
mod manage;
mod maps;
mod meeting;
mod owning;
mod scalars;
mod top;
mod values;

#[cfg(feature = "s3")]
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[cfg(feature = "s3")]
use catena_client::S3Settings;
use catena_client::{Builder, Client};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::answer::{Answer, exit_code};

/// Shared objects from the shell: counters, maps, queues, locks, barriers and more, kept by a Catena
/// engine.
#[derive(Debug, Parser)]
#[command(name = "catena", version, after_help = EXAMPLES)]
struct Args {
    /// The engine: any of its addresses or of its cluster's, or several with commas; or the place of
    /// the cluster's record, `s3://bucket/prefix#cluster` or `file:///directory#cluster`.
    #[arg(
        long,
        visible_alias = "seeds",
        global = true,
        value_name = "HOST:PORT",
        env = "CATENA_ENGINE",
        default_value = "127.0.0.1:7400"
    )]
    engine: String,

    /// Longest time to wait for what takes waiting, such as `500ms`, `5s` or `2m`; 5 s unless given.
    #[arg(long, global = true, value_name = "TIME", value_parser = values::time)]
    timeout: Option<Duration>,

    /// Print the answer as one line of JSON.
    #[arg(long, global = true)]
    json: bool,

    #[cfg(feature = "s3")]
    #[command(flatten)]
    store: StoreArgs,

    #[command(subcommand)]
    command: Command,
}

/// How a store is reached, if the cluster's record is in one.
#[cfg(feature = "s3")]
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// A file with what S3 takes: a JSON object with `location`, `access_key`, `secret_access_key`,
    /// `endpoint_url`, `region`, all of them optional. `CATENA_S3_LOCATION` and so on go before it.
    #[arg(long, global = true, value_name = "FILE")]
    s3_config: Option<PathBuf>,

    /// The URL of a store that speaks S3 and is not AWS.
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  catena counter visits add 1                    prints the new value
  catena counter visits get
  catena map users put ada 'Ada Lovelace'
  catena map users get ada
  catena barrier round arrive --party w1 --parties 2 --timeout 5s
  catena list jobs push resize-17.png            … and a worker: catena list jobs claim --hold 60s
  catena lock deploy run -- ./deploy.sh          holds the lock while the command runs
  catena ls job-1/                               what there is; `rm --prefix job-1/` deletes it
  catena inspect round                           who holds, who waits, who is missing
  catena top                                     the engine, live
  catena cluster status                          who is in the cluster, and how they stand
  catena cluster watch --timeout 1m              what changes there
  catena --engine s3://bucket/prefix ping        finds the cluster by its record (feature `s3`)

A value `-` is read from standard input, `@FILE` from a file.

Exit codes: 0 done; 1 no (absent, not swapped, empty, false, a cluster that is not well); 2 wrong
usage; 3 timed out; 4 no engine answers; 5 refused; 6 broken or cancelled.";

#[derive(Debug, Subcommand)]
enum Command {
    /// A 64-bit signed integer.
    Counter(scalars::CounterArgs),
    /// A boolean.
    Flag(scalars::FlagArgs),
    /// Bytes.
    Cell(scalars::CellArgs),
    /// Rows and columns of numbers.
    Vector(scalars::VectorArgs),
    /// Byte strings in a row, and a queue of work.
    List(lists::ListArgs),
    /// Values by key, in the order of the keys.
    #[command(visible_alias = "sorted-map")]
    Map(maps::MapArgs),
    /// Byte strings, each at most once.
    Set(maps::SetArgs),
    /// Permits that are acquired and released.
    Semaphore(owning::SemaphoreArgs),
    /// One holder at a time.
    Lock(owning::LockArgs),
    /// A value that is set once.
    Future(owning::FutureArgs),
    /// Parties that wait for one another, again and again.
    Barrier(meeting::BarrierArgs),
    /// Opens once enough parties have counted down.
    Latch(meeting::LatchArgs),
    /// Vectors of several parties, combined.
    Reduction(meeting::ReductionArgs),
    /// Lines of text.
    Log(lists::LogArgs),
    /// Lists named objects.
    Ls(manage::LsArgs),
    /// Tells everything about an object.
    Inspect(manage::InspectArgs),
    /// Deletes an object, or all with a prefix.
    Rm(manage::RmArgs),
    /// Waits until an object changes.
    Wait(manage::WaitArgs),
    /// Deletes an object after a time.
    Expire(manage::ExpireArgs),
    /// Limits what objects with a prefix may be and take, in each shard.
    Quota(manage::QuotaArgs),
    /// How many objects with a prefix there are, and what they take.
    Usage(manage::UsageArgs),
    /// Measures the way to the engine and back.
    Ping(manage::PingArgs),
    /// Shows what the engine is doing, live.
    Top(top::TopArgs),
    /// Shows and changes who is in the cluster.
    Cluster(cluster::ClusterArgs),
    /// Writes completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Command::Completions { shell } = args.command {
        clap_complete::generate(shell, &mut Args::command(), "catena", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(answer) => answer.print(args.json),
        Err(error) => {
            answer::complain(&error, args.json);
            ExitCode::from(exit_code(&error))
        }
    }
}

impl Args {
    /// What makes clients.
    fn builder(&self) -> anyhow::Result<Builder> {
        let builder = Client::builder().call_timeout(CALL_TIMEOUT);
        #[cfg(feature = "s3")]
        let builder = builder.s3(self.store.settings()?);
        Ok(builder)
    }
}

#[cfg(feature = "s3")]
impl StoreArgs {
    fn settings(&self) -> anyhow::Result<S3Settings> {
        let flags = S3Settings { endpoint_url: self.endpoint_url.clone(), ..S3Settings::default() };
        let said = flags.or(S3Settings::from_env());
        Ok(match &self.s3_config {
            Some(path) => said.or(S3Settings::from_file(path)?),
            None => said,
        })
    }
}

/// Connects and does the one thing.
fn run(args: &Args) -> anyhow::Result<Answer> {
    let builder = args.builder()?;
    if let Command::Cluster(cluster) = &args.command {
        return cluster.run(builder, &args.engine, args.timeout, args.json);
    }
    let client = builder.connect(&args.engine)?;
    let timeout = args.timeout.unwrap_or(WAIT_TIMEOUT);
    let answer = match &args.command {
        Command::Counter(args) => args.run(&client),
        Command::Flag(args) => args.run(&client),
        Command::Cell(args) => args.run(&client),
        Command::Vector(args) => args.run(&client),
        Command::List(args) => args.run(&client, timeout),
        Command::Map(args) => args.run(&client),
        Command::Set(args) => args.run(&client),
        Command::Semaphore(args) => args.run(&client, timeout),
        Command::Lock(args) => args.run(&client, timeout),
        Command::Future(args) => args.run(&client, timeout),
        Command::Barrier(args) => args.run(&client, timeout),
        Command::Latch(args) => args.run(&client, timeout),
        Command::Reduction(args) => args.run(&client, timeout),
        Command::Log(args) => args.run(&client, timeout),
        Command::Ls(args) => args.run(&client),
        Command::Inspect(args) => args.run(&client),
        Command::Rm(args) => args.run(&client),
        Command::Wait(args) => args.run(&client, timeout),
        Command::Expire(args) => args.run(&client),
        Command::Quota(args) => args.run(&client),
        Command::Usage(args) => args.run(&client),
        Command::Ping(args) => args.run(&client),
        Command::Top(args) => args.run(&client),
        Command::Cluster(_) | Command::Completions { .. } => unreachable!("was done before"),
    }?;
    if answer.keeps {
        // What the call holds, it holds beyond this process: a session that is closed loses it.
        std::mem::forget(client);
    }
    Ok(answer)
}

/// How long an engine may take to answer what takes no waiting.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for what takes waiting, unless given.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
