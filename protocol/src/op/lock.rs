//! Ops on a lock: one holder at a time, each with a token larger than all before.

/// An op on a lock. A lock is not reentrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOp {
    /// Returns the state, as a semaphore of one permit would.
    State,
    /// Waits until the lock is free and takes it. Returns the token of the grant. Waiting callers
    /// are served in order.
    Acquire {
        /// How long to hold it, in milliseconds from when the request arrives; 0 for as long as the
        /// session lives.
        hold_ms: u32,
    },
    /// Takes the lock if it is free and no caller waits for it. Returns whether it did, and the
    /// token.
    TryAcquire {
        /// As in `Acquire`.
        hold_ms: u32,
    },
    /// Releases the lock. Returns whether it was still held.
    Release {
        /// The token of the grant.
        token: u64,
    },
    /// Holds the lock for `hold_ms` from now on. Returns whether it was still held.
    Extend {
        /// The token of the grant.
        token: u64,
        /// As in `Acquire`.
        hold_ms: u32,
    },
}
