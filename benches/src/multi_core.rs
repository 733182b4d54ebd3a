//! `catena-bench multi-core`: two shard cores against one.
//!
//! Every core gets a load generator of its own on its own cpu: otherwise two cores would share the
//! cpu of a load generator that a single core has for itself.

use std::thread;

use crate::args::CommonArgs;
use crate::contest::{Series, Timing};
use crate::deliver::deliver;
use crate::load::{Load, LoadOutcome, Pressure};
use crate::machine;
use crate::record::RunRecord;
use crate::server::Server;
use crate::wire::Workload;
use crate::wire::catena::NodeTopology;

/// Compare an engine on two cpus with one on a single cpu, each core with its own load.
#[derive(Debug, clap::Args)]
pub(crate) struct MultiCoreArgs {
    #[command(flatten)]
    common: CommonArgs,
}

const KEYS: u64 = 100_000;

pub(crate) fn run(args: &MultiCoreArgs) -> anyhow::Result<()> {
    let cpus: Vec<usize> = machine::cpus().into_iter().take(2).collect();
    anyhow::ensure!(cpus.len() == 2, "this needs two cpus, and this process may use only one");
    let (one, mut two) = (Server::engine(&cpus[..1], 0)?, Server::engine(&cpus, 0)?);
    two.name = "catena, 2 cores".to_owned();
    let mut record = RunRecord::new("multi-core");
    let timing: Timing = args.common.timing();
    for (connections, depth) in [(16, 1), (16, 32)] {
        let pressure = timing.pressure(depth);
        let (mut alone, mut both) = (Series::new("one core")?, Series::new(&two.name)?);
        for round in 0..timing.rounds {
            // One order, then the other.
            let first = round % 2 == 0;
            if first {
                alone.add(&press(&one, &cpus[..1], connections, &pressure)?)?;
            }
            both.add(&press(&two, &cpus, connections, &pressure)?)?;
            if !first {
                alone.add(&press(&one, &cpus[..1], connections, &pressure)?)?;
            }
        }
        let measure = format!("two_cores_counter_add_{connections}x{depth}");
        record.rows.push(both.rate_row(&measure, &alone));
    }
    deliver(&record, args.common.json.as_ref())
}

/// Presses every core from its own cpu at the same time, and adds up the results.
fn press(
    server: &Server,
    cpus: &[usize],
    connections: u64,
    pressure: &Pressure,
) -> anyhow::Result<LoadOutcome> {
    let address = server.address;
    let press_core = |core: usize, cpu: usize| {
        machine::pin(&[cpu])?;
        let node = NodeTopology::at(address)?;
        let wires = node.wires_to_core(core, Workload::CounterAdd, KEYS, connections)?;
        let mut load = Load::open(wires)?;
        let outcome = load.press(pressure, &|| None)?;
        load.settle()?;
        anyhow::Ok(outcome)
    };
    let outcomes = thread::scope(|scope| {
        let press_core = &press_core;
        let threads: Vec<_> = cpus
            .iter()
            .enumerate()
            .map(|(core, cpu)| scope.spawn(move || press_core(core, *cpu)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("does not panic");
        threads.into_iter().map(join).collect::<anyhow::Result<Vec<LoadOutcome>>>()
    })?;
    let mut outcomes = outcomes.into_iter();
    let mut sum = outcomes.next().expect("there is a core");
    for outcome in outcomes {
        sum.ops += outcome.ops;
        sum.elapsed = sum.elapsed.max(outcome.elapsed);
        sum.latency_ns.add(&outcome.latency_ns)?;
    }
    Ok(sum)
}
