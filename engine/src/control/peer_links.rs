//! All connections with other nodes, whichever side made them. One per node is enough: the newest is
//! used.
//!
//! A node that is not in the record is reached over the connection on which it sent something. To the
//! others this node connects when it has a message for them and there is no connection.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use catena_core::chain::member::PeerMessage;
use catena_core::chain::record::NodeId;
use catena_core::time::Time;
use catena_protocol::{Fault, Status};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::event::ControlEvent;
use super::handshake;
use super::peer_link::{PeerLink, PeerLinkError, PeerRoute};
use crate::config::{
    DIAL_RETRY_MS, DIAL_RETRY_MS_MAX, LINK_FINISH_MS_MAX, PEER_LINKS_MAX, PEER_LINKS_PER_NODE_MAX,
};

/// The connections with other nodes.
#[derive(Debug)]
pub(super) struct PeerLinks {
    peers: BTreeMap<NodeId, PeerState>,
    /// The connections that were closed last.
    closing: Vec<Rc<PeerLink>>,
    events: mpsc::Sender<ControlEvent>,
}

#[derive(Debug, Default)]
struct PeerState {
    /// The newest last.
    open: Vec<Rc<PeerLink>>,
    dialling: Option<Rc<PeerLink>>,
    /// Failed attempts to connect, in a row.
    failures: u32,
    dial_not_before: Time,
    /// The last error that was logged since the peer was reached.
    logged_error: Option<String>,
    /// The last invalid frame that was logged. It outlives a successful connection, because a peer
    /// that can be reached may send the same again.
    logged_invalid: Option<String>,
}

impl PeerLinks {
    pub(super) fn new(events: mpsc::Sender<ControlEvent>) -> PeerLinks {
        PeerLinks { peers: BTreeMap::new(), closing: Vec::new(), events }
    }

    /// Sends a message if there is a connection or a route. The message may be lost. `now` is by the
    /// node's own clock, `day` the time of day.
    pub(super) fn send(
        &mut self,
        (now, day): (Time, Time),
        (me, to): (NodeId, NodeId),
        message: &PeerMessage,
        route: Option<PeerRoute>,
    ) {
        let peer = match self.peers.get_mut(&to) {
            Some(peer) => peer,
            None if route.is_some() => self.peers.entry(to).or_default(),
            None => return,
        };
        if let Some(link) = peer.open.last().or(peer.dialling.as_ref()) {
            return link.push(day, message);
        }
        if let Some(route) = route.filter(|_| now >= peer.dial_not_before) {
            let link = PeerLink::new(to, me);
            link.push(day, message);
            spawn_local(handshake::dial(link.clone(), route, self.events.clone()));
            peer.dialling = Some(link);
        }
    }

    /// Accepts a connection that another node made.
    ///
    /// # Errors
    ///
    /// `TooManyConnections`.
    pub(super) fn accept(&mut self, me: NodeId, from: NodeId) -> Result<Rc<PeerLink>, Fault> {
        let count: usize = self.peers.values().map(|peer| peer.open.len()).sum();
        if count >= PEER_LINKS_MAX {
            let (limit, got) = (PEER_LINKS_MAX as u64, count as u64 + 1);
            return Err(Fault::expected(Status::TooManyConnections, limit, got));
        }
        let link = PeerLink::new(from, me);
        self.peers.entry(from).or_default().open(link.clone());
        Ok(link)
    }

    /// Handles that a connection of this node is established; returns whether an error with the peer
    /// was logged before.
    pub(super) fn on_open(&mut self, link: &Rc<PeerLink>) -> bool {
        let peer = self.peers.entry(link.peer).or_default();
        if peer.dialling.as_ref().is_some_and(|dialling| Rc::ptr_eq(dialling, link)) {
            peer.dialling = None;
        }
        peer.failures = 0;
        peer.open(link.clone());
        peer.logged_error.take().is_some()
    }

    /// Handles that a connection broke or could not be established; returns whether to log the error.
    /// A connection that only broke is not worth a line, nor is an error that was logged before.
    pub(super) fn on_closed(
        &mut self,
        now: Time,
        link: &Rc<PeerLink>,
        error: &PeerLinkError,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&link.peer) else { return false };
        peer.open.retain(|open| !Rc::ptr_eq(open, link));
        if peer.dialling.as_ref().is_some_and(|dialling| Rc::ptr_eq(dialling, link)) {
            peer.dialling = None;
            let wait_ms = (DIAL_RETRY_MS << peer.failures.min(10)).min(DIAL_RETRY_MS_MAX);
            peer.dial_not_before = now.plus_ms(wait_ms);
            peer.failures += 1;
        } else if !matches!(error, PeerLinkError::Invalid(_)) {
            return false;
        }
        let text = error.to_string();
        let is_new = peer.logged_error.as_ref() != Some(&text)
            && peer.logged_invalid.as_ref() != Some(&text);
        if is_new && matches!(error, PeerLinkError::Invalid(_)) {
            peer.logged_invalid = Some(text);
        } else if is_new {
            peer.logged_error = Some(text);
        }
        is_new
    }

    /// Returns how many attempts in a row to connect to a node have failed.
    pub(super) fn failures(&self, node: NodeId) -> u32 {
        self.peers.get(&node).map_or(0, |peer| peer.failures)
    }

    /// Forgets the nodes that are neither connected nor wanted.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(NodeId) -> bool) {
        self.peers.retain(|node, peer| {
            !peer.open.is_empty() || peer.dialling.is_some() || is_wanted(*node)
        });
    }

    /// Closes all connections, because this incarnation of the node is over. What waits is sent
    /// before.
    pub(super) fn close(&mut self) {
        self.closing.clear();
        for peer in std::mem::take(&mut self.peers).into_values() {
            peer.dialling.iter().for_each(|link| link.closed.notify_one());
            for link in peer.open {
                link.finish();
                self.closing.push(link.clone());
                spawn_local(async move {
                    // The other side may not read.
                    tokio::time::sleep(Duration::from_millis(LINK_FINISH_MS_MAX)).await;
                    link.closed.notify_one();
                });
            }
        }
    }

    /// Closes all connections, unless that has been done, and waits until they have ended.
    pub(super) async fn closed(&mut self) {
        if !self.peers.is_empty() {
            self.close();
        }
        for link in std::mem::take(&mut self.closing) {
            link.ended.notified().await;
        }
    }
}

impl PeerState {
    fn open(&mut self, link: Rc<PeerLink>) {
        if self.open.len() >= PEER_LINKS_PER_NODE_MAX {
            self.open.remove(0).closed.notify_one();
        }
        self.open.push(link);
    }
}
