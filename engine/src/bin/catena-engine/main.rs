//! The program `catena-engine`: a node from the command line.

#![deny(unsafe_code)]

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use catena_engine::{
    Builder, CancelHandle, Cluster, ClusterSettings, Driver, Engine, Location, S3Settings,
    StartError,
};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// SAFETY: the declaration is that of mimalloc.h, and the function may be called at any time.
#[allow(unsafe_code)]
unsafe extern "C" {
    /// Returns what the allocator keeps for the calling thread, all of it if `force`.
    safe fn mi_collect(force: bool);
}

/// Run a Catena node: shared objects in memory, one pinned thread per core.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Address of the first core; core n listens on this port plus n. Port 0 picks free ports.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], Builder::PORT)))]
    listen: SocketAddr,

    /// CPUs to run on, one core each, such as `0-7` or `0,2,4` [default: all].
    #[arg(long, value_name = "CPUS", value_parser = parse_cpus)]
    cores: Option<Cpus>,

    /// Let the operating system place the threads instead of pinning each to its CPU.
    #[arg(long)]
    no_pin: bool,

    /// Number of shards, a power of two [default: 8 per core; 64 in a cluster]. Fixed when a cluster
    /// is created.
    #[arg(long)]
    shards: Option<u32>,

    /// Memory for objects and sessions per core, such as `512MiB` or `4GiB`; at least 24MiB.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(Builder::MEMORY_BYTES))]
    memory: ByteSize,

    /// Memory of the whole process above which updates that need more are refused [default: three times
    /// --memory and 256MiB for each core]
    #[arg(long, value_name = "SIZE")]
    resident_max: Option<ByteSize>,

    /// Connections that a core accepts, up to 65536. A further one replaces one that has not said Hello,
    /// or is refused.
    #[arg(long, value_name = "NUMBER", default_value_t = Builder::CONNECTIONS)]
    connections: usize,

    /// Poll for this many microseconds before sleeping: 20 to 50 on dedicated CPUs, 0 on shared ones.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    spin: u64,

    /// Select how cores wait for their sockets.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,

    /// Allow addresses that other machines can reach; nothing is encrypted or authenticated.
    #[arg(long)]
    insecure_network: bool,

    /// Serve Prometheus metrics at `http://ADDR:PORT/metrics`, and `/health`. Port 0 picks a free port.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,

    /// Print CloudWatch metrics to stdout at this interval, in embedded metric format.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    emf: Option<u64>,

    /// Write the log to stderr as text, coloured on a terminal, or as a JSON object for each line.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    create: CreateArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Which cluster the node joins, and how others reach it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterArgs {
    /// Join the cluster whose record is stored here: `file:///directory` for nodes on one machine, or
    /// `s3://bucket/prefix`. Without it the node stands alone.
    #[arg(long, value_name = "URL")]
    cluster: Option<Location>,

    /// Name of the cluster; clusters with different names can share one location.
    #[arg(long, value_name = "NAME", requires = "cluster", default_value = Cluster::NAME)]
    cluster_name: String,

    /// Display name of this node [default: the host name].
    #[arg(long, value_name = "NAME", requires = "cluster")]
    node_name: Option<String>,

    /// Availability zone of this node, shown to operators.
    #[arg(long, value_name = "ZONE", requires = "cluster")]
    az: Option<String>,

    /// Control address, for other nodes and operators [default: one port below `--listen`].
    #[arg(long, value_name = "ADDR:PORT", requires = "cluster")]
    control: Option<SocketAddr>,

    /// IP address at which other nodes and clients reach this node [default: that of `--listen`].
    #[arg(long, value_name = "IP", requires = "cluster")]
    advertise: Option<IpAddr>,

    /// JSON file with S3 settings: `location`, `access_key`, `secret_access_key`, `endpoint_url`,
    /// `region`, all optional. Environment variables `CATENA_S3_LOCATION` and so on take precedence.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    s3_config: Option<PathBuf>,

    /// Endpoint of an S3-compatible store other than AWS.
    #[arg(long, value_name = "URL", requires = "cluster")]
    endpoint_url: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Creating a cluster")]
struct CreateArgs {
    /// Create the cluster if it does not exist. Safe on every node: the first node's settings win.
    #[arg(long, requires = "cluster")]
    create: bool,

    #[command(flatten)]
    settings: ClusterSettings,
}

/// How long the program waits for its ports: a process that was killed just before may have them still.
const PORT_WAIT: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  catena-engine                                   all CPUs, loopback, ports from 7400
  catena-engine --cores 0-7 --spin 50             eight pinned cores that poll before they sleep
  catena-engine --cores 0 --listen 127.0.0.1:0    one core on a free port, printed when ready
  catena-engine --metrics 127.0.0.1:9400          metrics at /metrics, for Prometheus or curl
  catena-engine --emf 30                          metrics on stdout twice a minute, for CloudWatch
  RUST_LOG=debug catena-engine                    a more detailed log

A cluster of two nodes on one machine:
  catena-engine --cores 0 --cluster file:///tmp/cluster --create --node-name a
  catena-engine --cores 1 --cluster file:///tmp/cluster --node-name b --listen 127.0.0.1:7500

A cluster of three machines; the same command on each, with its own address:
  catena-engine --cluster s3://bucket/prefix --create --replicas 3 \\
      --listen 0.0.0.0:7400 --advertise 10.0.1.5 --insecure-network

The node prints one line that begins with `ready` once it accepts connections.
On SIGTERM or SIGINT it leaves its cluster, answers the requests it has received, and exits with 0.";

#[derive(Clone, Debug)]
struct Cpus(Vec<usize>);

fn main() -> ExitCode {
    let args = Args::parse();
    start_log(args.log_format);
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match format {
        LogFormat::Text => log.with_ansi(wants_colours()).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Returns whether the log is read on a terminal by somebody who does not mind colours.
fn wants_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

fn run(args: Args) -> anyhow::Result<()> {
    let cpus = args.cores.map_or_else(all_cpus, |Cpus(cpus)| cpus);
    let cancel = CancelHandle::default();
    let resident_max = args.resident_max.map_or_else(
        || Builder::resident_bytes_default(cpus.len(), args.memory.as_u64()),
        |bytes| bytes.as_u64(),
    );
    let builder = Engine::builder()
        .listen(args.listen)
        .shards(args.shards)
        .memory_bytes(args.memory.as_u64())
        .resident_bytes_max(resident_max)
        .release_memory(Some((|| mi_collect(true)) as fn()))
        .connections(args.connections)
        .spin(Duration::from_micros(args.spin))
        .driver(args.driver)
        .insecure_network(args.insecure_network)
        .metrics(args.metrics)
        .emf(args.emf.map(Duration::from_secs))
        .wait_for_ports(PORT_WAIT, &cancel)
        .cluster(args.cluster.cluster(args.create, &cancel)?);
    let builder = if args.no_pin { builder.cores(cpus.len()) } else { builder.pinned_to(cpus) };
    raise_file_limit();
    // Signals that arrive from here on are not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let closer = signals.handle();
    let waiting_for_signal = std::thread::spawn(move || {
        let signal = signals.forever().next();
        if let Some(signal) = signal {
            tracing::info!(signal, "stopping after the last replies");
            cancel.cancel();
        }
        signal.is_some()
    });
    let engine = match builder.start() {
        Err(StartError::Cancelled) => {
            tracing::info!("stopped");
            return Ok(());
        }
        started => started?,
    };
    let others = [engine.control_address(), args.metrics];
    if others.into_iter().flatten().chain([args.listen]).any(|address| !address.ip().is_loopback())
    {
        tracing::warn!("other machines can connect, and nothing is encrypted or authenticated");
    }
    announce(&engine);

    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            if waiting_for_signal.join().expect("waiting for a signal does not panic") {
                engine.stop();
            }
        });
        let ended = engine.wait();
        closer.close();
        ended
    });
    ended?;
    tracing::info!("stopped");
    Ok(())
}

impl ClusterArgs {
    /// Returns the cluster that the node joins, if any.
    fn cluster(self, create: CreateArgs, cancel: &CancelHandle) -> anyhow::Result<Option<Cluster>> {
        let Some(location) = self.cluster else { return Ok(None) };
        let flags = S3Settings { endpoint_url: self.endpoint_url, ..S3Settings::default() };
        let mut s3 = flags.or(S3Settings::from_env());
        if let Some(path) = &self.s3_config {
            s3 = s3.or(S3Settings::from_file(path)?);
        }
        let mut cluster = Cluster::at(location)
            .name(self.cluster_name)
            .create(create.create.then_some(create.settings))
            .control(self.control)
            .advertise(self.advertise)
            .s3(s3)
            .cancel_with(cancel);
        if let Some(name) = self.node_name {
            cluster = cluster.node_name(name);
        }
        if let Some(az) = self.az {
            cluster = cluster.az(az);
        }
        Ok(Some(cluster))
    }
}

/// Raises the limit of open files to the most that is allowed: the usual one is far below the number
/// of connections that a core accepts.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files: fewer connections are accepted");
    }
}

/// Prints the line that says that the node is ready, for people and for scripts that wait for it.
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
        text.parse::<usize>().map_err(|_| {
            format!("`{text}` is not a CPU number: expected a list such as `0-3` or `0,2`")
        })
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => cpus.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last || last - first > 1024 {
                    return Err(format!(
                        "`{part}` is not a range of CPUs: expected one such as `0-3`"
                    ));
                }
                cpus.extend(first..=last);
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    match cpus.iter().find(|cpu| !seen.insert(**cpu)) {
        Some(cpu) => Err(format!("CPU {cpu} is listed twice")),
        None => Ok(Cpus(cpus)),
    }
}
