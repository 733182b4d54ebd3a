//! Links between nodes, and which of them are cut.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use rkyv::util::AlignedVec;

use crate::chain::record::NodeId;

/// Frames, which begin on multiples of 16.
pub(super) type Bytes = AlignedVec<16>;

pub(super) fn aligned(bytes: &[u8]) -> Bytes {
    let mut aligned = AlignedVec::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    aligned
}

/// A connection that keeps what it is given in order, until it breaks.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) up: bool,
    /// Somebody tries to make it.
    pub(super) trying: bool,
    /// Failed attempts in a row.
    pub(super) failures: u32,
    /// Counts its lives: what was under way in an older one is lost.
    pub(super) life: u64,
    /// For each direction, when the last bytes arrive, and what waits for the way to be free again.
    pub(super) arrival: [u64; 2],
    pub(super) stuck: [Vec<Bytes>; 2],
}

/// All that lies between nodes.
#[derive(Debug, Default)]
pub(super) struct Network {
    links: BTreeMap<(NodeId, NodeId), Link>,
    /// From which slot to which nothing passes.
    cuts: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(super) fn link(&mut self, a: NodeId, b: NodeId) -> &mut Link {
        self.links.entry((a.min(b), a.max(b))).or_default()
    }

    /// Which direction it is from `a` to `b`.
    pub(super) fn direction(a: NodeId, b: NodeId) -> usize {
        usize::from(a > b)
    }

    /// Every link that is there.
    pub(super) fn links_up(&self) -> Vec<(NodeId, NodeId)> {
        self.links.iter().filter(|(_, link)| link.up).map(|(ends, _)| *ends).collect()
    }

    /// Whom a node has links to.
    pub(super) fn peers(&self, node: NodeId) -> Vec<NodeId> {
        let other = |(a, b): (NodeId, NodeId)| match node {
            _ if node == a => Some(b),
            _ if node == b => Some(a),
            _ => None,
        };
        self.links.iter().filter(|(_, link)| link.up).filter_map(|(ends, _)| other(*ends)).collect()
    }

    /// Ends a link's life; says whether it was up.
    pub(super) fn reset(&mut self, a: NodeId, b: NodeId) -> bool {
        let link = self.link(a, b);
        link.life += 1;
        link.stuck = [Vec::new(), Vec::new()];
        link.arrival = [0; 2];
        core::mem::take(&mut link.up)
    }

    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
    }

    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }
}
