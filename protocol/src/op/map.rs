//! Ops on a map: values by key, the keys in byte order.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::scan::ScanArgs;
use super::{OpCode, misrouted};
use crate::body::{self, BytesBody};
use crate::items::{self, Items, ItemsBody};
use crate::status::{Fault, Status};
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

#[derive(Archive, Serialize)]
struct EntryBody<'a> {
    #[rkyv(with = InlineAsBox)]
    key: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    value: &'a [u8],
}

#[derive(Archive, Serialize)]
struct MapCompareAndSwapBody<'a> {
    expects: bool,
    sets: bool,
    #[rkyv(with = InlineAsBox)]
    key: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    expected: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    value: &'a [u8],
}

#[derive(Archive, Serialize)]
struct MergeBody<'a> {
    merge: u8,
    #[rkyv(with = InlineAsBox)]
    key: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    value: &'a [u8],
}

#[derive(Archive, Serialize)]
struct MergeAllBody<'a> {
    merge: u8,
    items: ItemsBody<'a>,
}

#[derive(Archive, Serialize)]
struct FencedEntryBody<'a> {
    token: u64,
    #[rkyv(with = InlineAsBox)]
    key: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    value: &'a [u8],
}

impl<'a> MapOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            MapOp::Len => OpCode::MapLen,
            MapOp::Get { .. } => OpCode::MapGet,
            MapOp::ContainsKey { .. } => OpCode::MapContainsKey,
            MapOp::ContainsValue { .. } => OpCode::MapContainsValue,
            MapOp::Scan(_) => OpCode::MapScan,
            MapOp::Put { .. } => OpCode::MapPut,
            MapOp::PutIfAbsent { .. } => OpCode::MapPutIfAbsent,
            MapOp::CompareAndSwap { .. } => OpCode::MapCompareAndSwap,
            MapOp::Remove { .. } => OpCode::MapRemove,
            MapOp::Take { .. } => OpCode::MapTake,
            MapOp::Swap { .. } => OpCode::MapSwap,
            MapOp::PutAll { .. } => OpCode::MapPutAll,
            MapOp::Merge { .. } => OpCode::MapMerge,
            MapOp::MergeAll { .. } => OpCode::MapMergeAll,
            MapOp::Clear => OpCode::MapClear,
            MapOp::PutWithToken { .. } => OpCode::MapPutWithToken,
            MapOp::RemoveAll { .. } => OpCode::MapRemoveAll,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            MapOp::Len | MapOp::Clear => {}
            MapOp::Get { key: bytes }
            | MapOp::ContainsKey { key: bytes }
            | MapOp::ContainsValue { value: bytes }
            | MapOp::Remove { key: bytes }
            | MapOp::Take { key: bytes } => body::encode(&BytesBody { bytes }, out),
            MapOp::Scan(scan) => scan.encode(out),
            MapOp::Put { key, value }
            | MapOp::PutIfAbsent { key, value }
            | MapOp::Swap { key, value } => body::encode(&EntryBody { key, value }, out),
            MapOp::CompareAndSwap { key, expected, value } => {
                let (expects, sets) = (expected.is_some(), value.is_some());
                let (expected, value) = (expected.unwrap_or_default(), value.unwrap_or_default());
                let swap = MapCompareAndSwapBody { expects, sets, key, expected, value };
                body::encode(&swap, out);
            }
            MapOp::PutAll { items } | MapOp::RemoveAll { items } => {
                body::encode(&ItemsBody::from(items), out);
            }
            MapOp::Merge { key, value, merge } => {
                body::encode(&MergeBody { merge: merge.to_wire(), key, value }, out);
            }
            MapOp::MergeAll { merge, items } => {
                body::encode(&MergeAllBody { merge: merge.to_wire(), items: items.into() }, out);
            }
            MapOp::PutWithToken { token, key, value } => {
                body::encode(&FencedEntryBody { token, key, value }, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<MapOp<'a>, Fault> {
        let entry = || {
            let entry = body::decode::<ArchivedEntryBody<'a>>(body)?;
            Ok::<(&'a [u8], &'a [u8]), Fault>((&entry.key, &entry.value))
        };
        let how = |merge| Merge::from_wire(merge).ok_or(Fault::new(Status::BadBody));
        Ok(match code {
            OpCode::MapLen => {
                body::decode_empty(body)?;
                MapOp::Len
            }
            OpCode::MapGet => MapOp::Get { key: body::decode_bytes(body)? },
            OpCode::MapContainsKey => MapOp::ContainsKey { key: body::decode_bytes(body)? },
            OpCode::MapContainsValue => MapOp::ContainsValue { value: body::decode_bytes(body)? },
            OpCode::MapScan => MapOp::Scan(ScanArgs::decode(body)?),
            OpCode::MapPut => {
                let (key, value) = entry()?;
                MapOp::Put { key, value }
            }
            OpCode::MapPutIfAbsent => {
                let (key, value) = entry()?;
                MapOp::PutIfAbsent { key, value }
            }
            OpCode::MapCompareAndSwap => {
                let swap = body::decode::<ArchivedMapCompareAndSwapBody<'a>>(body)?;
                MapOp::CompareAndSwap {
                    key: &swap.key,
                    expected: swap.expects.then_some(&*swap.expected),
                    value: swap.sets.then_some(&*swap.value),
                }
            }
            OpCode::MapRemove => MapOp::Remove { key: body::decode_bytes(body)? },
            OpCode::MapTake => MapOp::Take { key: body::decode_bytes(body)? },
            OpCode::MapSwap => {
                let (key, value) = entry()?;
                MapOp::Swap { key, value }
            }
            OpCode::MapPutAll => MapOp::PutAll { items: items::decode_pairs(body)? },
            OpCode::MapMerge => {
                let part = body::decode::<ArchivedMergeBody<'a>>(body)?;
                MapOp::Merge { key: &part.key, value: &part.value, merge: how(part.merge)? }
            }
            OpCode::MapMergeAll => {
                let parts = body::decode::<ArchivedMergeAllBody<'a>>(body)?;
                MapOp::MergeAll { merge: how(parts.merge)?, items: parts.items.pairs()? }
            }
            OpCode::MapClear => {
                body::decode_empty(body)?;
                MapOp::Clear
            }
            OpCode::MapPutWithToken => {
                let entry = body::decode::<ArchivedFencedEntryBody<'a>>(body)?;
                MapOp::PutWithToken {
                    token: entry.token.to_native(),
                    key: &entry.key,
                    value: &entry.value,
                }
            }
            OpCode::MapRemoveAll => MapOp::RemoveAll { items: items::decode(body)? },
            _ => misrouted(code),
        })
    }
}
