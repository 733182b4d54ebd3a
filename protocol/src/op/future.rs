//! Ops on a future: bytes that are set once and waited for.

/// What can be asked of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureOp<'a> {
    /// Answers how it stands: [`FUTURE_PENDING`], [`FUTURE_SET`] or [`FUTURE_CANCELLED`].
    State,
    /// Answers the bytes, or nothing while there are none; `Broken` if it was cancelled.
    Peek,
    /// Sets the bytes if nobody has. Answers whether this did; `Broken` if it was cancelled.
    Set {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Waits until the bytes are there and answers them; `Broken` if it is cancelled.
    Get,
    /// Cancels it: whoever waits or asks gets `Broken` with the reason. Answers false if the bytes
    /// were set before.
    Cancel {
        /// Why, in words.
        reason: &'a str,
    },
}

/// Nobody has set or cancelled it.
pub const FUTURE_PENDING: u64 = 0;
/// The bytes are there.
pub const FUTURE_SET: u64 = 1;
/// There will be no bytes.
pub const FUTURE_CANCELLED: u64 = 2;
