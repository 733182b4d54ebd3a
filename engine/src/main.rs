//! `catena-engine`: a node from the command line.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use catena_engine::config::{MEMORY_BYTES_DEFAULT, PORT_DEFAULT};
use catena_engine::{Driver, Engine};
use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a Catena node: shared objects in memory, one pinned thread per core.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Where the first core listens; core n takes this port plus n. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT_DEFAULT)))]
    listen: SocketAddr,

    /// The cpus to run on, one core each, such as `0-7` or `0,2,4`. All that there are by default.
    #[arg(long, value_name = "CPUS", value_parser = parse_cpus)]
    cores: Option<Cpus>,

    /// Let the system place the threads instead of pinning each to its cpu.
    #[arg(long)]
    no_pin: bool,

    /// How many shards the object space has: a power of two. Eight a core by default.
    #[arg(long)]
    shards: Option<u32>,

    /// Memory for objects and sessions, for each core, such as `512MiB` or `4GiB`.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(MEMORY_BYTES_DEFAULT))]
    memory: ByteSize,

    /// Look for more bytes for this many microseconds before sleeping: 20 to 50 where nobody else
    /// needs the cpu, 0 where it is shared.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    spin: u64,

    /// How cores wait for their sockets.
    #[arg(long, value_enum, default_value_t = DriverArg::Auto)]
    driver: DriverArg,

    /// Listen on an address that other machines can reach, though nothing is encrypted.
    #[arg(long)]
    insecure_network: bool,
}

const EXAMPLES: &str = "\
Examples:
  catena-engine                                   all cpus, loopback, ports from 7400
  catena-engine --cores 0-7 --spin 50             eight pinned cores that spin before they sleep
  catena-engine --cores 0 --listen 127.0.0.1:0    one core on a free port, printed when ready
  RUST_LOG=debug catena-engine                    say more about what happens

When it accepts connections it prints one line that begins with `ready`.
SIGTERM and SIGINT let it answer what it has taken, then it exits with 0.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DriverArg {
    /// io_uring, or epoll where the kernel refuses it.
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

#[derive(Clone, Debug)]
struct Cpus(Vec<usize>);

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let cpus = args.cores.map_or_else(all_cpus, |Cpus(cpus)| cpus);
    let driver = match args.driver {
        DriverArg::Auto => Driver::Auto,
        DriverArg::IoUring => Driver::IoUring,
        DriverArg::Epoll => Driver::Epoll,
    };
    let builder = Engine::builder()
        .listen(args.listen)
        .memory_bytes(args.memory.as_u64())
        .spin(Duration::from_micros(args.spin))
        .driver(driver)
        .insecure_network(args.insecure_network);
    let builder = match args.shards {
        Some(shards) => builder.shards(shards),
        None => builder,
    };
    let builder = if args.no_pin { builder.cores(cpus.len()) } else { builder.pinned_to(cpus) };
    raise_file_limit();
    // Signals that come from here on are not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let engine = builder.start()?;
    if !args.listen.ip().is_loopback() {
        tracing::warn!("other machines can connect, and nothing is encrypted");
    }
    announce(&engine);

    let closer = signals.handle();
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Some(signal) = signals.forever().next() {
                tracing::info!(signal, "stopping after the last replies");
                engine.stop();
            }
        });
        let ended = engine.wait();
        closer.close();
        ended
    });
    ended.map_err(anyhow::Error::msg)?;
    tracing::info!("stopped");
    Ok(())
}

/// Allows as many connections as the system does; the usual limit is far below ours.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// One line on stdout, for people and for scripts that wait for it.
#[allow(clippy::print_stdout)]
fn announce(engine: &Engine) {
    let addresses: Vec<String> = engine.addresses().iter().map(SocketAddr::to_string).collect();
    println!(
        "ready on {} ({} cores, {} shards, {})",
        addresses.join(" "),
        addresses.len(),
        engine.shards(),
        engine.driver(),
    );
}

fn all_cpus() -> Vec<usize> {
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

fn parse_cpus(text: &str) -> Result<Cpus, String> {
    let number = |text: &str| {
        let text = text.trim();
        text.parse::<usize>().map_err(|_| format!("`{text}` is no cpu number; try `0-3` or `0,2`"))
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => cpus.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last || last - first > 1024 {
                    return Err(format!("`{part}` is no range of cpus"));
                }
                cpus.extend(first..=last);
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    match cpus.iter().find(|cpu| !seen.insert(**cpu)) {
        Some(cpu) => Err(format!("cpu {cpu} is named twice")),
        None => Ok(Cpus(cpus)),
    }
}
