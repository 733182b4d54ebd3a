//! The loop: one thing happens after the other, the member is told, and what it wants is done.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::operator;
use catena_protocol::peer::PeerHello;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::cores::{CoreDesk, StopWithUs};
use super::founding::Found;
use super::greet::{self, Trouble, Verdict};
use super::links::{Link, Links};
use super::records::Records;
use super::report::Reporter;
use super::{Cores, random};
use crate::clock::Clock;
use crate::config::{COMMAND_AGAIN_MS, CONTROL_EVENTS_MAX, LEAVE_MS_MAX};
use crate::io::Notice;
use catena_core::chain::member::{Action, Member, Outcome, PeerMessage, Reading, Start};
use catena_core::chain::record::{ChangeId, NodeId, NodeInfo, OnTotalLoss, Record, Settings};
use catena_core::time::Time;

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
    pub(super) links: Links,
    pub(super) records: Records,
    reporter: Reporter,
    lesson: Lesson,
    events: mpsc::Sender<Event>,
    happened: mpsc::Receiver<Event>,
    /// Until when it waits to be removed before it stops, if it is to.
    stopping: Option<Time>,
    _cores: StopWithUs,
}

/// Whom the cores teach, and who teaches them.
#[derive(Clone, Copy, Default)]
struct Lesson {
    learner: Option<NodeId>,
    teacher: Option<NodeId>,
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
            lesson: Lesson::default(),
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
                    let wait = Duration::from_micros(due.0.saturating_sub(now.0)).min(WAIT_MAX);
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

    /// The node is to stop: its cluster is to go on without it first.
    fn stop(&mut self) -> Result<(), String> {
        if self.stopping.is_some() {
            return Ok(());
        }
        self.stopping = Some(self.clock.now().plus_ms(LEAVE_MS_MAX));
        if self.is_alone() {
            let then = match self.record.as_ref().map(|record| record.settings.on_total_loss) {
                Some(OnTotalLoss::Empty) => "the next node that starts begins anew",
                Some(OnTotalLoss::Halt) | None => "the cluster stays down",
            };
            tracing::warn!(
                "this is the only member: what the cluster holds ends with it, and {then}"
            );
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
        tracing::info!(node = %self.me, cluster = self.cluster, "a life of this node begins");
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
        let wait =
            Duration::from_millis(not_before.0.saturating_sub(self.clock.now().0).div_ceil(1_000));
        let last = std::mem::replace(&mut self.me, NodeId(random()));
        let removed = self.record.as_ref().filter(|record| record.is_retired(last));
        self.links.close();
        self.life = Life::Waiting { not_before, removals, is_reading: false };
        self.lesson = Lesson::default();
        *self.told.lock() = self.me;
        if self.stopping.is_some() {
            tracing::info!("this node is out of the cluster");
            return;
        }
        self.desk.begin(self.me);
        match removed {
            Some(record) => tracing::warn!(
                epoch = record.epoch,
                next_life = %self.me,
                "this node was removed from the cluster: {}. It begins another life, with nothing, in \
                 {wait:?}",
                why_removed(record, last),
            ),
            None => tracing::info!(
                next_life = %self.me,
                "what this node was taught is not complete and of no use: it begins anew in {wait:?}",
            ),
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
            if record.settings.shards != self.shards {
                return Err(format!(
                    "the cluster {:?} has {} shards, and this node was started for {}: start it \
                     again, and it will go by the record",
                    self.cluster, record.settings.shards, self.shards
                ));
            }
            if self.record.as_ref().is_none_or(|known| !Arc::ptr_eq(known, record)) {
                self.record = Some(record.clone());
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
                let way = self.way_to(member, to);
                self.links.send(now, (self.me, to), &message, way);
            }
            Action::View(view) => {
                let lesson = Lesson { learner: view.learner, teacher: view.teacher };
                self.desk.view(view);
                self.on_lesson(lesson);
            }
            Action::ReadRegister => self.records.read(self.me, &self.events),
            Action::Create(record) => self.records.store(self.me, None, record, &self.events),
            Action::Cas { token, record } => {
                self.records.store(self.me, Some(token), record, &self.events);
            }
            Action::Rejoin { not_before, removals } => self.end_life(not_before, removals),
            Action::Report(_) => unreachable!("was said"),
        }
    }

    fn on_lesson(&mut self, lesson: Lesson) {
        let before = std::mem::replace(&mut self.lesson, lesson);
        if let Some(node) = lesson.learner.filter(|node| before.learner != Some(*node)) {
            tracing::info!(%node, "teaches {}, which wants to join", self.name(node));
        }
        if let Some(node) = lesson.teacher.filter(|node| before.teacher != Some(*node)) {
            tracing::info!(%node, "is taught by {}", self.name(node));
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

/// Whoever waits longer may as well look once in between; and no sum of times gets too large.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a node was removed, if the record still says it.
fn why_removed(record: &Record, node: NodeId) -> &str {
    let change = &record.change;
    let is_it = change.subject == Some(node) && !change.reason.is_empty();
    if is_it { &change.reason } else { "some epochs ago" }
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
