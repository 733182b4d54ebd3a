//! The deadlines of connections: a task of each core looks at all of them once in a period, so that a
//! connection needs no timer and requests cost nothing.

use std::rc::Rc;
use std::time::Duration;

use catena_protocol::{Fault, Status};

use super::conn::{Conn, ConnRole};
use super::core::Core;
use crate::config::{
    FRAME_SWEEPS_MAX, HELLO_SWEEPS_MAX, LENT_BYTES_PER_SWEEP_MIN, LENT_SLOW_SWEEPS_MAX,
    LENT_SWEEPS_MAX, SWEEP_MS,
};

/// How many periods a connection has been late with something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lateness {
    /// With its Hello.
    pub(super) hello: u8,
    /// With further bytes of a frame; `None` if none has begun, or it is not read.
    pub(super) bytes: Option<u8>,
    /// With a frame that has a loan; `None` without one.
    pub(super) frame: Option<LentFrame>,
}

/// The progress of a frame that has a loan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LentFrame {
    /// Bytes that have arrived, and how many of them before this period.
    received: usize,
    before: usize,
    /// Periods in which others waited, and those of them in a row in which too little arrived.
    contended: u8,
    slow: u8,
}

impl Core {
    /// Closes connections that are late, until the node stops.
    pub(super) async fn watch_connections(self: Rc<Core>) {
        while !self.is_stopping() {
            self.sweep_wake.notified_within(Some(Duration::from_millis(SWEEP_MS))).await;
            let is_contended = |conn: &Conn| self.receive_memory.is_contended_for(conn.source);
            self.conns.for_each(|conn| sweep(conn, is_contended));
            self.receive_memory.sweep();
            self.unsent_total.sweep();
            self.sweep_session_sources();
            self.sweep_memory();
        }
    }
}

fn sweep(conn: &Conn, is_contended: impl Fn(&Conn) -> bool) {
    if conn.is_link() {
        return;
    }
    let mut late = conn.late.get();
    let is_contended = late.frame.is_some() && is_contended(conn);
    let sweeps_max = late.count(conn.role.get(), is_contended);
    conn.late.set(late);
    if let Some(sweeps_max) = sweeps_max {
        let limit_ms = u64::from(sweeps_max) * SWEEP_MS;
        tracing::debug!(conn = conn.id.0, limit_ms, "closing a connection that is late");
        conn.break_off(Fault::expected(Status::TooSlow, limit_ms, 0));
    }
}

impl LentFrame {
    /// Returns it when so many bytes have arrived.
    pub(super) fn with(self, received: usize) -> LentFrame {
        LentFrame { received, ..self }
    }
}

impl Lateness {
    /// Counts a period. Returns how many there may be, if there were more.
    fn count(&mut self, role: ConnRole, is_contended: bool) -> Option<u8> {
        let mut exceeded = None;
        let mut add = |count: &mut u8, max: u8| {
            *count = count.saturating_add(1);
            if *count > max {
                exceeded = Some(max);
            }
        };
        if role == ConnRole::New {
            add(&mut self.hello, HELLO_SWEEPS_MAX);
        }
        let is_awaited = self.bytes.is_some();
        if let Some(bytes) = &mut self.bytes {
            add(bytes, FRAME_SWEEPS_MAX);
        }
        if let Some(frame) = &mut self.frame {
            let arrived = frame.received.saturating_sub(frame.before);
            frame.before = frame.received;
            if is_contended {
                add(&mut frame.contended, LENT_SWEEPS_MAX);
            }
            if is_contended && is_awaited && arrived < LENT_BYTES_PER_SWEEP_MIN {
                add(&mut frame.slow, LENT_SLOW_SWEEPS_MAX);
            } else {
                frame.slow = 0;
            }
        }
        exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns after how many periods a connection is closed, and the limit that it exceeds, if so
    /// many bytes of its frame arrive in each.
    fn closed_after(
        mut late: Lateness,
        role: ConnRole,
        contended: bool,
        arriving: usize,
    ) -> Option<(u32, u8)> {
        (1..100).find_map(|nth| {
            if let Some(frame) = &mut late.frame {
                frame.received += arriving;
            }
            if arriving > 0 {
                late.bytes = late.bytes.map(|_| 0);
            }
            Some((nth, late.count(role, contended)?))
        })
    }

    #[test]
    fn each_deadline_ends_a_connection() {
        let none = Lateness::default();
        let begun = Lateness { bytes: Some(0), ..none };
        let lent = Lateness { frame: Some(LentFrame::default()), ..begun };
        let served = Lateness { bytes: None, ..lent };
        let client = ConnRole::Client;
        let enough = LENT_BYTES_PER_SWEEP_MIN;
        assert_eq!(closed_after(none, ConnRole::New, false, 0), Some((6, 5)));
        assert_eq!(closed_after(none, client, true, 0), None, "an idle client may stay for ever");
        assert_eq!(closed_after(begun, client, true, 0), Some((31, 30)));
        assert_eq!(closed_after(lent, client, false, 0), Some((31, 30)));
        assert_eq!(closed_after(lent, client, true, 0), Some((2, 1)));
        assert_eq!(closed_after(lent, client, true, enough - 1), Some((2, 1)), "it trickles");
        assert_eq!(closed_after(lent, client, true, enough), Some((31, 30)));
        assert_eq!(closed_after(lent, client, false, 1), None, "nobody waits for it");
        assert_eq!(closed_after(served, client, true, 0), Some((31, 30)), "the core is busy");
        assert_eq!(closed_after(served, client, false, 0), None);
    }

    #[test]
    fn a_frame_that_has_waited_alone_gets_a_period_when_others_come() {
        let frame = Some(LentFrame::default());
        let mut late = Lateness { bytes: Some(0), frame, ..Lateness::default() };
        for _ in 0..20 {
            assert_eq!(late.count(ConnRole::Client, false), None);
        }
        assert_eq!(late.count(ConnRole::Client, true), None);
        assert_eq!(late.count(ConnRole::Client, true), Some(LENT_SLOW_SWEEPS_MAX));
    }
}
