//! `catena-bench memory`: how much memory small objects take, and how much of it is counted.
//!
//! A shard in a process of its own, with the allocator of the engine's program, is filled with
//! objects of one kind until 64 MiB are counted. What the process grew by, divided by that, says
//! whether a budget of `--memory` holds.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, CounterOp, FutureOp, GENERATION_CURRENT, LatchOp, ListOp, LockOp,
    Loss, MapOp, Permit, SemaphoreOp, SetOp, VectorOp,
};
use catena_protocol::{Elements, ItemsBuf, Op};

use crate::deliver::deliver;
use crate::in_process::{InProcess, InProcessClient};
use crate::machine::resident_bytes;
use crate::record::{RunRecord, Sample};

const EXAMPLES: &str = "\
Examples:
  catena-bench memory                              all kinds, in tables
  catena-bench memory --json memory.json           the same, saved";

/// Measure how much memory small objects take, and how much of it is counted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MemoryArgs {
    /// Save the results as JSON; `-` prints them instead of the tables.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Measure this one in this process, and print bytes counted, bytes grown and objects.
    #[arg(long, value_name = "NAME", hide = true)]
    only: Option<String>,
}

/// Bytes that are counted of each kind.
const COUNTED_BYTES: u64 = 64 * 1024 * 1024;

pub(crate) fn run(args: &MemoryArgs) -> anyhow::Result<()> {
    if let Some(name) = &args.only {
        let (counted, grown, objects) = measure(name)?;
        writeln!(std::io::stdout(), "{counted} {grown} {objects}")?;
        return Ok(());
    }
    let mut record = RunRecord::new("memory");
    for name in NAMES {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.args(["memory", "--only", name]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        let [counted, grown, objects] = numbers[..] else {
            anyhow::bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        };
        record.samples.push(Sample::new(name, "counted", "B", &[counted / objects]));
        record.samples.push(Sample::new(name, "resident", "B", &[grown / objects]));
        record.samples.push(Sample::new(name, "resident / counted", "", &[grown / counted]));
    }
    deliver(&record, args.json.as_ref())
}

/// What a shard is filled with: objects of a kind, each made by one request.
const NAMES: [&str; 19] = [
    "counter",
    "cell of 8 B",
    "cell of 33 B",
    "cell of 1 KiB",
    "vector of 8",
    "map of 1",
    "map of 8",
    "map of 100",
    "set of 1",
    "set of 8",
    "set of 100",
    "list of 1",
    "list of 8",
    "list of 100",
    "lock, held",
    "semaphore, a permit taken",
    "barrier, 1 of 2 arrived",
    "latch, 1 of 2 counted",
    "future, set",
];

fn measure(name: &str) -> anyhow::Result<(u64, u64, u64)> {
    let keys: Vec<Vec<u8>> = (0..100).map(|key| format!("key {key:04}").into_bytes()).collect();
    let items: ItemsBuf = keys.iter().collect();
    let pairs = |count: usize| -> ItemsBuf { keys[..count].iter().flat_map(|k| [k, k]).collect() };
    let some = |count: usize| -> ItemsBuf { keys[..count].iter().collect() };
    let (pairs_of, some_of) = ([1, 8, 100].map(pairs), [1, 8].map(some));
    let bytes = vec![7; 1024];
    let permit = Permit { permits: 4, count: 1, hold_ms: 60_000 };
    let arrival = Arrival {
        party: "party-1",
        parties: 2,
        generation: GENERATION_CURRENT,
        hold_ms: 0,
        loss: Loss::Wait,
    };
    let op = match name {
        "counter" => Op::Counter(CounterOp::Add { delta: 1 }),
        "cell of 8 B" => Op::Cell(CellOp::Set { bytes: &bytes[..8] }),
        "cell of 33 B" => Op::Cell(CellOp::Set { bytes: &bytes[..33] }),
        "cell of 1 KiB" => Op::Cell(CellOp::Set { bytes: &bytes }),
        "vector of 8" => Op::Vector(VectorOp::Add { elements: Elements::F64(&[1.0; 8]) }),
        "map of 1" => Op::Map(MapOp::PutAll { items: pairs_of[0].items() }),
        "map of 8" => Op::Map(MapOp::PutAll { items: pairs_of[1].items() }),
        "map of 100" => Op::Map(MapOp::PutAll { items: pairs_of[2].items() }),
        "set of 1" => Op::Set(SetOp::AddAll { items: some_of[0].items() }),
        "set of 8" => Op::Set(SetOp::AddAll { items: some_of[1].items() }),
        "set of 100" => Op::Set(SetOp::AddAll { items: items.items() }),
        "list of 1" => Op::List(ListOp::Extend { items: some_of[0].items() }),
        "list of 8" => Op::List(ListOp::Extend { items: some_of[1].items() }),
        "list of 100" => Op::List(ListOp::Extend { items: items.items() }),
        "lock, held" => Op::Lock(LockOp::TryAcquire { hold_ms: 60_000 }),
        "semaphore, a permit taken" => Op::Semaphore(SemaphoreOp::TryAcquire(permit)),
        "barrier, 1 of 2 arrived" => Op::Barrier(BarrierOp::Arrive(arrival)),
        "latch, 1 of 2 counted" => Op::Latch(LatchOp::CountDown { party: "party-1", parties: 2 }),
        "future, set" => Op::Future(FutureOp::Set { bytes: &bytes[..8] }),
        other => anyhow::bail!("there is no {other}"),
    };
    let (mut shard, mut client) = (InProcess::new(), InProcessClient::new());
    let mut batch = Vec::new();
    let before = resident_bytes(std::process::id())?;
    let mut objects = 0;
    while shard.bytes() < COUNTED_BYTES {
        client.encode(&mut batch, 1, u64::MAX, &|_| op);
        shard.serve(&batch);
        anyhow::ensure!(shard.refused() == 0, "a request was refused");
        objects += 1;
    }
    // The generator knows its objects, too.
    let grown = resident_bytes(std::process::id())? - before - client.bytes();
    Ok((shard.bytes(), grown, objects))
}
