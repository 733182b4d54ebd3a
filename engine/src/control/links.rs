//! The connections with other nodes, whoever made them. One with each is enough: the newest is used.
//!
//! A node that is not in the record is reached over the connection on which it spoke. To the others a
//! connection is made when there is something to say and there is none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, FrameKind, Header, Status, frame};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

use super::greet::{self, Trouble};
use super::node::Event;
use crate::config::{
    DIAL_AGAIN_MS, DIAL_AGAIN_MS_MAX, PEER_LINKS_EACH_MAX, PEER_LINKS_MAX, PEER_UNSENT_BYTES_MAX,
};
use catena_core::chain::member::PeerMessage;
use catena_core::chain::record::NodeId;
use catena_core::time::Time;

/// A connection with another node, made or being made.
#[derive(Debug)]
pub(super) struct Link {
    /// Who is at the other end.
    pub(super) peer: NodeId,
    /// Which life of this node it is for.
    pub(super) life: NodeId,
    unsent: RefCell<Vec<u8>>,
    /// There is something to send.
    pub(super) wake: Notify,
    /// It is not wanted any more.
    pub(super) unwanted: Notify,
}

impl Link {
    fn new(peer: NodeId, life: NodeId) -> Rc<Link> {
        Rc::new(Link {
            peer,
            life,
            unsent: RefCell::default(),
            wake: Notify::new(),
            unwanted: Notify::new(),
        })
    }

    /// Sends a frame, unless too much waits already.
    fn push(&self, frame: &[u8]) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.len() + frame.len() > PEER_UNSENT_BYTES_MAX {
            tracing::debug!(peer = %self.peer, "a message is dropped: too many wait");
            return;
        }
        unsent.extend_from_slice(frame);
        self.wake.notify_one();
    }

    /// What is to be sent.
    pub(super) fn take_unsent(&self) -> Vec<u8> {
        self.unsent.take()
    }
}

/// How a peer is reached, if anybody knows, and what to say there first.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    pub(super) hello: PeerHello,
    /// How long sent bytes may stay unconfirmed before the connection counts as broken.
    pub(super) user_timeout_ms: u32,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Links {
    peers: BTreeMap<NodeId, Peer>,
    events: mpsc::Sender<Event>,
}

#[derive(Debug, Default)]
struct Peer {
    /// The newest last.
    open: Vec<Rc<Link>>,
    dialling: Option<Rc<Link>>,
    failures: u32,
    dial_not_before: Time,
    /// The last trouble with it that people were told of since it was reached.
    said: Option<String>,
    /// The last of what it said that nobody understood. It may well be reached, and say it again.
    nonsense: Option<String>,
}

impl Links {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Links {
        Links { peers: BTreeMap::new(), events }
    }

    /// Sends a message if there is a way. It may be lost.
    pub(super) fn send(
        &mut self,
        now: Time,
        (me, to): (NodeId, NodeId),
        message: &PeerMessage,
        way: Option<Way>,
    ) {
        let peer = match self.peers.get_mut(&to) {
            Some(peer) => peer,
            None if way.is_some() => self.peers.entry(to).or_default(),
            None => return,
        };
        if let Some(link) = peer.open.last().or(peer.dialling.as_ref()) {
            return link.push(&encode(message));
        }
        if let Some(way) = way.filter(|_| now >= peer.dial_not_before) {
            let link = Link::new(to, me);
            link.push(&encode(message));
            spawn_local(greet::dial(link.clone(), way, self.events.clone()));
            peer.dialling = Some(link);
        }
    }

    /// Takes a connection that another node made.
    ///
    /// # Errors
    ///
    /// `TooManyConnections`.
    pub(super) fn admit(&mut self, me: NodeId, from: NodeId) -> Result<Rc<Link>, Fault> {
        let count: usize = self.peers.values().map(|peer| peer.open.len()).sum();
        if count >= PEER_LINKS_MAX {
            let (limit, got) = (PEER_LINKS_MAX as u64, count as u64 + 1);
            return Err(Fault::expected(Status::TooManyConnections, limit, got));
        }
        let link = Link::new(from, me);
        self.peers.entry(from).or_default().open(link.clone());
        Ok(link)
    }

    /// A connection that this node made is there. Returns whether there was trouble before.
    pub(super) fn on_open(&mut self, link: &Rc<Link>) -> bool {
        let peer = self.peers.entry(link.peer).or_default();
        if peer.dialling.as_ref().is_some_and(|dialling| Rc::ptr_eq(dialling, link)) {
            peer.dialling = None;
        }
        peer.failures = 0;
        peer.open(link.clone());
        peer.said.take().is_some()
    }

    /// A connection broke, or could not be made. Returns whether to tell people of this trouble: not that
    /// a connection broke, nor what they have been told.
    pub(super) fn on_closed(&mut self, now: Time, link: &Rc<Link>, trouble: &Trouble) -> bool {
        let Some(peer) = self.peers.get_mut(&link.peer) else { return false };
        peer.open.retain(|open| !Rc::ptr_eq(open, link));
        if peer.dialling.as_ref().is_some_and(|dialling| Rc::ptr_eq(dialling, link)) {
            peer.dialling = None;
            let wait_ms = (DIAL_AGAIN_MS << peer.failures.min(10)).min(DIAL_AGAIN_MS_MAX);
            peer.dial_not_before = now.plus_ms(wait_ms);
            peer.failures += 1;
        } else if !matches!(trouble, Trouble::Nonsense(_)) {
            return false;
        }
        let text = trouble.to_string();
        let is_news = peer.said.as_ref() != Some(&text) && peer.nonsense.as_ref() != Some(&text);
        if is_news && matches!(trouble, Trouble::Nonsense(_)) {
            peer.nonsense = Some(text);
        } else if is_news {
            peer.said = Some(text);
        }
        is_news
    }

    /// How often in a row a node could not be connected to.
    pub(super) fn failures(&self, node: NodeId) -> u32 {
        self.peers.get(&node).map_or(0, |peer| peer.failures)
    }

    /// Forgets whoever is not connected and not among these.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(NodeId) -> bool) {
        self.peers.retain(|node, peer| {
            !peer.open.is_empty() || peer.dialling.is_some() || is_wanted(*node)
        });
    }

    /// Closes all connections: this life of the node is over.
    pub(super) fn close(&mut self) {
        for peer in std::mem::take(&mut self.peers).into_values() {
            peer.open.iter().chain(&peer.dialling).for_each(|link| link.unwanted.notify_one());
        }
    }
}

impl Peer {
    fn open(&mut self, link: Rc<Link>) {
        if self.open.len() >= PEER_LINKS_EACH_MAX {
            self.open.remove(0).unwanted.notify_one();
        }
        self.open.push(link);
    }
}

fn encode(message: &PeerMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, &Header::new(FrameKind::PeerMessage), |out| {
        serde_json::to_writer(out, message).expect("a message has string keys only");
    })
    .expect("a record is far smaller than a frame may be");
    bytes
}
