//! `catena-bench peers`: the same operations, the same load generator, the same cpu, in turns.

use crate::args::Common;
use crate::contest::{Contender, Series, contest};
use crate::load::Pressure;
use crate::multiplied::COMPLEX_TIMES;
use crate::record::Record;
use crate::server::Server;
use crate::wire::{Plan, Workload};

const EXAMPLES: &str = "\
Examples:
  catena-bench peers --seconds 1                       whatever of redis, memcached, etcd is installed
  catena-bench peers --json peers.json && catena-bench report peers.json --out report.html
  catena-bench peers --peer redis://127.0.0.1:6380     a Valkey, Dragonfly or Garnet beside them";

/// Measures Catena against the servers that are installed, each pinned to the same cpu and idle
/// while another has its turn.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

    /// One more server that runs already: redis://HOST:PORT or memcached://HOST:PORT.
    #[arg(long, value_name = "URL")]
    peer: Vec<String>,

    /// Only the measures whose names begin with this.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    measure: String,

    /// Over how many keys, at most; large values get fewer.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
}

/// One line of the table, against every peer.
struct Measure {
    workload: Workload,
    connections: u64,
    depth: usize,
    mode: Mode,
}

/// What is compared, and how the two ends wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Operations per second; everybody sleeps.
    Rate,
    /// Median latency; everybody sleeps.
    P50,
    /// Median latency; the engine spins before it sleeps, and the load generator does not sleep.
    P50Spin,
    /// Median latency; the engine spins before it sleeps, the load generator sleeps.
    P50SpinServer,
}

/// How long the spinning engine looks for more before it sleeps, in microseconds.
const SPIN_US: u64 = 50;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let mut record = Record::new("peers");
    let ours = Server::engine(&[cpu], 0)?;
    let spinning = Server::engine(&[cpu], SPIN_US)?;
    let mut peers = Vec::new();
    for name in ["redis", "memcached", "etcd"] {
        match Server::peer(name, cpu)? {
            Some(server) => {
                record.notes.extend(server.version());
                peers.push(server);
            }
            None => record.notes.push(format!("{name}: skipped, it is not installed")),
        }
    }
    for url in &args.peer {
        peers.push(Server::running(url)?);
    }
    args.common.pin_load()?;
    for measure in measures() {
        let name = measure.name();
        if !name.starts_with(&args.measure) {
            continue;
        }
        let engine = if measure.engine_spins() { &spinning } else { &ours };
        let plan =
            Plan { workload: measure.workload, keys: args.keys, connections: measure.connections };
        let against = peers.iter().filter(|peer| measure.suits(peer));
        let mut contenders = std::iter::once(engine)
            .chain(against)
            .map(|server| Contender::new(server, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if contenders.len() == 1 {
            continue;
        }
        let pressure = Pressure {
            spin: measure.mode == Mode::P50Spin,
            ..args.common.timing().pressure(measure.depth)
        };
        let series = contest(&mut contenders, &pressure, args.common.rounds)?;
        let (us, others) = series.split_first().expect("we take part");
        record.rows.extend(others.iter().map(|other| measure.row(us, other)));
    }
    record.notes.push("replicated, beside a Redis with WAIT: `catena-bench chain`".to_owned());
    record.deliver(args.common.json.as_ref())
}

/// The table, top to bottom.
fn measures() -> Vec<Measure> {
    let put = |bytes| Workload::CellPut { bytes };
    let get = |bytes| Workload::CellGet { bytes };
    let rate =
        |workload, connections, depth| Measure { workload, connections, depth, mode: Mode::Rate };
    let alone = |workload, mode| Measure { workload, connections: 1, depth: 1, mode };
    vec![
        rate(Workload::CounterAdd, 16, 1),
        rate(Workload::CounterAdd, 64, 1),
        rate(Workload::CounterAdd, 16, 32),
        rate(Workload::CounterAdd, 64, 64),
        rate(put(16), 16, 32),
        rate(get(16), 16, 32),
        rate(put(1_024), 16, 1),
        rate(get(1_024), 16, 1),
        rate(put(1_024), 16, 32),
        rate(get(1_024), 16, 32),
        rate(put(65_536), 16, 1),
        rate(get(65_536), 16, 1),
        rate(Workload::MapPut, 16, 32),
        rate(Workload::MapGet, 16, 32),
        rate(Workload::ListPushPop, 16, 32),
        rate(Workload::Multiply { times: 1 }, 16, 32),
        rate(Workload::Multiply { times: COMPLEX_TIMES }, 16, 1),
        alone(Workload::CounterAdd, Mode::P50),
        alone(Workload::CounterAdd, Mode::P50Spin),
        alone(Workload::CounterAdd, Mode::P50SpinServer),
    ]
}

impl Measure {
    /// Such as `counter_add_16x32` and `p50_1x1_spin`.
    fn name(&self) -> String {
        let size = format!("{}x{}", self.connections, self.depth);
        match self.mode {
            Mode::Rate => format!("{}_{size}", self.workload.name()),
            Mode::P50 => format!("p50_{size}"),
            Mode::P50Spin => format!("p50_{size}_spin"),
            Mode::P50SpinServer => format!("p50_{size}_spin_server"),
        }
    }

    fn engine_spins(&self) -> bool {
        matches!(self.mode, Mode::P50Spin | Mode::P50SpinServer)
    }

    /// etcd answers the requests of a connection one after the other, so deep queues say nothing.
    fn suits(&self, peer: &Server) -> bool {
        let etcd = peer.dialect == crate::wire::Dialect::Etcd;
        peer.dialect.has(self.workload) && !(etcd && self.depth > 1)
    }

    fn row(&self, us: &Series, other: &Series) -> crate::record::Row {
        match self.mode {
            Mode::Rate => us.rate_row(&self.name(), other),
            Mode::P50 | Mode::P50Spin | Mode::P50SpinServer => us.p50_row(&self.name(), other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_measures_are_there_by_name() {
        let names: Vec<String> = measures().iter().map(Measure::name).collect();
        for promised in [
            "counter_add_16x1",
            "counter_add_64x1",
            "counter_add_16x32",
            "counter_add_64x64",
            "cell_put_1k_16x32",
            "cell_get_1k_16x32",
            "map_put_16x32",
            "p50_1x1_spin",
            "multiply_simple_16x32",
            "multiply_complex_16x1",
        ] {
            assert!(names.iter().any(|name| name == promised), "{promised} in {names:?}");
        }
    }
}
