//! The steps that are possible in a state, and the properties that must hold.

use stateright::{Model, Property};

use super::effects::{on_read, on_restart, on_sync};
use super::rules::Rules;
use super::state::{
    Chain, ClusterState, EPOCHS_MAX, Epoch, Grant, Membership, NODES_MAX, Node, Pairs, Pending,
    Replica, UpdateLog, Violation, WRITES_MAX,
};

/// A small cluster, its limits, and its rules.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// The number of members in the first epoch.
    pub(crate) founders: u8,
    /// The number of nodes that may join.
    pub(crate) spares: u8,
    /// The number of different updates, which clients retry without end.
    pub(crate) writes: u8,
    /// The largest number of records.
    pub(crate) epochs: Epoch,
    /// How often a member may forget everything but its log.
    pub(crate) restarts: u8,
    /// How often the chain may be reordered.
    pub(crate) orders: u8,
    pub(crate) rules: Rules,
}

/// The largest number of proposals under way.
const IN_FLIGHT_MAX: usize = 2;

/// A step of the model.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ClusterStep {
    /// A client's request arrives at a head.
    Request {
        head: Node,
        write: u8,
    },
    /// The predecessor's next update arrives.
    Forward {
        to: Node,
    },
    /// The successor's acknowledgement arrives.
    Ack {
        to: Node,
    },
    /// The tail's acknowledgement arrives at the head directly.
    AckFromTail {
        to: Node,
    },
    Grant {
        from: Node,
        to: Node,
    },
    /// A grant expires, at its holder and its granter.
    Expire {
        from: Node,
        to: Node,
    },
    /// A node learns of a record, however old.
    Learn {
        node: Node,
        epoch: Epoch,
    },
    /// A member becomes active.
    Activate {
        node: Node,
    },
    /// A new member learns that another one is active, so that the grants it does not know of are
    /// over.
    Trust {
        node: Node,
        active: Node,
    },
    /// A member proposes to remove another one, for any reason.
    Remove {
        by: Node,
        node: Node,
    },
    /// A spare node receives everything that a tail has.
    Sync {
        spare: Node,
        tail: Node,
    },
    /// A tail proposes to append it.
    Append {
        spare: Node,
        tail: Node,
    },
    /// A member stops accepting updates in this epoch.
    Quiesce {
        node: Node,
    },
    /// It reports that every member has those that it accepted.
    Quiesced {
        node: Node,
    },
    /// A member proposes another order.
    Reorder {
        by: Node,
    },
    /// A proposal arrives at the register.
    Land {
        proposal: usize,
    },
    Read {
        at: Node,
    },
    /// A member forgets everything but its log.
    Restart {
        node: Node,
    },
    /// It proposes the next epoch.
    Bump {
        node: Node,
    },
    /// A member takes its proposal for refused, although it may still arrive.
    GiveUp {
        node: Node,
    },
}

impl Model for Cluster {
    type State = ClusterState;
    type Action = ClusterStep;

    fn init_states(&self) -> Vec<ClusterState> {
        assert!(usize::from(self.founders + self.spares) <= NODES_MAX);
        assert!(usize::from(self.writes) <= WRITES_MAX && usize::from(self.epochs) <= EPOCHS_MAX);
        let replica = |is_founder| Replica {
            membership: if is_founder { Membership::Member } else { Membership::Spare },
            epoch: u8::from(is_founder),
            active: is_founder,
            log: UpdateLog::default(),
            committed: 0,
            acked: 0,
            pending: Pending::Nothing,
            quiescing: false,
            quiesced: false,
            learner_acked: 0,
            synced_in: 0,
            implied: Pairs::default(),
        };
        vec![ClusterState {
            replicas: (0..self.founders + self.spares)
                .map(|at| replica(at < self.founders))
                .collect(),
            grants: Default::default(),
            register: vec![Chain((0..self.founders).map(Node).collect())],
            in_flight: Vec::new(),
            forwarded: Default::default(),
            acknowledged: Default::default(),
            shown: UpdateLog::default(),
            restarts: 0,
            orders: 0,
            violation: None,
        }]
    }

    fn actions(&self, state: &ClusterState, steps: &mut Vec<ClusterStep>) {
        if state.violation.is_some() {
            return;
        }
        for node in state.nodes() {
            self.learning(state, node, steps);
            let replica = state.replica(node);
            match replica.membership {
                Membership::Spare | Membership::Removed => {}
                Membership::Restarted => {
                    if replica.pending == Pending::Nothing && self.may_propose(state) {
                        steps.push(ClusterStep::Bump { node });
                    }
                }
                Membership::Member => {
                    self.serving(state, node, steps);
                    self.leasing(state, node, steps);
                    self.changing(state, node, steps);
                    if state.restarts < self.restarts {
                        steps.push(ClusterStep::Restart { node });
                    }
                }
            }
        }
        for from in state.nodes() {
            for to in state.nodes() {
                let grant = state.grant(from, to);
                if grant.held || grant.remembered {
                    steps.push(ClusterStep::Expire { from, to });
                }
            }
        }
        steps.extend((0..state.in_flight.len()).map(|proposal| ClusterStep::Land { proposal }));
    }

    fn next_state(&self, before: &ClusterState, step: ClusterStep) -> Option<ClusterState> {
        let mut state = before.clone();
        match step {
            ClusterStep::Request { head, write } => state.replica_mut(head).log.push(write),
            ClusterStep::Forward { to } => self.on_forward(&mut state, to),
            ClusterStep::Ack { to } => {
                let chain = state.chain(state.replica(to).epoch);
                let from = chain.successor(to).expect("only those with a successor");
                self.on_ack(&mut state, to, from);
            }
            ClusterStep::AckFromTail { to } => {
                let from = state.chain(state.replica(to).epoch).tail();
                self.on_ack(&mut state, to, from);
            }
            ClusterStep::Grant { from, to } => {
                let epoch = state.replica(from).epoch;
                state.set_grant(from, to, Grant { epoch, held: true, remembered: true });
            }
            ClusterStep::Expire { from, to } => state.set_grant(from, to, Grant::default()),
            ClusterStep::Learn { node, epoch } => self.on_record(&mut state, node, epoch),
            ClusterStep::Trust { node, active: _ } => {
                state.replica_mut(node).implied = Pairs::default();
            }
            ClusterStep::Activate { node } => {
                let replica = state.replica_mut(node);
                replica.active = true;
                replica.implied = Pairs::default();
            }
            ClusterStep::Remove { by, node } => {
                let base = state.replica(by).epoch;
                state.propose(base, state.chain(base).without(node));
                state.replica_mut(by).pending = Pending::Removal;
            }
            ClusterStep::Append { spare, tail } => {
                let base = state.replica(tail).epoch;
                state.propose(base, state.chain(base).with(spare));
                let replica = state.replica_mut(tail);
                replica.pending = Pending::Append(spare);
                replica.learner_acked = replica.log.len;
            }
            ClusterStep::Quiesce { node } => state.replica_mut(node).quiescing = true,
            ClusterStep::Quiesced { node } => state.replica_mut(node).quiesced = true,
            ClusterStep::Reorder { by } => {
                let base = state.replica(by).epoch;
                state.propose(base, state.chain(base).rotated());
                state.orders += 1;
                state.replica_mut(by).pending = Pending::Reorder;
            }
            ClusterStep::Sync { spare, tail } => on_sync(&mut state, spare, tail),
            ClusterStep::Land { proposal } => {
                let proposal = state.in_flight.remove(proposal);
                if proposal.base == state.newest() {
                    state.register.push(proposal.chain);
                }
            }
            ClusterStep::Read { at } => on_read(&mut state, at),
            ClusterStep::Restart { node } => on_restart(&mut state, node),
            ClusterStep::Bump { node } => self.on_bump(&mut state, node)?,
            ClusterStep::GiveUp { node } => state.replica_mut(node).pending = Pending::Nothing,
        }
        self.commit_at_tails(&mut state);
        if state.replicas.iter().any(|replica| !replica.log.is_once_each()) {
            state.violation = Some(Violation::Twice);
        }
        self.forget(&mut state);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Cluster>> {
        vec![
            Property::always("no read is stale", |_, state: &ClusterState| {
                state.violation != Some(Violation::StaleRead)
            }),
            Property::always("no acknowledged update is lost", |_, state: &ClusterState| {
                state.violation != Some(Violation::LostAck)
            }),
            Property::always("logs nest along the chain", |_, state: &ClusterState| {
                state.violation != Some(Violation::Fork)
            }),
            Property::always("no update is executed twice", |_, state: &ClusterState| {
                state.violation != Some(Violation::Twice)
            }),
            Property::always(
                "every member holds all that clients saw",
                |_, state: &ClusterState| {
                    let members = &state.chain(state.newest()).0;
                    members.iter().all(|node| state.shown.is_prefix_of(&state.replica(*node).log))
                },
            ),
            Property::sometimes(LATER_COMMIT, |cluster: &Cluster, state: &ClusterState| {
                let len = cluster.writes.min(2);
                let has_it = |replica: &Replica| {
                    let (in_time, active) = (replica.epoch >= 3, replica.active);
                    replica.is_member() && in_time && active && replica.committed >= len
                };
                state.shown.len >= len && state.replicas.iter().any(has_it)
            }),
            Property::sometimes(SPARE_SERVES, |cluster: &Cluster, state: &ClusterState| {
                let first_spare = state.replicas.get(usize::from(cluster.founders));
                first_spare
                    .is_none_or(|spare| spare.is_member() && spare.active && spare.committed > 0)
            }),
            Property::sometimes(UNAWARE, |_, state: &ClusterState| {
                let chain = state.chain(state.newest());
                state.nodes().any(|node| state.replica(node).is_member() && !chain.has(node))
            }),
        ]
    }
}

/// The model is not vacuous: an update is committed two changes later,
pub(crate) const LATER_COMMIT: &str = "there is a commit in epoch 3";
/// a node that joined commits, if any can join,
pub(crate) const SPARE_SERVES: &str = "a spare becomes a member and commits";
/// and a removed node may be unaware of it.
pub(crate) const UNAWARE: &str = "a removed node does not know it yet";

// The possible steps.
impl Cluster {
    fn learning(&self, state: &ClusterState, node: Node, steps: &mut Vec<ClusterStep>) {
        let replica = state.replica(node);
        for epoch in replica.epoch + 1..=state.newest() {
            let hears = match replica.membership {
                Membership::Removed => false,
                Membership::Spare => state.chain(epoch).has(node),
                Membership::Member | Membership::Restarted => true,
            };
            if hears {
                steps.push(ClusterStep::Learn { node, epoch });
            }
        }
    }

    fn serving(&self, state: &ClusterState, node: Node, steps: &mut Vec<ClusterStep>) {
        let replica = state.replica(node);
        let chain = state.chain(replica.epoch);
        let is_news = |ack: u8| ack.min(replica.log.len) > replica.committed;
        if chain.head() == node && !replica.log.is_full() && !replica.quiescing {
            let writes = (1..=self.writes).filter(|write| !replica.log.has(*write));
            steps.extend(writes.map(|write| ClusterStep::Request { head: node, write }));
        }
        if let Some(predecessor) = chain.predecessor(node) {
            let forwarded = self.forwarded(state, replica.epoch, predecessor);
            if replica.log.len < forwarded.len || !replica.log.nests(&forwarded) {
                steps.push(ClusterStep::Forward { to: node });
            }
        }
        let acked_by = |node| self.acknowledged(state, replica.epoch, node);
        if chain.successor(node).is_some_and(|successor| is_news(acked_by(successor))) {
            steps.push(ClusterStep::Ack { to: node });
        }
        if chain.head() == node && chain.0.len() > 2 && is_news(acked_by(chain.tail())) {
            steps.push(ClusterStep::AckFromTail { to: node });
        }
        let drained = replica.active || !self.rules.all_drain && chain.tail() != node;
        let stopped = self.rules.stop_read && matches!(replica.pending, Pending::Append(_));
        let dirty = self.rules.clean_wait && replica.log.len > replica.committed;
        let is_news = replica.log != state.shown;
        if drained && !stopped && !dirty && self.has_lease(state, node) && is_news {
            steps.push(ClusterStep::Read { at: node });
        }
    }

    fn leasing(&self, state: &ClusterState, node: Node, steps: &mut Vec<ClusterStep>) {
        let replica = state.replica(node);
        let may_grant = !matches!(replica.pending, Pending::Append(_)) || !self.rules.stop_grant;
        for holder in state.chain(replica.epoch).without(node).0 {
            let asks = state.replica(holder);
            let same_epoch = asks.epoch == replica.epoch || !self.rules.own_epoch;
            let may_ask = asks.membership == Membership::Member && same_epoch;
            let grant = state.grant(node, holder);
            let has_it = grant.held && grant.remembered && grant.epoch == replica.epoch;
            let is_waited_for =
                || state.replicas.iter().any(|replica| replica.implied.has(node, holder));
            if may_grant && may_ask && (!has_it || is_waited_for()) {
                steps.push(ClusterStep::Grant { from: node, to: holder });
            }
        }
        for active in state.chain(replica.epoch).without(node).0 {
            let other = state.replica(active);
            let is_proof = other.epoch == replica.epoch || !self.rules.proof_epoch;
            if !replica.implied.is_empty() && other.active && is_proof {
                steps.push(ClusterStep::Trust { node, active });
            }
        }
        if !replica.active && (!self.rules.drain || self.is_drained(state, node)) {
            steps.push(ClusterStep::Activate { node });
        }
    }

    fn changing(&self, state: &ClusterState, node: Node, steps: &mut Vec<ClusterStep>) {
        let replica = state.replica(node);
        let chain = state.chain(replica.epoch);
        if replica.pending != Pending::Nothing && !self.rules.resolve {
            steps.push(ClusterStep::GiveUp { node });
        }
        let may_propose = replica.pending == Pending::Nothing
            && replica.epoch == state.newest()
            && self.may_propose(state);
        if may_propose {
            let others = chain.without(node).0;
            steps.extend(
                others.into_iter().map(|other| ClusterStep::Remove { by: node, node: other }),
            );
        }
        self.ordering(state, node, may_propose, steps);
        if chain.tail() != node {
            return;
        }
        for spare in state.nodes().filter(|spare| self.is_acceptable(state, *spare, replica.epoch))
        {
            let learner = state.replica(spare);
            let is_synced = learner.synced_in == replica.epoch && learner.log == replica.log;
            if is_synced && may_propose {
                steps.push(ClusterStep::Append { spare, tail: node });
            }
            if !is_synced && replica.epoch >= learner.synced_in {
                steps.push(ClusterStep::Sync { spare, tail: node });
            }
        }
    }

    fn ordering(
        &self,
        state: &ClusterState,
        node: Node,
        may_propose: bool,
        steps: &mut Vec<ClusterStep>,
    ) {
        let replica = state.replica(node);
        let chain = state.chain(replica.epoch);
        if state.orders == self.orders || chain.0.len() == 1 {
            return;
        }
        if self.rules.rest && !replica.quiescing && replica.pending == Pending::Nothing {
            steps.push(ClusterStep::Quiesce { node });
        }
        let is_quiesced_here = chain.head() != node || replica.committed == replica.log.len;
        if replica.quiescing && is_quiesced_here && !replica.quiesced {
            steps.push(ClusterStep::Quiesced { node });
        }
        let is_quiesced = |node: &Node| {
            let member = state.replica(*node);
            member.epoch == replica.epoch && member.quiesced
        };
        if may_propose && (!self.rules.rest || chain.0.iter().all(is_quiesced)) {
            steps.push(ClusterStep::Reorder { by: node });
        }
    }

    /// Returns whether a tail accepts a node as a learner.
    fn is_acceptable(&self, state: &ClusterState, node: Node, epoch: Epoch) -> bool {
        let was_member = || (1..=epoch).any(|epoch| state.chain(epoch).has(node));
        let may_come = match state.replica(node).membership {
            Membership::Spare => true,
            Membership::Removed | Membership::Member | Membership::Restarted => false,
        };
        may_come && node.0 >= self.founders && !(self.rules.fresh_incarnation && was_member())
    }

    /// Keeps the model finite: no node proposes more than the limits allow.
    fn may_propose(&self, state: &ClusterState) -> bool {
        state.newest() < self.epochs && state.in_flight.len() < IN_FLIGHT_MAX
    }

    /// Returns what a node has forwarded in an epoch.
    pub(crate) fn forwarded(&self, state: &ClusterState, epoch: Epoch, node: Node) -> UpdateLog {
        let replica = state.replica(node);
        if replica.epoch == epoch && replica.membership != Membership::Removed {
            replica.log
        } else {
            state.forwarded[usize::from(epoch) - 1][node.at()]
        }
    }

    /// Returns what a node has acknowledged in an epoch.
    pub(crate) fn acknowledged(&self, state: &ClusterState, epoch: Epoch, node: Node) -> u8 {
        let replica = state.replica(node);
        if replica.epoch != epoch || replica.membership == Membership::Removed {
            state.acknowledged[usize::from(epoch) - 1][node.at()]
        } else if state.chain(epoch).tail() == node {
            replica.acked
        } else if replica.active || !self.rules.all_drain {
            replica.committed
        } else {
            0
        }
    }

    /// Returns how far the tail may acknowledge.
    pub(crate) fn tail_ack(&self, replica: &Replica) -> u8 {
        if replica.membership != Membership::Member || !replica.active {
            return replica.acked;
        }
        match replica.pending {
            Pending::Append(_) if self.rules.gate => {
                replica.acked.max(replica.log.len.min(replica.learner_acked))
            }
            _ => replica.log.len,
        }
    }

    fn has_lease(&self, state: &ClusterState, node: Node) -> bool {
        let epoch = state.replica(node).epoch;
        let chain = state.chain(epoch);
        let has_granted = |granter| {
            let grant = state.grant(granter, node);
            grant.held && (grant.epoch == epoch || !self.rules.own_epoch)
        };
        if self.rules.all_peers {
            chain.without(node).0.into_iter().all(has_granted)
        } else {
            chain.predecessor(node).or(chain.successor(node)).is_none_or(has_granted)
        }
    }

    /// Returns whether all leases that a member granted in older epochs have expired, including
    /// those that it does not remember.
    fn is_drained(&self, state: &ClusterState, node: Node) -> bool {
        let replica = state.replica(node);
        let is_over = |holder| {
            let grant = state.grant(node, holder);
            let is_old = grant.remembered && grant.epoch != replica.epoch;
            !is_old || state.replica(holder).epoch >= replica.epoch
        };
        state.nodes().all(is_over) && (replica.implied.is_empty() || !self.rules.implied)
    }
}
