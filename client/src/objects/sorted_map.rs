//! The handle to a map whose order matters.

use std::ops::{Bound, Deref, RangeBounds};

use catena_protocol::Op;
use catena_protocol::op::MapOp;

use super::{Map, Object, Scan, Target, sealed};
use crate::page::EntryWalk;
use crate::view::EntryView;
use crate::{Client, Error};

/// A [`Map`] seen as what it is, sorted by key in byte order: everything a map can, and what its order
/// allows. Both handles may be used on the same object.
///
/// Numbers are in order if they are written big-endian, and signed ones with their sign bit turned.
#[derive(Clone, Debug)]
pub struct SortedMap<'c>(Map<'c>);

/// All methods fail with [`Error`].
impl<'c> SortedMap<'c> {
    pub(crate) fn new(client: &'c Client, name: &str) -> SortedMap<'c> {
        SortedMap(Map::new(client, name))
    }

    /// The entry with the lowest key.
    pub fn first(&self) -> Result<Option<EntryView<'c>>, Error> {
        one(self.scan())
    }

    /// The entry with the highest key.
    pub fn last(&self) -> Result<Option<EntryView<'c>>, Error> {
        one(self.scan().reverse())
    }

    /// The entries in a range of keys, to be read in either direction: `"a".."c"`.
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Scan<'c> {
        self.scan().range(range)
    }

    /// The entries whose keys are below `to`.
    pub fn head(&self, to: impl AsRef<[u8]>) -> Scan<'c> {
        self.range::<[u8]>((Bound::Unbounded, Bound::Excluded(to.as_ref())))
    }

    /// The entries whose keys are `from` or above.
    pub fn tail(&self, from: impl AsRef<[u8]>) -> Scan<'c> {
        self.range::<[u8]>((Bound::Included(from.as_ref()), Bound::Unbounded))
    }

    /// The entries with the highest keys, the highest first.
    pub fn top(&self, count: u64) -> EntryWalk<'c> {
        self.scan().reverse().limit(count).entries()
    }
}

/// The first entry of a scan.
fn one(scan: Scan<'_>) -> Result<Option<EntryView<'_>>, Error> {
    let page = scan.limit(1).pages().next().transpose()?;
    Ok(page.filter(|page| !page.is_empty()).map(|page| EntryView { page }))
}

impl<'c> Deref for SortedMap<'c> {
    type Target = Map<'c>;

    fn deref(&self) -> &Map<'c> {
        &self.0
    }
}

impl sealed::Object for SortedMap<'_> {
    fn target(&self) -> &Target {
        self.0.target()
    }
}

impl Object for SortedMap<'_> {
    type Op<'o> = MapOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Map(op)
    }
}
