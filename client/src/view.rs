//! Replies that are read in the buffer they were received in.
//!
//! A view owns its receive buffer, so the client can be used for other calls meanwhile. The buffer
//! is reused after the view is dropped. Nothing is copied, or decoded a second time.

use std::ops::{Deref, Range};

use catena_protocol::{Elements, Items};

use crate::buffer::HeldReply;
use crate::element::Element;

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
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }

    /// Returns the bytes as a little-endian integer, if there are 8, as merging integers stores
    /// them.
    pub fn as_i64(&self) -> Option<i64> {
        Some(i64::from_le_bytes((**self).try_into().ok()?))
    }

    /// Returns the bytes as a little-endian float, if there are 8, as merging floats stores them.
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
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns whether there are more items behind the last one.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Returns the number of items; an entry counts as two, key and value.
    pub fn len(&self) -> usize {
        self.lens().len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an iterator over the items in order; for entries, over keys and values alternately.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.items().iter()
    }

    /// Returns an iterator over keys and values, if the page has entries.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items().pairs()
    }

    /// Returns the items as the protocol represents them.
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
    pub fn key(&self) -> &[u8] {
        self.page.entries().next().map_or(&[], |(key, _)| key)
    }

    /// Returns the value.
    pub fn value(&self) -> &[u8] {
        self.page.entries().next().map_or(&[], |(_, value)| value)
    }
}

/// Version, shape and elements of a vector.
#[derive(Debug)]
pub struct VectorView {
    held: HeldReply,
    version: u64,
    columns: u32,
    place: ElementsLocation,
}

impl VectorView {
    pub(crate) fn new(
        held: HeldReply,
        version: u64,
        columns: u32,
        place: ElementsLocation,
    ) -> VectorView {
        VectorView { held, version, columns, place }
    }

    /// Returns the version of the elements.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of elements in a row.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.elements().len() / (self.columns as usize).max(1)
    }

    /// Returns the elements, row by row.
    pub fn elements(&self) -> Elements<'_> {
        self.place.elements(&self.held)
    }

    /// Returns the elements as a slice of `f64`, `f32` or `i64`; `None` if they are of another
    /// type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self.elements())
    }

    /// Returns the elements if they are 64-bit floats.
    pub fn as_f64(&self) -> Option<&[f64]> {
        self.as_slice()
    }

    /// Returns the elements if they are 32-bit floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.as_slice()
    }

    /// Returns the elements if they are integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        self.as_slice()
    }
}

/// A complete round of a reduction: its number and its result.
#[derive(Debug)]
pub struct RoundView {
    held: HeldReply,
    round: u64,
    place: ElementsLocation,
}

impl RoundView {
    pub(crate) fn new(held: HeldReply, round: u64, place: ElementsLocation) -> RoundView {
        RoundView { held, round, place }
    }

    /// Returns the number of the round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Returns the result.
    pub fn elements(&self) -> Elements<'_> {
        self.place.elements(&self.held)
    }

    /// Returns the result as a slice of `f64`, `f32` or `i64`; `None` if it is of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self.elements())
    }

    /// Returns the result if it is of 64-bit floats.
    pub fn as_f64(&self) -> Option<&[f64]> {
        self.as_slice()
    }

    /// Returns the result if it is of 32-bit floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.as_slice()
    }

    /// Returns the result if it is of integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        self.as_slice()
    }
}

/// Where elements lie in a buffer, and their type.
#[derive(Clone, Debug)]
pub(crate) enum ElementsLocation {
    F64(Range<usize>),
    F32(Range<usize>),
    I64(Range<usize>),
}

impl ElementsLocation {
    /// Locates `elements`, which lie in `held`.
    pub(crate) fn of(elements: Elements<'_>, held: &HeldReply) -> ElementsLocation {
        match elements {
            Elements::F64(slice) => {
                ElementsLocation::F64(held.place_of(bytemuck::cast_slice(slice)))
            }
            Elements::F32(slice) => {
                ElementsLocation::F32(held.place_of(bytemuck::cast_slice(slice)))
            }
            Elements::I64(slice) => {
                ElementsLocation::I64(held.place_of(bytemuck::cast_slice(slice)))
            }
        }
    }

    // The casts cannot fail, because place and type are those of a slice that lay there.
    fn elements<'h>(&self, held: &'h HeldReply) -> Elements<'h> {
        match self {
            ElementsLocation::F64(place) => Elements::F64(bytemuck::cast_slice(held.at(place))),
            ElementsLocation::F32(place) => Elements::F32(bytemuck::cast_slice(held.at(place))),
            ElementsLocation::I64(place) => Elements::I64(bytemuck::cast_slice(held.at(place))),
        }
    }
}
