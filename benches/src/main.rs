//! `catena-bench`: how fast, how long, and compared with what.
//!
//! Layers: `load` sends requests and measures, knowing nothing of what it sends; `wire` is what is
//! sent, one file a protocol; `ops` is the subcommand that puts them together and prints.

mod load;
mod ops;
mod wire;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Catena: operations per second, latency, and the same of its peers.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Operations per second and latency of counter adds.
    Ops(ops::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Ops(args) => ops::run(&args),
    }
}
