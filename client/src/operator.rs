//! Requests of operators to the nodes of a cluster, at their control ports: read a node's state,
//! remove a member, let a removed node rejoin.
//!
//! An [`Operator`] is a connection to one node, and needs no client. Each node is asked separately,
//! because each has its own view of the others; [`Client::cluster`](crate::Client::cluster) has
//! their addresses.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
pub use catena_protocol::operator::{MemberStatus, NodeStatus, ShardStatus};
use catena_protocol::operator::{Reply as OperatorReply, Request as OperatorRequest};
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

/// Why a request of an operator failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The address is not valid, or its name cannot be resolved.
    #[error(
        "`{address}` cannot be used as an address ({source}): give host:port of a node's control \
         port"
    )]
    BadAddress {
        /// The address as it was given.
        address: Box<str>,
        /// The error of the resolver.
        r#source: std::io::Error,
    },
    /// No node answers there.
    #[error("no node answers at its control port {address} ({})", reason(source))]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// Why.
        r#source: std::io::Error,
    },
    /// The peer accepts no operators.
    #[error(
        "{address} accepts no operators ({fault}): check that it is the control port of a node in \
         a cluster"
    )]
    Unwelcome {
        /// The address.
        address: SocketAddr,
        /// Why.
        fault: Fault,
    },
    /// The reply is not valid.
    #[error(
        "the reply from {address} is not valid ({fault}): check that it is a node's control port"
    )]
    Garbled {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The node refuses the request.
    #[error("the node at {address} refuses: {reason}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The reason that the node gives.
        reason: String,
    },
}

/// All methods fail with [`OperatorError`].
impl Operator {
    /// Connects to the control port of a node, `host:port`. `timeout` is the maximum time for that,
    /// and for each request afterwards.
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

    /// Returns the address of the control port.
    pub fn address(&self) -> SocketAddr {
        self.connection.peer
    }

    /// Returns the state of the node.
    pub fn status(&mut self) -> Result<NodeStatus, OperatorError> {
        match self.ask(&OperatorRequest::Status)? {
            OperatorReply::Status(status) => Ok(*status),
            other => Err(self.unexpected(other)),
        }
    }

    /// Asks the node to remove a member, or to leave if it is that member. Success means that the
    /// node has accepted the request, not that the member is removed.
    pub fn remove(&mut self, node: u128) -> Result<(), OperatorError> {
        self.order(&OperatorRequest::Remove(node))
    }

    /// Asks a removed node, which waits before it rejoins, to rejoin now. A node that is joining
    /// already accepts it, too; a member refuses.
    pub fn join(&mut self) -> Result<(), OperatorError> {
        self.order(&OperatorRequest::Join)
    }

    fn order(&mut self, request: &OperatorRequest) -> Result<(), OperatorError> {
        match self.ask(request)? {
            OperatorReply::Accepted => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    fn ask(&mut self, request: &OperatorRequest) -> Result<OperatorReply, OperatorError> {
        let deadline = Instant::now() + self.timeout;
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        self.send(&bytes, deadline)?;
        self.receive(FrameKind::OperatorReply, deadline, OperatorReply::decode)
    }

    fn unexpected(&self, reply: OperatorReply) -> OperatorError {
        let address = self.address();
        match reply {
            OperatorReply::Refused(reason) => OperatorError::Refused { address, reason },
            OperatorReply::Accepted | OperatorReply::Status(_) => {
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

    /// Receives the next frame, which has to be of this kind, or a refusal.
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
            // No view holds the old buffer, so it is dropped.
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

/// The error of a frame that was not expected, which may be a refusal.
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
