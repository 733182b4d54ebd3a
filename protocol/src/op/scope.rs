//! Ops on a shard about the objects in it, by the prefix of their names.
//!
//! They concern no single object: the header's object is 0, and its shard says which is asked.

/// What can be asked of one shard. A prefix may be empty, and then concerns every name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeOp<'a> {
    /// Answers named objects, their names in byte order.
    List {
        /// The last name the caller has; names up to it are left out.
        after: &'a str,
        /// How the names begin.
        prefix: &'a str,
        /// How many at most.
        limit: u32,
    },
    /// Answers how many named objects there are, what they take, and what their quota is.
    Usage {
        /// How the names begin.
        prefix: &'a str,
    },
    /// Deletes some named objects. Answers how many; 0 means that there are none left.
    Delete {
        /// How the names begin.
        prefix: &'a str,
        /// How many at most.
        limit: u32,
    },
    /// Limits what named objects may be and take in this shard. Answers nothing.
    Quota {
        /// How the names begin.
        prefix: &'a str,
        /// How many objects there may be; 0 for no limit.
        objects_max: u64,
        /// What they may take, in bytes; 0 for no limit.
        bytes_max: u64,
    },
    /// Answers what the shard and its core are doing.
    Stats,
}
