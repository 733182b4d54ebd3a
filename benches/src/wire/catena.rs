//! Catena's own protocol, with sessions and exactly-once numbers like any client.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Loss, ReduceOp, ReductionOp, SessionOp,
    VectorOp,
};
use catena_protocol::{
    Elements, FrameKind, HEADER_BYTES, Header, Hello, ObjectId, Op, ShardId, ShardMap, Status,
    Welcome, features,
};

use super::{Keys, Wire, Wires, Workload};

/// What all connections to a node have in common.
#[derive(Debug)]
pub(crate) struct Node {
    address: SocketAddr,
    map: ShardMap,
    now_us: u64,
    ports: Vec<u16>,
}

/// Where an object is.
type Place = (ShardId, ObjectId);

impl Node {
    /// Asks a node for its topology.
    pub(crate) fn at(address: SocketAddr) -> anyhow::Result<Node> {
        let mut socket = TcpStream::connect(address)
            .with_context(|| format!("no engine answers at {address}"))?;
        let welcome = hello(&mut socket)?;
        let map = welcome.shard_map().context("the engine's topology makes no sense")?;
        Ok(Node { address, map, now_us: welcome.now_us, ports: welcome.ports })
    }

    /// Connections spread over the node's cores, each with the core's keys in random order.
    pub(crate) fn wires(
        &self,
        workload: Workload,
        keys: u64,
        connections: u64,
    ) -> anyhow::Result<Wires> {
        let cores = self.ports.len();
        let places = (0..cores)
            .map(|core| self.places(core, workload, keys).map(Rc::new))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let wires = (0..connections).map(|seed| {
            let core = usize::try_from(seed).expect("few connections") % cores;
            let caller = self.caller(Ask::of(workload), places[core].clone(), Keys::random(seed));
            (Box::new(caller) as Box<dyn Wire>, self.core_address(core))
        });
        Ok(wires.collect())
    }

    /// The connections to one core.
    pub(crate) fn wires_to_core(
        &self,
        core: usize,
        workload: Workload,
        keys: u64,
        connections: u64,
    ) -> anyhow::Result<Wires> {
        let places = Rc::new(self.places(core, workload, keys)?);
        let wires = (0..connections).map(|seed| {
            let caller = self.caller(Ask::of(workload), places.clone(), Keys::random(seed));
            (Box::new(caller) as Box<dyn Wire>, self.core_address(core))
        });
        Ok(wires.collect())
    }

    /// One connection that goes through the keys one by one.
    pub(crate) fn in_turn(&self, workload: Workload, keys: u64) -> anyhow::Result<Wires> {
        ensure!(self.ports.len() == 1, "one connection reaches only one core's keys");
        let places = Rc::new(self.places(0, workload, keys)?);
        let caller = self.caller(Ask::of(workload), places, Keys::InTurn(0));
        Ok(vec![(Box::new(caller), self.core_address(0))])
    }

    /// One connection for each of so many parties that meet at one object.
    pub(crate) fn parties(&self, meeting: Meeting, name: &str, parties: u32) -> Wires {
        let object = ObjectId::of(name);
        let shard = self.map.shard_of(object);
        let address = self.core_address(self.map.core_of(shard).into());
        let places = Rc::new(vec![(shard, object)]);
        let wires = (0..parties).map(|party| {
            let ask = match meeting {
                Meeting::Barrier => {
                    Ask::Arrive { name: format!("party-{party}"), parties, generation: 0 }
                }
                Meeting::Reduction { elements } => {
                    Ask::Contribute { party, parties, round: 0, elements: vec![1.0; elements] }
                }
            };
            let caller = self.caller(ask, places.clone(), Keys::InTurn(0));
            (Box::new(caller) as Box<dyn Wire>, address)
        });
        wires.collect()
    }

    /// The keys that a core owns.
    fn places(&self, core: usize, workload: Workload, keys: u64) -> anyhow::Result<Vec<Place>> {
        let kind = match workload {
            Workload::CounterAdd => "counter".to_owned(),
            Workload::CounterMultiply => "factor".to_owned(),
            Workload::CellPut { bytes } | Workload::CellGet { bytes } => format!("cell/{bytes}"),
            Workload::VectorAdd { elements } => format!("vector/{elements}"),
        };
        let all = (0..keys).map(|i| ObjectId::of(&format!("catena-bench/{kind}/{i}")));
        let places = all.map(|object| (self.map.shard_of(object), object));
        let own = |place: &Place| usize::from(self.map.core_of(place.0)) == core;
        let places: Vec<Place> = places.filter(own).collect();
        ensure!(!places.is_empty(), "too few keys for this many cores");
        Ok(places)
    }

    fn core_address(&self, core: usize) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.ports[core])
    }

    fn caller(&self, ask: Ask, places: Rc<Vec<Place>>, order: Keys) -> Caller {
        use std::hash::{BuildHasher, RandomState};
        Caller {
            ask,
            places,
            order,
            greets: true,
            now_us: self.now_us,
            session: RandomState::new().hash_one(0) | 1,
            progress: vec![(0, 0); self.map.shards() as usize],
            under_way: VecDeque::new(),
        }
    }
}

/// Connections that send counter adds to a server which sends back whatever it gets, so that the
/// generator does just what it does for an engine.
pub(crate) fn echoed(address: SocketAddr, keys: u64, connections: u64) -> Wires {
    let map = ShardMap::new(64, 1).expect("64 is a power of two");
    let node = Node { address, map, now_us: 0, ports: vec![address.port()] };
    let places = node.places(0, Workload::CounterAdd, keys).expect("one core owns all keys");
    let places = Rc::new(places);
    let wires = (0..connections).map(|seed| {
        let ask = Ask::of(Workload::CounterAdd);
        let caller = node.caller(ask, places.clone(), Keys::random(seed));
        (Box::new(Caller { greets: false, ..caller }) as Box<dyn Wire>, address)
    });
    wires.collect()
}

/// Where parties meet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meeting {
    /// A barrier.
    Barrier,
    /// A sum of so many f64 from each.
    Reduction { elements: usize },
}

/// What a connection asks, over and over.
#[derive(Debug)]
enum Ask {
    Add,
    /// By -1, so that it never overflows.
    Multiply,
    Put(Vec<u8>),
    Get,
    AddVector(Vec<f64>),
    Arrive {
        name: String,
        parties: u32,
        generation: u64,
    },
    Contribute {
        party: u32,
        parties: u32,
        round: u64,
        elements: Vec<f64>,
    },
}

impl Ask {
    fn of(workload: Workload) -> Ask {
        match workload {
            Workload::CounterAdd => Ask::Add,
            Workload::CounterMultiply => Ask::Multiply,
            Workload::CellPut { bytes } => Ask::Put(vec![b'x'; bytes]),
            Workload::CellGet { .. } => Ask::Get,
            Workload::VectorAdd { elements } => Ask::AddVector(vec![1.0; elements]),
        }
    }

    fn op(&self) -> Op<'_> {
        match *self {
            Ask::Add => Op::Counter(CounterOp::Add { delta: 1 }),
            Ask::Multiply => Op::Counter(CounterOp::Multiply { factor: -1 }),
            Ask::Put(ref bytes) => Op::Cell(CellOp::Set { bytes }),
            Ask::Get => Op::Cell(CellOp::Get),
            Ask::AddVector(ref elements) => {
                Op::Vector(VectorOp::Add { elements: Elements::F64(elements) })
            }
            Ask::Arrive { ref name, parties, generation } => {
                let (hold_ms, loss) = (0, Loss::Wait);
                let arrival = Arrival { party: name, parties, generation, hold_ms, loss };
                Op::Barrier(BarrierOp::ArriveAndWait(arrival))
            }
            Ask::Contribute { party, parties, round, ref elements } => {
                let (op, elements) = (ReduceOp::Sum, Elements::F64(elements));
                let (hold_ms, loss) = (0, Loss::Wait);
                let part = Contribution { party, parties, round, op, hold_ms, loss, elements };
                Op::Reduction(ReductionOp::Contribute(part))
            }
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, Ask::Get)
    }

    /// How long it may wait inside the engine.
    fn deadline_ms(&self) -> u32 {
        match self {
            Ask::Arrive { .. } | Ask::Contribute { .. } => 60_000,
            _ => 0,
        }
    }

    /// Goes on to the next round.
    fn advance(&mut self) {
        if let Ask::Arrive { generation: round, .. } | Ask::Contribute { round, .. } = self {
            *round += 1;
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Caller {
    ask: Ask,
    places: Rc<Vec<Place>>,
    order: Keys,
    /// Whether there is anybody to say Hello to.
    greets: bool,
    now_us: u64,
    session: u64,
    /// Per shard: the last number used, and how many replies are still to come.
    progress: Vec<(u64, u16)>,
    /// The shards of the requests under way, in order.
    under_way: VecDeque<ShardId>,
}

impl Wire for Caller {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        if !self.greets {
            return Ok(());
        }
        hello(socket)?;
        let mut out = Vec::new();
        let nonce = self.session;
        let open = Op::Session(SessionOp::Open { born_us: self.now_us, nonce, ttl_ms: 0 });
        let mut shards: Vec<ShardId> = self.places.iter().map(|place| place.0).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in &shards {
            let mut header = Header::new(FrameKind::Request);
            header.op = open.code().to_wire();
            header.shard = *shard;
            header.session = self.session;
            frame::write(&mut out, &header, |out| open.encode(out))?;
        }
        socket.write_all(&out)?;
        let mut replies = vec![0; shards.len() * HEADER_BYTES as usize];
        socket.read_exact(&mut replies)?;
        for reply in replies.chunks_exact(HEADER_BYTES as usize) {
            ensure!(status(reply) == Status::Ok.to_wire(), "a session was refused");
        }
        Ok(())
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        let key = self.order.below(self.places.len() as u64);
        let (shard, object) = self.places[usize::try_from(key).expect("an index")];
        let (number, open) = &mut self.progress[usize::from(shard.0)];
        *open += 1;
        self.under_way.push_back(shard);
        let op = self.ask.op();
        let mut header = Header {
            op: op.code().to_wire(),
            deadline_ms: self.ask.deadline_ms(),
            shard,
            object,
            ..Header::new(FrameKind::Request)
        };
        if !self.ask.is_read() {
            *number += 1;
            header.session = self.session;
            header.number = *number;
            header.acked_gap = *open;
        }
        frame::write(out, &header, |out| op.encode(out)).expect("values are below 16 MiB");
        self.ask.advance();
    }

    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        // Like the other protocols' parsers, this one looks only for length and outcome.
        if bytes.len() < HEADER_BYTES as usize {
            return Ok(None);
        }
        let len = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        if bytes.len() < len {
            return Ok(None);
        }
        if status(bytes) != Status::Ok.to_wire() {
            bail!("the engine answered {:?}", Status::from_wire(status(bytes)));
        }
        let shard = self.under_way.pop_front().context("a reply to nothing")?;
        self.progress[usize::from(shard.0)].1 -= 1;
        Ok(Some(len))
    }
}

fn status(frame: &[u8]) -> u16 {
    u16::from_le_bytes([frame[10], frame[11]])
}

/// Says Hello and waits for the Welcome.
fn hello(socket: &mut TcpStream) -> anyhow::Result<Welcome> {
    let mut out = Vec::new();
    Hello { features: features::SESSIONS }.write(&mut out);
    socket.write_all(&out)?;
    // In 16-byte units, so that the archive is aligned.
    let mut received = vec![0_u128; 256];
    let mut len = 0;
    loop {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut received);
        let read = socket.read(&mut bytes[len..])?;
        ensure!(read > 0, "the engine hung up");
        len += read;
        match frame::next(&bytes[..len], FRAME_BYTES_MAX)? {
            Next::Partial { .. } => {}
            Next::Frame(frame) => {
                frame.expect_kind(FrameKind::Welcome)?;
                return Ok(Welcome::decode(frame.body)?);
            }
        }
    }
}
