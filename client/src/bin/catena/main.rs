//! `catena`: shared objects from the shell.
//!
//! It offers every kind and op of the client, and commands to inspect engines and clusters. An
//! invocation runs one command, prints one result, and reports success by its exit code; see
//! [`outcome`].

#![forbid(unsafe_code)]

mod cluster;
mod coordination;
mod holds;
mod lists;
mod manage;
mod maps;
mod outcome;
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

use self::outcome::{Outcome, exit_code};

/// Use the shared objects of a Catena engine from the shell: counters, maps, queues, locks,
/// barriers and more.
#[derive(Debug, Parser)]
#[command(name = "catena", version, after_help = EXAMPLES)]
struct ToolArgs {
    /// Address of the engine, or of any members of its cluster, separated by commas; or the place
    /// of the cluster's record, `s3://bucket/prefix#cluster` or `file:///directory#cluster`
    #[arg(
        long,
        visible_alias = "seeds",
        global = true,
        value_name = "HOST:PORT",
        env = "CATENA_ENGINE",
        default_value = "127.0.0.1:7400"
    )]
    engine: String,

    /// Maximum time a blocking command waits, such as `500ms`, `5s` or `2m` [default: 5s]
    #[arg(long, global = true, value_name = "TIME", value_parser = values::time)]
    timeout: Option<Duration>,

    /// Print the result as one line of JSON
    #[arg(long, global = true)]
    json: bool,

    #[cfg(feature = "s3")]
    #[command(flatten)]
    store: StoreArgs,

    #[command(subcommand)]
    command: ToolCommand,
}

/// How to reach the store with the cluster's record, if it is in one.
#[cfg(feature = "s3")]
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// File with settings for S3: a JSON object with `location`, `access_key`, `secret_access_key`,
    /// `endpoint_url` and `region`, all optional; overridden by `CATENA_S3_LOCATION` and so on
    #[arg(long, global = true, value_name = "FILE")]
    s3_config: Option<PathBuf>,

    /// URL of an S3-compatible store other than AWS
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
  catena list jobs push resize-17.png            a worker runs: catena list jobs claim --hold 60s
  catena lock deploy run -- ./deploy.sh          holds the lock while the command runs
  catena ls job-1/                               lists objects; `rm --prefix job-1/` deletes them
  catena inspect round                           shows holders, waiters and missing parties
  catena top                                     shows the load of the engine, live
  catena cluster status                          shows the members and their state
  catena cluster watch --timeout 1m              shows changes of the cluster
  catena --engine s3://bucket/prefix ping        finds the cluster by its record (feature `s3`)

A value `-` is read from standard input, `@FILE` from a file.

Exit codes: 0 success; 1 negative result (absent, not swapped, empty, false, cluster not healthy,
command of `lock run` failed); 2 wrong usage; 3 timed out; 4 no engine answers; 5 refused; 6 broken
or cancelled.";

#[derive(Debug, Subcommand)]
enum ToolCommand {
    /// Use a counter: a 64-bit signed integer
    Counter(scalars::CounterArgs),
    /// Use a flag: a boolean
    Flag(scalars::FlagArgs),
    /// Use a cell: bytes with a version
    Cell(scalars::CellArgs),
    /// Use a vector: numbers in rows and columns
    Vector(scalars::VectorArgs),
    /// Use a list: byte strings in order, also as a queue or work queue
    List(lists::ListArgs),
    /// Use a map: values by key, in the order of the keys
    #[command(visible_alias = "sorted-map")]
    Map(maps::MapArgs),
    /// Use a set: distinct byte strings
    Set(maps::SetArgs),
    /// Use a semaphore: permits that are acquired and released
    Semaphore(holds::SemaphoreArgs),
    /// Use a lock: one holder at a time
    Lock(holds::LockArgs),
    /// Use a future: a value that is set once
    Future(holds::FutureArgs),
    /// Use a barrier: parties that wait for one another, repeatedly
    Barrier(coordination::BarrierArgs),
    /// Use a latch: opens once enough parties have counted down
    Latch(coordination::LatchArgs),
    /// Use a reduction: vectors of several parties, combined
    Reduction(coordination::ReductionArgs),
    /// Use a log: numbered lines of text
    Log(lists::LogArgs),
    /// List named objects
    Ls(manage::LsArgs),
    /// Describe an object
    Inspect(manage::InspectArgs),
    /// Delete an object, or all objects with a prefix
    Rm(manage::RmArgs),
    /// Wait until an object changes
    Wait(manage::WaitArgs),
    /// Delete an object after some time
    Expire(manage::ExpireArgs),
    /// Limit number and memory of the objects with a prefix, in each shard
    Quota(manage::QuotaArgs),
    /// Print number and memory of the objects with a prefix
    Usage(manage::UsageArgs),
    /// Measure the round-trip time to the engine
    Ping(manage::PingArgs),
    /// Show the load of the engine, live
    Top(top::TopArgs),
    /// Show and change the members of the cluster
    Cluster(cluster::ClusterArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let args = ToolArgs::parse();
    if let ToolCommand::Completions { shell } = args.command {
        clap_complete::generate(shell, &mut ToolArgs::command(), "catena", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(outcome) => outcome.print(args.json),
        Err(error) => {
            outcome::print_error(&error, args.json);
            ExitCode::from(exit_code(&error))
        }
    }
}

impl ToolArgs {
    /// The builder of the client.
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
        let settings = flags.or(S3Settings::from_env());
        Ok(match &self.s3_config {
            Some(path) => settings.or(S3Settings::from_file(path)?),
            None => settings,
        })
    }
}

/// Connects and runs the command.
fn run(args: &ToolArgs) -> anyhow::Result<Outcome> {
    let builder = args.builder()?;
    if let ToolCommand::Cluster(cluster) = &args.command {
        return cluster.run(builder, &args.engine, args.timeout, args.json);
    }
    let client = builder.connect(&args.engine)?;
    let timeout = args.timeout.unwrap_or(WAIT_TIMEOUT);
    let outcome = match &args.command {
        ToolCommand::Counter(args) => args.run(&client),
        ToolCommand::Flag(args) => args.run(&client),
        ToolCommand::Cell(args) => args.run(&client),
        ToolCommand::Vector(args) => args.run(&client),
        ToolCommand::List(args) => args.run(&client, timeout),
        ToolCommand::Map(args) => args.run(&client),
        ToolCommand::Set(args) => args.run(&client),
        ToolCommand::Semaphore(args) => args.run(&client, timeout),
        ToolCommand::Lock(args) => args.run(&client, timeout),
        ToolCommand::Future(args) => args.run(&client, timeout),
        ToolCommand::Barrier(args) => args.run(&client, timeout),
        ToolCommand::Latch(args) => args.run(&client, timeout),
        ToolCommand::Reduction(args) => args.run(&client, timeout),
        ToolCommand::Log(args) => args.run(&client, timeout),
        ToolCommand::Ls(args) => args.run(&client),
        ToolCommand::Inspect(args) => args.run(&client),
        ToolCommand::Rm(args) => args.run(&client),
        ToolCommand::Wait(args) => args.run(&client, timeout),
        ToolCommand::Expire(args) => args.run(&client),
        ToolCommand::Quota(args) => args.run(&client),
        ToolCommand::Usage(args) => args.run(&client),
        ToolCommand::Ping(args) => args.run(&client),
        ToolCommand::Top(args) => args.run(&client),
        ToolCommand::Cluster(_) | ToolCommand::Completions { .. } => {
            unreachable!("it was run before")
        }
    }?;
    if outcome.keeps_session {
        // What the command took is held beyond this process, so its session must not be closed.
        std::mem::forget(client);
    }
    Ok(outcome)
}

/// Maximum time of a call that does not block.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time that a blocking command waits, unless given.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
