//! The invariants that hold at every moment, checked from outside with the true time.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::cluster::{TestCluster, TestNode};
use crate::chain::member::MembershipView;
use crate::chain::record::NodeId;

/// Returns an error if an invariant is violated.
pub(super) fn check(cluster: &TestCluster) -> Result<(), String> {
    if let Some(what) = &cluster.violation {
        return Err(what.clone());
    }
    let running = || cluster.nodes.iter().filter_map(|node| Some((node, node.cores.as_ref()?)));
    for (node, view) in running() {
        if view.epoch < node.epoch_before {
            return Err(format!(
                "{} went from epoch {} to {}",
                node.name, node.epoch_before, view.epoch
            ));
        }
        if !view.may_read(node.clock(cluster.now_us)) {
            continue;
        }
        let acts_without_it = |other: &MembershipView| {
            other.epoch > view.epoch && other.may_ack() && !other.record.is_member(node.id)
        };
        if let Some((other, later)) = running().find(|(_, other)| acts_without_it(other)) {
            return Err(format!(
                "{} reads in epoch {} while {} acts in epoch {} without it",
                node.name, view.epoch, other.name, later.epoch
            ));
        }
    }
    let epochs: BTreeSet<u32> = running().map(|(_, view)| view.epoch).collect();
    let complete: Vec<u32> =
        epochs.into_iter().filter(|epoch| is_complete(cluster, *epoch)).collect();
    if complete.len() > 1 {
        return Err(format!("epochs {complete:?} can commit at the same time"));
    }
    Ok(())
}

/// Returns whether the members of an epoch can commit in it.
fn is_complete(cluster: &TestCluster, epoch: u32) -> bool {
    let view_of = |id: NodeId| cluster.node_of(id).and_then(|node| node.cores.as_ref());
    let mut views = cluster.nodes.iter().filter_map(|node| node.cores.as_ref());
    let Some(view) = views.find(|view| view.epoch == epoch && view.member) else {
        return false;
    };
    view.record.members().all(|id| {
        view_of(id).is_some_and(|view| {
            // A node that is or was a member acknowledges nothing as a learner.
            let learns =
                |id| view_of(id).is_some_and(|learner| !learner.member && learner.epoch == epoch);
            view.epoch == epoch && view.may_ack() && view.gate.is_none_or(learns)
        })
    })
}

/// Returns whether all members of the newest epoch are in it, act in it and read in it.
pub(super) fn is_healthy(cluster: &TestCluster) -> bool {
    let Some(record) = cluster.register.record() else {
        return false;
    };
    let is_healthy = |node: &TestNode| {
        let in_epoch = |view: &MembershipView| {
            view.epoch == record.epoch
                && view.may_ack()
                && view.may_read(node.clock(cluster.now_us))
        };
        node.cores.as_ref().is_some_and(in_epoch)
    };
    record.members().all(|id| cluster.node_of(id).is_some_and(is_healthy))
}
