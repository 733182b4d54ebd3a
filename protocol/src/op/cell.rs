//! Ops on a cell: bytes with a version that grows with every change.

/// An op on a cell. A cell that was never written is empty and has version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellOp<'a> {
    /// Returns the version and the bytes.
    Get,
    /// Returns the version, and the bytes if the version is above `version`.
    GetIfNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Returns the version and at most `length` bytes from `from` on. `OutOfRange` if `from` is
    /// past the end.
    ReadRange {
        /// The first byte to read.
        from: u64,
        /// How many at most.
        length: u64,
    },
    /// Replaces the bytes. Returns the new version.
    Set {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes. Returns the old version and the old bytes.
    Swap {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes if the version is `version`. Returns whether it did, and the version now.
    CompareVersionAndSet {
        /// The version that the cell must have; 0 for one that was never written.
        version: u64,
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes if they are `expected`. Returns whether it did, and the version now.
    CompareAndSet {
        /// The bytes that the cell must have.
        expected: &'a [u8],
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Appends. Returns the new version and length.
    Append {
        /// The bytes to append.
        bytes: &'a [u8],
    },
    /// Replaces the bytes, unless the cell has seen a higher token: `StaleToken`. Returns the new
    /// version.
    SetWithToken {
        /// The fencing token of the lock or permit that the caller holds. The cell remembers the
        /// highest.
        token: u64,
        /// The bytes to set.
        bytes: &'a [u8],
    },
}
