//! Catena's own protocol, with sessions and exactly-once numbers like any client.

mod parties;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, CounterOp, ListOp, MapOp, SessionOp, UserOp, VectorOp};
use catena_protocol::{
    Elements, FrameKind, HEADER_BYTES, Header, Hello, ObjectId, Op, ShardId, ShardMap, Status,
    UserType, Welcome, features, flags, named, user_type,
};

pub(crate) use self::parties::Meeting;
use super::{ITEM_BYTES, KEY_BYTES, Keys, Wire, Wires, Workload, divided, set_key};
use crate::multiplied::{Multiplied, Multiply};

/// What all connections to a node have in common.
#[derive(Debug)]
pub(crate) struct Node {
    address: SocketAddr,
    map: ShardMap,
    now_us: u64,
    ports: Vec<u16>,
    members: usize,
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
        let Welcome { now_us, ports, members, .. } = welcome;
        Ok(Node { address, map, now_us, ports, members: members.count() })
    }

    /// How many nodes hold everything; 0 if it is no cluster.
    pub(crate) fn members(&self) -> usize {
        self.members
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
            let caller = self.caller(workload, keys, places[core].clone(), Keys::random(seed));
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
            let caller = self.caller(workload, keys, places.clone(), Keys::random(seed));
            (Box::new(caller) as Box<dyn Wire>, self.core_address(core))
        });
        Ok(wires.collect())
    }

    /// One connection that goes through the keys one by one.
    pub(crate) fn in_turn(&self, workload: Workload, keys: u64) -> anyhow::Result<Wires> {
        ensure!(self.ports.len() == 1, "one connection reaches only one core's keys");
        let places = Rc::new(self.places(0, workload, keys)?);
        let caller = self.caller(workload, keys, places, Keys::InTurn(0));
        Ok(vec![(Box::new(caller), self.core_address(0))])
    }

    /// One connection that makes so many counters, one by one, and says what each is called.
    pub(crate) fn naming(&self, keys: u64) -> anyhow::Result<Wires> {
        ensure!(self.ports.len() == 1, "one connection reaches only one core's keys");
        let places = Rc::new(self.places(0, Workload::CounterAdd, keys)?);
        let caller = self.caller(Workload::CounterAdd, keys, places, Keys::InTurn(0));
        let caller = Caller { names: Some(Box::new(name_of("counter"))), ..caller };
        Ok(vec![(Box::new(caller), self.core_address(0))])
    }

    /// The objects of a core.
    fn places(&self, core: usize, workload: Workload, keys: u64) -> anyhow::Result<Vec<Place>> {
        let kind = match workload {
            Workload::CounterAdd => "counter".to_owned(),
            Workload::CounterMultiply => "factor".to_owned(),
            Workload::Multiply { .. } => "product".to_owned(),
            Workload::CellPut { bytes } | Workload::CellGet { bytes } => format!("cell/{bytes}"),
            Workload::VectorAdd { elements } => format!("vector/{elements}"),
            Workload::MapPut | Workload::MapGet => "map".to_owned(),
            Workload::ListPush | Workload::ListPushPop => "list".to_owned(),
        };
        let name = name_of(&kind);
        let objects = keys / workload.items(keys);
        let all = (0..objects).map(|i| ObjectId::of(&name(i)));
        let places = all.map(|object| (self.map.shard_of(object), object));
        let own = |place: &Place| usize::from(self.map.core_of(place.0)) == core;
        let places: Vec<Place> = places.filter(own).collect();
        ensure!(!places.is_empty(), "too few keys for this many cores");
        Ok(places)
    }

    fn core_address(&self, core: usize) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.ports[core])
    }

    fn caller(&self, workload: Workload, keys: u64, places: Rc<Vec<Place>>, order: Keys) -> Caller {
        Caller {
            ask: Ask::of(workload),
            keys: places.len() as u64 * workload.items(keys),
            items: workload.items(keys),
            target: Target { index: 0, place: places[0], item: 0 },
            places,
            order,
            drawn: Vec::with_capacity(DRAWN),
            names: None,
            greets: true,
            now_us: self.now_us,
            session: session(),
            progress: vec![(0, 0); self.map.shards() as usize],
            under_way: VecDeque::new(),
        }
    }
}

/// Connections that send counter adds to a server which sends back whatever it gets, so that the
/// generator does just what it does for an engine.
pub(crate) fn echoed(address: SocketAddr, keys: u64, connections: u64) -> Wires {
    let map = ShardMap::new(64, 1).expect("64 is a power of two");
    let node = Node { address, map, now_us: 0, ports: vec![address.port()], members: 0 };
    let places = node.places(0, Workload::CounterAdd, keys).expect("one core owns all keys");
    let places = Rc::new(places);
    let wires = (0..connections).map(|seed| {
        let caller = node.caller(Workload::CounterAdd, keys, places.clone(), Keys::random(seed));
        (Box::new(Caller { greets: false, ..caller }) as Box<dyn Wire>, address)
    });
    wires.collect()
}

/// What the objects of a kind are called, by number.
fn name_of(kind: &str) -> impl Fn(u64) -> String + use<> {
    let prefix = format!("catena-bench/{kind}/");
    move |number| format!("{prefix}{number}")
}

/// The id of a session that nobody else has.
fn session() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) | 1
}

/// What a connection asks, over and over.
#[derive(Debug)]
enum Ask {
    Add,
    /// By -1, so that it never overflows.
    Multiply,
    /// The archive of a [`Multiply`], likewise by -1.
    MultiplyProduct(Vec<u8>),
    Put(Vec<u8>),
    Get,
    AddVector(Vec<f64>),
    PutEntry {
        key: [u8; KEY_BYTES],
        value: [u8; ITEM_BYTES],
    },
    GetEntry {
        key: [u8; KEY_BYTES],
    },
    Push([u8; ITEM_BYTES]),
    /// Pushes and pops in turns, first pushes.
    PushPop {
        item: [u8; ITEM_BYTES],
        pops: bool,
    },
}

impl Ask {
    fn of(workload: Workload) -> Ask {
        let (key, value) = ([b'0'; KEY_BYTES], [b'x'; ITEM_BYTES]);
        match workload {
            Workload::CounterAdd => Ask::Add,
            Workload::CounterMultiply => Ask::Multiply,
            Workload::Multiply { times } => {
                let (op, mut args) = (Multiply { factor: -1.0, times }, Vec::new());
                user_type::encode_args::<Multiplied>(&op, &mut args).expect("two numbers");
                Ask::MultiplyProduct(args)
            }
            Workload::CellPut { bytes } => Ask::Put(vec![b'x'; bytes]),
            Workload::CellGet { .. } => Ask::Get,
            Workload::VectorAdd { elements } => Ask::AddVector(vec![1.0; elements]),
            Workload::MapPut => Ask::PutEntry { key, value },
            Workload::MapGet => Ask::GetEntry { key },
            Workload::ListPush => Ask::Push(value),
            // Pops after the first aim turned it.
            Workload::ListPushPop => Ask::PushPop { item: value, pops: true },
        }
    }

    /// Goes on to the next request. Answers whether that one is for an object of its own.
    fn advance(&mut self) -> bool {
        match self {
            Ask::PushPop { pops, .. } => {
                *pops = !*pops;
                !*pops
            }
            _ => true,
        }
    }

    /// Asks for this item of an object.
    fn aim(&mut self, item: u64) {
        if let Ask::PutEntry { key, .. } | Ask::GetEntry { key } = self {
            set_key(key, b'f', item);
        }
    }

    fn op(&self) -> Op<'_> {
        match *self {
            Ask::Add => Op::Counter(CounterOp::Add { delta: 1 }),
            Ask::Multiply => Op::Counter(CounterOp::Multiply { factor: -1 }),
            Ask::MultiplyProduct(ref args) => {
                Op::User(UserOp::Update { type_id: Multiplied::TYPE_ID, args })
            }
            Ask::Put(ref bytes) => Op::Cell(CellOp::Set { bytes }),
            Ask::Get => Op::Cell(CellOp::Get),
            Ask::AddVector(ref elements) => {
                Op::Vector(VectorOp::Add { elements: Elements::F64(elements) })
            }
            Ask::PutEntry { ref key, ref value } => Op::Map(MapOp::Put { key, value }),
            Ask::GetEntry { ref key } => Op::Map(MapOp::Get { key }),
            Ask::Push(ref bytes) | Ask::PushPop { item: ref bytes, pops: false } => {
                Op::List(ListOp::PushFront { bytes })
            }
            Ask::PushPop { pops: true, .. } => Op::List(ListOp::PopBack),
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, Ask::Get | Ask::GetEntry { .. })
    }
}

/// One connection.
struct Caller {
    ask: Ask,
    places: Rc<Vec<Place>>,
    /// How many keys all of them have together.
    keys: u64,
    /// How many keys one of them has.
    items: u64,
    order: Keys,
    /// Where the next requests go, the first of them last.
    drawn: Vec<Target>,
    /// Where the last request went.
    target: Target,
    /// What the objects are called, if they are to learn it.
    names: Option<Box<dyn Fn(u64) -> String>>,
    /// Whether there is anybody to say Hello to.
    greets: bool,
    now_us: u64,
    session: u64,
    /// Per shard: the last number used, and how many replies are still to come.
    progress: Vec<(u64, u16)>,
    /// The shards of the requests under way, in order.
    under_way: VecDeque<ShardId>,
}

/// What a request is for.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// Which of the places.
    index: usize,
    place: Place,
    item: u64,
}

/// So many targets are drawn at a time. Places do not fit the caches near the core, and a generator
/// that waited for each by itself would be slower than the engine.
const DRAWN: usize = 16;

impl Caller {
    fn move_on(&mut self) {
        if self.ask.advance() {
            self.target = self.drawn.pop().unwrap_or_else(|| self.draw());
            self.ask.aim(self.target.item);
        }
    }

    /// Draws the next targets and takes the first of them.
    fn draw(&mut self) -> Target {
        let Caller { keys, items, ref places, ref mut order, ref mut drawn, .. } = *self;
        drawn.extend((0..DRAWN).map(|_| {
            let key = order.below(keys);
            let (object, item) = if items == 1 { (key, 0) } else { divided(key, items) };
            let index = usize::try_from(object).expect("an index");
            Target { index, place: places[index], item }
        }));
        drawn.reverse();
        drawn.pop().expect("there are some")
    }
}

impl Wire for Caller {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        if !self.greets {
            return Ok(());
        }
        let mut shards: Vec<ShardId> = self.places.iter().map(|place| place.0).collect();
        shards.sort_unstable();
        shards.dedup();
        open_sessions(socket, self.session, self.now_us, &shards)
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        self.move_on();
        let (shard, object) = self.target.place;
        let (number, open) = &mut self.progress[usize::from(shard.0)];
        *open += 1;
        self.under_way.push_back(shard);
        let op = self.ask.op();
        let mut header =
            Header { op: op.code().to_wire(), shard, object, ..Header::new(FrameKind::Request) };
        if !self.ask.is_read() {
            *number += 1;
            header.session = self.session;
            header.number = *number;
            header.acked_gap = *open;
        }
        let written = match &self.names {
            None => frame::write(out, &header, |out| op.encode(out)),
            Some(name) => {
                header.flags = flags::NAMED;
                frame::write(out, &header, |out| {
                    named::put(&name(self.target.index as u64), out);
                    op.encode(out);
                })
            }
        };
        written.expect("values are below 16 MiB");
    }

    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        let Some(len) = reply_len(bytes)? else { return Ok(None) };
        let shard = self.under_way.pop_front().context("a reply to nothing")?;
        self.progress[usize::from(shard.0)].1 -= 1;
        Ok(Some(len))
    }
}

/// How long the reply is that `bytes` begin with, or `None` if it is not all there. Like the other
/// protocols' parsers, this one looks only for length and outcome.
fn reply_len(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
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
    Ok(Some(len))
}

fn status(frame: &[u8]) -> u16 {
    u16::from_le_bytes([frame[10], frame[11]])
}

/// Says Hello, and begins a session in each of these shards.
fn open_sessions(
    socket: &mut TcpStream,
    session: u64,
    now_us: u64,
    shards: &[ShardId],
) -> anyhow::Result<()> {
    hello(socket)?;
    let mut out = Vec::new();
    let open = Op::Session(SessionOp::Open { born_us: now_us, nonce: session, ttl_ms: 0 });
    for shard in shards {
        let mut header = Header::new(FrameKind::Request);
        header.op = open.code().to_wire();
        header.shard = *shard;
        header.session = session;
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
