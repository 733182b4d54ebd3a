//! One node's membership in the cluster: which nodes are members, which may act and read, which to
//! remove.
//!
//! The driver passes a [`Member`] its events: messages of other nodes, replies of the register,
//! confirmations of its cores, and the time. The member returns [`Action`]s. It has no clock,
//! socket, thread or randomness, so the same events give the same actions. The driver carries out
//! the actions in order, and calls [`Member::on_time`] when [`Member::next_due`] says so.
//!
//! Invariants:
//!
//! 1. A node follows records that were in the register, in the order of their epochs. In an epoch
//!    that it has left, neither the node nor its cores do anything.
//! 2. A member acts in an epoch only after every lease that it granted in older epochs has expired.
//!    A new member assumes that it has granted leases it does not know of, until they must have
//!    expired or another member is active in its epoch.
//! 3. A member reads only while it holds a lease: every other member has promised not to act in a
//!    later epoch without it.
//! 4. While a record change of its own may have made a learner a member, a node grants nothing, reads
//!    nothing, and acknowledges only what the learner has.
//! 5. A node that was removed ends this incarnation, and may join again as another. It gives its
//!    leases back when its cores have stopped, so that the others need not wait until they expire.
//! 6. The chains are reordered only while no member accepts updates and all logs are equal.
//!
//! The modules `lease_grants`, `proposals`, `joining` and `reordering` explain why that is enough,
//! and `tests/chain_model` searches every interleaving in small clusters.
//!
//! The `now` of every call is from the node's own clock, which also counts the time that the
//! machine sleeps. It must be read after the event that the call passes has arrived.

mod action;
mod joining;
mod lease_grants;
mod leases;
mod message;
mod peers;
mod proposals;
mod register_reads;
mod removals;
mod reordering;
mod status;
pub mod timing;
mod view;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use self::action::{Action, CasOutcome, MemberReport, ReadOutcome};
use self::joining::{Gate, Learner, Spares, TransferSource};
use self::lease_grants::LeaseGrants;
pub use self::message::PeerMessage;
use self::peers::Peers;
pub use self::peers::Suspicion;
use self::proposals::{ChangeIds, Proposal};
use self::register_reads::RegisterReads;
pub use self::removals::Removals;
use self::reordering::Reordering;
use self::timing::{Due, PAUSE_MS, POLL_MS, POLL_OUTSIDE_MS, STUCK_MS};
use self::view::PublishedViews;
pub use self::view::{Lease, MembershipView};
use crate::chain::record::{
    ChangeKind, EPOCH_JUMP_MAX, NodeId, NodeInfo, Record, RecordError, RecordToken, Settings,
};
use crate::chain::rules::Rules;
use crate::shard::Seq;
use crate::time::Time;

/// What a node starts with.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Its id, drawn at random for this incarnation.
    pub me: NodeId,
    /// Its name and addresses.
    pub info: NodeInfo,
    /// The name of its cluster.
    pub cluster: String,
    /// The settings with which it creates the cluster if the register has no record; [`None`] if it
    /// only joins.
    pub founding: Option<Settings>,
    /// Drawn at random: the ids of its changes follow from it.
    pub change_seed: u128,
    /// Where the shards of a cluster begin that it would create now, see [`Seq::begun_at`].
    pub base: Seq,
    /// How often incarnations of this process were removed: from [`Action::Rejoin`], or none.
    pub removals: Removals,
}

/// One incarnation of a node in a cluster.
#[derive(Debug)]
pub struct Member {
    me: NodeId,
    info: NodeInfo,
    cluster: String,
    founding: Option<Settings>,
    /// Where the shards of a cluster begin that it would have created when it started.
    base: Seq,
    started: Time,
    removals: Removals,
    rules: Rules,
    ids: ChangeIds,
    now: Time,
    due: Option<Time>,
    membership: Membership,
    /// When it became a member, if it ever did.
    member_since: Option<Time>,
    /// When it entered its epoch.
    epoch_since: Time,
    active: bool,
    leaving: bool,
    /// Whether an operator wants it to leave.
    leaves_for_operator: bool,
    /// The end of this incarnation, which waits until the cores have stopped.
    ending: Option<Ending>,
    known: Option<KnownRecord>,
    views: PublishedViews,
    grants: LeaseGrants,
    peers: Peers,
    next_heartbeat: Time,
    register_reads: RegisterReads,
    register_is_empty: bool,
    proposal: Option<Proposal>,
    /// It proposes nothing before this, because the last attempts failed.
    propose_not_before: Time,
    failures: u32,
    /// It removes no member before this, unless there are too few members.
    remove_not_before: Time,
    learner: Option<Learner>,
    spares: Spares,
    /// Learners that this node, the tail, does not sync again in this epoch.
    abandoned_learners: BTreeSet<NodeId>,
    gate: Option<Gate>,
    source: Option<TransferSource>,
    reordering: Reordering,
    /// When a learner last received a message of any member.
    members_heard: Time,
    /// When the loss of all members was reported last, since it began.
    loss_reported: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    /// Not in any record that it has seen.
    Outside,
    /// In the record of this epoch, which it found when it started: it has forgotten what it
    /// proposed and granted before.
    Restarted { epoch: u32 },
    /// In the record.
    Member,
    /// Removed, or no longer able to join. This incarnation has ended.
    Ended,
}

/// How an incarnation that was removed ends.
#[derive(Clone, Copy, Debug)]
struct Ending {
    since: Time,
    rejoin_not_before: Time,
    removals: Removals,
}

/// The newest record.
#[derive(Debug)]
struct KnownRecord {
    record: Arc<Record>,
    /// The register's token for it, if it was read there.
    token: Option<RecordToken>,
}

impl Member {
    /// Creates a node that has not read the register yet.
    ///
    /// # Errors
    ///
    /// [`RecordError::Invalid`] if it is to create a cluster with invalid settings.
    pub fn new(config: MemberConfig) -> Result<Member, RecordError> {
        Member::with_rules(config, Rules::default())
    }

    /// Creates a node that does not follow all rules, for tests and the simulator.
    #[doc(hidden)]
    pub fn with_rules(config: MemberConfig, rules: Rules) -> Result<Member, RecordError> {
        let MemberConfig { me, info, cluster, founding, change_seed, base, removals } = config;
        let mut ids = ChangeIds::new(change_seed);
        if let Some(settings) = &founding {
            let founders = BTreeMap::from([(me, info.clone())]);
            Record::create(&cluster, settings, founders, me, ids.next_id())?;
        }
        Ok(Member {
            me,
            info,
            cluster,
            founding,
            base,
            started: Time::default(),
            removals,
            rules,
            ids,
            now: Time::default(),
            due: None,
            membership: Membership::Outside,
            member_since: None,
            epoch_since: Time::default(),
            active: false,
            leaving: false,
            leaves_for_operator: false,
            ending: None,
            known: None,
            views: PublishedViews::default(),
            grants: LeaseGrants::default(),
            peers: Peers::default(),
            next_heartbeat: Time::default(),
            register_reads: RegisterReads::default(),
            register_is_empty: false,
            proposal: None,
            propose_not_before: Time::default(),
            failures: 0,
            remove_not_before: Time::default(),
            learner: None,
            spares: Spares::default(),
            abandoned_learners: BTreeSet::new(),
            gate: None,
            source: None,
            reordering: Reordering::default(),
            members_heard: Time::default(),
            loss_reported: None,
        })
    }

    /// Returns the id of this incarnation.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// Returns the newest record that it knows.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.known.as_ref().map(|known| &known.record)
    }

    /// Returns the epoch of that record; 0 without one.
    pub fn epoch(&self) -> u32 {
        self.record().map_or(0, |record| record.epoch)
    }

    /// Returns whether it is a member in that epoch.
    pub fn is_member(&self) -> bool {
        matches!(self.membership, Membership::Member | Membership::Restarted { .. })
    }

    /// Returns whether it was removed, and its cores may not have stopped yet.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Returns whether it may act in that epoch.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Returns the record that it proposes, until the outcome is known.
    pub fn proposal(&self) -> Option<&Record> {
        self.proposal.as_ref().map(|proposal| &*proposal.record)
    }

    /// Returns the name and addresses of a member or a learner. Of other nodes only their link is
    /// known.
    pub fn info(&self, node: NodeId) -> Option<&NodeInfo> {
        let member = self.record().and_then(|record| record.nodes.get(&node));
        let learner = self.learner.as_ref().filter(|learner| learner.node == node);
        member.or_else(|| learner.map(|learner| &learner.info))
    }

    /// Returns when to call [`Member::on_time`] next.
    pub fn next_due(&self) -> Option<Time> {
        self.due
    }

    /// Starts the node; `found` is what the register had, if it was reached.
    pub fn on_start(&mut self, now: Time, found: ReadOutcome, out: &mut Vec<Action>) {
        (self.now, self.started) = (now, now);
        self.members_heard = now;
        self.on_read(now, found, out);
    }

    /// Advances the time.
    pub fn on_time(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        self.decide(out);
    }

    /// Takes the result of a read of the register.
    pub fn on_read(&mut self, now: Time, outcome: ReadOutcome, out: &mut Vec<Action>) {
        self.advance(now);
        match outcome {
            ReadOutcome::Failed => self.register_reads.on_failure(now),
            ReadOutcome::Empty => {
                self.register_reads.on_answer(now);
                self.register_is_empty = true;
                if self.known.is_none() {
                    self.on_base_unchanged(out);
                } else {
                    // The record was deleted. Members continue, and no change is possible.
                    out.push(Action::Report(MemberReport::BadRecord { from: None, why: None }));
                }
            }
            ReadOutcome::Record(record, token) => {
                self.register_is_empty = false;
                if self.check_record(None, &record, out) {
                    self.register_reads.on_answer(now);
                    self.on_register(Arc::new(*record), token, out);
                } else {
                    // No change of the record is possible until it has been repaired.
                    self.register_reads.on_failure(now);
                }
            }
        }
        self.decide(out);
    }

    /// Takes a message of another node.
    pub fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: PeerMessage,
        out: &mut Vec<Action>,
    ) {
        self.advance(now);
        if self.record().is_some_and(|record| record.is_member(from)) {
            self.members_heard = now;
            self.loss_reported = None;
        }
        if self.known.is_some()
            && let Some(epoch) = message.epoch()
            && epoch > self.epoch().saturating_add(EPOCH_JUMP_MAX)
        {
            out.push(Action::Report(MemberReport::BadEpoch { from, epoch, known: self.epoch() }));
            return self.decide(out);
        }
        match message {
            PeerMessage::LeaseRequest { epoch, asked_at_us, active } => {
                self.on_lease_request(from, (epoch, active), asked_at_us, out);
            }
            PeerMessage::Grant { epoch, asked_at_us } => {
                self.on_grant(from, epoch, Time(asked_at_us));
            }
            PeerMessage::Config(_) | PeerMessage::NotMember(_) if self.known.is_none() => {
                // The first record comes from the register, because a peer may not know yet what an
                // earlier incarnation of this node has seen and done.
                self.register_reads.want();
            }
            PeerMessage::Config(record) | PeerMessage::NotMember(record) => {
                let is_news = self.is_news(&record);
                if is_news && self.check_record(Some(from), &record, out) {
                    self.adopt(Arc::new(*record), None, out);
                }
            }
            PeerMessage::Join { epoch, ready, lost, info } => {
                self.on_join(from, (epoch, ready, lost), info, out);
            }
            PeerMessage::Sync { epoch } => self.on_sync(from, epoch),
            PeerMessage::Wait { epoch } => self.on_wait(from, epoch, out),
            PeerMessage::Quiesce { epoch } => self.on_quiesce(from, epoch, out),
            PeerMessage::Quiesced { epoch } => self.on_peer_quiesced(from, epoch),
            PeerMessage::Leaving => self.peers.on_leaving(from),
            PeerMessage::Left { epoch } => self.on_left(from, epoch),
        }
        self.decide(out);
    }

    /// Takes the confirmation that all cores act according to a view and all views before it.
    pub fn on_cores_ready(&mut self, now: Time, view: u64, out: &mut Vec<Action>) {
        self.advance(now);
        let is_ready = |member: &Member| {
            member.source.is_some_and(|source| member.views.is_receiving_from(source.tail))
        };
        let was_ready = is_ready(self);
        self.views.confirm(view);
        if is_ready(self) && !was_ready {
            // The tail waits for this.
            self.next_heartbeat = now;
        }
        self.decide(out);
    }

    /// Takes the state of the link to a peer: `up` when it was made, down when it broke and could
    /// not be made again.
    pub fn on_link(&mut self, now: Time, peer: NodeId, up: bool, out: &mut Vec<Action>) {
        self.advance(now);
        self.peers.on_link(peer, up);
        self.decide(out);
    }

    /// Takes a report that a peer lacks entries that are no longer kept: it has to join again.
    pub fn on_behind(&mut self, now: Time, peer: NodeId, out: &mut Vec<Action>) {
        self.advance(now);
        self.peers.on_behind(peer);
        self.decide(out);
    }

    /// Takes a report that updates do not get past a peer that has `behind` members behind it.
    /// Called at least once a second while that is so.
    pub fn on_stall(&mut self, now: Time, peer: NodeId, behind: u32, out: &mut Vec<Action>) {
        self.advance(now);
        self.peers.on_stall(now, peer, behind);
        self.decide(out);
    }

    /// Takes an operator's request to remove a member, which may be this node. Returns whether it is
    /// a member of this epoch.
    pub fn on_remove(&mut self, now: Time, node: NodeId, out: &mut Vec<Action>) -> bool {
        self.advance(now);
        let is_own = node == self.me && self.is_member();
        if is_own {
            (self.leaving, self.leaves_for_operator) = (true, true);
            self.next_heartbeat = now;
        }
        let is_peer = self.peers.request_removal(node);
        self.decide(out);
        is_peer || is_own
    }

    /// Takes an operator's request to rejoin at once, if this incarnation is about to end.
    pub fn on_rejoin(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        if let Some(ending) = &mut self.ending {
            ending.rejoin_not_before = now;
        }
        self.decide(out);
    }

    /// Makes the node leave: it asks the others to remove it, until they have.
    pub fn on_leave(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        self.leaving = true;
        self.next_heartbeat = now;
        self.decide(out);
    }

    /// Takes a peer's claim that this incarnation was removed. The node reads the register, and
    /// believes only that.
    pub fn on_retired(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        self.register_reads.want();
        self.decide(out);
    }

    fn advance(&mut self, now: Time) {
        assert!(now >= self.now, "time never decreases: {now:?} after {:?}", self.now);
        if self.due.is_some_and(|due| now >= due.plus_ms(PAUSE_MS)) {
            self.peers.excuse_silence(now);
            self.members_heard = now;
        }
        self.now = now;
    }

    /// Returns whether a record is a valid one of this cluster.
    fn check_record(&self, from: Option<NodeId>, record: &Record, out: &mut Vec<Action>) -> bool {
        let jump = self.record().and_then(|known| record.validate_after(known.epoch).err());
        let why = jump.or_else(|| record.validate().err());
        let known = self.record().filter(|known| known.epoch == record.epoch);
        let contradicts = known.is_some_and(|known| known.change.id != record.change.id);
        let is_good = why.is_none() && record.cluster == self.cluster && !contradicts;
        if !is_good {
            out.push(Action::Report(MemberReport::BadRecord { from, why }));
        }
        is_good
    }

    fn is_news(&self, record: &Record) -> bool {
        let other = self.record().is_none_or(|known| known.change.id != record.change.id);
        record.epoch > self.epoch() || (!self.rules.forward() && other)
    }

    fn on_register(&mut self, record: Arc<Record>, token: RecordToken, out: &mut Vec<Action>) {
        if self.is_news(&record) {
            self.adopt(record, Some(token), out);
        } else if record.epoch == self.epoch() {
            if let Some(known) = &mut self.known {
                known.token = Some(token);
            }
            self.on_base_unchanged(out);
        } else {
            // A peer's message was faster than the register's reply.
        }
    }

    /// Follows a newer record.
    fn adopt(&mut self, record: Arc<Record>, token: Option<RecordToken>, out: &mut Vec<Action>) {
        let now = self.now;
        let won = self.proposal.take().is_some_and(|own| own.record.change.id == record.change.id);
        let was = self.membership;
        let is_in = record.is_member(self.me);
        // Only an earlier incarnation can have been put into the first record that it sees.
        let has_forgotten = self.known.is_none() && !won && self.rules.bump();
        self.membership = match was {
            Membership::Ended => Membership::Ended,
            Membership::Outside if is_in && has_forgotten => {
                Membership::Restarted { epoch: record.epoch }
            }
            Membership::Restarted { epoch } if is_in && record.epoch <= epoch => was,
            _ if is_in => Membership::Member,
            _ if !self.rules.fresh_incarnation() => Membership::Outside,
            Membership::Outside if !record.is_retired(self.me) => Membership::Outside,
            _ => Membership::Ended,
        };
        if self.membership == Membership::Member && was != Membership::Member {
            self.member_since = Some(now);
            // Before the first epoch no node can have granted anything.
            if !(won && record.change.kind == ChangeKind::Create) {
                self.grants.assume_granted(now, &record);
            }
        }
        if self.membership == Membership::Ended && was != Membership::Ended {
            self.begin_ending(&record);
        }
        self.active = false;
        self.source = None;
        self.abandoned_learners.clear();
        // The others wait for proof that it has left the older epoch.
        self.next_heartbeat = now;
        self.epoch_since = now;
        self.failures = 0;
        self.members_heard = now;
        self.grants.on_epoch(now, &record, &self.rules);
        if let Some(known) = &self.known {
            self.spares.on_removed(now, &record, &known.record);
        }
        self.reordering.on_epoch(now, &record);
        self.peers.on_epoch(now, self.me, &record);
        if was == Membership::Outside {
            // Until now no node had a reason to send it anything.
            self.peers.excuse_silence(now);
        }
        if let Some(learner) = self.learner.take() {
            self.peers.set_heard(learner.heard, learner.node);
        }
        self.gate = None;
        if won {
            self.announce(&record, out);
        }
        let (epoch, member) = (record.epoch, self.is_member());
        out.push(Action::Report(MemberReport::Epoch { epoch, member }));
        self.known = Some(KnownRecord { record, token });
    }

    /// Begins to end this incarnation, which `record` does not contain any more.
    fn begin_ending(&mut self, record: &Record) {
        let now = self.now;
        let member_ms = self.member_since.map(|since| (now.0 - since.0) / 1_000);
        let change = &record.change;
        let is_ours = change.kind == ChangeKind::Remove && change.subject == Some(self.me);
        let reason = match self.leaves_for_operator {
            true => Some(Suspicion::Operator.reason()),
            false => is_ours.then_some(&*change.reason),
        };
        let (wait_ms, removals) = self.removals.after(reason, member_ms);
        let rejoin_not_before = now.plus_ms(wait_ms);
        self.ending = Some(Ending { since: now, rejoin_not_before, removals });
    }

    /// Ends this incarnation when its cores have stopped, and tells the members, who wait until the
    /// leases are over that they granted to it. Cores that are stuck end with the incarnation.
    fn end_incarnation(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        let Some(Ending { since, rejoin_not_before, removals }) = self.ending else { return };
        let until = since.plus_ms(STUCK_MS);
        let have_left = self.views.have_left() || !self.rules.leave_last();
        if !have_left && self.now < until {
            return due.at(until);
        }
        self.ending = None;
        if let Some(record) = self.record().filter(|_| have_left) {
            let message = PeerMessage::Left { epoch: record.epoch };
            let to_all = record.members().map(|to| Action::Send { to, message: message.clone() });
            out.extend(to_all);
        }
        out.push(Action::Rejoin { not_before: rejoin_not_before, removals });
    }

    fn refuse(&self, to: NodeId, record: &Record, out: &mut Vec<Action>) {
        let message = PeerMessage::NotMember(Box::new(record.clone()));
        out.push(Action::Send { to, message });
    }

    /// Does what follows from its present state.
    fn decide(&mut self, out: &mut Vec<Action>) {
        let mut due = Due::new(self.now);
        self.activate(&mut due, out);
        self.watch_learner(&mut due);
        self.suspect(&mut due, out);
        self.plan(&mut due, out);
        self.publish_view(out);
        self.end_incarnation(&mut due, out);
        self.advance_proposal(&mut due, out);
        self.heartbeat(&mut due, out);
        let poll_ms = if self.is_member() { POLL_MS } else { POLL_OUTSIDE_MS };
        if self.membership != Membership::Ended
            && self.register_reads.next(self.now, poll_ms, &mut due)
        {
            out.push(Action::ReadRegister);
        }
        self.due = due.next();
    }

    fn suspect(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        let Some(record) = self.record().cloned().filter(|_| self.membership == Membership::Member)
        else {
            return;
        };
        for suspect in self.peers.update_suspicions(self.now, &record, due) {
            // Another member may have removed it already.
            self.register_reads.want();
            let (node, why) = (suspect.node, suspect.why);
            out.push(Action::Report(MemberReport::Suspected { node, why }));
        }
    }

    fn publish_view(&mut self, out: &mut Vec<Action>) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        let gate = self.gate.as_ref().map(|gate| gate.learner);
        let learner = self.learner.as_ref().filter(|learner| learner.ready);
        let view = MembershipView {
            number: 0,
            epoch: record.epoch,
            member: self.is_member(),
            active: self.active,
            change_pending: self.is_appending() && self.rules.stop_read(),
            // A restarted member may have quiesced before, and that holds until the epoch ends.
            quiescing: self.reordering.is_quiescing() || self.membership != Membership::Member,
            gate: gate.filter(|_| self.rules.gate()),
            learner: learner.map(|learner| learner.node),
            source: self.source.map(|source| source.tail),
            lease: self.grants.lease(self.me, &record, &self.rules),
            record,
        };
        out.extend(self.views.publish(self.now, view).map(Action::View));
    }
}

#[cfg(test)]
mod tests;
