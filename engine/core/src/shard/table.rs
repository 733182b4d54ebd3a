//! A hash table whose slots can be prefetched.
//!
//! The slot of an entry follows from the hash of its key alone, not from anything in memory. So
//! [`Table::prefetch`] does not stall, and the cache misses of a batch overlap. (A table that keeps
//! tags apart from its entries, like hashbrown, has to load the tags first.)
//!
//! 1. Open addressing: an entry is in its home slot or behind it, and no slot between the two is
//!    empty. A removal closes the gap, so there are no tombstones, and the table does not get
//!    slower with age.
//! 2. All bits of the hash depend on a secret: clients who choose keys cannot choose their slots.
//! 3. The table consists of parts that grow by a quarter, each when it is full: growing one takes a
//!    short time, and little memory is unused.
//! 4. The order in memory depends on the seed, so no reply may depend on it.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use catena_protocol::ObjectId;

use crate::prefetch::prefetch;

/// A table from `K` to `V`.
pub(super) struct Table<K: TableKey, V> {
    seed: Seed,
    parts: Box<[Part<K, V>]>,
    /// The number of entries of each part.
    lens: Box<[u32]>,
    /// The number of all entries.
    len: usize,
}

/// A type of keys: two words to hash, or one and a zero.
pub(super) trait TableKey: Copy {
    /// The key in a slot: aligned to a word, so that there is no padding beside the value.
    type Words: Copy + Default + PartialEq + core::fmt::Debug;

    fn words(self) -> Self::Words;

    fn of(words: Self::Words) -> Self;

    fn pair(words: Self::Words) -> [u64; 2];
}

/// A place in a walk over a table: the part and the hash in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// The secret of a table's hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed([u64; 2]);

/// The entries whose hashes have the same first bits. Two words, so that all parts of a table stay
/// in the cache.
struct Part<K: TableKey, V> {
    slots: Box<[Slot<K, V>]>,
}

struct Slot<K: TableKey, V> {
    /// Undefined without a value.
    key: K::Words,
    value: Option<V>,
}

/// The entry of a key, which may not have a value yet.
pub(super) enum TableEntry<'t, K: TableKey, V> {
    Occupied(Occupied<'t, V>),
    Vacant(Vacant<'t, K, V>),
}

/// An entry with a value.
pub(super) struct Occupied<'t, V>(&'t mut V);

/// An entry without a value.
pub(super) struct Vacant<'t, K: TableKey, V> {
    table: &'t mut Table<K, V>,
    key: K,
}

/// Bits of a hash that choose the part: the first ones.
const PARTS_LOG2: u32 = 6;

/// Slots that a part has at least, and by which it grows at least.
const SLOTS_MIN: usize = 4;

/// The entries, independent of their slots.
impl<K: TableKey, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.parts.iter().flat_map(|part| &part.slots);
        let entries = slots.filter_map(|slot| Some((slot.key, slot.value.as_ref()?)));
        f.debug_map().entries(entries).finish()
    }
}

impl<K: TableKey, V> Table<K, V> {
    pub(super) fn new(seed: Seed) -> Table<K, V> {
        let parts = core::iter::repeat_with(|| Part { slots: Box::default() });
        let parts: Box<[_]> = parts.take(1 << PARTS_LOG2).collect();
        Table { seed, lens: vec![0; parts.len()].into(), parts, len: 0 }
    }

    /// Returns the secret of the hashes.
    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Prefetches the home slot of a key, and a few slots behind it.
    #[inline]
    pub(super) fn prefetch(&self, key: &K) {
        let hash = self.seed.hash::<K>(key.words());
        let part = &self.parts[part_of(hash)];
        if let Some(slot) = part.slots.get(part.home(hash)) {
            prefetch(slot, 2);
        }
    }

    #[inline]
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let hash = self.seed.hash::<K>(key.words());
        let part = &self.parts[part_of(hash)];
        part.slots[part.find(hash, key.words())?].value.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let hash = self.seed.hash::<K>(key.words());
        let part = &mut self.parts[part_of(hash)];
        let at = part.find(hash, key.words())?;
        part.slots[at].value.as_mut()
    }

    #[inline]
    pub(super) fn entry(&mut self, key: K) -> TableEntry<'_, K, V> {
        let hash = self.seed.hash::<K>(key.words());
        let part = part_of(hash);
        match self.parts[part].find(hash, key.words()) {
            Some(at) => {
                let value = self.parts[part].slots[at].value.as_mut();
                TableEntry::Occupied(Occupied(value.expect("what is found has a value")))
            }
            None => TableEntry::Vacant(Vacant { table: self, key }),
        }
    }

    /// Sets the value of a key, and returns the previous one.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(key) {
            TableEntry::Occupied(mut entry) => Some(core::mem::replace(entry.get_mut(), value)),
            TableEntry::Vacant(entry) => {
                entry.insert(value);
                None
            }
        }
    }

    /// Returns the value of a key, after inserting a default one if there is none.
    pub(super) fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        match self.entry(key) {
            TableEntry::Occupied(Occupied(value)) => value,
            TableEntry::Vacant(entry) => entry.insert(V::default()),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.seed.hash::<K>(key.words());
        let index = part_of(hash);
        let part = &mut self.parts[index];
        let at = part.find(hash, key.words())?;
        self.len -= 1;
        self.lens[index] -= 1;
        part.take(at, self.seed)
    }

    /// Iterates over all entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let slots = self.parts.iter().flat_map(|part| &part.slots);
        slots.filter_map(|slot| Some((K::of(slot.key), slot.value.as_ref()?)))
    }

    /// Iterates over all values, in no particular order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| &part.slots).filter_map(|slot| slot.value.as_ref())
    }

    /// Returns where a walk over the table comes to a key. That does not depend on what the table has.
    #[inline]
    pub(super) fn place(&self, key: &K) -> Place {
        let hash = self.seed.hash::<K>(key.words());
        Place(hash >> (64 - PARTS_LOG2) << 32 | hash & u64::from(u32::MAX))
    }

    /// Passes the entries of about `slots` slots to `visit`, those at a place and behind it. Returns
    /// the place where to go on, which is behind all that were passed and before all that were not;
    /// `None` at the end.
    ///
    /// The entries of a part are at or behind their home slots, and these are in the order of the
    /// hashes, however many slots there are. So the place is one among the hashes, and a walk does not
    /// miss or repeat an entry if others come and go, or the part grows.
    pub(super) fn visit(
        &self,
        Place(from): Place,
        slots: usize,
        mut visit: impl FnMut(K, &V),
    ) -> Option<Place> {
        let index = usize::try_from(from >> 32).expect("a few bits");
        let part = self.parts.get(index)?;
        let next_part = Some(Place((index as u64 + 1) << 32));
        let len = part.slots.len();
        if len == 0 {
            return next_part;
        }
        let (low, end) = (from & u64::from(u32::MAX), 1 << 32);
        let to = low.saturating_add(((slots as u64) << 32).div_ceil(len as u64)).min(end);
        let (first, last) = (part.home(low), part.home(to - 1));
        let mut at = first;
        for count in 0..len {
            let slot = &part.slots[at];
            if let Some(value) = &slot.value {
                let hash = self.seed.hash::<K>(slot.key) & u64::from(u32::MAX);
                if (low..to).contains(&hash) {
                    visit(K::of(slot.key), value);
                }
            } else if count >= last - first {
                break;
            }
            at = part.after(at);
        }
        if to == end { next_part } else { Some(Place((index as u64) << 32 | to)) }
    }

    /// Checks that a search finds every entry; for debugging.
    #[cfg(test)]
    fn check_invariants(&self) {
        for part in &self.parts {
            let taken = (0..part.slots.len()).filter(|at| part.slots[*at].value.is_some());
            for at in taken {
                let key = part.slots[at].key;
                assert_eq!(
                    part.find(self.seed.hash::<K>(key), key),
                    Some(at),
                    "a search finds the entry"
                );
            }
        }
        assert_eq!(self.values().count(), self.len, "entries are counted");
        for (part, len) in self.parts.iter().zip(&self.lens) {
            let taken = part.slots.iter().filter(|slot| slot.value.is_some());
            assert_eq!(taken.count(), *len as usize, "entries are counted in each part");
        }
    }
}

impl<V> Occupied<'_, V> {
    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut V {
        self.0
    }
}

impl<'t, K: TableKey, V> Vacant<'t, K, V> {
    pub(super) fn insert(self, value: V) -> &'t mut V {
        let Vacant { table, key } = self;
        let hash = table.seed.hash::<K>(key.words());
        let index = part_of(hash);
        let part = &mut table.parts[index];
        table.len += 1;
        table.lens[index] += 1;
        if part.is_full_with(table.lens[index]) {
            part.grow(table.seed);
        }
        part.put(hash, key.words(), value)
    }
}

impl<K: TableKey, V> Part<K, V> {
    /// Returns the home slot of a hash.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The low half of the hash as a fraction, so that any number of slots will do.
        let at = ((hash & u64::from(u32::MAX)) * self.slots.len() as u64) >> 32;
        usize::try_from(at).expect("below the number of slots")
    }

    #[inline]
    fn find(&self, hash: u64, key: K::Words) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let slot = self.slots.get(at)?;
            slot.value.as_ref()?;
            if slot.key == key {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// Returns the slot behind another one; the first slot is behind the last.
    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// Returns whether so many entries fill more than four fifths of the slots: up to there
    /// searches are short, and most of the memory is used.
    fn is_full_with(&self, entries: u32) -> bool {
        entries as usize * 5 > self.slots.len() * 4
    }

    fn put(&mut self, hash: u64, key: K::Words, value: V) -> &mut V {
        let mut at = self.home(hash);
        while self.slots[at].value.is_some() {
            at = self.after(at);
        }
        let slot = &mut self.slots[at];
        slot.key = key;
        slot.value.insert(value)
    }

    fn grow(&mut self, seed: Seed) {
        let slots = self.slots.len() * 5 / 4 + SLOTS_MIN;
        let empty = || Slot { key: K::Words::default(), value: None };
        let slots = core::iter::repeat_with(empty).take(slots).collect();
        for Slot { key, value } in core::mem::replace(&mut self.slots, slots) {
            if let Some(value) = value {
                self.put(seed.hash::<K>(key), key, value);
            }
        }
    }

    /// Empties a slot, and moves later entries to it that are behind their home slots.
    fn take(&mut self, at: usize, seed: Seed) -> Option<V> {
        let taken = self.slots[at].value.take();
        let (mut gap, mut at) = (at, self.after(at));
        while self.slots[at].value.is_some() {
            let home = self.home(seed.hash::<K>(self.slots[at].key));
            // An entry must not move in front of its home slot.
            if self.distance(home, gap) < self.distance(home, at) {
                self.slots.swap(gap, at);
                gap = at;
            }
            at = self.after(at);
        }
        taken
    }

    /// Returns by how many slots `to` is behind `from`.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

impl Seed {
    /// Spreads a seed over the bits of the secret.
    pub(super) fn new(seed: u64) -> Seed {
        Seed([1, 2].map(|step: u64| {
            // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
            let z = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ z >> 31
        }))
    }

    /// Combines both halves of the product of the two words, each masked with a secret. With a
    /// known mask, a client could choose a word that makes every product 0.
    #[inline]
    fn hash<K: TableKey>(self, words: K::Words) -> u64 {
        let ([a, b], Seed([x, y])) = (K::pair(words), self);
        let product = u128::from(a ^ x) * u128::from(b ^ y);
        low(product) ^ low(product >> 64)
    }
}

impl TableKey for ObjectId {
    type Words = [u64; 2];

    #[inline]
    fn words(self) -> [u64; 2] {
        [low(self.0), low(self.0 >> 64)]
    }

    #[inline]
    fn of([low, high]: [u64; 2]) -> ObjectId {
        ObjectId(u128::from(high) << 64 | u128::from(low))
    }

    #[inline]
    fn pair(words: [u64; 2]) -> [u64; 2] {
        words
    }
}

/// Ids of sessions.
impl TableKey for u64 {
    type Words = u64;

    #[inline]
    fn words(self) -> u64 {
        self
    }

    #[inline]
    fn of(word: u64) -> u64 {
        word
    }

    #[inline]
    fn pair(word: u64) -> [u64; 2] {
        [word, 0]
    }
}

#[inline]
fn part_of(hash: u64) -> usize {
    usize::try_from(hash >> (64 - PARTS_LOG2)).expect("a few bits")
}

/// Returns the low half of a number.
#[inline]
fn low(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).expect("64 bits")
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares the table with a `BTreeMap` over random operations.
        #[test]
        fn it_behaves_like_a_map(
            seed in any::<u64>(),
            steps in prop::collection::vec((0..400_u64, 0..3_u8), 1..2_000),
        ) {
            let (mut table, mut model) = (Table::new(Seed::new(seed)), BTreeMap::new());
            for (number, (key, step)) in (0_u64..).zip(steps) {
                match step {
                    0 => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    _ => prop_assert_eq!(table.insert(key, number), model.insert(key, number)),
                }
                prop_assert_eq!(table.len(), model.len());
                table.check_invariants();
            }
            for key in 0..400 {
                prop_assert_eq!(table.get(&key), model.get(&key));
                prop_assert_eq!(table.get_mut(&key), model.get_mut(&key));
            }
            let mut values: Vec<_> = table.values().copied().collect();
            values.sort_unstable();
            let mut expected: Vec<_> = model.values().copied().collect();
            expected.sort_unstable();
            prop_assert_eq!(values, expected);
        }
    }

    proptest! {
        /// A walk passes exactly once what is there from its beginning to its end.
        #[test]
        fn a_walk_misses_nothing(
            seed in any::<u64>(),
            before in prop::collection::btree_set(0..4_000_u64, 0..1_500),
            steps in prop::collection::vec((0..4_000_u64, any::<bool>()), 0..1_500),
            slots in 1..40_usize,
        ) {
            let mut table = Table::new(Seed::new(seed));
            for key in &before {
                table.insert(*key, ());
            }
            let (mut seen, mut touched) = (BTreeMap::new(), alloc::collections::BTreeSet::new());
            let (mut place, mut steps) = (Some(Place::default()), steps.into_iter());
            while let Some(from) = place {
                place = table.visit(from, slots, |key, ()| *seen.entry(key).or_insert(0) += 1);
                for key in table.iter().map(|(key, ())| key).filter(|key| before.contains(key)) {
                    let is_passed = place.is_none_or(|place| table.place(&key) < place);
                    if !touched.contains(&key) {
                        prop_assert_eq!(is_passed, seen.contains_key(&key));
                    }
                }
                for (key, inserts) in steps.by_ref().take(9) {
                    touched.insert(key);
                    if inserts { _ = table.insert(key, ()) } else { _ = table.remove(&key) }
                }
            }
            for key in before.iter().filter(|key| !touched.contains(*key)) {
                prop_assert_eq!(seen.get(key), Some(&1), "{}", key);
            }
        }
    }

    #[test]
    fn an_object_takes_no_more_memory_than_it_is_accounted_for() {
        use crate::config::OBJECT_BYTES;
        use crate::objects::{AnyObject, Types};
        use crate::shard::{ObjectEntry, Seq};
        use catena_protocol::Op;
        use catena_protocol::op::CounterOp;
        let counter = || AnyObject::fresh(&Op::Counter(CounterOp::Get), &Types::default());
        let mut table: Table<ObjectId, ObjectEntry> = Table::new(Seed::new(1));
        for id in 0..200_000 {
            let object = counter().expect("a counter needs no type");
            table.insert(ObjectId(id), ObjectEntry { object, version: Seq(1) });
            if id > 10_000 {
                let slots: usize = table.parts.iter().map(|part| part.slots.len()).sum();
                let bytes = slots * size_of::<Slot<ObjectId, ObjectEntry>>();
                assert!(bytes as u64 <= OBJECT_BYTES * table.len() as u64, "{bytes} for {id}");
            }
        }
    }
}
