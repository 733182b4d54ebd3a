//! A client that makes one call at a time, retries it until it gets a reply, and records the
//! replies.

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

use super::history::{CallRecord, History, Operation};
use super::profile::RunProfile;
use super::random::SimRandom;
use crate::chain::record::Record;

/// A simulated client.
#[derive(Debug)]
pub(super) struct SimClient {
    id: usize,
    random: SimRandom,
    sessions: BTreeMap<u16, ClientSession>,
    /// The newest record that it was sent.
    record: Option<Arc<Record>>,
    /// The time of day that the last node sent.
    time: u64,
    pub(super) conn: Option<ClientConn>,
    pub(super) call: Option<PendingCall>,
    /// Only the last of its timers counts.
    pub(super) timer: u64,
    /// Whether it names the epoch in its requests.
    names_epoch: bool,
    shards: u32,
    objects: u64,
    reads: u64,
    reads_anywhere: u64,
    /// The last of its own values: it puts each of them only once.
    last_value: u64,
}

/// A connection that it has, or is making.
#[derive(Clone, Debug)]
pub(super) struct ClientConn {
    pub(super) id: u64,
    pub(super) slot: usize,
    pub(super) ready: bool,
    /// The shards in which it has sent a request to open a session over this connection.
    asked: BTreeSet<u16>,
}

/// A call that waits for its reply.
#[derive(Clone, Debug)]
pub(super) struct PendingCall {
    /// The index of the call in the history.
    pub(super) call: usize,
    shard: u16,
    object: ObjectId,
    operation: Operation,
    /// Its number in its session. Reads have one too, so that replies can be told apart.
    number: u64,
    anywhere: bool,
    pub(super) attempts: u64,
}

#[derive(Clone, Debug)]
struct ClientSession {
    id: u64,
    nonce: u64,
    /// 0 until the session is opened for the first time.
    born_us: u64,
    next: u64,
    open: bool,
}

impl PendingCall {
    /// Returns whether it waits in the engine for another client.
    pub(super) fn may_wait(&self) -> bool {
        matches!(self.operation, Operation::ListPop { waits: true, .. })
    }
}

/// What follows from a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplyEffect {
    /// It is a reply to another request.
    Ignored,
    /// The call has ended.
    Done,
    /// Retry later.
    Retry,
    /// Find out which node is the head.
    FindHead,
}

/// How long a call may wait in the engine, in milliseconds: longer than a run. A client that does
/// not want to wait so long goes away.
const WAIT_MS: u32 = 120_000;

/// More values than any client puts, so that the values of all clients differ.
const VALUES: u64 = 1_000_000;

impl SimClient {
    pub(super) fn new(id: usize, random: SimRandom, profile: &RunProfile) -> SimClient {
        let mut random = random;
        let names_epoch = random.per_mille(500);
        SimClient {
            id,
            random,
            sessions: BTreeMap::new(),
            record: None,
            time: 0,
            conn: None,
            call: None,
            timer: 0,
            names_epoch,
            shards: profile.shards,
            objects: profile.objects,
            reads: profile.reads,
            reads_anywhere: profile.reads_anywhere,
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
        let operation = match (kind, is_read) {
            (0, true) => Operation::CounterGet { value: None },
            (0, false) => Operation::CounterAdd { before: None },
            (1, true) => Operation::CellGet { value: None },
            (1, false) if self.random.per_mille(500) => Operation::CellSet { value },
            (1, false) => {
                let expected = self.some_value();
                Operation::CellCompareAndSet { expected, value, swapped: None }
            }
            (_, true) => Operation::ListPop { value: None, waits: self.random.per_mille(400) },
            (_, false) => Operation::ListPush { value },
        };
        let top = if self.shards == 1 { 0 } else { u128::from(shard) << 127 };
        let object = ObjectId(top | u128::from(kind * 2 + which + 1));
        let is_update =
            !matches!(operation, Operation::CounterGet { .. } | Operation::CellGet { .. });
        let number = if is_update { self.draw_number(shard) } else { self.random.bits() };
        let anywhere = !is_update && self.random.per_mille(self.reads_anywhere);
        let call = history.calls.len();
        let object_key = u64::from(shard) * 100 + kind * 2 + which;
        history.calls.push(CallRecord {
            client: self.id,
            object: object_key,
            operation: operation.clone(),
            called: now,
            answered: None,
        });
        self.call =
            Some(PendingCall { call, shard, object, operation, number, anywhere, attempts: 0 });
    }

    /// Returns a value that a cell may have: its own last one, another client's, or none.
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
        let session = self.sessions.entry(shard).or_insert_with(|| ClientSession {
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

    /// Returns the slot to which the call should go next, as far as the client knows.
    pub(super) fn target(&mut self, slots: usize) -> usize {
        let pending = self.call.as_mut().expect("a call is open");
        pending.attempts += 1;
        let anyone = usize::try_from(self.random.below(slots as u64)).expect("few");
        // After several failed attempts it tries other nodes, too.
        if pending.attempts > 4 && self.random.per_mille(400) {
            return anyone;
        }
        let Some(record) = &self.record else { return anyone };
        let chain = &record.chains[usize::from(pending.shard)];
        let node = if pending.anywhere { self.random.pick(chain) } else { chain.first() };
        let info = node.and_then(|node| record.nodes.get(node));
        info.and_then(|info| slot_of(&info.name)).unwrap_or(anyone)
    }

    /// Replaces the client by one that knows nothing of its sessions.
    pub(super) fn die(&mut self) {
        self.sessions.clear();
        self.call = None;
        self.conn = None;
    }

    /// Connects to a slot, and forgets the previous connection.
    pub(super) fn connect(&mut self, id: u64, slot: usize) {
        self.conn = Some(ClientConn { id, slot, ready: false, asked: BTreeSet::new() });
    }

    /// Takes a node's greeting: the record it follows, and its time of day.
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

    /// Encodes the frames of its call.
    pub(super) fn frames(&mut self) -> Vec<u8> {
        let pending = self.call.as_ref().expect("a call is open");
        let conn = self.conn.as_mut().expect("there is a connection");
        let epoch = self.record.as_ref().filter(|_| self.names_epoch).map_or(0, |it| it.epoch);
        let mut out = Vec::new();
        let header =
            Header { shard: ShardId(pending.shard), epoch, ..Header::new(FrameKind::Request) };
        let session =
            self.sessions.get_mut(&pending.shard).filter(|_| is_update(&pending.operation));
        let mut session = session;
        if let Some(session) = &mut session
            && !session.open
            && conn.asked.insert(pending.shard)
        {
            if session.born_us == 0 {
                session.born_us = self.time;
            }
            let ClientSession { id, nonce, born_us, .. } = **session;
            let op = Op::Session(SessionOp::Open { born_us, nonce, ttl_ms: 0 });
            write(&mut out, Header { session: id, ..header }, &op);
        }
        let header = Header {
            session: session.as_ref().map_or(0, |session| session.id),
            number: pending.number,
            // It makes one call at a time, so all before this one have ended.
            acked_gap: u16::from(session.is_some()),
            object: pending.object,
            ..header
        };
        let value;
        let expected;
        let op = match pending.operation {
            Operation::CounterGet { .. } => Op::Counter(CounterOp::Get),
            Operation::CounterAdd { .. } => Op::Counter(CounterOp::FetchAdd { delta: 1 }),
            Operation::CellGet { .. } => Op::Cell(CellOp::Get),
            Operation::CellSet { value: new } => {
                value = bytes_of(new);
                Op::Cell(CellOp::Set { bytes: &value })
            }
            Operation::CellCompareAndSet { expected: old, value: new, .. } => {
                (value, expected) = (bytes_of(new), bytes_of(old));
                Op::Cell(CellOp::CompareAndSet { expected: &expected, bytes: &value })
            }
            Operation::ListPush { value: new } => {
                value = bytes_of(new);
                Op::List(ListOp::PushBack { bytes: &value })
            }
            Operation::ListPop { waits: false, .. } => Op::List(ListOp::PopFront),
            Operation::ListPop { waits: true, .. } => Op::List(ListOp::PopFrontWait),
        };
        let deadline_ms = if pending.may_wait() { WAIT_MS } else { 0 };
        let header = Header { deadline_ms, ..header };
        write(&mut out, header, &op);
        out
    }

    /// Takes a reply.
    pub(super) fn on_reply(
        &mut self,
        now: u64,
        frame: &Frame<'_>,
        history: &mut History,
    ) -> Result<ReplyEffect, String> {
        let status = Status::from_wire(frame.header.flags).ok_or("a reply without a status")?;
        if frame.header.op == OpCode::SessionOpen.to_wire() {
            let session = self.sessions.values_mut().find(|it| it.id == frame.header.session);
            if let Some(session) = session {
                session.open |= status == Status::Ok;
            }
            return Ok(ReplyEffect::Ignored);
        }
        let Some(pending) = &self.call else { return Ok(ReplyEffect::Ignored) };
        let session = self.sessions.get(&pending.shard).map_or(0, |session| session.id);
        let session = if is_update(&pending.operation) { session } else { 0 };
        if (frame.header.number, frame.header.session) != (pending.number, session) {
            return Ok(ReplyEffect::Ignored);
        }
        match status {
            Status::Ok => {
                let code = OpCode::known(frame.header.op).map_err(|fault| fault.to_string())?;
                let reply = Reply::decode(code, frame.body).map_err(|fault| fault.to_string())?;
                let call = &mut history.calls[pending.call];
                call.answered = Some(now);
                call.operation = answered(&pending.operation, &reply)?;
                if is_update(&pending.operation)
                    && let Some(session) = self.sessions.get_mut(&pending.shard)
                {
                    session.open = true;
                }
                self.call = None;
                Ok(ReplyEffect::Done)
            }
            Status::Busy | Status::ShuttingDown | Status::UnderReplicated => Ok(ReplyEffect::Retry),
            Status::NotHead | Status::WrongEpoch => Ok(ReplyEffect::FindHead),
            Status::SessionUnknown if !self.sessions[&pending.shard].open => {
                // Opening the session was refused, because the node's time of day may be behind. A
                // retry succeeds later.
                if let Some(conn) = &mut self.conn {
                    conn.asked.remove(&pending.shard);
                }
                Ok(ReplyEffect::Retry)
            }
            other => Err(format!("{other:?} is no valid reply to {pending:?}")),
        }
    }
}

fn is_update(operation: &Operation) -> bool {
    !matches!(operation, Operation::CounterGet { .. } | Operation::CellGet { .. })
}

fn write(out: &mut Vec<u8>, header: Header, op: &Op<'_>) {
    let header = Header { op: op.code().to_wire(), ..header };
    frame::write(out, &header, |out| op.encode(out)).expect("small frames fit");
}

/// Returns a cell's bytes: none for 0, which is never put.
fn bytes_of(value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { value.to_le_bytes().to_vec() }
}

fn value_of(bytes: &[u8]) -> Result<u64, String> {
    match bytes {
        [] => Ok(0),
        _ => Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| "a value has 8 bytes")?)),
    }
}

fn answered(operation: &Operation, reply: &Reply<'_>) -> Result<Operation, String> {
    Ok(match (operation, reply) {
        (Operation::CounterGet { .. }, Reply::Int(value)) => {
            Operation::CounterGet { value: Some(*value) }
        }
        (Operation::CounterAdd { .. }, Reply::Int(before)) => {
            Operation::CounterAdd { before: Some(*before) }
        }
        (Operation::CellGet { .. }, Reply::Cell { bytes: Some(bytes), .. }) => {
            Operation::CellGet { value: Some(value_of(bytes)?) }
        }
        (Operation::CellSet { value }, Reply::Number(_)) => Operation::CellSet { value: *value },
        (
            Operation::CellCompareAndSet { expected, value, .. },
            Reply::VersionSwapped { swapped, .. },
        ) => Operation::CellCompareAndSet {
            expected: *expected,
            value: *value,
            swapped: Some(*swapped),
        },
        (Operation::ListPush { value }, Reply::Number(_)) => Operation::ListPush { value: *value },
        (Operation::ListPop { waits, .. }, Reply::Value(value)) => {
            Operation::ListPop { value: Some(value.map(value_of).transpose()?), waits: *waits }
        }
        _ => return Err(format!("{reply:?} is no valid reply to {operation:?}")),
    })
}

/// Returns a node's name, which follows from its slot.
pub(super) fn name_of(slot: usize) -> String {
    format!("node-{slot}")
}

fn slot_of(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}
