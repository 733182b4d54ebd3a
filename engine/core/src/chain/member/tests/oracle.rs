//! What must hold at every moment, seen from outside, with the true time.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::cluster::{Node, World};
use crate::chain::member::View;
use crate::chain::record::NodeId;

/// What is wrong, if anything.
pub(super) fn check(world: &World) -> Result<(), String> {
    if let Some(what) = &world.wrong {
        return Err(what.clone());
    }
    let running = || world.nodes.iter().filter_map(|node| Some((node, node.cores.as_ref()?)));
    for (node, view) in running() {
        if view.epoch < node.epoch_before {
            return Err(format!(
                "{} went from epoch {} to {}",
                node.name, node.epoch_before, view.epoch
            ));
        }
        if !view.may_read(node.clock(world.now_us)) {
            continue;
        }
        let acts_without_it = |other: &View| {
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
        epochs.into_iter().filter(|epoch| is_complete(world, *epoch)).collect();
    if complete.len() > 1 {
        return Err(format!("epochs {complete:?} can commit at the same time"));
    }
    Ok(())
}

/// Whether the members of an epoch can commit in it.
fn is_complete(world: &World, epoch: u32) -> bool {
    let view_of = |id: NodeId| world.node_of(id).and_then(|node| node.cores.as_ref());
    let mut views = world.nodes.iter().filter_map(|node| node.cores.as_ref());
    let Some(view) = views.find(|view| view.epoch == epoch && view.member) else {
        return false;
    };
    view.record.members().all(|id| {
        view_of(id).is_some_and(|view| {
            // A learner that has become a member, or was one, acknowledges nothing as a learner.
            let learns =
                |id| view_of(id).is_some_and(|learner| !learner.member && learner.epoch == epoch);
            view.epoch == epoch && view.may_ack() && view.gate.is_none_or(learns)
        })
    })
}

/// Whether everything is well: one epoch, which all of its members are in, act in and read in.
pub(super) fn is_well(world: &World) -> bool {
    let Some(record) = world.register.record() else {
        return false;
    };
    let is_well = |node: &Node| {
        let in_epoch = |view: &View| {
            view.epoch == record.epoch && view.may_ack() && view.may_read(node.clock(world.now_us))
        };
        node.cores.as_ref().is_some_and(in_epoch)
    };
    record.members().all(|id| world.node_of(id).is_some_and(is_well))
}
