//! `catena-bench`: how fast, how long, and compared with what.
//!
//! Layers, inside out: `wire` is what is sent, one file a protocol; `load` sends it and measures,
//! knowing nothing of what it sends; `server` starts and meters who is measured; `contest` lets
//! servers take turns; one file for each subcommand says who meets whom and with what; `record` is
//! what comes out, and `report` draws it. BENCHMARKS.md says what the numbers mean.

mod allocations;
mod args;
mod chain;
mod clustering;
mod contest;
mod echo;
mod figures;
mod in_process;
mod latency;
mod limits;
mod load;
mod machine;
mod multi_core;
mod multiplied;
mod ops;
mod peers;
mod record;
mod report;
mod server;
mod stats;
mod sync;
mod wire;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use catena_engine::{Builder, Cluster, ClusterSettings, Engine, Heads, Location};
use clap::{Parser, Subcommand};

use crate::multiplied::Multiplied;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Measures Catena: operations per second, latency, and the same of its peers.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Operations per second and latency of each operation, closed or open loop.
    Ops(ops::Args),
    /// The same operations on Catena and on whatever else is installed, side by side.
    Peers(peers::Args),
    /// Latency: one request at a time, and under growing load.
    Latency(latency::Args),
    /// How close the engine is to what this machine can do at all.
    Limits(limits::Args),
    /// Two shard cores against one.
    MultiCore(multi_core::Args),
    /// One node, and chains of two and three, side by side.
    Chain(chain::Args),
    /// How long 2 to 1,000 parties take to meet.
    Sync(sync::Args),
    /// The thesis's experiments: the simple and the complex operation, and k-means.
    Figures(figures::Args),
    /// Draws saved JSON as one HTML file.
    Report(report::Args),
    /// Becomes a server that is measured.
    #[command(hide = true)]
    Child {
        #[arg(long, value_delimiter = ',')]
        cpus: Vec<usize>,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// An engine that prints its port, one core on each cpu that it may use.
    #[command(hide = true)]
    Engine {
        #[arg(long)]
        spin: u64,
        /// Answer each byte of the standard input with the number of heap allocations.
        #[arg(long)]
        count_allocations: bool,
        /// Where the record of its cluster lies, which it founds or joins.
        #[arg(long, requires_all = ["node", "replicas"])]
        record: Option<Location>,
        /// What it is called there.
        #[arg(long, default_value = "")]
        node: String,
        /// How many nodes hold everything.
        #[arg(long, default_value_t = 1)]
        replicas: u32,
    },
    /// A server that sends back every frame, and prints its port.
    #[command(hide = true)]
    Echo { kind: echo::Kind },
}

fn main() -> anyhow::Result<()> {
    machine::allow_files()?;
    match Args::parse().command {
        Command::Ops(args) => ops::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Latency(args) => latency::run(&args),
        Command::Limits(args) => limits::run(&args),
        Command::MultiCore(args) => multi_core::run(&args),
        Command::Chain(args) => chain::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Figures(args) => figures::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Child { cpus, program, args } => server::become_child(&cpus, &program, &args),
        Command::Engine { spin, count_allocations, record, node, replicas } => {
            let mut builder = Engine::builder()
                .pinned_to(machine::cpus())
                .spin(Duration::from_micros(spin))
                .register::<Multiplied>();
            if let Some(record) = record {
                let cluster = Cluster::at(record).node_name(node).create(ClusterSettings {
                    // As many shards as a node alone has.
                    shards: Builder::SHARDS_PER_CORE,
                    replicas,
                    // The load goes to one node, so that nothing else is measured than a chain.
                    heads: Heads::One,
                    // Nobody fails here; on a busy machine one may be silent for long.
                    lease_ms: 900,
                    suspect_ms: 20_000,
                    ..ClusterSettings::default()
                });
                builder = builder.cluster(cluster);
            }
            let engine = builder.start()?;
            announce(engine.addresses()[0].port())?;
            if count_allocations {
                return allocations::answer();
            }
            Ok(engine.wait()?)
        }
        Command::Echo { kind } => {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
            announce(listener.local_addr()?.port())?;
            kind.serve(listener)
        }
    }
}

/// Tells the program that started this one where to connect.
fn announce(port: u16) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{port}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Args::command().debug_assert();
    }
}
