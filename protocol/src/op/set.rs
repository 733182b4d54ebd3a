//! Ops on a set: byte strings without order or repetition, listed in byte order.

use super::scan::ScanArgs;
use crate::items::Items;

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
