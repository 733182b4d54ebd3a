//! `catena-bench stalls`: how long one request keeps its core, at the limits of its op.
//!
//! All other clients of the core wait meanwhile. A shard in this process is filled, and then gets
//! one request of the op, in each round anew. The time includes what a core does with the bytes of a
//! request, and not the sockets.

use std::path::PathBuf;
use std::time::Instant;

use catena_core::config::{
    CELL_BYTES_MAX, COMPARED_MAX, COUNTED_MAX, FILTERED_MAX, VECTOR_BYTES_MAX,
};
use catena_protocol::limits::{ITEMS_MAX, PAGE_ITEMS_MAX};
use catena_protocol::op::{
    CellOp, CounterOp, ListOp, MapOp, Merge, ObjectOp, ScopeOp, SetOp, VectorOp,
};
use catena_protocol::{Elements, Items, ItemsBuf, Op};

use crate::deliver::deliver;
use crate::in_process::{InProcess, InProcessClient};
use crate::record::{RunRecord, Sample};

const EXAMPLES: &str = "\
Examples:
  catena-bench stalls                              five rounds, in tables
  catena-bench stalls --rounds 1 --items 100000    a quick look";

/// Measure how long one request keeps its core, at the limits of its op.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StallsArgs {
    /// Save the results as JSON; `-` prints them instead of the tables.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Measure each op this often, with a shard filled anew each time.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Fill lists, maps and sets with this many items, as far as the op does not refuse so many.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    items: u32,
}

pub(crate) fn run(args: &StallsArgs) -> anyhow::Result<()> {
    let mut record = RunRecord::new("stalls");
    let buffers = Buffers::new(args.items);
    for stall in stalls(args.items) {
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            rounds.push(measure(&stall, &buffers)?);
        }
        let name = format!("{}, {}", stall.op, stall.at);
        record.samples.push(Sample::new(&name, "Catena", "us", &rounds));
    }
    deliver(&record, args.json.as_ref())
}

/// One request, and what the shard has before.
struct Stall {
    op: &'static str,
    /// What is at its limit.
    at: String,
    filled: Filling,
    request: Request,
}

type Request = for<'b> fn(&'b Buffers) -> Op<'b>;

/// What a shard has before the request.
#[derive(Clone, Copy)]
enum Filling {
    Nothing,
    List(u32),
    Map(u32),
    Set(u32),
    /// Counters with names.
    Names(u32),
}

/// What requests carry.
struct Buffers {
    /// Items that are in the lists, maps and sets.
    known: ItemsBuf,
    /// As many that are not.
    other: ItemsBuf,
    /// Entries of keys that are in the maps, and of others.
    known_pairs: ItemsBuf,
    other_pairs: ItemsBuf,
    bytes: Vec<u8>,
    numbers: Vec<f64>,
    middle: u64,
}

impl Buffers {
    fn new(items: u32) -> Buffers {
        let keys = |from: u32, count: u32| (from..from + count).map(key);
        let pairs = |from: u32| -> ItemsBuf {
            keys(from, ITEMS_MAX / 2).flat_map(|key| [key, b"a value".to_vec()]).collect()
        };
        Buffers {
            known: keys(0, ITEMS_MAX).collect(),
            other: keys(1 << 30, ITEMS_MAX).collect(),
            known_pairs: pairs(0),
            other_pairs: pairs(1 << 30),
            bytes: vec![7; CELL_BYTES_MAX],
            numbers: vec![1.0; VECTOR_BYTES_MAX / size_of::<f64>()],
            middle: u64::from(items / 2),
        }
    }
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn stalls(items: u32) -> Vec<Stall> {
    let stall = |op, filled, request: Request| {
        let many = |count: u32, what: &str| format!("{count} {what}");
        let at = match filled {
            Filling::Nothing => "at its largest".to_owned(),
            Filling::List(count) => many(count, "items in the list"),
            Filling::Map(count) => many(count, "entries in the map"),
            Filling::Set(count) => many(count, "members of the set"),
            Filling::Names(count) => many(count, "names"),
        };
        Stall { op, at, filled, request }
    };
    let limited = |most: usize| items.min(u32::try_from(most).expect("a million or less"));
    let (compared, filtered) = (limited(COMPARED_MAX), limited(FILTERED_MAX));
    vec![
        stall("CellSet", Filling::Nothing, |it| Op::Cell(CellOp::Set { bytes: &it.bytes })),
        stall("VectorAdd", Filling::Nothing, |it| {
            Op::Vector(VectorOp::Add { elements: Elements::F64(&it.numbers) })
        }),
        stall("ListExtend", Filling::List(items), |it| {
            Op::List(ListOp::Extend { items: it.other.items() })
        }),
        stall("ListInsert", Filling::List(items), |it| {
            Op::List(ListOp::Insert { index: it.middle, bytes: b"x" })
        }),
        stall("ListIndexOf", Filling::List(compared), |_| {
            Op::List(ListOp::IndexOf { from_end: false, bytes: b"none" })
        }),
        stall("ListRemoveValue", Filling::List(compared), |_| {
            Op::List(ListOp::RemoveValue { bytes: b"none" })
        }),
        stall("ListContainsAll", Filling::List(filtered), |it| {
            Op::List(ListOp::ContainsAll { items: it.other.items() })
        }),
        stall("ListRemoveAll", Filling::List(filtered), |it| {
            Op::List(ListOp::RemoveAll { items: it.known.items() })
        }),
        stall("ListRetainAll", Filling::List(filtered), |it| {
            Op::List(ListOp::RetainAll { items: it.known.items() })
        }),
        stall("ListRange", Filling::List(items), |it| {
            Op::List(ListOp::Range { from: it.middle, limit: PAGE_ITEMS_MAX })
        }),
        stall("ListClear", Filling::List(items), |_| Op::List(ListOp::Clear)),
        stall("MapPutAll", Filling::Map(items), |it| {
            Op::Map(MapOp::PutAll { items: it.other_pairs.items() })
        }),
        stall("MapMergeAll", Filling::Map(items), |it| {
            Op::Map(MapOp::MergeAll { merge: Merge::Append, items: it.known_pairs.items() })
        }),
        stall("MapRemoveAll", Filling::Map(items), |it| {
            Op::Map(MapOp::RemoveAll { items: it.known.items() })
        }),
        stall("MapContainsValue", Filling::Map(filtered), |_| {
            Op::Map(MapOp::ContainsValue { value: b"none" })
        }),
        stall("MapClear", Filling::Map(items), |_| Op::Map(MapOp::Clear)),
        stall("SetAddAll", Filling::Set(items), |it| {
            Op::Set(SetOp::AddAll { items: it.other.items() })
        }),
        stall("SetContainsAll", Filling::Set(items), |it| {
            Op::Set(SetOp::ContainsAll { items: it.known.items() })
        }),
        stall("SetRetainAll", Filling::Set(filtered), |it| {
            Op::Set(SetOp::RetainAll { items: it.known.items() })
        }),
        stall("SetClear", Filling::Set(items), |_| Op::Set(SetOp::Clear)),
        stall("ObjectDelete", Filling::Map(items), |_| Op::Object(ObjectOp::Delete)),
        stall("ScopeUsage", Filling::Names(limited(COUNTED_MAX)), |_| {
            Op::Scope(ScopeOp::Usage { prefix: "catena-bench" })
        }),
    ]
}

/// Returns how long the request takes, in microseconds.
fn measure(stall: &Stall, buffers: &Buffers) -> anyhow::Result<f64> {
    let (mut shard, mut client) = (InProcess::new(), InProcessClient::new());
    let mut batch = Vec::new();
    fill(stall.filled, &mut shard, &mut client)?;
    client.encode(&mut batch, 1, 1, &|_| (stall.request)(buffers));
    let start = Instant::now();
    shard.serve(&batch);
    let taken = start.elapsed();
    anyhow::ensure!(shard.refused() == 0, "{} was refused", stall.op);
    Ok(taken.as_secs_f64() * 1e6)
}

fn fill(
    filled: Filling,
    shard: &mut InProcess,
    client: &mut InProcessClient,
) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    let (count, values, op): (u32, bool, for<'a> fn(Items<'a>) -> Op<'a>) = match filled {
        Filling::Nothing => return Ok(()),
        Filling::List(count) => (count, false, |items| Op::List(ListOp::Extend { items })),
        Filling::Map(count) => (count, true, |items| Op::Map(MapOp::PutAll { items })),
        Filling::Set(count) => (count, false, |items| Op::Set(SetOp::AddAll { items })),
        Filling::Names(count) => {
            let add = CounterOp::Add { delta: 1 };
            for _ in 0..count {
                client.encode(&mut batch, 1, count.into(), &|_| Op::Counter(add));
                shard.serve(&batch);
                anyhow::ensure!(shard.refused() == 0, "filling was refused");
            }
            return Ok(());
        }
    };
    let page = if values { ITEMS_MAX / 2 } else { ITEMS_MAX };
    let mut from = 0;
    while from < count {
        let keys = (from..count.min(from + page)).map(key);
        let items: ItemsBuf = match values {
            true => keys.flat_map(|key| [key, b"1234567".to_vec()]).collect(),
            false => keys.collect(),
        };
        client.encode(&mut batch, 1, 1, &|_| op(items.items()));
        shard.serve(&batch);
        anyhow::ensure!(shard.refused() == 0, "filling was refused");
        from += page;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_at_its_limit_is_done() {
        let buffers = Buffers::new(10_000);
        for stall in stalls(10_000) {
            assert!(measure(&stall, &buffers).unwrap() > 0.0, "{}", stall.op);
        }
    }
}
