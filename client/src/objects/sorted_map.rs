//! The handle to a map with the methods that use its order.

use std::ops::{Bound, Deref, RangeBounds};

use catena_protocol::Op;
use catena_protocol::op::MapOp;

use super::{Map, Object, Scan, sealed};
use crate::Error;
use crate::page::EntryWalk;
use crate::requester::Requester;
use crate::target::CallTarget;
use crate::view::EntryView;

/// A [`Map`], which is sorted by key in byte order, with the methods that use this order. Both
/// handles can be used on the same object.
///
/// Integers as keys are in numeric order if written big-endian, signed ones with the sign bit
/// flipped.
#[derive(Clone, Debug)]
pub struct SortedMap(Map);

/// All methods that return a [`Result`] fail with [`Error`].
impl SortedMap {
    pub(crate) fn new(requester: &Requester, name: &str) -> SortedMap {
        SortedMap(Map::new(requester, name))
    }

    /// Returns the entry with the lowest key.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(scores.first()?.unwrap().key(), b"a");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn first(&self) -> Result<Option<EntryView>, Error> {
        one(self.scan())
    }

    /// Returns the entry with the highest key.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(scores.last()?.unwrap().value(), b"3");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn last(&self) -> Result<Option<EntryView>, Error> {
        one(self.scan().reverse())
    }

    /// Returns a scan of a range of keys, such as `"a".."c"`, which can be read in either
    /// direction.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(scores.range("a".."c").keys().count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Scan {
        self.scan().range(range)
    }

    /// Returns a scan of the keys below `to`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(scores.head("b").keys().count(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn head(&self, to: impl AsRef<[u8]>) -> Scan {
        self.range::<[u8]>((Bound::Unbounded, Bound::Excluded(to.as_ref())))
    }

    /// Returns a scan of the keys from `from` on.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(scores.tail("b").keys().count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn tail(&self, from: impl AsRef<[u8]>) -> Scan {
        self.range::<[u8]>((Bound::Included(from.as_ref()), Bound::Unbounded))
    }

    /// Walks the entries with the highest keys, the highest first.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.sorted_map("scores");
    /// scores.put_all([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// let (key, _) = scores.top(1).next().unwrap()?;
    /// assert_eq!(key, b"c");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn top(&self, count: u64) -> EntryWalk {
        self.scan().reverse().limit(count).entries()
    }
}

/// The first entry of a scan.
fn one(scan: Scan) -> Result<Option<EntryView>, Error> {
    let page = scan.limit(1).pages().next().transpose()?;
    Ok(page.filter(|page| !page.is_empty()).map(|page| EntryView { page }))
}

impl Deref for SortedMap {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.0
    }
}

impl sealed::Object for SortedMap {
    fn target(&self) -> &CallTarget {
        self.0.target()
    }

    fn requester(&self) -> &Requester {
        self.0.requester()
    }

    fn with_requester(&self, requester: Requester) -> SortedMap {
        SortedMap(self.0.with_requester(requester))
    }
}

impl Object for SortedMap {
    type Op<'o> = MapOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Map(op)
    }
}
