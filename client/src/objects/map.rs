//! The handle to a map.

use std::ops::{Bound, RangeBounds};

use catena_protocol::op::{MapOp, Merge, ScanWhat};
use catena_protocol::{Fault, ItemsBuf, Op, Status};

use super::{Object, boolean, handle, number};
use crate::Error;
use crate::page::{EntryWalk, ItemWalk, PageCursor, Pages};
use crate::view::ValueView;

handle! {
    /// Values by key. Keys have at most 4,096 bytes and are in byte order, see
    /// [`SortedMap`](crate::SortedMap); values have at most 8 MiB.
    ///
    /// Updates that return a value ([`Map::take`], [`Map::swap`], [`Map::merge`]) are refused with
    /// [`Status::TooLarge`] if it has more than 64 KiB, because the engine keeps the reply for
    /// retries.
    pub struct Map: Map
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Map {
    /// Returns the number of keys.
    pub fn len(&self) -> Result<u64, Error> {
        self.number(MapOp::Len)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Returns the value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView>, Error> {
        self.value(MapOp::Get { key: key.as_ref() })
    }

    /// Returns the value of a key as an integer; [`Status::Mismatch`] if it does not have 8 bytes.
    pub fn get_i64(&self, key: impl AsRef<[u8]>) -> Result<Option<i64>, Error> {
        self.word(MapOp::Get { key: key.as_ref() }).map(|word| word.map(i64::from_le_bytes))
    }

    /// Returns the value of a key as a float; [`Status::Mismatch`] if it does not have 8 bytes.
    pub fn get_f64(&self, key: impl AsRef<[u8]>) -> Result<Option<f64>, Error> {
        self.word(MapOp::Get { key: key.as_ref() }).map(|word| word.map(f64::from_le_bytes))
    }

    /// Returns whether the map has a key.
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::ContainsKey { key: key.as_ref() })
    }

    /// Returns whether any key has this value. Compares all values.
    pub fn contains_value(&self, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::ContainsValue { value: value.as_ref() })
    }

    /// Sets the value of a key. Returns whether it had one before.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::Put { key: key.as_ref(), value: value.as_ref() })
    }

    /// As [`Map::put`], with an integer that [`Map::get_i64`] and [`Map::add`] read.
    pub fn put_i64(&self, key: impl AsRef<[u8]>, value: i64) -> Result<bool, Error> {
        self.put(key, value.to_le_bytes())
    }

    /// As [`Map::put`], with a float that [`Map::get_f64`] and [`Map::add_f64`] read.
    pub fn put_f64(&self, key: impl AsRef<[u8]>, value: f64) -> Result<bool, Error> {
        self.put(key, value.to_le_bytes())
    }

    /// Sets the value of a key that has none. Returns whether it did.
    pub fn put_if_absent(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::PutIfAbsent { key: key.as_ref(), value: value.as_ref() })
    }

    /// As [`Map::put`], under the fencing `token` of a lock, permit or claim.
    /// [`Status::StaleToken`] if this map has seen a higher token, because another client has held
    /// the lock since.
    pub fn put_with_token(
        &self,
        token: u64,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::PutWithToken { token, key: key.as_ref(), value: value.as_ref() })
    }

    /// Sets the value of a key, or removes the key if `value` is `None`, provided that the key has
    /// the expected value, or does not exist if `expected` is `None`. Returns whether it did.
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::CompareAndSwap { key: key.as_ref(), expected, value })
    }

    /// Removes a key. Returns whether it existed.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::Remove { key: key.as_ref() })
    }

    /// Removes a key. Returns its value.
    pub fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView>, Error> {
        self.value(MapOp::Take { key: key.as_ref() })
    }

    /// Sets the value of a key. Returns the old one.
    pub fn swap(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<ValueView>, Error> {
        self.value(MapOp::Swap { key: key.as_ref(), value: value.as_ref() })
    }

    /// Sets the values of several keys, atomically. Returns how many keys are new. A call takes at
    /// most 4,096 entries ([`Status::TooLarge`]).
    pub fn put_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, Error> {
        let items = collect(entries);
        self.number(MapOp::PutAll { items: items.items() })
    }

    /// Merges `value` into the current value, on the server. A key that does not exist gets
    /// `value`. Returns the new value; [`Status::Mismatch`] if numbers are merged and one does not
    /// have 8 bytes, [`Status::Overflow`] if the result does not fit.
    pub fn merge(
        &self,
        key: impl AsRef<[u8]>,
        merge: Merge,
        value: impl AsRef<[u8]>,
    ) -> Result<ValueView, Error> {
        let op = MapOp::Merge { key: key.as_ref(), value: value.as_ref(), merge };
        self.requester.ask_bytes(&self.target, Op::Map(op), None)
    }

    /// Adds to the integer of a key, 0 if the key does not exist. Returns the new one, see
    /// [`Map::merge`].
    pub fn add(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64, Error> {
        self.merge_word(key.as_ref(), Merge::Add, delta.to_le_bytes()).map(i64::from_le_bytes)
    }

    /// Adds to the float of a key, 0 if the key does not exist. Returns the new one, see
    /// [`Map::merge`].
    pub fn add_f64(&self, key: impl AsRef<[u8]>, delta: f64) -> Result<f64, Error> {
        self.merge_word(key.as_ref(), Merge::AddF64, delta.to_le_bytes()).map(f64::from_le_bytes)
    }

    /// Merges values into the current ones: all of them, or none if one cannot be merged. Returns
    /// how many keys are new. A call takes at most 4,096 entries.
    pub fn merge_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        merge: Merge,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, Error> {
        let items = collect(entries);
        self.number(MapOp::MergeAll { merge, items: items.items() })
    }

    /// Adds to the integers of several keys, as [`Map::merge_all`]; for example to count words.
    pub fn add_all<K: AsRef<[u8]>>(
        &self,
        deltas: impl IntoIterator<Item = (K, i64)>,
    ) -> Result<u64, Error> {
        self.merge_all(
            Merge::Add,
            deltas.into_iter().map(|(key, delta)| (key, delta.to_le_bytes())),
        )
    }

    /// Removes several keys, at most 8,192 in a call. Returns how many existed.
    pub fn remove_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = keys.into_iter().collect();
        self.number(MapOp::RemoveAll { items: items.items() })
    }

    /// Removes all keys. Returns how many.
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(MapOp::Clear)
    }

    /// Walks all keys, in byte order.
    pub fn keys(&self) -> ItemWalk {
        self.scan().keys()
    }

    /// Walks all values, in the order of their keys.
    pub fn values(&self) -> ItemWalk {
        self.scan().values()
    }

    /// Walks all keys with their values, in byte order of the keys.
    pub fn entries(&self) -> EntryWalk {
        self.scan().entries()
    }

    /// Returns a scan from the first key to the last, which can be narrowed or reversed.
    pub fn scan(&self) -> Scan {
        let range = KeyRange { from: Bound::Unbounded, to: Bound::Unbounded };
        Scan { map: self.clone(), range, reverse: false, limit: u64::MAX, page_items: 0 }
    }

    fn merge_word(&self, key: &[u8], merge: Merge, value: [u8; 8]) -> Result<[u8; 8], Error> {
        let op = MapOp::Merge { key, value: &value, merge };
        let word = self.word(op)?;
        // The reply to a merge always has a value, and one of 8 bytes if numbers were merged.
        Ok(word.unwrap_or(value))
    }

    fn word(&self, op: MapOp<'_>) -> Result<Option<[u8; 8]>, Error> {
        let op = Op::Map(op);
        let Some(value) = self.requester.ask_value(&self.target, op, None)? else {
            return Ok(None);
        };
        let word = <[u8; 8]>::try_from(&value[..]).map_err(|_| {
            let fault = Fault::expected(Status::Mismatch, value.len() as u64, 8);
            self.target.refused(op, fault)
        })?;
        Ok(Some(word))
    }

    fn value(&self, op: MapOp<'_>) -> Result<Option<ValueView>, Error> {
        self.requester.ask_value(&self.target, Op::Map(op), None)
    }

    fn number(&self, op: MapOp<'_>) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Map(op), None, number)
    }

    fn boolean(&self, op: MapOp<'_>) -> Result<bool, Error> {
        self.requester.ask(&self.target, Op::Map(op), None, boolean)
    }
}

fn collect<K: AsRef<[u8]>, V: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, V)>) -> ItemsBuf {
    let mut items = ItemsBuf::new();
    for (key, value) in entries {
        items.push(key.as_ref());
        items.push(value.as_ref());
    }
    items
}

impl Object for Map {
    type Op<'o> = MapOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Map(op)
    }
}

/// A range of keys.
#[derive(Clone, Debug)]
pub(super) struct KeyRange {
    pub(super) from: Bound<Vec<u8>>,
    pub(super) to: Bound<Vec<u8>>,
}

pub(super) fn key_range<K: AsRef<[u8]> + ?Sized>(range: &impl RangeBounds<K>) -> KeyRange {
    let owned = |key: &K| key.as_ref().to_vec();
    KeyRange { from: range.start_bound().map(owned), to: range.end_bound().map(owned) }
}

/// Which entries of a map to read, and in which direction; see [`Map::scan`].
#[derive(Clone, Debug)]
pub struct Scan {
    map: Map,
    range: KeyRange,
    reverse: bool,
    limit: u64,
    page_items: u32,
}

impl Scan {
    /// Limits the scan to the keys in this range, such as `"a".."c"`, `"m"..` or `..=key`.
    #[must_use]
    pub fn range<K: AsRef<[u8]> + ?Sized>(mut self, range: impl RangeBounds<K>) -> Scan {
        self.range = key_range(&range);
        self
    }

    /// Reverses the scan: from the last key to the first.
    #[must_use]
    pub fn reverse(mut self) -> Scan {
        self.reverse = true;
        self
    }

    /// Limits the number of entries.
    #[must_use]
    pub fn limit(mut self, entries: u64) -> Scan {
        self.limit = entries;
        self
    }

    /// Sets the maximum number of entries in a page; as many as the engine allows unless set.
    #[must_use]
    pub fn page_items(mut self, entries: u32) -> Scan {
        self.page_items = entries;
        self
    }

    /// Walks the keys.
    pub fn keys(self) -> ItemWalk {
        ItemWalk::new(self.walk(ScanWhat::Keys))
    }

    /// Walks the values. The keys are received as well, because the next page begins behind the
    /// last key.
    pub fn values(self) -> ItemWalk {
        ItemWalk::of_values(self.walk(ScanWhat::Entries))
    }

    /// Walks the keys with their values.
    pub fn entries(self) -> EntryWalk {
        EntryWalk::new(self.walk(ScanWhat::Entries))
    }

    /// Walks the keys with their values page by page, read in the buffers they were received in.
    pub fn pages(self) -> Pages {
        self.walk(ScanWhat::Entries)
    }

    fn walk(self, what: ScanWhat) -> Pages {
        let Scan { map, range: KeyRange { from, to }, reverse, limit, page_items } = self;
        let cursor = PageCursor::Scan { what, reverse, from, to };
        Pages::new(&map.requester, &map.target, cursor).limit(limit).page_items(page_items)
    }
}
