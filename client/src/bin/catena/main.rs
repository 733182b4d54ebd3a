//! `catena`: shared objects from the shell.
//!
//! It offers every kind and op of the client, and commands to inspect engines and clusters. An
//! invocation runs one command, prints one result, and reports success by its exit code; see
//! [`outcome`].

#![forbid(unsafe_code)]

mod batch;
mod cluster;
mod context;
mod coordination;
mod display;
mod dump;
mod examples;
mod help;
mod holds;
mod interrupt;
mod line;
mod lists;
mod manage;
mod maps;
mod monitor;
mod names;
mod outcome;
mod output;
mod place;
mod run;
mod scalars;
mod session;
mod shell;
mod top;
mod values;
mod words;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use self::outcome::{Format, exit_code};
use self::place::PlaceArgs;
use self::session::Session;
use self::values::Input;

/// Use the shared objects of a Catena engine from the shell: counters, maps, queues, locks,
/// barriers and more.
#[derive(Debug, Parser)]
#[command(name = "catena", version, after_help = EXAMPLES)]
struct ToolArgs {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: ToolCommand,
}

/// How a command waits, reads its values, and prints its result.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
struct Options {
    /// Maximum time a blocking command waits, such as `500ms`, `5s` or `2m` [default: 5s]
    #[arg(long, global = true, value_name = "TIME", value_parser = values::time)]
    timeout: Option<Duration>,

    /// Print the result as one line of JSON
    #[arg(long, global = true)]
    json: bool,

    /// Print bytes as they are, also on a terminal, where control characters are escaped otherwise
    #[arg(long, global = true)]
    raw: bool,

    /// Separate items by NUL bytes instead of lines: those that are printed, and those in a file or
    /// in standard input
    #[arg(long, short = '0', global = true)]
    null: bool,

    /// Take values as they are: `@FILE` and `-` mean themselves
    #[arg(long, global = true)]
    literal: bool,
}

impl Options {
    /// These options, and those given for all lines.
    fn or(&self, of_all: &Options) -> Options {
        Options {
            timeout: self.timeout.or(of_all.timeout),
            json: self.json || of_all.json,
            raw: self.raw || of_all.raw,
            null: self.null || of_all.null,
            literal: self.literal || of_all.literal,
        }
    }

    fn input(&self) -> Input {
        Input { literal: self.literal, null: self.null, stdin_taken: false }
    }

    fn format(&self) -> Format {
        let terminal = std::io::stdout().is_terminal();
        Format { json: self.json, raw: self.raw, null: self.null, terminal, among_others: false }
    }
}

const EXAMPLES: &str = "\
Examples:
  catena counter visits add 1                    prints the new value
  catena map users put ada 'Ada Lovelace'
  catena map users get ada
  catena cell page set @page.html                the contents of a file
  catena barrier round arrive --party w1 --parties 2 --timeout 5s
  seq 5 | catena list jobs push --lines -        a worker runs: catena list jobs claim run -- CMD
  catena lock deploy run -- ./deploy.sh          holds the lock while the command runs
  catena ls job-1/                               lists objects; `rm --prefix job-1/` deletes them
  catena inspect round                           shows holders, waiters and missing parties
  catena dump job-1/ > job-1.dump                `restore` makes them anew, on any cluster
  catena shell                                   a prompt; `batch` reads commands from a file
  catena top                                     shows the load of the engine, live
  catena monitor job-1/                          prints what clients ask of it, live
  catena cluster status                          shows the members and their state
  catena --engine s3://bucket/prefix ping        finds the cluster by its record (feature `s3`)
`catena COMMAND --help` and `catena COMMAND NAME OP --help` have more.

A value `-` is read from standard input, `@FILE` from a file; `@@text` is the text `@text`, and
with --literal every value is itself. A value that begins with `-` follows `--`. Values are
printed as the bytes they are, without a line feed, unless standard output is a terminal.

What does not exist is printed as nothing, with exit code 1: an object, a key, an item, a value
that was never set. Counters, flags, locks, futures and collections exist from the start: 0,
false, free, pending and empty.

Exit codes: 0 success; 1 negative result (absent, not swapped, empty, false, cluster not healthy);
2 wrong usage; 3 timed out; 4 no engine answers; 5 refused; 6 broken or cancelled; 7 the result
cannot be written. `run` exits with the code of its command: see `catena lock NAME run --help`.";

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
    /// Print or set limits for number and memory of the objects with a prefix, in each shard
    /// separately
    Quota(manage::QuotaArgs),
    /// Print number and memory of the objects with a prefix
    Usage(manage::UsageArgs),
    /// Measure the round-trip time to the engine
    Ping(manage::PingArgs),
    /// Show the load of the engine, live
    Top(top::TopArgs),
    /// Print what clients ask of the engine, live: a sample of the requests
    ///
    /// Each line has the time of day in UTC, the client's address, its session, the op, the object, the
    /// bytes of the request, the status of the reply, and the time that the shard took. A request without
    /// a reply at once `waits`: for an event, or for the other members. Reads that are served by other
    /// members than the head of a shard are not seen.
    Monitor(monitor::MonitorArgs),
    /// Show and change the members of the cluster
    Cluster(cluster::ClusterArgs),
    /// Execute commands interactively, with history and completion
    Shell,
    /// Execute commands from a file or standard input, one per line, over one connection
    ///
    /// The exit code is that of the first command that failed. If none failed, it is 1 if a command
    /// had a negative result, which does not end the batch, and otherwise 0.
    Batch(batch::BatchArgs),
    /// Write all objects with a prefix to standard output, to be restored on any cluster
    Dump(dump::DumpArgs),
    /// Read objects from a dump, and make them anew
    Restore(dump::RestoreArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl ToolCommand {
    /// The name of a command that cannot be one of many.
    fn system_shell_only(&self) -> Option<&'static str> {
        let run = match self {
            ToolCommand::Shell => return Some("shell"),
            ToolCommand::Batch(_) => return Some("batch"),
            ToolCommand::Completions { .. } => return Some("completions"),
            ToolCommand::Lock(args) => args.run_args(),
            ToolCommand::Semaphore(args) => args.run_args(),
            ToolCommand::List(args) => args.run_args(),
            _ => None,
        };
        run.map(|_| "run")
    }

    /// Whether it may take something that is held beyond its end, for up to an hour.
    fn may_hold(&self) -> bool {
        match self {
            ToolCommand::Semaphore(_) | ToolCommand::Lock(_) | ToolCommand::List(_) => true,
            ToolCommand::Barrier(args) => args.has_hold(),
            ToolCommand::Reduction(args) => args.has_hold(),
            _ => false,
        }
    }
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(error) => return print_usage(&error),
    };
    let as_json = args.options.json;
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) if output::is_closed_pipe(&error) => output::end_by_closed_pipe(),
        Err(error) => {
            outcome::print_error(&error, as_json);
            ExitCode::from(exit_code(&error))
        }
    }
}

fn parse() -> Result<ToolArgs, clap::Error> {
    let tool = help::with_examples(ToolArgs::command(), "catena");
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let texts: Option<Vec<String>> =
        arguments.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    // Words that are not UTF-8 are refused by the parser, or are paths.
    let arguments = match texts {
        Some(mut program) if !program.is_empty() => {
            let words = program.split_off(1);
            program.extend(words::with_marked_name(&tool, words));
            program.into_iter().map(OsString::from).collect()
        }
        _ => arguments,
    };
    ToolArgs::from_arg_matches(&tool.try_get_matches_from(arguments)?)
}

/// Prints help on standard output, or on standard error what is wrong with the command line.
fn print_usage(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    match printed.map_err(output::OutputError::from).map_err(anyhow::Error::from) {
        Err(error) if output::is_closed_pipe(&error) => output::end_by_closed_pipe(),
        Err(failure) if !error.use_stderr() => {
            outcome::print_error(&failure, false);
            ExitCode::from(exit_code(&failure))
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX)),
    }
}

/// Executes the command. Returns the exit code.
fn run(args: ToolArgs) -> anyhow::Result<u8> {
    let options = &args.options;
    match &args.command {
        ToolCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut ToolArgs::command(), "catena", &mut script);
            output::print(&script)?;
            Ok(0)
        }
        ToolCommand::Shell => shell::run(Session::new(args.place, true), options),
        ToolCommand::Batch(batch) => batch.run(&mut Session::new(args.place, true), options),
        command => {
            let mut session = Session::new(args.place, false);
            let outcome = session.execute(command, options, options.input())?;
            session.print(&outcome, options.format())
        }
    }
}
