//! `catena-bench latency`: one request at a time, asleep and spinning, and then under growing load
//! in the open loop, where a stall counts for every request that was due during it.

use crate::args::CommonArgs;
use crate::contest::{Contender, contest};
use crate::deliver::deliver;
use crate::load::Pressure;
use crate::record::{Axis, RunRecord};
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

/// Measure how long a request takes.
#[derive(Debug, clap::Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Let the spinning engine poll this long before it sleeps, in microseconds.
    #[arg(long, default_value_t = 50)]
    spin: u64,
}

/// What is measured one request at a time.
const ALONE: [Workload; 3] =
    [Workload::CounterAdd, Workload::CellPut { bytes: 1_024 }, Workload::CellGet { bytes: 1_024 }];

/// Percentages of the rate of the closed loop.
const LOADS: [u32; 5] = [10, 25, 50, 75, 90];

pub(crate) fn run(args: &LatencyArgs) -> anyhow::Result<()> {
    let servers = servers(args)?;
    args.common.pin_load()?;
    let mut record = RunRecord::new("latency");
    one_at_a_time(args, &servers, &mut record)?;
    under_load(args, &servers[0], &mut record)?;
    deliver(&record, args.common.json.as_ref())
}

/// Starts the servers, first the one that sleeps. The nodes of the chain share its cpu.
fn servers(args: &LatencyArgs) -> anyhow::Result<Vec<Server>> {
    let cpu = args.common.engine_cpu;
    let asleep = Server::engine(&[cpu], 0)?;
    let mut spinning = Server::engine(&[cpu], args.spin)?;
    spinning.name = format!("catena, spin {}", args.spin);
    let pair = Server::chain(&[cpu; 2], 0)?;
    Ok(vec![asleep, spinning, pair])
}

fn one_at_a_time(
    args: &LatencyArgs,
    servers: &[Server],
    record: &mut RunRecord,
) -> anyhow::Result<()> {
    let timing = args.common.timing();
    for workload in ALONE {
        for (spin, waiting) in [(false, "client sleeps"), (true, "client spins")] {
            let plan = LoadPlan { workload, keys: 10_000, connections: 1 };
            let mut contenders = servers
                .iter()
                .map(|server| Contender::new(server, &plan))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let pressure = Pressure { spin, ..timing.pressure(1) };
            let measure = format!("{}_1x1, {waiting}", workload.name());
            for series in contest(&mut contenders, &pressure, timing.rounds)? {
                record.samples.push(series.sample(&measure));
            }
        }
    }
    Ok(())
}

fn under_load(args: &LatencyArgs, server: &Server, record: &mut RunRecord) -> anyhow::Result<()> {
    let timing = args.common.timing();
    let plan = LoadPlan { workload: Workload::CounterAdd, keys: 100_000, connections: 16 };
    let mut contenders = [Contender::new(server, &plan)?];
    // Not pipelined, like functions: each has one request under way unless it falls behind.
    let closed = contest(&mut contenders, &timing.pressure(1), timing.rounds)?;
    let most = crate::stats::median(&closed[0].rate);
    for percent in LOADS {
        let rate = most * f64::from(percent) / 100.0;
        let pressure = Pressure { rate: Some(rate), ..timing.pressure(32) };
        for series in contest(&mut contenders, &pressure, timing.rounds)? {
            record.samples.push(series.sample("counter_add_16 at a rate").at(Axis::Rate, rate));
        }
    }
    Ok(())
}
