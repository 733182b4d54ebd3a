//! Ops on a list: byte strings in order, taken from either end, and lent out to workers.

use crate::items::Items;

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
