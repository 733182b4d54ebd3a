//! Ops on a log: numbered lines of text, of which the newest are kept.

/// An op on a log. Lines are numbered from 1; only the newest are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOp<'a> {
    /// Returns a page of lines and the number of the first of them.
    Tail {
        /// The number of the last line that the caller has, 0 for none.
        after: u64,
        /// How many at most.
        limit: u32,
    },
    /// Adds a line. Returns its number.
    Print {
        /// The line, at most [`LOG_LINE_BYTES_MAX`](crate::limits::LOG_LINE_BYTES_MAX) bytes.
        line: &'a str,
    },
}
