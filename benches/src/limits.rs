//! `catena-bench limits`: how close the engine is to what this machine can do at all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_protocol::Op;
use catena_protocol::op::CounterOp;
use rustix::process::{Pid, Signal};

use crate::args::Common;
use crate::contest::{Contender, contest};
use crate::in_process::InProcess;
use crate::load::{Load, Pressure};
use crate::record::{Record, Sample};
use crate::server::Server;
use crate::stats::{median, spread};
use crate::wire::{Dialect, Plan, Workload};

/// Measures the engine against a bare echo on a raw io_uring ring and on epoll, its work without
/// sockets, its system calls and its memory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// Connections and depths.
const SIZES: [(u64, usize); 4] = [(16, 1), (64, 1), (16, 32), (64, 64)];

const KEYS: u64 = 100_000;

/// How many counters the memory is measured with.
const COUNTERS: u64 = 1_000_000;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let servers =
        [Server::engine(&[cpu], 0)?, Server::echo("ring", cpu)?, Server::echo("epoll", cpu)?];
    args.common.pin_load()?;
    let mut record = Record::new("limits");
    let timing = args.common.timing();
    for (connections, depth) in SIZES {
        let plan = Plan { workload: Workload::CounterAdd, keys: KEYS, connections };
        let mut contenders = servers
            .iter()
            .map(|server| Contender::new(server, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let series = contest(&mut contenders, &timing.pressure(depth), timing.rounds)?;
        let (engine, echoes) = series.split_first().expect("we take part");
        let measure = format!("counter_add_{connections}x{depth}");
        record.rows.extend(echoes.iter().map(|echo| engine.rate_row(&measure, echo)));
    }
    in_process_samples(args, &mut record);
    for (connections, depth) in [(16, 1), (16, 32)] {
        match system_calls(&servers[0], connections, depth)? {
            Some(sample) => record.samples.push(sample),
            None => {
                record.notes.push("system calls: not measured, strace is missing or refused".into())
            }
        }
    }
    record.samples.extend(memory(cpu)?);
    record.deliver(args.common.json.as_ref())
}

fn in_process_samples(args: &Args, record: &mut Record) {
    let round = Duration::from_secs_f64(args.common.seconds / f64::from(args.common.rounds));
    for objects in [1, 1_000, KEYS] {
        let ns = counter_add_ns(args.common.rounds, round, objects);
        let measure = format!("decode + add + encode, {objects} counters");
        record.samples.push(sample(&measure, "in process", "ns/op", &ns));
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
        spent.as_nanos() as f64 / requests as f64
    };
    // The first makes the counters.
    ns_of_round();
    (0..rounds).map(|_| ns_of_round()).collect()
}

/// System calls for one op, counted by strace, which slows the engine down: batches are a little
/// larger than without it. `None` if there is no strace, or it may not look.
fn system_calls(engine: &Server, connections: u64, depth: usize) -> anyhow::Result<Option<Sample>> {
    let pid = engine.pid().context("the engine was started here")?.to_string();
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-p", &pid, "-o"]).arg(&counts).stderr(Stdio::null());
    let Ok(mut strace) = strace.spawn() else { return Ok(None) };
    std::thread::sleep(Duration::from_millis(300));
    let plan = Plan { workload: Workload::CounterAdd, keys: KEYS, connections };
    let mut load = Load::open(engine.dialect.wires(engine.address, &plan)?)?;
    let second = Duration::from_secs(1);
    let pressure =
        Pressure { depth, warm_up: Duration::ZERO, measure: second, spin: false, rate: None };
    let ops = load.press(&pressure, &|| None)?.ops;
    // On this signal it lets go and writes its table. If it is gone already, there is none.
    let _ = rustix::process::kill_process(Pid::from_child(&strace), Signal::INT);
    strace.wait()?;
    load.settle()?;
    let table = std::fs::read_to_string(&counts).unwrap_or_default();
    let Some(calls) = total(&table) else { return Ok(None) };
    #[allow(clippy::cast_precision_loss)] // far below 2^53 operations
    let per_op = calls as f64 / ops as f64;
    let measure = format!("system calls, counter_add_{connections}x{depth}");
    Ok(Some(sample(&measure, &engine.name, "calls/op", &[per_op])))
}

/// The number of calls in the last line of strace's table.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// What a million counters take in an engine that has nothing else.
fn memory(cpu: usize) -> anyhow::Result<Option<Sample>> {
    let engine = Server::engine(&[cpu], 0)?;
    let before = engine.resident_bytes();
    let plan = Plan { workload: Workload::CounterAdd, keys: COUNTERS, connections: 1 };
    let mut load = Load::open(Dialect::Catena.in_turn(engine.address, &plan)?)?;
    load.send(COUNTERS, 64)?;
    drop(load);
    let taken = before.zip(engine.resident_bytes()).map(|(before, after)| after - before);
    #[allow(clippy::cast_precision_loss)] // far below 2^53 bytes
    let bytes = taken.map(|taken| taken as f64 / COUNTERS as f64);
    Ok(bytes.map(|bytes| sample("resident memory, 1 M counters", &engine.name, "B each", &[bytes])))
}

fn sample(measure: &str, server: &str, unit: &str, rounds: &[f64]) -> Sample {
    Sample {
        measure: measure.to_owned(),
        server: server.to_owned(),
        unit: unit.to_owned(),
        value: median(rounds),
        spread: spread(rounds),
        x: None,
        latency_us: None,
        cpu_ns: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_straces_table() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.011000           1      9000         1 io_uring_enter\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.011000           1      9042         1 total\n";
        assert_eq!(total(table), Some(9_042));
        assert_eq!(total(""), None);
    }

    #[test]
    fn adds_in_process_take_some_time() {
        let ns = counter_add_ns(2, Duration::from_millis(1), 10);
        assert!(ns.iter().all(|ns| *ns > 0.0), "{ns:?}");
    }
}
