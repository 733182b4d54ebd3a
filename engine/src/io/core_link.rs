//! Core links: the connections between a core and the cores of other nodes that own the same
//! shards.
//!
//! 1. Two cores have one link, whichever of them made it. It carries frames of all shards that both
//!    own.
//! 2. The frames of one turn for one peer go out in one write.
//! 3. A link is read however much waits to be written on it: two nodes never wait for each other to
//!    read.
//! 4. Between two members, the one with the smaller id connects. A node that is not a member
//!    connects to the source of its state transfer. A failed attempt is repeated for as long as the
//!    link is needed.

use std::cell::RefCell;
use std::collections::{BTreeMap, btree_map};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::peer::{self, PeerHello};
use catena_protocol::{Fault, Frame, FrameKind, Refusal, ShardId, Status};

use super::buffer::ReadBuffer;
use super::cluster::ClusterState;
use super::conn::{self, Conn, ConnRole, NextAction};
use super::core::Core;
use super::notice::Notice;
use super::runtime;
use super::stream::Stream;
use catena_core::chain::record::NodeId;
use catena_core::time::Time;

/// A core of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerCore {
    pub(super) node: NodeId,
    /// The index of the core in its node.
    pub(super) core: u16,
    /// The number of cores of its node.
    pub(super) cores: u16,
}

impl PeerCore {
    /// Returns whether it owns a shard.
    pub(super) fn owns(self, shard: ShardId) -> bool {
        shard.0 % self.cores == self.core
    }
}

/// An established link.
pub(super) struct CoreLink {
    pub(super) peer: PeerCore,
    pub(super) conn: Rc<Conn>,
}

/// The attempts to connect to peers that are under way.
#[derive(Default)]
pub(super) struct ConnectAttempts(RefCell<BTreeMap<PeerCore, ConnectAttempt>>);

impl ConnectAttempts {
    /// Removes an attempt that has succeeded or is not needed any more.
    pub(super) fn remove(&self, peer: PeerCore) {
        self.0.borrow_mut().remove(&peer);
    }
}

#[derive(Clone, Copy, Debug)]
struct ConnectAttempt {
    /// Failures in a row.
    failures: u32,
    since: Time,
}

/// The node gets a notice after this many failures in a row.
const FAILURES_MAX: u32 = 3;

/// Timeout of an attempt until there is a connection …
const CONNECT_MS: u64 = 500;

/// … and until the other end has replied to the hello.
const HELLO_MS: u32 = 1_000;

/// Bytes that stay unacknowledged for this long mean a dead path.
const UNACKNOWLEDGED_MS: u32 = 2_000;

/// The pause after a failure, multiplied by the failures in a row …
const RETRY_MS: u64 = 50;

/// … up to this.
const RETRY_MS_MAX: u64 = 500;

impl Core {
    /// Starts to connect to a core of another node, unless an attempt is under way.
    pub(super) fn connect(
        self: &Rc<Core>,
        cluster: &ClusterState,
        peer: PeerCore,
        address: SocketAddr,
    ) {
        let now = self.now();
        let mut attempts = cluster.attempts.0.borrow_mut();
        if let btree_map::Entry::Vacant(entry) = attempts.entry(peer) {
            entry.insert(ConnectAttempt { failures: 0, since: now });
            runtime::spawn(attempt(self.clone(), peer, address, 0));
        }
    }

    /// Repeats an attempt that has failed, if the link is still needed.
    fn on_attempt_failed(self: &Rc<Core>, peer: PeerCore) {
        let Some(cluster) = self.cluster() else { return };
        let mut attempts = cluster.attempts.0.borrow_mut();
        let Some(failed) = attempts.get_mut(&peer) else { return };
        let failures = failed.failures + 1;
        if failures == FAILURES_MAX {
            self.notify_node(Notice::Link { peer: peer.node, up: false });
        }
        let address = self.address_to_connect(cluster, peer);
        let Some(address) = address.filter(|_| !self.is_stopping()) else {
            attempts.remove(&peer);
            return;
        };
        *failed = ConnectAttempt { failures, since: self.now() };
        runtime::spawn(attempt(self.clone(), peer, address, failures));
    }

    /// Breaks connections whose hello has had no reply for too long, so that their attempts fail.
    pub(super) fn expire_attempts(&self, cluster: &ClusterState) {
        let now = self.now();
        let attempts = cluster.attempts.0.borrow();
        let is_late = |peer: &PeerCore| {
            attempts.get(peer).is_some_and(|attempt| now >= attempt.since.plus_ms(HELLO_MS))
        };
        self.conns.for_each(|conn| {
            if matches!(conn.role.get(), ConnRole::Connecting(peer) if is_late(&peer)) {
                conn.abandon();
            }
        });
    }

    /// Handles the hello of another node.
    pub(super) fn on_peer_hello(
        &self,
        conn: &Rc<Conn>,
        frame: &Frame<'_>,
        unsent: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let hello = PeerHello::decode(frame.body)?;
        let cluster = self.cluster().ok_or(Fault::new(Status::WrongCluster))?;
        let (shards, from) = (self.shard_count(), NodeId(hello.from));
        if hello.cluster != cluster.name {
            return Err(Fault::new(Status::WrongCluster).into());
        }
        peer::check_version(&frame.header)?;
        if hello.to != cluster.incarnation.get().0 {
            return Err(Fault::new(Status::WrongNode).into());
        }
        if hello.shards != shards {
            let (ours, theirs) = (shards.into(), hello.shards.into());
            return Err(Fault::expected(Status::BadShard, ours, theirs).into());
        }
        if hello.core >= hello.cores {
            return Err(Fault::new(Status::BadBody).into());
        }
        if cluster.view().is_some_and(|view| view.record.is_retired(from)) {
            return Err(Fault::new(Status::Retired).into());
        }
        peer::write_welcome(unsent);
        let peer = PeerCore { node: from, core: hello.core, cores: hello.cores };
        self.establish(cluster, conn, peer);
        Ok(())
    }

    /// Uses a connection as the link to a peer from now on, in place of an earlier one.
    fn establish(&self, cluster: &ClusterState, conn: &Rc<Conn>, peer: PeerCore) {
        conn.role.set(ConnRole::Peer(peer));
        cluster.attempts.remove(peer);
        let link = CoreLink { peer, conn: conn.clone() };
        let replaced = {
            let mut links = self.links.borrow_mut();
            match links.iter_mut().find(|link| link.peer == peer) {
                Some(earlier) => Some(std::mem::replace(earlier, link)),
                None => {
                    links.push(link);
                    None
                }
            }
        };
        if let Some(CoreLink { conn, .. }) = replaced {
            conn.abandon();
        }
        tracing::debug!(peer = %peer.node, core = peer.core, "linked");
        self.for_each_replica(|shard, replica, out| {
            if peer.owns(shard) {
                replica.on_link(peer.node, out);
            }
        });
        self.notify_node(Notice::Link { peer: peer.node, up: true });
    }

    /// Handles the end of a connection, which may have been a link or an attempt.
    pub(super) fn on_conn_end(self: &Rc<Core>, conn: &Rc<Conn>) {
        match conn.role.get() {
            ConnRole::New | ConnRole::Client => {}
            ConnRole::Connecting(peer) => self.on_attempt_failed(peer),
            ConnRole::Peer(peer) => {
                let mut links = self.links.borrow_mut();
                let before = links.len();
                links.retain(|link| !Rc::ptr_eq(&link.conn, conn));
                let was_used = links.len() < before;
                drop(links);
                if was_used && let Some(cluster) = self.cluster() {
                    tracing::debug!(peer = %peer.node, core = peer.core, "link broke");
                    self.on_link_lost(cluster, peer.node);
                }
            }
        }
    }

    /// Serves the frames that came from another node.
    pub(super) fn turn_link(&self, conn: &Rc<Conn>, buffer: &mut ReadBuffer) -> NextAction {
        let now = self.begin_turn();
        let mut refusals = Vec::new();
        let action = conn::serve_frames(
            buffer,
            FRAME_BYTES_MAX,
            &mut refusals,
            |_, _| false,
            |frame, refusals| match self.serve_link(conn, now, frame) {
                Ok(()) => None,
                Err(refusal) => {
                    conn::write_refusal(refusals, &refusal);
                    Some(NextAction::Close)
                }
            },
        );
        conn.unsent.borrow_mut().extend_from_slice(&refusals);
        self.continue_state_transfer();
        self.flush_touched();
        if let Some(cluster) = self.cluster() {
            self.report_rest(cluster);
        }
        action
    }

    /// Serves one frame from another node. An error ends the connection.
    fn serve_link(&self, conn: &Rc<Conn>, now: Time, frame: &Frame<'_>) -> Result<(), Refusal> {
        let cluster = self.cluster().ok_or(Fault::new(Status::WrongCluster))?;
        let header = &frame.header;
        let peer = match (conn.role.get(), header.kind) {
            (ConnRole::Connecting(peer), FrameKind::PeerWelcome) => {
                self.establish(cluster, conn, peer);
                return Ok(());
            }
            (ConnRole::Connecting(peer), FrameKind::Reply) => {
                let refusal = Status::from_wire(header.flags)
                    .filter(|status| *status != Status::Ok)
                    .and_then(|status| Refusal::decode(status, frame.body).ok());
                let why = refusal.map_or_else(|| "no reason".into(), |refusal| refusal.to_string());
                tracing::debug!(peer = %peer.node, core = peer.core, why, "refused as a peer");
                return Err(Fault::new(Status::BadFrameKind).into());
            }
            (ConnRole::Peer(peer), _) => peer,
            _ => return frame.expect_kind(FrameKind::PeerWelcome).map_err(Refusal::from),
        };
        let index = self.shard_index(header.shard).filter(|_| peer.owns(header.shard));
        let Some(index) = index else {
            let shards = self.shard_count().into();
            return Err(Fault::expected(Status::BadShard, shards, header.shard.0.into()).into());
        };
        let (from, now) = (peer.node, self.time_of_day(now));
        match header.kind {
            FrameKind::Forward => {
                self.with_replica(index, |replica, out| replica.on_forward(from, now, frame, out));
            }
            FrameKind::Ack => {
                self.with_replica(index, |replica, out| replica.on_ack(from, header, out));
            }
            FrameKind::Resume => {
                self.with_replica(index, |replica, out| replica.on_resume(from, header, out));
            }
            FrameKind::Digest => {
                self.with_replica(index, |replica, out| replica.on_digest(from, header, out));
            }
            FrameKind::Snapshot => {
                self.with_replica(index, |replica, out| replica.on_snapshot(from, now, frame, out));
            }
            _ => frame.expect_kind(FrameKind::Forward)?,
        }
        Ok(())
    }
}

/// Connects to a peer and sends the hello. The attempt ends with the reply to it, or with the
/// connection.
async fn attempt(core: Rc<Core>, peer: PeerCore, address: SocketAddr, failures: u32) {
    let pause_ms = (RETRY_MS * u64::from(failures)).min(RETRY_MS_MAX);
    if pause_ms > 0 {
        runtime::sleep(Duration::from_millis(pause_ms)).await;
    }
    let stream = Stream::connect(address, Duration::from_millis(CONNECT_MS)).await;
    match stream.and_then(with_link_options) {
        Ok(stream) if !core.is_stopping() => {
            let Some(cluster) = core.cluster() else { return };
            let conn = conn::start(&core, stream, address.ip(), ConnRole::Connecting(peer));
            PeerHello {
                from: cluster.incarnation.get().0,
                to: peer.node.0,
                shards: core.shard_count(),
                core: core.index(),
                cores: core.core_count(),
                cluster: cluster.name.clone(),
            }
            .write(&mut conn.unsent.borrow_mut());
            conn.flush_wanted.notify();
        }
        Ok(_) => {}
        Err(error) => {
            tracing::debug!(peer = %peer.node, %address, %error, "cannot connect to a peer");
            core.on_attempt_failed(peer);
        }
    }
}

/// Sets the options of a link's socket.
fn with_link_options(stream: Stream) -> io::Result<Stream> {
    stream.set_nodelay()?;
    stream.set_user_timeout(UNACKNOWLEDGED_MS)?;
    Ok(stream)
}
