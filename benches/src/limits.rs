//! `catena-bench limits`: how close the engine is to the limits of this machine.

mod calls;
mod generator;
mod heap;

use std::time::{Duration, Instant};

use catena_protocol::Op;
use catena_protocol::op::CounterOp;

use crate::args::CommonArgs;
use crate::contest::{Contender, Series, contest};
use crate::deliver::deliver;
use crate::in_process::{InProcess, InProcessClient};
use crate::peer_server::PeerServer;
use crate::record::{Row, RunRecord, Sample};
use crate::server::Server;
use crate::stats::Paired;
use crate::wire::{LoadPlan, Workload};

/// Compare the engine with a bare echo on a raw io_uring ring and on epoll, beside Redis; measure
/// its cpu time without sockets, its system calls, heap and memory, and the load generator.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitsArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Connections and depths.
const SIZES: [(u64, usize); 4] = [(16, 1), (64, 1), (16, 32), (64, 64)];

const KEYS: u64 = 100_000;

pub(crate) fn run(args: &LimitsArgs) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let mut servers =
        vec![Server::engine(&[cpu], 0)?, Server::echo("ring", cpu)?, Server::echo("epoll", cpu)?];
    let mut record = RunRecord::new("limits");
    let peers =
        Server::peers(&[PeerServer::Redis], cpu, &args.common.peers_dir, &mut record.notes)?;
    servers.extend(peers);
    args.common.pin_load()?;
    let timing = args.common.timing();
    for (connections, depth) in SIZES {
        let plan = LoadPlan { workload: Workload::CounterAdd, keys: KEYS, connections };
        let mut contenders = servers
            .iter()
            .map(|server| Contender::new(server, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let series = contest(&mut contenders, &timing.pressure(depth), timing.rounds)?;
        let (engine, others) = series.split_first().expect("the engine takes part");
        let (echoes, redis) = others.split_at(2);
        let measure = format!("counter_add_{connections}x{depth}");
        let rows: Vec<Row> = others.iter().map(|other| engine.rate_row(&measure, other)).collect();
        record.samples.extend(rows[..echoes.len()].iter().flat_map(shares));
        record.rows.extend(rows);
        for redis in redis {
            record.samples.extend(echoes.iter().map(|echo| ceiling(&measure, echo, redis)));
        }
    }
    in_process_samples(args, &mut record);
    record.samples.extend(generator::samples(args.common.rounds, round(args))?);
    for (connections, depth) in [(16, 1), (16, 32)] {
        match calls::system_calls(&servers[0], connections, depth)? {
            Some(sample) => record.samples.push(sample),
            None => {
                record.notes.push("system calls: not measured, strace is missing or refused".into())
            }
        }
    }
    record.samples.extend(heap::allocations(cpu)?);
    record.samples.extend(heap::memory(cpu)?);
    deliver(&record, args.common.json.as_ref())
}

/// Returns the share of an echo's throughput that is left, and the cpu time that the engine adds to
/// the echo's.
fn shares(row: &Row) -> Vec<Sample> {
    let Row { measure, peer, ratio, spread, .. } = row;
    let share =
        Sample::new(&format!("share of {peer}, {measure}"), "catena", "%", &[ratio * 100.0]);
    let beyond = row.ours_cpu_ns.zip(row.theirs_cpu_ns).map(|(ours, theirs)| {
        let measure = format!("work beyond {peer}, {measure}");
        Sample::new(&measure, "catena", "ns/op", &[ours - theirs])
    });
    std::iter::once(Sample { spread: *spread, ..share }).chain(beyond).collect()
}

/// Returns an echo's throughput relative to Redis': the most that any server could reach with these
/// frames.
fn ceiling(measure: &str, echo: &Series, redis: &Series) -> Sample {
    let Paired { ratio, spread } = Paired::of(&echo.rate, &redis.rate);
    let measure = format!("{} beside redis, {measure}", echo.server);
    Sample { spread, ..Sample::new(&measure, &echo.server, "times", &[ratio]) }
}

fn round(args: &LimitsArgs) -> Duration {
    Duration::from_secs_f64(args.common.seconds / f64::from(args.common.rounds))
}

fn in_process_samples(args: &LimitsArgs, record: &mut RunRecord) {
    for objects in [1, 1_000, KEYS] {
        let ns = counter_add_ns(args.common.rounds, round(args), objects);
        let measure = format!("decode + add + encode, objects: {objects}");
        record.samples.push(Sample::new(&measure, "in process", "ns/op", &ns));
    }
}

/// Measures nanoseconds for one counter add, in each of these rounds, on this many counters.
#[allow(clippy::cast_precision_loss)] // far below 2^53 nanoseconds
fn counter_add_ns(rounds: u32, round: Duration, objects: u64) -> Vec<f64> {
    // Enough that reading the clock does not matter.
    const REQUESTS: u64 = 128;
    let op = Op::Counter(CounterOp::Add { delta: 1 });
    let (mut shard, mut client) = (InProcess::new(), InProcessClient::new());
    let mut batch = Vec::new();
    // Creates the counters.
    for _ in 0..objects.div_ceil(REQUESTS) {
        client.encode(&mut batch, REQUESTS, objects, &|_| op);
        shard.serve(&batch);
    }
    let mut ns_of_round = || {
        let (mut spent, mut requests) = (Duration::ZERO, 0);
        while spent < round {
            client.encode(&mut batch, REQUESTS, objects, &|_| op);
            let start = Instant::now();
            shard.serve(&batch);
            spent += start.elapsed();
            requests += REQUESTS;
        }
        assert_eq!(shard.refused(), 0, "a counter can be added to");
        spent.as_nanos() as f64 / requests as f64
    };
    // The first one warms up.
    ns_of_round();
    (0..rounds).map(|_| ns_of_round()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_in_process_take_some_time() {
        let ns = counter_add_ns(2, Duration::from_millis(1), 10);
        assert!(ns.iter().all(|ns| *ns > 0.0), "{ns:?}");
    }
}
