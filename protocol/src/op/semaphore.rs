//! Ops on a semaphore: permits, each held by somebody for a while.

/// What can be asked of a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemaphoreOp {
    /// Answers how many permits there are and who has them; `Absent` if nobody asked for one yet.
    State,
    /// Waits until the permits are free and takes them. Answers the token of the grant. First come,
    /// first served.
    Acquire(Permit),
    /// Takes the permits if they are free and nobody waits. Answers whether it did, and the token.
    TryAcquire(Permit),
    /// Gives the permits back. Answers whether they were still held.
    Release {
        /// The token of the grant.
        token: u64,
    },
    /// Holds the permits for so long from now on. Answers whether they were still held.
    Extend {
        /// The token of the grant.
        token: u64,
        /// For how long, in milliseconds from when the request arrives; 0 for as long as the session
        /// lives.
        hold_ms: u32,
    },
}

/// What is asked of a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// How many permits the semaphore has in all; the same for everybody who asks.
    pub permits: u32,
    /// How many of them are asked for.
    pub count: u32,
    /// For how long, in milliseconds from when the request arrives; 0 for as long as the session
    /// lives.
    pub hold_ms: u32,
}
