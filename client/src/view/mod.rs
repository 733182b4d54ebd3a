//! Replies that are read in the buffer they were received in.
//!
//! A view owns its receive buffer, so the client can be used for other calls meanwhile. The buffer
//! is reused after the view is dropped. Nothing is copied, or decoded a second time.

mod elements;

use std::ops::{Deref, Range};

use catena_protocol::Items;

pub(crate) use self::elements::ElementsLocation;
pub use self::elements::{RoundView, VectorView};
use crate::buffer::HeldReply;

/// Version and bytes of a cell.
#[derive(Debug)]
pub struct CellView {
    held: HeldReply,
    version: u64,
    place: Range<usize>,
}

impl CellView {
    pub(crate) fn new(held: HeldReply, version: u64, place: Range<usize>) -> CellView {
        CellView { held, version, place }
    }

    /// Returns the version of the bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// let version = page.set(b"hello")?;
    /// assert_eq!(page.get()?.version(), version);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Deref for CellView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held.at(&self.place)
    }
}

impl AsRef<[u8]> for CellView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Bytes: a value of a map, an item of a list, the value of a future.
#[derive(Debug)]
pub struct ValueView {
    held: HeldReply,
    place: Range<usize>,
}

impl ValueView {
    pub(crate) fn new(held: HeldReply, place: Range<usize>) -> ValueView {
        ValueView { held, place }
    }

    /// Returns the bytes as text, if they are UTF-8.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// assert_eq!(words.get("a")?.unwrap().as_str(), Some("1"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }

    /// Returns the bytes as a little-endian integer, if there are 8, as merging integers stores
    /// them.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_i64("a", 7)?;
    /// assert_eq!(words.get("a")?.unwrap().as_i64(), Some(7));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_i64(&self) -> Option<i64> {
        Some(i64::from_le_bytes((**self).try_into().ok()?))
    }

    /// Returns the bytes as a little-endian float, if there are 8, as merging floats stores them.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put_f64("a", 0.5)?;
    /// assert_eq!(words.get("a")?.unwrap().as_f64(), Some(0.5));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_f64(&self) -> Option<f64> {
        Some(f64::from_le_bytes((**self).try_into().ok()?))
    }
}

impl Deref for ValueView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held.at(&self.place)
    }
}

impl AsRef<[u8]> for ValueView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A page of items, read in the buffer it was received in.
#[derive(Debug)]
pub struct PageView {
    held: HeldReply,
    at: u64,
    more: bool,
    lens: Range<usize>,
    bytes: Range<usize>,
}

impl PageView {
    pub(crate) fn new(
        held: HeldReply,
        at: u64,
        more: bool,
        lens: Range<usize>,
        bytes: Range<usize>,
    ) -> PageView {
        PageView { held, at, more, lens, bytes }
    }

    /// Returns the position of the first item: its index in a list, or the number of a line; else
    /// 0.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let page = jobs.range(1..9)?;
    /// assert_eq!(page.at(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns whether there are more items behind the last one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let page = jobs.range(1..9)?;
    /// assert!(!page.more());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn more(&self) -> bool {
        self.more
    }

    /// Returns the number of items; an entry counts as two, key and value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let page = jobs.range(1..9)?;
    /// assert_eq!(page.len(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.lens().len()
    }

    /// Returns whether there are none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let page = jobs.range(1..9)?;
    /// assert!(!page.is_empty());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an iterator over the items in order; for entries, over keys and values alternately.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let page = jobs.range(1..9)?;
    /// assert_eq!(page.iter().next(), Some(&b"b"[..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.items().iter()
    }

    /// Returns an iterator over keys and values, if the page has entries.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let words = client.map("words");
    /// words.put("a", "1")?;
    /// let page = words.scan().pages().next().unwrap()?;
    /// assert_eq!(page.entries().next(), Some((&b"a"[..], &b"1"[..])));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items().pairs()
    }

    /// Returns the items as the protocol represents them.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let page = jobs.range(1..9)?;
    /// assert_eq!(page.items().iter().count(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn items(&self) -> Items<'_> {
        let items = Items::new(self.lens(), self.bytes());
        items.expect("the lengths were checked when the page came")
    }

    pub(crate) fn lens(&self) -> &[u32] {
        bytemuck::cast_slice(self.held.at(&self.lens))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.held.at(&self.bytes)
    }

    /// The item with `behind` items behind it.
    pub(crate) fn item_before(&self, behind: usize) -> Option<&[u8]> {
        let lens = self.lens();
        let place = lens.len().checked_sub(behind + 1)?;
        let tail: usize = lens[place + 1..].iter().map(|len| *len as usize).sum();
        let bytes = self.bytes();
        let end = bytes.len() - tail;
        Some(&bytes[end - lens[place] as usize..end])
    }
}

/// Key and value of a map entry.
#[derive(Debug)]
pub struct EntryView {
    pub(crate) page: PageView,
}

impl EntryView {
    /// Returns the key.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put("ada", "3")?;
    /// let best = scores.last()?.unwrap();
    /// assert_eq!(best.key(), b"ada");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn key(&self) -> &[u8] {
        self.page.entries().next().map_or(&[], |(key, _)| key)
    }

    /// Returns the value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put("ada", "3")?;
    /// let best = scores.last()?.unwrap();
    /// assert_eq!(best.value(), b"3");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn value(&self) -> &[u8] {
        self.page.entries().next().map_or(&[], |(_, value)| value)
    }
}
