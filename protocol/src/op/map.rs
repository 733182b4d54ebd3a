//! Ops on a map: values by key, the keys in byte order.

use super::scan::ScanArgs;
use crate::items::Items;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// How a value is merged into the one that a key has. A key without a value gets it as it is.
    pub enum Merge: u8 {
        /// The sum of two 64-bit signed integers.
        Add = 0,
        /// The smaller of two 64-bit signed integers.
        Min = 1,
        /// The larger of two 64-bit signed integers.
        Max = 2,
        /// The sum of two 64-bit floats.
        AddF64 = 3,
        /// The smaller of two 64-bit floats.
        MinF64 = 4,
        /// The larger of two 64-bit floats.
        MaxF64 = 5,
        /// The old bytes, then the new ones.
        Append = 6,
        /// The greater one, compared byte by byte.
        ReplaceIfGreater = 7,
    }
}

/// An op on a map. A map that was never written is empty. A key has at most
/// [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOp<'a> {
    /// Returns how many keys there are.
    Len,
    /// Returns the value of a key, or nothing.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Returns whether the map has a key.
    ContainsKey {
        /// The key.
        key: &'a [u8],
    },
    /// Returns whether any key has this value.
    ContainsValue {
        /// The value to look for.
        value: &'a [u8],
    },
    /// Returns a page of keys, values or entries, in the order of the keys.
    Scan(ScanArgs<'a>),
    /// Sets the value of a key. Returns whether it had one before.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Sets the value of a key that has none. Returns whether it did.
    PutIfAbsent {
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Sets or removes the value of a key if it has the expected one. Returns whether it did.
    CompareAndSwap {
        /// The key.
        key: &'a [u8],
        /// The value that the key must have; `None` if the map must not have the key.
        expected: Option<&'a [u8]>,
        /// The value to set; `None` removes the key.
        value: Option<&'a [u8]>,
    },
    /// Removes a key. Returns whether the map had it.
    Remove {
        /// The key.
        key: &'a [u8],
    },
    /// Removes a key. Returns its value, or nothing.
    Take {
        /// The key.
        key: &'a [u8],
    },
    /// Sets the value of a key. Returns the old one, or nothing.
    Swap {
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Sets the values of several keys. Returns how many are new.
    PutAll {
        /// Keys and values in turn.
        items: Items<'a>,
    },
    /// Merges a value into the one that a key has. Returns the new value.
    Merge {
        /// The key.
        key: &'a [u8],
        /// The value to merge.
        value: &'a [u8],
        /// How to merge.
        merge: Merge,
    },
    /// Merges the values of several keys: all of them, or none if one cannot be merged. Returns how
    /// many keys are new.
    MergeAll {
        /// How to merge.
        merge: Merge,
        /// Keys and values in turn.
        items: Items<'a>,
    },
    /// Removes everything. Returns how many keys were removed.
    Clear,
    /// Sets the value of a key like `Put`, unless the map has seen a higher token: `StaleToken`.
    PutWithToken {
        /// The fencing token of the lock or permit that the caller holds.
        token: u64,
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Removes several keys. Returns how many of them the map had.
    RemoveAll {
        /// The keys.
        items: Items<'a>,
    },
}
