//! Opening and closing a session, the memory that makes retries safe.

/// What a client says about its session in one shard. The session's id is in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOp {
    /// Opens the session, or finds it open already. Answers nothing.
    Open {
        /// What [`Welcome::now_us`](crate::Welcome::now_us) said when the client drew the id. An id
        /// older than its time to live is refused: it may have been open and expired, and what it
        /// remembered is gone.
        born_us: u64,
        /// 64 more random bits that tell two clients with the same id apart.
        nonce: u64,
        /// Forget the session after this much silence, in milliseconds; 0 for the default.
        ttl_ms: u32,
    },
    /// Forgets the session and all it remembers. Answers nothing.
    Close,
}
