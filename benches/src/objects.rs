//! `catena-bench objects`: throughput and memory by the number of counters, beside Redis.
//!
//! For each number, fresh servers are filled with as many counters, all named alike on both sides,
//! and then take turns under 16 connections × 32 requests to random ones. What grows with the
//! number is the share of requests whose object is in no cache.

use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::CommonArgs;
use crate::contest::{Contender, contest};
use crate::deliver::deliver;
use crate::machine;
use crate::peer_server::PeerServer;
use crate::record::{Axis, Row, RunRecord, Sample, amount};
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

const EXAMPLES: &str = "\
Examples:
  catena-bench objects                          1,000 to 10,000,000 counters
  catena-bench objects --counters 100000,8000000 --beside redis7,valkey,redis8";

/// Measure throughput and memory by the number of counters, beside Redis.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ObjectsArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Use this many counters; can be given several times. Ten million take about 6 GB of memory
    /// with two peers beside; a number that does not fit into the free memory is skipped.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1000,10000,100000,1000000,10000000",
        value_parser = clap::value_parser!(u32).range(100..=100_000_000)
    )]
    counters: Vec<u32>,

    /// Compare with these servers, if they are installed; no name for none.
    #[arg(long, value_name = "PEER", value_delimiter = ',', num_args = 0..)]
    #[arg(default_value = "redis7,redis8")]
    beside: Vec<PeerServer>,
}

const CONNECTIONS: u64 = 16;
const DEPTH: usize = 32;

/// Memory to reserve for a counter in the engine, in a peer, and in the load generator, in bytes.
/// More than what they take, because tables double.
const ENGINE_BYTES: u64 = 400;
const PEER_BYTES: u64 = 150;
const GENERATOR_BYTES: u64 = 48;

/// With fewer counters, what a process takes anyway is most of its growth.
const MEMORY_COUNTERS_MIN: u64 = 100_000;

/// The engine refuses to grow beyond 85 % of its memory.
const ENGINE_MEMORY_BYTES: u64 = 640;

pub(crate) fn run(args: &ObjectsArgs) -> anyhow::Result<()> {
    let mut record = RunRecord::new("objects");
    args.common.pin_load()?;
    for counters in &args.counters {
        let counters = u64::from(*counters);
        let peers = args.beside.len() as u64;
        let needed = counters * (ENGINE_BYTES + peers * PEER_BYTES + GENERATOR_BYTES);
        let free = machine::available_bytes()?;
        if needed > free {
            record.notes.push(format!(
                "{counters} counters: skipped, they take about {}, and {} are free",
                bytes(needed),
                bytes(free)
            ));
            continue;
        }
        measure(args, counters, &mut record)?;
    }
    deliver(&record, args.common.json.as_ref())
}

fn measure(args: &ObjectsArgs, counters: u64, record: &mut RunRecord) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let memory_bytes = (counters * ENGINE_MEMORY_BYTES).max(1 << 30);
    let mut notes = Vec::new();
    let mut servers = vec![Server::large_engine(cpu, memory_bytes)?];
    servers.extend(Server::peers(&args.beside, cpu, &args.common.peers_dir, &mut notes)?);
    notes.retain(|note| !record.notes.contains(note));
    record.notes.append(&mut notes);
    let plan =
        LoadPlan { workload: Workload::CounterAdd, keys: counters, connections: CONNECTIONS };
    let (mut memory, mut created) = (Vec::new(), Vec::new());
    for server in &servers {
        let before = server.resident_bytes();
        created.push(fill(server, &plan)?);
        let after = server.resident_bytes();
        let taken = before.zip(after).context("the server was started here")?;
        #[allow(clippy::cast_precision_loss)] // far below 2^53 bytes
        memory.push((taken.1 - taken.0) as f64 / counters as f64);
    }
    let timing = args.common.timing();
    let watched = progress(&format!("{counters} counters: {CONNECTIONS} × {DEPTH}"), None);
    let mut contenders = servers
        .iter()
        .map(|server| Contender::new(server, &plan))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let series = contest(&mut contenders, &timing.pressure(DEPTH), timing.rounds)?;
    watched.finish_and_clear();
    let (us, others) = series.split_first().context("we take part")?;
    let (name, has_memory) = (amount_of(counters), counters >= MEMORY_COUNTERS_MIN);
    for (other, theirs) in others.iter().zip(&memory[1..]) {
        let rate = format!("counter_add_{CONNECTIONS}x{DEPTH}, {name} counters");
        record.rows.push(us.rate_row(&rate, other));
        if has_memory {
            record.rows.push(Row {
                measure: format!("memory of a counter, {name} counters"),
                peer: other.server.clone(),
                unit: "B".to_owned(),
                ours: memory[0],
                theirs: *theirs,
                ratio: memory[0] / theirs,
                spread: 0.0,
                ours_cpu_ns: None,
                theirs_cpu_ns: None,
            });
        }
    }
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let at = |sample: Sample| sample.at(Axis::Counters, counters as f64);
    for ((series, memory), created) in series.iter().zip(&memory).zip(&created) {
        let server = &*series.server;
        let rate = format!("counter_add_{CONNECTIONS}x{DEPTH}");
        record.samples.push(at(series.sample(&rate)));
        if has_memory {
            record.samples.push(at(Sample::new("memory of a counter", server, "B", &[*memory])));
        }
        record.samples.push(at(Sample::new("creating counters", server, "op/s", &[*created])));
    }
    Ok(())
}

/// Creates the counters from one connection, and returns how many in a second.
fn fill(server: &Server, plan: &LoadPlan) -> anyhow::Result<f64> {
    let title = format!("{} counters: creating them in {}", plan.keys, server.name);
    let watched = progress(&title, Some(plan.keys));
    let start = Instant::now();
    server.fill_watched(plan, &|count| watched.set_position(count))?;
    let elapsed = start.elapsed();
    watched.finish_and_clear();
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    Ok(plan.keys as f64 / elapsed.as_secs_f64())
}

/// Shows progress, if the standard error is a terminal.
fn progress(title: &str, len: Option<u64>) -> ProgressBar {
    let (bar, template) = match len {
        Some(len) => (ProgressBar::new(len), "{msg} {wide_bar} {percent:>3} % {eta}"),
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    let bar = bar.with_style(style).with_message(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Returns a number with commas, such as `10,000`.
fn amount_of(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[allow(clippy::cast_precision_loss)] // far below 2^53 bytes
fn bytes(bytes: u64) -> String {
    amount(bytes as f64, "B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_commas() {
        assert_eq!([100, 1_000, 10_000_000].map(amount_of), ["100", "1,000", "10,000,000"]);
    }
}
