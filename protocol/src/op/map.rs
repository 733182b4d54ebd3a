//! Ops on a map: values by key, the keys in byte order.

use super::scan::ScanArgs;
use crate::items::Items;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// How a value is merged with the one that is there. A key that is not there gets the value.
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
        /// Whichever is greater, compared byte by byte.
        ReplaceIfGreater = 7,
    }
}

/// What can be asked of a map. A map that nobody wrote is empty. A key has at most
/// [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOp<'a> {
    /// Answers how many keys there are.
    Len,
    /// Answers the value of a key, or nothing.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Answers whether a key is there.
    ContainsKey {
        /// The key.
        key: &'a [u8],
    },
    /// Answers whether any key has this value.
    ContainsValue {
        /// The value to look for.
        value: &'a [u8],
    },
    /// Answers a page of keys, values or entries, in the order of the keys.
    Scan(ScanArgs<'a>),
    /// Sets the value of a key. Answers whether it had one before.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Sets the value of a key that has none. Answers whether it did.
    PutIfAbsent {
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Sets or removes the value of a key if it has the expected one. Answers whether it did.
    CompareAndSwap {
        /// The key.
        key: &'a [u8],
        /// The value that must be there; `None` if the key must not be.
        expected: Option<&'a [u8]>,
        /// The value to set; `None` removes the key.
        value: Option<&'a [u8]>,
    },
    /// Removes a key. Answers whether it was there.
    Remove {
        /// The key.
        key: &'a [u8],
    },
    /// Removes a key. Answers its value, or nothing.
    Take {
        /// The key.
        key: &'a [u8],
    },
    /// Sets the value of a key. Answers the old one, or nothing.
    Swap {
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Sets the values of several keys. Answers how many are new.
    PutAll {
        /// Keys and values in turn.
        items: Items<'a>,
    },
    /// Merges a value into the one that is there. Answers the new one.
    Merge {
        /// The key.
        key: &'a [u8],
        /// The value to merge.
        value: &'a [u8],
        /// How.
        merge: Merge,
    },
    /// Merges values into those that are there: all of them, or none if one cannot be. Answers how
    /// many keys are new.
    MergeAll {
        /// How.
        merge: Merge,
        /// Keys and values in turn.
        items: Items<'a>,
    },
    /// Removes everything. Answers how many keys were removed.
    Clear,
    /// As `Put`, unless a higher token was seen in this map: `StaleToken`.
    PutWithToken {
        /// The token of the lock or permit under which this is done.
        token: u64,
        /// The key.
        key: &'a [u8],
        /// The value to set.
        value: &'a [u8],
    },
    /// Removes several keys. Answers how many were there.
    RemoveAll {
        /// The keys.
        items: Items<'a>,
    },
}
