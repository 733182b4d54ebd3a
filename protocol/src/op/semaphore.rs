//! Ops on a semaphore: permits that sessions hold for a while.

/// An op on a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemaphoreOp {
    /// Returns how many permits there are and how many are held; `Absent` if the semaphore was
    /// never used.
    State,
    /// Waits until the permits are free and takes them. Returns the token of the grant. Waiting
    /// callers are served in order.
    Acquire(Permit),
    /// Takes the permits if they are free and no caller waits. Returns whether it did, and the
    /// token.
    TryAcquire(Permit),
    /// Releases the permits. Returns whether they were still held.
    Release {
        /// The token of the grant.
        token: u64,
    },
    /// Holds the permits for `hold_ms` from now on. Returns whether they were still held.
    Extend {
        /// The token of the grant.
        token: u64,
        /// How long to hold them, in milliseconds from when the request arrives; 0 for as long as
        /// the session lives.
        hold_ms: u32,
    },
}

/// A request for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// How many permits the semaphore has in all; all callers give the same number.
    pub permits: u32,
    /// How many of them to take.
    pub count: u32,
    /// How long to hold them, in milliseconds from when the request arrives; 0 for as long as the
    /// session lives.
    pub hold_ms: u32,
}
