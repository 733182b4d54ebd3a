//! Opening and closing a session: the engine's memory that makes retries safe.

/// An op on the client's session in one shard. The id of the session is in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOp {
    /// Opens the session; if it is already open, it stays as it is. Returns nothing.
    Open {
        /// The [`Welcome::now_us`](crate::Welcome::now_us) at which the client drew the id. An id
        /// older than its time to live is refused, because it may have been open and have expired
        /// with all it remembered.
        born_us: u64,
        /// 64 more random bits, which tell two clients with the same id apart.
        nonce: u64,
        /// Time without an update after which the session expires, in milliseconds; 0 for the
        /// default.
        ttl_ms: u32,
    },
    /// Closes the session and forgets all it remembers. Returns nothing.
    Close,
}
