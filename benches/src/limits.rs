//! `catena-bench limits`: how close the engine is to what this machine can do at all.

mod calls;
mod generator;
mod heap;

use std::time::{Duration, Instant};

use catena_protocol::Op;
use catena_protocol::op::CounterOp;

use crate::args::Common;
use crate::contest::{Contender, Series, contest};
use crate::in_process::InProcess;
use crate::record::{Record, Row, Sample};
use crate::server::Server;
use crate::stats::Paired;
use crate::wire::{Plan, Workload};

/// Measures the engine against a bare echo on a raw io_uring ring and on epoll, both beside Redis; its
/// work without sockets, its system calls, its heap and its memory; and the load generator.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// Connections and depths.
const SIZES: [(u64, usize); 4] = [(16, 1), (64, 1), (16, 32), (64, 64)];

const KEYS: u64 = 100_000;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let mut servers =
        vec![Server::engine(&[cpu], 0)?, Server::echo("ring", cpu)?, Server::echo("epoll", cpu)?];
    let mut record = Record::new("limits");
    match Server::peer("redis", cpu)? {
        Some(redis) => servers.push(redis),
        None => record.notes.push("redis: skipped, it is not installed".to_owned()),
    }
    args.common.pin_load()?;
    let timing = args.common.timing();
    for (connections, depth) in SIZES {
        let plan = Plan { workload: Workload::CounterAdd, keys: KEYS, connections };
        let mut contenders = servers
            .iter()
            .map(|server| Contender::new(server, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let series = contest(&mut contenders, &timing.pressure(depth), timing.rounds)?;
        let [engine, echoes @ .., last] = &series[..] else { unreachable!("three take part") };
        let measure = format!("counter_add_{connections}x{depth}");
        let rows = series[1..].iter().map(|other| engine.rate_row(&measure, other));
        let rows: Vec<Row> = rows.collect();
        record
            .samples
            .extend(rows.iter().filter(|row| row.peer.starts_with("echo")).flat_map(shares));
        record.rows.extend(rows);
        if last.server == "redis" {
            record.samples.extend(echoes.iter().map(|echo| ceiling(&measure, echo, last)));
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
    record.deliver(args.common.json.as_ref())
}

/// How much of an echo's throughput is left, and what the engine works beyond the echo.
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

/// What an echo has of Redis' throughput: with the same frames, the most that any server could reach.
fn ceiling(measure: &str, echo: &Series, redis: &Series) -> Sample {
    let Paired { ratio, spread } = Paired::of(&echo.rate, &redis.rate);
    let measure = format!("{} beside redis, {measure}", echo.server);
    Sample { spread, ..Sample::new(&measure, &echo.server, "times", &[ratio]) }
}

fn round(args: &Args) -> Duration {
    Duration::from_secs_f64(args.common.seconds / f64::from(args.common.rounds))
}

fn in_process_samples(args: &Args, record: &mut Record) {
    for objects in [1, 1_000, KEYS] {
        let ns = counter_add_ns(args.common.rounds, round(args), objects);
        let measure = format!("decode + add + encode, objects: {objects}");
        record.samples.push(Sample::new(&measure, "in process", "ns/op", &ns));
    }
}

/// Nanoseconds for one counter add in each of so many rounds, on so many counters.
#[allow(clippy::cast_precision_loss)] // far below 2^53 nanoseconds
fn counter_add_ns(rounds: u32, round: Duration, objects: u64) -> Vec<f64> {
    // So many that reading the clock does not show.
    const REQUESTS: u64 = 128;
    let op = Op::Counter(CounterOp::Add { delta: 1 });
    let (mut shard, mut batch) = (InProcess::new(), Vec::new());
    let mut ns_of_round = || {
        let (mut spent, mut requests) = (Duration::ZERO, 0);
        while spent < round {
            shard.encode(&mut batch, REQUESTS, objects, &|_| op);
            let start = Instant::now();
            shard.serve(&batch);
            spent += start.elapsed();
            requests += REQUESTS;
        }
        assert_eq!(shard.refused(), 0, "a counter can be added to");
        spent.as_nanos() as f64 / requests as f64
    };
    // The first makes the counters.
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
