//! Ops on a lock: one holder at a time, each with a token larger than all before.

/// What can be asked of a lock. It is not reentrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOp {
    /// Answers as a semaphore of one permit.
    State,
    /// Waits until the lock is free and takes it. Answers the token of the grant. First come, first
    /// served.
    Acquire {
        /// For how long, in milliseconds from when the request arrives; 0 for as long as the session
        /// lives.
        hold_ms: u32,
    },
    /// Takes the lock if it is free and nobody waits. Answers whether it did, and the token.
    TryAcquire {
        /// As in `Acquire`.
        hold_ms: u32,
    },
    /// Gives the lock back. Answers whether it was still held.
    Release {
        /// The token of the grant.
        token: u64,
    },
    /// Holds the lock for so long from now on. Answers whether it was still held.
    Extend {
        /// The token of the grant.
        token: u64,
        /// As in `Acquire`.
        hold_ms: u32,
    },
}
