//! What can be asked of an object of any kind.

/// An op that does not depend on the kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOp {
    /// Deletes the object; whoever waits on it gets `Deleted`. Answers whether there was one.
    Delete,
    /// Answers everything about the object, for people; `Absent` if there is none.
    Inspect,
    /// Waits until the object's version is above `version`. Answers the version now.
    ///
    /// An object that does not exist has version 0 and may be waited for.
    WaitNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Deletes the object so long after this op, whatever happens to it in between. Answers whether
    /// there is such an object.
    Expire {
        /// In so many milliseconds; 0 for never.
        ttl_ms: u64,
    },
}
