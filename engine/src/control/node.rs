//! The control loop: takes one event after the other, tells the member, and carries out its actions.

mod core_notices;
mod operator_requests;
mod peer_connections;

use std::sync::Arc;
use std::time::Duration;

use catena_core::chain::member::{Action, Member, MemberConfig, ReadOutcome, Removals};
use catena_core::chain::record::{NodeId, NodeInfo, OnTotalLoss, Record, Settings};
use catena_core::shard::Seq;
use catena_core::time::Time;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::bootstrap::Bootstrap;
use super::cores::{CoreGroup, Cores, StopCoresOnDrop};
use super::event::ControlEvent;
use super::handshake;
use super::peer_clocks::{ClockChange, PeerClocks};
use super::peer_links::PeerLinks;
use super::random::random_u128;
use super::record_store::RecordStore;
use super::reporter::Reporter;
use crate::clock::{Clock, unix_time};
use crate::config::{COMMAND_RETRY_MS, CONTROL_EVENTS_MAX, LEAVE_MS_MAX};
use crate::error::NodeError;
use crate::io::Notice;

/// Which node it is, and of which cluster.
#[derive(Debug)]
pub(super) struct NodeIdentity {
    pub(super) clock: Clock,
    pub(super) cluster: String,
    pub(super) info: NodeInfo,
    pub(super) me: NodeId,
    /// Where the rest of the node reads the present incarnation.
    pub(super) published: Arc<Mutex<NodeId>>,
}

/// A node's part in its cluster.
pub(super) struct ControlNode {
    clock: Clock,
    cluster: String,
    info: NodeInfo,
    /// The present incarnation.
    me: NodeId,
    published: Arc<Mutex<NodeId>>,
    membership: Membership,
    /// The newest record that any incarnation of this process knew.
    record: Option<Arc<Record>>,
    /// The number of shards that the cores were started with.
    shards: u32,
    cores: CoreGroup,
    links: PeerLinks,
    peer_clocks: PeerClocks,
    store: RecordStore,
    reporter: Reporter,
    transfer: StateTransfer,
    events: mpsc::Sender<ControlEvent>,
    incoming: mpsc::Receiver<ControlEvent>,
    /// If the node is to stop: until when it waits to be removed.
    stopping: Option<Time>,
    _stop_cores: StopCoresOnDrop,
}

/// The state transfer that the cores take part in: to a learner, or from a source.
#[derive(Clone, Copy, Default)]
struct StateTransfer {
    learner: Option<NodeId>,
    source: Option<NodeId>,
}

/// The node's present incarnation in the cluster, or the pause before the next one.
enum Membership {
    /// The incarnation has begun.
    Begun(Box<Member>),
    /// The last incarnation is over, and the next one begins at `not_before`.
    Waiting { not_before: Time, removals: Removals, is_reading: bool },
}

impl ControlNode {
    /// Begins the node's first incarnation with what the register had.
    pub(super) fn start(
        identity: NodeIdentity,
        bootstrap: Bootstrap,
        store: RecordStore,
        cores: Cores,
        listener: TcpListener,
        stop: Arc<Notify>,
    ) -> Result<ControlNode, NodeError> {
        let NodeIdentity { clock, cluster, info, me, published } = identity;
        let Cores { hands, notices } = cores;
        let stop_cores = StopCoresOnDrop(hands.clone());
        let (events, incoming) = mpsc::channel(CONTROL_EVENTS_MAX);
        spawn_local(handshake::accept(listener, events.clone()));
        spawn_local(forward_notices(notices, events.clone()));
        spawn_local(forward_stop(stop, events.clone()));
        let mut node = ControlNode {
            clock,
            cluster,
            info,
            me,
            published,
            membership: Membership::Waiting {
                not_before: Time::default(),
                removals: Removals::default(),
                is_reading: true,
            },
            record: None,
            shards: bootstrap.shards,
            cores: CoreGroup::new(hands),
            links: PeerLinks::new(events.clone()),
            peer_clocks: PeerClocks::default(),
            store,
            reporter: Reporter::default(),
            transfer: StateTransfer::default(),
            events,
            incoming,
            stopping: None,
            _stop_cores: stop_cores,
        };
        node.begin(Removals::default(), bootstrap.create, bootstrap.reading)?;
        Ok(node)
    }

    /// Runs until the node has left its cluster, or cannot go on.
    pub(super) async fn run(mut self) -> Result<(), NodeError> {
        while !self.may_end() {
            let now = self.clock.now();
            let event = match self.next_due(now) {
                None => self.incoming.recv().await,
                Some(due) => {
                    let wait = Duration::from_micros(due.0.saturating_sub(now.0)).min(WAIT_MAX);
                    timeout_at(Instant::now() + wait, self.incoming.recv()).await.unwrap_or(None)
                }
            };
            if let Some(event) = event {
                self.on_event(event)?;
            }
            self.on_time()?;
        }
        // The last messages let the others continue at once.
        self.links.closed().await;
        Ok(())
    }

    fn next_due(&mut self, now: Time) -> Option<Time> {
        let membership = match &self.membership {
            Membership::Begun(member) => member.next_due(),
            Membership::Waiting { not_before, is_reading: false, .. } => Some(*not_before),
            Membership::Waiting { is_reading: true, .. } => None,
        };
        let retry = self.cores.retry().then(|| now.plus_ms(COMMAND_RETRY_MS));
        [membership, retry, self.stopping].into_iter().flatten().min()
    }

    fn on_time(&mut self) -> Result<(), NodeError> {
        let now = self.clock.now();
        match &mut self.membership {
            Membership::Begun(member) if member.next_due().is_some_and(|due| now >= due) => {
                self.tell(Member::on_time)
            }
            Membership::Waiting { not_before, is_reading, .. }
                if !*is_reading && now >= *not_before =>
            {
                *is_reading = true;
                self.store.read(self.me, &self.events);
                Ok(())
            }
            Membership::Begun(_) | Membership::Waiting { .. } => Ok(()),
        }
    }

    fn on_event(&mut self, event: ControlEvent) -> Result<(), NodeError> {
        match event {
            ControlEvent::CoreNotice { core, incarnation, notice } if incarnation == self.me => {
                self.on_core_notice(core, notice)
            }
            ControlEvent::Read { incarnation, reading } if incarnation == self.me => {
                match self.membership {
                    Membership::Begun(_) => {
                        self.tell(|member, now, out| member.on_read(now, reading, out))
                    }
                    Membership::Waiting { removals, .. } => self.begin(removals, None, reading),
                }
            }
            ControlEvent::Stored { incarnation, change, outcome } if incarnation == self.me => {
                self.tell(|member, now, out| member.on_cas(now, change, outcome, out))
            }
            ControlEvent::Probed { incarnation, done } if incarnation == self.me => {
                self.tell(|member, now, out| member.on_probed(now, done, out))
            }
            ControlEvent::PeerMessage { link, message, day } if link.incarnation == self.me => {
                self.compare_clocks(link.peer, day);
                self.tell(|member, now, out| member.on_message(now, link.peer, message, out))
            }
            ControlEvent::LinkOpened { link, at } if link.incarnation == self.me => {
                if self.links.on_open(&link) {
                    let name = self.name(link.peer);
                    tracing::info!(node = %link.peer, %at, "connected to {name} again");
                }
                Ok(())
            }
            ControlEvent::LinkClosed { link, at, error } if link.incarnation == self.me => {
                self.on_link_closed(&link, at, &error)
            }
            // Of an earlier incarnation.
            ControlEvent::CoreNotice { .. }
            | ControlEvent::Read { .. }
            | ControlEvent::Stored { .. }
            | ControlEvent::Probed { .. }
            | ControlEvent::PeerMessage { .. }
            | ControlEvent::LinkOpened { .. }
            | ControlEvent::LinkClosed { .. } => Ok(()),
            ControlEvent::Hello { hello, from, admission } => {
                // The task that asked may have timed out.
                _ = admission.send(self.admit(&hello, from));
                Ok(())
            }
            ControlEvent::OperatorRequest { request, reply } => {
                self.on_operator_request(request, reply)
            }
            ControlEvent::Stop => self.on_stop(),
        }
    }

    /// Handles that the node is to stop: it leaves the cluster first.
    fn on_stop(&mut self) -> Result<(), NodeError> {
        if self.stopping.is_some() {
            return Ok(());
        }
        self.stopping = Some(self.clock.now().plus_ms(LEAVE_MS_MAX));
        if self.is_last_member() {
            let record = self.record.as_ref();
            let then = match record.map(|record| record.settings.on_total_loss) {
                Some(OnTotalLoss::Empty) => "the next node that starts takes over with no objects",
                Some(OnTotalLoss::Halt) | None => "the cluster stays down",
            };
            tracing::warn!(
                "this node is the last member: the objects of the cluster are lost, and {then}"
            );
        } else if self.is_member() {
            tracing::info!("leaving the cluster");
            return self.tell(Member::on_leave);
        }
        Ok(())
    }

    fn may_end(&self) -> bool {
        let Some(until) = self.stopping else { return false };
        let is_ending = matches!(&self.membership, Membership::Begun(member) if member.is_ending());
        if self.is_last_member() || !self.is_member() && !is_ending {
            return true;
        }
        let is_over = self.clock.now() >= until;
        if is_over {
            tracing::warn!(
                "stopping although the other members have not removed this node in time: they will \
                 suspect it and remove it",
            );
        }
        is_over
    }

    fn is_member(&self) -> bool {
        matches!(&self.membership, Membership::Begun(member) if member.is_member())
    }

    fn is_last_member(&self) -> bool {
        let record = self.record.as_ref();
        self.is_member() && record.is_some_and(|record| record.nodes.len() == 1)
    }

    /// Begins an incarnation with what the register had.
    fn begin(
        &mut self,
        removals: Removals,
        create: Option<Settings>,
        reading: ReadOutcome,
    ) -> Result<(), NodeError> {
        let start = MemberConfig {
            me: self.me,
            info: self.info.clone(),
            cluster: self.cluster.clone(),
            founding: create,
            change_seed: random_u128(),
            base: Seq::begun_at(unix_time()),
            removals,
        };
        let member = Member::new(start).map_err(NodeError::Settings)?;
        self.membership = Membership::Begun(Box::new(member));
        tracing::info!(node = %self.me, cluster = self.cluster, "joining the cluster");
        self.tell(|member, now, out| member.on_start(now, reading, out))
    }

    /// Begins the next incarnation now if the node waits for it; returns whether it does.
    fn begin_now(&mut self) -> bool {
        let now = self.clock.now();
        match &mut self.membership {
            Membership::Waiting { not_before, .. } => {
                *not_before = now.min(*not_before);
                true
            }
            Membership::Begun(_) => false,
        }
    }

    /// Ends this incarnation. From now on the node is another one, unknown to the others and empty.
    fn end_incarnation(&mut self, not_before: Time, removals: Removals) {
        let wait =
            Duration::from_millis(not_before.0.saturating_sub(self.clock.now().0).div_ceil(1_000));
        let last = std::mem::replace(&mut self.me, NodeId(random_u128()));
        let removed = self.record.as_ref().filter(|record| record.is_retired(last));
        self.links.close();
        self.membership = Membership::Waiting { not_before, removals, is_reading: false };
        self.transfer = StateTransfer::default();
        *self.published.lock() = self.me;
        if self.stopping.is_some() {
            tracing::info!("this node has left the cluster");
            return;
        }
        self.cores.begin(self.me);
        match removed {
            Some(record) => tracing::warn!(
                epoch = record.epoch,
                next_node = %self.me,
                "this node was removed from the cluster: {}. It dropped its objects and rejoins in \
                 {wait:?}",
                removal_reason(record, last),
            ),
            None => tracing::info!(
                next_node = %self.me,
                "the state transfer to this node broke off: it starts over in {wait:?}",
            ),
        }
    }

    /// Tells the member about an event, and carries out its actions.
    fn tell(
        &mut self,
        event: impl FnOnce(&mut Member, Time, &mut Vec<Action>),
    ) -> Result<(), NodeError> {
        let Membership::Begun(member) = &mut self.membership else { return Ok(()) };
        let mut actions = Vec::new();
        let now = self.clock.now();
        event(member, now, &mut actions);
        if let Some(record) = member.record() {
            if record.settings.shards != self.shards {
                return Err(NodeError::WrongShards {
                    cluster: self.cluster.clone(),
                    got: record.settings.shards,
                    expected: self.shards,
                });
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
            reporter.log(|node| self.name(node), self.record.as_deref(), report);
            self.reporter = reporter;
            return;
        }
        // Actions after the one that ended the incarnation have no effect.
        let Membership::Begun(member) = &self.membership else { return };
        match action {
            Action::Send { to, message } => {
                let route = self.route_to(member, to);
                let times = (now, self.clock.shards_time(now));
                self.links.send(times, (self.me, to), &message, route);
            }
            Action::View(view) => {
                let transfer = StateTransfer { learner: view.learner, source: view.source };
                self.cores.view(view);
                self.on_transfer(transfer);
            }
            Action::ReadRegister => self.store.read(self.me, &self.events),
            Action::ProbeRegister => self.store.probe(self.me, &self.events),
            Action::Create(record) => self.store.store(self.me, None, record, &self.events),
            Action::Cas { token, record } => {
                self.store.store(self.me, Some(token), record, &self.events);
            }
            Action::Rejoin { not_before, removals } => self.end_incarnation(not_before, removals),
            Action::Report(_) => unreachable!("reports are logged above"),
        }
    }

    /// Says so in the log if the clock of another member differs from this node's for some time.
    fn compare_clocks(&mut self, from: NodeId, theirs: Time) {
        let Some(record) = self.record.clone().filter(|record| record.is_member(from)) else {
            return;
        };
        self.peer_clocks.retain(|node| record.is_member(node));
        let now = self.clock.now();
        let ours = self.clock.shards_time(now);
        let name = self.name(from);
        match self.peer_clocks.on_message(now, from, theirs, ours) {
            Some(ClockChange::Off(ahead_us)) => {
                let direction = if ahead_us > 0 { "ahead of" } else { "behind" };
                let apart = Duration::from_micros(ahead_us.unsigned_abs());
                tracing::warn!(
                    node = %from,
                    "the clock of {name} is {:.1} s {direction} this node's: synchronize the clocks of \
                     both machines (NTP), then restart the node whose clock was wrong, because a node \
                     takes the time of day when it starts",
                    apart.as_secs_f64(),
                );
            }
            Some(ClockChange::Agrees) => {
                tracing::info!(node = %from, "the clock of {name} agrees with this node's again");
            }
            None => {}
        }
    }

    fn on_transfer(&mut self, transfer: StateTransfer) {
        let before = std::mem::replace(&mut self.transfer, transfer);
        if let Some(node) = transfer.learner.filter(|node| before.learner != Some(*node)) {
            tracing::info!(%node, "transferring the state to {}, which joins", self.name(node));
        }
        if let Some(node) = transfer.source.filter(|node| before.source != Some(*node)) {
            tracing::info!(%node, "copying the state of {}", self.name(node));
        }
    }

    /// Returns the display name of a node, or its id.
    fn name(&self, node: NodeId) -> String {
        let (learner, proposed) = match &self.membership {
            Membership::Begun(member) => (member.info(node), member.proposal()),
            Membership::Waiting { .. } => (None, None),
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

/// The longest wait for an event. It keeps the sum of times in range.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Returns why a node was removed, if the record still has the reason.
fn removal_reason(record: &Record, node: NodeId) -> &str {
    let change = &record.change;
    let has_reason = change.subject == Some(node) && !change.reason.is_empty();
    if has_reason { &change.reason } else { "some epochs ago" }
}

async fn forward_notices(
    mut notices: mpsc::Receiver<(u16, NodeId, Notice)>,
    events: mpsc::Sender<ControlEvent>,
) {
    while let Some((core, incarnation, notice)) = notices.recv().await {
        _ = events.send(ControlEvent::CoreNotice { core, incarnation, notice }).await;
    }
}

async fn forward_stop(stop: Arc<Notify>, events: mpsc::Sender<ControlEvent>) {
    loop {
        stop.notified().await;
        _ = events.send(ControlEvent::Stop).await;
    }
}
