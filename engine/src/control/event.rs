//! What the control loop reacts to.

use std::net::SocketAddr;
use std::rc::Rc;

use catena_core::chain::member::{CasOutcome, PeerMessage, ReadOutcome};
use catena_core::chain::record::{ChangeId, NodeId};
use catena_core::time::Time;
use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, operator};
use tokio::sync::oneshot;

use super::peer_link::{PeerLink, PeerLinkError};
use crate::io::Notice;

/// Something that the control loop reacts to. Events with an incarnation are dropped if it is over.
#[derive(Debug)]
pub(super) enum ControlEvent {
    /// A core reported something in an incarnation of the node.
    CoreNotice { core: u16, incarnation: NodeId, notice: Notice },
    /// A read of the register ended.
    Read { incarnation: NodeId, reading: ReadOutcome },
    /// An attempt to store a change in the register ended.
    Stored { incarnation: NodeId, change: ChangeId, outcome: CasOutcome },
    /// A write that changes nothing has ended; `done` if it succeeded.
    Probed { incarnation: NodeId, done: bool },
    /// A connection was accepted and sent its PeerHello.
    Hello { hello: PeerHello, from: SocketAddr, admission: oneshot::Sender<Admission> },
    /// A connection that this node makes is established.
    LinkOpened { link: Rc<PeerLink>, at: SocketAddr },
    /// A connection ended, or could not be established.
    LinkClosed { link: Rc<PeerLink>, at: SocketAddr, error: PeerLinkError },
    /// A message of another node arrived. `day` is the time of day by its clock.
    PeerMessage { link: Rc<PeerLink>, message: PeerMessage, day: Time },
    /// A request of an operator arrived.
    OperatorRequest { request: operator::Request, reply: oneshot::Sender<operator::Reply> },
    /// The node was told to stop.
    Stop,
}

/// What the control loop decides about an accepted connection.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is an operator's.
    Operator,
    /// It is another node's.
    Peer { link: Rc<PeerLink>, user_timeout_ms: u32 },
    /// It is refused.
    Refused(Fault),
}
