//! The named objects of a shard, column by column.

use std::fmt;

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use crate::body::{self, BodyPart, ReadBodyPart, numbers};
use crate::items::{Items, ItemsBody, ItemsBuf};
use crate::object::Kind;
use crate::status::{Fault, Status};

/// A named object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind; `None` if this version has no such kind.
    pub kind: Option<Kind>,
    /// The memory it takes, in bytes.
    pub bytes: u64,
    /// Its version.
    pub version: u64,
}

/// Named objects of a shard: collected by the engine, borrowed from the frame by the client. Two
/// are equal if their columns are. Boxed to keep a reply small.
#[derive(Clone)]
pub enum Listing<'a> {
    /// Borrowed from the frame.
    Borrowed(Box<ListingColumns<'a>>),
    /// Collected.
    Owned(Box<ListingBuf>),
}

impl Listing<'_> {
    /// Returns the columns.
    pub fn columns(&self) -> ListingColumns<'_> {
        match self {
            Listing::Borrowed(columns) => **columns,
            Listing::Owned(buf) => buf.columns(),
        }
    }
}

impl PartialEq for Listing<'_> {
    fn eq(&self, other: &Listing<'_>) -> bool {
        self.columns() == other.columns()
    }
}

impl fmt::Debug for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.columns().fmt(f)
    }
}

impl From<ListingBuf> for Listing<'_> {
    fn from(buf: ListingBuf) -> Self {
        Listing::Owned(Box::new(buf))
    }
}

/// A borrowed listing. All columns have the same length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ListingColumns<'a> {
    versions: &'a [u64],
    sizes: &'a [u64],
    kinds: &'a [u8],
    /// Each is UTF-8.
    names: Items<'a>,
    more: bool,
    unnamed: u64,
}

impl<'a> ListingColumns<'a> {
    /// Returns how many objects are listed.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Returns whether none are listed.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// Returns whether there are more after the last one listed.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Returns how many objects of the shard have no name and are never listed.
    pub fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Returns the objects in the byte order of their names.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        let numbers = self.versions.iter().zip(self.sizes);
        self.names.iter().zip(self.kinds).zip(numbers).map(|((name, kind), (version, bytes))| {
            Listed {
                name: std::str::from_utf8(name).expect("names were checked when they came"),
                kind: Kind::from_wire(*kind),
                bytes: *bytes,
                version: *version,
            }
        })
    }

    /// Refuses columns of different lengths, and names that are not text.
    fn checked(self) -> Result<ListingColumns<'a>, Fault> {
        let len = self.len();
        let equal = [self.sizes.len(), self.kinds.len(), self.names.len()] == [len; 3];
        if equal && self.names.iter().all(|name| body::text(name).is_ok()) {
            Ok(self)
        } else {
            Err(Fault::new(Status::BadBody))
        }
    }
}

impl fmt::Debug for ListingColumns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListingColumns { more, unnamed, .. } = self;
        let objects: Vec<_> = self.iter().collect();
        f.debug_struct("Listing")
            .field("objects", &objects)
            .field("more", more)
            .field("unnamed", unnamed)
            .finish()
    }
}

/// A buffer in which a listing is collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListingBuf {
    /// Whether there are more after the last one.
    pub more: bool,
    /// How many objects of the shard have no name.
    pub unnamed: u64,
    versions: Vec<u64>,
    sizes: Vec<u64>,
    kinds: Vec<u8>,
    names: ItemsBuf,
}

impl ListingBuf {
    /// Adds an object at the end. One whose kind is `None` is listed as kind 0.
    pub fn push(&mut self, Listed { name, kind, bytes, version }: Listed<'_>) {
        self.names.push(name.as_bytes());
        self.kinds.push(kind.map_or(0, Kind::to_wire));
        self.sizes.push(bytes);
        self.versions.push(version);
    }

    /// Returns how many objects there are.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// Returns the columns.
    pub fn columns(&self) -> ListingColumns<'_> {
        ListingColumns {
            versions: &self.versions,
            sizes: &self.sizes,
            kinds: &self.kinds,
            names: self.names.items(),
            more: self.more,
            unnamed: self.unnamed,
        }
    }
}

/// [`Listing`] in a body.
#[derive(Archive, Serialize)]
struct ListingBody<'a> {
    unnamed: u64,
    #[rkyv(with = InlineAsBox)]
    versions: &'a [u64],
    #[rkyv(with = InlineAsBox)]
    sizes: &'a [u64],
    names: ItemsBody<'a>,
    #[rkyv(with = InlineAsBox)]
    kinds: &'a [u8],
    more: bool,
}

pub(crate) fn encode(listing: &Listing<'_>, out: &mut Vec<u8>) {
    let ListingColumns { versions, sizes, kinds, names, more, unnamed } = listing.columns();
    let names = names.part();
    body::encode(&ListingBody { unnamed, versions, sizes, names, kinds, more }, out);
}

pub(crate) fn decode<'a>(bytes: &'a [u8]) -> Result<Listing<'a>, Fault> {
    let listing = body::decode::<ArchivedListingBody<'a>>(bytes)?;
    let columns = ListingColumns {
        versions: numbers(&listing.versions),
        sizes: numbers(&listing.sizes),
        kinds: &listing.kinds,
        names: Items::read(&listing.names)?,
        more: listing.more,
        unnamed: listing.unnamed.to_native(),
    };
    Ok(Listing::Borrowed(Box::new(columns.checked()?)))
}
