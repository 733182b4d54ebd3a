//! `catena-bench sync`: how long it takes until all parties have met, or each has had its turn.
//!
//! Parties are connections of the one load generator, each with one request under way. No party is
//! late, and none pauses in between, so a round takes what the engine and the generator need for
//! that many requests and replies, and the wake-ups between them.

use crate::args::CommonArgs;
use crate::contest::Series;
use crate::deliver::deliver;
use crate::load::{Load, LoadOutcome, Pressure};
use crate::record::{Axis, RunRecord, Sample};
use crate::server::Server;
use crate::wire::catena::{MeetingKind, NodeTopology};

/// Measure barriers, reductions, semaphores, locks and futures with 2 to 1,000 parties.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Let this many parties meet; can be given several times.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "2,8,32,100,320,1000",
        value_parser = clap::value_parser!(u32).range(2..=8_000)
    )]
    parties: Vec<u32>,

    /// Measure only what begins with this: barrier, reduction, semaphore, lock, future.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    measure: String,
}

/// The all-reduce step comes with a small vector and one of the size that k-means has: 25 clusters
/// of 100 dimensions, their counts.
pub(crate) const MEETINGS: [(&str, MeetingKind); 6] = [
    ("barrier", MeetingKind::Barrier),
    ("reduction of 8 f64", MeetingKind::Reduction { elements: 8 }),
    ("reduction of 2,525 f64", MeetingKind::Reduction { elements: 2_525 }),
    ("semaphore", MeetingKind::Semaphore),
    ("lock", MeetingKind::Lock),
    ("future", MeetingKind::Future),
];

pub(crate) fn run(args: &SyncArgs) -> anyhow::Result<()> {
    args.common.pin_load()?;
    let timing = args.common.timing();
    let mut record = RunRecord::new("sync");
    for (name, meeting) in MEETINGS {
        if !name.starts_with(&args.measure) {
            continue;
        }
        // One each, so that the sessions of one do not weigh on the next.
        let server = Server::engine(&[args.common.engine_cpu], 0)?;
        let node = NodeTopology::at(server.address)?;
        for parties in &args.parties {
            let mut series = Series::new(&server.name)?;
            for round in 0..timing.rounds {
                let object = format!("catena-bench/{name}/{parties}/{round}");
                let mut load = Load::open(node.parties(meeting, &object, *parties))?;
                series.add(&meet(&mut load, *parties, timing.pressure(1), &server)?)?;
                // The parties that are under way never meet again: the connections just end.
            }
            record.samples.push(sample(name, *parties, &series));
        }
    }
    deliver(&record, args.common.json.as_ref())
}

/// Presses, and again for longer if that was too short for four rounds.
fn meet(
    load: &mut Load,
    parties: u32,
    pressure: Pressure,
    server: &Server,
) -> anyhow::Result<LoadOutcome> {
    let mut pressure = pressure;
    loop {
        let outcome = load.press(&pressure, &|| server.cpu())?;
        if outcome.ops >= 4 * u64::from(parties) {
            return Ok(outcome);
        }
        pressure.measure *= 2;
    }
}

/// Returns the time of a round, in which every party has had one reply.
fn sample(name: &str, parties: u32, series: &Series) -> Sample {
    let us: Vec<f64> = series.rate.iter().map(|rate| 1e6 * f64::from(parties) / rate).collect();
    let (latency_us, cpu_ns) = (series.latency(), series.cpu());
    let sample = Sample::new(name, &series.server, "µs/round", &us);
    Sample { latency_us, cpu_ns, ..sample.at(Axis::Parties, parties.into()) }
}
