//! Ops on a shard about the named objects in it whose names begin with a prefix.
//!
//! They are about no single object: the object in the header is 0, and its shard is the one asked.

/// An op on the named objects of one shard. An empty prefix includes all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeOp<'a> {
    /// Returns a page of named objects, in the byte order of their names.
    List {
        /// The last name that the caller has: the page begins after it.
        after: &'a str,
        /// The beginning of the names.
        prefix: &'a str,
        /// How many at most.
        limit: u32,
    },
    /// Returns how many such objects there are, the memory they take, and their quota.
    Usage {
        /// The beginning of the names.
        prefix: &'a str,
    },
    /// Deletes some of the objects. Returns how many; 0 means that none are left.
    Delete {
        /// The beginning of the names.
        prefix: &'a str,
        /// How many at most; 0 is taken as 1.
        limit: u32,
    },
    /// Sets a quota on such objects in this shard. Returns nothing.
    Quota {
        /// The beginning of the names.
        prefix: &'a str,
        /// The most objects; 0 for no limit.
        objects_max: u64,
        /// The most memory they may take together, in bytes; 0 for no limit.
        bytes_max: u64,
    },
    /// Returns statistics of the shard and its core.
    Stats,
    /// Returns some of the requests that the shard has served lately. It notes them from the first
    /// time that somebody asks until nobody has asked for some seconds.
    Monitor {
        /// [`Monitored::next`](crate::Monitored::next) of the reply before; 0 for the first time.
        after: u64,
        /// How many requests to note a second, at most. Some limit of the shard's own applies too.
        per_second: u32,
    },
}
