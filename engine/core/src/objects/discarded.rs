//! DiscardedItems of large objects that were deleted or cleared, and whose memory is not free yet.
//!
//! To free a million items takes many milliseconds, so it is done a few at a time, between
//! requests. Nothing depends on it: the items belong to no object any more.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::byte_string::ByteString;
use super::small_map::SmallMap;

/// What is to be freed.
#[derive(Debug, Default)]
pub(crate) struct Discarded(Vec<DiscardedItems>);

/// The items of an object.
#[derive(Debug)]
pub(super) enum DiscardedItems {
    Map(SmallMap<ByteString, ByteString>),
    Set(SmallMap<ByteString, ()>),
    List(VecDeque<ByteString>),
}

/// So many items are freed at once: that takes a fraction of a millisecond.
const FREED_MAX: usize = 4_096;

/// Up to so many items of an object are freed with it: it takes no longer than to note them.
const FREED_WITH_OBJECT_MAX: usize = 32;

impl Discarded {
    /// Takes items that are not needed any more.
    pub(super) fn add(&mut self, items: DiscardedItems) {
        if items.len() > FREED_WITH_OBJECT_MAX {
            self.0.push(items);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees some items.
    pub(crate) fn free_some(&mut self) {
        let mut left = FREED_MAX;
        while left > 0
            && let Some(items) = self.0.last_mut()
        {
            left -= items.free(left);
            if items.len() == 0 {
                self.0.pop();
            }
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

    /// Frees at most so many items. Returns their number.
    fn free(&mut self, most: usize) -> usize {
        let count = most.min(self.len());
        match self {
            DiscardedItems::Map(entries) => (0..count).for_each(|_| _ = entries.pop_first()),
            DiscardedItems::Set(members) => (0..count).for_each(|_| _ = members.pop_first()),
            DiscardedItems::List(items) => items.truncate(items.len() - count),
        }
        count
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
        discarded.add(DiscardedItems::List(strings().take(FREED_WITH_OBJECT_MAX).collect()));
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
        assert_eq!(steps, (3 * (2 * FREED_MAX + 1)).div_ceil(FREED_MAX));
    }
}
