//! Ops on a flag, a boolean that begins as false.

/// An op on a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOp {
    /// Returns the value.
    Get,
    /// Sets the value. Returns the new one.
    Set {
        /// The value to set.
        value: bool,
    },
    /// Sets the value. Returns the old one.
    Swap {
        /// The value to set.
        value: bool,
    },
    /// Sets the value if it is `expected`. Returns whether it did, and the value now.
    CompareAndSwap {
        /// The value that the flag must have.
        expected: bool,
        /// The value to set.
        value: bool,
    },
}
