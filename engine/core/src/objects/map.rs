//! Byte strings by key, in the order of their keys.
//!
//! One kind serves as map and as sorted map: because the keys are ordered, a page continues where
//! the one before ended, whatever was inserted or removed in between.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use catena_protocol::limits::{KEY_BYTES_MAX, PAGE_ITEMS_MAX};
use catena_protocol::op::{MapOp, Merge, ScanArgs, ScanWhat};
use catena_protocol::{Fault, Items, ItemsBuf, PageItems, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::byte_string::ByteString;
use super::cell::check_token;
use super::discarded::DiscardedItems;
use super::entries::{Entries, EntryValue, cost};
use super::kind::{Growth, ObjectKind, SharedObject};
use super::small_map::Range;
use super::state::check;
use super::walked_items::{WalkedItems, read_some};
use super::{Applied, Description, Reader, Turn, Writer, check_len, check_stored, page_is_full};
use crate::config::{CELL_BYTES_MAX, FILTERED_MAX};

/// A map; empty before the first update.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Map {
    entries: Entries<ByteString>,
    /// Heap that the entries take.
    #[serde(skip)]
    entry_bytes: u64,
    /// The highest fencing token of a put.
    fence: u64,
}

impl ObjectKind for Map {
    type Op<'o> = MapOp<'o>;

    fn growth(op: &MapOp<'_>) -> Growth {
        match op {
            MapOp::PutAll { items } | MapOp::MergeAll { items, .. } => Growth::Items(items.len()),
            MapOp::Remove { .. } | MapOp::Take { .. } | MapOp::RemoveAll { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &MapOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        Ok(match *op {
            MapOp::Len => Reply::Number(self.entries.len() as u64),
            MapOp::Get { key } => Reply::Value(self.entries.get(key).map(|value| &**value)),
            MapOp::ContainsKey { key } => Reply::Bool(self.entries.contains(key)),
            MapOp::ContainsValue { value } => {
                check_len(self.entries.len(), FILTERED_MAX)?;
                Reply::Bool(self.entries.iter().any(|(_, found)| **found == *value))
            }
            MapOp::Scan(ref scan) => {
                let entries = range(&self.entries, scan);
                scan_page(entries.map(|(key, value)| (&**key, &**value)), scan)
            }
            _ => unreachable!("{op:?} is not a read"),
        })
    }

    fn check(&self, op: &MapOp<'_>) -> Result<(), Refusal> {
        match *op {
            MapOp::Put { key, value } | MapOp::PutIfAbsent { key, value } => {
                check_entry(key, value)?;
            }
            MapOp::PutWithToken { token, key, value } => {
                check_entry(key, value)?;
                check_token(self.fence, token)?;
            }
            MapOp::CompareAndSwap { key, value, .. } => {
                check_entry(key, value.unwrap_or_default())?;
            }
            MapOp::Swap { key, value } => {
                check_entry(key, value)?;
                self.check_old(key)?;
            }
            MapOp::Take { key } => self.check_old(key)?,
            MapOp::PutAll { items } => {
                check_pairs(items)?;
                items.pairs().try_for_each(|(key, value)| check_entry(key, value))?;
            }
            MapOp::Merge { key, value, merge } => {
                let mut tried = Tried::default();
                self.check_merge(merge, key, value, &mut tried)?;
                let stays = self.entries.get(key).filter(|old| ***old >= *value);
                check_stored(match merge {
                    Merge::Append => tried.lens[key],
                    Merge::ReplaceIfGreater => stays.map_or(value.len(), |old| old.len()),
                    _ => WORD_BYTES,
                })?;
            }
            MapOp::MergeAll { items, merge } => {
                check_pairs(items)?;
                let mut tried = Tried::default();
                for (key, value) in items.pairs() {
                    self.check_merge(merge, key, value, &mut tried)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, op: &MapOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            MapOp::Put { key, value } => {
                let replaced = self.put(key, value);
                turn.done(&Reply::Bool(replaced))
            }
            MapOp::PutWithToken { token, key, value } => {
                self.fence = token;
                let replaced = self.put(key, value);
                turn.done(&Reply::Bool(replaced))
            }
            MapOp::Swap { key, value } => {
                let old = self.entries.get(key).map(|old| &**old);
                let applied = turn.done(&Reply::Value(old));
                self.put(key, value);
                applied
            }
            MapOp::PutIfAbsent { key, value } => {
                let is_new = !self.entries.contains(key);
                match is_new {
                    true => _ = self.put(key, value),
                    false => turn.unchanged(),
                }
                turn.done(&Reply::Bool(is_new))
            }
            MapOp::CompareAndSwap { key, expected, value } => {
                let swapped = self.entries.get(key).map(|old| &**old) == expected;
                match (swapped, value) {
                    (true, Some(value)) => _ = self.put(key, value),
                    (true, None) if expected.is_some() => _ = self.remove(key),
                    _ => turn.unchanged(),
                }
                turn.done(&Reply::Bool(swapped))
            }
            MapOp::Remove { key } => {
                let removed = self.remove(key).is_some();
                if !removed {
                    turn.unchanged();
                }
                turn.done(&Reply::Bool(removed))
            }
            MapOp::Take { key } => {
                let taken = self.remove(key);
                if taken.is_none() {
                    turn.unchanged();
                }
                turn.done(&Reply::Value(taken.as_deref()))
            }
            MapOp::PutAll { items } => {
                let before = self.entries.len();
                if items.is_empty() {
                    turn.unchanged();
                }
                for (key, value) in items.pairs() {
                    self.put(key, value);
                }
                turn.done(&Reply::Number((self.entries.len() - before) as u64))
            }
            MapOp::Merge { key, value, merge } => {
                if !self.merge(merge, key, &[value]) {
                    turn.unchanged();
                }
                turn.done(&Reply::Value(self.entries.get(key).map(|value| &**value)))
            }
            MapOp::MergeAll { items, merge } => {
                let before = self.entries.len();
                let mut by_key: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
                items.pairs().for_each(|(key, value)| by_key.entry(key).or_default().push(value));
                let mut changed = false;
                for (key, values) in by_key {
                    changed |= self.merge(merge, key, &values);
                }
                if !changed {
                    turn.unchanged();
                }
                turn.done(&Reply::Number((self.entries.len() - before) as u64))
            }
            MapOp::RemoveAll { items } => {
                let removed = items.iter().filter(|key| self.remove(key).is_some()).count();
                if removed == 0 {
                    turn.unchanged();
                }
                turn.done(&Reply::Number(removed as u64))
            }
            MapOp::Clear => {
                let removed = self.entries.len();
                let entries = self.entries.take(core::mem::take(&mut self.entry_bytes));
                turn.discard(DiscardedItems::Map(entries));
                if removed == 0 {
                    turn.unchanged();
                }
                turn.done(&Reply::Number(removed as u64))
            }
            MapOp::Len
            | MapOp::Get { .. }
            | MapOp::ContainsKey { .. }
            | MapOp::ContainsValue { .. }
            | MapOp::Scan(_) => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        for (key, value) in self.entries.iter() {
            check(check_entry(key, value).is_ok(), "an entry is too large")?;
            self.entry_bytes += cost(key, value);
        }
        Ok(())
    }
}

impl SharedObject for Map {
    fn describe(&self) -> Description {
        Description { detail: format!("{} entries", self.entries.len()), ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        size_of::<Map>() as u64 + self.entries.table_bytes() + self.entry_bytes
    }

    fn items(&self) -> Option<&dyn WalkedItems> {
        Some(&self.entries)
    }

    fn items_mut(&mut self) -> Option<&mut dyn WalkedItems> {
        Some(&mut self.entries)
    }

    fn write_without_items(&self, out: &mut Writer) {
        out.put(&Map { fence: self.fence, ..Map::default() });
    }

    fn read_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        read_some(input, |input| {
            let (key, value): (ByteString, ByteString) = input.take()?;
            check(check_entry(&key, &value).is_ok(), "an entry is too large")?;
            self.entry_bytes += cost(&key, &value);
            let is_new = self.entries.insert(key, value).is_none();
            check(is_new, "a key of a map is listed twice")
        })
    }
}

impl Map {
    /// Takes the entries of a map that is deleted.
    pub(super) fn into_items(self) -> DiscardedItems {
        DiscardedItems::Map(self.entries.into_map())
    }

    /// Checks a merge after the earlier merges of the same request, because either all are applied
    /// or none. Computes only what a refusal depends on: lengths after appending, and numbers.
    fn check_merge<'k>(
        &self,
        merge: Merge,
        key: &'k [u8],
        value: &[u8],
        tried: &mut Tried<'k>,
    ) -> Result<(), Fault> {
        check_entry(key, value)?;
        let old = self.entries.get(key).map(|old| &**old);
        match merge {
            Merge::ReplaceIfGreater => {}
            Merge::Append => {
                let len = tried.lens.entry(key).or_insert(old.map_or(0, <[u8]>::len));
                *len += value.len();
                check_len(*len, CELL_BYTES_MAX)?;
            }
            _ => {
                let old = match tried.words.get(key) {
                    Some(tried) => Some(*tried),
                    None => old.map(stored_word).transpose()?,
                };
                tried.words.insert(key, merged(merge, old, word(value)?)?);
            }
        }
        Ok(())
    }

    /// Refuses an op whose reply is the value of a key, if that is too long to be kept for a retry.
    fn check_old(&self, key: &[u8]) -> Result<(), Fault> {
        check_stored(self.entries.get(key).map_or(0, |old| old.len()))
    }

    /// Sets the value of a key. Returns whether the key had one.
    fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Some(place) = self.entries.edit(key) {
            self.entry_bytes -= place.heap_bytes();
            place.set(value);
            self.entry_bytes += place.heap_bytes();
            return true;
        }
        let (key, value) = (ByteString::from(key), ByteString::from(value));
        self.entry_bytes += cost(&key, &value);
        self.entries.insert(key, value);
        false
    }

    fn remove(&mut self, key: &[u8]) -> Option<ByteString> {
        let (key, removed) = self.entries.remove(key)?;
        self.entry_bytes -= cost(&key, &removed);
        Some(removed)
    }

    /// Merges values into the value of a key, one after the other. Returns whether it has changed.
    fn merge(&mut self, merge: Merge, key: &[u8], values: &[&[u8]]) -> bool {
        let old = self.entries.get(key).map(|old| &**old);
        match merge {
            Merge::Append => {
                let parts = old.into_iter().chain(values.iter().copied());
                let len = parts.clone().map(<[u8]>::len).sum();
                let mut both = Vec::with_capacity(len);
                parts.for_each(|part| both.extend_from_slice(part));
                let changed = old.is_none_or(|old| old.len() < both.len());
                self.put(key, &both);
                changed
            }
            Merge::ReplaceIfGreater => {
                let greatest = values.iter().max().expect("there are values");
                let replaces = old.is_none_or(|old| old < *greatest);
                if replaces {
                    self.put(key, greatest);
                }
                replaces
            }
            _ => {
                let known = |bytes: &[u8]| word(bytes).expect("the check has seen a number");
                let before = old.map(known);
                let after = values.iter().fold(before, |old, value| {
                    Some(merged(merge, old, known(value)).expect("the check has merged them"))
                });
                self.put(key, &after.expect("there are values"));
                before != after
            }
        }
    }
}

/// The results of merges during a check, by key.
#[derive(Default)]
struct Tried<'k> {
    /// Lengths of values after appending.
    lens: BTreeMap<&'k [u8], usize>,
    /// Numbers after merging.
    words: BTreeMap<&'k [u8], [u8; WORD_BYTES]>,
}

/// Bytes of a number.
const WORD_BYTES: usize = 8;

/// Reads the value of a request as a number, or refuses it.
fn word(bytes: &[u8]) -> Result<[u8; WORD_BYTES], Fault> {
    let (expected, got) = (WORD_BYTES as u64, bytes.len() as u64);
    bytes.try_into().map_err(|_| Fault::expected(Status::Mismatch, expected, got))
}

/// Reads a value of the map as a number, or refuses the request. `expected` is the length that the
/// object has, and `got` the one that the request needs, as in every other mismatch.
fn stored_word(bytes: &[u8]) -> Result<[u8; WORD_BYTES], Fault> {
    let (expected, got) = (bytes.len() as u64, WORD_BYTES as u64);
    bytes.try_into().map_err(|_| Fault::expected(Status::Mismatch, expected, got))
}

/// Merges a number into another one.
fn merged(
    merge: Merge,
    old: Option<[u8; WORD_BYTES]>,
    new: [u8; WORD_BYTES],
) -> Result<[u8; WORD_BYTES], Fault> {
    let Some(old) = old else { return Ok(new) };
    let ints = (i64::from_le_bytes(old), i64::from_le_bytes(new));
    let floats = |fold: fn(f64, f64) -> f64| {
        fold(f64::from_le_bytes(old), f64::from_le_bytes(new)).to_le_bytes()
    };
    Ok(match (merge, ints) {
        (Merge::Add, (old, new)) => {
            old.checked_add(new).ok_or(Fault::new(Status::Overflow))?.to_le_bytes()
        }
        (Merge::Min, (old, new)) => old.min(new).to_le_bytes(),
        (Merge::Max, (old, new)) => old.max(new).to_le_bytes(),
        (Merge::AddF64, _) => floats(|old, new| old + new),
        (Merge::MinF64, _) => floats(super::numbers::smaller),
        (Merge::MaxF64, _) => floats(super::numbers::larger),
        (Merge::Append | Merge::ReplaceIfGreater, _) => {
            unreachable!("{merge:?} does not merge numbers")
        }
    })
}

/// Returns the entries in the range of a scan, lowest key first, in whichever direction it goes.
pub(super) fn range<'m, V: EntryValue>(
    entries: &'m Entries<V>,
    scan: &ScanArgs<'_>,
) -> Range<'m, ByteString, V> {
    entries.range(scan.from.bound(), scan.to.bound())
}

/// Returns a page of the entries that a scan found.
pub(super) fn scan_page<'m>(
    entries: impl DoubleEndedIterator<Item = (&'m [u8], &'m [u8])>,
    scan: &ScanArgs<'_>,
) -> Reply<'static> {
    let mut page = ItemsBuf::default();
    let more = match scan.reverse {
        false => fill(&mut page, entries, scan),
        true => fill(&mut page, entries.rev(), scan),
    };
    Reply::Page { at: 0, more, items: PageItems::Owned(page) }
}

/// Fills a page. Returns whether there are entries that do not fit.
fn fill<'m>(
    page: &mut ItemsBuf,
    entries: impl Iterator<Item = (&'m [u8], &'m [u8])>,
    scan: &ScanArgs<'_>,
) -> bool {
    let limit = if scan.limit == 0 { PAGE_ITEMS_MAX } else { scan.limit.min(PAGE_ITEMS_MAX) };
    let mut left = limit;
    for (key, value) in entries {
        let bytes = match scan.what {
            ScanWhat::Keys => key.len(),
            ScanWhat::Values => value.len(),
            ScanWhat::Entries => key.len() + value.len(),
        };
        if left == 0 || page_is_full(page, bytes) {
            return true;
        }
        left -= 1;
        if scan.what != ScanWhat::Values {
            page.push(key);
        }
        if scan.what != ScanWhat::Keys {
            page.push(value);
        }
    }
    false
}

/// Refuses items that are not pairs of key and value.
fn check_pairs(items: Items<'_>) -> Result<(), Fault> {
    let len = items.len() as u64;
    if len.is_multiple_of(2) {
        return Ok(());
    }
    Err(Fault::expected(Status::BadArgument, len + 1, len))
}

fn check_entry(key: &[u8], value: &[u8]) -> Result<(), Fault> {
    check_len(key.len(), KEY_BYTES_MAX)?;
    check_len(value.len(), CELL_BYTES_MAX)
}
