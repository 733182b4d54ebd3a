//! `catena-bench chain`: the cost of replication: an update is acknowledged when all members have
//! it.
//!
//! A node without a cluster, chains of two and three, and a Redis with one replica that is waited
//! for (`WAIT 1`) take turns. The load goes to the head, which replies when the tail has
//! acknowledged. Where the nodes run decides what is measured: on one cpu, the work of all nodes
//! together; each on its own, what the head can do.

use std::fs;
use std::time::Duration;

use anyhow::Context;

use crate::args::CommonArgs;
use crate::contest::{Contender, Series, contest};
use crate::deliver::deliver;
use crate::load::{Load, Pressure};
use crate::machine;
use crate::peer_server::PeerServer;
use crate::record::{RunRecord, Sample};
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

const EXAMPLES: &str = "\
Examples:
  catena-bench chain                          all nodes on one cpu, the load on another
  catena-bench chain --spread                 nodes on all cpus in turn
  catena-bench chain --nodes 2 --spin 50      only two nodes, which spin before they sleep";

/// Measure an engine without a cluster, and chains of engines on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChainArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Measure chains of this many nodes.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2,3")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=8))]
    nodes: Vec<u8>,

    /// Place the nodes on all cpus in turn, the head on the engine's [default: all on that one].
    #[arg(long)]
    spread: bool,

    /// Let the engines spin this long before they sleep, in microseconds; the load generator then
    /// only spins.
    #[arg(long, default_value_t = 0)]
    spin: u64,
}

/// The name of a chain of two.
const TWO_NODES: &str = "catena, 2 nodes";

/// What is measured, with how many connections and requests in flight on each.
const ASKED: [(Workload, u64, usize); 6] = [
    (Workload::CounterAdd, 1, 1),
    (Workload::CounterAdd, 16, 1),
    (Workload::CounterAdd, 16, 32),
    (Workload::CounterAdd, 64, 64),
    (Workload::CellPut { bytes: 1_024 }, 1, 1),
    (Workload::CellPut { bytes: 1_024 }, 16, 32),
];

pub(crate) fn run(args: &ChainArgs) -> anyhow::Result<()> {
    let mut record = RunRecord::new("chain");
    let alone = Server::engine(&[args.common.engine_cpu], args.spin)?;
    let mut servers = vec![alone];
    for nodes in &args.nodes {
        servers.push(Server::chain(&cpus(args, usize::from(*nodes)), args.spin)?);
    }
    let pair = cpus(args, 2);
    match Server::redis_pair([pair[0], pair[1]], &args.common.peers_dir)? {
        Some(redis) => servers.push(redis),
        None => record.notes.push(PeerServer::Redis.missing()),
    }
    args.common.pin_load()?;
    let timing = args.common.timing();
    for (workload, connections, depth) in ASKED {
        let plan = LoadPlan { workload, keys: 10_000, connections };
        for server in servers.iter_mut().filter(|server| server.is_redis()) {
            server.wait_behind(depth);
        }
        let mut contenders = servers
            .iter()
            .map(|it| Contender::new(it, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let pressure = Pressure { spin: args.spin > 0, ..timing.pressure(depth) };
        let all = contest(&mut contenders, &pressure, timing.rounds)?;
        let measure = format!("{}_{connections}x{depth}", workload.name());
        let (redis, ours): (Vec<&Series>, Vec<&Series>) =
            all.iter().partition(|series| series.server.starts_with("redis"));
        let (alone, chains) = ours.split_first().context("at least one server takes part")?;
        let pair = chains.iter().filter(|chain| chain.server == TWO_NODES);
        let against_redis = pair.flat_map(|pair| redis.iter().map(move |redis| (pair, redis)));
        for (chain, other) in chains.iter().map(|chain| (chain, alone)).chain(against_redis) {
            let measure = format!("{measure}, {}", chain.server);
            record.rows.push(chain.rate_row(&measure, other));
            if depth == 1 {
                record.rows.push(chain.p50_row(&format!("{measure}, p50"), other));
            }
        }
        record.samples.extend(all.iter().map(|series: &Series| series.sample(&measure)));
        drop(contenders);
        for server in &servers {
            record.samples.push(bytes_on_the_wire(server, &plan, depth, &measure)?);
        }
    }
    let place = if args.spread { "nodes on all cpus in turn" } else { "all nodes on one cpu" };
    record.notes.push(format!("{place}; beside a node without a cluster"));
    deliver(&record, args.common.json.as_ref())
}

/// Returns the cpu of each node.
fn cpus(args: &ChainArgs, nodes: usize) -> Vec<usize> {
    let first = args.common.engine_cpu;
    if !args.spread {
        return vec![first; nodes];
    }
    let others = machine::cpus().into_iter().filter(|cpu| *cpu != first);
    let all: Vec<usize> = [first].into_iter().chain(others).collect();
    all.into_iter().cycle().take(nodes).collect()
}

/// Measures the bytes that cross the loopback interface for one op, headers of the network
/// included: between client and head, and between the nodes.
#[allow(clippy::cast_precision_loss)] // far below 2^53 bytes
fn bytes_on_the_wire(
    server: &Server,
    plan: &LoadPlan,
    depth: usize,
    measure: &str,
) -> anyhow::Result<Sample> {
    let mut load = Load::open(server.dialect.wires(server.address, plan)?)?;
    let pressure = Pressure {
        depth,
        warm_up: Duration::ZERO,
        measure: Duration::from_millis(300),
        spin: false,
        rate: None,
    };
    let before = loopback_bytes()?;
    let outcome = load.press(&pressure, &|| None)?;
    load.settle()?;
    let bytes = (loopback_bytes()? - before) as f64 / outcome.ops.max(1) as f64;
    Ok(Sample::new(&format!("{measure}, on the wire"), &server.name, "B/op", &[bytes]))
}

/// Returns how many bytes the loopback interface has sent so far.
fn loopback_bytes() -> anyhow::Result<u64> {
    let path = "/sys/class/net/lo/statistics/tx_bytes";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim().parse()?)
}
