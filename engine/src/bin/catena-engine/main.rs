//! The program `catena-engine`: a node from the command line.

#![deny(unsafe_code)]

mod args;
mod config_file;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use catena_engine::{Builder, CancelHandle, Engine, StartError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::args::{Args, Cpus, LogFormat, all_cpus};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// SAFETY: the declaration is that of mimalloc.h, and the function may be called at any time.
#[allow(unsafe_code)]
unsafe extern "C" {
    /// Returns what the allocator keeps for the calling thread, all of it if `force`.
    safe fn mi_collect(force: bool);
}

/// How long the program waits for its ports: a process that was killed just before may have them still.
const PORT_WAIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args = Args::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
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
