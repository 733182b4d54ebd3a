//! Ops on a list: byte strings in order, taken from either end, and lent out to workers.

use crate::items::Items;

/// An op on a list. A list that was never written is empty. An item has at most
/// [`ITEM_BYTES_MAX`](crate::limits::ITEM_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOp<'a> {
    /// Returns how many items there are.
    Len,
    /// Returns the item at an index, or nothing past the end.
    Get {
        /// The index of the item, from 0.
        index: u64,
    },
    /// Returns a page of items.
    Range {
        /// The first one, from 0.
        from: u64,
        /// How many at most.
        limit: u32,
    },
    /// Returns the index of an item.
    IndexOf {
        /// Search for the last such item instead of the first.
        from_end: bool,
        /// The item to look for.
        bytes: &'a [u8],
    },
    /// Returns whether all of these are in the list.
    ContainsAll {
        /// The items to look for.
        items: Items<'a>,
    },
    /// Adds an item at the end. Returns how many there are now.
    PushBack {
        /// The item.
        bytes: &'a [u8],
    },
    /// Adds an item at the front. Returns how many there are now.
    PushFront {
        /// The item.
        bytes: &'a [u8],
    },
    /// Takes the last item. Returns it, or nothing if there is none.
    PopBack,
    /// Takes the first item. Returns it, or nothing if there is none.
    PopFront,
    /// Waits until there is an item, takes the first and returns it. Waiting callers are served in
    /// order.
    PopFrontWait,
    /// Replaces the item at an index. Returns the old one.
    Set {
        /// The index of the item, from 0.
        index: u64,
        /// The new item.
        bytes: &'a [u8],
    },
    /// Inserts an item before the one at an index, or at the end. Returns how many there are now.
    Insert {
        /// The index that the item will have, from 0.
        index: u64,
        /// The item.
        bytes: &'a [u8],
    },
    /// Removes the item at an index. Returns it.
    RemoveAt {
        /// The index of the item, from 0.
        index: u64,
    },
    /// Removes the first item that is equal. Returns whether there was one.
    RemoveValue {
        /// The item to remove.
        bytes: &'a [u8],
    },
    /// Adds items at the end. Returns how many there are now.
    Extend {
        /// The items to add.
        items: Items<'a>,
    },
    /// Removes all items but these. Returns how many were removed.
    RetainAll {
        /// The items to keep.
        items: Items<'a>,
    },
    /// Removes every item that equals one of these. Returns how many were removed.
    RemoveAll {
        /// The items to remove.
        items: Items<'a>,
    },
    /// Removes everything. Returns how many were removed.
    Clear,
    /// Waits until there is an item and claims the first. Returns it and the token of the claim.
    ///
    /// [`Done`](ListOp::Done) removes the item for good. Without it, the item goes back to the
    /// front when the hold ends. Waiting callers are served in order, together with those of
    /// `PopFrontWait`.
    Claim {
        /// How long the claim is held, in milliseconds from when the request arrives; 0 for as long
        /// as the session lives.
        hold_ms: u32,
    },
    /// Removes a claimed item for good. Returns whether the claim was still held.
    Done {
        /// The token of the claim.
        token: u64,
    },
    /// Returns a claimed item to the front of the list. Returns whether the claim was still held.
    Return {
        /// The token of the claim.
        token: u64,
    },
    /// Claims the first item like `Claim`, but does not wait: returns no item if the list is empty
    /// or other callers wait.
    TryClaim {
        /// As in `Claim`.
        hold_ms: u32,
    },
}
