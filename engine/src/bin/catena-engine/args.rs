//! The flags of the program, which may also be given in the environment or in a file.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use bytesize::ByteSize;
use catena_engine::{
    Builder, CancelHandle, Cluster, ClusterSettings, Driver, Location, S3Settings,
};
use clap::builder::BoolishValueParser;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config_file;

/// Run a Catena node: shared objects in memory, one pinned thread per core.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// TOML file with values for these flags, such as `listen = "0.0.0.0:7400"` or `no-pin = true`. A
    /// flag takes precedence over the environment, and that over the file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Address of the first core; core n listens on this port plus n. Port 0 picks free ports.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], Builder::PORT)))]
    pub(crate) listen: SocketAddr,

    /// CPUs to run on, one core each, such as `0-7` or `0,2,4` [default: all].
    #[arg(long, value_name = "CPUS", value_parser = parse_cpus)]
    pub(crate) cores: Option<Cpus>,

    /// Let the operating system place the threads instead of pinning each to its CPU.
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub(crate) no_pin: bool,

    /// Number of shards, a power of two [default: 8 per core; 64 in a cluster]. Fixed when a cluster
    /// is created.
    #[arg(long)]
    pub(crate) shards: Option<u32>,

    /// Memory for objects and sessions per core, such as `512MiB` or `4GiB`; at least 24MiB.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(Builder::MEMORY_BYTES))]
    pub(crate) memory: ByteSize,

    /// Memory of the whole process above which updates that need more are refused [default: three times
    /// --memory and 256MiB for each core]
    #[arg(long, value_name = "SIZE")]
    pub(crate) resident_max: Option<ByteSize>,

    /// Connections that a core accepts, up to 65536. A further one replaces one that has not said Hello,
    /// or is refused.
    #[arg(long, value_name = "NUMBER", default_value_t = Builder::CONNECTIONS)]
    pub(crate) connections: usize,

    /// Poll for this many microseconds before sleeping: 20 to 50 on dedicated CPUs, 0 on shared ones.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    pub(crate) spin: u64,

    /// Select how cores wait for their sockets.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    pub(crate) driver: Driver,

    /// Allow addresses that other machines can reach; nothing is encrypted or authenticated.
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub(crate) insecure_network: bool,

    /// Serve Prometheus metrics at `http://ADDR:PORT/metrics`, and `/health`. Port 0 picks a free port.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Print CloudWatch metrics to stdout at this interval, in embedded metric format.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) emf: Option<u64>,

    /// Write the log to stderr as text, coloured on a terminal, or as a JSON object for each line.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    #[command(flatten)]
    pub(crate) create: CreateArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Which cluster the node joins, and how others reach it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Join the cluster whose record is stored here: `file:///directory` for nodes on one machine, or
    /// `s3://bucket/prefix`. Without it the node stands alone.
    #[arg(long, value_name = "URL")]
    pub(crate) cluster: Option<Location>,

    /// Name of the cluster; clusters with different names can share one location.
    #[arg(long, value_name = "NAME", requires = "cluster", default_value = Cluster::NAME)]
    pub(crate) cluster_name: String,

    /// Display name of this node [default: the host name].
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub(crate) node_name: Option<String>,

    /// Availability zone of this node, shown to operators.
    #[arg(long, value_name = "ZONE", requires = "cluster")]
    pub(crate) az: Option<String>,

    /// Control address, for other nodes and operators [default: one port below `--listen`].
    #[arg(long, value_name = "ADDR:PORT", requires = "cluster")]
    pub(crate) control: Option<SocketAddr>,

    /// IP address at which other nodes and clients reach this node [default: that of `--listen`].
    #[arg(long, value_name = "IP", requires = "cluster")]
    pub(crate) advertise: Option<IpAddr>,

    /// JSON file with S3 settings: `location`, `access_key`, `secret_access_key`, `endpoint_url`,
    /// `region`, all optional. Environment variables `CATENA_S3_LOCATION` and so on take precedence.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(crate) s3_config: Option<PathBuf>,

    /// Endpoint of an S3-compatible store other than AWS.
    #[arg(long, value_name = "URL", requires = "cluster")]
    pub(crate) endpoint_url: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Creating a cluster")]
pub(crate) struct CreateArgs {
    /// Create the cluster if it does not exist. Safe on every node: the first node's settings win.
    #[arg(long, requires = "cluster", value_parser = BoolishValueParser::new())]
    pub(crate) create: bool,

    #[command(flatten)]
    pub(crate) settings: ClusterSettings,
}

#[derive(Clone, Debug)]
pub(crate) struct Cpus(pub(crate) Vec<usize>);

impl Args {
    /// Reads the flags, the environment and the file that they name.
    ///
    /// # Errors
    ///
    /// What is wrong with them, or the help that is asked for.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
        let matches = config_file::matches(command(), arguments.into_iter().collect())?;
        Args::from_arg_matches(&matches)
    }
}

/// The flags, each with its variable in the environment: `CATENA_NODE_NAME` for `--node-name`. An
/// empty variable counts as none.
pub(crate) fn command() -> clap::Command {
    Args::command().mut_args(|arg| {
        let Some(variable) = arg.get_long().map(config_file::variable) else { return arg };
        match std::env::var_os(&variable) {
            Some(value) if value.is_empty() => arg,
            _ => arg.env(variable).hide_env_values(true),
        }
    })
}

impl ClusterArgs {
    /// Returns the cluster that the node joins, if any.
    pub(crate) fn cluster(
        self,
        create: CreateArgs,
        cancel: &CancelHandle,
    ) -> anyhow::Result<Option<Cluster>> {
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

pub(crate) fn all_cpus() -> Vec<usize> {
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

const EXAMPLES: &str = "\
Examples:
  catena-engine                                   all CPUs, loopback, ports from 7400
  catena-engine --cores 0-7 --spin 50             eight pinned cores that poll before they sleep
  catena-engine --cores 0 --listen 127.0.0.1:0    one core on a free port, printed when ready
  catena-engine --metrics 127.0.0.1:9400          metrics at /metrics, for Prometheus or curl
  catena-engine --emf 30                          metrics on stdout twice a minute, for CloudWatch
  RUST_LOG=debug catena-engine                    a more detailed log
  catena-engine --config /etc/catena/engine.toml  flags from a file: engine/deploy/engine.toml
  CATENA_MEMORY=4GiB catena-engine                flags from the environment: CATENA_ and the name

A cluster of two nodes on one machine:
  catena-engine --cores 0 --cluster file:///tmp/cluster --create --node-name a
  catena-engine --cores 1 --cluster file:///tmp/cluster --node-name b --listen 127.0.0.1:7500

A cluster of three machines; the same command on each, with its own address:
  catena-engine --cluster s3://bucket/prefix --create --replicas 3 \\
      --listen 0.0.0.0:7400 --advertise 10.0.1.5 --insecure-network

The node prints one line that begins with `ready` once it accepts connections.
On SIGTERM or SIGINT it leaves its cluster, answers the requests it has received, and exits with 0.";
