//! What the fuzz target `shard` does with its bytes, kept beside the shard it drives.
//!
//! Three callers: `fuzz/fuzz_targets/shard.rs` without end, an ordinary test with the seeds in
//! `fuzz/seeds/shard`, and a property test with bytes of its own. The bytes are taken as events: a
//! few clients with a session each ask for ops on a few objects, repeat what they asked, reconnect,
//! send bodies that are none, and time passes. Every event is checked as `trial` says; a panic is
//! a finding.

pub(super) mod trial;

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, FlagOp, GENERATION_CURRENT, LatchOp, Loss,
    ObjectOp, ReduceOp, ReductionOp, SessionOp, VectorOp,
};
use catena_protocol::{Elements, FrameKind, Header, ObjectId, Op, OpCode};

use self::trial::{SHARD, Trial};
use super::ConnId;

/// Takes any bytes as events in the life of a shard.
pub fn events(bytes: &[u8]) {
    let mut life = Life::new(bytes);
    let is_stopped = life.source.byte().is_multiple_of(4);
    for _ in 0..EVENTS_MAX {
        if life.source.is_empty() {
            break;
        }
        life.event();
    }
    if is_stopped {
        life.trial.shutdown();
    }
    life.trial.finish();
}

/// Enough for anything interesting, and quick.
const EVENTS_MAX: usize = 2_000;

const CLIENTS: usize = 4;
const OBJECTS: u8 = 6;

/// A shard, its clients, and the bytes that decide what they do.
struct Life<'b> {
    source: Source<'b>,
    trial: Trial,
    clients: [Client; CLIENTS],
    conns: u64,
}

struct Client {
    session: u64,
    conn: ConnId,
    /// The highest number it used.
    number: u64,
    /// Up to where it has all answers, as far as it cares to tell.
    acked: u64,
    /// What it asked last, to be repeated.
    asked: Vec<(Header, Vec<u8>)>,
}

/// Requests that a client can repeat.
const ASKED_MAX: usize = 8;

impl<'b> Life<'b> {
    fn new(bytes: &'b [u8]) -> Life<'b> {
        let client = |index: usize| Client {
            session: index as u64 + 1,
            conn: ConnId(index as u64),
            number: 0,
            acked: 0,
            asked: Vec::new(),
        };
        Life {
            source: Source(bytes),
            trial: Trial::new(),
            clients: std::array::from_fn(client),
            conns: CLIENTS as u64,
        }
    }

    fn event(&mut self) {
        let what = self.source.byte();
        let client = usize::from(what / 32) % CLIENTS;
        match what % 32 {
            0 => {
                // From a microsecond to an hour.
                let byte = self.source.byte();
                let us = 1 << (byte % 32);
                match byte / 32 {
                    0 => _ = self.trial.sleep(us),
                    _ => _ = self.trial.pass(us),
                }
            }
            1 => {
                self.clients[client].conn = ConnId(self.conns);
                self.conns += 1;
            }
            2 => self.trial.memory_bytes_max = 1 << (self.source.byte() % 32),
            3..=6 => self.repeat(client),
            7 => self.stray(client),
            8 | 9 => self.session_op(client),
            _ => self.op(client),
        }
    }

    /// A client sends again what it sent before, perhaps with other acknowledgements.
    fn repeat(&mut self, client: usize) {
        let which = usize::from(self.source.byte());
        let gap = self.source.byte();
        let asked = &self.clients[client].asked;
        if asked.is_empty() {
            return;
        }
        let (mut header, body) = asked[which % asked.len()].clone();
        if gap > 200 {
            header.acked_gap = u16::from(gap - 200);
        }
        self.send(client, header, &body);
    }

    /// A client sends what no well-behaved one would.
    fn stray(&mut self, client: usize) {
        let op = match self.source.byte() {
            any @ 0..=31 => u16::from_le_bytes([any, self.source.byte()]),
            known => OpCode::ALL[usize::from(known) % OpCode::ALL.len()].to_wire(),
        };
        let flags = u16::from(self.source.byte() / 255);
        let epoch = u32::from(self.source.byte() / 255);
        let number = match self.source.byte() {
            near @ 0..=127 => self.clients[client].number.wrapping_add(u64::from(near) % 8),
            _ => self.source.number(),
        };
        let header = Header {
            op,
            flags,
            epoch,
            acked_gap: u16::from(self.source.byte()) * 2,
            number,
            ..self.header(client)
        };
        let len = usize::from(self.source.byte());
        let body = self.source.take(len).to_vec();
        self.send(client, header, &body);
    }

    fn session_op(&mut self, client: usize) {
        let op = match self.source.byte() % 8 {
            0 => SessionOp::Close,
            how => SessionOp::Open {
                born_us: if how == 1 { self.source.number() } else { self.trial.now().0 },
                nonce: u64::from(how == 2),
                ttl_ms: if how == 3 { u32::from(self.source.byte()) + 1 } else { 0 },
            },
        };
        let header = Header { object: ObjectId(0), ..self.header(client) };
        self.ask(client, header, &Op::Session(op));
    }

    /// A client asks for an op, with the next number or one a little further.
    fn op(&mut self, client: usize) {
        let (how, deadline) = (self.source.byte(), self.source.byte());
        let header = self.header(client);
        let Client { number, acked, .. } = &mut self.clients[client];
        *number = match how {
            // As far as numbers go.
            255 => (*number).max(u64::MAX - 2),
            _ => number.saturating_add(1 + u64::from(how / 128 * (how % 8))),
        };
        if how % 4 != 0 {
            *acked = (*acked).max(number.saturating_sub(1 + u64::from(how % 4)));
        }
        let header = Header {
            number: *number,
            acked_gap: u16::try_from(*number - *acked).unwrap_or(u16::MAX),
            deadline_ms: 1 << (deadline % 24),
            ..header
        };
        let code = OpCode::ALL[2 + usize::from(self.source.byte()) % (OpCode::ALL.len() - 2)];
        let mut source = std::mem::replace(&mut self.source, Source(&[]));
        source.with_op(code, |op| self.ask(client, header, op));
        self.source = source;
    }

    fn header(&mut self, client: usize) -> Header {
        Header {
            shard: SHARD,
            session: self.clients[client].session,
            object: ObjectId(u128::from(self.source.byte() % OBJECTS)),
            ..Header::new(FrameKind::Request)
        }
    }

    fn ask(&mut self, client: usize, header: Header, op: &Op<'_>) {
        let mut body = Vec::new();
        op.encode(&mut body);
        self.send(client, Header { op: op.code().to_wire(), ..header }, &body);
    }

    fn send(&mut self, client: usize, header: Header, body: &[u8]) {
        let conn = self.clients[client].conn;
        self.trial.request(conn, &header, body);
        let asked = &mut self.clients[client].asked;
        if asked.len() == ASKED_MAX {
            asked.remove(0);
        }
        asked.push((header, body.to_vec()));
    }
}

/// The bytes that are left; when they are used up, zeros.
struct Source<'b>(&'b [u8]);

impl<'b> Source<'b> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Small ones mostly, and the edges.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => u64::from(small % 8),
            200..=229 => u64::MAX - u64::from(self.byte() % 4),
            _ => self.take(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    fn int(&mut self) -> i64 {
        match self.byte() {
            small @ 0..=199 => i64::from(small) - 100,
            200..=229 => i64::MAX - i64::from(self.byte() % 4),
            _ => i64::MIN + i64::from(self.byte() % 4),
        }
    }

    /// Short ones, and sometimes one that has to be kept outside.
    fn text(&mut self) -> &'static str {
        const LONG: &str = match std::str::from_utf8(&[b'x'; 300]) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        };
        const NAMES: [&str; 4] = ["a", "b", "c", ""];
        match self.byte() {
            name @ 0..=223 => NAMES[usize::from(name % 32 / 10)],
            long => &LONG[..usize::from(long - 223) * 9],
        }
    }

    /// Hands over an op with this code and arguments from the bytes.
    fn with_op(&mut self, code: OpCode, hand: impl FnOnce(&Op<'_>)) {
        let (text, other) = (self.text(), self.text());
        let (bytes, other) = (text.as_bytes(), other.as_bytes());
        let (shape, number) = (self.byte(), self.number());
        let (parties, party) = (u32::from(shape % 4), shape / 4 % 4);
        let ints: [i64; 4] = std::array::from_fn(|_| self.int());
        let f64s = ints.map(|int| f64::from_bits(int.cast_unsigned()));
        let f32s = [1.5, f32::NAN, -0.0, f32::MAX];
        let len = usize::from(shape % 5);
        let elements = match shape / 64 {
            0 => Elements::F64(&f64s[..len]),
            1 => Elements::F32(&f32s[..len]),
            _ => Elements::I64(&ints[..len]),
        };
        let generation = if shape < 128 { GENERATION_CURRENT } else { number };
        let arrival = Arrival { party: text, parties, generation, hold_ms: 0, loss: Loss::Wait };
        let [value, expected, ..] = ints;
        let yes = shape.is_multiple_of(2);
        hand(&match code {
            OpCode::SessionOpen | OpCode::SessionClose => unreachable!("{code:?} is none of these"),
            OpCode::ObjectDelete => Op::Object(ObjectOp::Delete),
            OpCode::CounterGet => Op::Counter(CounterOp::Get),
            OpCode::CounterSet => Op::Counter(CounterOp::Set { value }),
            OpCode::CounterAdd => Op::Counter(CounterOp::Add { delta: value }),
            OpCode::CounterFetchAdd => Op::Counter(CounterOp::FetchAdd { delta: value }),
            OpCode::CounterSwap => Op::Counter(CounterOp::Swap { value }),
            OpCode::CounterCompareAndSwap => {
                Op::Counter(CounterOp::CompareAndSwap { expected, value })
            }
            OpCode::CounterMultiply => Op::Counter(CounterOp::Multiply { factor: value }),
            OpCode::CounterMin => Op::Counter(CounterOp::Min { value }),
            OpCode::CounterMax => Op::Counter(CounterOp::Max { value }),
            OpCode::FlagGet => Op::Flag(FlagOp::Get),
            OpCode::FlagSet => Op::Flag(FlagOp::Set { value: yes }),
            OpCode::FlagSwap => Op::Flag(FlagOp::Swap { value: yes }),
            OpCode::FlagCompareAndSwap => {
                Op::Flag(FlagOp::CompareAndSwap { expected: value < 0, value: yes })
            }
            OpCode::CellGet => Op::Cell(CellOp::Get),
            OpCode::CellGetIfNewer => Op::Cell(CellOp::GetIfNewer { version: number }),
            OpCode::CellReadRange => {
                Op::Cell(CellOp::ReadRange { from: number, length: u64::from(shape) })
            }
            OpCode::CellSet => Op::Cell(CellOp::Set { bytes }),
            OpCode::CellSwap => Op::Cell(CellOp::Swap { bytes }),
            OpCode::CellCompareVersionAndSet => {
                Op::Cell(CellOp::CompareVersionAndSet { version: number, bytes })
            }
            OpCode::CellCompareAndSet => Op::Cell(CellOp::CompareAndSet { expected: other, bytes }),
            OpCode::CellAppend => Op::Cell(CellOp::Append { bytes }),
            OpCode::VectorGet => Op::Vector(VectorOp::Get),
            OpCode::VectorGetIfNewer => Op::Vector(VectorOp::GetIfNewer { version: number }),
            OpCode::VectorInit => Op::Vector(VectorOp::Init { columns: parties, elements }),
            OpCode::VectorSet => Op::Vector(VectorOp::Set { columns: parties, elements }),
            OpCode::VectorAdd => Op::Vector(VectorOp::Add { elements }),
            OpCode::ReductionLast => Op::Reduction(ReductionOp::Last),
            OpCode::ReductionState => Op::Reduction(ReductionOp::State),
            OpCode::ReductionContribute => {
                let op = ReduceOp::ALL[usize::from(shape / 16 % 4)];
                let (party, round) = (u32::from(party), number);
                let part = Contribution {
                    party,
                    parties,
                    round,
                    op,
                    elements,
                    hold_ms: 0,
                    loss: Loss::Wait,
                };
                Op::Reduction(ReductionOp::Contribute(part))
            }
            OpCode::BarrierState => Op::Barrier(BarrierOp::State),
            OpCode::BarrierArrive => Op::Barrier(BarrierOp::Arrive(arrival)),
            OpCode::BarrierArriveAndWait => Op::Barrier(BarrierOp::ArriveAndWait(arrival)),
            OpCode::BarrierReset => Op::Barrier(BarrierOp::Reset),
            OpCode::BarrierBreak => Op::Barrier(BarrierOp::Break { reason: text }),
            OpCode::LatchState => Op::Latch(LatchOp::State),
            OpCode::LatchCountDown => Op::Latch(LatchOp::CountDown { party: text, parties }),
            OpCode::LatchWait => Op::Latch(LatchOp::Wait { parties }),
            _ => Op::Counter(CounterOp::Get),
        });
    }
}
