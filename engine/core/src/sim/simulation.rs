//! The simulation: the cluster's parts, and the events that move it.

mod client_calls;
mod faults;
mod nodes;
mod register_access;
mod transport;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{FrameKind, ShardId};

use super::client::{PendingCall, ReplyEffect, SimClient, name_of};
use super::event::{InjectedFault, RegisterReply, RegisterRequest, SimEvent};
use super::history::History;
use super::network::{FrameBytes, Network, aligned};
use super::node::{SimClock, SimProcess, TurnOutput};
use super::oracle::Oracle;
use super::outcome::{FailureKind, Invariant, RunSummary, SimFailure};
use super::profile::RunProfile;
use super::random::SimRandom;
use super::register::SimRegister;
use super::trace::Trace;
use crate::chain::assignment::Assignment;
use crate::chain::member::{
    Action, CasOutcome, Member, MemberConfig, MembershipView, PeerMessage, ReadOutcome, Removals,
};
use crate::chain::record::{ChangeId, NodeId, NodeInfo, Record, Settings};
use crate::chain::replica::Replica;
use crate::chain::rules::Rules;
use crate::shard::{ConnId, Moment, Seq, Shard, Types};
use crate::time::Time;

/// The node's end of a client's connection.
#[derive(Clone, Copy, Debug)]
struct ServerConn {
    client: usize,
    node: NodeId,
    arrival: [u64; 2],
}

#[derive(Debug)]
pub(super) struct Simulation {
    seed: u64,
    rules: Rules,
    random: SimRandom,
    profile: RunProfile,
    now: u64,
    events: BTreeMap<(u64, u64), SimEvent>,
    next_event: u64,
    processes: BTreeMap<NodeId, SimProcess>,
    /// The node in each slot.
    slots: Vec<Option<NodeId>>,
    network: Network,
    register: SimRegister,
    outage: bool,
    /// Whether the register takes seconds to write.
    slow_writes: bool,
    clients: Vec<SimClient>,
    server_conns: BTreeMap<u64, ServerConn>,
    next_conn: u64,
    history: History,
    oracle: Oracle,
    trace: Trace,
    faults_over: bool,
    calls_over: bool,
    failed: Option<FailureKind>,
}

/// How long a client waits for a reply.
const ATTEMPT_US: u64 = 400_000;

/// How long the cluster has to recover, and then the clients to finish their calls.
const RECOVERY_US: u64 = 14_000_000;
const FINISH_US: u64 = 6_000_000;

/// How long a node waits for a reply of the register.
const REGISTER_PATIENCE_US: u64 = 2_000_000;

/// Updates without progress for so long are a stall.
const STALL_US: u64 = 2_000_000;

/// A learner that takes nothing for so long, while updates wait for it, is given up.
const LEARNER_STALL_US: u64 = 1_000_000;

/// The name of the one cluster.
const CLUSTER: &str = "catena";

impl Simulation {
    pub(super) fn new(seed: u64, rules: Rules, printed: bool) -> Simulation {
        let mut random = SimRandom::new(seed);
        let profile = RunProfile::new(&mut random.fork());
        let founders = (profile.rf as usize).min(profile.slots);
        let ids: Vec<NodeId> = (0..founders).map(|_| NodeId(random.wide())).collect();
        let settings = Settings {
            shards: profile.shards,
            replicas: profile.rf,
            min_members: 1,
            heads: profile.heads,
            ..Settings::default()
        };
        let infos = ids.iter().enumerate().map(|(slot, id)| (*id, info(slot))).collect();
        let record = Record::create(CLUSTER, &settings, infos, ids[0], ChangeId(random.wide()))
            .expect("the settings are valid")
            .starting_at(Seq(1 << 20));
        let clients: Vec<SimClient> =
            (0..profile.clients).map(|id| SimClient::new(id, random.fork(), &profile)).collect();
        let mut simulation = Simulation {
            seed,
            rules,
            now: 0,
            events: BTreeMap::new(),
            next_event: 0,
            processes: BTreeMap::new(),
            slots: vec![None; profile.slots],
            network: Network::default(),
            register: SimRegister::new(record),
            outage: false,
            slow_writes: false,
            clients,
            server_conns: BTreeMap::new(),
            next_conn: 1,
            history: History::default(),
            oracle: Oracle::new(profile.shards),
            trace: Trace::new(printed),
            faults_over: false,
            calls_over: false,
            failed: None,
            random,
            profile,
        };
        simulation.prepare(&ids);
        simulation
    }

    fn prepare(&mut self, founders: &[NodeId]) {
        let profile = self.profile.clone();
        self.trace.print(0, || format!("seed {}: {profile:?}", self.seed));
        for (slot, id) in founders.iter().enumerate() {
            self.start_node(slot, *id, Removals::default());
        }
        for slot in founders.len()..profile.slots {
            let at = self.random.below(2_000_000);
            self.at(at, SimEvent::Start { slot, removals: Removals::default() });
        }
        for client in 0..profile.clients {
            let at = 1_500_000 + self.random.below(500_000);
            self.at(at, SimEvent::ClientTimer { client, timer: 0 });
        }
        let faults = [
            (profile.crash_us, InjectedFault::Crash),
            (profile.pause_us, InjectedFault::Pause),
            (profile.cut_us, InjectedFault::Cut),
            (profile.remove_us, InjectedFault::Remove),
            (profile.depart_us, InjectedFault::Departure),
            (profile.client_death_us, InjectedFault::ClientDeath),
            (profile.link_reset_us, InjectedFault::LinkReset),
            (profile.disconnect_us, InjectedFault::Disconnect),
            (profile.outage_us, InjectedFault::Outage),
            (profile.slow_writes_us, InjectedFault::SlowWrites),
        ];
        for (every_us, fault) in faults {
            self.schedule_fault(1_500_000, every_us, fault);
        }
        let faults_end = 2_000_000 + profile.faults_us;
        self.at(faults_end, SimEvent::FaultsEnd);
        self.at(faults_end + RECOVERY_US, SimEvent::CallsEnd);
        self.at(faults_end + RECOVERY_US + FINISH_US, SimEvent::End);
    }

    /// Handles all events.
    pub(super) fn run(mut self) -> Result<RunSummary, SimFailure> {
        while let Some(((at, number), event)) = self.events.pop_first() {
            assert!(at >= self.now, "time does not go back");
            self.now = at;
            self.trace.words([at, number]);
            self.trace.events += 1;
            if matches!(event, SimEvent::End) {
                break;
            }
            self.handle(event);
            if self.failed.is_none() {
                self.failed =
                    self.oracle.check_members(self.register.record(), &self.processes).err();
            }
            if let Some(kind) = self.failed.take() {
                self.trace.print(self.now, || format!("FAILED: {kind}"));
                return Err(self.failure(Some(self.now), kind));
            }
        }
        self.check_end().map_err(|kind| self.failure(None, kind))
    }

    fn failure(&self, at_us: Option<u64>, kind: FailureKind) -> SimFailure {
        SimFailure { seed: self.seed, without: self.rules.left_out(), at_us, kind }
    }

    /// Checks the invariants that hold at the end of a run.
    fn check_end(&self) -> Result<RunSummary, FailureKind> {
        let linearizable = self.history.check();
        linearizable.map_err(|detail| FailureKind::violated(Invariant::Linearizable, detail))?;
        let record = self.register.record();
        let lost = !record.members().any(|node| self.processes.contains_key(&node));
        if !lost {
            let recovered = self.check_recovered(record);
            recovered.map_err(|detail| FailureKind::violated(Invariant::Recovers, detail))?;
        }
        self.check_states()?;
        let answered = self.history.answered() as u64;
        Ok(RunSummary {
            trace: self.trace.hash(),
            events: self.trace.events,
            answered,
            open: self.history.calls.len() as u64 - answered,
            epoch: record.epoch,
            lost,
        })
    }

    fn check_recovered(&self, record: &Record) -> Result<(), String> {
        if let Some(pending) = self.clients.iter().find_map(|client| client.call.as_ref()) {
            return Err(format!("a call never ended: {pending:?}"));
        }
        let spare = self.processes.keys().find(|node| !record.is_member(**node));
        if let Some(spare) = spare.filter(|_| !record.is_full()) {
            let members = record.nodes.len();
            return Err(format!(
                "{spare} runs and is no member, with {members} members of {}",
                record.settings.replicas
            ));
        }
        for node in record.members() {
            let Some(process) = self.processes.get(&node) else {
                return Err(format!("{node} is a member and does not run: {record:?}"));
            };
            let (epoch, active) = (process.member.epoch(), process.member.is_active());
            if epoch != record.epoch || !active {
                let newest = record.epoch;
                return Err(format!(
                    "{node} is in epoch {epoch} (active: {active}), the newest is {newest}"
                ));
            }
        }
        for node in record.members() {
            for replica in self.processes.get(&node).iter().flat_map(|process| &process.replicas) {
                let shard = replica.shard();
                if shard.census().waiters > 0 {
                    return Err(format!("{node}: shard {}: a wait has no client", shard.id().0));
                }
            }
        }
        Ok(())
    }

    fn check_states(&self) -> Result<(), FailureKind> {
        for shard in 0..self.profile.shards as usize {
            let mut known: BTreeMap<u64, u64> = BTreeMap::new();
            for node in self.register.record().members() {
                let Some(process) = self.processes.get(&node) else { continue };
                let replica = &process.replicas[shard];
                let digest = replica.shard().digest();
                if *known.entry(replica.applied()).or_insert(digest) != digest {
                    let detail = format!("shard {shard}: {node} has another state");
                    return Err(FailureKind::violated(Invariant::StatesAreEqual, detail));
                }
            }
        }
        Ok(())
    }

    fn at(&mut self, at: u64, event: SimEvent) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    fn fail(&mut self, kind: FailureKind) {
        self.failed.get_or_insert(kind);
    }

    /// Returns how long a message takes.
    fn delay(&mut self) -> u64 {
        let mean = self.profile.delay_us;
        self.random.between(mean / 2 + 1, mean * 3 / 2 + 10)
    }

    /// Returns true in `per_mille` of a thousand cases until the faults end.
    fn occurs(&mut self, per_mille: u64) -> bool {
        let happens = self.random.per_mille(per_mille);
        happens && !self.faults_over
    }

    /// Schedules a fault.
    fn schedule_fault(&mut self, after: u64, every_us: u64, fault: InjectedFault) {
        if every_us > 0 {
            let at = self.now + after + self.random.between(every_us / 10 + 1, every_us * 2);
            self.at(at, SimEvent::Fault(fault));
        }
    }

    fn handle(&mut self, event: SimEvent) {
        // A paused process takes events later.
        let node = match &event {
            SimEvent::Wake { node }
            | SimEvent::Tick { node }
            | SimEvent::View { node, .. }
            | SimEvent::CoresReady { node, .. }
            | SimEvent::RemoveRequest { by: node, .. }
            | SimEvent::LeaveRequest { node }
            | SimEvent::TransferLost { node, .. }
            | SimEvent::RegisterReplies { node, .. }
            | SimEvent::ConnEnd { node, .. }
            | SimEvent::Request { node, .. } => Some(*node),
            SimEvent::Message { to, .. } => Some(*to),
            SimEvent::Frames { to, .. } => Some(*to),
            SimEvent::Written { from, .. } => Some(*from),
            SimEvent::Hello { slot, .. } => self.slots[*slot],
            _ => None,
        };
        if let Some(inbox) = node
            .and_then(|node| self.processes.get_mut(&node))
            .and_then(|process| process.inbox.as_mut())
        {
            inbox.push_back(event);
            return;
        }
        match event {
            SimEvent::Start { slot, removals } => {
                if self.slots[slot].is_none() {
                    let id = NodeId(self.random.wide());
                    self.start_node(slot, id, removals);
                }
            }
            SimEvent::Wake { node } => {
                if let Some(process) = self.processes.get_mut(&node) {
                    process.wake_at = None;
                }
                let sim_now = self.now;
                self.turn(node, |process, now, turn| {
                    process.member.on_time(now, &mut turn.actions);
                    let now = process.day.at(sim_now);
                    for replica in &mut process.replicas {
                        replica.on_time(now, turn);
                    }
                });
            }
            SimEvent::Tick { node } => self.tick(node),
            SimEvent::Message { from, to, message } => {
                self.trace.words([1, low(from), low(to)]);
                self.trace.print(self.now, || format!("{from} -> {to}: {}", brief(&message)));
                self.turn(to, |process, now, turn| {
                    process.member.on_message(now, from, *message, &mut turn.actions);
                });
            }
            SimEvent::Frames { from, to, generation, bytes } => {
                self.on_frames(from, to, generation, bytes);
            }
            SimEvent::Written { from, to, generation } => self.on_written(from, to, generation),
            SimEvent::Dial { from, to } => self.dial(from, to),
            SimEvent::View { node, shard, view } => self.on_view(node, shard, &view),
            SimEvent::CoresReady { node, view } => {
                self.turn(node, |process, now, turn| {
                    process.member.on_cores_ready(now, view, &mut turn.actions);
                });
            }
            SimEvent::AtRegister { node, request, replies } => {
                self.at_register(node, &request, replies);
            }
            SimEvent::RegisterReplies { node, reply } => {
                self.trace
                    .print(self.now, || format!("register -> {node}: {}", brief_reply(&reply)));
                self.turn(node, |process, now, turn| match reply {
                    RegisterReply::Read(found) => {
                        process.member.on_read(now, found, &mut turn.actions);
                    }
                    RegisterReply::Cas(change, outcome) => {
                        process.member.on_cas(now, change, outcome, &mut turn.actions);
                    }
                    RegisterReply::Probed(done) => {
                        process.member.on_probed(now, done, &mut turn.actions);
                    }
                });
            }
            SimEvent::ClientTimer { client, timer } => {
                if self.clients[client].timer == timer {
                    self.on_client_timer(client);
                }
            }
            SimEvent::Hello { client, conn, slot } => self.on_hello(client, conn, slot),
            SimEvent::Welcome { client, conn, record, time } => {
                let known = &mut self.clients[client];
                if known.conn.as_ref().is_some_and(|it| it.id == conn) {
                    known.on_welcome(record, time);
                    self.attempt(client);
                }
            }
            SimEvent::Request { node, conn, bytes } => self.on_request(node, conn, &bytes),
            SimEvent::Reply { client, conn, bytes } => self.on_reply(client, conn, &bytes),
            SimEvent::Disconnect { client, conn } => {
                self.trace.print(self.now, || format!("client {client}: connection {conn} broke"));
                let known = &mut self.clients[client];
                if known.conn.as_ref().is_some_and(|it| it.id == conn) {
                    known.conn = None;
                    if known.call.is_some() {
                        let wait = self.random.between(500, 20_000);
                        self.set_timer(client, wait);
                    }
                }
            }
            SimEvent::ConnEnd { node, conn } => {
                let sim_now = self.now;
                self.turn(node, |process, _, turn| {
                    let now = process.day.at(sim_now);
                    for replica in &mut process.replicas {
                        replica.on_disconnect(now, ConnId(conn), turn);
                    }
                });
            }
            SimEvent::RemoveRequest { by, node } => {
                self.turn(by, |process, now, turn| {
                    process.member.on_remove(now, node, &mut turn.actions);
                });
            }
            SimEvent::LeaveRequest { node } => {
                self.turn(node, |process, now, turn| {
                    process.member.on_leave(now, &mut turn.actions);
                });
            }
            SimEvent::TransferLost { node, epoch } => {
                self.turn(node, |process, now, turn| {
                    process.member.on_sync_lost(now, epoch, &mut turn.actions);
                });
            }
            SimEvent::Fault(fault) => self.on_fault(fault),
            SimEvent::FaultsEnd => self.on_faults_end(),
            SimEvent::CallsEnd => self.on_calls_end(),
            SimEvent::End => unreachable!("the end is handled in `run`"),
        }
    }
}

fn info(slot: usize) -> NodeInfo {
    let port = 7_000 + u16::try_from(slot).expect("few");
    NodeInfo {
        name: name_of(slot),
        peer: SocketAddr::from(([10, 0, 0, 1], port)),
        clients: vec![SocketAddr::from(([10, 0, 0, 2], port))],
        az: None,
    }
}

/// Returns the result of a request without a reply; `may_have_landed` if the register may have
/// taken it.
fn failure(request: &RegisterRequest, may_have_landed: bool) -> RegisterReply {
    match request {
        RegisterRequest::Read => RegisterReply::Read(ReadOutcome::Failed),
        RegisterRequest::Probe => RegisterReply::Probed(false),
        RegisterRequest::Cas(_, record) => {
            let outcome = if may_have_landed { CasOutcome::Unknown } else { CasOutcome::Failed };
            RegisterReply::Cas(record.change.id, outcome)
        }
    }
}

fn low(node: NodeId) -> u64 {
    u64::try_from(node.0 & u128::from(u64::MAX)).expect("64 bits")
}

fn brief(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Config(record) => format!("Config(epoch {})", record.epoch),
        PeerMessage::NotMember(record) => format!("NotMember(epoch {})", record.epoch),
        other => format!("{other:?}"),
    }
}

fn brief_reply(reply: &RegisterReply) -> String {
    match reply {
        RegisterReply::Read(ReadOutcome::Record(record, _)) => format!("epoch {}", record.epoch),
        other => format!("{other:?}"),
    }
}
