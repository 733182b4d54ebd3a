//! The body of the fuzz target `shard`, beside the shard that it drives.
//!
//! Three callers: `fuzz/fuzz_targets/shard.rs` without end, an ordinary test with the seeds in
//! `fuzz/seeds/shard`, and a property test with random bytes. The bytes are decoded as events: a
//! few clients with a session each send ops on a few objects, retry requests, reconnect, send
//! malformed bodies, and replace their sessions, and time passes. Every event is checked as
//! described in `trial`; a panic is a finding.

mod speech;
mod tally;
pub(super) mod trial;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use catena_protocol::op::SessionOp;
use catena_protocol::{FrameKind, Header, Kind, ObjectId, Op, OpCode, Reply, Status, flags, named};

use self::speech::{Material, Source};
use self::tally::Tally;
use self::trial::{SHARD, Sent, Trial};
use super::{ConnId, Types};

/// Runs a shard through the events that the bytes, which may be arbitrary, stand for.
pub fn events(bytes: &[u8]) {
    let (mut run, is_stopped) = FuzzRun::after(bytes);
    if is_stopped {
        run.trial.shutdown();
    }
    run.trial.finish();
}

/// Returns the snapshot of a shard after these events.
#[cfg(test)]
pub(super) fn state_after(bytes: &[u8]) -> Vec<u8> {
    FuzzRun::after(bytes).0.trial.snapshot()
}

/// Events of a run: enough for interesting states, and few enough to be quick.
const EVENTS_MAX: usize = 2_000;

const CLIENTS: usize = 4;
/// Objects of each kind.
const OBJECTS: u8 = 2;

/// A shard, its clients, and the bytes that decide what they do.
struct FuzzRun<'b> {
    source: Source<'b>,
    trial: Trial,
    clients: [FuzzClient; CLIENTS],
    conns: u64,
}

struct FuzzClient {
    session: u64,
    conn: ConnId,
    /// The highest number of its updates.
    number: u64,
    /// The number up to which it acknowledges all replies.
    acked: u64,
    /// Its latest requests, for retries.
    asked: Vec<(Header, Vec<u8>)>,
}

/// Requests that a client can retry.
const ASKED_MAX: usize = 8;

impl<'b> FuzzRun<'b> {
    fn new(bytes: &'b [u8]) -> FuzzRun<'b> {
        let client = |index: usize| FuzzClient {
            session: index as u64 + 1,
            conn: ConnId(index as u64),
            number: 0,
            acked: 0,
            asked: Vec::new(),
        };
        let mut types = Types::default();
        types.register::<Tally<1>>();
        types.register::<Tally<2>>();
        let mut run = FuzzRun {
            source: Source::new(bytes),
            trial: Trial::with_types(types),
            clients: core::array::from_fn(client),
            conns: CLIENTS as u64,
        };
        (0..CLIENTS).for_each(|client| run.open(client));
        run
    }

    /// Runs all events. Returns the run, and whether the shard is to be shut down then.
    fn after(bytes: &'b [u8]) -> (FuzzRun<'b>, bool) {
        let mut run = FuzzRun::new(bytes);
        let is_stopped = run.source.byte().is_multiple_of(4);
        for _ in 0..EVENTS_MAX {
            if run.source.is_empty() {
                break;
            }
            run.event();
        }
        (run, is_stopped)
    }

    fn event(&mut self) {
        let what = self.source.byte();
        let client = usize::from(what / 32) % CLIENTS;
        match what % 32 {
            0 => {
                // From a microsecond to an hour.
                let byte = self.source.byte();
                let us = 1 << (byte % 32);
                let sent = match byte / 32 {
                    0 => self.trial.sleep(us),
                    _ => self.trial.pass(us),
                };
                self.learn(&sent);
            }
            1 => {
                self.clients[client].conn = ConnId(self.conns);
                self.conns += 1;
            }
            2 => self.trial.memory_bytes_max = 1 << (self.source.byte() % 32),
            3..=6 => self.retry(client),
            7 => self.stray_request(client),
            8 => self.session_op(client),
            9 => self.replace_session(client),
            31 => {
                let sent = self.trial.disconnect(self.clients[client].conn);
                self.learn(&sent);
                self.clients[client].conn = ConnId(self.conns);
                self.conns += 1;
            }
            _ => self.op(client),
        }
    }

    /// A client retries a request, perhaps with other acknowledgements.
    fn retry(&mut self, client: usize) {
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

    /// A client sends a request that a correct client would not send.
    fn stray_request(&mut self, client: usize) {
        let op = match self.source.byte() {
            any @ 0..=31 => u16::from_le_bytes([any, self.source.byte()]),
            known => OpCode::ALL[usize::from(known) % OpCode::ALL.len()].to_wire(),
        };
        let flags = u16::from(self.source.byte() / 250);
        let epoch = u32::from(self.source.byte() / 255);
        let number = match self.source.byte() {
            near @ 0..=127 => self.clients[client].number.wrapping_add(u64::from(near) % 8),
            _ => self.source.number(),
        };
        let acked_gap = u16::from(self.source.byte()) * 2;
        let kind = self.source.kind();
        let object = ObjectId::of(&self.name(kind));
        let header = self.header(client, object);
        let header = Header { op, flags, epoch, acked_gap, number, ..header };
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
        let header = self.header(client, ObjectId(0));
        self.ask(client, header, &Op::Session(op));
    }

    /// A client closes or abandons its session, and opens another.
    fn replace_session(&mut self, client: usize) {
        if self.source.byte().is_multiple_of(2) {
            let header = self.header(client, ObjectId(0));
            self.ask(client, header, &Op::Session(SessionOp::Close));
        }
        let FuzzClient { session, number, acked, asked, .. } = &mut self.clients[client];
        *session += CLIENTS as u64;
        (*number, *acked) = (0, 0);
        asked.clear();
        self.open(client);
    }

    fn open(&mut self, client: usize) {
        let open = SessionOp::Open { born_us: self.trial.now().0, nonce: 0, ttl_ms: 0 };
        self.ask(client, self.header(client, ObjectId(0)), &Op::Session(open));
    }

    /// A client sends an op, with the next number or one a little higher.
    fn op(&mut self, client: usize) {
        let (how, deadline) = (self.source.byte(), self.source.byte());
        let code = self.source.code();
        let name = self.name(code.kind());
        let header = self.header(client, ObjectId::of(&name));
        let FuzzClient { number, acked, .. } = &mut self.clients[client];
        *number = match how {
            // The highest numbers.
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
        let material = Material::default();
        let op = self.source.op(code, &material);
        let (mut body, mut flags) = (Vec::new(), 0);
        let how = self.source.byte();
        if how < 96 {
            let name = if how == 0 { "another" } else { &name };
            named::put(name, &mut body);
            flags |= flags::NAMED;
        }
        if how % 4 == 3 {
            flags |= flags::NAME_WANTED;
        }
        op.encode(&mut body);
        self.send(client, Header { op: code.to_wire(), flags, ..header }, &body);
    }

    /// Returns the header of a request on an object.
    fn header(&self, client: usize, object: ObjectId) -> Header {
        let session = self.clients[client].session;
        Header { shard: SHARD, session, object, ..Header::new(FrameKind::Request) }
    }

    /// Returns the name of an object, mostly of this kind.
    fn name(&mut self, kind: Kind) -> String {
        let which = self.source.byte();
        let kind = if kind == Kind::Object || which > 250 { self.source.kind() } else { kind };
        format!("{}/{}", kind.name(), ["a", "b"][usize::from(which % OBJECTS)])
    }

    fn ask(&mut self, client: usize, header: Header, op: &Op<'_>) {
        let mut body = Vec::new();
        op.encode(&mut body);
        self.send(client, Header { op: op.code().to_wire(), ..header }, &body);
    }

    fn send(&mut self, client: usize, header: Header, body: &[u8]) {
        let conn = self.clients[client].conn;
        let sent = self.trial.request(conn, &header, body);
        self.learn(&sent);
        let asked = &mut self.clients[client].asked;
        if asked.len() == ASKED_MAX {
            asked.remove(0);
        }
        asked.push((header, body.to_vec()));
    }

    /// Remembers the fencing tokens of grants.
    fn learn(&mut self, sent: &[Sent]) {
        for sent in sent.iter().filter(|sent| sent.status == Status::Ok) {
            let code = OpCode::from_wire(sent.header.op).expect("only a known op succeeds");
            // A retry with another op gets the reply to the first op, which may not decode.
            if let Ok(
                Reply::Granted { token, granted: true } | Reply::Claimed { token, bytes: Some(_) },
            ) = Reply::decode(code, sent.body.bytes())
            {
                self.source.learn(token);
            }
        }
    }
}
