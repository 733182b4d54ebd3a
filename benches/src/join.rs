//! `catena-bench join`: what clients notice while a node joins and copies the state.
//!
//! A node is filled with cells of 1 KiB. One client adds to a counter, one call at a time, and
//! another puts batches of cells in a row, so that most of what is copied changes meanwhile. Then a
//! second node joins. The longest call of the first client says how long the core stood still, and
//! the growth of the node's resident memory whether the state was there twice.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_client::{Cell, Client};
use catena_protocol::op::CellOp;
use hdrhistogram::Histogram;

use crate::deliver::deliver;
use crate::machine;
use crate::record::{RunRecord, Sample};
use crate::server::Server;
use crate::wire::key_name;

const EXAMPLES: &str = "\
Examples:
  catena-bench join                          1 GiB, under load
  catena-bench join --mebibytes 256 --batch 0    nobody changes the cells meanwhile";

/// Measure what clients notice while a node joins and copies the state.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct JoinArgs {
    /// Save the results as JSON; `-` prints them instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Fill the node with this many MiB of cells.
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    mebibytes: u64,

    /// Put this many cells in a row in each batch; 0 puts none.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(..=4_096))]
    batch: u32,

    /// Run the first node on this cpu; everything else runs on the others.
    #[arg(long, default_value_t = 0)]
    engine_cpu: usize,
}

/// Bytes of a cell's value.
const CELL_BYTES: usize = 1_024;

/// Memory of each node for its objects, at least.
const MEMORY_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// How many cells are put in a batch before the measurement.
const FILL_BATCH: usize = 1_024;

/// How long calls are measured before the second node starts.
const BEFORE: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &JoinArgs) -> anyhow::Result<()> {
    let mut record = RunRecord::new("join");
    let cells = args.mebibytes * 1024 * 1024 / CELL_BYTES as u64;
    let memory = (args.mebibytes * 3 * 1024 * 1024).max(MEMORY_BYTES_MIN);
    let first = Server::first_of_chain(args.engine_cpu, memory)?;
    let client = Client::builder().call_timeout(Duration::from_secs(60)).connect(first.address)?;
    for from in (0..cells).step_by(FILL_BATCH) {
        put_cells(&client, from..cells.min(from + FILL_BATCH as u64), cells)?;
    }
    let others: Vec<usize> =
        machine::cpus().into_iter().filter(|cpu| *cpu != args.engine_cpu).collect();
    let cpu = *others.first().context("this needs two cpus")?;
    machine::pin(&others)?;
    let (address, is_over) = (first.address, &AtomicBool::new(false));
    let join = |resident: &mut u64| -> anyhow::Result<(Server, Duration)> {
        let start = Instant::now();
        let second = Server::next_of_chain(&first, cpu, memory)?;
        while !first.has_members(2)? {
            *resident = first.resident_bytes().unwrap_or_default().max(*resident);
            anyhow::ensure!(start.elapsed() < Duration::from_secs(300), "the node did not join");
            thread::sleep(Duration::from_millis(20));
        }
        Ok((second, start.elapsed()))
    };
    let (calm, calls, puts, joined, before, most) = thread::scope(|scope| {
        let puts = scope.spawn(move || put(address, cells, args.batch, is_over));
        let (begun, begins) = std::sync::mpsc::channel();
        let calls = scope.spawn(move || call(address, &begins, is_over));
        thread::sleep(BEFORE);
        let before = first.resident_bytes().unwrap_or_default();
        let mut most = before;
        _ = begun.send(());
        let joined = join(&mut most);
        is_over.store(true, Ordering::Relaxed);
        let (calm, calls) = calls.join().expect("it does not panic")?;
        let puts = puts.join().expect("it does not panic")?;
        anyhow::Ok((calm, calls, puts, joined?, before, most))
    })?;
    let (_second, took) = joined;
    let mut add = |measure: &str, unit: &str, value: f64| {
        record.samples.push(Sample::new(measure, "catena", unit, &[value]));
    };
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    {
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        add("state", "MiB", args.mebibytes as f64);
        add("until the node is a member", "s", took.as_secs_f64());
        add("cells put", "/s", puts as f64 / (BEFORE + took).as_secs_f64());
        add("resident before", "MiB", mib(before));
        add("resident at most", "MiB", mib(most));
        for (when, calls) in [("before", &calm), ("while it joins", &calls)] {
            for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
                let us = calls.value_at_quantile(quantile) as f64;
                add(&format!("call {when}, {name}"), "µs", us);
            }
        }
    }
    record.notes.push("the longest call includes the change of the epoch".to_owned());
    deliver(&record, args.json.as_ref())
}

/// Adds to a counter until `is_over`, one call at a time. Returns the times of the calls before
/// and after `begins`, in microseconds.
fn call(
    address: SocketAddr,
    begins: &std::sync::mpsc::Receiver<()>,
    is_over: &AtomicBool,
) -> anyhow::Result<(Histogram<u64>, Histogram<u64>)> {
    let client = Client::builder().call_timeout(Duration::from_secs(60)).connect(address)?;
    let counter = client.counter("calls");
    counter.increment()?;
    let (mut calm, mut calls) = (Histogram::new(3)?, Histogram::new(3)?);
    let mut has_begun = false;
    while !is_over.load(Ordering::Relaxed) {
        has_begun |= begins.try_recv().is_ok();
        let start = Instant::now();
        counter.increment()?;
        let us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        if has_begun {
            calls.record(us)?
        } else {
            calm.record(us)?
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok((calm, calls))
}

/// Puts cells until `is_over`, batch by batch. Returns their number.
fn put(address: SocketAddr, cells: u64, batch: u32, is_over: &AtomicBool) -> anyhow::Result<u64> {
    let client = Client::builder().call_timeout(Duration::from_secs(60)).connect(address)?;
    let (mut count, mut next) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        if batch == 0 {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        put_cells(&client, next..next + u64::from(batch), cells)?;
        count += u64::from(batch);
        next = (next + u64::from(batch)) % cells;
    }
    Ok(count)
}

/// Puts cells in one batch; the first is behind the last.
fn put_cells(client: &Client, range: Range<u64>, cells: u64) -> anyhow::Result<()> {
    let handles: Vec<Cell> =
        range.map(|number| client.cell(&key_name(b'c', number % cells))).collect();
    let mut pipeline = client.pipeline();
    for handle in &handles {
        pipeline.push(handle, CellOp::Set { bytes: &[7; CELL_BYTES] });
    }
    let replies = pipeline.run();
    for index in 0..handles.len() {
        if let Err(error) = replies.get(index) {
            anyhow::bail!("a cell cannot be put: {error}");
        }
    }
    Ok(())
}
