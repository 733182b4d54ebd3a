//! What the cores have said, and what all of them together have.
//!
//! 1. Near is said anew by every core before it counts again.
//! 2. Synced counts only if every core said it under the gate that stands now: what was said under one
//!    that stood before, even for the same learner, says nothing of what was acknowledged in between.

use std::collections::{BTreeMap, BTreeSet};

use catena_core::chain::member::MembershipView;
use catena_core::chain::record::NodeId;

/// What was heard of the cores in one life of the node.
#[derive(Debug)]
pub(super) struct Voices {
    /// Up to which view each of them acts.
    ready: Vec<u64>,
    /// The gate in the last view told, and the first view that had it.
    gate: Option<NodeId>,
    gate_since: u64,
    near: Chorus<(u32, NodeId)>,
    synced: Chorus<(u32, NodeId, u64)>,
    at_rest: Chorus<u32>,
    /// Which cores have no link to whom.
    unlinked: BTreeMap<NodeId, BTreeSet<u16>>,
}

/// Which cores have said something. Said by all, it has been said, and they begin anew.
#[derive(Debug)]
struct Chorus<T> {
    what: Option<T>,
    voices: BTreeSet<u16>,
}

/// Peers without a link that are remembered.
const UNLINKED_MAX: usize = 64;

impl Voices {
    /// Nothing was heard of so many cores.
    pub(super) fn of(cores: usize) -> Voices {
        Voices {
            ready: vec![0; cores],
            gate: None,
            gate_since: 0,
            near: Chorus::silent(),
            synced: Chorus::silent(),
            at_rest: Chorus::silent(),
            unlinked: BTreeMap::new(),
        }
    }

    /// The cores are told this view.
    pub(super) fn on_view(&mut self, view: &MembershipView) {
        self.on_gate(view.number, view.gate);
        let is_near = |node| view.record.is_member(node) || view.learner == Some(node);
        self.unlinked.retain(|node, _| is_near(*node));
    }

    fn on_gate(&mut self, view: u64, gate: Option<NodeId>) {
        if self.gate != gate {
            (self.gate, self.gate_since) = (gate, view);
        }
    }

    /// A core acts according to a view; returns up to which all of them do.
    pub(super) fn on_ready(&mut self, core: u16, view: u64) -> u64 {
        if let Some(ready) = self.ready.get_mut(usize::from(core)) {
            *ready = view.max(*ready);
        }
        self.ready.iter().copied().min().unwrap_or_default()
    }

    /// A core has a link to a peer or none; returns whether no core is known to have none.
    pub(super) fn on_link(&mut self, core: u16, peer: NodeId, up: bool) -> bool {
        if up {
            if let Some(cores) = self.unlinked.get_mut(&peer) {
                cores.remove(&core);
            }
        } else if self.unlinked.len() < UNLINKED_MAX {
            self.unlinked.entry(peer).or_default().insert(core);
        }
        self.unlinked.retain(|_, cores| !cores.is_empty());
        up && !self.unlinked.contains_key(&peer)
    }

    /// Returns whether all cores have said that the learner lacks little, since the last time.
    pub(super) fn on_near(&mut self, core: u16, epoch: u32, learner: NodeId) -> bool {
        self.near.join(core, (epoch, learner), self.ready.len())
    }

    /// Returns whether all cores have said that they are at rest in that epoch, since the last time.
    pub(super) fn on_at_rest(&mut self, core: u16, epoch: u32) -> bool {
        self.at_rest.join(core, epoch, self.ready.len())
    }

    /// Returns whether all cores have said that the learner has everything, under the gate that stands.
    pub(super) fn on_synced(&mut self, core: u16, epoch: u32, learner: NodeId, view: u64) -> bool {
        let is_gated = self.gate == Some(learner) && view >= self.gate_since;
        let what = (epoch, learner, self.gate_since);
        is_gated && self.synced.join(core, what, self.ready.len())
    }
}

impl<T: Copy + PartialEq> Chorus<T> {
    fn silent() -> Chorus<T> {
        Chorus { what: None, voices: BTreeSet::new() }
    }

    /// Whether with this voice all `cores` have said it.
    fn join(&mut self, core: u16, what: T, cores: usize) -> bool {
        if self.what != Some(what) {
            self.what = Some(what);
            self.voices.clear();
        }
        self.voices.insert(core);
        let is_full = self.voices.len() == cores;
        if is_full {
            self.voices.clear();
        }
        is_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn all_are_ready_when_the_last_is() {
        let mut voices = Voices::of(3);
        let said = [(0, 2), (1, 1), (2, 3), (1, 4), (0, 1), (0, 4), (2, 4)];
        let all = said.map(|(core, view)| voices.on_ready(core, view));
        assert_eq!(all, [0, 0, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn near_is_said_by_each_core_each_time() {
        let mut voices = Voices::of(2);
        let said = [(0, 1, A), (0, 1, A), (1, 1, A), (1, 1, A), (0, 1, A)];
        let all = said.map(|(core, epoch, learner)| voices.on_near(core, epoch, learner));
        assert_eq!(all, [false, false, true, false, true]);
        // Of another learner, or in another epoch, is something else.
        let said = [(0, 1, A), (1, 1, B), (0, 2, B), (1, 2, B)];
        let all = said.map(|(core, epoch, learner)| voices.on_near(core, epoch, learner));
        assert_eq!(all, [false, false, false, true]);
    }

    #[test]
    fn synced_is_said_under_the_gate_that_stands() {
        let mut voices = Voices::of(2);
        assert!(!voices.on_synced(0, 1, A, 3) && !voices.on_synced(1, 1, A, 3), "there is no gate");
        voices.on_gate(4, Some(A));
        assert!(!voices.on_synced(0, 1, A, 3), "said before there was one");
        assert!(!voices.on_synced(0, 1, B, 4), "of somebody else");
        assert!(!voices.on_synced(1, 1, A, 4));
        assert!(!voices.on_synced(0, 1, A, 3));
        // Later views with the same gate change nothing.
        voices.on_gate(5, Some(A));
        assert!(voices.on_synced(0, 1, A, 5), "both have said it");

        // The gate opens and closes again, for the same learner.
        assert!(!voices.on_synced(1, 1, A, 5));
        voices.on_gate(6, None);
        voices.on_gate(7, Some(A));
        assert!(!voices.on_synced(0, 1, A, 7), "the other has said it of the gate before");
        assert!(!voices.on_synced(1, 1, A, 5), "and said so late");
        assert!(voices.on_synced(1, 1, A, 8));
    }

    #[test]
    fn a_link_is_up_when_no_core_lacks_it() {
        let mut voices = Voices::of(3);
        let said = [(0, A, true), (0, A, false), (1, A, false), (2, A, true), (2, B, true)];
        let up = said.map(|(core, peer, up)| voices.on_link(core, peer, up));
        assert_eq!(up, [true, false, false, false, true]);
        let up =
            [(0, A, true), (1, A, true)].map(|(core, peer, up)| voices.on_link(core, peer, up));
        assert_eq!(up, [false, true]);
        for peer in 10..10 + 2 * UNLINKED_MAX as u128 {
            assert!(!voices.on_link(0, NodeId(peer), false));
        }
        assert_eq!(voices.unlinked.len(), UNLINKED_MAX);
    }
}
