//! Ops on a cell: bytes with a version that grows with every change.

/// What can be asked of a cell. A cell that nobody wrote is empty and has version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellOp<'a> {
    /// Answers version and bytes.
    Get,
    /// Answers version and bytes if the version is above `version`, else only the version.
    GetIfNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Answers version and the bytes from `from`, at most `length` of them. `OutOfRange` if `from`
    /// lies behind the end.
    ReadRange {
        /// The first byte to read.
        from: u64,
        /// How many at most.
        length: u64,
    },
    /// Replaces the bytes. Answers the new version.
    Set {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes. Answers the old version and bytes.
    Swap {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes if the version is `version`. Answers whether it was, and the version now.
    CompareVersionAndSet {
        /// The version that must be there; 0 for a cell nobody wrote.
        version: u64,
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes if they are `expected`. Answers whether they were, and the version now.
    CompareAndSet {
        /// The bytes that must be there.
        expected: &'a [u8],
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Appends. Answers the new version and length.
    Append {
        /// The bytes to append.
        bytes: &'a [u8],
    },
    /// Replaces the bytes, unless a higher token was seen: `StaleToken`. Answers the new version.
    SetWithToken {
        /// The token of the lock or permit under which this is done. The cell remembers the highest.
        token: u64,
        /// The bytes to set.
        bytes: &'a [u8],
    },
}
