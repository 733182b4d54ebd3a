//! One node's part in the cluster: who is in it, who may act, who may read, who has to go.
//!
//! A [`Member`] is told what arrives (messages of other nodes, answers of the register, what its
//! cores confirm, the time) and answers with [`Action`]s. It has no clock, socket, thread or
//! randomness: the same events give the same actions. Whoever drives it carries out the actions in
//! order and calls [`Member::on_time`] when [`Member::next_due`] says so.
//!
//! 1. It follows records that were in the register, in the order of their epochs, and in an epoch
//!    that it has left neither it nor its cores do anything.
//! 2. A member acts in an epoch only when nobody can rest a read on what it granted in older ones,
//!    and, if it is new, on what it does not know of.
//! 3. It reads only while every other member has promised not to act in a later epoch without it.
//! 4. While a proposal of its own may have ended the epoch, it grants nothing and reads nothing; if
//!    that appends a learner, it acknowledges only what the learner has.
//! 5. A node that was a member and is not has come to its end; another life may join.
//! 6. The chains change their order only while all members have the same and take no updates.
//!
//! Why that is enough: `grants`, `proposals`, `joining` and `rotation` have the details, and
//! `tests/chain_model` searches every interleaving of it in small clusters.
//!
//! The `now` of every call must have been taken from the node's own clock, which counts the time
//! that the machine sleeps, after that what it is called with had arrived.

mod action;
mod grants;
mod joining;
mod leases;
mod message;
mod peers;
mod proposals;
mod reads;
mod rotation;
mod status;
pub mod timing;
mod view;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use self::action::{Action, Outcome, Reading, Report};
use self::grants::Grants;
use self::joining::{Gate, Learner, Teacher};
pub use self::message::PeerMessage;
use self::peers::Peers;
pub use self::peers::Suspicion;
use self::proposals::{ChangeIds, Proposal};
use self::reads::Reads;
use self::rotation::Rotation;
use self::timing::{Due, PAUSE_MS, POLL_MS, POLL_OUTSIDE_MS, REJOIN_MS, REJOIN_MS_MAX, doubled};
use self::view::Views;
pub use self::view::{Lease, View};
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeKind, NodeId, NodeInfo, Record, RecordError, Settings};
use crate::chain::rules::Rules;
use crate::time::Time;

/// What a node begins with.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its id, drawn at random for this life.
    pub me: NodeId,
    /// How it is reached.
    pub info: NodeInfo,
    /// The name of its cluster.
    pub cluster: String,
    /// Founds the cluster if the register has no record.
    pub founding: Option<Settings>,
    /// Drawn at random: the ids of its changes begin with it.
    pub change_seed: u128,
    /// How often lives of this process were removed: what [`Action::Rejoin`] said, or 0.
    pub removals: u32,
}

/// One life of a node in a cluster.
#[derive(Debug)]
pub struct Member {
    me: NodeId,
    info: NodeInfo,
    cluster: String,
    founding: Option<Settings>,
    removals: u32,
    rules: Rules,
    ids: ChangeIds,
    now: Time,
    due: Option<Time>,
    standing: Standing,
    /// Since when it is a member, if it ever was.
    member_since: Option<Time>,
    /// Since when it is in its epoch.
    epoch_since: Time,
    active: bool,
    leaving: bool,
    known: Option<Known>,
    views: Views,
    grants: Grants,
    peers: Peers,
    next_beat: Time,
    reads: Reads,
    register_is_empty: bool,
    proposal: Option<Proposal>,
    /// It proposes nothing before this: the last attempts failed.
    propose_not_before: Time,
    failures: u32,
    /// It removes nobody before this, unless members are missing.
    remove_not_before: Time,
    learner: Option<Learner>,
    /// Whom it has taught in this epoch and does not teach again.
    untaught: BTreeSet<NodeId>,
    gate: Option<Gate>,
    teacher: Option<Teacher>,
    rotation: Rotation,
    /// When a learner last heard of any member.
    members_heard: Time,
    loss_reported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not in a record that it knows of.
    Outside,
    /// In the record that it found when it started, which is of this epoch: it does not know what it
    /// proposed and granted before.
    Restarted { epoch: u32 },
    /// In the record.
    Member,
    /// It was in the record, or was going to be.
    Out,
}

/// The newest record.
#[derive(Debug)]
struct Known {
    record: Arc<Record>,
    /// What the register calls it, if it was there that we read it.
    token: Option<RecordToken>,
}

impl Member {
    /// A node that has not looked into the register yet.
    ///
    /// # Errors
    ///
    /// [`RecordError::Nonsense`] if it is to found a cluster whose settings make no sense.
    pub fn new(start: Start) -> Result<Member, RecordError> {
        Member::with_rules(start, Rules::default())
    }

    /// A node that does not keep all rules. For tests and the simulator.
    #[doc(hidden)]
    pub fn with_rules(start: Start, rules: Rules) -> Result<Member, RecordError> {
        let Start { me, info, cluster, founding, change_seed, removals } = start;
        let mut ids = ChangeIds::new(change_seed);
        if let Some(settings) = &founding {
            let founders = BTreeMap::from([(me, info.clone())]);
            Record::create(&cluster, settings, founders, me, ids.fresh())?;
        }
        Ok(Member {
            me,
            info,
            cluster,
            founding,
            removals,
            rules,
            ids,
            now: Time::default(),
            due: None,
            standing: Standing::Outside,
            member_since: None,
            epoch_since: Time::default(),
            active: false,
            leaving: false,
            known: None,
            views: Views::default(),
            grants: Grants::default(),
            peers: Peers::default(),
            next_beat: Time::default(),
            reads: Reads::default(),
            register_is_empty: false,
            proposal: None,
            propose_not_before: Time::default(),
            failures: 0,
            remove_not_before: Time::default(),
            learner: None,
            untaught: BTreeSet::new(),
            gate: None,
            teacher: None,
            rotation: Rotation::default(),
            members_heard: Time::default(),
            loss_reported: false,
        })
    }

    /// This life of the node.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// The newest record that it knows.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.known.as_ref().map(|known| &known.record)
    }

    /// The epoch of that record; 0 without one.
    pub fn epoch(&self) -> u32 {
        self.record().map_or(0, |record| record.epoch)
    }

    /// Whether it is a member of that epoch.
    pub fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member | Standing::Restarted { .. })
    }

    /// Whether it may act in that epoch.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// The change that it proposes, until it is known what became of it.
    pub fn proposal(&self) -> Option<&Record> {
        self.proposal.as_ref().map(|proposal| &*proposal.record)
    }

    /// Where a member or a learner is reached; of others only the link on which they spoke is known.
    pub fn info(&self, node: NodeId) -> Option<&NodeInfo> {
        let member = self.record().and_then(|record| record.nodes.get(&node));
        let learner = self.learner.as_ref().filter(|learner| learner.node == node);
        member.or_else(|| learner.map(|learner| &learner.info))
    }

    /// When to call [`Member::on_time`] next.
    pub fn next_due(&self) -> Option<Time> {
        self.due
    }

    /// The node begins; `found` is what the register had, if it was reached.
    pub fn on_start(&mut self, now: Time, found: Reading, out: &mut Vec<Action>) {
        self.now = now;
        self.members_heard = now;
        self.on_read(now, found, out);
    }

    /// Time passes.
    pub fn on_time(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        self.decide(out);
    }

    /// The register was read.
    pub fn on_read(&mut self, now: Time, reading: Reading, out: &mut Vec<Action>) {
        self.advance(now);
        match reading {
            Reading::Failed => self.reads.on_failure(now),
            Reading::Empty => {
                self.reads.on_answer(now);
                self.register_is_empty = true;
                if self.known.is_none() {
                    self.on_base(out);
                } else {
                    // Somebody took it away. Who is in goes on, and nothing can change.
                    out.push(Action::Report(Report::BadRecord { from: None, why: None }));
                }
            }
            Reading::Record(record, token) => {
                self.reads.on_answer(now);
                self.register_is_empty = false;
                if self.check_record(None, &record, out) {
                    self.on_register(Arc::new(*record), token, out);
                }
            }
        }
        self.decide(out);
    }

    /// A message of another node arrived.
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
            self.loss_reported = false;
        }
        match message {
            PeerMessage::LeaseRequest { epoch, asked_at_us } => {
                self.on_lease_request(from, epoch, asked_at_us, out);
            }
            PeerMessage::Grant { epoch, asked_at_us } => {
                self.on_grant(from, epoch, Time(asked_at_us));
            }
            PeerMessage::Config(_) | PeerMessage::NotMember(_) if self.known.is_none() => {
                // The first record comes from the register: a peer may be behind what an earlier
                // life of this node has seen and done.
                self.reads.want();
            }
            PeerMessage::Config(record) | PeerMessage::NotMember(record) => {
                let is_news = self.is_news(&record);
                if is_news && self.check_record(Some(from), &record, out) {
                    self.adopt(Arc::new(*record), None, out);
                }
            }
            PeerMessage::Join { epoch, ready, info } => {
                self.on_join(from, (epoch, ready), info, out);
            }
            PeerMessage::Sync { epoch } => self.on_sync(from, epoch),
            PeerMessage::Wait { .. } => {
                // That a member is there is all it says.
            }
            PeerMessage::Rest { epoch } => self.on_rest(from, epoch, out),
            PeerMessage::AtRest { epoch } => self.on_rested(from, epoch),
            PeerMessage::Leaving => self.peers.on_leaving(from),
        }
        self.decide(out);
    }

    /// The cores act according to that view and all before it.
    pub fn on_cores_ready(&mut self, now: Time, view: u64, out: &mut Vec<Action>) {
        self.advance(now);
        let is_ready = |member: &Member| {
            member.teacher.is_some_and(|teacher| member.views.is_taught_by(teacher.tail))
        };
        let was_ready = is_ready(self);
        self.views.confirm(view);
        if is_ready(self) && !was_ready {
            // The tail waits to hear that.
            self.next_beat = now;
        }
        self.decide(out);
    }

    /// A link to a peer broke and could not be made again, or was made.
    pub fn on_link(&mut self, now: Time, peer: NodeId, up: bool, out: &mut Vec<Action>) {
        self.advance(now);
        self.peers.on_link(peer, up);
        self.decide(out);
    }

    /// A peer lacks updates that are not kept any more: it has to join anew.
    pub fn on_behind(&mut self, now: Time, peer: NodeId, out: &mut Vec<Action>) {
        self.advance(now);
        self.peers.on_behind(peer);
        self.decide(out);
    }

    /// Updates are stuck on the way to a peer, which has so many members behind it, and back. Said at
    /// least once a second while they are.
    pub fn on_stall(&mut self, now: Time, peer: NodeId, behind: u32, out: &mut Vec<Action>) {
        self.advance(now);
        self.peers.on_stall(now, peer, behind);
        self.decide(out);
    }

    /// An operator wants a member removed. Returns whether it is another member of this epoch; this
    /// node itself is told to leave with [`Member::on_leave`].
    pub fn on_remove(&mut self, now: Time, node: NodeId, out: &mut Vec<Action>) -> bool {
        self.advance(now);
        let is_peer = self.peers.on_unwanted(node);
        self.decide(out);
        is_peer
    }

    /// The node is to stop, or cannot go on: it asks the others to remove it, until they have.
    pub fn on_leave(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        self.leaving = true;
        self.next_beat = now;
        self.decide(out);
    }

    /// A peer says that this life of the node was a member and left. Only the register is believed.
    pub fn on_retired(&mut self, now: Time, out: &mut Vec<Action>) {
        self.advance(now);
        self.reads.want();
        self.decide(out);
    }

    fn advance(&mut self, now: Time) {
        assert!(now >= self.now, "time does not go back: {now:?} after {:?}", self.now);
        if self.due.is_some_and(|due| now >= due.plus_ms(PAUSE_MS)) {
            self.peers.on_silence_excused(now);
            self.members_heard = now;
        }
        self.now = now;
    }

    /// Whether a record is one of this cluster that can be followed.
    fn check_record(&self, from: Option<NodeId>, record: &Record, out: &mut Vec<Action>) -> bool {
        let why = record.validate().err();
        let known = self.record().filter(|known| known.epoch == record.epoch);
        let contradicts = known.is_some_and(|known| known.change.id != record.change.id);
        let is_good = why.is_none() && record.cluster == self.cluster && !contradicts;
        if !is_good {
            out.push(Action::Report(Report::BadRecord { from, why }));
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
            self.on_base(out);
        } else {
            // The answer took longer than the news from a peer.
        }
    }

    /// Follows a newer record.
    fn adopt(&mut self, record: Arc<Record>, token: Option<RecordToken>, out: &mut Vec<Action>) {
        let now = self.now;
        let won = self.proposal.take().is_some_and(|own| own.record.change.id == record.change.id);
        let was = self.standing;
        let is_in = record.is_member(self.me);
        // Only an earlier life can have put it into the first record that it sees.
        let has_forgotten = self.known.is_none() && !won && self.rules.bump();
        self.standing = match was {
            Standing::Out => Standing::Out,
            Standing::Outside if is_in && has_forgotten => {
                Standing::Restarted { epoch: record.epoch }
            }
            Standing::Restarted { epoch } if is_in && record.epoch <= epoch => was,
            _ if is_in => Standing::Member,
            _ if !self.rules.fresh_incarnation() => Standing::Outside,
            Standing::Outside if !record.is_retired(self.me) => Standing::Outside,
            _ => Standing::Out,
        };
        if self.standing == Standing::Member && was != Standing::Member {
            self.member_since = Some(now);
            // In the first epoch there is nothing that anybody could have granted before.
            if !(won && record.change.kind == ChangeKind::Create) {
                self.grants.imply(now, &record);
            }
        }
        if self.standing == Standing::Out && was != Standing::Out {
            self.end(out);
        }
        self.active = false;
        self.teacher = None;
        self.untaught.clear();
        // The others wait to hear that it has left the older epoch.
        self.next_beat = now;
        self.epoch_since = now;
        self.failures = 0;
        self.members_heard = now;
        self.grants.on_epoch(now, &record, &self.rules);
        self.rotation.on_epoch(now, &record);
        self.peers.on_epoch(now, self.me, &record);
        if was == Standing::Outside {
            // Until now nobody had a reason to talk to it.
            self.peers.on_silence_excused(now);
        }
        if let Some(learner) = self.learner.take() {
            self.peers.on_heard_before(learner.heard, learner.node);
        }
        self.gate = None;
        if won {
            self.announce(&record, out);
        }
        let (epoch, member) = (record.epoch, self.is_member());
        out.push(Action::Report(Report::Epoch { epoch, member }));
        self.known = Some(Known { record, token });
    }

    /// This life is over.
    fn end(&mut self, out: &mut Vec<Action>) {
        let served_long =
            self.member_since.is_some_and(|since| self.now >= since.plus_ms(REJOIN_MS_MAX));
        let removals = if served_long { 0 } else { self.removals };
        let not_before = self.now.plus_ms(doubled(REJOIN_MS, removals, REJOIN_MS_MAX));
        out.push(Action::Rejoin { not_before, removals: removals.saturating_add(1) });
    }

    fn refuse(&self, to: NodeId, record: &Record, out: &mut Vec<Action>) {
        let message = PeerMessage::NotMember(Box::new(record.clone()));
        out.push(Action::Send { to, message });
    }

    /// Does what follows from what it knows by now.
    fn decide(&mut self, out: &mut Vec<Action>) {
        let mut due = Due::new(self.now);
        self.activate(&mut due, out);
        self.watch_learner(&mut due);
        self.suspect(&mut due, out);
        self.plan(&mut due, out);
        self.tell_cores(out);
        self.pursue(&mut due, out);
        self.beat(&mut due, out);
        let poll_ms = if self.is_member() { POLL_MS } else { POLL_OUTSIDE_MS };
        if self.standing != Standing::Out && self.reads.next(self.now, poll_ms, &mut due) {
            out.push(Action::ReadRegister);
        }
        self.due = due.next();
    }

    fn suspect(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        let Some(record) = self.record().cloned().filter(|_| self.standing == Standing::Member)
        else {
            return;
        };
        for suspect in self.peers.judge(self.now, &record, due) {
            // Somebody may have removed it already.
            self.reads.want();
            let (node, why) = (suspect.node, suspect.why);
            out.push(Action::Report(Report::Suspected { node, why }));
        }
    }

    fn tell_cores(&mut self, out: &mut Vec<Action>) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        let gate = self.gate.as_ref().map(|gate| gate.learner);
        let learner = self.learner.as_ref().filter(|learner| learner.ready);
        let view = View {
            number: 0,
            epoch: record.epoch,
            member: self.is_member(),
            active: self.active,
            pending: self.proposal.is_some() && self.rules.stop_read(),
            // What a member that restarted promised in its last life, it keeps.
            resting: self.rotation.is_resting() || self.standing != Standing::Member,
            gate: gate.filter(|_| self.rules.gate()),
            learner: learner.map(|learner| learner.node),
            teacher: self.teacher.map(|teacher| teacher.tail),
            lease: self.grants.lease(self.me, &record, &self.rules),
            record,
        };
        out.extend(self.views.tell(self.now, view).map(Action::View));
    }
}

#[cfg(test)]
mod tests;
