//! `catena-bench sync`: how long it takes until all parties have met.
//!
//! Parties are connections of the one load generator, each with one request under way: all arrive,
//! and when the last has, all are answered and arrive again. So a round takes what the engine and
//! the generator need for that many requests and replies, and no party is late.

use crate::args::Common;
use crate::contest::Series;
use crate::load::{Load, Outcome, Pressure};
use crate::record::{Record, Sample};
use crate::server::Server;
use crate::stats::{median, spread};
use crate::wire::catena::{Meeting, Node};

/// Measures barriers and reductions with 2 to 1,000 parties.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

    /// How many parties meet; can be given several times.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2,8,32,100,320,1000")]
    parties: Vec<u32>,
}

/// A barrier, and the all-reduce step with a small and a k-means-sized vector (25 clusters of 100
/// dimensions, their counts and the cost).
const MEETINGS: [(&str, Meeting); 3] = [
    ("barrier", Meeting::Barrier),
    ("reduction of 8 f64", Meeting::Reduction { elements: 8 }),
    ("reduction of 2,525 f64", Meeting::Reduction { elements: 2_525 }),
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let server = Server::engine(&[args.common.engine_cpu], 0)?;
    args.common.pin_load()?;
    let node = Node::at(server.address)?;
    let timing = args.common.timing();
    let mut record = Record::new("sync");
    for (name, meeting) in MEETINGS {
        for parties in &args.parties {
            let mut series = Series::new(&server.name)?;
            for round in 0..timing.rounds {
                let object = format!("catena-bench/{name}/{parties}/{round}");
                let mut load = Load::open(node.parties(meeting, &object, *parties))?;
                series.add(&meet(&mut load, *parties, timing.pressure(1), &server)?)?;
                // The parties still on their way never meet again: the connections just end.
            }
            record.samples.push(sample(name, *parties, &series));
        }
    }
    record.notes.push("semaphore, future: not measured, this engine has none yet".to_owned());
    record.deliver(args.common.json.as_ref())
}

/// Presses, and longer if that was too short for a few rounds: many parties with large vectors take
/// as long as they take.
fn meet(
    load: &mut Load,
    parties: u32,
    pressure: Pressure,
    server: &Server,
) -> anyhow::Result<Outcome> {
    let mut pressure = pressure;
    loop {
        let outcome = load.press(&pressure, &|| server.cpu())?;
        if outcome.ops >= 4 * u64::from(parties) {
            return Ok(outcome);
        }
        pressure.measure *= 2;
    }
}

/// Time for a round: each party's request is one op.
fn sample(name: &str, parties: u32, series: &Series) -> Sample {
    let us: Vec<f64> = series.rate.iter().map(|rate| 1e6 * f64::from(parties) / rate).collect();
    Sample {
        unit: "µs/round".to_owned(),
        value: median(&us),
        spread: spread(&us),
        ..series.sample(&format!("{name}, {parties} parties"), Some(parties.into()))
    }
}
