//! The byte strings of maps, sets and lists.
//!
//! 1. A short one lies in the table itself: it costs no allocation, and comparing it follows no pointer.
//! 2. What one costs follows from its length alone, so two copies of an object cost the same.
//! 3. They are ordered as their bytes are, so that a table of them is searched with a slice.

use core::borrow::Borrow;
use core::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::state::Blob;

/// Bytes that an object keeps.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteString(SmallVec<[u8; INLINE_BYTES]>);

/// The longest that needs no allocation: a number, a hash or a short name, but no UUID as text.
const INLINE_BYTES: usize = 24;

const _: () = assert!(size_of::<ByteString>() == 32, "two of them fill a cache line");

impl ByteString {
    /// Becomes these bytes, in the memory that it has if they are as many as before.
    pub(super) fn set(&mut self, bytes: &[u8]) {
        if self.len() == bytes.len() {
            self.0.copy_from_slice(bytes);
        } else {
            *self = bytes.into();
        }
    }

    /// What it takes beside its place in the table, in bytes.
    pub(super) fn heap_bytes(&self) -> u64 {
        if self.len() > INLINE_BYTES { self.len() as u64 } else { 0 }
    }
}

impl From<&[u8]> for ByteString {
    fn from(bytes: &[u8]) -> ByteString {
        // Copy 1 of 1: the frame's buffer is reused for the next read, the object stays.
        ByteString(SmallVec::from_slice(bytes))
    }
}

impl Deref for ByteString {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for ByteString {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Blob(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteString, D::Error> {
        Blob::deserialize(deserializer).map(|Blob(bytes)| bytes.into())
    }
}
