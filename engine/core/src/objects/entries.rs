//! The entries of a map or a set, which can be written in parts while they change.
//!
//! 1. A walk writes each entry as it was when the walk began, in any order.
//! 2. An entry that is about to change and is still to be written is kept as it was, so a change costs
//!    in proportion to what it changes, not to the number of entries.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::fmt::{self, Debug};
use core::ops::Bound;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::byte_string::ByteString;
use super::discarded::{Discarded, DiscardedItems};
use super::small_map::{Range, SmallMap};
use super::state::Writer;
use super::walked_items::{ItemPlace, WalkedItems, write_some};

/// Values by key.
pub(super) struct Entries<V> {
    map: SmallMap<ByteString, V>,
    walk: Option<Box<EntriesWalk<V>>>,
}

/// What a walk still has to write.
struct EntriesWalk<V> {
    /// The entries up to this key are written.
    after: Option<ByteString>,
    /// Keys behind that one whose entries have changed.
    changed: BTreeSet<ByteString>,
    /// Their entries, as they were.
    kept: VecDeque<(ByteString, V)>,
    /// All other entries, once they were removed together.
    removed: Option<SmallMap<ByteString, V>>,
    /// Memory that the walk takes, in bytes, near enough.
    bytes: u64,
}

/// A value of an entry.
pub(super) trait EntryValue: Clone + Serialize {
    /// Returns the heap that it takes, in bytes.
    fn heap_bytes(&self) -> u64;

    /// Returns entries as they are freed.
    fn discarded(entries: SmallMap<ByteString, Self>) -> DiscardedItems;
}

impl EntryValue for ByteString {
    fn heap_bytes(&self) -> u64 {
        ByteString::heap_bytes(self)
    }

    fn discarded(entries: SmallMap<ByteString, ByteString>) -> DiscardedItems {
        DiscardedItems::Map(entries)
    }
}

impl EntryValue for () {
    fn heap_bytes(&self) -> u64 {
        0
    }

    fn discarded(members: SmallMap<ByteString, ()>) -> DiscardedItems {
        DiscardedItems::Set(members)
    }
}

/// Returns the heap of an entry beyond its place in the map, in bytes.
pub(super) fn cost<V: EntryValue>(key: &ByteString, value: &V) -> u64 {
    key.heap_bytes() + value.heap_bytes()
}

/// Bytes that a walk takes for a key that has changed, besides its own.
const CHANGED_BYTES: u64 = 2 * size_of::<(ByteString, ByteString)>() as u64;

/// Entries that a part of a walk looks at: those that have changed are not written there.
const VISITED_MAX: usize = 4 * 1024;

impl<V: EntryValue> Entries<V> {
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns the heap of their table, in bytes, near enough.
    pub(super) fn table_bytes(&self) -> u64 {
        self.map.bytes()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.map.get(key)
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.map.contains_key(key)
    }

    /// Returns all entries, lowest key first.
    pub(super) fn iter(&self) -> Range<'_, ByteString, V> {
        self.map.iter()
    }

    /// Returns the entries between two keys, none if the range ends before it begins.
    pub(super) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range<'_, ByteString, V> {
        self.map.range(from, to)
    }

    /// Returns the value of a key, to be changed.
    pub(super) fn edit(&mut self, key: &[u8]) -> Option<&mut V> {
        self.keep(key);
        self.map.get_mut(key)
    }

    /// Sets the value of a key. Returns the one that it had.
    pub(super) fn insert(&mut self, key: ByteString, value: V) -> Option<V> {
        self.keep(&key);
        self.map.insert(key, value)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<(ByteString, V)> {
        self.keep(key);
        self.map.remove_entry(key)
    }

    /// Removes all entries, which have `heap_bytes` beyond their table. Returns those that no walk
    /// needs.
    pub(super) fn take(&mut self, heap_bytes: u64) -> SmallMap<ByteString, V> {
        let all = core::mem::take(&mut self.map);
        match &mut self.walk {
            Some(walk) if walk.removed.is_none() => {
                walk.bytes += all.bytes() + heap_bytes;
                walk.removed = Some(all);
                SmallMap::default()
            }
            _ => all,
        }
    }

    /// Returns all entries.
    pub(super) fn into_map(self) -> SmallMap<ByteString, V> {
        self.map
    }

    /// Keeps the entry of a key for the walk, if there is one that has not written it, before it
    /// changes.
    #[inline]
    fn keep(&mut self, key: &[u8]) {
        if self.walk.is_some() {
            self.keep_for_walk(key);
        }
    }

    #[cold]
    fn keep_for_walk(&mut self, key: &[u8]) {
        let Some(walk) = &mut self.walk else { return };
        let is_written = walk.after.as_ref().is_some_and(|after| *key <= **after);
        if is_written || walk.removed.is_some() || walk.changed.contains(key) {
            return;
        }
        let key = ByteString::from(key);
        walk.bytes += CHANGED_BYTES + key.heap_bytes();
        if let Some(value) = self.map.get(&*key) {
            walk.bytes += cost(&key, value);
            walk.kept.push_back((key.clone(), value.clone()));
        }
        walk.changed.insert(key);
    }
}

impl<V: EntryValue> WalkedItems for Entries<V> {
    fn write(
        &self,
        after: Option<&ItemPlace>,
        bytes: usize,
        out: &mut Writer,
    ) -> Option<ItemPlace> {
        let from = match after {
            Some(ItemPlace::Key(key)) => Bound::Excluded(&**key),
            Some(ItemPlace::Index(_)) => unreachable!("entries have keys"),
            None => Bound::Unbounded,
        };
        let entries = self.range(from, Bound::Unbounded);
        let last = write_some(entries, bytes, out, |entry, out| out.put(entry));
        last.map(|(key, _)| ItemPlace::Key(key.to_vec()))
    }

    fn begin_walk(&mut self) {
        let (changed, kept) = (BTreeSet::new(), VecDeque::new());
        let walk = EntriesWalk { after: None, changed, kept, removed: None, bytes: 0 };
        self.walk = Some(walk.into());
    }

    fn continue_walk(&mut self, bytes: usize, out: &mut Writer) -> bool {
        let Some(walk) = &mut self.walk else { return false };
        let start = out.len();
        while out.len() - start < bytes
            && let Some((key, value)) = walk.kept.pop_front()
        {
            walk.bytes -= cost(&key, &value);
            out.put(&true);
            out.put(&(key, value));
        }
        if out.len() - start >= bytes {
            out.put(&false);
            return true;
        }
        let map = walk.removed.as_ref().unwrap_or(&self.map);
        let from = walk.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = map.range::<[u8]>(from, Bound::Unbounded).peekable();
        let (mut visited, mut last) = (0, None);
        while visited < VISITED_MAX
            && out.len() - start < bytes
            && let Some((key, value)) = rest.next()
        {
            visited += 1;
            last = Some(key);
            if !walk.changed.contains(key) {
                out.put(&true);
                out.put(&(key, value));
            }
        }
        out.put(&false);
        let goes_on = rest.peek().is_some();
        walk.after = last.cloned();
        while walk.changed.first() <= walk.after.as_ref()
            && let Some(key) = walk.changed.pop_first()
        {
            walk.bytes -= CHANGED_BYTES + key.heap_bytes();
        }
        goes_on
    }

    fn end_walk(&mut self, discarded: &mut Discarded) {
        if let Some(entries) = self.walk.take().and_then(|walk| walk.removed) {
            discarded.add(V::discarded(entries));
        }
    }

    fn walk_bytes(&self) -> u64 {
        self.walk.as_ref().map_or(0, |walk| walk.bytes)
    }
}

/// As the map alone: a walk is not part of the state.
impl<V: Debug> Debug for Entries<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.map.fmt(f)
    }
}

impl<V> Default for Entries<V> {
    fn default() -> Entries<V> {
        Entries { map: SmallMap::default(), walk: None }
    }
}

impl<V: EntryValue> Serialize for Entries<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<V>, D::Error> {
        let map = BTreeMap::<ByteString, V>::deserialize(deserializer)?;
        Ok(Entries { map: map.into_iter().collect(), walk: None })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::objects::state::Reader;
    use crate::objects::walked_items::read_some;

    fn string(text: &str) -> ByteString {
        text.as_bytes().into()
    }

    /// The entries in a part of a walk.
    fn read(part: &[u8]) -> Vec<(ByteString, ByteString)> {
        let (mut input, mut entries) = (Reader::new(part), Vec::new());
        read_some(&mut input, |input| {
            entries.push(input.take()?);
            Ok(())
        })
        .expect("it was written");
        entries
    }

    proptest! {
        /// Whatever changes during a walk, it writes the entries as they were, each once.
        #[test]
        fn a_walk_writes_what_there_was(
            before in vec(("[a-z]{1,3}", 0..30_000_usize), 0..30),
            steps in vec((0..7_u8, "[a-z]{1,3}", 0..9_usize), 0..60),
        ) {
            let value = |len| ByteString::from(&alloc::vec![7; len][..]);
            let mut entries = Entries::default();
            for (key, len) in before {
                entries.insert(string(&key), value(len));
            }
            let expected: BTreeMap<_, _> =
                entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let mut model: BTreeMap<String, usize> = BTreeMap::new();
            for (key, value) in entries.iter() {
                model.insert(String::from_utf8(key.to_vec()).expect("letters"), value.len());
            }
            entries.begin_walk();
            let mut written = Vec::new();
            let mut goes_on = true;
            let mut steps = steps.into_iter();
            while goes_on {
                for (step, key, len) in steps.by_ref() {
                    match step {
                        0 | 1 => {
                            entries.insert(string(&key), value(len));
                            model.insert(key, len);
                        }
                        2 => prop_assert_eq!(
                            entries.remove(key.as_bytes()).map(|(_, value)| value.len()),
                            model.remove(&key)
                        ),
                        3 => if let Some(place) = entries.edit(key.as_bytes()) {
                            *place = value(len);
                            model.insert(key, len);
                        },
                        4 if len == 0 => {
                            entries.take(0);
                            model.clear();
                        }
                        _ => break,
                    }
                }
                let mut out = Writer::behind(Vec::new());
                goes_on = entries.continue_walk(256, &mut out);
                written.extend(read(&out.finish()));
            }
            prop_assert_eq!(written.len(), expected.len());
            prop_assert_eq!(written.into_iter().collect::<BTreeMap<_, _>>(), expected);
            entries.end_walk(&mut Discarded::default());
            prop_assert_eq!(entries.walk_bytes(), 0);
            let found: BTreeMap<String, usize> = entries
                .iter()
                .map(|(key, value)| (String::from_utf8(key.to_vec()).expect("letters"), value.len()))
                .collect();
            prop_assert_eq!(found, model);
        }
    }
}
