//! The byte strings of maps, sets and lists.
//!
//! 1. A short one is inline: it needs no allocation, and comparing it follows no pointer.
//! 2. The memory of one depends on its length alone, so all replicas of an object count the same.
//! 3. They are ordered like their bytes, so that a table of them can be searched with a slice.

use core::borrow::Borrow;
use core::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::state::Blob;

/// Bytes that an object keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteString(SmallVec<[u8; INLINE_BYTES]>);

/// The longest one without an allocation: a number, a hash or a short name, but not a UUID as text.
const INLINE_BYTES: usize = 24;

const _: () = assert!(size_of::<ByteString>() == 32, "two of them fill a cache line");

impl ByteString {
    /// Replaces the bytes, in place if their number stays the same.
    pub(super) fn set(&mut self, bytes: &[u8]) {
        if self.len() == bytes.len() {
            self.0.copy_from_slice(bytes);
        } else {
            *self = bytes.into();
        }
    }

    /// Returns the heap that it takes, in bytes.
    pub(super) fn heap_bytes(&self) -> u64 {
        if self.len() > INLINE_BYTES { self.len() as u64 } else { 0 }
    }
}

impl From<&[u8]> for ByteString {
    fn from(bytes: &[u8]) -> ByteString {
        // The only copy of the bytes: the frame's buffer is reused for the next read.
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
