//! Ops on a log: numbered lines of text, of which the newest are kept.

/// What can be asked of a log. Lines are numbered from 1; the oldest are forgotten in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOp<'a> {
    /// Answers a page of lines and the number of its first.
    Tail {
        /// The number of the last line that the caller has, 0 for none.
        after: u64,
        /// How many at most.
        limit: u32,
    },
    /// Adds a line. Answers its number.
    Print {
        /// The line, at most [`LOG_LINE_BYTES_MAX`](crate::limits::LOG_LINE_BYTES_MAX) bytes.
        line: &'a str,
    },
}
