//! Ops on a list: byte strings in order, taken from either end, and lent out to workers.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body::{self, BytesBody};
use crate::items::{self, Items, ItemsBody};
use crate::status::Fault;

/// What can be asked of a list. A list that nobody wrote is empty. An item has at most
/// [`ITEM_BYTES_MAX`](crate::limits::ITEM_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOp<'a> {
    /// Answers how many items there are.
    Len,
    /// Answers the item at an index, nothing behind the end.
    Get {
        /// Which, from 0.
        index: u64,
    },
    /// Answers a page of items.
    Range {
        /// The first one, from 0.
        from: u64,
        /// How many at most.
        limit: u32,
    },
    /// Answers where an item is.
    IndexOf {
        /// Look for the last one instead of the first.
        from_end: bool,
        /// The item to look for.
        bytes: &'a [u8],
    },
    /// Answers whether all of these are in the list.
    ContainsAll {
        /// The items to look for.
        items: Items<'a>,
    },
    /// Adds an item at the end. Answers how many there are now.
    PushBack {
        /// The item.
        bytes: &'a [u8],
    },
    /// Adds an item at the front. Answers how many there are now.
    PushFront {
        /// The item.
        bytes: &'a [u8],
    },
    /// Takes the last item. Answers it, or nothing if there is none.
    PopBack,
    /// Takes the first item. Answers it, or nothing if there is none.
    PopFront,
    /// Waits until there is an item and takes the first. Answers it. First come, first served.
    PopFrontWait,
    /// Replaces the item at an index. Answers the old one.
    Set {
        /// Which, from 0.
        index: u64,
        /// What to put in its place.
        bytes: &'a [u8],
    },
    /// Puts an item in front of the one at an index, or at the end. Answers how many there are now.
    Insert {
        /// Where it will be, from 0.
        index: u64,
        /// The item.
        bytes: &'a [u8],
    },
    /// Removes the item at an index. Answers it.
    RemoveAt {
        /// Which, from 0.
        index: u64,
    },
    /// Removes the first item that is equal. Answers whether there was one.
    RemoveValue {
        /// The item to remove.
        bytes: &'a [u8],
    },
    /// Adds items at the end. Answers how many there are now.
    Extend {
        /// What to add.
        items: Items<'a>,
    },
    /// Removes all items but these. Answers how many were removed.
    RetainAll {
        /// The items to keep.
        items: Items<'a>,
    },
    /// Removes all of these, wherever they are. Answers how many were removed.
    RemoveAll {
        /// The items to remove.
        items: Items<'a>,
    },
    /// Removes everything. Answers how many were removed.
    Clear,
    /// Waits until there is an item and borrows the first. Answers it and the token of the claim.
    ///
    /// It is gone for good once it is [`Done`](ListOp::Done). If that has not happened when the hold
    /// ends, it goes back to the front. First come, first served, together with `PopFrontWait`.
    Claim {
        /// How long the claim is held, in milliseconds from when the request arrives; 0 for as long
        /// as the session lives.
        hold_ms: u32,
    },
    /// What was claimed is done. Answers whether the claim was still held.
    Done {
        /// The token of the claim.
        token: u64,
    },
    /// Gives what was claimed back, to the front. Answers whether the claim was still held.
    Return {
        /// The token of the claim.
        token: u64,
    },
    /// As `Claim`, but answers without an item if there is none, or if others wait.
    TryClaim {
        /// As in `Claim`.
        hold_ms: u32,
    },
}

#[derive(Archive, Serialize)]
struct ListRangeBody {
    from: u64,
    limit: u32,
}

#[derive(Archive, Serialize)]
struct IndexOfBody<'a> {
    from_end: bool,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

#[derive(Archive, Serialize)]
struct IndexedBody<'a> {
    index: u64,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

impl<'a> ListOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            ListOp::Len => OpCode::ListLen,
            ListOp::Get { .. } => OpCode::ListGet,
            ListOp::Range { .. } => OpCode::ListRange,
            ListOp::IndexOf { .. } => OpCode::ListIndexOf,
            ListOp::ContainsAll { .. } => OpCode::ListContainsAll,
            ListOp::PushBack { .. } => OpCode::ListPushBack,
            ListOp::PushFront { .. } => OpCode::ListPushFront,
            ListOp::PopBack => OpCode::ListPopBack,
            ListOp::PopFront => OpCode::ListPopFront,
            ListOp::PopFrontWait => OpCode::ListPopFrontWait,
            ListOp::Set { .. } => OpCode::ListSet,
            ListOp::Insert { .. } => OpCode::ListInsert,
            ListOp::RemoveAt { .. } => OpCode::ListRemoveAt,
            ListOp::RemoveValue { .. } => OpCode::ListRemoveValue,
            ListOp::Extend { .. } => OpCode::ListExtend,
            ListOp::RetainAll { .. } => OpCode::ListRetainAll,
            ListOp::RemoveAll { .. } => OpCode::ListRemoveAll,
            ListOp::Clear => OpCode::ListClear,
            ListOp::Claim { .. } => OpCode::ListClaim,
            ListOp::Done { .. } => OpCode::ListDone,
            ListOp::Return { .. } => OpCode::ListReturn,
            ListOp::TryClaim { .. } => OpCode::ListTryClaim,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            ListOp::Len
            | ListOp::PopBack
            | ListOp::PopFront
            | ListOp::PopFrontWait
            | ListOp::Clear => {}
            ListOp::Get { index: number }
            | ListOp::RemoveAt { index: number }
            | ListOp::Done { token: number }
            | ListOp::Return { token: number } => body::encode(&number, out),
            ListOp::Range { from, limit } => body::encode(&ListRangeBody { from, limit }, out),
            ListOp::IndexOf { from_end, bytes } => {
                body::encode(&IndexOfBody { from_end, bytes }, out);
            }
            ListOp::PushBack { bytes }
            | ListOp::PushFront { bytes }
            | ListOp::RemoveValue { bytes } => body::encode(&BytesBody { bytes }, out),
            ListOp::Set { index, bytes } | ListOp::Insert { index, bytes } => {
                body::encode(&IndexedBody { index, bytes }, out);
            }
            ListOp::ContainsAll { items }
            | ListOp::Extend { items }
            | ListOp::RetainAll { items }
            | ListOp::RemoveAll { items } => body::encode(&ItemsBody::from(items), out),
            ListOp::Claim { hold_ms } | ListOp::TryClaim { hold_ms } => {
                body::encode(&hold_ms, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<ListOp<'a>, Fault> {
        let empty = |op| body::decode_empty(body).map(|()| op);
        let indexed = || {
            let indexed = body::decode::<ArchivedIndexedBody<'a>>(body)?;
            Ok::<(u64, &'a [u8]), Fault>((indexed.index.to_native(), &indexed.bytes))
        };
        Ok(match code {
            OpCode::ListLen => empty(ListOp::Len)?,
            OpCode::ListGet => ListOp::Get { index: body::decode_u64(body)? },
            OpCode::ListRange => {
                let range = body::decode::<ArchivedListRangeBody>(body)?;
                ListOp::Range { from: range.from.to_native(), limit: range.limit.to_native() }
            }
            OpCode::ListIndexOf => {
                let wanted = body::decode::<ArchivedIndexOfBody<'a>>(body)?;
                ListOp::IndexOf { from_end: wanted.from_end, bytes: &wanted.bytes }
            }
            OpCode::ListContainsAll => ListOp::ContainsAll { items: items::decode(body)? },
            OpCode::ListPushBack => ListOp::PushBack { bytes: body::decode_bytes(body)? },
            OpCode::ListPushFront => ListOp::PushFront { bytes: body::decode_bytes(body)? },
            OpCode::ListPopBack => empty(ListOp::PopBack)?,
            OpCode::ListPopFront => empty(ListOp::PopFront)?,
            OpCode::ListPopFrontWait => empty(ListOp::PopFrontWait)?,
            OpCode::ListSet => {
                let (index, bytes) = indexed()?;
                ListOp::Set { index, bytes }
            }
            OpCode::ListInsert => {
                let (index, bytes) = indexed()?;
                ListOp::Insert { index, bytes }
            }
            OpCode::ListRemoveAt => ListOp::RemoveAt { index: body::decode_u64(body)? },
            OpCode::ListRemoveValue => ListOp::RemoveValue { bytes: body::decode_bytes(body)? },
            OpCode::ListExtend => ListOp::Extend { items: items::decode(body)? },
            OpCode::ListRetainAll => ListOp::RetainAll { items: items::decode(body)? },
            OpCode::ListRemoveAll => ListOp::RemoveAll { items: items::decode(body)? },
            OpCode::ListClear => empty(ListOp::Clear)?,
            OpCode::ListClaim => ListOp::Claim { hold_ms: body::decode_u32(body)? },
            OpCode::ListDone => ListOp::Done { token: body::decode_u64(body)? },
            OpCode::ListReturn => ListOp::Return { token: body::decode_u64(body)? },
            OpCode::ListTryClaim => ListOp::TryClaim { hold_ms: body::decode_u32(body)? },
            _ => misrouted(code),
        })
    }
}
