//! The handle to a map.

use std::ops::{Bound, RangeBounds};

use catena_protocol::op::{MapOp, Merge, ScanWhat};
use catena_protocol::{Fault, ItemsBuf, Op, Status};

use super::{Object, boolean, handle, number};
use crate::Error;
use crate::page::{EntryWalk, ItemWalk, Pages, Route};
use crate::view::ValueView;

handle! {
    /// Bytes by key. Keys have at most 4,096 bytes and are listed in byte order, see
    /// [`SortedMap`](crate::SortedMap); values have at most 8 MiB.
    ///
    /// What takes an old value along ([`Map::take`], [`Map::swap`], [`Map::merge`]) answers at most
    /// 64 KiB of it, else [`Status::TooLarge`]: the engine keeps the answer for a retry.
    pub struct Map: Map
}

/// All methods fail with [`Error`].
impl<'c> Map<'c> {
    /// How many keys there are.
    pub fn len(&self) -> Result<u64, Error> {
        self.number(MapOp::Len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView<'c>>, Error> {
        self.value(MapOp::Get { key: key.as_ref() })
    }

    /// The value of a key that is an integer; [`Status::Mismatch`] if it has not 8 bytes.
    pub fn get_i64(&self, key: impl AsRef<[u8]>) -> Result<Option<i64>, Error> {
        self.word(MapOp::Get { key: key.as_ref() }).map(|word| word.map(i64::from_le_bytes))
    }

    /// The value of a key that is a float; [`Status::Mismatch`] if it has not 8 bytes.
    pub fn get_f64(&self, key: impl AsRef<[u8]>) -> Result<Option<f64>, Error> {
        self.word(MapOp::Get { key: key.as_ref() }).map(|word| word.map(f64::from_le_bytes))
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::ContainsKey { key: key.as_ref() })
    }

    /// Whether any key has this value. Looks at all of them.
    pub fn contains_value(&self, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::ContainsValue { value: value.as_ref() })
    }

    /// Sets the value of a key. Answers whether it had one before.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::Put { key: key.as_ref(), value: value.as_ref() })
    }

    /// As [`Map::put`], with a value that [`Map::get_i64`] and [`Map::add`] read.
    pub fn put_i64(&self, key: impl AsRef<[u8]>, value: i64) -> Result<bool, Error> {
        self.put(key, value.to_le_bytes())
    }

    /// As [`Map::put`], with a value that [`Map::get_f64`] and [`Map::add_f64`] read.
    pub fn put_f64(&self, key: impl AsRef<[u8]>, value: f64) -> Result<bool, Error> {
        self.put(key, value.to_le_bytes())
    }

    /// Sets the value of a key that has none. Answers whether it did.
    pub fn put_if_absent(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::PutIfAbsent { key: key.as_ref(), value: value.as_ref() })
    }

    /// As [`Map::put`], under the `token` of a lock, permit or claim. [`Status::StaleToken`] if a
    /// higher one was seen in this map: somebody else holds the lock now.
    pub fn put_with_token(
        &self,
        token: u64,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::PutWithToken { token, key: key.as_ref(), value: value.as_ref() })
    }

    /// Sets or removes (`value` is `None`) the value of a key if it has the expected one (`None`: if
    /// the key is not there). Answers whether it did.
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::CompareAndSwap { key: key.as_ref(), expected, value })
    }

    /// Removes a key. Answers whether it was there.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::Remove { key: key.as_ref() })
    }

    /// Removes a key. Answers its value.
    pub fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView<'c>>, Error> {
        self.value(MapOp::Take { key: key.as_ref() })
    }

    /// Sets the value of a key. Answers the old one.
    pub fn swap(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<ValueView<'c>>, Error> {
        self.value(MapOp::Swap { key: key.as_ref(), value: value.as_ref() })
    }

    /// Sets the values of several keys, all at once. Answers how many are new.
    pub fn put_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, Error> {
        let items = collect(entries);
        self.number(MapOp::PutAll { items: items.items() })
    }

    /// Merges `value` into the one that is there, next to the data. An absent key becomes the value.
    /// Answers the new value; [`Status::Mismatch`] if numbers have not 8 bytes,
    /// [`Status::Overflow`] if they do not fit.
    pub fn merge(
        &self,
        key: impl AsRef<[u8]>,
        merge: Merge,
        value: impl AsRef<[u8]>,
    ) -> Result<ValueView<'c>, Error> {
        let op = MapOp::Merge { key: key.as_ref(), value: value.as_ref(), merge };
        self.client.ask_bytes(&self.target, Op::Map(op), None)
    }

    /// Adds to the integer of a key, 0 if it is absent. Answers the new one, see [`Map::merge`].
    pub fn add(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64, Error> {
        self.merge_word(key.as_ref(), Merge::Add, delta.to_le_bytes()).map(i64::from_le_bytes)
    }

    /// Adds to the float of a key, 0 if it is absent. Answers the new one, see [`Map::merge`].
    pub fn add_f64(&self, key: impl AsRef<[u8]>, delta: f64) -> Result<f64, Error> {
        self.merge_word(key.as_ref(), Merge::AddF64, delta.to_le_bytes()).map(f64::from_le_bytes)
    }

    /// Merges values into those that are there: all of them, or none if one cannot be. Answers how
    /// many keys are new.
    pub fn merge_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        merge: Merge,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, Error> {
        let items = collect(entries);
        self.number(MapOp::MergeAll { merge, items: items.items() })
    }

    /// Adds to the integers of several keys, as [`Map::merge_all`]: what counting words needs.
    pub fn add_all<K: AsRef<[u8]>>(
        &self,
        deltas: impl IntoIterator<Item = (K, i64)>,
    ) -> Result<u64, Error> {
        self.merge_all(
            Merge::Add,
            deltas.into_iter().map(|(key, delta)| (key, delta.to_le_bytes())),
        )
    }

    /// Removes several keys. Answers how many were there.
    pub fn remove_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = keys.into_iter().collect();
        self.number(MapOp::RemoveAll { items: items.items() })
    }

    /// Removes everything. Answers how many keys were removed.
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(MapOp::Clear)
    }

    /// All keys, in byte order.
    pub fn keys(&self) -> ItemWalk<'c> {
        self.scan().keys()
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> ItemWalk<'c> {
        self.scan().values()
    }

    /// All keys with their values, in byte order of the keys.
    pub fn entries(&self) -> EntryWalk<'c> {
        self.scan().entries()
    }

    /// A scan from the first key to the last, to be narrowed or turned round.
    pub fn scan(&self) -> Scan<'c> {
        let bounds = Bounds { from: Bound::Unbounded, to: Bound::Unbounded };
        Scan { map: self.clone(), bounds, reverse: false, limit: u64::MAX, page_items: 0 }
    }

    fn merge_word(&self, key: &[u8], merge: Merge, value: [u8; 8]) -> Result<[u8; 8], Error> {
        let op = MapOp::Merge { key, value: &value, merge };
        let word = self.word(op)?;
        // A merge always answers a value, and merging numbers one of 8 bytes.
        Ok(word.unwrap_or(value))
    }

    fn word(&self, op: MapOp<'_>) -> Result<Option<[u8; 8]>, Error> {
        let op = Op::Map(op);
        let Some(value) = self.client.ask_value(&self.target, op, None)? else { return Ok(None) };
        let word = <[u8; 8]>::try_from(&value[..]).map_err(|_| {
            let fault = Fault::expected(Status::Mismatch, 8, value.len() as u64);
            self.target.refused(op, fault)
        })?;
        Ok(Some(word))
    }

    fn value(&self, op: MapOp<'_>) -> Result<Option<ValueView<'c>>, Error> {
        self.client.ask_value(&self.target, Op::Map(op), None)
    }

    fn number(&self, op: MapOp<'_>) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Map(op), None, number)
    }

    fn boolean(&self, op: MapOp<'_>) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::Map(op), None, boolean)
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

impl Object for Map<'_> {
    type Op<'o> = MapOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Map(op)
    }
}

/// A range of keys.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) from: Bound<Vec<u8>>,
    pub(super) to: Bound<Vec<u8>>,
}

pub(super) fn bounds<K: AsRef<[u8]> + ?Sized>(range: &impl RangeBounds<K>) -> Bounds {
    let owned = |key: &K| key.as_ref().to_vec();
    Bounds { from: range.start_bound().map(owned), to: range.end_bound().map(owned) }
}

/// What of a map is to be read, in which direction; see [`Map::scan`].
#[derive(Clone, Debug)]
pub struct Scan<'c> {
    map: Map<'c>,
    bounds: Bounds,
    reverse: bool,
    limit: u64,
    page_items: u32,
}

impl<'c> Scan<'c> {
    /// Only the keys in this range: `"a".."c"`, `"m"..`, `..=key`.
    #[must_use]
    pub fn range<K: AsRef<[u8]> + ?Sized>(mut self, range: impl RangeBounds<K>) -> Scan<'c> {
        self.bounds = bounds(&range);
        self
    }

    /// From the last key to the first.
    #[must_use]
    pub fn reverse(mut self) -> Scan<'c> {
        self.reverse = true;
        self
    }

    /// So many entries in all.
    #[must_use]
    pub fn limit(mut self, entries: u64) -> Scan<'c> {
        self.limit = entries;
        self
    }

    /// So many entries a page at most; as many as the engine allows unless set.
    #[must_use]
    pub fn page_items(mut self, entries: u32) -> Scan<'c> {
        self.page_items = entries;
        self
    }

    /// The keys.
    pub fn keys(self) -> ItemWalk<'c> {
        ItemWalk::new(self.walk(ScanWhat::Keys))
    }

    /// The values. The keys are received as well: a walk that goes on behind a value needs its key.
    pub fn values(self) -> ItemWalk<'c> {
        ItemWalk::of_values(self.walk(ScanWhat::Entries))
    }

    /// The keys with their values.
    pub fn entries(self) -> EntryWalk<'c> {
        EntryWalk::new(self.walk(ScanWhat::Entries))
    }

    /// The keys with their values, page by page, read where they were received.
    pub fn pages(self) -> Pages<'c> {
        self.walk(ScanWhat::Entries)
    }

    fn walk(self, what: ScanWhat) -> Pages<'c> {
        let Scan { map, bounds: Bounds { from, to }, reverse, limit, page_items } = self;
        let route = Route::Scan { what, reverse, from, to };
        Pages::new(map.client, &map.target, route).limit(limit).page_items(page_items)
    }
}
