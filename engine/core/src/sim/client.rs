//! A client that makes one call at a time, keeps at it, and remembers what it was told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use catena_protocol::op::{CellOp, CounterOp, ListOp, SessionOp};
use catena_protocol::{
    Frame, FrameKind, Header, ObjectId, Op, OpCode, Reply, ShardId, Status, frame,
};

use super::history::{Call, History, What};
use super::profile::Swarm;
use super::random::Random;
use crate::chain::record::Record;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    id: usize,
    random: Random,
    sessions: BTreeMap<u16, Session>,
    /// The newest record that it was shown.
    record: Option<Arc<Record>>,
    /// The time of day as the last node said it.
    time: u64,
    pub(super) conn: Option<Conn>,
    pub(super) call: Option<Pending>,
    /// Of its timers only the last counts.
    pub(super) timer: u64,
    /// It names the epoch in its requests.
    names_epoch: bool,
    shards: u32,
    objects: u64,
    reads: u64,
    reads_anywhere: u64,
    /// Values that it, or others, may have put somewhere.
    last_value: u64,
}

/// A connection that it has, or is making.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) slot: usize,
    pub(super) ready: bool,
    /// Sessions that it asked to be opened there.
    asked: BTreeSet<u16>,
}

/// What it waits for.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Which call of the history.
    pub(super) call: usize,
    shard: u16,
    object: ObjectId,
    what: What,
    /// Its number in its session; reads have one too, so that answers can be told apart.
    number: u64,
    anywhere: bool,
    pub(super) attempts: u64,
}

#[derive(Clone, Debug)]
struct Session {
    id: u64,
    nonce: u64,
    /// 0 until it is about to be opened for the first time.
    born_us: u64,
    next: u64,
    open: bool,
}

/// What a client makes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was about something else.
    Nothing,
    /// The call is over.
    Done,
    /// Not here or not now.
    Again,
    /// It should learn where the head is.
    Elsewhere,
}

/// The last value that anybody put anywhere: values are unique.
const VALUES: u64 = 1_000_000;

impl Client {
    pub(super) fn new(id: usize, random: Random, swarm: &Swarm) -> Client {
        let mut random = random;
        let names_epoch = random.per_mille(500);
        Client {
            id,
            random,
            sessions: BTreeMap::new(),
            record: None,
            time: 0,
            conn: None,
            call: None,
            timer: 0,
            names_epoch,
            shards: swarm.shards,
            objects: swarm.objects,
            reads: swarm.reads,
            reads_anywhere: swarm.reads_anywhere,
            last_value: 0,
        }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, now: u64, history: &mut History) {
        let shard = u16::try_from(self.random.below(u64::from(self.shards))).expect("few");
        let kind = self.random.below(3);
        let which = self.random.below(self.objects);
        let is_read = self.random.per_mille(self.reads);
        self.last_value += 1;
        let value = (self.id as u64 + 1) * VALUES + self.last_value;
        let what = match (kind, is_read) {
            (0, true) => What::Read { value: None },
            (0, false) => What::Increment { before: None },
            (1, true) => What::Look { value: None },
            (1, false) if self.random.per_mille(500) => What::Write { value },
            (1, false) => {
                let expected = self.some_value();
                What::Exchange { expected, value, swapped: None }
            }
            (_, true) => What::Pop { value: None },
            (_, false) => What::Push { value },
        };
        let top = if self.shards == 1 { 0 } else { u128::from(shard) << 127 };
        let object = ObjectId(top | u128::from(kind * 2 + which + 1));
        let is_update = !matches!(what, What::Read { .. } | What::Look { .. });
        let number = if is_update { self.draw_number(shard) } else { self.random.bits() };
        let anywhere = !is_update && self.random.per_mille(self.reads_anywhere);
        let call = history.calls.len();
        let object_key = u64::from(shard) * 100 + kind * 2 + which;
        history.calls.push(Call {
            client: self.id,
            object: object_key,
            what: what.clone(),
            called: now,
            answered: None,
        });
        self.call = Some(Pending { call, shard, object, what, number, anywhere, attempts: 0 });
    }

    /// A value that a cell may have: the own last one, somebody's, or none.
    fn some_value(&mut self) -> u64 {
        match self.random.below(4) {
            0 => 0,
            1 => (self.random.below(4) + 1) * VALUES + self.random.below(self.last_value.max(1)),
            _ => self.seen(),
        }
    }

    fn seen(&mut self) -> u64 {
        (self.id as u64 + 1) * VALUES + self.last_value - 1
    }

    fn draw_number(&mut self, shard: u16) -> u64 {
        let random = &mut self.random;
        let session = self.sessions.entry(shard).or_insert_with(|| Session {
            id: random.bits() | 1,
            nonce: random.bits(),
            born_us: 0,
            next: 1,
            open: false,
        });
        let number = session.next;
        session.next += 1;
        number
    }

    /// The slot to which the call should go next, as far as the client knows.
    pub(super) fn target(&mut self, slots: usize) -> usize {
        let pending = self.call.as_mut().expect("somebody calls");
        pending.attempts += 1;
        let anyone = usize::try_from(self.random.below(slots as u64)).expect("few");
        // A client that got nowhere looks around.
        if pending.attempts > 4 && self.random.per_mille(400) {
            return anyone;
        }
        let Some(record) = &self.record else { return anyone };
        let chain = &record.chains[usize::from(pending.shard)];
        let node = if pending.anywhere { self.random.pick(chain) } else { chain.first() };
        let info = node.and_then(|node| record.nodes.get(node));
        info.and_then(|info| slot_of(&info.name)).unwrap_or(anyone)
    }

    /// It dies, and somebody takes its place who knows nothing of it.
    pub(super) fn die(&mut self) {
        self.sessions.clear();
        self.call = None;
        self.conn = None;
    }

    /// Connects to a slot, and forgets the connection before.
    pub(super) fn connect(&mut self, id: u64, slot: usize) {
        self.conn = Some(Conn { id, slot, ready: false, asked: BTreeSet::new() });
    }

    /// A node has said who it is, and what it knows.
    pub(super) fn on_welcome(&mut self, record: Option<Arc<Record>>, time: u64) {
        if let Some(conn) = &mut self.conn {
            conn.ready = true;
        }
        self.time = time;
        let known = self.record.as_ref().map_or(0, |record| record.epoch);
        if let Some(record) = record.filter(|record| record.epoch > known) {
            self.record = Some(record);
        }
    }

    /// The frames that ask for what it wants.
    pub(super) fn frames(&mut self) -> Vec<u8> {
        let pending = self.call.as_ref().expect("somebody calls");
        let conn = self.conn.as_mut().expect("there is a connection");
        let epoch = self.record.as_ref().filter(|_| self.names_epoch).map_or(0, |it| it.epoch);
        let mut out = Vec::new();
        let header =
            Header { shard: ShardId(pending.shard), epoch, ..Header::new(FrameKind::Request) };
        let session = self.sessions.get_mut(&pending.shard).filter(|_| is_update(&pending.what));
        let mut session = session;
        if let Some(session) = &mut session
            && !session.open
            && conn.asked.insert(pending.shard)
        {
            if session.born_us == 0 {
                session.born_us = self.time;
            }
            let Session { id, nonce, born_us, .. } = **session;
            let op = Op::Session(SessionOp::Open { born_us, nonce, ttl_ms: 0 });
            write(&mut out, Header { session: id, ..header }, &op);
        }
        let header = Header {
            session: session.as_ref().map_or(0, |session| session.id),
            number: pending.number,
            // One call at a time: all before it are over.
            acked_gap: u16::from(session.is_some()),
            object: pending.object,
            ..header
        };
        let value;
        let expected;
        let op = match pending.what {
            What::Read { .. } => Op::Counter(CounterOp::Get),
            What::Increment { .. } => Op::Counter(CounterOp::FetchAdd { delta: 1 }),
            What::Look { .. } => Op::Cell(CellOp::Get),
            What::Write { value: new } => {
                value = bytes_of(new);
                Op::Cell(CellOp::Set { bytes: &value })
            }
            What::Exchange { expected: old, value: new, .. } => {
                (value, expected) = (bytes_of(new), bytes_of(old));
                Op::Cell(CellOp::CompareAndSet { expected: &expected, bytes: &value })
            }
            What::Push { value: new } => {
                value = bytes_of(new);
                Op::List(ListOp::PushBack { bytes: &value })
            }
            What::Pop { .. } => Op::List(ListOp::PopFront),
        };
        write(&mut out, header, &op);
        out
    }

    /// Takes an answer.
    pub(super) fn on_reply(
        &mut self,
        now: u64,
        frame: &Frame<'_>,
        history: &mut History,
    ) -> Result<Heard, String> {
        let status = Status::from_wire(frame.header.flags).ok_or("a reply without a status")?;
        if frame.header.op == OpCode::SessionOpen.to_wire() {
            let session = self.sessions.values_mut().find(|it| it.id == frame.header.session);
            if let Some(session) = session {
                session.open |= status == Status::Ok;
            }
            return Ok(Heard::Nothing);
        }
        let Some(pending) = &self.call else { return Ok(Heard::Nothing) };
        let session = self.sessions.get(&pending.shard).map_or(0, |session| session.id);
        let session = if is_update(&pending.what) { session } else { 0 };
        if (frame.header.number, frame.header.session) != (pending.number, session) {
            return Ok(Heard::Nothing);
        }
        match status {
            Status::Ok => {
                let code = OpCode::known(frame.header.op).map_err(|fault| fault.to_string())?;
                let reply = Reply::decode(code, frame.body).map_err(|fault| fault.to_string())?;
                let call = &mut history.calls[pending.call];
                call.answered = Some(now);
                call.what = answered(&pending.what, &reply)?;
                if is_update(&pending.what)
                    && let Some(session) = self.sessions.get_mut(&pending.shard)
                {
                    session.open = true;
                }
                self.call = None;
                Ok(Heard::Done)
            }
            Status::Busy | Status::ShuttingDown | Status::UnderReplicated => Ok(Heard::Again),
            Status::NotHead | Status::WrongEpoch => Ok(Heard::Elsewhere),
            Status::SessionUnknown if !self.sessions[&pending.shard].open => {
                // Its opening was refused: the node's time may be behind. It will come.
                if let Some(conn) = &mut self.conn {
                    conn.asked.remove(&pending.shard);
                }
                Ok(Heard::Again)
            }
            other => Err(format!("nobody expects {other:?} as an answer to {pending:?}")),
        }
    }
}

fn is_update(what: &What) -> bool {
    !matches!(what, What::Read { .. } | What::Look { .. })
}

fn write(out: &mut Vec<u8>, header: Header, op: &Op<'_>) {
    let header = Header { op: op.code().to_wire(), ..header };
    frame::write(out, &header, |out| op.encode(out)).expect("small frames fit");
}

/// A cell's bytes: nothing for 0, which nobody writes.
fn bytes_of(value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { value.to_le_bytes().to_vec() }
}

fn value_of(bytes: &[u8]) -> Result<u64, String> {
    match bytes {
        [] => Ok(0),
        _ => Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| "a value has 8 bytes")?)),
    }
}

fn answered(what: &What, reply: &Reply<'_>) -> Result<What, String> {
    Ok(match (what, reply) {
        (What::Read { .. }, Reply::Int(value)) => What::Read { value: Some(*value) },
        (What::Increment { .. }, Reply::Int(before)) => What::Increment { before: Some(*before) },
        (What::Look { .. }, Reply::Cell { bytes: Some(bytes), .. }) => {
            What::Look { value: Some(value_of(bytes)?) }
        }
        (What::Write { value }, Reply::Number(_)) => What::Write { value: *value },
        (What::Exchange { expected, value, .. }, Reply::VersionSwapped { swapped, .. }) => {
            What::Exchange { expected: *expected, value: *value, swapped: Some(*swapped) }
        }
        (What::Push { value }, Reply::Number(_)) => What::Push { value: *value },
        (What::Pop { .. }, Reply::Value(value)) => {
            What::Pop { value: Some(value.map(value_of).transpose()?) }
        }
        _ => return Err(format!("{reply:?} is no answer to {what:?}")),
    })
}

/// Nodes are named after their slots.
pub(super) fn name_of(slot: usize) -> String {
    format!("node-{slot}")
}

fn slot_of(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}
