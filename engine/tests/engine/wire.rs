//! A minimal client: a socket, and frames that tests write and read themselves.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use catena_engine::rkyv::util::AlignedVec;
use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CounterOp, SessionOp};
use catena_protocol::{
    FrameKind, Header, Hello, ObjectId, Op, OpCode, Refusal, Reply, ShardId, Status, Welcome,
    features,
};

/// Longer than anything takes that does not hang.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Bytes that were received and not parsed.
    received: Vec<u8>,
}

/// A received frame.
pub(crate) struct Received {
    pub(crate) header: Header,
    body: AlignedVec<16>,
}

impl Wire {
    /// Connects and sends nothing.
    pub(crate) fn silent(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).expect("the engine listens");
        stream.set_nodelay(true).expect("a fresh socket");
        stream.set_read_timeout(Some(GUARD)).expect("a fresh socket");
        stream.set_write_timeout(Some(GUARD)).expect("a fresh socket");
        Wire { stream, received: Vec::new() }
    }

    /// Uses a connection that was accepted.
    pub(crate) fn accepted(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(GUARD)).expect("a fresh socket");
        stream.set_write_timeout(Some(GUARD)).expect("a fresh socket");
        Wire { stream, received: Vec::new() }
    }

    /// Connects and sends Hello.
    pub(crate) fn welcomed(address: SocketAddr) -> (Wire, Welcome) {
        let mut wire = Wire::silent(address);
        wire.send(&hello());
        let frame = wire.receive();
        assert_eq!(frame.header.kind, FrameKind::Welcome);
        let welcome = Welcome::decode(&frame.body).expect("a Welcome");
        (wire, welcome)
    }

    /// Connects, sends Hello and opens a session.
    pub(crate) fn open(address: SocketAddr, session: u64) -> Wire {
        let (mut wire, welcome) = Wire::welcomed(address);
        wire.send(&open(session, welcome.now_us));
        assert_eq!(wire.receive().status(), Status::Ok);
        wire
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the engine reads");
    }

    /// Returns the next frame.
    pub(crate) fn receive(&mut self) -> Received {
        self.next().expect("the engine replies")
    }

    /// Returns the next frame, or `None` if the engine has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Received> {
        loop {
            let mut aligned = AlignedVec::<16>::with_capacity(self.received.len());
            aligned.extend_from_slice(&self.received);
            match frame::next(&aligned, FRAME_BYTES_MAX).expect("the engine sends frames") {
                Next::Frame(frame) => {
                    self.received.drain(..frame.bytes.len());
                    let mut body = AlignedVec::with_capacity(frame.body.len());
                    body.extend_from_slice(frame.body);
                    return Some(Received { header: frame.header, body });
                }
                Next::Partial { bytes } => {
                    while self.received.len() < bytes {
                        if !self.read() {
                            assert!(self.received.is_empty(), "half a frame before the end");
                            return None;
                        }
                    }
                }
            }
        }
    }

    /// Reads more bytes; returns false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut bytes = vec![0; 256 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(len) => {
                self.received.extend_from_slice(&bytes[..len]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            // The engine closed the connection before it read the last bytes.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("cannot read: {error}"),
        }
    }

    /// Adds 1 to the counter `name` as update `number` of a session, and waits for the reply.
    pub(crate) fn add(&mut self, session: u64, number: u64, name: &str) -> i64 {
        self.add_with(RequestHeader { session, number, name, ..RequestHeader::default() })
    }

    /// Does the same for a client that has no reply to its earlier updates.
    pub(crate) fn add_behind(&mut self, session: u64, number: u64, name: &str) -> i64 {
        let acked_gap = u16::try_from(number).expect("few");
        self.add_with(RequestHeader {
            session,
            number,
            acked_gap,
            name,
            ..RequestHeader::default()
        })
    }

    fn add_with(&mut self, ask: RequestHeader<'_>) -> i64 {
        self.send(&ask.frame(ADD));
        match self.receive().reply() {
            Reply::Int(value) => value,
            other => panic!("the reply to an add is {other:?}"),
        }
    }
}

impl Received {
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn status(&self) -> Status {
        assert_eq!(self.header.kind, FrameKind::Reply);
        Status::from_wire(self.header.flags).expect("a known status")
    }

    pub(crate) fn reply(&self) -> Reply<'_> {
        assert_eq!(self.status(), Status::Ok, "{:?}", self.refusal());
        let code = OpCode::from_wire(self.header.op).expect("a known op");
        Reply::decode(code, &self.body).expect("the reply of the op")
    }

    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::decode(self.status(), &self.body).expect("a refusal")
    }
}

/// A request without its op.
#[derive(Clone, Copy)]
pub(crate) struct RequestHeader<'a> {
    pub(crate) session: u64,
    pub(crate) number: u64,
    pub(crate) acked_gap: u16,
    pub(crate) deadline_ms: u32,
    pub(crate) shard: u16,
    pub(crate) name: &'a str,
}

impl Default for RequestHeader<'_> {
    fn default() -> Self {
        RequestHeader {
            session: 0,
            number: 0,
            acked_gap: 1,
            deadline_ms: 0,
            shard: 0,
            name: "object",
        }
    }
}

impl RequestHeader<'_> {
    pub(crate) fn frame(&self, op: Op<'_>) -> Vec<u8> {
        let header = Header {
            op: op.code().to_wire(),
            deadline_ms: self.deadline_ms,
            shard: ShardId(self.shard),
            acked_gap: self.acked_gap,
            session: self.session,
            number: self.number,
            object: ObjectId::of(self.name),
            ..Header::new(FrameKind::Request)
        };
        framed(&header, op)
    }
}

pub(crate) const ADD: Op<'_> = Op::Counter(CounterOp::Add { delta: 1 });
pub(crate) const GET: Op<'_> = Op::Counter(CounterOp::Get);

pub(crate) fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    Hello { features: features::ALL }.write(&mut bytes);
    bytes
}

/// Opens a session in shard 0.
pub(crate) fn open(session: u64, born_us: u64) -> Vec<u8> {
    open_in(ShardId(0), session, born_us)
}

pub(crate) fn open_in(shard: ShardId, session: u64, born_us: u64) -> Vec<u8> {
    let op = SessionOp::Open { born_us, nonce: 1, ttl_ms: 0 };
    let header = Header { op: 1, shard, session, ..Header::new(FrameKind::Request) };
    framed(&header, Op::Session(op))
}

fn framed(header: &Header, op: Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, header, |out| op.encode(out)).expect("the op fits a frame");
    bytes
}
