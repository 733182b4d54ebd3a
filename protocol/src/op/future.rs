//! Ops on a future: bytes that are set once and waited for.

/// An op on a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureOp<'a> {
    /// Returns the state: [`FUTURE_PENDING`], [`FUTURE_SET`] or [`FUTURE_CANCELLED`].
    State,
    /// Returns the bytes, or nothing while the future is pending; `Broken` if it was cancelled.
    Peek,
    /// Sets the bytes if the future is pending. Returns whether it did; `Broken` if it was
    /// cancelled.
    Set {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Waits until the bytes are set and returns them; `Broken` if the future is cancelled.
    Get,
    /// Cancels the future if it is pending: callers that wait for it or read it get `Broken` with
    /// the reason. Returns false if the bytes were already set.
    Cancel {
        /// The reason, for people.
        reason: &'a str,
    },
}

/// The future is neither set nor cancelled.
pub const FUTURE_PENDING: u64 = 0;
/// The bytes are set.
pub const FUTURE_SET: u64 = 1;
/// The future is cancelled and will have no bytes.
pub const FUTURE_CANCELLED: u64 = 2;
