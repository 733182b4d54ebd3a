//! The effects of the steps.

use super::cluster::Cluster;
use super::state::{
    ClusterState, Epoch, Grant, Membership, Node, Pairs, Pending, Replica, UpdateLog, Violation,
};

impl Cluster {
    pub(crate) fn on_forward(&self, state: &mut ClusterState, to: Node) {
        let Replica { epoch, log, .. } = *state.replica(to);
        let predecessor = state.chain(epoch).predecessor(to).expect("only those with one");
        let forwarded = self.forwarded(state, epoch, predecessor);
        if !log.nests(&forwarded) {
            state.violation = Some(Violation::Fork);
        } else if let Some(write) = forwarded.writes().get(usize::from(log.len)) {
            state.replica_mut(to).log.push(*write);
        }
    }

    pub(crate) fn on_ack(&self, state: &mut ClusterState, to: Node, from: Node) {
        let Replica { epoch, log, committed, .. } = *state.replica(to);
        let ack = self.acknowledged(state, epoch, from).min(log.len);
        if ack > committed {
            state.replica_mut(to).committed = ack;
            if state.chain(epoch).head() == to {
                on_reply(state, log.first(ack));
            }
        }
    }

    pub(crate) fn on_record(&self, state: &mut ClusterState, node: Node, epoch: Epoch) {
        let before = state.replica(node).clone();
        if before.is_member() {
            let at = usize::from(before.epoch) - 1;
            state.forwarded[at][node.at()] = before.log;
            state.acknowledged[at][node.at()] = self.acknowledged(state, before.epoch, node);
        }
        let is_member = state.chain(epoch).has(node);
        let held = state.held_grants();
        let replica = state.replica_mut(node);
        replica.epoch = epoch;
        replica.pending = Pending::Nothing;
        replica.learner_acked = 0;
        replica.active = false;
        replica.acked = 0;
        (replica.quiescing, replica.quiesced) = (false, false);
        if is_member {
            replica.membership = Membership::Member;
            if !before.is_member() {
                replica.implied = held;
            }
        } else {
            replica.membership = Membership::Removed;
            replica.implied = Pairs::default();
            replica.committed = 0;
            replica.log = UpdateLog::default();
        }
    }

    pub(crate) fn on_bump(&self, state: &mut ClusterState, node: Node) -> Option<()> {
        if !self.rules.bump {
            state.replica_mut(node).membership = Membership::Member;
            return Some(());
        }
        // It reads the register first. If it is not in the record, it learns of that in another
        // step.
        let base = state.newest();
        let chain = state.chain(base).clone();
        if !chain.has(node) {
            return None;
        }
        state.propose(base, chain);
        state.replica_mut(node).pending = Pending::Bump;
        Some(())
    }

    /// A tail commits what it acknowledges. As the only member it also replies to the client.
    pub(crate) fn commit_at_tails(&self, state: &mut ClusterState) {
        for node in state.nodes() {
            let replica = state.replica(node);
            if !replica.is_member() || state.chain(replica.epoch).tail() != node {
                continue;
            }
            let is_sole = state.chain(replica.epoch).head() == node;
            let (acked, log) = (self.tail_ack(replica).max(replica.acked), replica.log);
            let is_news = acked > replica.committed;
            let replica = state.replica_mut(node);
            replica.acked = acked;
            replica.committed = replica.committed.max(acked);
            if is_news && is_sole {
                on_reply(state, log.first(acked));
            }
        }
    }

    /// Forgets what no step can distinguish: fewer states, the same behaviour.
    pub(crate) fn forget(&self, state: &mut ClusterState) {
        let newest = state.newest();
        state.in_flight.retain(|proposal| proposal.base == newest);
        for granter in state.nodes() {
            for holder in state.nodes() {
                let grant = state.grant(granter, holder);
                let replica = state.replica(holder);
                let of_use =
                    replica.is_member() && (replica.epoch == grant.epoch || !self.rules.own_epoch);
                if (grant.held || grant.remembered) && !of_use {
                    state.set_grant(granter, holder, Grant::default());
                }
            }
        }
        for epoch in 1..=newest {
            let is_lived_in = |replica: &Replica| replica.is_member() && replica.epoch == epoch;
            if !state.replicas.iter().any(is_lived_in) {
                state.forwarded[usize::from(epoch) - 1] = Default::default();
                state.acknowledged[usize::from(epoch) - 1] = Default::default();
            }
        }
        for replica in &mut state.replicas {
            if replica.membership != Membership::Spare {
                replica.synced_in = 0;
            }
            if replica.membership == Membership::Removed {
                replica.epoch = newest;
                replica.learner_acked = 0;
            }
        }
    }
}

/// Clients get replies to the first updates.
pub(crate) fn on_reply(state: &mut ClusterState, log: UpdateLog) {
    if state.shown.is_prefix_of(&log) {
        state.shown = log;
    } else if !log.is_prefix_of(&state.shown) {
        state.violation = Some(Violation::LostAck);
    }
}

/// A client reads everything that a member has applied.
pub(crate) fn on_read(state: &mut ClusterState, at: Node) {
    let log = state.replica(at).log;
    if state.shown.is_prefix_of(&log) {
        state.shown = log;
    } else if log.is_prefix_of(&state.shown) {
        state.violation = Some(Violation::StaleRead);
    } else {
        state.violation = Some(Violation::LostAck);
    }
}

pub(crate) fn on_sync(state: &mut ClusterState, spare: Node, tail: Node) {
    let Replica { log, epoch, .. } = *state.replica(tail);
    let learner = state.replica_mut(spare);
    learner.log = log;
    learner.synced_in = epoch;
    learner.committed = 0;
    let replica = state.replica_mut(tail);
    if replica.pending == Pending::Append(spare) {
        replica.learner_acked = log.len;
    }
}

/// A restart keeps the log and forgets everything else, the leases that it held included.
pub(crate) fn on_restart(state: &mut ClusterState, node: Node) {
    let held = state.held_grants();
    state.restarts += 1;
    for other in state.nodes() {
        state.grants[node.at()][other.at()].remembered = false;
        state.grants[other.at()][node.at()].held = false;
    }
    let replica = state.replica_mut(node);
    replica.membership = Membership::Restarted;
    replica.active = false;
    replica.pending = Pending::Nothing;
    replica.learner_acked = 0;
    replica.implied = held;
    replica.committed = 0;
}
