//! `catena-bench ops`: each operation by itself, with any number of connections and requests in
//! flight.

use crate::args::CommonArgs;
use crate::contest::{Contender, contest};
use crate::deliver::deliver;
use crate::load::Pressure;
use crate::multiplied::COMPLEX_TIMES;
use crate::record::{Axis, RunRecord};
use crate::server::Server;
use crate::stats::median;
use crate::wire::{LoadPlan, Workload};

const EXAMPLES: &str = "\
Examples:
  catena-bench ops                                     all operations, 16 connections × 32
  catena-bench ops --op counter_add --connections 1 --depth 1 --spin 50
  catena-bench ops --op cell_put_1k --rate 200000      open loop at this rate only
  catena-bench ops --op map_put --load 80              open loop at 80 % of the closed loop's rate
  catena-bench ops --engine 127.0.0.1:7400 --seconds 10
  catena-bench ops --peer redis://127.0.0.1:6379       the same from a Redis";

/// The workloads that can be chosen by name.
pub(crate) const WORKLOADS: [Workload; 14] = [
    Workload::CounterAdd,
    Workload::CounterMultiply,
    Workload::Multiply { times: 1 },
    Workload::Multiply { times: COMPLEX_TIMES },
    Workload::CellPut { bytes: 16 },
    Workload::CellGet { bytes: 16 },
    Workload::CellPut { bytes: 1_024 },
    Workload::CellGet { bytes: 1_024 },
    Workload::CellPut { bytes: 65_536 },
    Workload::CellGet { bytes: 65_536 },
    Workload::VectorAdd { elements: 2_525 },
    Workload::MapPut,
    Workload::MapGet,
    Workload::ListPushPop,
];

/// Measure one server with one operation after the other, on random keys.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct OpsArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Measure this operation; can be given several times [default: all].
    #[arg(long, value_name = "NAME", value_parser = workload)]
    op: Vec<Workload>,

    /// Measure this engine, which gets objects named c000000000 and so on [default: start one].
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "peer")]
    engine: Option<String>,

    /// Measure another server instead: redis://HOST:PORT or memcached://HOST:PORT.
    #[arg(long, value_name = "URL")]
    peer: Option<String>,

    /// Open this many connections.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=8_000))]
    connections: u64,

    /// Keep this many requests in flight on each connection.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=256))]
    depth: u64,

    /// Run the open loop only: send this many requests per second over all connections, and measure
    /// latency from when each was due, so that stalls count.
    #[arg(long, value_name = "OPS", value_parser = rate)]
    rate: Option<f64>,

    /// After the closed loop, in which a reply makes room for the next request, run the open loop
    /// at this percentage of its rate; 0 leaves it out.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, conflicts_with = "rate")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=95))]
    load: u32,

    /// Use at most this many keys; large values get fewer, maps and lists have 1,000 each.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,

    /// Let the started engine spin this long before it sleeps, in microseconds; the load generator
    /// then only spins.
    #[arg(long, default_value_t = 0)]
    spin: u64,
}

pub(crate) fn run(args: &OpsArgs) -> anyhow::Result<()> {
    let server = match args.peer.as_ref().or(args.engine.as_ref()) {
        Some(url) => Server::running(url)?,
        None => Server::engine(&[args.common.engine_cpu], args.spin)?,
    };
    args.common.pin_load()?;
    let closed = Pressure {
        spin: args.spin > 0,
        ..args.common.timing().pressure(usize::try_from(args.depth)?)
    };
    let rounds = args.common.rounds;
    let mut record = RunRecord::new("ops");
    let workloads = if args.op.is_empty() { &WORKLOADS[..] } else { &args.op };
    for workload in workloads {
        let measure = format!("{}_{}x{}", workload.name(), args.connections, args.depth);
        if !server.dialect.has(*workload) {
            record.notes.push(format!("{measure}: {} has no such operation", server.name));
            continue;
        }
        let plan = LoadPlan { workload: *workload, keys: args.keys, connections: args.connections };
        let mut contender = [Contender::new(&server, &plan)?];
        let mut most = None;
        if args.rate.is_none() {
            for series in contest(&mut contender, &closed, rounds)? {
                most = Some(median(&series.rate));
                record.samples.push(series.sample(&measure));
            }
        }
        let rate = args.rate.or(most.map(|most| most * f64::from(args.load) / 100.0));
        // Below this a round would have no request.
        if let Some(rate) = rate.filter(|rate| *rate >= 1.0) {
            let open = Pressure { rate: Some(rate), ..closed };
            for series in contest(&mut contender, &open, rounds)? {
                record.samples.push(series.sample(&measure).at(Axis::Rate, rate));
            }
        }
    }
    deliver(&record, args.common.json.as_ref())
}

fn workload(name: &str) -> Result<Workload, String> {
    let known = || WORKLOADS.iter().map(|workload| workload.name()).collect::<Vec<_>>().join(", ");
    let found = WORKLOADS.iter().find(|workload| workload.name() == name);
    found.copied().ok_or_else(|| format!("there is no operation `{name}`: use one of {}", known()))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate >= 1.0 && rate.is_finite() => Ok(rate),
        _ => Err(format!("`{text}` is not a number of requests per second")),
    }
}
