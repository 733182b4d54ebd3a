//! A hash table that does not wait for its own cache misses.
//!
//! Where an entry should be follows from the hash of its key alone, not from anything in memory. So
//! [`Table::prefetch`] waits for nothing, and the misses of a batch overlap. (A table
//! that keeps tags apart from its entries, as hashbrown does, has to wait for the tags first.)
//!
//! 1. Open addressing: an entry lies at its home or behind it, and no slot between the two is empty.
//!    Removing closes the gap: there are no tombstones, and nothing slows down with age.
//! 2. The hash is keyed in all its bits: who chooses keys does not choose where they lie.
//! 3. The table is in parts that grow by a quarter, each when it is full: growing takes a short while,
//!    and the memory that is not used is little.
//! 4. The order in memory depends on the seed, so nothing that is answered may depend on it.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use catena_protocol::ObjectId;

use crate::prefetch::prefetch;

/// A table from `K` to `V`.
pub(super) struct Table<K: TableKey, V> {
    seed: Seed,
    parts: Box<[Part<K, V>]>,
    /// How many entries each part has, and all of them.
    lens: Box<[u32]>,
    len: usize,
}

/// What can be a key: two words, or one and a zero, of which all are worth hashing.
pub(super) trait TableKey: Copy {
    /// How it lies in a slot: aligned to a word, so that it wastes no room beside its value.
    type Words: Copy + Default + PartialEq + core::fmt::Debug;

    fn words(self) -> Self::Words;

    fn of(words: Self::Words) -> Self;

    fn pair(words: Self::Words) -> [u64; 2];
}

/// What makes the hashes of a table its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed([u64; 2]);

/// Those entries whose hashes begin alike. Two words, so that all parts of a table stay in the cache.
struct Part<K: TableKey, V> {
    slots: Box<[Slot<K, V>]>,
}

struct Slot<K: TableKey, V> {
    /// Means nothing without a value.
    key: K::Words,
    value: Option<V>,
}

/// Where the value of a key is, or is to be.
pub(super) enum TableEntry<'t, K: TableKey, V> {
    Occupied(Occupied<'t, V>),
    Vacant(Vacant<'t, K, V>),
}

/// A place with a value.
pub(super) struct Occupied<'t, V>(&'t mut V);

/// A place for a value.
pub(super) struct Vacant<'t, K: TableKey, V> {
    table: &'t mut Table<K, V>,
    key: K,
}

/// The first bits of a hash choose the part.
const PARTS_LOG2: u32 = 6;

/// Slots a part begins with, and by which it grows at least.
const SLOTS_MIN: usize = 4;

/// Its entries, wherever they lie.
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

    /// What makes its hashes its own.
    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Begins to bring the place where a key should be into the cache, and a few places behind it.
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
        let place = part.find(hash, key.words())?;
        part.slots[place].value.as_mut()
    }

    #[inline]
    pub(super) fn entry(&mut self, key: K) -> TableEntry<'_, K, V> {
        let hash = self.seed.hash::<K>(key.words());
        let part = part_of(hash);
        match self.parts[part].find(hash, key.words()) {
            Some(place) => {
                let value = self.parts[part].slots[place].value.as_mut();
                TableEntry::Occupied(Occupied(value.expect("what is found has a value")))
            }
            None => TableEntry::Vacant(Vacant { table: self, key }),
        }
    }

    /// Puts a value in, and hands back the one that was there.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(key) {
            TableEntry::Occupied(mut entry) => Some(core::mem::replace(entry.get_mut(), value)),
            TableEntry::Vacant(entry) => {
                entry.insert(value);
                None
            }
        }
    }

    /// The value of a key, which is made if there is none.
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
        let place = part.find(hash, key.words())?;
        self.len -= 1;
        self.lens[index] -= 1;
        part.take(place, self.seed)
    }

    /// All entries, in an order that means nothing.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let slots = self.parts.iter().flat_map(|part| &part.slots);
        slots.filter_map(|slot| Some((K::of(slot.key), slot.value.as_ref()?)))
    }

    /// All values, in an order that means nothing.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| &part.slots).filter_map(|slot| slot.value.as_ref())
    }

    /// Every entry is where a search finds it; for debugging.
    #[cfg(test)]
    fn check_invariants(&self) {
        for part in &self.parts {
            let taken = (0..part.slots.len()).filter(|place| part.slots[*place].value.is_some());
            for place in taken {
                let key = part.slots[place].key;
                assert_eq!(part.find(self.seed.hash::<K>(key), key), Some(place), "it is found");
            }
        }
        assert_eq!(self.values().count(), self.len, "entries are counted");
        for (part, len) in self.parts.iter().zip(&self.lens) {
            let taken = part.slots.iter().filter(|slot| slot.value.is_some());
            assert_eq!(taken.count(), *len as usize, "in parts, too");
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
    /// Where an entry of this hash should be.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The low half of the hash as a fraction of the slots: any number of them will do.
        let place = ((hash & u64::from(u32::MAX)) * self.slots.len() as u64) >> 32;
        usize::try_from(place).expect("below the number of slots")
    }

    #[inline]
    fn find(&self, hash: u64, key: K::Words) -> Option<usize> {
        let mut place = self.home(hash);
        loop {
            let slot = self.slots.get(place)?;
            slot.value.as_ref()?;
            if slot.key == key {
                return Some(place);
            }
            place = self.after(place);
        }
    }

    /// The slot behind another one, the first behind the last.
    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 < self.slots.len() { place + 1 } else { 0 }
    }

    /// At four fifths: a search still ends soon, and most of the memory is used.
    fn is_full_with(&self, entries: u32) -> bool {
        entries as usize * 5 > self.slots.len() * 4
    }

    fn put(&mut self, hash: u64, key: K::Words, value: V) -> &mut V {
        let mut place = self.home(hash);
        while self.slots[place].value.is_some() {
            place = self.after(place);
        }
        let slot = &mut self.slots[place];
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

    /// Empties a slot, and moves back what lies behind it for want of a place nearer its home.
    fn take(&mut self, place: usize, seed: Seed) -> Option<V> {
        let taken = self.slots[place].value.take();
        let (mut gap, mut place) = (place, self.after(place));
        while self.slots[place].value.is_some() {
            let home = self.home(seed.hash::<K>(self.slots[place].key));
            // It may go where it is not in front of its home.
            if self.distance(home, gap) < self.distance(home, place) {
                self.slots.swap(gap, place);
                gap = place;
            }
            place = self.after(place);
        }
        taken
    }

    /// How far a slot is behind another one.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

impl Seed {
    /// Spread over as many bits as a hash is keyed with.
    pub(super) fn new(seed: u64) -> Seed {
        Seed([1, 2].map(|step: u64| {
            // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
            let z = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ z >> 31
        }))
    }

    /// Both halves of the product of both words, each masked with a secret: unlike a known mask, it
    /// leaves nobody a word to choose that makes every product 0.
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

/// The id of a session.
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

/// The low half.
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
        /// Whatever is put in and taken out, it holds what an ordered map does.
        #[test]
        fn it_is_a_map(
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

    #[test]
    fn an_object_takes_no_more_than_it_is_accounted_for() {
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
