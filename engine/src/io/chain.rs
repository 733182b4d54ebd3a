//! A core's part in the chains of its shards: it acts according to the last view that it was told, keeps
//! the links that this takes, and tells the node what only the whole node can act on.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::operator::ShardStatus;
use catena_protocol::{Members, ShardId};

use super::conn::Role;
use super::core::Core;
use super::link::{Calls, PeerCore};
use super::notice::{CoreCluster, Notice, Notices};
use super::notify::Notify;
use catena_core::chain::assignment::Assignment;
use catena_core::chain::member::MembershipView;
use catena_core::chain::outbox::ReplicaReport;
use catena_core::chain::record::{NodeId, Record};
use catena_core::chain::replica::Replica;
use catena_core::shard::{Census, Time};

/// What a core knows of its cluster.
pub(super) struct Chain {
    pub(super) name: String,
    notices: Notices,
    /// This life of the node.
    pub(super) life: Cell<NodeId>,
    view: RefCell<Option<Arc<MembershipView>>>,
    /// The members of that view, as clients are told.
    members: RefCell<Members>,
    /// Whether updates are refused until the order of the chains has changed.
    resting: Cell<bool>,
    /// The view that the node has to be told about.
    unconfirmed: Cell<Option<u64>>,
    lesson: Cell<Option<Lesson>>,
    /// How far each shard's members were, and since when.
    progress: RefCell<Vec<(u64, Time)>>,
    pub(super) calls: Calls,
    /// Wakes the task that watches.
    pub(super) wake: Notify,
}

/// What a learner is taught, one shard after the other: a state that waits to be sent takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lesson {
    epoch: u32,
    learner: NodeId,
    /// How many of the core's shards were begun.
    begun: usize,
}

/// How often a core looks after what nothing else reminds it of.
const WATCH_MS: u64 = 100;

/// Updates that do not get on for this long are called stalled.
const STALL_MS: u32 = 2_000;

impl Chain {
    pub(super) fn new(cluster: CoreCluster, shards: usize) -> Chain {
        let CoreCluster { name, life, notices } = cluster;
        Chain {
            name,
            notices,
            life: Cell::new(life),
            view: RefCell::new(None),
            members: RefCell::new(Members::default()),
            resting: Cell::new(false),
            unconfirmed: Cell::new(None),
            lesson: Cell::new(None),
            progress: RefCell::new(vec![(0, Time::default()); shards]),
            calls: Calls::default(),
            wake: Notify::default(),
        }
    }

    /// The last view, if there was one in this life.
    pub(super) fn view(&self) -> Option<Arc<MembershipView>> {
        self.view.borrow().clone()
    }

    /// What clients are told of the cluster.
    pub(super) fn members(&self) -> Ref<'_, Members> {
        self.members.borrow()
    }

    /// The successor in a shard's chain, and how many members are behind it.
    fn behind_us(&self, shard: ShardId) -> Option<(NodeId, u32)> {
        let position = self.view()?.record.position(shard, self.life.get())?;
        let behind = position.len - position.index - 2;
        Some((position.successor?, u32::try_from(behind).expect("a chain is short")))
    }

    fn tell(&self, core: u16, notice: Notice) -> bool {
        self.notices.try_send((core, self.life.get(), notice)).is_ok()
    }
}

impl Core {
    /// Begins another life: empty shards that nobody may use yet.
    pub(super) fn begin(self: &Rc<Core>, life: NodeId) {
        let Some(chain) = self.chain() else { return };
        chain.life.set(life);
        chain.view.replace(None);
        self.epoch.set(0);
        chain.members.replace(Members::default());
        chain.resting.set(false);
        chain.unconfirmed.set(None);
        chain.lesson.set(None);
        chain.progress.borrow_mut().fill((0, Time::default()));
        self.links.borrow_mut().clear();
        self.empty_shards();
        self.conns.for_each(|conn| {
            // What was received for the life before may still be lying in front of the end.
            if let Role::Called(peer) = conn.role.replace(Role::New) {
                chain.calls.forget(peer);
            }
            conn.abandon();
        });
    }

    /// Acts according to a view from now on.
    pub(super) fn look(self: &Rc<Core>, view: &Arc<MembershipView>) {
        let Some(chain) = self.chain() else { return };
        let before = chain.view.replace(Some(view.clone()));
        self.epoch.set(view.epoch);
        let was_member = before.as_ref().is_some_and(|before| before.member);
        if before.as_ref().is_none_or(|before| before.epoch != view.epoch) {
            chain.members.replace(members(&view.record));
        }
        let taught = chain.lesson.get().map(|lesson| (lesson.epoch, lesson.learner));
        let to_teach = view.learner.map(|learner| (view.epoch, learner));
        let is_new_lesson = taught != to_teach;
        if is_new_lesson {
            let lesson = |(epoch, learner)| Lesson { epoch, learner, begun: 0 };
            chain.lesson.set(to_teach.map(lesson));
        }
        let life = chain.life.get();
        self.begin_turn();
        self.for_each_replica(|shard, replica, out| {
            replica.on_assignment(view.assignment(life, shard), out);
            if is_new_lesson {
                replica.stop_transfer();
            }
        });
        self.go_on_teaching();
        self.flush_touched();
        self.hang_up_on_strangers(view);
        let is_deposed = before.is_some_and(|before| self.has_lost_heads(&before, view));
        if is_deposed || was_member && !view.member {
            // Whoever waits for an answer learns elsewhere what became of it.
            self.conns.for_each(|conn| {
                if conn.role.get() == Role::Client {
                    conn.abandon();
                }
            });
        }
        self.call_peers(chain);
        chain.resting.set(view.quiescing && view.member);
        self.report_rest(chain);
        chain.unconfirmed.set(Some(view.number));
        self.confirm(chain);
    }

    /// Whether this node was the head of shards of this core that have another one now.
    fn has_lost_heads(&self, before: &MembershipView, now: &MembershipView) -> bool {
        let Some(chain) = self.chain().filter(|_| before.epoch != now.epoch) else { return false };
        let is_ours = |view: &MembershipView, shard| {
            view.record.chain(shard).first() == Some(&chain.life.get())
        };
        let shards = self.shards.borrow();
        let mut ids = shards.iter().map(|replica| replica.shard().id());
        ids.any(|shard| is_ours(before, shard) && !is_ours(now, shard))
    }

    fn confirm(&self, chain: &Chain) {
        if let Some(view) = chain.unconfirmed.get()
            && chain.tell(self.number(), Notice::Ready { view })
        {
            chain.unconfirmed.set(None);
        }
    }

    /// Tells the node. What gets lost is said again, or found out otherwise.
    pub(super) fn notice(&self, notice: Notice) {
        if let Some(chain) = self.chain() {
            chain.tell(self.number(), notice);
        }
    }

    pub(super) fn on_report(&self, shard: ShardId, report: ReplicaReport) {
        self.notice(match report {
            ReplicaReport::Behind(peer) => Notice::Behind(peer),
            ReplicaReport::Diverged(peer) => Notice::Diverged { peer, shard },
        });
    }

    pub(super) fn on_link_lost(self: &Rc<Core>, chain: &Chain, peer: NodeId) {
        let Some(view) = chain.view() else { return };
        if view.source == Some(peer) && !view.member {
            self.notice(Notice::SyncLost { epoch: view.epoch });
        }
        self.call_peers(chain);
    }

    /// Hangs up on nodes that have left.
    fn hang_up_on_strangers(&self, view: &MembershipView) {
        for link in self.links.borrow().iter() {
            if view.record.is_retired(link.peer.node) {
                link.conn.abandon();
            }
        }
    }

    /// Makes the links that the shards need and that this node has to make.
    fn call_peers(self: &Rc<Core>, chain: &Chain) {
        let mut needed = Vec::new();
        for replica in self.shards.borrow().iter() {
            let Assignment { predecessor, successor, .. } = *replica.assignment();
            for node in [predecessor, successor].into_iter().flatten() {
                needed.extend(self.peer_core(chain, node, replica.shard().id()));
            }
        }
        needed.sort_unstable();
        needed.dedup();
        let is_linked = |peer| self.links.borrow().iter().any(|link| link.peer == peer);
        for peer in needed {
            if !is_linked(peer)
                && let Some(address) = self.address_to_call(chain, peer)
            {
                self.call(chain, peer, address);
            }
        }
    }

    /// The core of a node that owns a shard, if it is known where that is.
    fn peer_core(&self, chain: &Chain, node: NodeId, shard: ShardId) -> Option<PeerCore> {
        let view = chain.view.borrow();
        let info = view.as_ref()?.record.nodes.get(&node)?;
        let cores = u16::try_from(info.clients.len()).ok().filter(|cores| *cores > 0)?;
        Some(PeerCore { node, core: shard.0 % cores, cores })
    }

    /// Where to call a core of another node, if that is still needed and for this node to do.
    pub(super) fn address_to_call(&self, chain: &Chain, peer: PeerCore) -> Option<SocketAddr> {
        let view = chain.view.borrow();
        let view = view.as_ref()?;
        let is_ours = !view.member || chain.life.get() < peer.node;
        let is_needed = view.record.is_member(peer.node) && (view.member || view.source.is_some());
        let info = view.record.nodes.get(&peer.node).filter(|_| is_ours && is_needed)?;
        let fits = info.clients.len() == usize::from(peer.cores);
        info.clients.get(usize::from(peer.core)).copied().filter(|_| fits)
    }

    /// Begins with the learner's next shard when it has the one before.
    pub(super) fn go_on_teaching(&self) {
        let Some(chain) = self.chain() else { return };
        let Some(mut lesson) = chain.lesson.get() else { return };
        loop {
            let mut shards = self.shards.borrow_mut();
            let has_state = |last: usize| shards[last].has_state(lesson.learner);
            let has_last = lesson.begun.checked_sub(1).is_none_or(has_state);
            let Some(next) = shards.get_mut(lesson.begun).filter(|_| has_last) else { break };
            next.start_transfer(lesson.learner);
            drop(shards);
            self.touch(lesson.begun);
            lesson.begun += 1;
        }
        chain.lesson.set(Some(lesson));
    }

    /// Tells the node how far its learner is.
    fn report_lesson(&self, chain: &Chain) {
        let Some(Lesson { epoch, learner, .. }) = chain.lesson.get() else { return };
        let Some(view) = chain.view().filter(|view| view.learner == Some(learner)) else { return };
        let shards = self.shards.borrow();
        if shards.iter().all(|replica| replica.is_nearly_synced(learner)) {
            self.notice(Notice::Near { epoch, learner });
        }
        if view.gate == Some(learner) && shards.iter().all(|replica| replica.is_synced(learner)) {
            self.notice(Notice::Synced { epoch, learner, view: view.number });
        }
    }

    /// Looks, now and then, after what nothing else reminds it of.
    pub(super) async fn watch(self: Rc<Core>) {
        let Some(chain) = self.chain() else { return };
        while !self.is_stopping() {
            self.confirm(chain);
            self.watch_calls(chain);
            self.call_peers(chain);
            self.go_on_teaching();
            self.report_lesson(chain);
            self.report_rest(chain);
            self.report_stalls(chain);
            self.flush_touched();
            chain.wake.notified_within(Some(Duration::from_millis(WATCH_MS))).await;
        }
    }

    fn report_stalls(&self, chain: &Chain) {
        let now = self.now();
        let mut stalled = None;
        let shards = self.shards.borrow();
        for (replica, progress) in shards.iter().zip(chain.progress.borrow_mut().iter_mut()) {
            let committed = replica.committed();
            if replica.lag() == 0 || committed != progress.0 {
                *progress = (committed, now);
            } else if now >= progress.1.plus_ms(STALL_MS) {
                stalled = stalled.or_else(|| chain.behind_us(replica.shard().id()));
            }
        }
        if let Some((peer, behind)) = stalled {
            self.notice(Notice::Stalled { peer, behind });
        }
    }

    /// Tells the node when its shards have come to rest.
    pub(super) fn report_rest(&self, chain: &Chain) {
        if !chain.resting.get() {
            return;
        }
        if self.shards.borrow().iter().all(Replica::is_quiesced) {
            self.notice(Notice::AtRest { epoch: self.epoch.get() });
        }
    }

    /// How each shard stands.
    pub(super) fn shards(&self) -> Vec<ShardStatus> {
        let learner = self.chain().and_then(|chain| chain.lesson.get()).map(|it| it.learner);
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

/// The members of a record, as clients are told: the smallest id first.
fn members(record: &Record) -> Members {
    let number = |node: &NodeId| {
        let place = record.nodes.keys().position(|other| other == node);
        u16::try_from(place.expect("chains have members only")).expect("members are few")
    };
    let infos = || record.nodes.values();
    Members {
        names: infos().map(|info| info.name.clone()).collect(),
        controls: infos().map(|info| info.peer.to_string()).collect(),
        cores: infos()
            .map(|info| u16::try_from(info.clients.len()).expect("cores are few"))
            .collect(),
        addresses: infos().flat_map(|info| &info.clients).map(SocketAddr::to_string).collect(),
        chains: record.chains.iter().flatten().map(number).collect(),
    }
}
