//! What operators ask of the nodes of a cluster, at their control ports: how they stand, to have one
//! removed, to come back.
//!
//! An [`Operator`] is a connection to one node. Nodes are asked one by one, for each has its own sight
//! of the others; [`Client::cluster`](crate::Client::cluster) says where they are. It is about nodes
//! only, and needs no client.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
pub use catena_protocol::operator::{MemberStatus, NodeStatus, ShardStatus};
use catena_protocol::operator::{Reply, Request};
use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, FrameKind, HEADER_BYTES, Refusal, Status};

use crate::buffer::Buffer;
use crate::config::{BUFFER_BYTES, Config};
use crate::connection::Connection;
use crate::error::reason;

/// A connection to the control port of a node.
#[derive(Debug)]
pub struct Operator {
    connection: Connection,
    buffer: Buffer,
    timeout: Duration,
}

/// Why a node did not do, or say, what an operator wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The address cannot be used as one.
    #[error(
        "`{address}` cannot be used as an address ({source}): give a node's control port as host:port"
    )]
    BadAddress {
        /// The address as it was given.
        address: Box<str>,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// Nobody answers there, or no more.
    #[error("no node answers at its control port {address} ({})", reason(source))]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// What happened.
        source: std::io::Error,
    },
    /// What answers takes no operators, or none now.
    #[error("{address} takes no operator: {fault}. Is it a node's control port?")]
    Unwelcome {
        /// The address.
        address: SocketAddr,
        /// Why.
        fault: Fault,
    },
    /// What came back makes no sense.
    #[error("what came back from {address} makes no sense ({fault}): is it a node's control port?")]
    Garbled {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The node says why it does not do it.
    #[error("the node at {address} refuses: {reason}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// In its words.
        reason: String,
    },
}

/// All methods fail with [`OperatorError`].
impl Operator {
    /// Connects to the node whose control port is at `address`, `host:port`. `timeout` is how long that
    /// may take, and each question afterwards.
    pub fn connect(address: &str, timeout: Duration) -> Result<Operator, OperatorError> {
        let bad = |source| OperatorError::BadAddress { address: address.into(), source };
        let nothing = || std::io::Error::other("the name has no address");
        let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(bad)?.collect();
        let deadline = Instant::now() + timeout;
        let mut failure = bad(nothing());
        for peer in addresses {
            let left = deadline.saturating_duration_since(Instant::now());
            match Operator::connect_to(peer, left, timeout) {
                Ok(operator) => return Ok(operator),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn connect_to(
        peer: SocketAddr,
        left: Duration,
        timeout: Duration,
    ) -> Result<Operator, OperatorError> {
        let deadline = Instant::now() + left;
        let connection = Connection::open(peer, 0, left, &Config::default())
            .map_err(|source| OperatorError::Unreachable { address: peer, source })?;
        let mut operator =
            Operator { connection, buffer: Buffer::with_room(BUFFER_BYTES), timeout };
        let mut hello = Vec::new();
        let (shards, cluster) = (0, String::new());
        PeerHello { from: 0, to: 0, shards, core: 0, cores: 0, cluster }.write(&mut hello);
        operator.send(&hello, deadline)?;
        operator.receive(FrameKind::PeerWelcome, deadline, |_| Ok(()))?;
        Ok(operator)
    }

    /// Where the node is.
    pub fn address(&self) -> SocketAddr {
        self.connection.peer
    }

    /// How the node stands.
    pub fn status(&mut self) -> Result<NodeStatus, OperatorError> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.unexpected(other)),
        }
    }

    /// Asks the node to have another member removed, or to leave if it is the one. That it was told
    /// does not mean that it is done.
    pub fn remove(&mut self, node: u128) -> Result<(), OperatorError> {
        self.tell(&Request::Remove(node))
    }

    /// Asks a node that was removed, and waits to come back, to do that now.
    pub fn join(&mut self) -> Result<(), OperatorError> {
        self.tell(&Request::Join)
    }

    fn tell(&mut self, request: &Request) -> Result<(), OperatorError> {
        match self.ask(request)? {
            Reply::Accepted => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, OperatorError> {
        let deadline = Instant::now() + self.timeout;
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        self.send(&bytes, deadline)?;
        self.receive(FrameKind::OperatorReply, deadline, Reply::decode)
    }

    fn unexpected(&self, reply: Reply) -> OperatorError {
        let address = self.address();
        match reply {
            Reply::Refused(reason) => OperatorError::Refused { address, reason },
            Reply::Accepted | Reply::Status(_) => {
                OperatorError::Garbled { address, fault: Status::BadBody.into() }
            }
        }
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), OperatorError> {
        let mut sent = 0;
        while sent < bytes.len() {
            let left = self.left(deadline)?;
            let written = self.connection.write_within(&bytes[sent..], left);
            sent += written.map_err(|source| self.unreachable(source))?;
        }
        Ok(())
    }

    /// The next frame, which has to be of that kind, or a refusal.
    fn receive<T>(
        &mut self,
        kind: FrameKind,
        deadline: Instant,
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, OperatorError> {
        let address = self.address();
        let garbled = |fault| OperatorError::Garbled { address, fault };
        loop {
            let next = frame::next(self.buffer.unread(), FRAME_BYTES_MAX);
            let wanted = match next.map_err(|error| garbled(error.fault))? {
                Next::Frame(frame) if frame.header.kind == kind => {
                    let decoded = decode(frame.body).map_err(garbled);
                    let bytes = frame.bytes.len();
                    self.buffer.take(bytes);
                    return decoded;
                }
                Next::Frame(frame) => return Err(refusal(address, frame.header.flags, frame.body)),
                Next::Partial { bytes } => bytes.max(HEADER_BYTES as usize),
            };
            self.make_room(wanted);
            let left = self.left(deadline)?;
            let got = self.connection.read_within(self.buffer.spare(), left, Duration::ZERO);
            let got = got.map_err(|source| self.unreachable(source))?;
            self.buffer.received(got.unwrap_or_default());
        }
    }

    fn make_room(&mut self, wanted: usize) {
        if !self.buffer.has_room(wanted) {
            // Nothing is lent out of it: what was taken is gone.
            let mut next = Buffer::with_room(wanted.max(BUFFER_BYTES));
            next.adopt(&self.buffer);
            self.buffer = next;
        }
    }

    fn left(&self, deadline: Instant) -> Result<Duration, OperatorError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(self.unreachable(std::io::ErrorKind::TimedOut.into())),
            false => Ok(left),
        }
    }

    fn unreachable(&self, source: std::io::Error) -> OperatorError {
        OperatorError::Unreachable { address: self.address(), source }
    }
}

/// A frame that was not asked for: why there is no other, at best.
fn refusal(address: SocketAddr, flags: u16, body: &[u8]) -> OperatorError {
    let status = Status::from_wire(flags).filter(|status| *status != Status::Ok);
    let refusal = status
        .ok_or(Fault::new(Status::BadFrameKind))
        .and_then(|status| Refusal::decode(status, body));
    match refusal {
        Ok(Refusal::Fault(fault)) => OperatorError::Unwelcome { address, fault },
        Ok(other) => OperatorError::Garbled { address, fault: other.status().into() },
        Err(fault) => OperatorError::Garbled { address, fault },
    }
}
