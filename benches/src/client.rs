//! `catena-bench client`: `catena-client` beside `redis-rs`, each with one thread and one
//! connection.
//!
//! Both send batches: as many ops as the depth says go into a pipeline, and the next batch is built
//! when all replies have come. That is how the pipelines of both clients work; `peers` instead
//! keeps the depth in flight, with a load generator that is no client. Building the batch, names
//! included, and checking every reply is part of the measure. Objects and keys exist, and handles
//! and the text of keys are made before, as a program would that uses them more than once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_client::{Cell, Client, Counter, Map};
use catena_protocol::op::{CellOp, CounterOp, MapOp};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::args::CommonArgs;
use crate::contest::Series;
use crate::deliver::deliver;
use crate::load::LoadOutcome;
use crate::peer_server::PeerServer;
use crate::record::{Row, RunRecord};
use crate::server::Server;
use crate::stats::{Paired, median};
use crate::wire::{ITEM_BYTES, KeyOrder, LoadPlan, Workload, divided, key_name};

const EXAMPLES: &str = "\
Examples:
  catena-bench client                          all depths, beside redis-rs on each Redis there is
  catena-bench client --depth 32 --measure counter";

/// Compare `catena-client` with `redis-rs`: throughput, and the client's own cpu time for an op.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClientArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Put this many ops into a pipeline; can be given several times.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,32,256,4096")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    depth: Vec<u32>,

    /// Measure only what begins with this: counter, cell, map.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    measure: String,

    /// Use at most this many keys; large values get fewer.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
}

const WORKLOADS: [Workload; 3] =
    [Workload::CounterAdd, Workload::CellPut { bytes: 1_024 }, Workload::MapPut];

pub(crate) fn run(args: &ClientArgs) -> anyhow::Result<()> {
    let cpu = args.common.engine_cpu;
    let mut record = RunRecord::new("client");
    let ours = Server::engine(&[cpu], 0)?;
    let dir = &args.common.peers_dir;
    let peers = Server::peers(&PeerServer::REDISES, cpu, dir, &mut record.notes)?;
    args.common.pin_load()?;
    for workload in WORKLOADS {
        if !workload.name().starts_with(&args.measure) {
            continue;
        }
        let plan = LoadPlan { workload, keys: args.keys, connections: 1 };
        let keys = ours.dialect.keys(&plan);
        let client = Client::connect(ours.address)?;
        ours.fill(&plan)?;
        let mut clients = vec![MeasuredClient {
            name: "catena-client".to_owned(),
            server: &ours,
            batches: Box::new(CatenaBatches::new(&client, workload, keys)),
        }];
        for peer in &peers {
            peer.fill(&plan)?;
            clients.push(MeasuredClient {
                name: format!("redis-rs, {}", peer.name),
                server: peer,
                batches: Box::new(RedisBatches::connect(peer.address, workload, keys)?),
            });
        }
        for depth in &args.depth {
            let rounds = contest(&mut clients, *depth as usize, args)?;
            let measure = format!("client_{}_1x{depth}", workload.name());
            let (us, others) = rounds.split_first().context("our client takes part")?;
            for other in others {
                record.rows.push(us.series.rate_row(&measure, &other.series));
                record.rows.push(us.cpu_row(&measure, other));
            }
            if others.is_empty() {
                record.samples.extend(rounds.iter().map(|rounds| rounds.series.sample(&measure)));
            }
        }
    }
    record.notes.push("`client cpu`: cpu time of the client's thread for an op".to_owned());
    deliver(&record, args.common.json.as_ref())
}

/// A client that takes part, with its connection.
struct MeasuredClient<'a> {
    name: String,
    server: &'a Server,
    batches: Box<dyn PipelineBatches + 'a>,
}

/// A client that sends batches of one op.
trait PipelineBatches {
    /// Sends a pipeline of this many ops, and checks all replies.
    fn send(&mut self, depth: usize) -> anyhow::Result<()>;
}

/// The results of one client, round by round.
struct ClientRounds {
    series: Series,
    /// Cpu time of the client's thread for one op, in nanoseconds.
    client_cpu_ns: Vec<f64>,
}

impl ClientRounds {
    /// Compares the cpu time of the clients.
    fn cpu_row(&self, measure: &str, theirs: &ClientRounds) -> Row {
        let Paired { ratio, spread } = Paired::of(&self.client_cpu_ns, &theirs.client_cpu_ns);
        Row {
            measure: format!("{measure}, client cpu"),
            peer: theirs.series.server.clone(),
            unit: "ns/op".to_owned(),
            ours: median(&self.client_cpu_ns),
            theirs: median(&theirs.client_cpu_ns),
            ratio,
            spread,
            ours_cpu_ns: None,
            theirs_cpu_ns: None,
        }
    }
}

/// Lets every client take its turn in every round, in one order and then in the other.
fn contest(
    clients: &mut [MeasuredClient<'_>],
    depth: usize,
    args: &ClientArgs,
) -> anyhow::Result<Vec<ClientRounds>> {
    let timing = args.common.timing();
    let pressure = timing.pressure(depth);
    let mut all = clients
        .iter()
        .map(|client| {
            Ok(ClientRounds { series: Series::new(&client.name)?, client_cpu_ns: Vec::new() })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    for round in 0..timing.rounds {
        let mut order: Vec<usize> = (0..clients.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for i in order {
            let MeasuredClient { name, server, batches } = &mut clients[i];
            let press = press(&mut **batches, depth, pressure.warm_up, pressure.measure, server);
            let (outcome, client_cpu) = press.with_context(|| name.clone())?;
            all[i].series.add(&outcome)?;
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            let ns = client_cpu.as_nanos() as f64 / outcome.ops as f64;
            all[i].client_cpu_ns.push(ns);
        }
    }
    Ok(all)
}

/// Sends batches, and measures; also the cpu time of this thread. The latency is that of a batch.
fn press(
    batches: &mut dyn PipelineBatches,
    depth: usize,
    warm_up: Duration,
    measure: Duration,
    server: &Server,
) -> anyhow::Result<(LoadOutcome, Duration)> {
    let start = Instant::now();
    while start.elapsed() < warm_up {
        batches.send(depth)?;
    }
    let mut latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    let (server_cpu, client_cpu, begin) = (server.cpu(), thread_cpu(), Instant::now());
    let (mut ops, mut now) = (0, begin);
    while now - begin < measure {
        batches.send(depth)?;
        ops += depth as u64;
        let end = Instant::now();
        let ns = u64::try_from((end - now).as_nanos()).unwrap_or(u64::MAX);
        latency_ns.saturating_record(ns);
        now = end;
    }
    let client_cpu = thread_cpu() - client_cpu;
    let server_cpu = server_cpu.zip(server.cpu()).map(|(before, after)| after - before);
    Ok((LoadOutcome { ops, elapsed: now - begin, latency_ns, server_cpu }, client_cpu))
}

/// Returns the cpu time of this thread so far.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("time since the thread began");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below a second"))
}

/// The keys of the entries in a map.
fn fields(workload: Workload, keys: u64) -> Vec<String> {
    (0..workload.items(keys)).map(|item| key_name(b'f', item)).collect()
}

fn value(workload: Workload) -> Vec<u8> {
    match workload {
        Workload::CellPut { bytes } => vec![b'x'; bytes],
        _ => vec![b'x'; ITEM_BYTES],
    }
}

/// Draws an object and an item of it.
fn draw(order: &mut KeyOrder, keys: u64, items: usize) -> (usize, usize) {
    let (object, item) = divided(order.below(keys), items as u64);
    let index = |number| usize::try_from(number).expect("an index");
    (index(object), index(item))
}

/// `catena-client` with its `Pipeline`.
struct CatenaBatches<'c> {
    client: &'c Client,
    handles: Handles,
    fields: Vec<String>,
    value: Vec<u8>,
    keys: u64,
    order: KeyOrder,
}

enum Handles {
    Counters(Vec<Counter>),
    Cells(Vec<Cell>),
    Maps(Vec<Map>),
}

impl<'c> CatenaBatches<'c> {
    fn new(client: &'c Client, workload: Workload, keys: u64) -> CatenaBatches<'c> {
        let fields = fields(workload, keys);
        let objects = 0..keys / fields.len() as u64;
        let names = objects.map(|number| key_name(workload.key_prefix(), number));
        let handles = match workload {
            Workload::CellPut { .. } => {
                Handles::Cells(names.map(|name| client.cell(&name)).collect())
            }
            Workload::MapPut => Handles::Maps(names.map(|name| client.map(&name)).collect()),
            _ => Handles::Counters(names.map(|name| client.counter(&name)).collect()),
        };
        let (value, order) = (value(workload), KeyOrder::random(0));
        CatenaBatches { client, handles, fields, value, keys, order }
    }
}

impl PipelineBatches for CatenaBatches<'_> {
    fn send(&mut self, depth: usize) -> anyhow::Result<()> {
        let CatenaBatches { client, handles, fields, value: bytes, keys, order } = self;
        let mut pipeline = client.pipeline();
        for _ in 0..depth {
            let (object, item) = draw(order, *keys, fields.len());
            match handles {
                Handles::Counters(counters) => {
                    pipeline.push(&counters[object], CounterOp::Add { delta: 1 })
                }
                Handles::Cells(cells) => pipeline.push(&cells[object], CellOp::Set { bytes }),
                Handles::Maps(maps) => {
                    let put = MapOp::Put { key: fields[item].as_bytes(), value: bytes };
                    pipeline.push(&maps[object], put)
                }
            };
        }
        let replies = pipeline.run().all_ok()?;
        anyhow::ensure!(replies.len() == depth, "expected {depth} replies, got {}", replies.len());
        Ok(())
    }
}

/// `redis-rs` with its `Pipeline`.
struct RedisBatches {
    connection: redis::Connection,
    /// Reused, as it can be.
    pipeline: redis::Pipeline,
    workload: Workload,
    names: Vec<String>,
    fields: Vec<String>,
    value: Vec<u8>,
    keys: u64,
    order: KeyOrder,
}

impl RedisBatches {
    fn connect(address: SocketAddr, workload: Workload, keys: u64) -> anyhow::Result<RedisBatches> {
        use redis::IntoConnectionInfo;
        let info = format!("redis://{address}").into_connection_info()?;
        // As in our client.
        let info = info.set_tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true));
        let fields = fields(workload, keys);
        let objects = 0..keys / fields.len() as u64;
        Ok(RedisBatches {
            connection: redis::Client::open(info)?.get_connection()?,
            pipeline: redis::Pipeline::new(),
            workload,
            names: objects.map(|number| key_name(workload.key_prefix(), number)).collect(),
            fields,
            value: value(workload),
            keys,
            order: KeyOrder::random(0),
        })
    }
}

impl PipelineBatches for RedisBatches {
    fn send(&mut self, depth: usize) -> anyhow::Result<()> {
        let RedisBatches { connection, pipeline, workload, names, fields, value, .. } = self;
        pipeline.clear();
        for _ in 0..depth {
            let (object, item) = draw(&mut self.order, self.keys, fields.len());
            let name = &*names[object];
            match workload {
                Workload::CellPut { .. } => pipeline.cmd("SET").arg(name).arg(&**value),
                Workload::MapPut => {
                    pipeline.cmd("HSET").arg(name).arg(&*fields[item]).arg(&**value)
                }
                _ => pipeline.cmd("INCR").arg(name),
            };
        }
        let replies: Vec<redis::Value> = pipeline.query(connection)?;
        anyhow::ensure!(replies.len() == depth, "expected {depth} replies, got {}", replies.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use catena_engine::Engine;

    use super::*;

    #[test]
    fn our_client_sends_batches_of_every_op() {
        let engine = Engine::builder().cores(1).start().unwrap();
        let client = Client::connect(engine.addresses()[0]).unwrap();
        for workload in WORKLOADS {
            let mut batches = CatenaBatches::new(&client, workload, 2_000);
            for depth in [1, 3, 300] {
                batches.send(depth).unwrap();
            }
        }
        assert!(client.counter("c000000000").get().is_ok());
        assert!(thread_cpu() > Duration::ZERO);
    }
}
