//! The world: what happens next, and to whom.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
use crate::chain::record::{ChangeId, NodeId, NodeInfo, Record, Settings};
use crate::chain::replica::{Post, Replica, Report};
use crate::chain::rules::Rules;
use crate::register::Token;
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
    Cas(Option<Token>, Arc<Record>),
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

impl World {
    pub(super) fn new(seed: u64, rules: Rules, printed: bool) -> World {
        let mut random = Random::new(seed);
        let swarm = Swarm::new(&mut random.fork());
        let founders = (swarm.rf as usize).min(swarm.slots);
        let ids: Vec<NodeId> = (0..founders).map(|_| NodeId(random.wide())).collect();
        let settings = Settings { shards: swarm.shards, rf: swarm.rf, ..Settings::default() };
        let infos = ids.iter().enumerate().map(|(slot, id)| (*id, info(slot))).collect();
        let record = Record::create(&settings, infos, ids[0], ChangeId(random.wide()))
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
            Event::Fault(fault) => self.on_fault(fault),
            Event::Calm => self.on_calm(),
            Event::Last => self.last = true,
            Event::End => unreachable!("the end is not an event like others"),
        }
    }

    // Nodes.

    fn bear(&mut self, slot: usize, id: NodeId, removals: u32) {
        let drift = i64::try_from(self.swarm.drift_ppm).expect("small");
        let fast_ppm = if drift == 0 {
            0
        } else {
            let spread = self.random.between(0, self.swarm.drift_ppm * 2);
            i64::try_from(spread).expect("small") - drift
        };
        let clock = Clock { offset_us: self.random.below(1 << 40), fast_ppm };
        // Days begin far from 0 and are not the same everywhere.
        let day = Clock { offset_us: (1 << 50) + self.random.below(2_000_000), fast_ppm };
        let start = Start {
            me: id,
            info: info(slot),
            cluster: Settings::default().cluster,
            founding: None,
            change_seed: self.random.wide(),
            removals,
        };
        let shards = self.swarm.shards as usize;
        let types = Arc::new(Types::default());
        let replica = |shard: usize| {
            let id = ShardId(u16::try_from(shard).expect("few"));
            Replica::new(Shard::new(id, 7, Arc::clone(&types)), Post::default(), self.rules)
        };
        let life = Life {
            slot,
            member: Member::with_rules(start, self.rules).expect("nothing to found"),
            replicas: (0..shards).map(replica).collect(),
            clock,
            day,
            inbox: None,
            wake_at: None,
            views: BTreeMap::new(),
            view_arrival: 0,
            taught: vec![None; shards],
            progress: vec![(0, 0); shards],
            committed: vec![0; shards],
        };
        self.births += 1;
        self.trace.say(self.now, || format!("{id} starts in slot {slot}"));
        self.lives.insert(id, life);
        self.slots[slot] = Some(id);
        let reading = if self.outage { Reading::Failed } else { self.register.read() };
        self.turn(id, |life, now, turn| life.member.on_start(now, reading, &mut turn.actions));
        let at = self.now + 100_000;
        self.at(at, Event::Tick { node: id });
    }

    /// A process ends, and all it had.
    fn bury(&mut self, node: NodeId) {
        let Some(life) = self.lives.remove(&node) else { return };
        self.trace.say(self.now, || format!("{node} ends"));
        self.slots[life.slot] = None;
        for peer in self.network.peers(node) {
            self.network.reset(node, peer);
        }
        let dead: Vec<u64> =
            self.served.iter().filter(|(_, it)| it.node == node).map(|(conn, _)| *conn).collect();
        for conn in dead {
            self.hang_up(conn);
        }
    }

    fn hang_up(&mut self, conn: u64) {
        if let Some(served) = self.served.remove(&conn) {
            let at = self.now + self.delay();
            self.at(at, Event::Hangup { client: served.client, conn });
        }
    }

    /// A node does something; then everything follows from it.
    fn turn(&mut self, node: NodeId, act: impl FnOnce(&mut Life, crate::shard::Time, &mut Turn)) {
        let peers = self.network.peers(node);
        let Some(life) = self.lives.get_mut(&node) else { return };
        let now = life.clock.at(self.now);
        let mut turn = Turn::with_links(peers);
        act(life, now, &mut turn);
        self.say_synced(node, &mut turn);
        let Some(life) = self.lives.get_mut(&node) else { return };
        for replica in &mut life.replicas {
            replica.flush(&mut turn);
        }
        if let Err(why) = self.truth.check_node(life) {
            self.fail(format!("{node}: {why}"));
        }
        self.send_all(node, turn);
        self.set_alarm(node);
    }

    /// Tells the member how far its learner is.
    fn say_synced(&mut self, node: NodeId, turn: &mut Turn) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let Some((epoch, learner)) = life.taught.first().copied().flatten() else { return };
        let is_same = life.taught.iter().all(|taught| *taught == Some((epoch, learner)));
        if is_same && life.replicas.iter().all(|replica| replica.is_synced(learner)) {
            let now = life.clock.at(self.now);
            life.member.on_synced(now, learner, epoch, &mut turn.actions);
        }
    }

    fn send_all(&mut self, node: NodeId, turn: Turn) {
        let Turn { actions, replies, frames, wanted, reports } = turn;
        for (shard, report) in reports {
            match report {
                Report::Diverged(peer) => {
                    self.fail(format!(
                        "shard {}: {node} and {peer} contradict each other",
                        shard.0
                    ));
                }
                Report::Behind(peer) => {
                    self.fail(format!("shard {}: {peer} lacks what {node} has not", shard.0));
                }
                Report::Synced(_) => {}
            }
        }
        for (peer, bytes) in frames {
            if !bytes.is_empty() {
                self.send_frames(node, peer, &bytes);
            }
        }
        for peer in wanted {
            let delay = self.delay();
            let at = self.now + delay;
            let link = self.network.link(node, peer);
            if !link.trying {
                link.trying = true;
                self.at(at, Event::Dial { from: node, to: peer });
            }
        }
        for (conn, shard, bytes) in replies {
            let committed = self.lives[&node].replicas[usize::from(shard.0)].committed();
            self.truth.tell(usize::from(shard.0), committed);
            self.send_reply(conn, &bytes);
        }
        for action in actions {
            self.carry_out(node, action);
        }
    }

    fn set_alarm(&mut self, node: NodeId) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let ends = life.replicas.iter().filter_map(Replica::next_due).min();
        let dues = [(life.day, ends), (life.clock, life.member.next_due())];
        let dues = dues.into_iter().filter_map(|(clock, due)| Some(clock.when(due?)));
        let Some(at) = dues.min() else { return };
        let at = at.max(self.now + 1);
        if life.wake_at.is_none_or(|wake_at| at < wake_at) {
            life.wake_at = Some(at);
            self.at(at, Event::Wake { node });
        }
    }

    fn carry_out(&mut self, node: NodeId, action: Action) {
        match action {
            Action::Send { to, message } => self.send_message(node, to, message),
            Action::View(view) => self.tell_cores(node, view),
            Action::ReadRegister => self.ask_register(node, Ask::Read),
            Action::Create(record) => self.ask_register(node, Ask::Cas(None, record)),
            Action::Cas { token, record } => self.ask_register(node, Ask::Cas(Some(token), record)),
            Action::Rejoin { not_before, removals } => {
                let Some(life) = self.lives.get(&node) else { return };
                let (slot, at) = (life.slot, life.clock.when(not_before).max(self.now + 1));
                self.bury(node);
                self.at(at, Event::Birth { slot, removals });
            }
            Action::Report(report) => {
                self.trace.say(self.now, || format!("{node}: {report:?}"));
            }
        }
    }

    fn tell_cores(&mut self, node: NodeId, view: View) {
        self.trace.say(self.now, || {
            let View { number, epoch, member, active, pending, gate, learner, teacher, .. } = &view;
            format!(
                "{node}: view {number}: epoch {epoch} member {member} active {active} pending {pending} gate {gate:?} learner {learner:?} teacher {teacher:?}"
            )
        });
        let view = Arc::new(view);
        let shards = self.swarm.shards as usize;
        for shard in 0..shards {
            let slow = self.mishap(self.swarm.slow_cores);
            let delay = self.random.between(2, if slow { 60_000 } else { 200 });
            let at = self.now + delay;
            let Some(life) = self.lives.get_mut(&node) else { return };
            life.views.entry(view.number).or_insert(shards);
            life.view_arrival = at.max(life.view_arrival + 1);
            let at = life.view_arrival;
            self.at(at, Event::View { node, shard, view: Arc::clone(&view) });
        }
    }

    fn on_view(&mut self, node: NodeId, shard: usize, view: &View) {
        self.turn(node, |life, _, turn| {
            let replica = &mut life.replicas[shard];
            replica.on_post(view.post(node, replica.shard().id()), turn);
            let taught = view.learner.map(|learner| (view.epoch, learner));
            if taught != life.taught[shard] {
                life.taught[shard] = taught;
                match view.learner {
                    Some(learner) => replica.teach(learner),
                    None => replica.leave_off(),
                }
            }
        });
        let Some(life) = self.lives.get_mut(&node) else { return };
        let left = life.views.entry(view.number).or_default();
        *left -= 1;
        if *left == 0 {
            life.views.remove(&view.number);
            let at = self.now + self.random.between(1, 100);
            self.at(at, Event::CoresReady { node, view: view.number });
        }
    }

    fn tick(&mut self, node: NodeId) {
        let world_now = self.now;
        self.turn(node, |life, now, turn| {
            for (replica, progress) in life.replicas.iter().zip(&mut life.progress) {
                let committed = replica.committed();
                if replica.lag() == 0 || committed != progress.0 {
                    *progress = (committed, world_now);
                } else if world_now - progress.1 > STALL_US
                    && let Some(successor) = replica.post().successor
                {
                    life.member.on_stall(now, successor, &mut turn.actions);
                }
            }
        });
        if self.lives.contains_key(&node) {
            let at = self.now + 250_000;
            self.at(at, Event::Tick { node });
        }
    }

    // Between nodes.

    fn send_message(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        let copies = 1 + u64::from(self.mishap(self.swarm.doubled));
        for _ in 0..copies {
            let mut delay = self.delay();
            if self.mishap(self.swarm.late) {
                delay += self.random.below(3_000_000);
            }
            if self.mishap(self.swarm.lost) || self.is_cut(from, to) {
                continue;
            }
            let message = Box::new(message.clone());
            let at = self.now + delay;
            self.at(at, Event::Message { from, to, message });
        }
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        match (self.lives.get(&from), self.lives.get(&to)) {
            (Some(a), Some(b)) => self.network.is_cut(a.slot, b.slot),
            _ => true,
        }
    }

    fn send_frames(&mut self, from: NodeId, to: NodeId, bytes: &[u8]) {
        let delay = self.delay();
        let link = self.network.link(from, to);
        let arrival = &mut link.arrival[Network::direction(from, to)];
        *arrival = (self.now + delay).max(*arrival + 1);
        let (at, life) = (*arrival, link.life);
        self.at(at, Event::Frames { from, to, life, bytes: aligned(bytes) });
    }

    fn on_frames(&mut self, from: NodeId, to: NodeId, life: u64, bytes: Bytes) {
        let is_cut = self.is_cut(from, to);
        let link = self.network.link(from, to);
        if !link.up || link.life != life {
            return;
        }
        let stuck = &mut link.stuck[Network::direction(from, to)];
        if is_cut || !stuck.is_empty() {
            stuck.push(bytes);
            return;
        }
        self.take_frames(from, to, &bytes);
    }

    fn take_frames(&mut self, from: NodeId, to: NodeId, bytes: &Bytes) {
        self.trace.words([2, low(from), low(to)]);
        self.trace.bytes(bytes);
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        self.turn(to, |life, _, turn| {
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("links carry whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.kind, header.shard.0, header.epoch, header.number));
                let replica = &mut life.replicas[usize::from(header.shard.0)];
                match header.kind {
                    FrameKind::Forward => replica.on_forward(from, &frame, turn),
                    FrameKind::Ack => replica.on_ack(from, header, turn),
                    FrameKind::Resume => replica.on_resume(from, header, turn),
                    FrameKind::Snapshot => replica.on_snapshot(from, &frame, turn),
                    other => unreachable!("{other:?} is nothing that nodes say"),
                }
            }
        });
        self.trace.say(self.now, || format!("{from} => {to}: {lines:?}"));
    }

    /// Somebody tries to make a link.
    fn dial(&mut self, from: NodeId, to: NodeId) {
        let cut = self.is_cut(from, to) || self.is_cut(to, from);
        let still = |node: &NodeId| self.lives.get(node).is_some_and(|life| life.inbox.is_some());
        let waits = still(&from) || still(&to);
        let link = self.network.link(from, to);
        link.trying = false;
        if link.up {
            return;
        }
        if cut || waits {
            link.failures += u32::from(cut);
            if link.failures == 3 {
                self.turn(from, |life, now, turn| {
                    life.member.on_link(now, to, false, &mut turn.actions);
                });
            }
            let at = self.now + self.random.between(20_000, 150_000);
            let link = self.network.link(from, to);
            if !link.trying && self.lives.contains_key(&from) {
                link.trying = true;
                self.at(at, Event::Dial { from, to });
            }
            return;
        }
        link.failures = 0;
        link.up = true;
        self.trace.say(self.now, || format!("{from} and {to} have a link"));
        for (node, peer) in [(from, to), (to, from)] {
            self.turn(node, |life, now, turn| {
                for replica in &mut life.replicas {
                    replica.on_link(peer);
                }
                life.member.on_link(now, peer, true, &mut turn.actions);
            });
        }
    }

    // The register.

    fn ask_register(&mut self, node: NodeId, ask: Ask) {
        let there = self.random.between(1_000, 60_000);
        let unanswered = self.mishap(self.swarm.unanswered);
        if self.outage {
            let (at, failed) = (self.now + there, failure(&ask, false));
            return self.at(at, Event::RegisterSays { node, said: failed });
        }
        if let Ask::Cas(..) = &ask {
            if self.mishap(self.swarm.landed_late) {
                // The request is on its way for longer than anybody waits for the answer.
                let late = self.now + there + self.random.below(8_000_000);
                let given_up = self.now + REGISTER_PATIENCE_US;
                let unknown = failure(&ask, true);
                self.at(given_up, Event::RegisterSays { node, said: unknown });
                return self.at(late, Event::AtRegister { node, ask, answer: false });
            }
            if self.mishap(self.swarm.repeated) {
                // Somebody in between sends it once more, and only the second answer is heard.
                let first = self.now + there;
                self.at(first, Event::AtRegister { node, ask: ask.clone(), answer: false });
                let second = first + self.random.between(1, 500_000);
                return self.at(second, Event::AtRegister { node, ask, answer: true });
            }
        }
        if unanswered {
            let given_up = self.now + REGISTER_PATIENCE_US;
            let unknown = failure(&ask, true);
            self.at(given_up, Event::RegisterSays { node, said: unknown });
            if self.random.per_mille(300) {
                return;
            }
        }
        let at = self.now + there;
        self.at(at, Event::AtRegister { node, ask, answer: !unanswered });
    }

    fn at_register(&mut self, node: NodeId, ask: &Ask, answer: bool) {
        let said = match ask {
            Ask::Read => Said::Read(self.register.read()),
            Ask::Cas(token, record) => {
                let outcome = self.register.cas(token.as_ref(), record);
                self.trace.words([3, u64::from(record.epoch), low(node)]);
                self.trace.say(self.now, || {
                    format!(
                        "{node}'s record of epoch {}: {outcome:?}: {:?}",
                        record.epoch, record.change
                    )
                });
                Said::Cas(record.change.id, outcome)
            }
        };
        if answer {
            let at = self.now + self.random.between(1_000, 60_000);
            self.at(at, Event::RegisterSays { node, said });
        }
    }

    // Clients.

    fn set_timer(&mut self, client: usize, wait: u64) {
        let known = &mut self.clients[client];
        known.timer += 1;
        let timer = known.timer;
        let at = self.now + wait;
        self.at(at, Event::ClientTimer { client, timer });
    }

    fn on_client_timer(&mut self, client: usize) {
        let known = &mut self.clients[client];
        if known.call.is_none() {
            if self.last {
                return;
            }
            known.begin(self.now, &mut self.history);
            return self.attempt(client);
        }
        if known.conn.as_ref().is_some_and(|conn| conn.ready) && self.random.per_mille(300) {
            // It asks once more on the same connection.
            return self.ask(client);
        }
        if let Some(conn) = self.clients[client].conn.take() {
            self.served.remove(&conn.id);
        }
        self.attempt(client);
    }

    /// Goes on with a call: connects, or asks.
    fn attempt(&mut self, client: usize) {
        let slots = self.slots.len();
        let known = &mut self.clients[client];
        if known.call.is_none() {
            return;
        }
        let target = known.target(slots);
        match &known.conn {
            Some(conn) if conn.slot == target && conn.ready => self.ask(client),
            Some(conn) if conn.slot == target => {}
            _ => self.connect(client, target),
        }
    }

    fn connect(&mut self, client: usize, slot: usize) {
        let conn = self.next_conn;
        self.next_conn += 1;
        if let Some(before) = self.clients[client].conn.take() {
            self.served.remove(&before.id);
        }
        self.clients[client].connect(conn, slot);
        self.trace.say(self.now, || format!("client {client}: connection {conn} to slot {slot}"));
        let at = self.now + self.delay();
        self.at(at, Event::Hello { client, conn, slot });
        self.set_timer(client, ATTEMPT_US);
    }

    fn ask(&mut self, client: usize) {
        let bytes = self.clients[client].frames();
        let Some(conn) = self.clients[client].conn.as_ref().map(|conn| conn.id) else { return };
        let delay = self.delay();
        if let Some(served) = self.served.get_mut(&conn) {
            served.arrival[0] = (self.now + delay).max(served.arrival[0] + 1);
            let (at, node) = (served.arrival[0], served.node);
            self.at(at, Event::Request { node, conn, bytes: aligned(&bytes) });
        }
        self.set_timer(client, ATTEMPT_US);
    }

    fn on_hello(&mut self, client: usize, conn: u64, slot: usize) {
        let at = self.now + self.delay();
        let Some((node, life)) =
            self.slots[slot].and_then(|node| Some((node, self.lives.get(&node)?)))
        else {
            return self.at(at, Event::Hangup { client, conn });
        };
        let time = life.day.at(self.now).0;
        let record = life.member.record().cloned();
        self.served.insert(conn, Served { client, node, arrival: [0, at] });
        self.at(at, Event::Welcome { client, conn, record, time });
    }

    fn on_request(&mut self, node: NodeId, conn: u64, bytes: &Bytes) {
        self.trace.words([4, low(node), conn]);
        self.trace.bytes(bytes);
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        let world_now = self.now;
        self.turn(node, |life, clock, turn| {
            let now = life.day.at(world_now);
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("clients send whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.op, header.shard.0, header.session, header.number));
                let replica = &mut life.replicas[usize::from(header.shard.0)];
                let moment = Moment { now, memory_bytes_max: 1 << 30, core: 0, connections: 1 };
                replica.on_request(clock, moment, ConnId(conn), &frame, turn);
            }
        });
        self.trace.say(self.now, || format!("client {conn} => {node}: {lines:x?}"));
    }

    fn send_reply(&mut self, conn: ConnId, bytes: &[u8]) {
        let delay = self.delay();
        let Some(served) = self.served.get_mut(&conn.0) else { return };
        served.arrival[1] = (self.now + delay).max(served.arrival[1] + 1);
        let (at, client) = (served.arrival[1], served.client);
        self.at(at, Event::Reply { client, conn: conn.0, bytes: aligned(bytes) });
    }

    fn on_reply(&mut self, client: usize, conn: u64, bytes: &Bytes) {
        self.trace.words([5, client as u64, conn]);
        self.trace.bytes(bytes);
        let known = &mut self.clients[client];
        if known.conn.as_ref().is_none_or(|it| it.id != conn) {
            return;
        }
        let Ok(Next::Frame(frame)) = frame::next(bytes, FRAME_BYTES_MAX) else {
            unreachable!("a reply is a frame")
        };
        let heard = known.on_reply(self.now, &frame, &mut self.history);
        self.trace.say(self.now, || {
            let header = &frame.header;
            format!(
                "client {client}: op {:x} number {:x}: status {} {heard:?}",
                header.op, header.number, header.flags
            )
        });
        match heard {
            Err(why) => self.fail(why),
            Ok(Heard::Nothing) => {}
            Ok(Heard::Done) => {
                let think = self.swarm.think_us;
                let wait = self.random.between(think / 4 + 1, think * 2);
                self.set_timer(client, wait);
            }
            Ok(Heard::Again) => {
                let wait = self.random.between(2_000, 30_000);
                self.set_timer(client, wait);
            }
            Ok(Heard::Elsewhere) => {
                if let Some(conn) = self.clients[client].conn.take() {
                    self.served.remove(&conn.id);
                }
                let slot = self.random.below(self.slots.len() as u64);
                self.connect(client, usize::try_from(slot).expect("few"));
            }
        }
    }

    // Faults.

    fn on_fault(&mut self, fault: Fault) {
        if self.calm
            && !matches!(fault, Fault::Resume { .. } | Fault::Mend { .. } | Fault::OutageOver)
        {
            return;
        }
        self.trace.say(self.now, || format!("fault: {fault:?}"));
        let swarm = self.swarm.clone();
        let alive: Vec<NodeId> = self.lives.keys().copied().collect();
        match fault {
            Fault::Crash => {
                self.again(0, swarm.crash_us, fault);
                if let Some(node) = self.random.pick(&alive).copied()
                    && self.is_spare(node)
                {
                    let slot = self.lives[&node].slot;
                    self.bury(node);
                    let at = self.now + self.random.between(10_000, 3_000_000);
                    self.at(at, Event::Birth { slot, removals: 0 });
                }
            }
            Fault::Pause => {
                self.again(0, swarm.pause_us, fault);
                if let Some(node) = self.random.pick(&alive).copied()
                    && let Some(life) = self.lives.get_mut(&node)
                    && life.inbox.is_none()
                {
                    life.inbox = Some(VecDeque::new());
                    let at = self.now + self.random.between(1_000, 3_000_000);
                    self.at(at, Event::Fault(Fault::Resume { node }));
                }
            }
            Fault::Resume { node } => self.resume(node),
            Fault::Cut => {
                self.again(0, swarm.cut_us, fault);
                let slots = swarm.slots as u64;
                let from = usize::try_from(self.random.below(slots)).expect("few");
                let to = usize::try_from(self.random.below(slots)).expect("few");
                let until = self.now + self.random.between(10_000, 4_000_000);
                let both = self.random.per_mille(600);
                self.cut(from, to, until);
                if both {
                    self.cut(to, from, until);
                }
            }
            Fault::Remove => {
                self.again(0, swarm.remove_us, fault);
                let members: Vec<NodeId> = self.register.record().members().collect();
                let (by, node) = (self.random.pick(&members), self.random.pick(&members));
                if let (Some(by), Some(node)) = (by.copied(), node.copied())
                    && let Some(life) = self.lives.get(&node)
                {
                    if self.random.per_mille(swarm.removed_cut) {
                        let (slot, until) = (life.slot, self.now + self.random.below(3_000_000));
                        for other in (0..swarm.slots).filter(|other| *other != slot) {
                            self.cut(slot, other, until);
                            self.cut(other, slot, until);
                        }
                    }
                    let after = self.now + self.random.below(300_000);
                    self.at(after, Event::Unwanted { by, node });
                }
            }
            Fault::Death => {
                self.again(0, swarm.death_us, fault);
                let client = usize::try_from(self.random.below(swarm.clients as u64)).expect("few");
                if let Some(conn) = &self.clients[client].conn {
                    self.served.remove(&conn.id);
                }
                self.clients[client].die();
                let wait = self.random.between(1, swarm.think_us);
                self.set_timer(client, wait);
            }
            Fault::Mend { from, to } => self.mend(from, to),
            Fault::Reset => {
                self.again(0, swarm.reset_us, fault);
                let links = self.network.links_up();
                if let Some((a, b)) = self.random.pick(&links).copied() {
                    self.network.reset(a, b);
                }
            }
            Fault::Hangup => {
                self.again(0, swarm.hangup_us, fault);
                let conns: Vec<u64> = self.served.keys().copied().collect();
                if let Some(conn) = self.random.pick(&conns).copied() {
                    self.hang_up(conn);
                }
            }
            Fault::Outage => {
                self.outage = true;
                let at = self.now + self.random.between(100_000, 4_000_000);
                self.at(at, Event::Fault(Fault::OutageOver));
                self.again(4_000_000, swarm.outage_us, fault);
            }
            Fault::OutageOver => self.outage = false,
        }
    }

    fn cut(&mut self, from: usize, to: usize, until: u64) {
        if from == to || self.network.is_cut(from, to) {
            return;
        }
        self.network.cut(from, to);
        self.at(until, Event::Fault(Fault::Mend { from, to }));
        if let (Some(from), Some(to)) = (self.slots[from], self.slots[to])
            && self.random.per_mille(self.swarm.cut_hard)
        {
            self.network.reset(from, to);
        }
    }

    /// Whether others have what this node has: the last one takes everything with it.
    fn is_spare(&self, node: NodeId) -> bool {
        let record = self.register.record();
        !record.is_member(node)
            || record.members().any(|other| other != node && self.lives.contains_key(&other))
    }

    fn resume(&mut self, node: NodeId) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let Some(inbox) = life.inbox.take() else { return };
        for event in inbox {
            self.happen(event);
        }
    }

    fn mend(&mut self, from: usize, to: usize) {
        self.network.mend(from, to);
        let (Some(from), Some(to)) = (self.slots[from], self.slots[to]) else { return };
        let stuck =
            std::mem::take(&mut self.network.link(from, to).stuck[Network::direction(from, to)]);
        let life = self.network.link(from, to).life;
        for bytes in stuck {
            self.happen(Event::Frames { from, to, life, bytes });
        }
    }

    fn on_calm(&mut self) {
        self.trace.say(self.now, || "the faults are over");
        self.calm = true;
        self.outage = false;
        for from in 0..self.swarm.slots {
            for to in 0..self.swarm.slots {
                self.mend(from, to);
            }
        }
        let nodes: Vec<NodeId> = self.lives.keys().copied().collect();
        for node in nodes {
            self.resume(node);
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
    (node.0 & u128::from(u64::MAX)) as u64
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
