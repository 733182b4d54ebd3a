//! Ops on an object of any kind.

/// An op that does not depend on the kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOp {
    /// Deletes the object; callers that wait on it get `Deleted`. Returns whether it existed.
    Delete,
    /// Returns everything about the object, for people; `Absent` if it does not exist.
    Inspect,
    /// Waits until the object's version is above `version`. Returns the version now.
    ///
    /// An object that does not exist has version 0 and can be waited for.
    WaitNewer {
        /// The version that the caller has.
        version: u64,
    },
    /// Deletes the object `ttl_ms` after this op, even if it is used in between. Returns whether it
    /// exists.
    Expire {
        /// Time until it is deleted, in milliseconds; 0 for never.
        ttl_ms: u64,
    },
}
