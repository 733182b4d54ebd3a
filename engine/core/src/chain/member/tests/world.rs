//! A few nodes, the network between them, and a register; time is what one event says after the
//! other.
//!
//! Nodes have clocks of their own, which run faster or slower. Their cores learn of views in the
//! order in which they were told, but not at once. What a replica does for a learner is only its
//! outcome here: near, then everything, unless something breaks.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::chance::Chance;
use super::faults::Faults;
use super::register::Register;
use super::truth;
use crate::chain::member::{Action, Member, Outcome, PeerMessage, Reading, Report, Start, View};
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeId, ChangeKind, NodeId, NodeInfo, Record, Settings};
use crate::chain::rules::Rules;
use crate::time::Time;

pub(super) struct World {
    pub(super) now_us: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) register: Register,
    pub(super) faults: Faults,
    /// What is cut, from and to, until when.
    cuts: BTreeMap<(Place, Place), u64>,
    /// Everything takes as long as it usually does.
    pub(super) calm: bool,
    pub(super) chance: Chance,
    rules: Rules,
    settings: Settings,
    events: BTreeMap<(u64, u64), Event>,
    order: u64,
    pub(super) ambush_until: u64,
    /// What becomes of the next proposals.
    pub(super) fates: VecDeque<Fate>,
    /// What must not have happened and did.
    pub(super) wrong: Option<String>,
    /// What happened, if somebody wants to know.
    pub(super) trace: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Node(usize),
    Register,
}

/// What becomes of a proposal on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives so many milliseconds later.
    Late(u64),
    /// It arrives, and the answer does not.
    AnswerLost,
    /// Somebody on the way repeats it: the answer is that to the repetition.
    Repeated,
    /// It is refused unseen.
    Conflict,
    /// It is not allowed.
    Failed,
    /// Nothing special.
    Plain,
}

pub(super) struct Node {
    pub(super) name: char,
    pub(super) id: NodeId,
    /// [`None`] while it does not run.
    pub(super) member: Option<Member>,
    /// What its cores act on.
    pub(super) cores: Option<View>,
    /// The newest epoch that they were in.
    pub(super) epoch_before: u32,
    /// Its clock's rate, in millionths more than the true one, and what it showed at the beginning.
    pub(super) rate_ppm: i64,
    pub(super) offset_us: u64,
    /// Comes back from a crash with the same id.
    pub(super) durable: bool,
    lives: u64,
    removals: u32,
    paused_until: u64,
    cores_stuck_until: u64,
    /// What they are told and have not looked at.
    untold: VecDeque<View>,
    wake: u64,
    calls: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) enum Event {
    Begin { node: usize, founds: bool },
    BeginAgain { id: NodeId },
    Wake { id: NodeId, wake: u64 },
    Arrive { from: NodeId, to: NodeId, message: PeerMessage },
    Cores { id: NodeId, life: u64 },
    ReadArrives { id: NodeId, call: u64 },
    ReadReturns { id: NodeId, call: u64, reading: Reading },
    CasArrives { id: NodeId, call: u64, base: Option<RecordToken>, record: Box<Record>, fate: Fate },
    CasReturns { id: NodeId, call: u64, change: ChangeId, outcome: Outcome },
    Near { learner: NodeId, tail: NodeId, epoch: u32 },
    Synced { learner: NodeId, tail: NodeId, epoch: u32 },
    AtRest { id: NodeId, epoch: u32 },
    Mischief,
    Ambush { record: Box<Record> },
    Purge { node: usize },
}

pub(super) const MS: u64 = 1_000;
const MISCHIEF_MS: u64 = 200;
const TIMEOUT_MS: u64 = 1_000;

impl Node {
    /// What its clock shows.
    pub(super) fn clock(&self, now_us: u64) -> Time {
        let now = i128::from(now_us);
        let shown = i128::from(self.offset_us) + now + now * i128::from(self.rate_ppm) / 1_000_000;
        Time(u64::try_from(shown).expect("clocks begin after 0"))
    }

    /// When its clock will have reached a time.
    pub(super) fn when(&self, time: Time) -> u64 {
        let passed = i128::from(time.0) - i128::from(self.offset_us);
        let now = passed * 1_000_000 / (1_000_000 + i128::from(self.rate_ppm)) + 1;
        u64::try_from(now).unwrap_or_default()
    }
}

impl World {
    pub(super) fn new(seed: u64, settings: Settings, rules: Rules) -> World {
        World {
            now_us: 0,
            nodes: Vec::new(),
            register: Register::default(),
            faults: Faults::default(),
            cuts: BTreeMap::new(),
            calm: false,
            chance: Chance::new(seed),
            rules,
            settings,
            events: BTreeMap::new(),
            order: 0,
            ambush_until: 0,
            fates: VecDeque::new(),
            wrong: None,
            trace: None,
        }
    }

    /// A node that does not run yet.
    pub(super) fn add(&mut self, name: char) -> usize {
        self.nodes.push(Node {
            name,
            id: NodeId::default(),
            member: None,
            cores: None,
            epoch_before: 0,
            rate_ppm: 0,
            offset_us: 1_000_000,
            durable: false,
            lives: 0,
            removals: 0,
            paused_until: 0,
            cores_stuck_until: 0,
            untold: VecDeque::new(),
            wake: 0,
            calls: BTreeSet::new(),
        });
        self.nodes.len() - 1
    }

    pub(super) fn begin(&mut self, node: usize, founds: bool) {
        self.schedule(0, Event::Begin { node, founds });
    }

    pub(super) fn add_mischief(&mut self) {
        self.schedule(MISCHIEF_MS * MS, Event::Mischief);
    }

    /// Lets time pass, and checks after every event.
    pub(super) fn pass(&mut self, us: u64) -> Result<(), String> {
        self.pass_until(us, |_| false).map(drop)
    }

    /// Lets time pass until something holds; returns whether it does.
    pub(super) fn pass_until(
        &mut self,
        us: u64,
        holds: impl Fn(&World) -> bool,
    ) -> Result<bool, String> {
        let end = self.now_us + us;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((time, _), event) = entry.remove_entry();
            self.now_us = time;
            self.happen(event);
            truth::check(self)?;
            if holds(self) {
                return Ok(true);
            }
        }
        self.now_us = end;
        truth::check(self)?;
        Ok(holds(self))
    }

    /// The running node with that id.
    pub(super) fn node_of(&self, id: NodeId) -> Option<&Node> {
        self.index_of(id).map(|at| &self.nodes[at])
    }

    pub(super) fn index_of(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id && node.member.is_some())
    }

    pub(super) fn cut(&mut self, from: Place, to: Place, us: u64) {
        self.cuts.insert((from, to), self.now_us.saturating_add(us));
    }

    pub(super) fn cut_both(&mut self, one: Place, other: Place, us: u64) {
        self.cut(one, other, us);
        self.cut(other, one, us);
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        self.faults = Faults::default();
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

    /// Ends a node, and begins its next life after a while.
    pub(super) fn crash(&mut self, node: usize, back_after_us: Option<u64>) {
        self.stop(node);
        if let Some(us) = back_after_us {
            self.schedule(us, Event::Begin { node, founds: false });
        }
    }

    /// Calls a member with the time of its clock, and does what it wants done.
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
        assert!(due.is_none_or(|due| due > now), "what is due is done");
        for action in actions {
            self.act(node, action);
        }
        if let Some(due) = due {
            let node = &mut self.nodes[node];
            node.wake += 1;
            let (at, wake, id) = (node.when(due), node.wake, node.id);
            self.schedule_at(at, Event::Wake { id, wake });
        }
    }

    pub(super) fn schedule(&mut self, after_us: u64, event: Event) {
        self.schedule_at(self.now_us + after_us, event);
    }

    fn schedule_at(&mut self, at: u64, event: Event) {
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
        node.untold.clear();
        node.cores_stuck_until = 0;
        node.paused_until = 0;
    }

    fn start(&mut self, at: usize, founds: bool) {
        if self.nodes[at].member.is_some() {
            return;
        }
        let node = &mut self.nodes[at];
        node.lives += 1;
        if !node.durable || node.id == NodeId::default() {
            let place = u128::try_from(at).expect("few nodes") + 1;
            node.id = NodeId((place << 64) | u128::from(node.lives));
            node.epoch_before = 0;
        }
        let port = 7_000 + u16::try_from(at).expect("few nodes");
        let address = |port| core::net::SocketAddr::from(([127, 0, 0, 1], port));
        let start = Start {
            me: node.id,
            info: NodeInfo {
                name: node.name.to_string(),
                peer: address(port),
                clients: vec![address(port + 100)],
                az: None,
            },
            cluster: "catena".into(),
            founding: founds.then(|| self.settings.clone()),
            change_seed: (node.id.0 << 32) | (u128::from(node.lives) << 20),
            removals: node.removals,
        };
        node.member = Some(Member::with_rules(start, self.rules).expect("good settings"));
        let id = node.id;
        self.note(|| format!("{id:?} begins"));
        let found = if self.is_cut(Place::Node(at), Place::Register) {
            Reading::Failed
        } else {
            self.register.read()
        };
        self.call(at, |member, now, out| member.on_start(now, found, out));
    }

    /// How long something takes.
    fn span(&mut self, least: u64, most: u64) -> u64 {
        if self.calm { u64::midpoint(least, most) } else { self.chance.between(least, most) }
    }

    fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| self.now_us < *until)
    }

    /// A node that runs, and when it goes on if it is paused.
    fn running(&self, id: NodeId) -> Option<(usize, u64)> {
        let at = self.index_of(id)?;
        Some((at, self.nodes[at].paused_until))
    }

    fn happen(&mut self, event: Event) {
        let id = match &event {
            Event::BeginAgain { id }
            | Event::Wake { id, .. }
            | Event::Arrive { to: id, .. }
            | Event::Cores { id, .. }
            | Event::ReadReturns { id, .. }
            | Event::CasReturns { id, .. }
            | Event::AtRest { id, .. }
            | Event::Near { tail: id, .. }
            | Event::Synced { tail: id, .. } => Some(*id),
            _ => None,
        };
        let at = match id.map(|id| self.running(id)) {
            Some(Some((_, paused_until))) if paused_until > self.now_us => {
                return self.schedule_at(paused_until, event);
            }
            Some(Some((at, _))) => at,
            Some(None) => match event {
                Event::Near { learner, epoch, .. } => return self.lose_session(learner, epoch),
                _ => return,
            },
            None => usize::MAX,
        };
        match event {
            Event::Begin { node, founds } => self.start(node, founds),
            Event::BeginAgain { .. } => {
                self.stop(at);
                self.start(at, false);
            }
            Event::Wake { wake, .. } => {
                if self.nodes[at].wake == wake {
                    self.call(at, Member::on_time);
                }
            }
            Event::Arrive { from, to, message } => {
                self.note(|| format!("{from:?} -> {to:?} {}", brief(&message)));
                self.call(at, |member, now, out| member.on_message(now, from, message, out));
            }
            Event::Cores { life, .. } => {
                if self.nodes[at].lives == life {
                    self.on_view(at);
                }
            }
            Event::ReadArrives { id, call } => self.on_read(id, call),
            Event::ReadReturns { call, reading, .. } => {
                if self.nodes[at].calls.remove(&call) {
                    self.call(at, |member, now, out| member.on_read(now, reading, out));
                }
            }
            Event::CasArrives { id, call, base, record, fate } => {
                self.on_cas(id, call, base.as_ref(), &record, fate);
            }
            Event::CasReturns { id, call, change, outcome } => {
                if self.nodes[at].calls.remove(&call) {
                    self.note(|| format!("{id:?} hears {outcome:?}"));
                    self.call(at, |member, now, out| member.on_cas(now, change, outcome, out));
                }
            }
            Event::Near { learner, tail, epoch } => self.on_near(at, learner, tail, epoch),
            Event::Synced { learner, tail, epoch } => self.on_synced(at, learner, tail, epoch),
            Event::AtRest { epoch, .. } => self.on_at_rest(at, epoch),
            Event::Mischief => self.on_mischief(),
            Event::Ambush { record } => self.ambush(&record),
            Event::Purge { node } => self.purge(node),
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        let id = self.nodes[at].id;
        match action {
            Action::Send { to, message } => self.send(at, to, message),
            Action::View(view) => self.tell_cores(at, view),
            Action::ReadRegister => {
                let call = self.open_call(at);
                let timeout = Event::ReadReturns { id, call, reading: Reading::Failed };
                self.schedule(TIMEOUT_MS * MS, timeout);
                self.access(at, Event::ReadArrives { id, call });
            }
            Action::Create(record) => self.propose(at, None, &record),
            Action::Cas { token, record } => self.propose(at, Some(token), &record),
            Action::Rejoin { not_before, removals } => {
                self.note(|| format!("{id:?} is out"));
                let node = &mut self.nodes[at];
                node.removals = removals;
                node.durable = false;
                let wait = node.when(not_before).saturating_sub(self.now_us);
                // Sooner than a node would: there is more to see.
                let wait = wait.min(self.span(1_000, 6_000) * MS);
                self.schedule(wait, Event::BeginAgain { id });
            }
            Action::Report(report) => {
                let proposes = matches!(report, Report::Proposed { .. });
                if proposes && self.chance.happens(self.faults.stuck_then) {
                    let us = self.chance.between(50, 6_000) * MS;
                    self.stick(at, us);
                }
                self.note(|| format!("{id:?} {report:?}"));
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: PeerMessage) {
        let has_record = matches!(message, PeerMessage::Config(_) | PeerMessage::NotMember(_));
        let target = usize::try_from(to.0 >> 64).expect("few nodes").saturating_sub(1);
        let is_cut = self.is_cut(Place::Node(from), Place::Node(target));
        let is_lost = self.chance.happens(self.faults.lost)
            || has_record && self.chance.happens(self.faults.record_lost);
        if is_cut || is_lost {
            return;
        }
        let times = if self.chance.happens(self.faults.repeated) { 2 } else { 1 };
        for _ in 0..times {
            let late = self.chance.happens(self.faults.late);
            let after = self.span(50, if late { 3_000 * MS } else { MS });
            let from = self.nodes[from].id;
            self.schedule(after, Event::Arrive { from, to, message: message.clone() });
        }
    }

    fn tell_cores(&mut self, at: usize, view: View) {
        let quick = self.span(10, 500);
        let node = &mut self.nodes[at];
        node.untold.push_back(view);
        let (id, life) = (node.id, node.lives);
        self.schedule(quick, Event::Cores { id, life });
    }

    /// The cores look at the next view.
    fn on_view(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let (id, life) = (node.id, node.lives);
        if node.cores_stuck_until > self.now_us {
            let when = node.cores_stuck_until;
            return self.schedule_at(when, Event::Cores { id, life });
        }
        let view = node.untold.pop_front().expect("one for every event");
        let before = node.cores.replace(view.clone());
        node.epoch_before = before.as_ref().map_or(node.epoch_before, |before| before.epoch);
        self.note(|| {
            let View { epoch, active, pending, gate, lease, learner, teacher, .. } = &view;
            let copies = (learner, teacher);
            format!("{id:?} cores: {epoch} {active} {pending} {gate:?} {lease:?} {copies:?}")
        });
        let epoch_before = before.as_ref().map_or(0, |before| before.epoch);
        let learner_before = before.as_ref().and_then(|before| before.learner);
        let rested = before.as_ref().is_some_and(|before| before.resting);
        let gate_before = before.and_then(|before| before.gate);
        let (tail, epoch) = (id, view.epoch);
        let is_new = |learner| (epoch_before, learner_before) != (epoch, Some(learner));
        if let Some(learner) = view.learner.filter(|learner| is_new(*learner)) {
            let after = self.span(50, 800) * MS;
            self.schedule(after, Event::Near { learner, tail, epoch });
        }
        if let Some(learner) = view.gate.filter(|gate| gate_before != Some(*gate)) {
            let after = self.span(1, 200) * MS;
            self.schedule(after, Event::Synced { learner, tail, epoch });
        }
        if view.resting && !rested {
            let after = self.span(1, 100) * MS;
            self.schedule(after, Event::AtRest { id, epoch });
        }
        self.call(at, |member, now, out| member.on_cores_ready(now, view.number, out));
    }

    /// The cores take no updates, and what they took all others have.
    fn on_at_rest(&mut self, at: usize, epoch: u32) {
        let rests = |view: &View| view.epoch == epoch && view.resting;
        if self.nodes[at].cores.as_ref().is_some_and(rests) {
            self.call(at, |member, now, out| member.on_at_rest(now, epoch, out));
        }
    }

    /// An order may change only when nobody takes updates in the one before.
    fn check_order(&mut self, record: &Record) {
        let takes_updates = |view: &View| view.epoch < record.epoch && !view.resting;
        let mut members = record.members().filter_map(|id| self.node_of(id));
        let one = members.find(|node| node.cores.as_ref().is_some_and(takes_updates));
        self.wrong = one.map(|node| {
            format!("{} takes updates while the order of epoch {} begins", node.name, record.epoch)
        });
    }

    fn open_call(&mut self, at: usize) -> u64 {
        self.order += 1;
        self.nodes[at].calls.insert(self.order);
        self.order
    }

    /// Sends something to the register, if it gets there.
    fn access(&mut self, at: usize, event: Event) {
        let is_lost = self.chance.happens(self.faults.access_lost);
        let is_late = self.chance.happens(self.faults.access_late);
        if is_lost || self.is_cut(Place::Node(at), Place::Register) {
            return;
        }
        let after = self.span(1, if is_late { 4_000 } else { 20 }) * MS;
        self.schedule(after, event);
    }

    /// Whether the register's answer gets to a node, and how long it takes.
    fn answer_us(&mut self, id: NodeId) -> Option<u64> {
        let at = self.index_of(id)?;
        let is_lost = self.chance.happens(self.faults.answer_lost);
        let is_cut = self.is_cut(Place::Register, Place::Node(at));
        (!is_lost && !is_cut).then(|| self.span(1, 20) * MS)
    }

    fn on_read(&mut self, id: NodeId, call: u64) {
        let reading = self.register.read();
        if let Some(after) = self.answer_us(id) {
            self.schedule(after, Event::ReadReturns { id, call, reading });
        }
    }

    fn propose(&mut self, at: usize, base: Option<RecordToken>, record: &Record) {
        let id = self.nodes[at].id;
        let call = self.open_call(at);
        let change = record.change.id;
        let timeout = Event::CasReturns { id, call, change, outcome: Outcome::Unknown };
        self.schedule(TIMEOUT_MS * MS, timeout);
        let fate = self.fates.pop_front().unwrap_or_else(|| self.faults.fate(&mut self.chance));
        let record = Box::new(record.clone());
        let kind = record.change.kind;
        let arrives = Event::CasArrives { id, call, base, record, fate };
        if let Fate::Late(ms) = fate {
            self.schedule(ms * MS, arrives);
        } else if kind == ChangeKind::Append
            && self.nodes[at].durable
            && self.chance.happens(self.faults.amnesia)
        {
            let late = self.chance.between(300, 2_500) * MS;
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
        fate: Fate,
    ) {
        let change = record.change.id;
        if let Fate::Conflict | Fate::Failed = fate {
            if let Some(after) = self.answer_us(id) {
                let failed = fate == Fate::Failed;
                let outcome = if failed { Outcome::Failed } else { Outcome::Lost };
                self.schedule(after, Event::CasReturns { id, call, change, outcome });
            }
            return;
        }
        let mut outcome = self.register.swap(base, record);
        let landed = matches!(outcome, Outcome::Won(_));
        let text = || {
            let chain: Vec<NodeId> = record.chains[0].clone();
            format!("{id:?} wrote epoch {}: {chain:?}: {landed}", record.epoch)
        };
        self.note(text);
        if landed && record.change.kind == ChangeKind::Reorder {
            self.check_order(record);
        }
        if fate == Fate::Repeated {
            outcome = self.register.swap(base, record);
        }
        if landed && self.chance.happens(self.faults.ambushed) {
            let after = self.chance.pick(&[0, 30, 300]) * MS;
            self.schedule(after, Event::Ambush { record: Box::new(record.clone()) });
        }
        if landed && self.chance.happens(self.faults.purged) {
            let subject = record.change.subject.and_then(|subject| self.index_of(subject));
            let all: Vec<usize> = (0..self.nodes.len()).collect();
            let node = subject.unwrap_or_else(|| self.chance.pick(&all));
            let most = self.chance.pick(&[60, 1_000, 2_500]);
            let after = self.chance.between(1, most) * MS;
            self.schedule(after, Event::Purge { node });
        }
        if fate == Fate::AnswerLost {
            return;
        }
        if let Some(after) = self.answer_us(id) {
            self.schedule(after, Event::CasReturns { id, call, change, outcome });
        }
    }

    /// Whether one node's cores teach another's.
    fn copies(&self, at: usize, learner: NodeId, tail: NodeId, epoch: u32) -> bool {
        let teaches = |view: &View| view.epoch == epoch && view.learner == Some(learner);
        let learns = |view: &View| view.epoch == epoch && view.teacher == Some(tail);
        let learner = self.node_of(learner).and_then(|node| node.cores.as_ref());
        self.nodes[at].cores.as_ref().is_some_and(teaches) && learner.is_some_and(learns)
    }

    fn on_near(&mut self, at: usize, learner: NodeId, tail: NodeId, epoch: u32) {
        if self.copies(at, learner, tail, epoch) {
            self.call(at, |member, now, out| member.on_near(now, learner, epoch, out));
            self.schedule(300 * MS, Event::Near { learner, tail, epoch });
        }
    }

    fn on_synced(&mut self, at: usize, learner: NodeId, tail: NodeId, epoch: u32) {
        let is_gated = self.nodes[at].cores.as_ref().is_some_and(|view| view.gate == Some(learner));
        if !is_gated || !self.copies(at, learner, tail, epoch) {
            return;
        }
        let there = self.index_of(learner).map(Place::Node).expect("it learns");
        if self.is_cut(Place::Node(at), there) || self.is_cut(there, Place::Node(at)) {
            return self.schedule(100 * MS, Event::Synced { learner, tail, epoch });
        }
        self.call(at, |member, now, out| member.on_synced(now, learner, epoch, out));
    }

    /// The tail of a learner is gone, and the learner may or may not find out at once.
    fn lose_session(&mut self, learner: NodeId, epoch: u32) {
        if let Some(at) = self.index_of(learner).filter(|_| self.calm || self.chance.happens(500)) {
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
