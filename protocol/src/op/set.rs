//! Ops on a set: byte strings without order or repetition, listed in byte order.

use super::scan::ScanArgs;
use super::{OpCode, misrouted};
use crate::body::{self, BytesBody};
use crate::items::{self, Items, ItemsBody};
use crate::status::Fault;

/// What can be asked of a set. A set that nobody wrote is empty. A member has at most
/// [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp<'a> {
    /// Answers how many members there are.
    Len,
    /// Answers whether this is a member.
    Contains {
        /// The member to look for.
        bytes: &'a [u8],
    },
    /// Answers whether all of these are members.
    ContainsAll {
        /// The members to look for.
        items: Items<'a>,
    },
    /// Answers a page of members in byte order. They are keys; anything else is `BadArgument`.
    Scan(ScanArgs<'a>),
    /// Adds a member. Answers whether it is new.
    Add {
        /// The member.
        bytes: &'a [u8],
    },
    /// Removes a member. Answers whether it was one.
    Remove {
        /// The member.
        bytes: &'a [u8],
    },
    /// Adds members. Answers how many are new.
    AddAll {
        /// The members.
        items: Items<'a>,
    },
    /// Removes members. Answers how many were members.
    RemoveAll {
        /// The members.
        items: Items<'a>,
    },
    /// Removes all members but these. Answers how many were removed.
    RetainAll {
        /// The members to keep.
        items: Items<'a>,
    },
    /// Removes everything. Answers how many were removed.
    Clear,
}

impl<'a> SetOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            SetOp::Len => OpCode::SetLen,
            SetOp::Contains { .. } => OpCode::SetContains,
            SetOp::ContainsAll { .. } => OpCode::SetContainsAll,
            SetOp::Scan(_) => OpCode::SetScan,
            SetOp::Add { .. } => OpCode::SetAdd,
            SetOp::Remove { .. } => OpCode::SetRemove,
            SetOp::AddAll { .. } => OpCode::SetAddAll,
            SetOp::RemoveAll { .. } => OpCode::SetRemoveAll,
            SetOp::RetainAll { .. } => OpCode::SetRetainAll,
            SetOp::Clear => OpCode::SetClear,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            SetOp::Len | SetOp::Clear => {}
            SetOp::Contains { bytes } | SetOp::Add { bytes } | SetOp::Remove { bytes } => {
                body::encode(&BytesBody { bytes }, out);
            }
            SetOp::Scan(scan) => scan.encode(out),
            SetOp::ContainsAll { items }
            | SetOp::AddAll { items }
            | SetOp::RemoveAll { items }
            | SetOp::RetainAll { items } => body::encode(&ItemsBody::from(items), out),
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<SetOp<'a>, Fault> {
        Ok(match code {
            OpCode::SetLen => {
                body::decode_empty(body)?;
                SetOp::Len
            }
            OpCode::SetContains => SetOp::Contains { bytes: body::decode_bytes(body)? },
            OpCode::SetContainsAll => SetOp::ContainsAll { items: items::decode(body)? },
            OpCode::SetScan => SetOp::Scan(ScanArgs::decode(body)?),
            OpCode::SetAdd => SetOp::Add { bytes: body::decode_bytes(body)? },
            OpCode::SetRemove => SetOp::Remove { bytes: body::decode_bytes(body)? },
            OpCode::SetAddAll => SetOp::AddAll { items: items::decode(body)? },
            OpCode::SetRemoveAll => SetOp::RemoveAll { items: items::decode(body)? },
            OpCode::SetRetainAll => SetOp::RetainAll { items: items::decode(body)? },
            OpCode::SetClear => {
                body::decode_empty(body)?;
                SetOp::Clear
            }
            _ => misrouted(code),
        })
    }
}
