//! `catena-bench`: throughput and latency of Catena, and of the servers that it is compared with.
//!
//! Layers, from the inside out: `wire` generates requests, one file for each protocol; `load` sends
//! them and measures, independently of the protocol; `server` starts and meters the servers;
//! `contest` lets them take turns; one file for each subcommand chooses servers and workloads;
//! `record` holds the results, and `report` draws them. BENCHMARKS.md explains the numbers.

mod allocations;
mod args;
mod chain;
mod client;
mod client_frames;
mod clustering;
mod contest;
mod deliver;
mod echo;
mod figures;
mod in_process;
mod join;
mod latency;
mod limits;
mod load;
mod machine;
mod memory;
mod multi_core;
mod multiplied;
mod objects;
mod ops;
mod peer_server;
mod peers;
mod random;
mod record;
mod report;
mod server;
mod stalls;
mod stats;
mod sync;
mod tables;
mod wire;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use catena_engine::{Builder, Cluster, ClusterSettings, Engine, Heads, Location};
use clap::{Parser, Subcommand};

use crate::multiplied::Multiplied;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Measure Catena: operations per second and latency, and the same of its peers.
#[derive(Debug, Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Measure each operation: throughput in a closed loop, latency in an open one.
    Ops(ops::OpsArgs),
    /// Compare Catena with Redis, Valkey, memcached and etcd.
    Peers(peers::PeersArgs),
    /// Compare `catena-client` with `redis-rs`.
    Client(client::ClientArgs),
    /// Measure throughput and memory with 1,000 to 10,000,000 counters, beside Redis.
    Objects(objects::ObjectsArgs),
    Stalls(stalls::StallsArgs),
    Memory(memory::MemoryArgs),
    /// Measure latency: one request at a time, and under growing load.
    Latency(latency::LatencyArgs),
    /// Measure how close the engine is to the limits of this machine.
    Limits(limits::LimitsArgs),
    /// Compare two shard cores with one.
    MultiCore(multi_core::MultiCoreArgs),
    /// Compare one node with chains of two and three.
    Chain(chain::ChainArgs),
    Join(join::JoinArgs),
    /// Measure barriers, reductions, semaphores, locks and futures with 2 to 1,000 parties.
    Sync(sync::SyncArgs),
    /// Repeat the experiments of the thesis: the simple and the complex operation, and k-means.
    Figures(figures::FiguresArgs),
    /// Draw saved JSON as one HTML file, or print it as Markdown.
    Report(report::ReportArgs),
    /// Become another program that is measured.
    #[command(hide = true)]
    Child {
        #[arg(long, value_delimiter = ',')]
        cpus: Vec<usize>,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run an engine that prints its port, with one core on each cpu that it may use.
    #[command(hide = true)]
    Engine {
        #[arg(long)]
        spin: u64,
        /// Print the number of heap allocations for each byte of the standard input.
        #[arg(long)]
        count_allocations: bool,
        /// Create or join the cluster with this record.
        #[arg(long, requires_all = ["node", "replicas"])]
        record: Option<Location>,
        /// Its name in the cluster.
        #[arg(long, default_value = "")]
        node: String,
        /// How many members the cluster should have.
        #[arg(long, default_value_t = 1)]
        replicas: u32,
        /// Memory for objects, in bytes.
        #[arg(long)]
        memory_bytes: Option<u64>,
    },
    /// Run a server that sends back every frame, and prints its port.
    #[command(hide = true)]
    Echo {
        kind: echo::EchoKind,
    },
}

fn main() -> anyhow::Result<()> {
    machine::allow_files()?;
    match CommandLine::parse().command {
        BenchCommand::Ops(args) => ops::run(&args),
        BenchCommand::Peers(args) => peers::run(&args),
        BenchCommand::Client(args) => client::run(&args),
        BenchCommand::Objects(args) => objects::run(&args),
        BenchCommand::Stalls(args) => stalls::run(&args),
        BenchCommand::Memory(args) => memory::run(&args),
        BenchCommand::Latency(args) => latency::run(&args),
        BenchCommand::Limits(args) => limits::run(&args),
        BenchCommand::MultiCore(args) => multi_core::run(&args),
        BenchCommand::Chain(args) => chain::run(&args),
        BenchCommand::Join(args) => join::run(&args),
        BenchCommand::Sync(args) => sync::run(&args),
        BenchCommand::Figures(args) => figures::run(&args),
        BenchCommand::Report(args) => report::run(&args),
        BenchCommand::Child { cpus, program, args } => server::become_child(&cpus, &program, &args),
        BenchCommand::Engine { spin, count_allocations, record, node, replicas, memory_bytes } => {
            let mut builder = Engine::builder()
                .pinned_to(machine::cpus())
                .spin(Duration::from_micros(spin))
                .register::<Multiplied>();
            if let Some(bytes) = memory_bytes {
                builder = builder.memory_bytes(bytes);
            }
            if let Some(record) = record {
                let cluster = Cluster::at(record).node_name(node).create(ClusterSettings {
                    // As many shards as a single node has.
                    shards: Builder::SHARDS_PER_CORE,
                    replicas,
                    // The load goes to one node, so that only the chain is measured.
                    heads: Heads::One,
                    // No node fails here, but on a busy machine one may be silent for long.
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
        BenchCommand::Echo { kind } => {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
            announce(listener.local_addr()?.port())?;
            kind.serve(listener)
        }
    }
}

/// Prints the port for the program that started this one.
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
        super::CommandLine::command().debug_assert();
    }
}
