//! Links between nodes, and which of them are cut.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use rkyv::util::AlignedVec;

use crate::chain::record::NodeId;

/// Frames, aligned to 16 bytes.
pub(super) type FrameBytes = AlignedVec<16>;

pub(super) fn aligned(bytes: &[u8]) -> FrameBytes {
    let mut aligned = AlignedVec::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    aligned
}

/// A connection, which delivers in order until it breaks.
#[derive(Debug, Default)]
pub(super) struct SimLink {
    pub(super) up: bool,
    /// Whether a node is trying to connect.
    pub(super) dialing: bool,
    /// Failed attempts in a row.
    pub(super) failures: u32,
    /// Counts its connections: what was under way in an older one is lost.
    pub(super) generation: u64,
    /// For each direction, when the last bytes arrive, and the frames that a cut holds back.
    pub(super) arrival: [u64; 2],
    pub(super) blocked: [Vec<FrameBytes>; 2],
    /// For each direction, what waits to be written, and whether a write is under way: one at a
    /// time, as in a node.
    pub(super) unsent: [Vec<u8>; 2],
    pub(super) writing: [bool; 2],
}

/// All links between nodes.
#[derive(Debug, Default)]
pub(super) struct Network {
    links: BTreeMap<(NodeId, NodeId), SimLink>,
    /// The pairs of slots, from and to, between which nothing passes.
    cuts: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(super) fn link(&mut self, a: NodeId, b: NodeId) -> &mut SimLink {
        self.links.entry((a.min(b), a.max(b))).or_default()
    }

    /// Returns the direction from `a` to `b`.
    pub(super) fn direction(a: NodeId, b: NodeId) -> usize {
        usize::from(a > b)
    }

    /// Returns the ends of every link that is up.
    pub(super) fn links_up(&self) -> Vec<(NodeId, NodeId)> {
        self.links.iter().filter(|(_, link)| link.up).map(|(ends, _)| *ends).collect()
    }

    /// Returns the nodes to which a node has a link.
    pub(super) fn peers(&self, node: NodeId) -> Vec<NodeId> {
        let other = |(a, b): (NodeId, NodeId)| match node {
            _ if node == a => Some(b),
            _ if node == b => Some(a),
            _ => None,
        };
        self.links.iter().filter(|(_, link)| link.up).filter_map(|(ends, _)| other(*ends)).collect()
    }

    /// Lends out the buffers of all links of a node that are up.
    pub(super) fn take_unsent(&mut self, node: NodeId) -> BTreeMap<NodeId, Vec<u8>> {
        let mut buffers = BTreeMap::new();
        for peer in self.peers(node) {
            let unsent = &mut self.link(node, peer).unsent[Network::direction(node, peer)];
            buffers.insert(peer, core::mem::take(unsent));
        }
        buffers
    }

    /// Breaks a connection; returns whether it was up.
    pub(super) fn reset(&mut self, a: NodeId, b: NodeId) -> bool {
        let link = self.link(a, b);
        let (was_up, dialing, failures) = (link.up, link.dialing, link.failures);
        let generation = link.generation + 1;
        *link = SimLink { generation, dialing, failures, ..SimLink::default() };
        was_up
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
