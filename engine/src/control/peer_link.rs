//! One connection to another node's control port: its queue of unsent messages, how it is made, and
//! how it ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use catena_core::chain::member::PeerMessage;
use catena_core::chain::record::NodeId;
use catena_core::time::Time;
use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, FrameKind, Header, Status, frame};
use tokio::sync::Notify;

use super::frames::FrameError;
use crate::config::PEER_UNSENT_BYTES_MAX;

/// A connection with another node, established or being established.
#[derive(Debug)]
pub(super) struct PeerLink {
    /// The node at the other end.
    pub(super) peer: NodeId,
    /// The incarnation of this node that the link belongs to.
    pub(super) incarnation: NodeId,
    unsent: RefCell<Vec<u8>>,
    /// Wakes the sender: there are unsent messages.
    pub(super) wake: Notify,
    /// Tells the tasks of the link to end.
    pub(super) closed: Notify,
    /// The link ends when its unsent messages are sent.
    finishing: Cell<bool>,
    /// The tasks of the link have ended.
    pub(super) ended: Notify,
}

impl PeerLink {
    pub(super) fn new(peer: NodeId, incarnation: NodeId) -> Rc<PeerLink> {
        Rc::new(PeerLink {
            peer,
            incarnation,
            unsent: RefCell::default(),
            wake: Notify::new(),
            closed: Notify::new(),
            finishing: Cell::new(false),
            ended: Notify::new(),
        })
    }

    /// Ends the link when its unsent messages are sent.
    pub(super) fn finish(&self) {
        self.finishing.set(true);
        self.wake.notify_one();
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    /// Queues a message, or drops it if the queue is full: any message may be lost.
    /// `day` is the time of day.
    pub(super) fn push(&self, day: Time, message: &PeerMessage) {
        let bytes = encode(day, message);
        let mut unsent = self.unsent.borrow_mut();
        if unsent.len() + bytes.len() > PEER_UNSENT_BYTES_MAX {
            tracing::debug!(peer = %self.peer, "dropped a message: the queue of the link is full");
            return;
        }
        unsent.extend_from_slice(&bytes);
        self.wake.notify_one();
    }

    /// Returns the queued messages and empties the queue.
    pub(super) fn take_unsent(&self) -> Vec<u8> {
        self.unsent.take()
    }
}

/// How to connect to a peer.
#[derive(Debug)]
pub(super) struct PeerRoute {
    pub(super) address: SocketAddr,
    /// The first frame to send.
    pub(super) hello: PeerHello,
    /// How long sent bytes may stay unacknowledged before the connection counts as broken.
    pub(super) user_timeout_ms: u32,
}

/// Why a connection to another node ended, or could not be established.
#[derive(Debug)]
pub(super) enum PeerLinkError {
    /// The connection could not be established, or broke.
    Io(io::Error),
    /// No reply came in time.
    TimedOut,
    /// The other side closed the connection.
    Closed,
    /// The other side refused this node.
    Refused(Fault),
    /// The other side sent bytes that are not a frame of this protocol.
    Invalid(Fault),
    /// This node closed the connection.
    Dropped,
}

impl PeerLinkError {
    /// Returns whether another process than the expected one replied: the node's process has ended,
    /// and perhaps another one has started.
    pub(super) fn means_gone(&self) -> bool {
        match self {
            PeerLinkError::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            PeerLinkError::Refused(fault) => fault.status == Status::WrongNode,
            PeerLinkError::TimedOut
            | PeerLinkError::Closed
            | PeerLinkError::Invalid(_)
            | PeerLinkError::Dropped => false,
        }
    }
}

impl std::fmt::Display for PeerLinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PeerLinkError::Io(error) => error.fmt(f),
            PeerLinkError::TimedOut => f.write_str("no reply in time"),
            PeerLinkError::Closed => f.write_str("it closed the connection"),
            PeerLinkError::Refused(fault) | PeerLinkError::Invalid(fault) => fault.fmt(f),
            PeerLinkError::Dropped => f.write_str("the connection is not used any more"),
        }
    }
}

impl From<FrameError> for PeerLinkError {
    fn from(error: FrameError) -> PeerLinkError {
        match error {
            FrameError::Closed => PeerLinkError::Closed,
            FrameError::Io(error) => PeerLinkError::Io(error),
            FrameError::Invalid(fault) => PeerLinkError::Invalid(fault),
        }
    }
}

fn encode(day: Time, message: &PeerMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { number: day.0, ..Header::new(FrameKind::PeerMessage) };
    frame::write(&mut bytes, &header, |out| {
        serde_json::to_writer(out, message).expect("a message has string keys only");
    })
    .expect("a record is far smaller than a frame may be");
    bytes
}
