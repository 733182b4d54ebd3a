//! What the cores have reported, and what all of them together have reported.
//!
//! 1. A learner counts as nearly synced when every core has reported so since it last counted.
//! 2. A learner counts as synced only if every core has reported so under the present gate: a report
//!    under an earlier gate, even for the same learner, says nothing about updates that were
//!    acknowledged in between.

use std::collections::{BTreeMap, BTreeSet};

use catena_core::chain::member::MembershipView;
use catena_core::chain::record::NodeId;

/// The reports of the cores in one incarnation of the node.
#[derive(Debug)]
pub(super) struct CoreReports {
    /// The view that each core acts by.
    ready: Vec<u64>,
    /// The gate of the last view, and the first view that had it.
    gate: Option<NodeId>,
    gate_since: u64,
    near: Unanimous<(u32, NodeId)>,
    synced: Unanimous<(u32, NodeId, u64)>,
    at_rest: Unanimous<u32>,
    /// For each peer, the cores that have no link to it.
    unlinked: BTreeMap<NodeId, BTreeSet<u16>>,
}

/// Collects one report from every core. When all cores have made it, it is complete and the
/// collection begins again.
#[derive(Debug)]
struct Unanimous<T> {
    report: Option<T>,
    cores: BTreeSet<u16>,
}

/// Peers without a link that are remembered.
const UNLINKED_MAX: usize = 64;

impl CoreReports {
    /// The reports of a number of cores that have not made any.
    pub(super) fn new(cores: usize) -> CoreReports {
        CoreReports {
            ready: vec![0; cores],
            gate: None,
            gate_since: 0,
            near: Unanimous::new(),
            synced: Unanimous::new(),
            at_rest: Unanimous::new(),
            unlinked: BTreeMap::new(),
        }
    }

    /// Handles that the cores get this view.
    pub(super) fn on_view(&mut self, view: &MembershipView) {
        self.on_gate(view.number, view.gate);
        let is_linked = |node| view.record.is_member(node) || view.learner == Some(node);
        self.unlinked.retain(|node, _| is_linked(*node));
    }

    fn on_gate(&mut self, view: u64, gate: Option<NodeId>) {
        if self.gate != gate {
            (self.gate, self.gate_since) = (gate, view);
        }
    }

    /// Handles that a core acts by a view; returns the newest view that all cores act by.
    pub(super) fn on_ready(&mut self, core: u16, view: u64) -> u64 {
        if let Some(ready) = self.ready.get_mut(usize::from(core)) {
            *ready = view.max(*ready);
        }
        self.ready.iter().copied().min().unwrap_or_default()
    }

    /// Handles that a core has a link to a peer or none; returns whether the link is up and no core
    /// is known to lack one.
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

    /// Returns whether all cores have reported, since the last time, that the learner is nearly
    /// synced.
    pub(super) fn on_near(&mut self, core: u16, epoch: u32, learner: NodeId) -> bool {
        self.near.add(core, (epoch, learner), self.ready.len())
    }

    /// Returns whether all cores have reported, since the last time, that they are at rest in that
    /// epoch.
    pub(super) fn on_at_rest(&mut self, core: u16, epoch: u32) -> bool {
        self.at_rest.add(core, epoch, self.ready.len())
    }

    /// Returns whether all cores have reported, under the present gate, that the learner is synced.
    pub(super) fn on_synced(&mut self, core: u16, epoch: u32, learner: NodeId, view: u64) -> bool {
        let is_gated = self.gate == Some(learner) && view >= self.gate_since;
        let report = (epoch, learner, self.gate_since);
        is_gated && self.synced.add(core, report, self.ready.len())
    }
}

impl<T: Copy + PartialEq> Unanimous<T> {
    fn new() -> Unanimous<T> {
        Unanimous { report: None, cores: BTreeSet::new() }
    }

    /// Adds the report of a core; returns whether all `cores` have made it now.
    fn add(&mut self, core: u16, report: T, cores: usize) -> bool {
        if self.report != Some(report) {
            self.report = Some(report);
            self.cores.clear();
        }
        self.cores.insert(core);
        let is_complete = self.cores.len() == cores;
        if is_complete {
            self.cores.clear();
        }
        is_complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn all_cores_are_ready_when_the_last_one_is() {
        let mut reports = CoreReports::new(3);
        let ready = [(0, 2), (1, 1), (2, 3), (1, 4), (0, 1), (0, 4), (2, 4)];
        let all = ready.map(|(core, view)| reports.on_ready(core, view));
        assert_eq!(all, [0, 0, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn near_needs_a_new_report_of_each_core_each_time() {
        let mut reports = CoreReports::new(2);
        let near = [(0, 1, A), (0, 1, A), (1, 1, A), (1, 1, A), (0, 1, A)];
        let all = near.map(|(core, epoch, learner)| reports.on_near(core, epoch, learner));
        assert_eq!(all, [false, false, true, false, true]);
        // A report about another learner or epoch is another report.
        let near = [(0, 1, A), (1, 1, B), (0, 2, B), (1, 2, B)];
        let all = near.map(|(core, epoch, learner)| reports.on_near(core, epoch, learner));
        assert_eq!(all, [false, false, false, true]);
    }

    #[test]
    fn synced_needs_reports_under_the_present_gate() {
        let mut reports = CoreReports::new(2);
        let is_early = !reports.on_synced(0, 1, A, 3) && !reports.on_synced(1, 1, A, 3);
        assert!(is_early, "there is no gate");
        reports.on_gate(4, Some(A));
        assert!(!reports.on_synced(0, 1, A, 3), "reported before the gate");
        assert!(!reports.on_synced(0, 1, B, 4), "about another learner");
        assert!(!reports.on_synced(1, 1, A, 4));
        assert!(!reports.on_synced(0, 1, A, 3));
        // Later views with the same gate change nothing.
        reports.on_gate(5, Some(A));
        assert!(reports.on_synced(0, 1, A, 5), "both cores have reported it");

        // The gate opens and closes again, for the same learner.
        assert!(!reports.on_synced(1, 1, A, 5));
        reports.on_gate(6, None);
        reports.on_gate(7, Some(A));
        assert!(!reports.on_synced(0, 1, A, 7), "core 1 reported it under the gate before");
        assert!(!reports.on_synced(1, 1, A, 5), "a late report from that gate");
        assert!(reports.on_synced(1, 1, A, 8));
    }

    #[test]
    fn a_link_is_up_when_no_core_lacks_it() {
        let mut reports = CoreReports::new(3);
        let links = [(0, A, true), (0, A, false), (1, A, false), (2, A, true), (2, B, true)];
        let up = links.map(|(core, peer, up)| reports.on_link(core, peer, up));
        assert_eq!(up, [true, false, false, false, true]);
        let links = [(0, A, true), (1, A, true)];
        let up = links.map(|(core, peer, up)| reports.on_link(core, peer, up));
        assert_eq!(up, [false, true]);
        for peer in 10..10 + 2 * UNLINKED_MAX as u128 {
            assert!(!reports.on_link(0, NodeId(peer), false));
        }
        assert_eq!(reports.unlinked.len(), UNLINKED_MAX);
    }
}
