//! A map in the order of its keys that takes little memory while it has few entries.
//!
//! 1. Few entries are in one sorted array, many in a B-tree.
//! 2. Which of the two it is, and the memory that it takes, depend on the number of entries alone, so
//!    that all replicas count the same.

use alloc::collections::{BTreeMap, btree_map};
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::ops::Bound;
use core::slice;

use super::tree::tree_bytes;

/// The map.
#[derive(Debug)]
pub(super) enum SmallMap<K, V> {
    /// At most [`FEW_MAX`] entries, sorted. The capacity is the next power of two.
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

/// The entries of a range, lowest key first.
pub(super) enum Range<'m, K, V> {
    Few(slice::Iter<'m, (K, V)>),
    Many(btree_map::Range<'m, K, V>),
}

/// So many entries are moved in less time than a node of a tree takes to be allocated.
const FEW_MAX: usize = 8;

impl<K: Ord, V> SmallMap<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            SmallMap::Few(entries) => entries.len(),
            SmallMap::Many(entries) => entries.len(),
        }
    }

    /// Returns the heap that the map takes besides what its entries own, in bytes, near enough.
    pub(super) fn bytes(&self) -> u64 {
        match self.len() {
            0 => 0,
            few @ 1..=FEW_MAX => (few.next_power_of_two() * size_of::<(K, V)>()) as u64,
            many => tree_bytes::<K, V>(many),
        }
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self {
            SmallMap::Few(entries) => find(entries, key).ok().map(|at| &entries[at].1),
            SmallMap::Many(entries) => entries.get(key),
        }
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self {
            SmallMap::Few(entries) => find(entries, key).ok().map(|at| &mut entries[at].1),
            SmallMap::Many(entries) => entries.get_mut(key),
        }
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Sets the value of a key. Returns the one that it had.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let entries = match self {
            SmallMap::Many(entries) => return entries.insert(key, value),
            SmallMap::Few(entries) => entries,
        };
        match find(entries, &key) {
            Ok(at) => return Some(core::mem::replace(&mut entries[at].1, value)),
            Err(_) if entries.len() == FEW_MAX => {
                let mut many: BTreeMap<K, V> = entries.drain(..).collect();
                many.insert(key, value);
                *self = SmallMap::Many(many);
            }
            Err(at) => {
                let len = entries.len();
                entries.reserve_exact((len + 1).next_power_of_two() - len);
                entries.insert(at, (key, value));
            }
        }
        None
    }

    pub(super) fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        match self {
            SmallMap::Few(entries) => {
                let at = find(entries, key).ok()?;
                Some(remove_at(entries, at))
            }
            SmallMap::Many(entries) => {
                let removed = entries.remove_entry(key);
                self.fit();
                removed
            }
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, V)> {
        match self {
            SmallMap::Few(entries) => (!entries.is_empty()).then(|| remove_at(entries, 0)),
            SmallMap::Many(entries) => {
                let first = entries.pop_first();
                self.fit();
                first
            }
        }
    }

    /// Moves the entries of a tree to an array once they are few.
    fn fit(&mut self) {
        if let SmallMap::Many(entries) = self
            && entries.len() <= FEW_MAX
        {
            let mut few = Vec::with_capacity(entries.len().next_power_of_two());
            few.extend(core::mem::take(entries));
            *self = SmallMap::Few(few);
        }
    }

    /// Returns all entries, lowest key first.
    pub(super) fn iter(&self) -> Range<'_, K, V> {
        match self {
            SmallMap::Few(entries) => Range::Few(entries.iter()),
            SmallMap::Many(entries) => Range::Many(entries.range(..)),
        }
    }

    /// Returns the entries between two keys, none if the range ends before it begins.
    pub(super) fn range<Q: Ord + ?Sized>(&self, from: Bound<&Q>, to: Bound<&Q>) -> Range<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let is_before_start = |key: &Q| match from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        };
        let is_before_end = |key: &Q| match to {
            Bound::Included(to) => key <= to,
            Bound::Excluded(to) => key < to,
            Bound::Unbounded => true,
        };
        match self {
            SmallMap::Few(entries) => {
                let start = entries.partition_point(|(key, _)| is_before_start(key.borrow()));
                let end = entries.partition_point(|(key, _)| is_before_end(key.borrow()));
                Range::Few(entries.get(start..end).unwrap_or_default().iter())
            }
            // `BTreeMap::range` panics for such a range.
            SmallMap::Many(_) if is_reversed(&from, &to) => Range::Few([].iter()),
            SmallMap::Many(entries) => Range::Many(entries.range::<Q, _>((from, to))),
        }
    }
}

/// Returns the place of a key, or where it would be.
fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    // So few are searched in their order: each comparison is likely to go as the one before.
    for (at, (found, _)) in entries.iter().enumerate() {
        match found.borrow().cmp(key) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(at),
            Ordering::Greater => return Err(at),
        }
    }
    Err(entries.len())
}

/// Removes an entry, and the capacity that is not needed any more.
fn remove_at<K, V>(entries: &mut Vec<(K, V)>, at: usize) -> (K, V) {
    let removed = entries.remove(at);
    match entries.len() {
        0 => *entries = Vec::new(),
        len => entries.shrink_to(len.next_power_of_two()),
    }
    removed
}

/// Returns whether a range ends before it begins.
fn is_reversed<Q: Ord + ?Sized>(from: &Bound<&Q>, to: &Bound<&Q>) -> bool {
    match (from, to) {
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
        _ => false,
    }
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> SmallMap<K, V> {
        SmallMap::Few(Vec::new())
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SmallMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> SmallMap<K, V> {
        let mut map = SmallMap::Many(entries.into_iter().collect());
        map.fit();
        map
    }
}

impl<'m, K, V> Iterator for Range<'m, K, V> {
    type Item = (&'m K, &'m V);

    fn next(&mut self) -> Option<(&'m K, &'m V)> {
        match self {
            Range::Few(entries) => entries.next().map(|(key, value)| (key, value)),
            Range::Many(entries) => entries.next(),
        }
    }
}

impl<K, V> DoubleEndedIterator for Range<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Range::Few(entries) => entries.next_back().map(|(key, value)| (key, value)),
            Range::Many(entries) => entries.next_back(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn bound() -> impl Strategy<Value = Bound<String>> {
        prop_oneof![
            Just(Bound::Unbounded),
            "[a-n]".prop_map(Bound::Included),
            "[a-n]".prop_map(Bound::Excluded),
        ]
    }

    proptest! {
        /// It does what a B-tree does, whichever form it has, and its memory is what it says.
        #[test]
        fn it_is_a_map(
            steps in vec((0..5_u8, "[a-m]", 0..99_u32), 0..120),
            (from, to) in (bound(), bound()),
        ) {
            let mut model = BTreeMap::new();
            let mut map = SmallMap::default();
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(map.remove_entry(&*key), model.remove_entry(&*key)),
                    1 => prop_assert_eq!(map.pop_first(), model.pop_first()),
                    2 => {
                        prop_assert_eq!(map.get(&*key), model.get(&*key));
                        prop_assert_eq!(map.contains_key(&*key), model.contains_key(&*key));
                        if let Some(place) = map.get_mut(&*key) {
                            *place += 1;
                            *model.get_mut(&*key).expect("the model has it") += 1;
                        }
                    }
                    _ => prop_assert_eq!(map.insert(key.clone(), value), model.insert(key, value)),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert!(map.iter().rev().eq(model.iter().rev()));
                let is_few = matches!(map, SmallMap::Few(_));
                prop_assert_eq!(is_few, map.len() <= FEW_MAX);
                if let SmallMap::Few(entries) = &map {
                    let bytes = entries.capacity() * size_of::<(String, u32)>();
                    prop_assert_eq!(map.bytes(), bytes as u64);
                }
                let (from, to) = (from.as_ref().map(|key| &**key), to.as_ref().map(|key| &**key));
                let expected: Vec<_> = match is_reversed(&from, &to) {
                    true => Vec::new(),
                    false => model.range::<str, _>((from, to)).collect(),
                };
                prop_assert_eq!(map.range(from, to).collect::<Vec<_>>(), expected);
            }
            let copy: SmallMap<_, _> = map.iter().map(|(key, value)| (key.clone(), *value)).collect();
            prop_assert!(copy.iter().eq(map.iter()));
            prop_assert_eq!(copy.bytes(), map.bytes());
        }
    }
}
