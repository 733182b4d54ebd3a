//! DiscardedItems of large objects that were deleted or cleared, and whose memory is not free yet.
//!
//! To free a million items takes many milliseconds, so it is done a few at a time, between
//! requests. Nothing depends on it: the items belong to no object any more.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::byte_string::ByteString;

/// What is to be freed.
#[derive(Debug, Default)]
pub(crate) struct Discarded(Vec<DiscardedItems>);

/// The items of an object.
#[derive(Debug)]
pub(super) enum DiscardedItems {
    Map(BTreeMap<ByteString, ByteString>),
    Set(BTreeMap<ByteString, ()>),
    List(VecDeque<ByteString>),
}

/// So many items, or fewer, are freed at once: that takes a fraction of a millisecond.
const FREED_MAX: usize = 4_096;

impl Discarded {
    /// Takes items that are not needed any more.
    pub(super) fn add(&mut self, items: DiscardedItems) {
        if items.len() > FREED_MAX {
            self.0.push(items);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees some items.
    pub(crate) fn free_some(&mut self) {
        let Some(items) = self.0.last_mut() else { return };
        match items {
            DiscardedItems::Map(entries) => {
                _ = (0..FREED_MAX).map_while(|_| entries.pop_first()).count()
            }
            DiscardedItems::Set(members) => {
                _ = (0..FREED_MAX).map_while(|_| members.pop_first()).count()
            }
            DiscardedItems::List(items) => items.truncate(items.len().saturating_sub(FREED_MAX)),
        }
        if items.len() == 0 {
            self.0.pop();
        }
        if self.0.is_empty() {
            self.0.shrink_to_fit();
        }
    }
}

impl DiscardedItems {
    fn len(&self) -> usize {
        match self {
            DiscardedItems::Map(entries) => entries.len(),
            DiscardedItems::Set(members) => members.len(),
            DiscardedItems::List(items) => items.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_freed_a_few_at_a_time() {
        let count = u32::try_from(2 * FREED_MAX + 1).expect("it is small");
        let strings = || (0..count).map(|item| ByteString::from(&item.to_le_bytes()[..]));
        let mut discarded = Discarded::default();
        discarded.add(DiscardedItems::List(strings().take(FREED_MAX).collect()));
        assert!(discarded.is_empty(), "a few are freed at once");
        discarded.add(DiscardedItems::List(strings().collect()));
        discarded.add(DiscardedItems::Map(
            strings().map(|item| (item, ByteString::from(&[][..]))).collect(),
        ));
        discarded.add(DiscardedItems::Set(strings().map(|item| (item, ())).collect()));
        let mut steps = 0;
        while !discarded.is_empty() {
            discarded.free_some();
            steps += 1;
        }
        assert_eq!(steps, 9);
    }
}
