//! Byte strings, one after another: the items of a list, the keys and values of a map, a page of
//! them.

use std::fmt;
use std::slice;

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use crate::body::{BodyPart, ReadBodyPart, numbers};
use crate::limits::ITEMS_MAX;
use crate::status::{Fault, Status};

/// Any number of byte strings, borrowed: the length of each, and the bytes of all of them.
///
/// The entries of a map are keys and values in turn.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Items<'a> {
    /// Their sum is the number of bytes.
    lens: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> Items<'a> {
    /// Returns the items of these lengths.
    ///
    /// # Errors
    ///
    /// `BadBody` if the lengths do not add up to the bytes.
    pub fn new(lens: &'a [u32], bytes: &'a [u8]) -> Result<Items<'a>, Fault> {
        // There are fewer lengths than a body has bytes, so 64 bits cannot overflow.
        let sum: u64 = lens.iter().map(|len| u64::from(*len)).sum();
        if sum == bytes.len() as u64 {
            Ok(Items { lens, bytes })
        } else {
            Err(Fault::new(Status::BadBody))
        }
    }

    /// Returns how many items there are.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// Returns the length of each item.
    pub fn lens(&self) -> &'a [u32] {
        self.lens
    }

    /// Returns the bytes of all items, one after another.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns how many bytes they have together.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the items in order.
    pub fn iter(&self) -> ItemsIter<'a> {
        ItemsIter { lens: self.lens.iter(), bytes: self.bytes }
    }

    /// Returns the items in pairs, as the keys and values of a map. An odd last one is left out.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        let mut items = self.iter();
        std::iter::from_fn(move || Some((items.next()?, items.next()?)))
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Items<'a> {
    type Item = &'a [u8];
    type IntoIter = ItemsIter<'a>;

    fn into_iter(self) -> ItemsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Items`].
#[derive(Clone, Debug)]
pub struct ItemsIter<'a> {
    lens: slice::Iter<'a, u32>,
    bytes: &'a [u8],
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (item, rest) = self.bytes.split_at(*self.lens.next()? as usize);
        self.bytes = rest;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lens.size_hint()
    }
}

impl ExactSizeIterator for ItemsIter<'_> {}

/// A buffer in which byte strings are collected, one after another.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ItemsBuf {
    lens: Vec<u32>,
    bytes: Vec<u8>,
}

impl ItemsBuf {
    /// Returns an empty buffer.
    pub const fn new() -> ItemsBuf {
        ItemsBuf { lens: Vec::new(), bytes: Vec::new() }
    }

    /// Returns an empty buffer with room for so many items and bytes.
    pub fn with_capacity(items: usize, bytes: usize) -> ItemsBuf {
        ItemsBuf { lens: Vec::with_capacity(items), bytes: Vec::with_capacity(bytes) }
    }

    /// Adds an item at the end.
    ///
    /// # Panics
    ///
    /// If the item has 4 GiB or more, which is beyond any frame.
    pub fn push(&mut self, item: &[u8]) {
        self.lens.push(u32::try_from(item.len()).expect("an item fits a frame"));
        self.bytes.extend_from_slice(item);
    }

    /// Returns the items.
    pub fn items(&self) -> Items<'_> {
        Items { lens: &self.lens, bytes: &self.bytes }
    }

    /// Returns how many items there are.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// Returns how many bytes they have together.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Removes all items and keeps the memory.
    pub fn clear(&mut self) {
        self.lens.clear();
        self.bytes.clear();
    }
}

impl fmt::Debug for ItemsBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items().fmt(f)
    }
}

impl<T: AsRef<[u8]>> Extend<T> for ItemsBuf {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item.as_ref()));
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ItemsBuf {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> ItemsBuf {
        let mut buf = ItemsBuf::new();
        buf.extend(items);
        buf
    }
}

/// The items of a page: collected by the engine, borrowed from the frame by the client. Two are
/// equal if their items are.
#[derive(Clone)]
pub enum PageItems<'a> {
    /// Borrowed from the frame.
    Borrowed(Items<'a>),
    /// Collected.
    Owned(ItemsBuf),
}

impl PageItems<'_> {
    /// Returns the items.
    pub fn items(&self) -> Items<'_> {
        match self {
            PageItems::Borrowed(items) => *items,
            PageItems::Owned(items) => items.items(),
        }
    }
}

impl PartialEq for PageItems<'_> {
    fn eq(&self, other: &PageItems<'_>) -> bool {
        self.items() == other.items()
    }
}

impl fmt::Debug for PageItems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items().fmt(f)
    }
}

impl<'a> From<Items<'a>> for PageItems<'a> {
    fn from(items: Items<'a>) -> PageItems<'a> {
        PageItems::Borrowed(items)
    }
}

impl From<ItemsBuf> for PageItems<'_> {
    fn from(items: ItemsBuf) -> Self {
        PageItems::Owned(items)
    }
}

/// [`Items`] in a body.
#[derive(Archive, Serialize)]
pub(crate) struct ItemsBody<'a> {
    #[rkyv(with = InlineAsBox)]
    lens: &'a [u32],
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

impl<'a> BodyPart for Items<'a> {
    type Body = ItemsBody<'a>;

    fn part(self) -> ItemsBody<'a> {
        let Items { lens, bytes } = self;
        ItemsBody { lens, bytes }
    }
}

impl<'a> ReadBodyPart<'a> for Items<'a> {
    fn read(archived: &'a ArchivedItemsBody<'a>) -> Result<Items<'a>, Fault> {
        let lens = numbers(&archived.lens);
        if lens.len() > ITEMS_MAX as usize {
            return Err(Fault::expected(Status::TooLarge, ITEMS_MAX.into(), lens.len() as u64));
        }
        Items::new(lens, &archived.bytes)
    }
}

/// Refuses items that cannot be keys and values in turn.
pub(crate) fn check_pairs(items: Items<'_>) -> Result<Items<'_>, Fault> {
    if items.len().is_multiple_of(2) { Ok(items) } else { Err(Fault::new(Status::BadBody)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_comes_out_in_order() {
        let buf: ItemsBuf = ["a", "", "bcd"].into_iter().collect();
        let items = buf.items();
        assert_eq!((items.len(), items.bytes_len()), (3, 4));
        assert_eq!(items.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bcd"]);
        assert_eq!(items.pairs().collect::<Vec<_>>(), [(&b"a"[..], &b""[..])]);
        assert_eq!(PageItems::from(items), PageItems::from(buf.clone()));
    }

    #[test]
    fn lengths_have_to_add_up() {
        assert_eq!(Items::new(&[1, 2], b"abc").map(|items| items.len()), Ok(2));
        let bad = Err(Fault::new(Status::BadBody));
        assert_eq!(Items::new(&[1, 1], b"abc"), bad);
        assert_eq!(Items::new(&[u32::MAX, 4], b"abc"), bad);
    }
}
