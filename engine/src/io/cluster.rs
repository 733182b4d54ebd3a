//! A core's part in the cluster: it acts according to its latest view, keeps the core links that
//! its shards need, transfers their state to a learner, and reports to the node.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::operator::ShardStatus;
use catena_protocol::{Members, ShardId};

use super::conn::{Conn, ConnRole};
use super::core::Core;
use super::core_link::{ConnectAttempts, PeerCore};
use super::local_notify::LocalNotify;
use super::notice::{CoreCluster, Notice, Notices};
use crate::config::{LEARNER_STALL_MS, transfer_bytes_max};
use catena_core::chain::assignment::Assignment;
use catena_core::chain::member::MembershipView;
use catena_core::chain::outbox::ReplicaReport;
use catena_core::chain::record::{NodeId, Record};
use catena_core::chain::replica::Replica;
use catena_core::shard::{Census, Time};

/// The state of the cluster, as a core knows it.
pub(super) struct ClusterState {
    pub(super) name: String,
    notices: Notices,
    /// The current incarnation of the node.
    pub(super) incarnation: Cell<NodeId>,
    view: RefCell<Option<Arc<MembershipView>>>,
    /// The members in that view, as clients receive them.
    members: RefCell<Members>,
    /// Whether updates are refused until the order of the chains has changed.
    resting: Cell<bool>,
    /// The number of the view that the node does not know to be in effect here.
    unconfirmed: Cell<Option<u64>>,
    transfers: Cell<Option<ShardTransfers>>,
    /// What each shard had committed when that last changed, and when it was.
    progress: RefCell<Vec<(u64, Time)>>,
    /// Likewise, for shards whose updates wait for a learner.
    learner_progress: RefCell<Vec<(u64, Time)>>,
    pub(super) attempts: ConnectAttempts,
    /// Wakes [`Core::watch_cluster`].
    pub(super) wake: LocalNotify,
}

/// The state transfers of this core's shards to a learner: one after the other, because a state
/// that waits to be sent takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShardTransfers {
    epoch: u32,
    learner: NodeId,
    /// The number of shards whose transfer has begun.
    begun: usize,
}

/// The period of what no event triggers.
const WATCH_MS: u64 = 100;

/// A shard is stalled if it has uncommitted updates and commits none for this long.
const STALL_MS: u32 = 2_000;

impl ClusterState {
    pub(super) fn new(cluster: CoreCluster, shards: usize) -> ClusterState {
        let CoreCluster { name, life, notices } = cluster;
        ClusterState {
            name,
            notices,
            incarnation: Cell::new(life),
            view: RefCell::new(None),
            members: RefCell::new(Members::default()),
            resting: Cell::new(false),
            unconfirmed: Cell::new(None),
            transfers: Cell::new(None),
            progress: RefCell::new(vec![(0, Time::default()); shards]),
            learner_progress: RefCell::new(vec![(0, Time::default()); shards]),
            attempts: ConnectAttempts::default(),
            wake: LocalNotify::default(),
        }
    }

    /// Returns the latest view of this incarnation.
    pub(super) fn view(&self) -> Option<Arc<MembershipView>> {
        self.view.borrow().clone()
    }

    /// Returns the members, as clients receive them.
    pub(super) fn members(&self) -> Ref<'_, Members> {
        self.members.borrow()
    }

    /// Returns the successor in a shard's chain, and the number of members after it.
    fn successor(&self, shard: ShardId) -> Option<(NodeId, u32)> {
        let position = self.view()?.record.position(shard, self.incarnation.get())?;
        let behind = position.len - position.index - 2;
        Some((position.successor?, u32::try_from(behind).expect("a chain is short")))
    }

    /// Sends a notice to the node. Returns `false` if the queue is full.
    fn send(&self, core: u16, notice: Notice) -> bool {
        self.notices.try_send((core, self.incarnation.get(), notice)).is_ok()
    }
}

impl Core {
    /// Begins another incarnation, with empty shards that no client may use yet.
    pub(super) fn begin_incarnation(self: &Rc<Core>, incarnation: NodeId) {
        let Some(cluster) = self.cluster() else { return };
        cluster.incarnation.set(incarnation);
        cluster.view.replace(None);
        self.epoch.set(0);
        cluster.members.replace(Members::default());
        cluster.resting.set(false);
        cluster.unconfirmed.set(None);
        cluster.transfers.set(None);
        cluster.progress.borrow_mut().fill((0, Time::default()));
        self.links.borrow_mut().clear();
        self.empty_shards();
        self.conns.for_each(|conn| {
            // Frames that were received for the incarnation before may still be in the buffer:
            // without its role the connection does not serve them.
            if let ConnRole::Connecting(peer) = conn.role.replace(ConnRole::New) {
                cluster.attempts.remove(peer);
            }
            conn.abandon();
        });
    }

    /// Acts according to a view from now on.
    pub(super) fn apply_view(self: &Rc<Core>, view: &Arc<MembershipView>) {
        let Some(cluster) = self.cluster() else { return };
        let before = cluster.view.replace(Some(view.clone()));
        self.epoch.set(view.epoch);
        if before.as_ref().is_none_or(|before| before.epoch != view.epoch) {
            cluster.members.replace(members(&view.record));
        }
        self.assign_shards(cluster, view);
        self.continue_state_transfer();
        self.flush_touched();
        self.abandon_retired_peers(view);
        let was_member = before.as_ref().is_some_and(|before| before.member);
        let has_left = was_member && !view.member;
        if has_left || before.is_some_and(|before| self.has_lost_heads(cluster, &before, view)) {
            self.abandon_clients();
        }
        self.connect_to_peers(cluster);
        cluster.resting.set(view.quiescing && view.member);
        self.report_rest(cluster);
        cluster.unconfirmed.set(Some(view.number));
        self.confirm_view(cluster);
    }

    /// Gives every shard its place in a view. If the view has another learner, transfers to the one
    /// before end.
    fn assign_shards(&self, cluster: &ClusterState, view: &MembershipView) {
        let current = cluster.transfers.get().map(|current| (current.epoch, current.learner));
        let wanted = view.learner.map(|learner| (view.epoch, learner));
        let restarts = current != wanted;
        if restarts {
            let transfers = |(epoch, learner)| ShardTransfers { epoch, learner, begun: 0 };
            cluster.transfers.set(wanted.map(transfers));
        }
        let incarnation = cluster.incarnation.get();
        self.begin_turn();
        self.for_each_replica(|shard, replica, out| {
            replica.on_assignment(view.assignment(incarnation, shard), out);
            if restarts {
                replica.stop_transfer(out);
            }
        });
    }

    /// Breaks the connections of clients, so that they learn from the new heads what became of
    /// their requests.
    fn abandon_clients(&self) {
        self.conns.for_each(|conn| {
            if conn.role.get() == ConnRole::Client {
                conn.abandon();
            }
        });
    }

    /// Returns whether this node was the head of shards of this core that have another head now.
    fn has_lost_heads(
        &self,
        cluster: &ClusterState,
        before: &MembershipView,
        now: &MembershipView,
    ) -> bool {
        if before.epoch == now.epoch {
            return false;
        }
        let is_ours = |view: &MembershipView, shard| {
            view.record.chain(shard).first() == Some(&cluster.incarnation.get())
        };
        let shards = self.shards.borrow();
        let mut ids = shards.iter().map(|replica| replica.shard().id());
        ids.any(|shard| is_ours(before, shard) && !is_ours(now, shard))
    }

    /// Reports that the latest view is in effect, unless that has been done.
    fn confirm_view(&self, cluster: &ClusterState) {
        if let Some(view) = cluster.unconfirmed.get()
            && cluster.send(self.index(), Notice::Ready { view })
        {
            cluster.unconfirmed.set(None);
        }
    }

    /// Sends a notice to the node. One that is lost is repeated, or the node finds out otherwise.
    pub(super) fn notify_node(&self, notice: Notice) {
        if let Some(cluster) = self.cluster() {
            cluster.send(self.index(), notice);
        }
    }

    pub(super) fn on_report(&self, shard: ShardId, report: ReplicaReport) {
        self.notify_node(match report {
            ReplicaReport::Behind(peer) => Notice::Behind(peer),
            ReplicaReport::Diverged(peer) => Notice::Diverged { peer, shard },
            ReplicaReport::Differs(peer) => Notice::Differs { peer, shard },
        });
    }

    pub(super) fn on_link_lost(self: &Rc<Core>, cluster: &ClusterState, peer: NodeId) {
        let Some(view) = cluster.view() else { return };
        if view.source == Some(peer) && !view.member {
            self.notify_node(Notice::SyncLost { epoch: view.epoch });
        }
        self.begin_turn();
        self.for_each_replica(|_, replica, out| replica.on_link_lost(peer, out));
        self.flush_touched();
        self.connect_to_peers(cluster);
    }

    /// Breaks the links to nodes that have left the cluster.
    fn abandon_retired_peers(&self, view: &MembershipView) {
        for link in self.links.borrow().iter() {
            if view.record.is_retired(link.peer.node) {
                link.conn.abandon();
            }
        }
    }

    /// Connects to the peers whose links the shards need and this node has to make.
    fn connect_to_peers(self: &Rc<Core>, cluster: &ClusterState) {
        let mut needed = Vec::new();
        for replica in self.shards.borrow().iter() {
            let Assignment { predecessor, successor, .. } = *replica.assignment();
            for node in [predecessor, successor].into_iter().flatten() {
                needed.extend(self.peer_core(cluster, node, replica.shard().id()));
            }
        }
        needed.sort_unstable();
        needed.dedup();
        let is_linked = |peer| self.links.borrow().iter().any(|link| link.peer == peer);
        for peer in needed {
            if !is_linked(peer)
                && let Some(address) = self.address_to_connect(cluster, peer)
            {
                self.connect(cluster, peer, address);
            }
        }
    }

    /// Returns the core of a node that owns a shard, if the node is in the record.
    fn peer_core(&self, cluster: &ClusterState, node: NodeId, shard: ShardId) -> Option<PeerCore> {
        let view = cluster.view.borrow();
        let info = view.as_ref()?.record.nodes.get(&node)?;
        let cores = u16::try_from(info.clients.len()).ok().filter(|cores| *cores > 0)?;
        Some(PeerCore { node, core: shard.0 % cores, cores })
    }

    /// Returns the address of a peer's core, if a link to it is needed and this node has to make
    /// it.
    pub(super) fn address_to_connect(
        &self,
        cluster: &ClusterState,
        peer: PeerCore,
    ) -> Option<SocketAddr> {
        let view = cluster.view.borrow();
        let view = view.as_ref()?;
        let is_ours = !view.member || cluster.incarnation.get() < peer.node;
        let is_needed = view.record.is_member(peer.node) && (view.member || view.source.is_some());
        let info = view.record.nodes.get(&peer.node).filter(|_| is_ours && is_needed)?;
        let fits = info.clients.len() == usize::from(peer.cores);
        info.clients.get(usize::from(peer.core)).copied().filter(|_| fits)
    }

    /// Begins the transfer of the next shard when the state of the one before is on its way.
    pub(super) fn continue_state_transfer(&self) {
        let Some(cluster) = self.cluster() else { return };
        let Some(mut transfers) = cluster.transfers.get() else { return };
        loop {
            let shards = self.shards.borrow();
            let has_sent = |last: usize| shards[last].has_sent_state(transfers.learner);
            let has_last = transfers.begun.checked_sub(1).is_none_or(has_sent);
            if !has_last || transfers.begun == shards.len() {
                break;
            }
            drop(shards);
            self.with_replica(transfers.begun, |replica, _| {
                replica.start_transfer(transfers.learner);
            });
            transfers.begun += 1;
        }
        cluster.transfers.set(Some(transfers));
        let learner = transfers.learner;
        let have_state = self.shards.borrow().iter().all(|replica| replica.has_state(learner));
        if have_state {
            self.for_each_replica(|_, replica, _| replica.begin_last_phase(learner));
        }
    }

    /// Continues the state transfer over a link whose bytes the kernel has taken. Without one, this
    /// costs a comparison: it runs after every write on a link.
    pub(super) fn on_link_drained(&self, conn: &Conn) {
        let ConnRole::Peer(PeerCore { node, .. }) = conn.role.get() else { return };
        let transfers = self.cluster().and_then(|cluster| cluster.transfers.get());
        let Some(transfers) = transfers.filter(|transfers| transfers.learner == node) else {
            return;
        };
        for (index, replica) in self.shards.borrow().iter().take(transfers.begun).enumerate() {
            if replica.waits_for_room(node) {
                self.touch(index);
            }
        }
        self.flush_touched();
        self.continue_state_transfer();
        self.flush_touched();
    }

    /// Gives up on a learner for which too much is kept, or updates wait although it takes none. It
    /// may join again.
    fn limit_transfer(&self, cluster: &ClusterState) {
        let Some(ShardTransfers { learner, .. }) = cluster.transfers.get() else { return };
        let now = self.now();
        let (mut kept, mut is_stalled) = (0, false);
        for (replica, progress) in
            self.shards.borrow().iter().zip(cluster.learner_progress.borrow_mut().iter_mut())
        {
            kept += replica.transfer_memory();
            let committed = replica.committed();
            if !replica.waits_for_learner() || committed != progress.0 {
                *progress = (committed, now);
            }
            is_stalled |= now >= progress.1.plus_ms(LEARNER_STALL_MS);
        }
        let is_too_much = kept > transfer_bytes_max(self.memory_bytes_max());
        if !is_too_much && !is_stalled {
            return;
        }
        tracing::warn!(
            node = %learner,
            core = self.index(),
            "the node that joins {}; it has to start over",
            match is_too_much {
                true => format!("takes the state too slowly: {} MiB are kept for it", kept >> 20),
                false => format!("has taken no update for {LEARNER_STALL_MS} ms"),
            },
        );
        self.for_each_replica(|_, replica, out| replica.stop_transfer(out));
        // It notices that, and begins its next incarnation.
        for link in self.links.borrow().iter().filter(|link| link.peer.node == learner) {
            link.conn.abandon();
        }
    }

    /// Reports how far the learner is, once it is near the end.
    fn report_state_transfer(&self, cluster: &ClusterState) {
        let Some(ShardTransfers { epoch, learner, .. }) = cluster.transfers.get() else { return };
        let Some(view) = cluster.view().filter(|view| view.learner == Some(learner)) else {
            return;
        };
        let shards = self.shards.borrow();
        if shards.iter().all(|replica| replica.is_nearly_synced(learner)) {
            self.notify_node(Notice::Near { epoch, learner });
        }
        if view.gate == Some(learner) && shards.iter().all(|replica| replica.is_synced(learner)) {
            self.notify_node(Notice::Synced { epoch, learner, view: view.number });
        }
    }

    /// Does periodically what no event triggers, until the node stops: repeats notices, expires
    /// attempts, and looks for links and transfers that can go on.
    pub(super) async fn watch_cluster(self: Rc<Core>) {
        let Some(cluster) = self.cluster() else { return };
        while !self.is_stopping() {
            self.confirm_view(cluster);
            self.expire_attempts(cluster);
            self.connect_to_peers(cluster);
            self.continue_state_transfer();
            self.limit_transfer(cluster);
            self.report_state_transfer(cluster);
            self.report_rest(cluster);
            self.report_stalls(cluster);
            self.flush_touched();
            cluster.wake.notified_within(Some(Duration::from_millis(WATCH_MS))).await;
        }
    }

    fn report_stalls(&self, cluster: &ClusterState) {
        let now = self.now();
        let mut stalled = None;
        let shards = self.shards.borrow();
        for (replica, progress) in shards.iter().zip(cluster.progress.borrow_mut().iter_mut()) {
            let committed = replica.committed();
            if replica.lag() == 0 || committed != progress.0 {
                *progress = (committed, now);
            } else if now >= progress.1.plus_ms(STALL_MS) {
                stalled = stalled.or_else(|| cluster.successor(replica.shard().id()));
            }
        }
        if let Some((peer, behind)) = stalled {
            self.notify_node(Notice::Stalled { peer, behind });
        }
    }

    /// Reports that no shard takes updates any more, and that all members have those it took.
    pub(super) fn report_rest(&self, cluster: &ClusterState) {
        if !cluster.resting.get() {
            return;
        }
        if self.shards.borrow().iter().all(Replica::is_quiesced) {
            self.notify_node(Notice::AtRest { epoch: self.epoch.get() });
        }
    }

    /// Returns the state of each shard.
    pub(super) fn shard_status(&self) -> Vec<ShardStatus> {
        let transfers = self.cluster().and_then(|cluster| cluster.transfers.get());
        let learner = transfers.map(|transfers| transfers.learner);
        let status = |replica: &Replica| {
            let Census { objects, sessions, .. } = replica.shard().census();
            let post = replica.assignment();
            let role = match (post.member, post.predecessor, post.successor) {
                (false, Some(_), _) => "learner",
                (false, None, _) => "none",
                (true, None, None) => "sole",
                (true, None, Some(_)) => "head",
                (true, Some(_), Some(_)) => "middle",
                (true, Some(_), None) => "tail",
            };
            let lag = match (post.successor, learner) {
                (None, Some(learner)) => replica.lag_of(learner),
                _ => replica.lag(),
            };
            ShardStatus {
                shard: replica.shard().id().0,
                role: role.to_owned(),
                applied: replica.applied(),
                committed: replica.committed(),
                lag,
                objects,
                sessions,
                bytes: replica.bytes(),
            }
        };
        self.shards.borrow().iter().map(status).collect()
    }
}

/// Returns the members of a record as clients receive them, the smallest id first.
fn members(record: &Record) -> Members {
    let index_of = |node: &NodeId| {
        let index = record.nodes.keys().position(|other| other == node);
        u16::try_from(index.expect("chains have members only")).expect("members are few")
    };
    let infos = || record.nodes.values();
    Members {
        names: infos().map(|info| info.name.clone()).collect(),
        controls: infos().map(|info| info.peer.to_string()).collect(),
        cores: infos()
            .map(|info| u16::try_from(info.clients.len()).expect("cores are few"))
            .collect(),
        addresses: infos().flat_map(|info| &info.clients).map(SocketAddr::to_string).collect(),
        chains: record.chains.iter().flatten().map(index_of).collect(),
    }
}
