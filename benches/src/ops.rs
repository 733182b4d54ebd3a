//! `catena-bench ops`: counter adds, so many connections, so many in flight.

use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use catena_engine::Engine;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::{Outcome, Pressure, press};
use crate::wire::catena::{CounterAdd, Counters};
use crate::wire::redis::Incr;

/// Adds 1 to random counters, a fixed number of requests in flight on each connection.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The engine to measure; without it one is started inside this process.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "peer")]
    engine: Option<String>,

    /// Measure a server that speaks the Redis protocol instead, such as redis://127.0.0.1:6379.
    #[arg(long, value_name = "URL")]
    peer: Option<String>,

    /// Connections.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,

    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=256))]
    depth: u64,

    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// How many counters.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,

    /// The cpu the started engine runs on.
    #[arg(long, default_value_t = 0)]
    engine_cpu: usize,

    /// The cpu the load comes from; anywhere by default.
    #[arg(long)]
    load_cpu: Option<usize>,

    /// How long the started engine spins before it sleeps, in microseconds. With this the load
    /// generator does not sleep either.
    #[arg(long, default_value_t = 0)]
    spin: u64,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  catena-bench ops                                     16 connections × 32, engine started here
  catena-bench ops --connections 1 --depth 1           the latency of a lone client
  catena-bench ops --engine 127.0.0.1:7400 --seconds 10
  catena-bench ops --peer redis://127.0.0.1:6379       the same from a Redis";

/// What a run found.
#[derive(Debug, Serialize)]
struct Report {
    op: &'static str,
    server: String,
    connections: u64,
    depth: u64,
    seconds: f64,
    ops: u64,
    ops_per_second: f64,
    latency_us: Latency,
}

/// Quantiles, in microseconds.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let pressure = Pressure {
        depth: usize::try_from(args.depth)?,
        warm_up: Duration::from_secs_f64(args.seconds / 4.0),
        measure: Duration::from_secs_f64(args.seconds),
        spin: args.spin > 0,
    };
    let (server, outcome) = match (&args.peer, &args.engine) {
        (Some(url), _) => {
            pin_load(args)?;
            let address = resolve(url.trim_start_matches("redis://").trim_end_matches('/'))?;
            (url.clone(), press_redis(args, address, pressure)?)
        }
        (None, Some(address)) => {
            pin_load(args)?;
            (format!("catena at {address}"), press_catena(args, resolve(address)?, pressure)?)
        }
        (None, None) => {
            let engine = Engine::builder()
                .pinned_to([args.engine_cpu])
                .spin(Duration::from_micros(args.spin))
                .start()?;
            // Only now: threads inherit the cpus of the one that starts them.
            pin_load(args)?;
            let address = engine.addresses()[0];
            ("catena in this process".to_owned(), press_catena(args, address, pressure)?)
        }
    };
    print(args, &Report::of(args, server, &outcome))
}

fn press_catena(args: &Args, node: SocketAddr, pressure: Pressure) -> anyhow::Result<Outcome> {
    let counters = Counters::on(node, args.keys)?;
    let wires = (0..args.connections).map(|seed| {
        let core = usize::try_from(seed).expect("few connections") % counters.cores();
        let address = SocketAddr::new(node.ip(), counters.port(core));
        (CounterAdd::new(&Rc::clone(&counters), core, seed), address)
    });
    press(wires.collect(), pressure)
}

fn press_redis(args: &Args, server: SocketAddr, pressure: Pressure) -> anyhow::Result<Outcome> {
    let wires = (0..args.connections).map(|seed| (Incr::new(args.keys, seed), server));
    press(wires.collect(), pressure)
}

impl Report {
    fn of(args: &Args, server: String, outcome: &Outcome) -> Report {
        let seconds = outcome.elapsed.as_secs_f64();
        Report {
            op: "counter_add",
            server,
            connections: args.connections,
            depth: args.depth,
            seconds,
            ops: outcome.ops,
            #[allow(clippy::cast_precision_loss)] // far below 2^53 operations
            ops_per_second: outcome.ops as f64 / seconds,
            latency_us: Latency::of(&outcome.latency_ns),
        }
    }
}

impl Latency {
    fn of(latency_ns: &Histogram<u64>) -> Latency {
        #[allow(clippy::cast_precision_loss)] // far below 2^53 nanoseconds
        let us = |ns: u64| ns as f64 / 1_000.0;
        let quantile = |q| us(latency_ns.value_at_quantile(q));
        Latency {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: us(latency_ns.max()),
        }
    }
}

#[allow(clippy::print_stdout)]
fn print(args: &Args, report: &Report) -> anyhow::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let Latency { p50, p90, p99, p999, max } = report.latency_us;
    println!("{}, {} connections × {} in flight", report.server, report.connections, report.depth);
    println!("{:>14.0} counter adds/s", report.ops_per_second);
    println!(
        "latency in µs: p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1}"
    );
    Ok(())
}

fn pin_load(args: &Args) -> anyhow::Result<()> {
    let Some(cpu) = args.load_cpu else { return Ok(()) };
    let mut cpus = nix::sched::CpuSet::new();
    cpus.set(cpu)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus)
        .with_context(|| format!("cannot run on cpu {cpu}"))
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    address
        .to_socket_addrs()
        .with_context(|| format!("`{address}` is no address; write it as host:port"))?
        .next()
        .with_context(|| format!("`{address}` has no address"))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err(format!("`{text}` is not between 0 and 3600 seconds")),
    }
}
