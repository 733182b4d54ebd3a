//! Walks over tables that change meanwhile, and that see them as they were when the walk began.
//!
//! Before an entry changes that the walk has not reached yet, the entry is kept for it as it was. So
//! a walk can be taken in many short steps, costs nothing between walks, and needs a copy only of
//! what changes before it is reached.

use alloc::collections::BTreeMap;

/// A walk over a table whose entries have increasing ids that are never used again.
#[derive(Debug)]
pub(crate) struct IdWalk<T> {
    /// Entries below this id have been passed.
    from: u64,
    /// Entries from this id on were added since the walk began.
    end: u64,
    /// Entries that have changed before they were reached, as they were.
    kept: BTreeMap<u64, T>,
}

impl<T> IdWalk<T> {
    /// Begins a walk over the entries below an id.
    pub(crate) fn until(end: u64) -> IdWalk<T> {
        IdWalk { from: 0, end, kept: BTreeMap::new() }
    }

    /// Returns the id from which on entries have not been passed.
    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    /// Keeps an entry that is about to change or to be removed, unless it was passed or kept before.
    pub(crate) fn before_change(&mut self, id: u64, entry: impl FnOnce() -> T) {
        if (self.from..self.end).contains(&id) {
            self.kept.entry(id).or_insert_with(entry);
        }
    }

    /// Passes at most `count` further entries to `put`, in no particular order. `present` are those
    /// from [`IdWalk::from`] on, in the order of their ids. Returns whether that were all.
    pub(crate) fn advance(
        &mut self,
        present: impl Iterator<Item = (u64, T)>,
        count: usize,
        mut put: impl FnMut(u64, T),
    ) -> bool {
        let mut present = present.take_while(|(id, _)| *id < self.end);
        for _ in 0..count {
            if let Some((id, entry)) = present.next() {
                self.from = id + 1;
                let entry = self.kept.remove(&id).unwrap_or(entry);
                put(id, entry);
            } else {
                self.from = self.end;
                // Those that are gone.
                let Some((id, entry)) = self.kept.pop_first() else { return true };
                put(id, entry);
            }
        }
        false
    }
}
