//! The world: what happens next, and to whom.

mod asks;
mod between;
mod calls;
mod faults;
mod nodes;

use alloc::boxed::Box;
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

use super::Summary;
use super::client::{Client, Heard, name_of};
use super::history::History;
use super::network::{Bytes, Network, aligned};
use super::node::{Clock, Life, Turn};
use super::random::Random;
use super::register::Register;
use super::swarm::Swarm;
use super::trace::Trace;
use super::truth::Truth;
use crate::chain::member::{Action, Member, Outcome, PeerMessage, Reading, Start, View};
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeId, NodeId, NodeInfo, Record, Settings};
use crate::chain::replica::{Post, Replica, Report};
use crate::chain::rules::Rules;
use crate::shard::{ConnId, Moment, Shard, Types};

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A process starts.
    Birth {
        slot: usize,
        removals: u32,
    },
    /// A node wanted to be woken.
    Wake {
        node: NodeId,
    },
    /// A node looks after its links.
    Tick {
        node: NodeId,
    },
    Message {
        from: NodeId,
        to: NodeId,
        message: Box<PeerMessage>,
    },
    Frames {
        from: NodeId,
        to: NodeId,
        life: u64,
        bytes: Bytes,
    },
    /// Somebody tries to make a link.
    Dial {
        from: NodeId,
        to: NodeId,
    },
    View {
        node: NodeId,
        shard: usize,
        view: Arc<View>,
    },
    CoresReady {
        node: NodeId,
        view: u64,
    },
    /// A request gets to the register; the answer goes back if there is to be one.
    AtRegister {
        node: NodeId,
        ask: Ask,
        answer: bool,
    },
    RegisterSays {
        node: NodeId,
        said: Said,
    },
    ClientTimer {
        client: usize,
        timer: u64,
    },
    /// A client's connection gets to a node, and the node's word to the client.
    Hello {
        client: usize,
        conn: u64,
        slot: usize,
    },
    Welcome {
        client: usize,
        conn: u64,
        record: Option<Arc<Record>>,
        time: u64,
    },
    Request {
        node: NodeId,
        conn: u64,
        bytes: Bytes,
    },
    Reply {
        client: usize,
        conn: u64,
        bytes: Bytes,
    },
    Hangup {
        client: usize,
        conn: u64,
    },
    /// An operator tells one node that another is not wanted.
    Unwanted {
        by: NodeId,
        node: NodeId,
    },
    /// A learner notices that its teacher's link broke.
    LessonLost {
        node: NodeId,
        epoch: u32,
    },
    Fault(Fault),
    /// The faults are over.
    Calm,
    /// Clients begin no more calls.
    Last,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Crash,
    Pause,
    Resume { node: NodeId },
    Cut,
    Mend { from: usize, to: usize },
    Remove,
    Death,
    Reset,
    Hangup,
    Outage,
    OutageOver,
}

#[derive(Clone, Debug)]
pub(super) enum Ask {
    Read,
    Cas(Option<RecordToken>, Arc<Record>),
}

#[derive(Clone, Debug)]
pub(super) enum Said {
    Read(Reading),
    Cas(ChangeId, Outcome),
}

/// A client's connection at the node's end.
#[derive(Clone, Copy, Debug)]
struct Served {
    client: usize,
    node: NodeId,
    arrival: [u64; 2],
}

#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    rules: Rules,
    random: Random,
    swarm: Swarm,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    lives: BTreeMap<NodeId, Life>,
    /// Which life is in each slot.
    slots: Vec<Option<NodeId>>,
    births: u64,
    network: Network,
    register: Register,
    outage: bool,
    clients: Vec<Client>,
    served: BTreeMap<u64, Served>,
    next_conn: u64,
    history: History,
    truth: Truth,
    trace: Trace,
    calm: bool,
    last: bool,
    failed: Option<String>,
}

/// A client gives an attempt up after so long.
const ATTEMPT_US: u64 = 400_000;

/// How long the cluster has to recover, and then the clients to finish.
const RECOVERY_US: u64 = 14_000_000;
const FINISH_US: u64 = 6_000_000;

/// How long an answer of the register is waited for.
const REGISTER_PATIENCE_US: u64 = 2_000_000;

/// Updates stand still for so long before it is called a stall.
const STALL_US: u64 = 2_000_000;

/// The name of the one cluster.
const CLUSTER: &str = "catena";

impl World {
    pub(super) fn new(seed: u64, rules: Rules, printed: bool) -> World {
        let mut random = Random::new(seed);
        let swarm = Swarm::new(&mut random.fork());
        let founders = (swarm.rf as usize).min(swarm.slots);
        let ids: Vec<NodeId> = (0..founders).map(|_| NodeId(random.wide())).collect();
        let settings = Settings {
            shards: swarm.shards,
            replicas: swarm.rf,
            min_members: 1,
            heads: swarm.heads,
            ..Settings::default()
        };
        let infos = ids.iter().enumerate().map(|(slot, id)| (*id, info(slot))).collect();
        let record = Record::create(CLUSTER, &settings, infos, ids[0], ChangeId(random.wide()))
            .expect("the settings make sense");
        let clients: Vec<Client> =
            (0..swarm.clients).map(|id| Client::new(id, random.fork(), &swarm)).collect();
        let mut world = World {
            seed,
            rules,
            now: 0,
            events: BTreeMap::new(),
            next_event: 0,
            lives: BTreeMap::new(),
            slots: vec![None; swarm.slots],
            births: 0,
            network: Network::default(),
            register: Register::new(record),
            outage: false,
            clients,
            served: BTreeMap::new(),
            next_conn: 1,
            history: History::default(),
            truth: Truth::new(swarm.shards),
            trace: Trace::new(printed),
            calm: false,
            last: false,
            failed: None,
            random,
            swarm,
        };
        world.prepare(&ids);
        world
    }

    fn prepare(&mut self, founders: &[NodeId]) {
        let swarm = self.swarm.clone();
        self.trace.say(0, || format!("seed {}: {swarm:?}", self.seed));
        for (slot, id) in founders.iter().enumerate() {
            self.bear(slot, *id, 0);
        }
        for slot in founders.len()..swarm.slots {
            let at = self.random.below(2_000_000);
            self.at(at, Event::Birth { slot, removals: 0 });
        }
        for client in 0..swarm.clients {
            let at = 1_500_000 + self.random.below(500_000);
            self.at(at, Event::ClientTimer { client, timer: 0 });
        }
        let faults = [
            (swarm.crash_us, Fault::Crash),
            (swarm.pause_us, Fault::Pause),
            (swarm.cut_us, Fault::Cut),
            (swarm.remove_us, Fault::Remove),
            (swarm.death_us, Fault::Death),
            (swarm.reset_us, Fault::Reset),
            (swarm.hangup_us, Fault::Hangup),
            (swarm.outage_us, Fault::Outage),
        ];
        for (every_us, fault) in faults {
            self.again(1_500_000, every_us, fault);
        }
        let calm = 2_000_000 + swarm.storm_us;
        self.at(calm, Event::Calm);
        self.at(calm + RECOVERY_US, Event::Last);
        self.at(calm + RECOVERY_US + FINISH_US, Event::End);
    }

    /// Lets everything happen.
    pub(super) fn run(mut self) -> Result<Summary, String> {
        while let Some(((at, number), event)) = self.events.pop_first() {
            assert!(at >= self.now, "time does not go back");
            self.now = at;
            self.trace.words([at, number]);
            self.trace.events += 1;
            if matches!(event, Event::End) {
                break;
            }
            self.happen(event);
            if self.failed.is_none() {
                self.failed = self.truth.check_members(self.register.record(), &self.lives).err();
            }
            if let Some(why) = self.failed.take() {
                self.trace.say(self.now, || format!("FAILED: {why}"));
                return Err(format!("at {:.6} s: {why}", self.now as f64 / 1e6));
            }
        }
        self.conclude()
    }

    fn conclude(&self) -> Result<Summary, String> {
        self.history.check().map_err(|why| format!("4: {why}"))?;
        let record = self.register.record();
        let lost = !record.members().any(|node| self.lives.contains_key(&node));
        let open = self.clients.iter().filter_map(|client| client.call.as_ref());
        if !lost {
            if let Some(pending) = open.clone().next() {
                return Err(format!("5: a call never ended: {pending:?}"));
            }
            for node in record.members() {
                let Some(life) = self.lives.get(&node) else {
                    return Err(format!("5: {node} is a member and does not live: {record:?}"));
                };
                if life.member.epoch() != record.epoch || !life.member.is_active() {
                    return Err(format!(
                        "5: {node} is in epoch {} (active: {}), the newest is {}",
                        life.member.epoch(),
                        life.member.is_active(),
                        record.epoch
                    ));
                }
            }
        }
        self.check_digests()?;
        let answered = self.history.answered() as u64;
        Ok(Summary {
            trace: self.trace.hash(),
            events: self.trace.events,
            answered,
            open: self.history.calls.len() as u64 - answered,
            epoch: record.epoch,
            lost,
        })
    }

    /// 6. Members that have applied the same have the same state.
    fn check_digests(&self) -> Result<(), String> {
        for shard in 0..self.swarm.shards as usize {
            let mut known: BTreeMap<u64, u64> = BTreeMap::new();
            for node in self.register.record().members() {
                let Some(life) = self.lives.get(&node) else { continue };
                let replica = &life.replicas[shard];
                let digest = replica.shard().digest();
                if *known.entry(replica.applied()).or_insert(digest) != digest {
                    return Err(format!("6: shard {shard}: {node} has another state"));
                }
            }
        }
        Ok(())
    }

    fn at(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    /// How long a message takes.
    fn delay(&mut self) -> u64 {
        let mean = self.swarm.delay_us;
        self.random.between(mean / 2 + 1, mean * 3 / 2 + 10)
    }

    /// Something that goes wrong so many times out of a thousand, as long as anything does.
    fn mishap(&mut self, per_mille: u64) -> bool {
        let happens = self.random.per_mille(per_mille);
        happens && !self.calm
    }

    /// Lets a fault happen some time later.
    fn again(&mut self, after: u64, every_us: u64, fault: Fault) {
        if every_us > 0 {
            let at = self.now + after + self.random.between(every_us / 10 + 1, every_us * 2);
            self.at(at, Event::Fault(fault));
        }
    }

    fn happen(&mut self, event: Event) {
        // Who stands still takes nothing in.
        let node = match &event {
            Event::Wake { node }
            | Event::Tick { node }
            | Event::View { node, .. }
            | Event::CoresReady { node, .. }
            | Event::Unwanted { by: node, .. }
            | Event::LessonLost { node, .. }
            | Event::RegisterSays { node, .. }
            | Event::Request { node, .. } => Some(*node),
            Event::Message { to, .. } => Some(*to),
            Event::Frames { to, .. } => Some(*to),
            Event::Hello { slot, .. } => self.slots[*slot],
            _ => None,
        };
        if let Some(inbox) =
            node.and_then(|node| self.lives.get_mut(&node)).and_then(|life| life.inbox.as_mut())
        {
            inbox.push_back(event);
            return;
        }
        match event {
            Event::Birth { slot, removals } => {
                if self.slots[slot].is_none() {
                    let id = NodeId(self.random.wide());
                    self.bear(slot, id, removals);
                }
            }
            Event::Wake { node } => {
                if let Some(life) = self.lives.get_mut(&node) {
                    life.wake_at = None;
                }
                let world_now = self.now;
                self.turn(node, |life, now, turn| {
                    life.member.on_time(now, &mut turn.actions);
                    let now = life.day.at(world_now);
                    for replica in &mut life.replicas {
                        replica.on_time(now, turn);
                    }
                });
            }
            Event::Tick { node } => self.tick(node),
            Event::Message { from, to, message } => {
                self.trace.words([1, low(from), low(to)]);
                self.trace.say(self.now, || format!("{from} -> {to}: {}", brief(&message)));
                self.turn(to, |life, now, turn| {
                    life.member.on_message(now, from, *message, &mut turn.actions);
                });
            }
            Event::Frames { from, to, life, bytes } => self.on_frames(from, to, life, bytes),
            Event::Dial { from, to } => self.dial(from, to),
            Event::View { node, shard, view } => self.on_view(node, shard, &view),
            Event::CoresReady { node, view } => {
                self.turn(node, |life, now, turn| {
                    life.member.on_cores_ready(now, view, &mut turn.actions);
                });
            }
            Event::AtRegister { node, ask, answer } => self.at_register(node, &ask, answer),
            Event::RegisterSays { node, said } => {
                self.trace.say(self.now, || format!("register -> {node}: {}", brief_said(&said)));
                self.turn(node, |life, now, turn| match said {
                    Said::Read(reading) => life.member.on_read(now, reading, &mut turn.actions),
                    Said::Cas(change, outcome) => {
                        life.member.on_cas(now, change, outcome, &mut turn.actions);
                    }
                });
            }
            Event::ClientTimer { client, timer } => {
                if self.clients[client].timer == timer {
                    self.on_client_timer(client);
                }
            }
            Event::Hello { client, conn, slot } => self.on_hello(client, conn, slot),
            Event::Welcome { client, conn, record, time } => {
                let known = &mut self.clients[client];
                if known.conn.as_ref().is_some_and(|it| it.id == conn) {
                    known.on_welcome(record, time);
                    self.attempt(client);
                }
            }
            Event::Request { node, conn, bytes } => self.on_request(node, conn, &bytes),
            Event::Reply { client, conn, bytes } => self.on_reply(client, conn, &bytes),
            Event::Hangup { client, conn } => {
                self.trace.say(self.now, || format!("client {client}: connection {conn} broke"));
                let known = &mut self.clients[client];
                if known.conn.as_ref().is_some_and(|it| it.id == conn) {
                    known.conn = None;
                    if known.call.is_some() {
                        let wait = self.random.between(500, 20_000);
                        self.set_timer(client, wait);
                    }
                }
            }
            Event::Unwanted { by, node } => {
                self.turn(by, |life, now, turn| {
                    life.member.on_remove(now, node, &mut turn.actions);
                });
            }
            Event::LessonLost { node, epoch } => {
                self.turn(node, |life, now, turn| {
                    life.member.on_sync_lost(now, epoch, &mut turn.actions);
                });
            }
            Event::Fault(fault) => self.on_fault(fault),
            Event::Calm => self.on_calm(),
            Event::Last => self.last = true,
            Event::End => unreachable!("the end is not an event like others"),
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

/// What is said when the register did not answer; `may_be` if the request may have been done.
fn failure(ask: &Ask, may_be: bool) -> Said {
    match ask {
        Ask::Read => Said::Read(Reading::Failed),
        Ask::Cas(_, record) => {
            let outcome = if may_be { Outcome::Unknown } else { Outcome::Failed };
            Said::Cas(record.change.id, outcome)
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

fn brief_said(said: &Said) -> String {
    match said {
        Said::Read(Reading::Record(record, _)) => format!("epoch {}", record.epoch),
        other => format!("{other:?}"),
    }
}
