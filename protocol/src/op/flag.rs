//! Ops on a flag, a boolean that is false until somebody changes it.

/// What can be asked of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOp {
    /// Answers the value.
    Get,
    /// Sets the value. Answers the new one.
    Set {
        /// The value to set.
        value: bool,
    },
    /// Sets the value. Answers the old one.
    Swap {
        /// The value to set.
        value: bool,
    },
    /// Sets the value if it is `expected`. Answers whether it was, and the value now.
    CompareAndSwap {
        /// The value that must be there.
        expected: bool,
        /// The value to set.
        value: bool,
    },
}
