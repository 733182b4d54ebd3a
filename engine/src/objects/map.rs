//! Byte strings by key, in the order of their keys.
//!
//! One kind serves as map and as sorted map: since the keys are in order, a page of them goes on
//! where the last one ended, whatever was put in or removed in between.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use catena_protocol::limits::{KEY_BYTES_MAX, PAGE_ITEMS_MAX};
use catena_protocol::op::{MapOp, Merge, ScanArgs, ScanWhat};
use catena_protocol::{Fault, Items, ItemsBuf, PageItems, Refusal, Reply, Status};

use super::cell::check_token;
use super::{Applied, Description, Turn, check_len, check_stored, page_is_full};
use crate::config::CELL_BYTES_MAX;

/// A map; empty until somebody puts something in it.
#[derive(Debug, Default)]
pub(crate) struct Map {
    entries: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Heap that the entries take, in bytes.
    entry_bytes: u64,
    /// The highest fencing token that came with a put.
    fence: u64,
}

/// What an entry costs beside its bytes, near enough.
const ENTRY_BYTES: u64 = 64;

impl Map {
    pub(super) fn read(&self, op: &MapOp<'_>) -> Result<Reply<'_>, Refusal> {
        Ok(match *op {
            MapOp::Len => Reply::Number(self.entries.len() as u64),
            MapOp::Get { key } => Reply::Value(self.entries.get(key).map(|value| &**value)),
            MapOp::ContainsKey { key } => Reply::Bool(self.entries.contains_key(key)),
            MapOp::ContainsValue { value } => {
                Reply::Bool(self.entries.values().any(|found| **found == *value))
            }
            MapOp::Scan(ref scan) => {
                let entries = range(&self.entries, scan);
                scan_page(entries.map(|(key, value)| (&**key, &**value)), scan)
            }
            _ => unreachable!("{op:?} is no read"),
        })
    }

    pub(super) fn check(&self, op: &MapOp<'_>) -> Result<(), Refusal> {
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
                pairs(items).try_for_each(|(key, value)| check_entry(key, value))?;
            }
            MapOp::Merge { key, value, merge } => {
                let old = self.entries.get(key).map(|old| &**old);
                let merged = merged(merge, old, value)?;
                check_entry(key, &merged)?;
                check_stored(merged.len())?;
            }
            MapOp::MergeAll { items, merge } => self.check_merge_all(items, merge)?,
            _ => {}
        }
        Ok(())
    }

    /// Tries all merges, since none of them is to be done if one cannot.
    fn check_merge_all(&self, items: Items<'_>, merge: Merge) -> Result<(), Fault> {
        check_pairs(items)?;
        let mut tried: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for (key, value) in pairs(items) {
            let old = match tried.get(key) {
                Some(tried) => Some(&tried[..]),
                None => self.entries.get(key).map(|old| &**old),
            };
            let merged = merged(merge, old, value)?.into_owned();
            check_entry(key, &merged)?;
            tried.insert(key, merged);
        }
        Ok(())
    }

    /// Refuses what would answer a value that is too large to be kept for a retry.
    fn check_old(&self, key: &[u8]) -> Result<(), Fault> {
        check_stored(self.entries.get(key).map_or(0, |old| old.len()))
    }

    pub(super) fn apply(&mut self, op: &MapOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            MapOp::Put { key, value } => {
                let old = self.put(key, value);
                turn.done(&Reply::Bool(old.is_some()))
            }
            MapOp::PutWithToken { token, key, value } => {
                self.fence = token;
                let old = self.put(key, value);
                turn.done(&Reply::Bool(old.is_some()))
            }
            MapOp::Swap { key, value } => {
                let old = self.put(key, value);
                turn.done(&Reply::Value(old.as_deref()))
            }
            MapOp::PutIfAbsent { key, value } => {
                let is_new = !self.entries.contains_key(key);
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
                for (key, value) in pairs(items) {
                    self.put(key, value);
                }
                turn.done(&Reply::Number((self.entries.len() - before) as u64))
            }
            MapOp::Merge { key, value, merge } => {
                self.merge(merge, key, value);
                turn.done(&Reply::Value(self.entries.get(key).map(|value| &**value)))
            }
            MapOp::MergeAll { items, merge } => {
                let before = self.entries.len();
                for (key, value) in pairs(items) {
                    self.merge(merge, key, value);
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
                let removed = self.entries.len() as u64;
                self.entries.clear();
                self.entry_bytes = 0;
                turn.done(&Reply::Number(removed))
            }
            MapOp::Len
            | MapOp::Get { .. }
            | MapOp::ContainsKey { .. }
            | MapOp::ContainsValue { .. }
            | MapOp::Scan(_) => unreachable!("a read is not applied"),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Option<Box<[u8]>> {
        // Copy 1 of 1: the frame's buffer is reused for the next read, the object stays.
        let value: Box<[u8]> = value.into();
        self.entry_bytes += value.len() as u64;
        let old = match self.entries.get_mut(key) {
            Some(place) => Some(std::mem::replace(place, value)),
            None => {
                self.entry_bytes += ENTRY_BYTES + key.len() as u64;
                self.entries.insert(key.into(), value)
            }
        };
        self.entry_bytes -= old.as_ref().map_or(0, |old| old.len() as u64);
        old
    }

    fn remove(&mut self, key: &[u8]) -> Option<Box<[u8]>> {
        let removed = self.entries.remove(key)?;
        self.entry_bytes -= ENTRY_BYTES + (key.len() + removed.len()) as u64;
        Some(removed)
    }

    fn merge(&mut self, merge: Merge, key: &[u8], value: &[u8]) {
        let old = self.entries.get(key).map(|old| &**old);
        let merged = merged(merge, old, value).expect("merging was tried").into_owned();
        self.put(key, &merged);
    }

    pub(super) fn describe(&self) -> Description {
        Description { detail: format!("{} entries", self.entries.len()), ..Description::default() }
    }

    pub(super) fn bytes(&self) -> u64 {
        size_of::<Map>() as u64 + self.entry_bytes
    }
}

/// What a key's value becomes.
fn merged<'v>(merge: Merge, old: Option<&[u8]>, new: &'v [u8]) -> Result<Cow<'v, [u8]>, Fault> {
    let word = |bytes: &[u8]| {
        <[u8; 8]>::try_from(bytes)
            .map_err(|_| Fault::expected(Status::Mismatch, 8, bytes.len() as u64))
    };
    let ints = |fold: fn(i64, i64) -> Option<i64>| {
        let new = i64::from_le_bytes(word(new)?);
        let Some(old) = old else { return Ok(new.to_le_bytes()) };
        let folded = fold(i64::from_le_bytes(word(old)?), new);
        folded.map(i64::to_le_bytes).ok_or(Fault::new(Status::Overflow))
    };
    let floats = |fold: fn(f64, f64) -> f64| {
        let new = f64::from_le_bytes(word(new)?);
        let Some(old) = old else { return Ok(new.to_le_bytes()) };
        Ok(fold(f64::from_le_bytes(word(old)?), new).to_le_bytes())
    };
    let word = match merge {
        Merge::Add => ints(i64::checked_add),
        Merge::Min => ints(|old, new| Some(old.min(new))),
        Merge::Max => ints(|old, new| Some(old.max(new))),
        Merge::AddF64 => floats(|old, new| old + new),
        Merge::MinF64 => floats(super::numbers::smaller),
        Merge::MaxF64 => floats(super::numbers::larger),
        Merge::Append => {
            let both = [old.unwrap_or_default(), new].concat();
            return Ok(Cow::Owned(both));
        }
        Merge::ReplaceIfGreater => {
            return Ok(match old {
                Some(old) if old >= new => Cow::Owned(old.to_vec()),
                _ => Cow::Borrowed(new),
            });
        }
    };
    Ok(Cow::Owned(word?.to_vec()))
}

/// The entries that a scan is about, lowest key first, whichever end it begins at.
pub(super) fn range<'m, V>(
    entries: &'m BTreeMap<Box<[u8]>, V>,
    scan: &ScanArgs<'_>,
) -> std::collections::btree_map::Range<'m, Box<[u8]>, V> {
    let (from, to) = (scan.from.bound(), scan.to.bound());
    // The table panics at a range that ends before it begins; it is just empty.
    let is_empty = match (&from, &to) {
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
        _ => false,
    };
    if is_empty {
        return entries.range::<[u8], _>((Bound::Included(&[][..]), Bound::Excluded(&[][..])));
    }
    entries.range::<[u8], _>((from, to))
}

/// A page of what a scan found.
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

/// Answers whether there is more than fits the page.
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

fn pairs<'a>(items: Items<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut items = items.iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

/// Refuses a key without a value.
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
