//! `catena-bench peers`: the same operations, the same load generator, the same cpu, in turns.

use crate::args::CommonArgs;
use crate::contest::{Contender, Series, contest};
use crate::deliver::deliver;
use crate::load::Pressure;
use crate::multiplied::COMPLEX_TIMES;
use crate::peer_server::PeerServer;
use crate::record::RunRecord;
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

const EXAMPLES: &str = "\
Examples:
  benches/peers/prepare.sh                             install Valkey 9.1 and Redis 8.2
  catena-bench peers --seconds 1                       all peers that are installed
  catena-bench peers --json peers.json && catena-bench report peers.json --out report.html
  catena-bench peers --peer redis://127.0.0.1:6380     a Dragonfly or Garnet beside them";

/// Compare Catena with the servers that are installed, each on the same cpu and idle while another
/// has its turn.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PeersArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Compare also with a server that runs already: redis://HOST:PORT or memcached://HOST:PORT.
    #[arg(long, value_name = "URL")]
    peer: Vec<String>,

    /// Measure only what begins with this.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    measure: String,

    /// Use at most this many keys; large values get fewer.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
}

/// One line of the table.
struct PeerMeasure {
    workload: Workload,
    connections: u64,
    depth: usize,
    mode: MeasureMode,
}

/// What is compared, and how client and server wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MeasureMode {
    /// Operations per second; both ends sleep.
    Rate,
    /// Median latency; both ends sleep.
    P50,
    /// Median latency; the engine spins before it sleeps, and the load generator only spins.
    P50Spin,
    /// Median latency; the engine spins before it sleeps, the load generator sleeps.
    P50SpinServer,
}

/// How long the spinning engine polls before it sleeps, in microseconds.
const SPIN_US: u64 = 50;

pub(crate) fn run(args: &PeersArgs) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let mut record = RunRecord::new("peers");
    let ours = Server::engine(&[cpu], 0)?;
    let spinning = Server::engine(&[cpu], SPIN_US)?;
    let dir = &args.common.peers_dir;
    let mut peers = Server::peers(&PeerServer::ALL, cpu, dir, &mut record.notes)?;
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
        let plan = LoadPlan {
            workload: measure.workload,
            keys: args.keys,
            connections: measure.connections,
        };
        let against = peers.iter().filter(|peer| measure.suits(peer));
        let mut contenders = std::iter::once(engine)
            .chain(against)
            .map(|server| Contender::new(server, &plan))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if contenders.len() == 1 {
            continue;
        }
        let pressure = Pressure {
            spin: measure.mode == MeasureMode::P50Spin,
            ..args.common.timing().pressure(measure.depth)
        };
        let series = contest(&mut contenders, &pressure, args.common.rounds)?;
        let (us, others) = series.split_first().expect("we take part");
        record.rows.extend(others.iter().map(|other| measure.row(us, other)));
    }
    record.notes.push("with replicas, beside a Redis with WAIT: `catena-bench chain`".to_owned());
    deliver(&record, args.common.json.as_ref())
}

/// Returns the lines of the table, top to bottom.
fn measures() -> Vec<PeerMeasure> {
    let put = |bytes| Workload::CellPut { bytes };
    let get = |bytes| Workload::CellGet { bytes };
    let rate = |workload, connections, depth| PeerMeasure {
        workload,
        connections,
        depth,
        mode: MeasureMode::Rate,
    };
    let alone = |workload, mode| PeerMeasure { workload, connections: 1, depth: 1, mode };
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
        alone(Workload::CounterAdd, MeasureMode::P50),
        alone(Workload::CounterAdd, MeasureMode::P50Spin),
        alone(Workload::CounterAdd, MeasureMode::P50SpinServer),
    ]
}

impl PeerMeasure {
    /// Returns a name such as `counter_add_16x32` or `p50_1x1_spin`.
    fn name(&self) -> String {
        let size = format!("{}x{}", self.connections, self.depth);
        match self.mode {
            MeasureMode::Rate => format!("{}_{size}", self.workload.name()),
            MeasureMode::P50 => format!("p50_{size}"),
            MeasureMode::P50Spin => format!("p50_{size}_spin"),
            MeasureMode::P50SpinServer => format!("p50_{size}_spin_server"),
        }
    }

    fn engine_spins(&self) -> bool {
        matches!(self.mode, MeasureMode::P50Spin | MeasureMode::P50SpinServer)
    }

    /// Returns whether to compare with a peer. etcd serves the requests of a connection one after
    /// the other, so that deep pipelines mean nothing.
    fn suits(&self, peer: &Server) -> bool {
        let etcd = peer.dialect == crate::wire::Dialect::Etcd;
        peer.dialect.has(self.workload) && !(etcd && self.depth > 1)
    }

    fn row(&self, us: &Series, other: &Series) -> crate::record::Row {
        match self.mode {
            MeasureMode::Rate => us.rate_row(&self.name(), other),
            MeasureMode::P50 | MeasureMode::P50Spin | MeasureMode::P50SpinServer => {
                us.p50_row(&self.name(), other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_measures_are_there_by_name() {
        let names: Vec<String> = measures().iter().map(PeerMeasure::name).collect();
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
