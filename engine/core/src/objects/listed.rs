//! The items that a request lists, to be looked up among many.
//!
//! They are sorted by their hashes, and a table says where each part of the range of hashes begins, so
//! a lookup touches two or three cache lines. Items that were chosen for equal
//! hashes are found by binary search.

use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::Items;
use xxhash_rust::xxh3::xxh3_64;

/// The items, each once.
pub(super) struct Listed<'r> {
    items: Vec<(u64, &'r [u8])>,
    /// For each value of the first bits of a hash, how many items have a lower one; and all of them.
    starts: Vec<u32>,
    /// How many bits of a hash are behind those.
    shift: u32,
}

impl<'r> Listed<'r> {
    pub(super) fn new(items: Items<'r>) -> Listed<'r> {
        let mut items: Vec<(u64, &[u8])> = items.iter().map(|item| (xxh3_64(item), item)).collect();
        items.sort_unstable();
        items.dedup();
        let bits = (items.len() + 1).next_power_of_two().ilog2();
        let shift = u64::BITS - bits.max(1);
        let mut starts = vec![0; (1 << bits.max(1)) + 1];
        for (hash, _) in &items {
            starts[part(*hash, shift) + 1] += 1;
        }
        let mut below = 0;
        for start in &mut starts {
            below += *start;
            *start = below;
        }
        Listed { items, starts, shift }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns the number of an item.
    pub(super) fn find(&self, item: &[u8]) -> Option<usize> {
        let hash = xxh3_64(item);
        let part = part(hash, self.shift);
        let (start, end) = (self.starts[part] as usize, self.starts[part + 1] as usize);
        let found = self.items[start..end].binary_search(&(hash, item)).ok()?;
        Some(start + found)
    }
}

/// Returns the first bits of a hash.
fn part(hash: u64, shift: u32) -> usize {
    usize::try_from(hash >> shift).expect("there are as many parts as items, about")
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use catena_protocol::ItemsBuf;

    use super::*;

    #[test]
    fn what_is_listed_is_found() {
        for count in [0_u32, 1, 2, 3, 7, 8, 1_000] {
            let item = |at: u32| at.to_le_bytes().repeat(1 + at as usize % 9);
            let all: ItemsBuf = (0..count).chain(0..count / 2).map(|at| item(at * 3)).collect();
            let listed = Listed::new(all.items());
            assert_eq!(listed.len(), count as usize);
            let found: BTreeSet<usize> =
                (0..3 * count).filter_map(|at| listed.find(&item(at))).collect();
            assert!(found.into_iter().eq(0..count as usize), "of {count}");
            let strange = (0..3 * count).filter(|at| at % 3 != 0);
            assert!(strange.clone().all(|at| listed.find(&item(at)).is_none()));
            assert_eq!(listed.find(b""), None);
        }
    }
}
