//! The handle to a map.

use catena_protocol::op::{MapOp, Merge};
use catena_protocol::{Fault, ItemsBuf, Op, Status};

use super::{Object, Scan, boolean, handle, number};
use crate::Error;
use crate::page::{EntryWalk, ItemWalk};
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert_eq!(words.len()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn len(&self) -> Result<u64, Error> {
        self.number(MapOp::Len)
    }

    /// Returns whether there are none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.map("words").is_empty()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Returns the value of a key.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert_eq!(words.get("a")?.unwrap().as_str(), Some("1"));
    /// assert!(words.get("b")?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView>, Error> {
        self.value(MapOp::Get { key: key.as_ref() })
    }

    /// Returns the value of a key as an integer; [`Status::Mismatch`] if it does not have 8 bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.add("a", 3)?;
    /// assert_eq!((words.get_i64("a")?, words.get_i64("b")?), (Some(3), None));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_i64(&self, key: impl AsRef<[u8]>) -> Result<Option<i64>, Error> {
        self.word(MapOp::Get { key: key.as_ref() }).map(|word| word.map(i64::from_le_bytes))
    }

    /// Returns the value of a key as a float; [`Status::Mismatch`] if it does not have 8 bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_f64("a", 1.5)?;
    /// assert_eq!(words.get_f64("a")?, Some(1.5));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_f64(&self, key: impl AsRef<[u8]>) -> Result<Option<f64>, Error> {
        self.word(MapOp::Get { key: key.as_ref() }).map(|word| word.map(f64::from_le_bytes))
    }

    /// Returns whether the map has a key.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert!(words.contains_key("a")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::ContainsKey { key: key.as_ref() })
    }

    /// Returns whether any key has this value. Compares all values.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert!(words.contains_value("1")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contains_value(&self, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::ContainsValue { value: value.as_ref() })
    }

    /// Sets the value of a key. Returns whether it had one before.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// assert!(!words.put("a", "1")?);
    /// assert!(words.put("a", "2")?, "it had a value");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::Put { key: key.as_ref(), value: value.as_ref() })
    }

    /// As [`Map::put`], with an integer that [`Map::get_i64`] and [`Map::add`] read.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_i64("a", 5)?;
    /// assert_eq!(words.add("a", 1)?, 6);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn put_i64(&self, key: impl AsRef<[u8]>, value: i64) -> Result<bool, Error> {
        self.put(key, value.to_le_bytes())
    }

    /// As [`Map::put`], with a float that [`Map::get_f64`] and [`Map::add_f64`] read.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_f64("a", 0.5)?;
    /// assert_eq!(words.add_f64("a", 1.0)?, 1.5);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn put_f64(&self, key: impl AsRef<[u8]>, value: f64) -> Result<bool, Error> {
        self.put(key, value.to_le_bytes())
    }

    /// Sets the value of a key that has none. Returns whether it did.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// assert!(words.put_if_absent("a", "1")? && !words.put_if_absent("a", "2")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let words = client.map("words");
    /// let guard = client.lock("words/lock").lock(seconds)?;
    /// words.put_with_token(guard.token(), "a", "1")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// assert!(words.compare_and_swap("a", None, Some(b"1"))?);
    /// assert!(!words.compare_and_swap("a", Some(b"2"), Some(b"3"))?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool, Error> {
        self.boolean(MapOp::CompareAndSwap { key: key.as_ref(), expected, value })
    }

    /// Removes a key. Returns whether it existed.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert!(words.remove("a")? && !words.remove("a")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(MapOp::Remove { key: key.as_ref() })
    }

    /// Removes a key. Returns its value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert_eq!(&words.take("a")?.unwrap()[..], b"1");
    /// assert!(words.take("a")?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView>, Error> {
        self.value(MapOp::Take { key: key.as_ref() })
    }

    /// Sets the value of a key. Returns the old one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert_eq!(&words.swap("a", "2")?.unwrap()[..], b"1");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn swap(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<ValueView>, Error> {
        self.value(MapOp::Swap { key: key.as_ref(), value: value.as_ref() })
    }

    /// Sets the values of several keys, atomically. Returns how many keys are new. A call takes at
    /// most 4,096 entries ([`Status::TooLarge`]).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// assert_eq!(words.put_all([("a", "1"), ("b", "2")])?, 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Merge;
    ///
    /// let words = client.map("words");
    /// words.merge("a", Merge::Append, "x")?;
    /// assert_eq!(&words.merge("a", Merge::Append, "y")?[..], b"xy");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// assert_eq!((words.add("a", 2)?, words.add("a", 3)?), (2, 5));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64, Error> {
        self.merge_word(key.as_ref(), Merge::Add, delta.to_le_bytes()).map(i64::from_le_bytes)
    }

    /// Adds to the float of a key, 0 if the key does not exist. Returns the new one, see
    /// [`Map::merge`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// assert_eq!(words.add_f64("a", 0.5)?, 0.5);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add_f64(&self, key: impl AsRef<[u8]>, delta: f64) -> Result<f64, Error> {
        self.merge_word(key.as_ref(), Merge::AddF64, delta.to_le_bytes()).map(f64::from_le_bytes)
    }

    /// Merges values into the current ones: all of them, or none if one cannot be merged. Returns
    /// how many keys are new. A call takes at most 4,096 entries.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Merge;
    ///
    /// let words = client.map("words");
    /// words.merge_all(Merge::Max, [("a", 3_i64.to_le_bytes()), ("b", 4_i64.to_le_bytes())])?;
    /// assert_eq!(words.get_i64("b")?, Some(4));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn merge_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        merge: Merge,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, Error> {
        let items = collect(entries);
        self.number(MapOp::MergeAll { merge, items: items.items() })
    }

    /// Adds to the integers of several keys, as [`Map::merge_all`]; for example to count words.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.add_all([("to", 2), ("be", 2), ("or", 1)])?;
    /// assert_eq!(words.get_i64("be")?, Some(2));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2")])?;
    /// assert_eq!(words.remove_all(["a", "c"])?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = keys.into_iter().collect();
        self.number(MapOp::RemoveAll { items: items.items() })
    }

    /// Removes all keys. Returns how many.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert_eq!(words.clear()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(MapOp::Clear)
    }

    /// Walks all keys, in byte order.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("b", "2"), ("a", "1")])?;
    /// assert_eq!(words.keys().collect::<Result<Vec<_>, _>>()?, [b"a", b"b"]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn keys(&self) -> ItemWalk {
        self.scan().keys()
    }

    /// Walks all values, in the order of their keys.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("b", "2"), ("a", "1")])?;
    /// assert_eq!(words.values().collect::<Result<Vec<_>, _>>()?, [b"1", b"2"]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn values(&self) -> ItemWalk {
        self.scan().values()
    }

    /// Walks all keys with their values, in byte order of the keys.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// for entry in words.entries() {
    ///     let (key, value) = entry?;
    ///     assert_eq!((&key[..], &value[..]), (&b"a"[..], &b"1"[..]));
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn entries(&self) -> EntryWalk {
        self.scan().entries()
    }

    /// Returns a scan from the first key to the last, which can be narrowed or reversed.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// let keys = words.scan().range("b"..).reverse().keys();
    /// assert_eq!(keys.collect::<Result<Vec<_>, _>>()?, [b"c", b"b"]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn scan(&self) -> Scan {
        Scan::new(self)
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
