//! The loop: one thing happens after the other, the member is told, and what it wants is done.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::operator;
use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, Status};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::cores::{CoreDesk, StopWithUs};
use super::founding::Found;
use super::greet::{self, Trouble, Verdict};
use super::links::{Link, Links, Way};
use super::records::Records;
use super::report::Reporter;
use super::{Cores, random};
use crate::chain::member::{Action, Member, Outcome, PeerMessage, Reading, Start};
use crate::chain::record::{ChangeId, NodeId, NodeInfo, Record, Settings};
use crate::clock::Clock;
use crate::config::{COMMAND_AGAIN_MS, CONTROL_EVENTS_MAX, LEAVE_MS_MAX};
use crate::io::Notice;
use crate::shard::Time;

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A core said something about a life of the node.
    Notice(u16, NodeId, Notice),
    /// The register was read.
    Read { life: NodeId, reading: Reading },
    /// The register was asked to store something.
    Stored { life: NodeId, change: ChangeId, outcome: Outcome },
    /// Somebody connected, and says who they are.
    Hello { hello: PeerHello, from: SocketAddr, verdict: oneshot::Sender<Verdict> },
    /// A connection that this node made is there.
    Opened { link: Rc<Link>, at: SocketAddr },
    /// A connection is not there any more, or could not be made.
    Closed { link: Rc<Link>, at: SocketAddr, trouble: Trouble },
    /// A node said something.
    Heard { link: Rc<Link>, message: PeerMessage },
    /// An operator wants something.
    Asked { request: operator::Request, answer: oneshot::Sender<operator::Reply> },
    /// The node is to stop.
    Stop,
}

/// Who the node is.
#[derive(Debug)]
pub(super) struct NodeStart {
    pub(super) clock: Clock,
    pub(super) cluster: String,
    pub(super) info: NodeInfo,
    pub(super) me: NodeId,
    /// Where the rest of the node reads which life it is in.
    pub(super) told: Arc<Mutex<NodeId>>,
}

/// A node's part in its cluster.
pub(super) struct Node {
    pub(super) clock: Clock,
    pub(super) cluster: String,
    pub(super) info: NodeInfo,
    pub(super) me: NodeId,
    told: Arc<Mutex<NodeId>>,
    pub(super) life: Life,
    /// The newest record that any life of this process knew.
    pub(super) record: Option<Arc<Record>>,
    /// How many shards the cores were started with.
    shards: u32,
    pub(super) desk: CoreDesk,
    links: Links,
    pub(super) records: Records,
    reporter: Reporter,
    events: mpsc::Sender<Event>,
    happened: mpsc::Receiver<Event>,
    /// Until when it waits to be removed before it stops, if it is to.
    stopping: Option<Time>,
    _cores: StopWithUs,
}

/// Where the node stands between its lives.
pub(super) enum Life {
    /// It has begun.
    Begun(Box<Member>),
    /// The last one is over, and the next begins then.
    Waiting { not_before: Time, removals: u32, is_reading: bool },
}

impl Node {
    /// Begins the node's first life with what it found in the register.
    pub(super) fn start(
        start: NodeStart,
        found: Found,
        records: Records,
        cores: Cores,
        listener: TcpListener,
        stop: Arc<Notify>,
    ) -> Result<Node, String> {
        let NodeStart { clock, cluster, info, me, told } = start;
        let Cores { hands, notices } = cores;
        let stop_with_us = StopWithUs(hands.clone());
        let (events, happened) = mpsc::channel(CONTROL_EVENTS_MAX);
        spawn_local(greet::accept(listener, events.clone()));
        spawn_local(pass_on(notices, events.clone()));
        spawn_local(pass_on_stop(stop, events.clone()));
        let mut node = Node {
            clock,
            cluster,
            info,
            me,
            told,
            life: Life::Waiting { not_before: Time::default(), removals: 0, is_reading: true },
            record: None,
            shards: found.shards,
            desk: CoreDesk::new(hands),
            links: Links::new(events.clone()),
            records,
            reporter: Reporter::default(),
            events,
            happened,
            stopping: None,
            _cores: stop_with_us,
        };
        node.begin(0, found.founding, found.reading)?;
        Ok(node)
    }

    /// Goes on until the node has left its cluster, or cannot go on.
    pub(super) async fn run(mut self) -> Result<(), String> {
        while !self.may_end() {
            let now = self.clock.now();
            let event = match self.next_due(now) {
                None => self.happened.recv().await,
                Some(due) => {
                    let wait = Duration::from_micros(due.0.saturating_sub(now.0));
                    timeout_at(Instant::now() + wait, self.happened.recv()).await.unwrap_or(None)
                }
            };
            if let Some(event) = event {
                self.happen(event)?;
            }
            self.pass_time()?;
        }
        Ok(())
    }

    fn next_due(&mut self, now: Time) -> Option<Time> {
        let life = match &self.life {
            Life::Begun(member) => member.next_due(),
            Life::Waiting { not_before, is_reading: false, .. } => Some(*not_before),
            Life::Waiting { is_reading: true, .. } => None,
        };
        let again = self.desk.catch_up().then(|| now.plus_ms(COMMAND_AGAIN_MS));
        [life, again, self.stopping].into_iter().flatten().min()
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        match &mut self.life {
            Life::Begun(member) if member.next_due().is_some_and(|due| now >= due) => {
                self.tell(Member::on_time)
            }
            Life::Waiting { not_before, is_reading, .. } if !*is_reading && now >= *not_before => {
                *is_reading = true;
                self.records.read(self.me, &self.events);
                Ok(())
            }
            Life::Begun(_) | Life::Waiting { .. } => Ok(()),
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Notice(core, life, notice) if life == self.me => self.on_notice(core, notice),
            Event::Read { life, reading } if life == self.me => match self.life {
                Life::Begun(_) => self.tell(|member, now, out| member.on_read(now, reading, out)),
                Life::Waiting { removals, .. } => self.begin(removals, None, reading),
            },
            Event::Stored { life, change, outcome } if life == self.me => {
                self.tell(|member, now, out| member.on_cas(now, change, outcome, out))
            }
            Event::Heard { link, message } if link.life == self.me => {
                self.tell(|member, now, out| member.on_message(now, link.peer, message, out))
            }
            Event::Opened { link, at } if link.life == self.me => {
                if self.links.on_open(&link) {
                    tracing::info!(node = %link.peer, %at, "{} is reached again", self.name(link.peer));
                }
                Ok(())
            }
            Event::Closed { link, at, trouble } if link.life == self.me => {
                self.on_closed(&link, at, &trouble)
            }
            // An earlier life's.
            Event::Notice(..)
            | Event::Read { .. }
            | Event::Stored { .. }
            | Event::Heard { .. }
            | Event::Opened { .. }
            | Event::Closed { .. } => Ok(()),
            Event::Hello { hello, from, verdict } => {
                // Whoever asked may have lost patience.
                _ = verdict.send(self.judge(&hello, from));
                Ok(())
            }
            Event::Asked { request, answer } => self.answer(request, answer),
            Event::Stop => self.stop(),
        }
    }

    fn on_notice(&mut self, core: u16, notice: Notice) -> Result<(), String> {
        match notice {
            Notice::Ready { view } => {
                let view = self.desk.on_ready(core, view);
                self.tell(|member, now, out| member.on_cores_ready(now, view, out))
            }
            Notice::Link { peer, up } => {
                let up = self.desk.on_link(core, peer, up);
                self.tell(|member, now, out| member.on_link(now, peer, up, out))
            }
            Notice::Behind(peer) => {
                tracing::warn!(
                    node = %peer,
                    "{} lacks updates that are not kept any more: it has to join anew",
                    self.name(peer),
                );
                self.tell(|member, now, out| member.on_behind(now, peer, out))
            }
            Notice::Diverged(peer) => self.on_diverged(peer),
            Notice::Stalled(peer) => self.tell(|member, now, out| member.on_stall(now, peer, out)),
            Notice::Near { epoch, learner } if self.desk.on_near(core, epoch, learner) => {
                self.tell(|member, now, out| member.on_near(now, learner, epoch, out))
            }
            Notice::Synced { epoch, learner, view }
                if self.desk.on_synced(core, epoch, learner, view) =>
            {
                self.tell(|member, now, out| member.on_synced(now, learner, epoch, out))
            }
            // The others have not said it yet.
            Notice::Near { .. } | Notice::Synced { .. } => Ok(()),
            Notice::SyncLost { epoch } => {
                self.tell(|member, now, out| member.on_sync_lost(now, epoch, out))
            }
        }
    }

    /// A peer's log contradicts ours. Who is right nobody can tell any more, so the one that clients
    /// have their answers from stays: the one nearer the head.
    fn on_diverged(&mut self, peer: NodeId) -> Result<(), String> {
        tracing::error!(
            node = %self.me,
            peer = %peer,
            "the logs of {} and {} contradict each other: a defect of the engine or of a machine. The \
             one behind goes, and joins anew with the state of the other",
            self.info.name,
            self.name(peer),
        );
        let Life::Begun(member) = &self.life else { return Ok(()) };
        let epoch = member.epoch();
        let is_behind_us = |record: &Arc<Record>| {
            record.chains.iter().all(|chain| {
                let place = |node| chain.iter().position(|member| *member == node);
                place(self.me).zip(place(peer)).is_some_and(|(ours, theirs)| ours < theirs)
            })
        };
        if !member.is_member() {
            // What it is taught is of no use.
            self.tell(|member, now, out| member.on_sync_lost(now, epoch, out))
        } else if member.record().is_some_and(is_behind_us) {
            self.tell(|member, now, out| member.on_behind(now, peer, out))
        } else {
            self.tell(Member::on_leave)
        }
    }

    fn on_closed(
        &mut self,
        link: &Rc<Link>,
        at: SocketAddr,
        trouble: &Trouble,
    ) -> Result<(), String> {
        let is_news = self.links.on_closed(self.clock.now(), link, &trouble.to_string());
        let name = self.name(link.peer);
        let node = link.peer;
        match trouble {
            Trouble::Refused(Fault { status: Status::WrongCluster, .. }) if !self.is_member() => {
                return Err(format!(
                    "{name} at {at} refused this node: it is of another cluster than {:?}. Nodes of \
                     one cluster take the same --cluster and --cluster-name",
                    self.cluster
                ));
            }
            Trouble::Refused(fault) => {
                if is_news {
                    let advice = advice(fault.status);
                    tracing::warn!(%node, %at, "{name} at {at} refused this node: {fault}; {advice}");
                }
                if fault.status == Status::Retired {
                    return self.tell(Member::on_retired);
                }
            }
            Trouble::Nonsense(fault) if is_news => {
                let advice = advice(fault.status);
                tracing::warn!(%node, %at, "{name} at {at} cannot be understood: {fault}; {advice}");
            }
            Trouble::Io(_) | Trouble::TimedOut | Trouble::End if is_news => {
                tracing::warn!(%node, %at, "{name} at {at} cannot be reached: {trouble}");
            }
            Trouble::Nonsense(_)
            | Trouble::Io(_)
            | Trouble::TimedOut
            | Trouble::End
            | Trouble::Unwanted => {
                tracing::debug!(%node, %at, "no connection with {name}: {trouble}");
            }
        }
        Ok(())
    }

    /// Decides about somebody who has connected.
    fn judge(&mut self, hello: &PeerHello, from: SocketAddr) -> Verdict {
        let is_operator = hello.from == 0 && hello.to == 0;
        let is_ours = hello.cluster == self.cluster || is_operator && hello.cluster.is_empty();
        let record = match &self.life {
            Life::Begun(member) => member.record(),
            Life::Waiting { .. } => self.record.as_ref(),
        };
        let node = NodeId(hello.from);
        let refusal = if !is_ours {
            Some(Fault::new(Status::WrongCluster))
        } else if hello.shards != 0 {
            // A link about shards goes to the ports of the cores.
            Some(Fault::expected(Status::BadShard, 0, hello.shards.into()))
        } else if is_operator {
            return Verdict::Operator;
        } else if hello.to != self.me.0 || matches!(self.life, Life::Waiting { .. }) {
            Some(Fault::new(Status::WrongNode))
        } else if node == self.me || node == NodeId(0) {
            // Nobody else is this node.
            Some(Fault::new(Status::WrongNode))
        } else if record.is_some_and(|record| record.is_retired(node)) {
            Some(Fault::new(Status::Retired))
        } else {
            None
        };
        let user_timeout_ms = suspect_ms(record);
        let admitted = match refusal {
            Some(fault) => Err(fault),
            None => self.links.admit(self.me, node),
        };
        match admitted {
            Ok(link) => Verdict::Peer { link, user_timeout_ms },
            Err(fault) => {
                tracing::debug!(%from, %node, "refuses a connection: {fault}");
                Verdict::Refused(fault)
            }
        }
    }

    /// The node is to stop: its cluster is to go on without it first.
    fn stop(&mut self) -> Result<(), String> {
        if self.stopping.is_some() {
            return Ok(());
        }
        self.stopping = Some(self.clock.now().plus_ms(LEAVE_MS_MAX));
        if self.is_alone() {
            tracing::warn!("this is the only member: what the cluster holds ends with it");
        } else if self.is_member() {
            tracing::info!("leaving the cluster");
            return self.tell(Member::on_leave);
        }
        Ok(())
    }

    fn may_end(&self) -> bool {
        let Some(until) = self.stopping else { return false };
        if !self.is_member() || self.is_alone() {
            return true;
        }
        let is_over = self.clock.now() >= until;
        if is_over {
            tracing::warn!(
                "the others have not removed this node in time: they will find out that it is gone",
            );
        }
        is_over
    }

    pub(super) fn is_member(&self) -> bool {
        matches!(&self.life, Life::Begun(member) if member.is_member())
    }

    fn is_alone(&self) -> bool {
        let record = self.record.as_ref();
        self.is_member() && record.is_some_and(|record| record.nodes.len() == 1)
    }

    /// Begins a life with what the register had.
    fn begin(
        &mut self,
        removals: u32,
        founding: Option<Settings>,
        reading: Reading,
    ) -> Result<(), String> {
        let start = Start {
            me: self.me,
            info: self.info.clone(),
            cluster: self.cluster.clone(),
            founding,
            change_seed: random(),
            removals,
        };
        let member = Member::new(start).map_err(|error| error.to_string())?;
        self.life = Life::Begun(Box::new(member));
        tracing::info!(node = %self.me, name = self.info.name, cluster = self.cluster, "begins");
        self.tell(|member, now, out| member.on_start(now, reading, out))
    }

    /// Begins the next life now, if the node waits for it; returns whether it does.
    pub(super) fn begin_now(&mut self) -> bool {
        let now = self.clock.now();
        match &mut self.life {
            Life::Waiting { not_before, .. } => {
                *not_before = now.min(*not_before);
                true
            }
            Life::Begun(_) => false,
        }
    }

    /// This life is over. From now on the node is another one, which nobody knows, and has nothing.
    fn end_life(&mut self, not_before: Time, removals: u32) {
        let wait_ms = not_before.0.saturating_sub(self.clock.now().0) / 1_000;
        self.links.close();
        self.life = Life::Waiting { not_before, removals, is_reading: false };
        self.me = NodeId(random());
        *self.told.lock() = self.me;
        if self.stopping.is_some() {
            tracing::info!("this node is out of the cluster");
        } else {
            self.desk.begin(self.me);
            tracing::warn!(
                next_life = %self.me,
                "this life of the node is over; it begins another, with nothing, in {wait_ms} ms",
            );
        }
    }

    /// Tells the member something, and does what it wants.
    pub(super) fn tell(
        &mut self,
        what: impl FnOnce(&mut Member, Time, &mut Vec<Action>),
    ) -> Result<(), String> {
        let Life::Begun(member) = &mut self.life else { return Ok(()) };
        let mut actions = Vec::new();
        let now = self.clock.now();
        what(member, now, &mut actions);
        if let Some(record) = member.record() {
            if record.shards != self.shards {
                return Err(format!(
                    "the cluster {:?} has {} shards, and this node was started for {}: start it \
                     again, and it will go by the record",
                    self.cluster, record.shards, self.shards
                ));
            }
            if self.record.as_ref().is_none_or(|known| !Arc::ptr_eq(known, record)) {
                self.record = Some(record.clone());
                let record = record.clone();
                self.links.retain(|node| record.is_member(node));
            }
        }
        for action in actions {
            self.carry_out(now, action);
        }
        Ok(())
    }

    fn carry_out(&mut self, now: Time, action: Action) {
        if let Action::Report(report) = &action {
            let mut reporter = std::mem::take(&mut self.reporter);
            reporter.say(|node| self.name(node), self.record.as_deref(), report);
            self.reporter = reporter;
            return;
        }
        // What a life that is over wanted as well is nobody's business any more.
        let Life::Begun(member) = &self.life else { return };
        match action {
            Action::Send { to, message } => {
                let way = member.info(to).map(|info| Way {
                    address: info.peer,
                    hello: PeerHello {
                        from: self.me.0,
                        to: to.0,
                        shards: 0,
                        core: 0,
                        cores: 0,
                        cluster: self.cluster.clone(),
                    },
                    user_timeout_ms: suspect_ms(member.record()),
                });
                self.links.send(now, (self.me, to), &message, way);
            }
            Action::View(view) => self.desk.view(view),
            Action::ReadRegister => self.records.read(self.me, &self.events),
            Action::Create(record) => self.records.store(self.me, None, record, &self.events),
            Action::Cas { token, record } => {
                self.records.store(self.me, Some(token), record, &self.events);
            }
            Action::Rejoin { not_before, removals } => self.end_life(not_before, removals),
            Action::Report(_) => unreachable!("was said"),
        }
    }

    /// What people call a node.
    pub(super) fn name(&self, node: NodeId) -> String {
        let (learner, proposed) = match &self.life {
            Life::Begun(member) => (member.info(node), member.proposal()),
            Life::Waiting { .. } => (None, None),
        };
        let in_record = self.record.as_deref().and_then(|record| record.nodes.get(&node));
        let proposed = proposed.and_then(|record| record.nodes.get(&node));
        match in_record.or(learner).or(proposed) {
            _ if node == self.me => self.info.name.clone(),
            Some(info) => info.name.clone(),
            None => node.to_string(),
        }
    }
}

fn suspect_ms(record: Option<&Arc<Record>>) -> u32 {
    record.map_or(Settings::default().suspect_ms, |record| record.suspect_ms)
}

/// What to do about a refusal.
fn advice(status: Status) -> &'static str {
    match status {
        Status::WrongCluster => {
            "its address belongs to a node of another cluster now, so it is taken for gone"
        }
        Status::WrongNode => "the node there has begun another life, so this one is taken for gone",
        Status::Retired => "this life of the node was removed, and it is going to begin another",
        Status::BadVersion | Status::BadMagic => {
            "nodes of one cluster have to run the same release: upgrade the older one"
        }
        Status::TooManyConnections => "it is tried again",
        _ => "nodes of one cluster have to run the same release",
    }
}

async fn pass_on(mut notices: mpsc::Receiver<(u16, NodeId, Notice)>, events: mpsc::Sender<Event>) {
    while let Some((core, life, notice)) = notices.recv().await {
        _ = events.send(Event::Notice(core, life, notice)).await;
    }
}

async fn pass_on_stop(stop: Arc<Notify>, events: mpsc::Sender<Event>) {
    loop {
        stop.notified().await;
        _ = events.send(Event::Stop).await;
    }
}
