//! Counter adds over Catena's protocol, with sessions and exactly-once numbers like any client.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CounterOp, SessionOp};
use catena_protocol::{
    FrameKind, HEADER_BYTES, Header, Hello, ObjectId, Op, ShardId, ShardMap, Status, Welcome,
    features,
};

use super::{Spread, Wire};

/// What all connections to a node share: its counters, sorted by the core that owns them.
#[derive(Debug)]
pub(crate) struct Counters {
    map: ShardMap,
    by_core: Vec<Vec<(ShardId, ObjectId)>>,
    now_us: u64,
    ports: Vec<u16>,
}

impl Counters {
    /// Asks a node for its topology and names `count` counters.
    pub(crate) fn on(node: std::net::SocketAddr, count: u64) -> anyhow::Result<Rc<Counters>> {
        let mut socket =
            TcpStream::connect(node).with_context(|| format!("no engine answers at {node}"))?;
        let welcome = hello(&mut socket)?;
        let map = welcome.shard_map().context("the engine's topology makes no sense")?;
        let mut by_core = vec![Vec::new(); usize::from(map.cores())];
        for i in 0..count {
            let object = ObjectId::of(&format!("catena-bench/counter/{i}"));
            let shard = map.shard_of(object);
            by_core[usize::from(map.core_of(shard))].push((shard, object));
        }
        ensure!(by_core.iter().all(|keys| !keys.is_empty()), "too few keys for this many cores");
        Ok(Rc::new(Counters { map, by_core, now_us: welcome.now_us, ports: welcome.ports }))
    }

    /// The port of a core.
    pub(crate) fn port(&self, core: usize) -> u16 {
        self.ports[core]
    }

    /// How many cores the node has.
    pub(crate) fn cores(&self) -> usize {
        self.by_core.len()
    }
}

/// One connection that adds 1 to random counters of one core.
#[derive(Debug)]
pub(crate) struct CounterAdd {
    counters: Rc<Counters>,
    core: usize,
    spread: Spread,
    session: u64,
    /// Per shard: the last number used, and how many replies are still to come.
    progress: Vec<(u64, u16)>,
    /// The shards of the requests under way, in order.
    under_way: VecDeque<ShardId>,
}

impl CounterAdd {
    pub(crate) fn new(counters: &Rc<Counters>, core: usize, seed: u64) -> CounterAdd {
        use std::hash::{BuildHasher, RandomState};
        CounterAdd {
            core,
            spread: Spread::new(seed),
            session: RandomState::new().hash_one(seed) | 1,
            progress: vec![(0, 0); counters.map.shards() as usize],
            under_way: VecDeque::new(),
            counters: counters.clone(),
        }
    }
}

impl Wire for CounterAdd {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        hello(socket)?;
        let mut out = Vec::new();
        let born_us = self.counters.now_us;
        let open = Op::Session(SessionOp::Open { born_us, nonce: self.session, ttl_ms: 0 });
        let map = self.counters.map;
        let shards: Vec<ShardId> = (0..u16::try_from(map.shards()).expect("at most 32,768"))
            .map(ShardId)
            .filter(|shard| usize::from(map.core_of(*shard)) == self.core)
            .collect();
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
        let keys = &self.counters.by_core[self.core];
        let key = usize::try_from(self.spread.below(keys.len() as u64)).expect("an index");
        let (shard, object) = keys[key];
        let (number, open) = &mut self.progress[usize::from(shard.0)];
        *number += 1;
        *open += 1;
        self.under_way.push_back(shard);
        let op = Op::Counter(CounterOp::Add { delta: 1 });
        let header = Header {
            op: op.code().to_wire(),
            shard,
            acked_gap: *open,
            session: self.session,
            number: *number,
            object,
            ..Header::new(FrameKind::Request)
        };
        frame::write(out, &header, |out| op.encode(out)).expect("an add is small");
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
        let bytes = bytes_of(&mut received);
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

fn bytes_of(units: &mut [u128]) -> &mut [u8] {
    bytemuck::cast_slice_mut(units)
}
