//! A few nodes, the network between them, and a register, in simulated time.
//!
//! Nodes have clocks of their own, which run faster or slower. Their cores take views in the order
//! in which they were published, but later. Replicas are not simulated: a state transfer is
//! reported as nearly synced and then as synced, unless something breaks.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::faults::FaultRates;
use super::oracle;
use super::random::TestRandom;
use super::register::TestRegister;
use crate::chain::member::{
    Action, CasOutcome, Member, MemberConfig, MemberReport, MembershipView, PeerMessage,
    ReadOutcome, Removals,
};
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeId, ChangeKind, NodeId, NodeInfo, Record, Settings};
use crate::chain::rules::Rules;
use crate::shard::Seq;
use crate::time::Time;

pub(super) struct TestCluster {
    pub(super) now_us: u64,
    pub(super) nodes: Vec<TestNode>,
    pub(super) register: TestRegister,
    pub(super) faults: FaultRates,
    /// Cut connections, from and to, and until when.
    cuts: BTreeMap<(Endpoint, Endpoint), u64>,
    /// Whether everything takes its usual time.
    pub(super) fixed_delays: bool,
    pub(super) random: TestRandom,
    rules: Rules,
    settings: Settings,
    events: BTreeMap<(u64, u64), TestEvent>,
    order: u64,
    pub(super) isolated_until: u64,
    /// How much longer the register takes to write than to read.
    pub(super) write_ms: u64,
    /// What happens to the next proposals.
    pub(super) fates: VecDeque<ProposalFate>,
    /// An invariant that was violated.
    pub(super) violation: Option<String>,
    /// What happened, if it is recorded.
    pub(super) trace: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    Node(usize),
    Register,
}

/// What happens to a proposal on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProposalFate {
    /// It arrives so many milliseconds later.
    Late(u64),
    /// It arrives, but its reply does not.
    ReplyLost,
    /// An intermediary retries it: the reply is that to the retry.
    Repeated,
    /// It is refused without being compared.
    Conflict,
    /// It is not permitted.
    Failed,
    /// It arrives, and so does the reply.
    Plain,
}

pub(super) struct TestNode {
    pub(super) name: char,
    pub(super) id: NodeId,
    /// [`None`] while it does not run.
    pub(super) member: Option<Member>,
    /// The view that its cores follow.
    pub(super) cores: Option<MembershipView>,
    /// The newest epoch of its previous views.
    pub(super) epoch_before: u32,
    /// By how many millionths its clock's rate is too high, and what the clock showed at the
    /// beginning.
    pub(super) rate_ppm: i64,
    pub(super) offset_us: u64,
    /// Whether it restarts with the same id after a crash.
    pub(super) durable: bool,
    incarnations: u64,
    removals: Removals,
    paused_until: u64,
    cores_stuck_until: u64,
    /// Views that its cores have not taken yet.
    views_in_flight: VecDeque<MembershipView>,
    wake: u64,
    calls: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) enum TestEvent {
    Start {
        node: usize,
        founds: bool,
    },
    Restart {
        id: NodeId,
    },
    Wake {
        id: NodeId,
        wake: u64,
    },
    Arrive {
        from: NodeId,
        to: NodeId,
        message: PeerMessage,
    },
    Cores {
        id: NodeId,
        incarnation: u64,
    },
    ReadArrives {
        id: NodeId,
        call: u64,
    },
    ReadReturns {
        id: NodeId,
        call: u64,
        reading: ReadOutcome,
    },
    CasArrives {
        id: NodeId,
        call: u64,
        base: Option<RecordToken>,
        record: Box<Record>,
        fate: ProposalFate,
    },
    CasReturns {
        id: NodeId,
        call: u64,
        change: ChangeId,
        outcome: CasOutcome,
    },
    Probed {
        id: NodeId,
        call: u64,
        done: bool,
    },
    NearlySynced {
        learner: NodeId,
        tail: NodeId,
        epoch: u32,
    },
    Synced {
        learner: NodeId,
        tail: NodeId,
        epoch: u32,
    },
    Quiesced {
        id: NodeId,
        epoch: u32,
    },
    InjectFaults,
    Isolate {
        record: Box<Record>,
    },
    RemoveAllOthers {
        node: usize,
    },
}

pub(super) const MS: u64 = 1_000;
const FAULT_INTERVAL_MS: u64 = 200;
const TIMEOUT_MS: u64 = 1_000;

impl TestNode {
    /// Returns what its clock shows.
    pub(super) fn clock(&self, now_us: u64) -> Time {
        let now = i128::from(now_us);
        let shown = i128::from(self.offset_us) + now + now * i128::from(self.rate_ppm) / 1_000_000;
        Time(u64::try_from(shown).expect("clocks begin after 0"))
    }

    /// Returns when its clock will show a time.
    pub(super) fn when(&self, time: Time) -> u64 {
        let passed = i128::from(time.0) - i128::from(self.offset_us);
        let now = passed * 1_000_000 / (1_000_000 + i128::from(self.rate_ppm)) + 1;
        u64::try_from(now).unwrap_or_default()
    }
}

impl TestCluster {
    pub(super) fn new(seed: u64, settings: Settings, rules: Rules) -> TestCluster {
        TestCluster {
            now_us: 0,
            nodes: Vec::new(),
            register: TestRegister::default(),
            faults: FaultRates::default(),
            cuts: BTreeMap::new(),
            fixed_delays: false,
            random: TestRandom::new(seed),
            rules,
            settings,
            events: BTreeMap::new(),
            order: 0,
            isolated_until: 0,
            write_ms: 0,
            fates: VecDeque::new(),
            violation: None,
            trace: None,
        }
    }

    /// Adds a node that does not run yet.
    pub(super) fn add(&mut self, name: char) -> usize {
        self.nodes.push(TestNode {
            name,
            id: NodeId::default(),
            member: None,
            cores: None,
            epoch_before: 0,
            rate_ppm: 0,
            offset_us: 1_000_000,
            durable: false,
            incarnations: 0,
            removals: Removals::default(),
            paused_until: 0,
            cores_stuck_until: 0,
            views_in_flight: VecDeque::new(),
            wake: 0,
            calls: BTreeSet::new(),
        });
        self.nodes.len() - 1
    }

    pub(super) fn start_later(&mut self, node: usize, founds: bool) {
        self.schedule(0, TestEvent::Start { node, founds });
    }

    pub(super) fn schedule_faults(&mut self) {
        self.schedule(FAULT_INTERVAL_MS * MS, TestEvent::InjectFaults);
    }

    /// Lets time pass, and checks after every event.
    pub(super) fn pass(&mut self, us: u64) -> Result<(), String> {
        self.pass_until(us, |_| false).map(drop)
    }

    /// Lets time pass until a condition holds; returns whether it does.
    pub(super) fn pass_until(
        &mut self,
        us: u64,
        holds: impl Fn(&TestCluster) -> bool,
    ) -> Result<bool, String> {
        let end = self.now_us + us;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((time, _), event) = entry.remove_entry();
            self.now_us = time;
            self.happen(event);
            oracle::check(self)?;
            if holds(self) {
                return Ok(true);
            }
        }
        self.now_us = end;
        oracle::check(self)?;
        Ok(holds(self))
    }

    /// Returns the running node with that id.
    pub(super) fn node_of(&self, id: NodeId) -> Option<&TestNode> {
        self.index_of(id).map(|at| &self.nodes[at])
    }

    pub(super) fn index_of(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id && node.member.is_some())
    }

    pub(super) fn cut(&mut self, from: Endpoint, to: Endpoint, us: u64) {
        self.cuts.insert((from, to), self.now_us.saturating_add(us));
    }

    pub(super) fn cut_both(&mut self, one: Endpoint, other: Endpoint, us: u64) {
        self.cut(one, other, us);
        self.cut(other, one, us);
    }

    /// Ends all faults.
    pub(super) fn end_faults(&mut self) {
        self.faults = FaultRates::default();
        self.cuts.clear();
        for node in &mut self.nodes {
            node.paused_until = node.paused_until.min(self.now_us);
            node.cores_stuck_until = 0;
        }
    }

    pub(super) fn pause(&mut self, node: usize, us: u64) {
        self.nodes[node].paused_until = self.now_us + us;
    }

    pub(super) fn stick(&mut self, node: usize, us: u64) {
        self.nodes[node].cores_stuck_until = self.now_us + us;
    }

    /// Crashes a node, and starts it again after a while.
    pub(super) fn crash(&mut self, node: usize, back_after_us: Option<u64>) {
        self.stop(node);
        if let Some(us) = back_after_us {
            self.schedule(us, TestEvent::Start { node, founds: false });
        }
    }

    /// Calls a member with the time of its clock, and carries out its actions.
    pub(super) fn call(
        &mut self,
        node: usize,
        event: impl FnOnce(&mut Member, Time, &mut Vec<Action>),
    ) {
        let now = self.nodes[node].clock(self.now_us);
        let Some(member) = &mut self.nodes[node].member else {
            return;
        };
        let mut actions = Vec::new();
        event(member, now, &mut actions);
        let due = member.next_due();
        assert!(due.is_none_or(|due| due > now), "what was due is done");
        for action in actions {
            self.act(node, action);
        }
        if let Some(due) = due {
            let node = &mut self.nodes[node];
            node.wake += 1;
            let (at, wake, id) = (node.when(due), node.wake, node.id);
            self.schedule_at(at, TestEvent::Wake { id, wake });
        }
    }

    pub(super) fn schedule(&mut self, after_us: u64, event: TestEvent) {
        self.schedule_at(self.now_us + after_us, event);
    }

    fn schedule_at(&mut self, at: u64, event: TestEvent) {
        self.order += 1;
        self.events.insert((at.max(self.now_us), self.order), event);
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} {}", self.now_us as f64 / 1e6, what()));
        }
    }

    fn stop(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.member = None;
        node.cores = None;
        node.calls.clear();
        node.views_in_flight.clear();
        node.cores_stuck_until = 0;
        node.paused_until = 0;
    }

    fn start(&mut self, at: usize, founds: bool) {
        if self.nodes[at].member.is_some() {
            return;
        }
        let node = &mut self.nodes[at];
        node.incarnations += 1;
        if !node.durable || node.id == NodeId::default() {
            let place = u128::try_from(at).expect("few nodes") + 1;
            node.id = NodeId((place << 64) | u128::from(node.incarnations));
            node.epoch_before = 0;
        }
        let port = 7_000 + u16::try_from(at).expect("few nodes");
        let address = |port| core::net::SocketAddr::from(([127, 0, 0, 1], port));
        let start = MemberConfig {
            me: node.id,
            info: NodeInfo {
                name: node.name.to_string(),
                peer: address(port),
                clients: vec![address(port + 100)],
                az: None,
            },
            cluster: "catena".into(),
            founding: founds.then(|| self.settings.clone()),
            change_seed: (node.id.0 << 32) | (u128::from(node.incarnations) << 20),
            base: Seq(1_000),
            removals: node.removals,
        };
        node.member = Some(Member::with_rules(start, self.rules).expect("valid settings"));
        let id = node.id;
        self.note(|| format!("{id:?} starts"));
        let found = if self.is_cut(Endpoint::Node(at), Endpoint::Register) {
            ReadOutcome::Failed
        } else {
            self.register.read()
        };
        self.call(at, |member, now, out| member.on_start(now, found, out));
    }

    /// Returns how long something takes.
    fn span(&mut self, least: u64, most: u64) -> u64 {
        if self.fixed_delays {
            u64::midpoint(least, most)
        } else {
            self.random.between(least, most)
        }
    }

    fn is_cut(&self, from: Endpoint, to: Endpoint) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| self.now_us < *until)
    }

    /// Returns a running node, and until when it is paused.
    fn running(&self, id: NodeId) -> Option<(usize, u64)> {
        let at = self.index_of(id)?;
        Some((at, self.nodes[at].paused_until))
    }

    fn happen(&mut self, event: TestEvent) {
        let id = match &event {
            TestEvent::Restart { id }
            | TestEvent::Wake { id, .. }
            | TestEvent::Arrive { to: id, .. }
            | TestEvent::Cores { id, .. }
            | TestEvent::ReadReturns { id, .. }
            | TestEvent::CasReturns { id, .. }
            | TestEvent::Probed { id, .. }
            | TestEvent::Quiesced { id, .. }
            | TestEvent::NearlySynced { tail: id, .. }
            | TestEvent::Synced { tail: id, .. } => Some(*id),
            _ => None,
        };
        let at = match id.map(|id| self.running(id)) {
            Some(Some((_, paused_until))) if paused_until > self.now_us => {
                return self.schedule_at(paused_until, event);
            }
            Some(Some((at, _))) => at,
            Some(None) => match event {
                TestEvent::NearlySynced { learner, epoch, .. } => {
                    return self.lose_session(learner, epoch);
                }
                _ => return,
            },
            None => usize::MAX,
        };
        match event {
            TestEvent::Start { node, founds } => self.start(node, founds),
            TestEvent::Restart { .. } => {
                self.stop(at);
                self.start(at, false);
            }
            TestEvent::Wake { wake, .. } => {
                if self.nodes[at].wake == wake {
                    self.call(at, Member::on_time);
                }
            }
            TestEvent::Arrive { from, to, message } => {
                self.note(|| format!("{from:?} -> {to:?} {}", brief(&message)));
                self.call(at, |member, now, out| member.on_message(now, from, message, out));
            }
            TestEvent::Cores { incarnation, .. } => {
                if self.nodes[at].incarnations == incarnation {
                    self.on_view(at);
                }
            }
            TestEvent::ReadArrives { id, call } => self.on_read(id, call),
            TestEvent::ReadReturns { call, reading, .. } => {
                if self.nodes[at].calls.remove(&call) {
                    self.call(at, |member, now, out| member.on_read(now, reading, out));
                }
            }
            TestEvent::CasArrives { id, call, base, record, fate } => {
                self.on_cas(id, call, base.as_ref(), &record, fate);
            }
            TestEvent::CasReturns { id, call, change, outcome } => {
                if self.nodes[at].calls.remove(&call) {
                    self.note(|| format!("{id:?} gets {outcome:?}"));
                    self.call(at, |member, now, out| member.on_cas(now, change, outcome, out));
                }
            }
            TestEvent::Probed { call, done, .. } => {
                if self.nodes[at].calls.remove(&call) {
                    self.call(at, |member, now, out| member.on_probed(now, done, out));
                }
            }
            TestEvent::NearlySynced { learner, tail, epoch } => {
                self.on_nearly_synced(at, learner, tail, epoch)
            }
            TestEvent::Synced { learner, tail, epoch } => self.on_synced(at, learner, tail, epoch),
            TestEvent::Quiesced { epoch, .. } => self.on_quiesced(at, epoch),
            TestEvent::InjectFaults => self.inject_faults(),
            TestEvent::Isolate { record } => self.isolate(&record),
            TestEvent::RemoveAllOthers { node } => self.remove_all_others(node),
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        let id = self.nodes[at].id;
        match action {
            Action::Send { to, message } => self.send(at, to, message),
            Action::View(view) => self.publish_view(at, view),
            Action::ReadRegister => {
                let call = self.open_call(at);
                let timeout = TestEvent::ReadReturns { id, call, reading: ReadOutcome::Failed };
                self.schedule(TIMEOUT_MS * MS, timeout);
                self.access(at, TestEvent::ReadArrives { id, call });
            }
            Action::ProbeRegister => {
                let call = self.open_call(at);
                self.schedule(TIMEOUT_MS * MS, TestEvent::Probed { id, call, done: false });
                let after = self.span(2, 40) * MS + self.write_ms * MS;
                if !self.is_cut(Endpoint::Node(at), Endpoint::Register) {
                    self.schedule(after, TestEvent::Probed { id, call, done: true });
                }
            }
            Action::Create(record) => self.propose(at, None, &record),
            Action::Cas { token, record } => self.propose(at, Some(token), &record),
            Action::Rejoin { not_before, removals } => {
                self.note(|| format!("{id:?} ends its incarnation"));
                let node = &mut self.nodes[at];
                node.removals = removals;
                node.durable = false;
                let wait = node.when(not_before).saturating_sub(self.now_us);
                // Sooner than a node would, so that more happens.
                let wait = wait.min(self.span(1_000, 6_000) * MS);
                self.schedule(wait, TestEvent::Restart { id });
            }
            Action::Report(report) => {
                let proposes = matches!(report, MemberReport::Proposed { .. });
                if proposes && self.random.happens(self.faults.stuck_then) {
                    let us = self.random.between(50, 6_000) * MS;
                    self.stick(at, us);
                }
                self.note(|| format!("{id:?} {report:?}"));
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: PeerMessage) {
        let has_record = matches!(message, PeerMessage::Config(_) | PeerMessage::NotMember(_));
        let target = usize::try_from(to.0 >> 64).expect("few nodes").saturating_sub(1);
        let is_cut = self.is_cut(Endpoint::Node(from), Endpoint::Node(target));
        let is_lost = self.random.happens(self.faults.lost)
            || has_record && self.random.happens(self.faults.record_lost);
        if is_cut || is_lost {
            return;
        }
        let times = if self.random.happens(self.faults.repeated) { 2 } else { 1 };
        for _ in 0..times {
            let late = self.random.happens(self.faults.late);
            let after = self.span(50, if late { 3_000 * MS } else { MS });
            let from = self.nodes[from].id;
            self.schedule(after, TestEvent::Arrive { from, to, message: message.clone() });
        }
    }

    fn publish_view(&mut self, at: usize, view: MembershipView) {
        let quick = self.span(10, 500);
        let node = &mut self.nodes[at];
        node.views_in_flight.push_back(view);
        let (id, incarnation) = (node.id, node.incarnations);
        self.schedule(quick, TestEvent::Cores { id, incarnation });
    }

    /// The cores take the next view.
    fn on_view(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let (id, incarnation) = (node.id, node.incarnations);
        if node.cores_stuck_until > self.now_us {
            let when = node.cores_stuck_until;
            return self.schedule_at(when, TestEvent::Cores { id, incarnation });
        }
        let view = node.views_in_flight.pop_front().expect("one view for every event");
        let before = node.cores.replace(view.clone());
        node.epoch_before = before.as_ref().map_or(node.epoch_before, |before| before.epoch);
        self.note(|| {
            let MembershipView {
                epoch, active, change_pending, gate, lease, learner, source, ..
            } = &view;
            let copies = (learner, source);
            format!("{id:?} cores: {epoch} {active} {change_pending} {gate:?} {lease:?} {copies:?}")
        });
        let epoch_before = before.as_ref().map_or(0, |before| before.epoch);
        let learner_before = before.as_ref().and_then(|before| before.learner);
        let was_quiescing = before.as_ref().is_some_and(|before| before.quiescing);
        let gate_before = before.and_then(|before| before.gate);
        let (tail, epoch) = (id, view.epoch);
        let is_new = |learner| (epoch_before, learner_before) != (epoch, Some(learner));
        if let Some(learner) = view.learner.filter(|learner| is_new(*learner)) {
            let after = self.span(50, 800) * MS;
            self.schedule(after, TestEvent::NearlySynced { learner, tail, epoch });
        }
        if let Some(learner) = view.gate.filter(|gate| gate_before != Some(*gate)) {
            let after = self.span(1, 200) * MS;
            self.schedule(after, TestEvent::Synced { learner, tail, epoch });
        }
        if view.quiescing && !was_quiescing {
            let after = self.span(1, 100) * MS;
            self.schedule(after, TestEvent::Quiesced { id, epoch });
        }
        self.call(at, |member, now, out| member.on_cores_ready(now, view.number, out));
    }

    /// The cores accept no updates, and all members have those that they accepted.
    fn on_quiesced(&mut self, at: usize, epoch: u32) {
        let is_quiescing = |view: &MembershipView| view.epoch == epoch && view.quiescing;
        if self.nodes[at].cores.as_ref().is_some_and(is_quiescing) {
            self.call(at, |member, now, out| member.on_quiesced(now, epoch, out));
        }
    }

    /// Checks that no member accepts updates while a new order begins.
    fn check_order(&mut self, record: &Record) {
        let accepts_updates = |view: &MembershipView| view.epoch < record.epoch && !view.quiescing;
        let mut members = record.members().filter_map(|id| self.node_of(id));
        let one = members.find(|node| node.cores.as_ref().is_some_and(accepts_updates));
        self.violation = one.map(|node| {
            format!(
                "{} accepts updates while the order of epoch {} begins",
                node.name, record.epoch
            )
        });
    }

    fn open_call(&mut self, at: usize) -> u64 {
        self.order += 1;
        self.nodes[at].calls.insert(self.order);
        self.order
    }

    /// Sends a request to the register, if it gets there.
    fn access(&mut self, at: usize, event: TestEvent) {
        let is_lost = self.random.happens(self.faults.access_lost);
        let is_late = self.random.happens(self.faults.access_late);
        if is_lost || self.is_cut(Endpoint::Node(at), Endpoint::Register) {
            return;
        }
        let is_write = matches!(event, TestEvent::CasArrives { .. });
        let slow_ms = if is_write { self.write_ms } else { 0 };
        let after = self.span(1, if is_late { 4_000 } else { 20 }) * MS + slow_ms * MS;
        self.schedule(after, event);
    }

    /// Returns how long the register's reply takes, if it gets to the node.
    fn reply_us(&mut self, id: NodeId) -> Option<u64> {
        let at = self.index_of(id)?;
        let is_lost = self.random.happens(self.faults.reply_lost);
        let is_cut = self.is_cut(Endpoint::Register, Endpoint::Node(at));
        (!is_lost && !is_cut).then(|| self.span(1, 20) * MS)
    }

    fn on_read(&mut self, id: NodeId, call: u64) {
        let reading = self.register.read();
        if let Some(after) = self.reply_us(id) {
            self.schedule(after, TestEvent::ReadReturns { id, call, reading });
        }
    }

    fn propose(&mut self, at: usize, base: Option<RecordToken>, record: &Record) {
        let id = self.nodes[at].id;
        let call = self.open_call(at);
        let change = record.change.id;
        let timeout = TestEvent::CasReturns { id, call, change, outcome: CasOutcome::Unknown };
        self.schedule(TIMEOUT_MS * MS, timeout);
        let fate = self.fates.pop_front().unwrap_or_else(|| self.faults.fate(&mut self.random));
        let record = Box::new(record.clone());
        let kind = record.change.kind;
        let arrives = TestEvent::CasArrives { id, call, base, record, fate };
        if let ProposalFate::Late(ms) = fate {
            self.schedule(ms * MS, arrives);
        } else if kind == ChangeKind::Append
            && self.nodes[at].durable
            && self.random.happens(self.faults.restarted_during_append)
        {
            let late = self.random.between(300, 2_500) * MS;
            self.schedule(late, arrives);
            let back = self.span(10, 500) * MS;
            self.crash(at, Some(back));
        } else {
            self.access(at, arrives);
        }
    }

    fn on_cas(
        &mut self,
        id: NodeId,
        call: u64,
        base: Option<&RecordToken>,
        record: &Record,
        fate: ProposalFate,
    ) {
        let change = record.change.id;
        if let ProposalFate::Conflict | ProposalFate::Failed = fate {
            if let Some(after) = self.reply_us(id) {
                let failed = fate == ProposalFate::Failed;
                let outcome = if failed { CasOutcome::Failed } else { CasOutcome::Lost };
                self.schedule(after, TestEvent::CasReturns { id, call, change, outcome });
            }
            return;
        }
        let mut outcome = self.register.swap(base, record);
        let landed = matches!(outcome, CasOutcome::Won(_));
        let text = || {
            let chain: Vec<NodeId> = record.chains[0].clone();
            format!("{id:?} wrote epoch {}: {chain:?}: {landed}", record.epoch)
        };
        self.note(text);
        if landed && record.change.kind == ChangeKind::Reorder {
            self.check_order(record);
        }
        if fate == ProposalFate::Repeated {
            outcome = self.register.swap(base, record);
        }
        if landed && self.random.happens(self.faults.isolated_after_change) {
            let after = self.random.pick(&[0, 30, 300]) * MS;
            self.schedule(after, TestEvent::Isolate { record: Box::new(record.clone()) });
        }
        if landed && self.random.happens(self.faults.removed_after_change) {
            let subject = record.change.subject.and_then(|subject| self.index_of(subject));
            let all: Vec<usize> = (0..self.nodes.len()).collect();
            let node = subject.unwrap_or_else(|| self.random.pick(&all));
            let most = self.random.pick(&[60, 1_000, 2_500]);
            let after = self.random.between(1, most) * MS;
            self.schedule(after, TestEvent::RemoveAllOthers { node });
        }
        if fate == ProposalFate::ReplyLost {
            return;
        }
        if let Some(after) = self.reply_us(id) {
            self.schedule(after, TestEvent::CasReturns { id, call, change, outcome });
        }
    }

    /// Returns whether one node's cores transfer their state to another's.
    fn copies(&self, at: usize, learner: NodeId, tail: NodeId, epoch: u32) -> bool {
        let sends = |view: &MembershipView| view.epoch == epoch && view.learner == Some(learner);
        let receives = |view: &MembershipView| view.epoch == epoch && view.source == Some(tail);
        let learner = self.node_of(learner).and_then(|node| node.cores.as_ref());
        self.nodes[at].cores.as_ref().is_some_and(sends) && learner.is_some_and(receives)
    }

    fn on_nearly_synced(&mut self, at: usize, learner: NodeId, tail: NodeId, epoch: u32) {
        if self.copies(at, learner, tail, epoch) {
            self.call(at, |member, now, out| member.on_nearly_synced(now, learner, epoch, out));
            self.schedule(300 * MS, TestEvent::NearlySynced { learner, tail, epoch });
        }
    }

    fn on_synced(&mut self, at: usize, learner: NodeId, tail: NodeId, epoch: u32) {
        let is_gated = self.nodes[at].cores.as_ref().is_some_and(|view| view.gate == Some(learner));
        if !is_gated || !self.copies(at, learner, tail, epoch) {
            return;
        }
        let there = self.index_of(learner).map(Endpoint::Node).expect("a learner");
        if self.is_cut(Endpoint::Node(at), there) || self.is_cut(there, Endpoint::Node(at)) {
            return self.schedule(100 * MS, TestEvent::Synced { learner, tail, epoch });
        }
        self.call(at, |member, now, out| member.on_synced(now, learner, epoch, out));
    }

    /// The learner's tail is gone; the learner may or may not notice.
    fn lose_session(&mut self, learner: NodeId, epoch: u32) {
        if let Some(at) =
            self.index_of(learner).filter(|_| self.fixed_delays || self.random.happens(500))
        {
            self.call(at, |member, now, out| member.on_sync_lost(now, epoch, out));
        }
    }
}

fn brief(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Config(record) => format!("Config {}", record.epoch),
        PeerMessage::NotMember(record) => format!("NotMember {}", record.epoch),
        PeerMessage::Join { epoch, .. } => format!("Join {epoch}"),
        other => format!("{other:?}"),
    }
}
