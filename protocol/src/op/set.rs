//! Ops on a set: byte strings without order or repetition, listed in byte order.

use super::scan::ScanArgs;
use crate::items::Items;

/// An op on a set. A set that was never written is empty. A member has at most
/// [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp<'a> {
    /// Returns how many members there are.
    Len,
    /// Returns whether the set has a member.
    Contains {
        /// The member to look for.
        bytes: &'a [u8],
    },
    /// Returns whether the set has all of these members.
    ContainsAll {
        /// The members to look for.
        items: Items<'a>,
    },
    /// Returns a page of members in byte order. Members are keys; to scan for anything else is
    /// `BadArgument`.
    Scan(ScanArgs<'a>),
    /// Adds a member. Returns whether it is new.
    Add {
        /// The member.
        bytes: &'a [u8],
    },
    /// Removes a member. Returns whether the set had it.
    Remove {
        /// The member.
        bytes: &'a [u8],
    },
    /// Adds members. Returns how many are new.
    AddAll {
        /// The members.
        items: Items<'a>,
    },
    /// Removes members. Returns how many of them the set had.
    RemoveAll {
        /// The members.
        items: Items<'a>,
    },
    /// Removes all members but these. Returns how many were removed.
    RetainAll {
        /// The members to keep.
        items: Items<'a>,
    },
    /// Removes everything. Returns how many were removed.
    Clear,
}
