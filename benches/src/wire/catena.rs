//! Catena's own protocol as `catena-client` uses it: sessions, exactly-once numbers, named objects.
//!
//! Differences from the client that no request shows:
//!
//! 1. All sessions are opened before the first request, so that opening them is not measured.
//! 2. A reply is checked for its length and outcome only, as those of the other protocols are.

mod parties;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, CounterOp, ListOp, MapOp, UserOp, VectorOp};
use catena_protocol::{
    Elements, FrameKind, HEADER_BYTES, Hello, ObjectId, Op, ShardId, ShardMap, Status, UserType,
    Welcome, features, user_type,
};

pub(crate) use self::parties::MeetingKind;
use super::{
    ITEM_BYTES, KEY_BYTES, KeyOrder, TakenReply, Wire, Wires, Workload, divided, key_name, set_key,
};
use crate::client_frames::{RequestHead, SessionNumbers, put_open, put_request};
use crate::multiplied::{Multiplied, Multiply};

/// What all connections to a node have in common.
#[derive(Debug)]
pub(crate) struct NodeTopology {
    address: SocketAddr,
    map: ShardMap,
    now_us: u64,
    epoch: u32,
    ports: Vec<u16>,
    members: usize,
}

/// The objects of a core.
#[derive(Debug)]
struct ObjectTable {
    prefix: u8,
    ids: Vec<ObjectId>,
    /// The number in the name of each.
    numbers: Vec<u32>,
}

impl ObjectTable {
    fn name(&self, index: u32) -> String {
        key_name(self.prefix, self.numbers[index as usize].into())
    }
}

impl NodeTopology {
    /// Asks a node for its topology.
    pub(crate) fn at(address: SocketAddr) -> anyhow::Result<NodeTopology> {
        let mut socket = TcpStream::connect(address)
            .with_context(|| format!("cannot connect to an engine at {address}"))?;
        let welcome = hello(&mut socket)?;
        let map = welcome.shard_map().context("the engine's topology makes no sense")?;
        let Welcome { now_us, epoch, ports, members, .. } = welcome;
        let members = members.count();
        let epoch = if members == 0 { epoch } else { 0 };
        Ok(NodeTopology { address, map, now_us, epoch, ports, members })
    }

    /// Returns how many members its cluster has; 0 without a cluster.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    /// Makes connections spread over the node's cores, each to the core's keys in random order.
    pub(crate) fn wires(
        &self,
        workload: Workload,
        keys: u64,
        connections: u64,
    ) -> anyhow::Result<Wires> {
        let cores = self.ports.len();
        let tables = (0..cores)
            .map(|core| self.objects(core, workload, keys))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let wires = (0..connections).map(|seed| {
            let core = usize::try_from(seed).expect("few connections") % cores;
            let order = KeyOrder::random(seed);
            let connection = self.connection(workload, keys, tables[core].clone(), order);
            (Box::new(connection) as Box<dyn Wire>, self.core_address(core))
        });
        Ok(wires.collect())
    }

    /// Makes the connections to one core.
    pub(crate) fn wires_to_core(
        &self,
        core: usize,
        workload: Workload,
        keys: u64,
        connections: u64,
    ) -> anyhow::Result<Wires> {
        let objects = self.objects(core, workload, keys)?;
        let wires = (0..connections).map(|seed| {
            let order = KeyOrder::random(seed);
            let connection = self.connection(workload, keys, objects.clone(), order);
            (Box::new(connection) as Box<dyn Wire>, self.core_address(core))
        });
        Ok(wires.collect())
    }

    /// Makes one connection that goes through the keys one by one.
    pub(crate) fn in_turn(&self, workload: Workload, keys: u64) -> anyhow::Result<Wires> {
        ensure!(self.ports.len() == 1, "one connection reaches the keys of one core only");
        let objects = self.objects(0, workload, keys)?;
        let connection = self.connection(workload, keys, objects, KeyOrder::InTurn(0));
        Ok(vec![(Box::new(connection), self.core_address(0))])
    }

    /// The objects of a core.
    fn objects(
        &self,
        core: usize,
        workload: Workload,
        keys: u64,
    ) -> anyhow::Result<Rc<ObjectTable>> {
        let prefix = workload.key_prefix();
        let mut objects = ObjectTable { prefix, ids: Vec::new(), numbers: Vec::new() };
        for number in 0..u32::try_from(keys / workload.items(keys))? {
            let id = ObjectId::of(&key_name(prefix, number.into()));
            if usize::from(self.map.core_of(self.map.shard_of(id))) == core {
                objects.ids.push(id);
                objects.numbers.push(number);
            }
        }
        ensure!(!objects.ids.is_empty(), "too few keys for this many cores");
        Ok(Rc::new(objects))
    }

    fn core_address(&self, core: usize) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.ports[core])
    }

    fn connection(
        &self,
        workload: Workload,
        keys: u64,
        objects: Rc<ObjectTable>,
        order: KeyOrder,
    ) -> CatenaConnection {
        let items = workload.items(keys);
        CatenaConnection {
            ops: OpSource::of(workload),
            keys: objects.ids.len() as u64 * items,
            items,
            last: DrawnKey { index: 0, item: 0, object: objects.ids[0] },
            // Pops after the first request turned it.
            pops: true,
            objects,
            order,
            drawn: Vec::with_capacity(DRAWN),
            is_echo: false,
            map: self.map,
            now_us: self.now_us,
            epoch: self.epoch,
            session: session(),
            numbers: vec![SessionNumbers::new(); self.map.shards() as usize],
            reads: 0,
            under_way: VecDeque::new(),
            unnamed: VecDeque::new(),
        }
    }
}

/// Makes connections that send counter adds to a server which sends back every frame, so that the
/// generator does exactly what it does for an engine.
pub(crate) fn echoed(address: SocketAddr, keys: u64, connections: u64) -> Wires {
    let map = ShardMap::new(64, 1).expect("64 is a power of two");
    let ports = vec![address.port()];
    let node = NodeTopology { address, map, now_us: 0, epoch: 0, ports, members: 0 };
    let workload = Workload::CounterAdd;
    let objects = node.objects(0, workload, keys).expect("one core owns all keys");
    let wires = (0..connections).map(|seed| {
        let order = KeyOrder::random(seed);
        let connection = node.connection(workload, keys, objects.clone(), order);
        (Box::new(CatenaConnection { is_echo: true, ..connection }) as Box<dyn Wire>, address)
    });
    wires.collect()
}

/// Draws the id of a session that no other client has.
fn session() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) | 1
}

/// Generates the ops of a workload.
#[derive(Debug)]
enum OpSource {
    Add,
    /// By -1, so that it never overflows.
    Multiply,
    /// The archive of a [`Multiply`], also by -1.
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
    PushPop([u8; ITEM_BYTES]),
}

impl OpSource {
    fn of(workload: Workload) -> OpSource {
        let (key, value) = ([b'0'; KEY_BYTES], [b'x'; ITEM_BYTES]);
        match workload {
            Workload::CounterAdd => OpSource::Add,
            Workload::CounterMultiply => OpSource::Multiply,
            Workload::Multiply { times } => {
                let (op, mut args) = (Multiply { factor: -1.0, times }, Vec::new());
                user_type::encode_args::<Multiplied>(&op, &mut args).expect("two numbers");
                OpSource::MultiplyProduct(args)
            }
            Workload::CellPut { bytes } => OpSource::Put(vec![b'x'; bytes]),
            Workload::CellGet { .. } => OpSource::Get,
            Workload::VectorAdd { elements } => OpSource::AddVector(vec![1.0; elements]),
            Workload::MapPut => OpSource::PutEntry { key, value },
            Workload::MapGet => OpSource::GetEntry { key },
            Workload::ListPush => OpSource::Push(value),
            Workload::ListPushPop => OpSource::PushPop(value),
        }
    }

    /// Returns the op for this item of an object; `pops` chooses the end of [`OpSource::PushPop`].
    fn op(&mut self, item: u32, pops: bool) -> Op<'_> {
        if let OpSource::PutEntry { key, .. } | OpSource::GetEntry { key } = self {
            set_key(key, b'f', item.into());
        }
        match *self {
            OpSource::Add => Op::Counter(CounterOp::Add { delta: 1 }),
            OpSource::Multiply => Op::Counter(CounterOp::Multiply { factor: -1 }),
            OpSource::MultiplyProduct(ref args) => {
                Op::User(UserOp::Update { type_id: Multiplied::TYPE_ID, args })
            }
            OpSource::Put(ref bytes) => Op::Cell(CellOp::Set { bytes }),
            OpSource::Get => Op::Cell(CellOp::Get),
            OpSource::AddVector(ref elements) => {
                Op::Vector(VectorOp::Add { elements: Elements::F64(elements) })
            }
            OpSource::PutEntry { ref key, ref value } => Op::Map(MapOp::Put { key, value }),
            OpSource::GetEntry { ref key } => Op::Map(MapOp::Get { key }),
            OpSource::PushPop(_) if pops => Op::List(ListOp::PopBack),
            OpSource::Push(ref bytes) | OpSource::PushPop(ref bytes) => {
                Op::List(ListOp::PushFront { bytes })
            }
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, OpSource::Get | OpSource::GetEntry { .. })
    }
}

/// One connection.
struct CatenaConnection {
    ops: OpSource,
    objects: Rc<ObjectTable>,
    /// How many keys all objects have together.
    keys: u64,
    /// How many keys each object has.
    items: u64,
    order: KeyOrder,
    /// The keys of the next requests, the first of them last.
    drawn: Vec<DrawnKey>,
    /// The key of the last request.
    last: DrawnKey,
    /// Whether the last request of a [`OpSource::PushPop`] popped.
    pops: bool,
    /// The server sends back every frame, and knows no sessions.
    is_echo: bool,
    map: ShardMap,
    now_us: u64,
    epoch: u32,
    session: u64,
    /// By shard.
    numbers: Vec<SessionNumbers>,
    /// How many reads there were.
    reads: u64,
    /// Requests without a reply, in the order in which they were sent.
    under_way: VecDeque<SentRequest>,
    /// Updates that the server refused because it wants the name of their object. As in the client,
    /// all others get their reply first; then these are sent again with the name, in their order.
    unnamed: VecDeque<SentRequest>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
struct DrawnKey {
    object: ObjectId,
    /// The place of the object in the table.
    index: u32,
    item: u32,
}

/// What is remembered of a request, so that it can be sent again.
#[derive(Clone, Copy, Debug)]
struct SentRequest {
    number: u64,
    index: u32,
    item: u32,
    shard: ShardId,
    pops: bool,
    is_named: bool,
}

/// How many keys are drawn at a time. Ids do not fit the caches near the core, and a generator that
/// waited for each separately would be slower than the engine.
const DRAWN: usize = 16;

impl CatenaConnection {
    /// Chooses the object, item and end of the next request.
    fn move_on(&mut self) {
        if let OpSource::PushPop(_) = self.ops {
            self.pops = !self.pops;
            if self.pops {
                // From the list that was just pushed to.
                return;
            }
        }
        self.last = self.drawn.pop().unwrap_or_else(|| self.draw());
    }

    /// Draws the next keys and takes the first of them.
    fn draw(&mut self) -> DrawnKey {
        let CatenaConnection { keys, items, ref objects, ref mut order, ref mut drawn, .. } = *self;
        drawn.extend((0..DRAWN).map(|_| {
            let key = order.below(keys);
            let (index, item) = if items == 1 { (key, 0) } else { divided(key, items) };
            let small = |number| u32::try_from(number).expect("keys are fewer than 2^32");
            let at = usize::try_from(index).expect("an index");
            DrawnKey { object: objects.ids[at], index: small(index), item: small(item) }
        }));
        drawn.reverse();
        drawn.pop().expect("there are some")
    }

    /// Appends a request and notes that it is under way.
    fn send(&mut self, out: &mut Vec<u8>, object: ObjectId, sent: SentRequest) {
        let is_read = self.ops.is_read();
        let SentRequest { number, shard, .. } = sent;
        let (session, acked_gap) = match is_read {
            true => (0, 0),
            false => (self.session, self.numbers[usize::from(shard.0)].acked_gap(number)),
        };
        let (epoch, deadline_ms) = (self.epoch, 0);
        let head = RequestHead { epoch, shard, object, session, number, acked_gap, deadline_ms };
        let name = sent.is_named.then(|| self.objects.name(sent.index));
        put_request(out, &head, name.as_deref(), &self.ops.op(sent.item, sent.pops));
        self.under_way.push_back(sent);
    }
}

impl Wire for CatenaConnection {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        if self.is_echo {
            return Ok(());
        }
        hello(socket)?;
        if self.ops.is_read() {
            return Ok(());
        }
        let mut is_needed = vec![false; self.numbers.len()];
        for id in &self.objects.ids {
            is_needed[usize::from(self.map.shard_of(*id).0)] = true;
        }
        let shards = (0..).map(ShardId).zip(is_needed);
        let shards: Vec<ShardId> =
            shards.filter_map(|(shard, needed)| needed.then_some(shard)).collect();
        open_sessions(socket, self.epoch, self.session, self.now_us, &shards)
    }

    fn is_ready(&self) -> bool {
        // Behind what is sent again nothing new is sent: it has to keep its place in the window.
        self.unnamed.is_empty() && self.under_way.front().is_none_or(|sent| !sent.is_named)
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        self.move_on();
        let DrawnKey { object, index, item } = self.last;
        let shard = self.map.shard_of(object);
        let number = match self.ops.is_read() {
            true => {
                self.reads += 1;
                self.reads
            }
            false => self.numbers[usize::from(shard.0)].draw(),
        };
        let sent = SentRequest { number, index, item, shard, pops: self.pops, is_named: false };
        self.send(out, object, sent);
    }

    fn reply(&mut self, bytes: &[u8], again: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>> {
        let Some((header, len)) = frame::peek(bytes) else { return Ok(None) };
        // Replies of one shard come in order, those of different ones may not.
        let is_it = |sent: &SentRequest| (sent.number, sent.shard) == (header.number, header.shard);
        let at = self.under_way.iter().position(is_it).context("a reply without a request")?;
        let sent = self.under_way.remove(at).expect("it was just found");
        // What an echo sends back are the flags of the request.
        let status = if self.is_echo { Some(Status::Ok) } else { Status::from_wire(header.flags) };
        let is_final = match status {
            Some(Status::Ok) if self.ops.is_read() => true,
            Some(Status::Ok) => {
                self.numbers[usize::from(sent.shard.0)].answered(sent.number);
                true
            }
            Some(Status::NameNeeded) if !sent.is_named => {
                self.unnamed.push_back(sent);
                false
            }
            status => bail!("the engine replied {status:?}"),
        };
        if self.under_way.is_empty() {
            while let Some(sent) = self.unnamed.pop_front() {
                let object = self.objects.ids[sent.index as usize];
                self.send(again, object, SentRequest { is_named: true, ..sent });
            }
        }
        Ok(Some(TakenReply { len, is_final }))
    }
}

/// Opens a session in each of these shards.
fn open_sessions(
    socket: &mut TcpStream,
    epoch: u32,
    session: u64,
    now_us: u64,
    shards: &[ShardId],
) -> anyhow::Result<()> {
    let mut out = Vec::new();
    for shard in shards {
        put_open(&mut out, epoch, *shard, session, now_us);
    }
    socket.write_all(&out)?;
    let mut replies = vec![0; shards.len() * HEADER_BYTES as usize];
    socket.read_exact(&mut replies)?;
    for reply in replies.chunks_exact(HEADER_BYTES as usize) {
        let (header, _) = frame::peek(reply).context("the engine did not reply with a frame")?;
        ensure!(header.flags == Status::Ok.to_wire(), "the engine refused a session");
    }
    Ok(())
}

/// Sends a Hello and waits for the Welcome.
fn hello(socket: &mut TcpStream) -> anyhow::Result<Welcome> {
    let mut out = Vec::new();
    Hello { features: features::ALL }.write(&mut out);
    socket.write_all(&out)?;
    // In 16-byte units, so that the archive is aligned.
    let mut received = vec![0_u128; 256];
    let mut len = 0;
    loop {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut received);
        let read = socket.read(&mut bytes[len..])?;
        ensure!(read > 0, "the engine closed the connection");
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
