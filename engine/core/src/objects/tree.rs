//! How much memory the trees of objects take.

/// Entries of a node of a B-tree.
const NODE_ENTRIES: usize = 11;

/// Entries that a node has if keys are inserted in their order: each full one is split in the
/// middle.
const NODE_ENTRIES_FILLED: usize = 6;

/// Returns the heap that a `BTreeMap<K, V>` with this many entries takes, in bytes, near enough. It
/// depends on nothing else, so that all replicas count the same.
pub(super) fn tree_bytes<K, V>(entries: usize) -> u64 {
    let node_bytes = (NODE_ENTRIES * (size_of::<K>() + size_of::<V>()) + 16).next_multiple_of(64);
    let nodes = match entries {
        0 => 0,
        1..=NODE_ENTRIES => 1,
        _ => entries.div_ceil(NODE_ENTRIES_FILLED),
    };
    (nodes * node_bytes) as u64
}
