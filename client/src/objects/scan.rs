//! Which entries of a map to read, and in which direction.

use std::ops::{Bound, RangeBounds};

use catena_protocol::op::ScanWhat;

use super::Map;
use crate::page::{EntryWalk, ItemWalk, PageCursor, Pages};

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
    /// A scan of all keys.
    pub(super) fn new(map: &Map) -> Scan {
        let range = KeyRange { from: Bound::Unbounded, to: Bound::Unbounded };
        Scan { map: map.clone(), range, reverse: false, limit: u64::MAX, page_items: 0 }
    }

    /// Limits the scan to the keys in this range, such as `"a".."c"`, `"m"..` or `..=key`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().range("b"..).keys().count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn range<K: AsRef<[u8]> + ?Sized>(mut self, range: impl RangeBounds<K>) -> Scan {
        self.range = key_range(&range);
        self
    }

    /// Reverses the scan: from the last key to the first.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().reverse().keys().next().transpose()?, Some(b"c".to_vec()));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn reverse(mut self) -> Scan {
        self.reverse = true;
        self
    }

    /// Limits the number of entries.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().limit(2).keys().count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, entries: u64) -> Scan {
        self.limit = entries;
        self
    }

    /// Sets the maximum number of entries in a page; as many as the engine allows unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().page_items(1).pages().count(), 3);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn page_items(mut self, entries: u32) -> Scan {
        self.page_items = entries;
        self
    }

    /// Walks the keys.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().keys().count(), 3);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn keys(self) -> ItemWalk {
        ItemWalk::new(self.walk(ScanWhat::Keys))
    }

    /// Walks the values. The keys are received as well, because the next page begins behind the
    /// last key.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().values().next().transpose()?, Some(b"1".to_vec()));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn values(self) -> ItemWalk {
        ItemWalk::of_values(self.walk(ScanWhat::Entries))
    }

    /// Walks the keys with their values.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(words.scan().limit(1).entries().next().transpose()?, Some((b"a".to_vec(), b"1".to_vec())));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn entries(self) -> EntryWalk {
        EntryWalk::new(self.walk(ScanWhat::Entries))
    }

    /// Walks the keys with their values page by page, read in the buffers they were received in.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// for page in words.scan().pages() {
    ///     assert_eq!(page?.entries().count(), 3);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pages(self) -> Pages {
        self.walk(ScanWhat::Entries)
    }

    fn walk(self, what: ScanWhat) -> Pages {
        let Scan { map, range: KeyRange { from, to }, reverse, limit, page_items } = self;
        let cursor = PageCursor::Scan { what, reverse, from, to };
        Pages::new(&map.requester, &map.target, cursor).limit(limit).page_items(page_items)
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
