//! `catena-engine`: a node from the command line.

#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use catena_engine::{
    Builder, Cluster, Driver, Engine, GiveUp, Heads, Location, OnTotalLoss, S3Settings, StartError,
};
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
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], Builder::PORT)))]
    listen: SocketAddr,

    /// The cpus to run on, one core each, such as `0-7` or `0,2,4`. All that there are by default.
    #[arg(long, value_name = "CPUS", value_parser = parse_cpus)]
    cores: Option<Cpus>,

    /// Let the system place the threads instead of pinning each to its cpu.
    #[arg(long)]
    no_pin: bool,

    /// How many shards the object space has: a power of two. Eight a core by default; in a cluster its
    /// founder decides, by default for 64.
    #[arg(long)]
    shards: Option<u32>,

    /// Memory for objects and sessions, for each core, such as `512MiB` or `4GiB`.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(Builder::MEMORY_BYTES))]
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

    /// Serve metrics for Prometheus at `http://ADDR:PORT/metrics`, and `/health`. Port 0 lets the system
    /// choose.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,

    /// Print metrics for CloudWatch on stdout every so many seconds, in embedded metric format.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    emf: Option<u64>,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    founding: FoundingArgs,
}

/// Which cluster the node is part of, and how others reach it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterArgs {
    /// Be part of the cluster whose record lies there, `file:///directory` for nodes on one machine or
    /// `s3://bucket/prefix`. Without this the node is alone.
    #[arg(long, value_name = "URL")]
    cluster: Option<Location>,

    /// The name of the cluster, `catena` by default: several may have their records in one place.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    cluster_name: Option<String>,

    /// What people call this node. The name of the machine by default.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    node_name: Option<String>,

    /// Where this node stands, for people.
    #[arg(long, value_name = "ZONE", requires = "cluster")]
    az: Option<String>,

    /// Where to listen for other nodes and for operators. By default one port below `--listen`.
    #[arg(long, value_name = "ADDR:PORT", requires = "cluster")]
    control: Option<SocketAddr>,

    /// The address at which other nodes and clients reach this one, if it is not that of `--listen`.
    #[arg(long, value_name = "IP", requires = "cluster")]
    advertise: Option<IpAddr>,

    /// A file with what S3 takes: a JSON object with `location`, `access_key`, `secret_access_key`,
    /// `endpoint_url`, `region`, all of them optional. `CATENA_S3_LOCATION` and so on go before it.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    s3_config: Option<PathBuf>,

    /// The URL of a store that speaks S3 and is not AWS.
    #[arg(long, value_name = "URL", requires = "cluster")]
    endpoint_url: Option<String>,
}

/// What a cluster is founded with.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Founding a cluster")]
struct FoundingArgs {
    /// Found the cluster if there is none yet. All nodes may be told to; what the first one was told
    /// holds, and the others join.
    #[arg(long, requires = "cluster")]
    create: bool,

    /// On how many nodes everything is kept; further ones wait for one of them to leave. 2 by default.
    #[arg(long, value_name = "N", requires = "create")]
    replicas: Option<u32>,

    /// With fewer nodes than this, take no updates. By default 1 of two replicas, and 2 of more.
    #[arg(long, value_name = "N", requires = "create")]
    min_members: Option<u32>,

    /// What becomes of the cluster when no member is left alive.
    #[arg(long, value_enum, requires = "create")]
    on_total_loss: Option<OnTotalLossArg>,

    /// Which nodes are the heads that updates go to: `spread` over all, or the `one` that has been there
    /// longest, with spare nodes that are taught all the time.
    #[arg(long, value_enum, requires = "create", default_value_t = HeadsArg::Spread)]
    heads: HeadsArg,

    /// For how long nodes promise each other not to go on alone, in milliseconds: less than
    /// `--suspect-ms`. Nine tenths of that by default.
    #[arg(long, value_name = "MS", requires = "create")]
    lease_ms: Option<u32>,

    /// After how much silence a node is suspected, in milliseconds. 1000 by default.
    #[arg(long, value_name = "MS", requires = "create")]
    suspect_ms: Option<u32>,
}

const EXAMPLES: &str = "\
Examples:
  catena-engine                                   all cpus, loopback, ports from 7400
  catena-engine --cores 0-7 --spin 50             eight pinned cores that spin before they sleep
  catena-engine --cores 0 --listen 127.0.0.1:0    one core on a free port, printed when ready
  catena-engine --metrics 127.0.0.1:9400          metrics, for Prometheus or curl, at /metrics
  catena-engine --emf 30                          metrics, for CloudWatch, on stdout twice a minute
  RUST_LOG=debug catena-engine                    say more about what happens

Two nodes on one machine that hold the same:
  catena-engine --cores 0 --cluster file:///tmp/cluster --create --node-name a
  catena-engine --cores 1 --cluster file:///tmp/cluster --node-name b --listen 127.0.0.1:7500

The same on every one of three machines, each with its own address:
  catena-engine --cluster s3://bucket/prefix --create --replicas 3 \\
      --listen 0.0.0.0:7400 --advertise 10.0.1.5 --insecure-network

When it accepts connections it prints one line that begins with `ready`.
SIGTERM and SIGINT let it answer what it has taken, then it exits with 0.
A member of a cluster leaves it first, so that the others go on at once.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnTotalLossArg {
    /// It stays down until somebody founds another one.
    Halt,
    /// A new node takes its place, with nothing in it.
    Empty,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HeadsArg {
    /// Each node is the head of its part of the objects. A node that joins has all pause for a moment.
    Spread,
    /// The oldest node is the head of all.
    One,
}

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
    let builder = match args.metrics {
        Some(address) => builder.metrics(address),
        None => builder,
    };
    let builder = match args.emf {
        Some(seconds) => builder.emf(Duration::from_secs(seconds)),
        None => builder,
    };
    let give_up = GiveUp::default();
    let builder = match args.cluster.cluster(args.founding)? {
        Some(cluster) => builder.cluster(cluster.give_up(&give_up)),
        None => builder,
    };
    let builder = if args.no_pin { builder.cores(cpus.len()) } else { builder.pinned_to(cpus) };
    raise_file_limit();
    // Signals that come from here on are not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let closer = signals.handle();
    let told = std::thread::spawn(move || {
        let signal = signals.forever().next();
        if let Some(signal) = signal {
            tracing::info!(signal, "stopping after the last replies");
            give_up.now();
        }
        signal.is_some()
    });
    let engine = match builder.start() {
        Err(StartError::GivenUp) => {
            tracing::info!("stopped");
            return Ok(());
        }
        started => started?,
    };
    let others = [engine.control_address(), args.metrics];
    if others.into_iter().flatten().chain([args.listen]).any(|address| !address.ip().is_loopback())
    {
        tracing::warn!("other machines can connect, and nothing is encrypted");
    }
    announce(&engine);

    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            if told.join().expect("waiting for a signal does not panic") {
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

impl ClusterArgs {
    /// The cluster, if the node is to be part of one.
    fn cluster(self, founding: FoundingArgs) -> anyhow::Result<Option<Cluster>> {
        let Some(location) = self.cluster else { return Ok(None) };
        let flags = S3Settings { endpoint_url: self.endpoint_url, ..S3Settings::default() };
        let mut s3 = flags.or(S3Settings::from_env());
        if let Some(path) = &self.s3_config {
            s3 = s3.or(S3Settings::from_file(path)?);
        }
        let mut cluster = Cluster::at(location).create(founding.create).s3(s3);
        if let Some(name) = self.cluster_name {
            cluster = cluster.name(name);
        }
        if let Some(name) = self.node_name {
            cluster = cluster.node_name(name);
        }
        if let Some(az) = self.az {
            cluster = cluster.az(az);
        }
        if let Some(address) = self.control {
            cluster = cluster.control(address);
        }
        if let Some(address) = self.advertise {
            cluster = cluster.advertise(address);
        }
        Ok(Some(founding.apply(cluster)))
    }
}

impl FoundingArgs {
    fn apply(self, mut cluster: Cluster) -> Cluster {
        if let Some(replicas) = self.replicas {
            cluster = cluster.replicas(replicas);
        }
        if let Some(members) = self.min_members {
            cluster = cluster.min_members(members);
        }
        cluster = cluster.heads(match self.heads {
            HeadsArg::Spread => Heads::Spread,
            HeadsArg::One => Heads::One,
        });
        if let Some(then) = self.on_total_loss {
            cluster = cluster.on_total_loss(match then {
                OnTotalLossArg::Halt => OnTotalLoss::Halt,
                OnTotalLossArg::Empty => OnTotalLoss::Empty,
            });
        }
        if let Some(ms) = self.lease_ms {
            cluster = cluster.lease_ms(ms);
        }
        if let Some(ms) = self.suspect_ms {
            cluster = cluster.suspect_ms(ms);
        }
        cluster
    }
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
    let within = match (engine.names(), engine.node_id(), engine.control_address()) {
        (Some((node, cluster)), Some(id), Some(control)) => {
            format!(" as {node} ({id}) in cluster {cluster}, control {control}")
        }
        _ => String::new(),
    };
    let metrics = engine.metrics_address();
    let metrics =
        metrics.map_or_else(String::new, |at| format!(", metrics at http://{at}/metrics"));
    println!(
        "ready on {} ({} cores, {} shards, {}){within}{metrics}",
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
