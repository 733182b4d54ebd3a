//! Replies that are read where they were received.
//!
//! A view owns the receive buffer as long as it lives, so the client can be used for other calls
//! meanwhile; the buffer is used again afterwards. Nothing is copied or decoded a second time.

use std::ops::{Deref, Range};

use catena_protocol::Elements;

use crate::buffer::Held;
use crate::objects::Element;
use crate::page::PageView;

/// Version and bytes of a cell.
#[derive(Debug)]
pub struct CellView<'c> {
    held: Held<'c>,
    version: u64,
    place: Range<usize>,
}

impl<'c> CellView<'c> {
    pub(crate) fn new(held: Held<'c>, version: u64, place: Range<usize>) -> CellView<'c> {
        CellView { held, version, place }
    }

    /// The version of the bytes.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Deref for CellView<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held.at(&self.place)
    }
}

impl AsRef<[u8]> for CellView<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Bytes: a value of a map, an item of a list, what a future holds.
#[derive(Debug)]
pub struct ValueView<'c> {
    held: Held<'c>,
    place: Range<usize>,
}

impl<'c> ValueView<'c> {
    pub(crate) fn new(held: Held<'c>, place: Range<usize>) -> ValueView<'c> {
        ValueView { held, place }
    }

    /// The bytes as text, if they are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }

    /// The bytes as a little-endian integer, if there are 8: what merging numbers leaves.
    pub fn as_i64(&self) -> Option<i64> {
        Some(i64::from_le_bytes((**self).try_into().ok()?))
    }

    /// The bytes as a little-endian float, if there are 8.
    pub fn as_f64(&self) -> Option<f64> {
        Some(f64::from_le_bytes((**self).try_into().ok()?))
    }
}

impl Deref for ValueView<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held.at(&self.place)
    }
}

impl AsRef<[u8]> for ValueView<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Key and value of a map.
#[derive(Debug)]
pub struct EntryView<'c> {
    pub(crate) page: PageView<'c>,
}

impl EntryView<'_> {
    /// The key.
    pub fn key(&self) -> &[u8] {
        self.page.entries().next().map_or(&[], |(key, _)| key)
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        self.page.entries().next().map_or(&[], |(_, value)| value)
    }
}

/// Version, shape and elements of a vector.
#[derive(Debug)]
pub struct VectorView<'c> {
    held: Held<'c>,
    version: u64,
    columns: u32,
    place: ElementsPlace,
}

impl<'c> VectorView<'c> {
    pub(crate) fn new(
        held: Held<'c>,
        version: u64,
        columns: u32,
        place: ElementsPlace,
    ) -> VectorView<'c> {
        VectorView { held, version, columns, place }
    }

    /// The version of the elements.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Elements a row.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.elements().len() / (self.columns as usize).max(1)
    }

    /// The elements, row by row.
    pub fn elements(&self) -> Elements<'_> {
        self.place.elements(&self.held)
    }

    /// The elements as a slice of `f64`, `f32` or `i64`; `None` if they are of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self.elements())
    }

    /// The elements, if they are 64-bit floats.
    pub fn as_f64(&self) -> Option<&[f64]> {
        self.as_slice()
    }

    /// The elements, if they are 32-bit floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.as_slice()
    }

    /// The elements, if they are integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        self.as_slice()
    }
}

/// A complete round of a reduction: its number and its result.
#[derive(Debug)]
pub struct RoundView<'c> {
    held: Held<'c>,
    round: u64,
    place: ElementsPlace,
}

impl<'c> RoundView<'c> {
    pub(crate) fn new(held: Held<'c>, round: u64, place: ElementsPlace) -> RoundView<'c> {
        RoundView { held, round, place }
    }

    /// Which round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The result.
    pub fn elements(&self) -> Elements<'_> {
        self.place.elements(&self.held)
    }

    /// The result as a slice of `f64`, `f32` or `i64`; `None` if it is of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self.elements())
    }

    /// The result, if it is of 64-bit floats.
    pub fn as_f64(&self) -> Option<&[f64]> {
        self.as_slice()
    }

    /// The result, if it is of 32-bit floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.as_slice()
    }

    /// The result, if it is of integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        self.as_slice()
    }
}

/// Where elements lie in a buffer, and of which type they are.
#[derive(Clone, Debug)]
pub(crate) enum ElementsPlace {
    F64(Range<usize>),
    F32(Range<usize>),
    I64(Range<usize>),
}

impl ElementsPlace {
    /// The place of `elements`, which lie in `held`.
    pub(crate) fn of(elements: Elements<'_>, held: &Held<'_>) -> ElementsPlace {
        match elements {
            Elements::F64(slice) => ElementsPlace::F64(held.place_of(bytemuck::cast_slice(slice))),
            Elements::F32(slice) => ElementsPlace::F32(held.place_of(bytemuck::cast_slice(slice))),
            Elements::I64(slice) => ElementsPlace::I64(held.place_of(bytemuck::cast_slice(slice))),
        }
    }

    // The casts cannot fail: place and type are those of a slice that lay there.
    fn elements<'h>(&self, held: &'h Held<'_>) -> Elements<'h> {
        match self {
            ElementsPlace::F64(place) => Elements::F64(bytemuck::cast_slice(held.at(place))),
            ElementsPlace::F32(place) => Elements::F32(bytemuck::cast_slice(held.at(place))),
            ElementsPlace::I64(place) => Elements::I64(bytemuck::cast_slice(held.at(place))),
        }
    }
}
