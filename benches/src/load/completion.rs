//! What both transports share: the operations that are done, and how to wait for one.

use std::io;
use std::time::Instant;

/// One operation that is done.
pub(super) enum Completion {
    Sent { index: usize, bytes: io::Result<usize> },
    Received { index: usize, bytes: io::Result<usize> },
}

/// How to wait for a completion.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitMode {
    /// Asleep, without a limit.
    Sleeping,
    /// Asleep, until then at the latest.
    Until(Instant),
    /// Awake, until then at the latest if there is a limit.
    Spinning(Option<Instant>),
}
