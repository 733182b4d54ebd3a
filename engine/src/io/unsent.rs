//! The replies of a core that wait for their clients to read them, counted and bounded.
//!
//! 1. Replies to a client's own requests are bounded by not reading further ones (`UNSENT_BYTES_MAX`).
//! 2. Replies that end waits come when others want it. A client that lets too many of them wait is
//!    closed, with `TooSlow` if that can still be sent.
//! 3. So that many clients together do not take more than the core has, the one with most is closed
//!    first. The replies of updates are not lost: their sessions keep them for a retry.

use std::cell::Cell;

use catena_protocol::{Fault, Status};

use super::conn::Conn;
use super::core::Core;
use crate::config::UNSENT_OF_CLIENT_BYTES_MAX;

/// The unsent replies of a core, in bytes.
pub(super) struct UnsentTotal {
    bytes: Cell<usize>,
    bytes_max: usize,
    /// Whether the log has said that clients are closed, since there were few replies last.
    is_reported: Cell<bool>,
}

impl UnsentTotal {
    pub(super) fn new(bytes_max: usize) -> UnsentTotal {
        UnsentTotal { bytes: Cell::new(0), bytes_max, is_reported: Cell::new(false) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Replaces what a connection counts by another number of bytes.
    pub(super) fn replace(&self, before: usize, now: usize) {
        self.bytes.set(self.bytes.get() - before + now);
    }

    fn is_over(&self) -> bool {
        self.bytes.get() > self.bytes_max
    }

    /// Returns whether the log is to say that clients are closed.
    fn begins_report(&self) -> bool {
        !self.is_reported.replace(true)
    }

    /// Lets the log say it again once few replies are left.
    pub(super) fn sweep(&self) {
        if self.bytes.get() < self.bytes_max / 2 {
            self.is_reported.set(false);
        }
    }
}

impl Core {
    /// Counts the replies of a connection that has got more, and closes connections that have too many.
    #[inline]
    pub(super) fn limit_unsent(&self, conn: &Conn) {
        let bytes = conn.count_unsent();
        if bytes > UNSENT_OF_CLIENT_BYTES_MAX || self.unsent_total.is_over() {
            self.close_slow(conn, bytes);
        }
    }

    #[cold]
    fn close_slow(&self, conn: &Conn, bytes: usize) {
        if bytes > UNSENT_OF_CLIENT_BYTES_MAX {
            conn.break_off(too_slow(bytes));
        }
        while self.unsent_total.is_over()
            && let Some(most) = self.conns.most_unsent()
        {
            let bytes = most.unsent_bytes();
            most.break_off(too_slow(bytes));
            if self.unsent_total.begins_report() {
                let limit = self.unsent_total.bytes_max;
                tracing::warn!(
                    bytes,
                    limit,
                    "clients do not read their replies: closing the connections with most of them"
                );
            }
        }
    }
}

fn too_slow(bytes: usize) -> Fault {
    Fault::expected(Status::TooSlow, 0, bytes as u64)
}
