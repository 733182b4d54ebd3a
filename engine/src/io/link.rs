//! Links: the connections between a core and the cores of other nodes that own the same shards.
//!
//! 1. Two cores have one link, whoever made it. It carries frames of all shards that both own.
//! 2. What one turn of a core has to say to another goes out in one write.
//! 3. A link is read whatever waits to be written on it: two nodes never wait for one another to read.
//! 4. Among members the one with the smaller id calls; whoever is not a member calls the one that
//!    teaches it. A call that fails is repeated for as long as somebody needs the link.

use std::cell::RefCell;
use std::collections::{BTreeMap, btree_map};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use catena_protocol::peer::{self, PeerHello};
use catena_protocol::{Fault, Frame, FrameKind, Refusal, ShardId, Status};

use super::buffer::ReadBuffer;
use super::chain::Chain;
use super::conn::{self, Conn, Role, Verdict};
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
    /// Which of its cores, and of how many.
    pub(super) core: u16,
    pub(super) cores: u16,
}

impl PeerCore {
    /// Whether it owns a shard.
    pub(super) fn owns(self, shard: ShardId) -> bool {
        shard.0 % self.cores == self.core
    }
}

/// A link that both ends have agreed on.
pub(super) struct Link {
    pub(super) peer: PeerCore,
    pub(super) conn: Rc<Conn>,
}

/// The calls under way, and how often each has failed.
#[derive(Default)]
pub(super) struct Calls(RefCell<BTreeMap<PeerCore, Call>>);

impl Calls {
    /// A call is over, one way or another.
    pub(super) fn forget(&self, peer: PeerCore) {
        self.0.borrow_mut().remove(&peer);
    }
}

#[derive(Clone, Copy, Debug)]
struct Call {
    failures: u32,
    since: Time,
}

/// A call that fails so often in a row is told to the node.
const FAILURES_MAX: u32 = 3;

/// How long a call may take until there is a connection …
const CONNECT_MS: u64 = 500;

/// … and until the other end has answered.
const ANSWER_MS: u32 = 1_000;

/// Bytes that nobody confirms for this long mean a dead path.
const UNCONFIRMED_MS: u32 = 2_000;

/// How long a failed call waits for the next, for every time that it failed …
const AGAIN_MS: u64 = 50;

/// … up to this.
const AGAIN_MS_MAX: u64 = 500;

impl Core {
    /// Calls a core of another node, unless that is being done.
    pub(super) fn call(self: &Rc<Core>, chain: &Chain, peer: PeerCore, address: SocketAddr) {
        let now = self.now();
        let mut calls = chain.calls.0.borrow_mut();
        if let btree_map::Entry::Vacant(entry) = calls.entry(peer) {
            entry.insert(Call { failures: 0, since: now });
            runtime::spawn(connect(self.clone(), peer, address, 0));
        }
    }

    /// A call did not lead to a link.
    fn on_call_failed(self: &Rc<Core>, peer: PeerCore) {
        let Some(chain) = self.chain() else { return };
        let mut calls = chain.calls.0.borrow_mut();
        let Some(call) = calls.get_mut(&peer) else { return };
        let failures = call.failures + 1;
        if failures == FAILURES_MAX {
            self.notice(Notice::Link { peer: peer.node, up: false });
        }
        let address = self.address_to_call(chain, peer);
        let Some(address) = address.filter(|_| !self.is_stopping()) else {
            calls.remove(&peer);
            return;
        };
        *call = Call { failures, since: self.now() };
        runtime::spawn(connect(self.clone(), peer, address, failures));
    }

    /// Hangs up on calls that nobody answers, so that they fail.
    pub(super) fn watch_calls(&self, chain: &Chain) {
        let now = self.now();
        let calls = chain.calls.0.borrow();
        let is_late = |peer: &PeerCore| {
            calls.get(peer).is_some_and(|call| now >= call.since.plus_ms(ANSWER_MS))
        };
        self.conns.for_each(|conn| {
            if matches!(conn.role.get(), Role::Called(peer) if is_late(&peer)) {
                conn.abandon();
            }
        });
    }

    /// Answers a node that says hello.
    pub(super) fn on_peer_hello(
        &self,
        conn: &Rc<Conn>,
        frame: &Frame<'_>,
        unsent: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let hello = PeerHello::decode(frame.body)?;
        let chain = self.chain().ok_or(Fault::new(Status::WrongCluster))?;
        let (shards, from) = (self.shard_count(), NodeId(hello.from));
        if hello.cluster != chain.name {
            return Err(Fault::new(Status::WrongCluster).into());
        }
        if hello.to != chain.life.get().0 {
            return Err(Fault::new(Status::WrongNode).into());
        }
        if hello.shards != shards {
            let (ours, theirs) = (shards.into(), hello.shards.into());
            return Err(Fault::expected(Status::BadShard, ours, theirs).into());
        }
        if hello.core >= hello.cores {
            return Err(Fault::new(Status::BadBody).into());
        }
        if chain.view().is_some_and(|view| view.record.is_retired(from)) {
            return Err(Fault::new(Status::Retired).into());
        }
        peer::write_welcome(unsent);
        self.establish(chain, conn, PeerCore { node: from, core: hello.core, cores: hello.cores });
        Ok(())
    }

    /// Uses a link from now on.
    fn establish(&self, chain: &Chain, conn: &Rc<Conn>, peer: PeerCore) {
        conn.role.set(Role::Peer(peer));
        chain.calls.forget(peer);
        let link = Link { peer, conn: conn.clone() };
        let before = {
            let mut links = self.links.borrow_mut();
            let place = links.iter().position(|link| link.peer == peer);
            match place {
                Some(place) => Some(std::mem::replace(&mut links[place], link)),
                None => {
                    links.push(link);
                    None
                }
            }
        };
        if let Some(Link { conn, .. }) = before {
            conn.abandon();
        }
        tracing::debug!(peer = %peer.node, core = peer.core, "linked");
        self.for_each_replica(|shard, replica, _| {
            if peer.owns(shard) {
                replica.on_link(peer.node);
            }
        });
        self.notice(Notice::Link { peer: peer.node, up: true });
    }

    /// A connection to another node is gone.
    pub(super) fn on_link_end(self: &Rc<Core>, conn: &Rc<Conn>) {
        match conn.role.get() {
            Role::New | Role::Client => {}
            Role::Called(peer) => self.on_call_failed(peer),
            Role::Peer(peer) => {
                let is_it = |link: &Link| Rc::ptr_eq(&link.conn, conn);
                let mut links = self.links.borrow_mut();
                let before = links.len();
                links.retain(|link| !is_it(link));
                let was_used = links.len() < before;
                drop(links);
                if was_used && let Some(chain) = self.chain() {
                    tracing::debug!(peer = %peer.node, core = peer.core, "link broke");
                    self.on_link_lost(chain, peer.node);
                }
            }
        }
    }

    /// Serves the frames that came from another node.
    pub(super) fn turn_link(&self, conn: &Rc<Conn>, buffer: &mut ReadBuffer) -> Verdict {
        self.begin_turn();
        let mut last_words = Vec::new();
        let verdict = conn::drain(
            buffer,
            &mut last_words,
            |_, _| false,
            |frame, last_words| match self.serve_link(conn, frame) {
                Ok(()) => None,
                Err(refusal) => {
                    conn::refuse(last_words, &refusal);
                    Some(Verdict::Close)
                }
            },
        );
        conn.unsent.borrow_mut().extend_from_slice(&last_words);
        self.go_on_teaching();
        self.flush_touched();
        if let Some(chain) = self.chain() {
            self.report_rest(chain);
        }
        verdict
    }

    fn serve_link(&self, conn: &Rc<Conn>, frame: &Frame<'_>) -> Result<(), Refusal> {
        let chain = self.chain().ok_or(Fault::new(Status::WrongCluster))?;
        let header = &frame.header;
        let peer = match (conn.role.get(), header.kind) {
            (Role::Called(peer), FrameKind::PeerWelcome) => {
                self.establish(chain, conn, peer);
                return Ok(());
            }
            (Role::Called(peer), FrameKind::Reply) => {
                let refusal = Status::from_wire(header.flags)
                    .filter(|status| *status != Status::Ok)
                    .and_then(|status| Refusal::decode(status, frame.body).ok());
                let why = refusal.map_or_else(|| "no reason".into(), |refusal| refusal.to_string());
                tracing::debug!(peer = %peer.node, core = peer.core, why, "refused as a peer");
                return Err(Fault::new(Status::BadFrameKind).into());
            }
            (Role::Peer(peer), _) => peer,
            _ => return frame.expect_kind(FrameKind::PeerWelcome).map_err(Refusal::from),
        };
        let index = self.place(header.shard).filter(|_| peer.owns(header.shard));
        let Some(index) = index else {
            let shards = self.shard_count().into();
            return Err(Fault::expected(Status::BadShard, shards, header.shard.0.into()).into());
        };
        let from = peer.node;
        match header.kind {
            FrameKind::Forward => {
                self.with_replica(index, |replica, out| replica.on_forward(from, frame, out));
            }
            FrameKind::Ack => {
                self.with_replica(index, |replica, out| replica.on_ack(from, header, out));
            }
            FrameKind::Resume => {
                self.with_replica(index, |replica, out| replica.on_resume(from, header, out));
            }
            FrameKind::Snapshot => {
                self.with_replica(index, |replica, out| replica.on_snapshot(from, frame, out));
            }
            _ => frame.expect_kind(FrameKind::Forward)?,
        }
        Ok(())
    }
}

/// Connects and says hello; what becomes of it is seen when the connection ends or is answered.
async fn connect(core: Rc<Core>, peer: PeerCore, address: SocketAddr, failures: u32) {
    let again_ms = (AGAIN_MS * u64::from(failures)).min(AGAIN_MS_MAX);
    if again_ms > 0 {
        runtime::sleep(Duration::from_millis(again_ms)).await;
    }
    let stream = Stream::connect(address, Duration::from_millis(CONNECT_MS)).await;
    match stream.and_then(tuned) {
        Ok(stream) if !core.is_stopping() => {
            let Some(chain) = core.chain() else { return };
            let conn = conn::start(&core, stream, Role::Called(peer));
            PeerHello {
                from: chain.life.get().0,
                to: peer.node.0,
                shards: core.shard_count(),
                core: core.number(),
                cores: core.core_count(),
                cluster: chain.name.clone(),
            }
            .write(&mut conn.unsent.borrow_mut());
            conn.flush_wanted.notify();
        }
        Ok(_) => {}
        Err(error) => {
            tracing::debug!(peer = %peer.node, %address, %error, "cannot call");
            core.on_call_failed(peer);
        }
    }
}

/// Makes a socket fit for a link.
fn tuned(stream: Stream) -> io::Result<Stream> {
    stream.set_nodelay()?;
    stream.set_user_timeout(UNCONFIRMED_MS)?;
    Ok(stream)
}
