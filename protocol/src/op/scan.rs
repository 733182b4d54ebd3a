//! Scans over a range of the keys of a map or of the members of a set.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use crate::body::{BodyPart, ReadBodyPart};
use crate::status::{Fault, Status};
use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a scan returns of each entry.
    pub enum ScanWhat: u8 {
        /// Its key.
        Keys = 0,
        /// Its value.
        Values = 1,
        /// Its key, then its value.
        Entries = 2,
    }
}

/// The range of a scan, and what to return of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanArgs<'a> {
    /// What to return of each entry; a set has only keys.
    pub what: ScanWhat,
    /// Whether to scan downwards from the upper edge.
    pub reverse: bool,
    /// How many entries at most.
    pub limit: u32,
    /// The lower edge, also in reverse.
    pub from: Edge<'a>,
    /// The upper edge, also in reverse.
    pub to: Edge<'a>,
}

/// One end of a range of keys, as [`std::ops::Bound`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge<'a> {
    /// The range has no edge on this side.
    #[default]
    None,
    /// The range ends with this key.
    Included(&'a [u8]),
    /// The range ends before this key.
    Excluded(&'a [u8]),
}

impl<'a> Edge<'a> {
    /// Returns the same edge as the standard library has it.
    pub fn bound(self) -> std::ops::Bound<&'a [u8]> {
        match self {
            Edge::None => std::ops::Bound::Unbounded,
            Edge::Included(key) => std::ops::Bound::Included(key),
            Edge::Excluded(key) => std::ops::Bound::Excluded(key),
        }
    }

    fn to_wire(self) -> (u8, &'a [u8]) {
        match self {
            Edge::None => (0, &[]),
            Edge::Included(key) => (1, key),
            Edge::Excluded(key) => (2, key),
        }
    }

    fn from_wire(bound: u8, key: &'a [u8]) -> Result<Edge<'a>, Fault> {
        match bound {
            0 => Ok(Edge::None),
            1 => Ok(Edge::Included(key)),
            2 => Ok(Edge::Excluded(key)),
            _ => Err(Fault::new(Status::BadBody)),
        }
    }
}

/// [`ScanArgs`] in a body.
#[derive(Archive, Serialize)]
pub(crate) struct ScanBody<'a> {
    limit: u32,
    what: u8,
    reverse: bool,
    from_bound: u8,
    to_bound: u8,
    #[rkyv(with = InlineAsBox)]
    from: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    to: &'a [u8],
}

impl<'a> BodyPart for ScanArgs<'a> {
    type Body = ScanBody<'a>;

    fn part(self) -> ScanBody<'a> {
        let ScanArgs { what, reverse, limit, from, to } = self;
        let ((from_bound, from), (to_bound, to)) = (from.to_wire(), to.to_wire());
        ScanBody { limit, what: what.to_wire(), reverse, from_bound, to_bound, from, to }
    }
}

impl<'a> ReadBodyPart<'a> for ScanArgs<'a> {
    fn read(archived: &'a ArchivedScanBody<'a>) -> Result<ScanArgs<'a>, Fault> {
        Ok(ScanArgs {
            what: ScanWhat::from_wire(archived.what).ok_or(Fault::new(Status::BadBody))?,
            reverse: archived.reverse,
            limit: archived.limit.to_native(),
            from: Edge::from_wire(archived.from_bound, &archived.from)?,
            to: Edge::from_wire(archived.to_bound, &archived.to)?,
        })
    }
}
