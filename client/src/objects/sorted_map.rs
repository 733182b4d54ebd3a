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
    pub fn first(&self) -> Result<Option<EntryView>, Error> {
        one(self.scan())
    }

    /// Returns the entry with the highest key.
    pub fn last(&self) -> Result<Option<EntryView>, Error> {
        one(self.scan().reverse())
    }

    /// Returns a scan of a range of keys, such as `"a".."c"`, which can be read in either
    /// direction.
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Scan {
        self.scan().range(range)
    }

    /// Returns a scan of the keys below `to`.
    pub fn head(&self, to: impl AsRef<[u8]>) -> Scan {
        self.range::<[u8]>((Bound::Unbounded, Bound::Excluded(to.as_ref())))
    }

    /// Returns a scan of the keys from `from` on.
    pub fn tail(&self, from: impl AsRef<[u8]>) -> Scan {
        self.range::<[u8]>((Bound::Included(from.as_ref()), Bound::Unbounded))
    }

    /// Walks the entries with the highest keys, the highest first.
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
