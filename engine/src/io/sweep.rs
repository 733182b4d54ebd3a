//! The deadlines of connections: a task of each core looks at all of them once in a period, so that a
//! connection needs no timer and requests cost nothing.

use std::rc::Rc;
use std::time::Duration;

use catena_protocol::{Fault, Status};

use super::conn::{Conn, ConnRole};
use super::core::Core;
use crate::config::{
    FRAME_SWEEPS_MAX, HELLO_SWEEPS_MAX, LENT_SILENT_SWEEPS_MAX, LENT_SWEEPS_MAX, SWEEP_MS,
};

/// How many periods a connection has been late with something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lateness {
    /// With its Hello.
    pub(super) hello: u8,
    /// With further bytes of a frame; `None` if none has begun, or it is not read.
    pub(super) bytes: Option<u8>,
    /// With the end of a frame that has a loan, while others wait for one; `None` without a loan.
    pub(super) frame: Option<u8>,
}

impl Core {
    /// Closes connections that are late, until the node stops.
    pub(super) async fn watch_connections(self: Rc<Core>) {
        while !self.is_stopping() {
            self.sweep_wake.notified_within(Some(Duration::from_millis(SWEEP_MS))).await;
            let is_contended = self.receive_memory.is_contended();
            self.conns.for_each(|conn| sweep(conn, is_contended));
            self.receive_memory.sweep();
            self.unsent_total.sweep();
        }
    }
}

fn sweep(conn: &Conn, is_contended: bool) {
    if conn.is_link() {
        return;
    }
    let mut late = conn.late.get();
    let sweeps_max = late.count(conn.role.get(), is_contended);
    conn.late.set(late);
    if let Some(sweeps_max) = sweeps_max {
            self.sweep_session_sources();
        let limit_ms = u64::from(sweeps_max) * SWEEP_MS;
        tracing::debug!(conn = conn.id.0, limit_ms, "closing a connection that is late");
        conn.break_off(Fault::expected(Status::TooSlow, limit_ms, 0));
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
        if let Some(frame) = self.frame.as_mut().filter(|_| is_contended) {
            add(frame, LENT_SWEEPS_MAX);
        }
        if let Some(bytes) = &mut self.bytes {
            let is_lent = self.frame.is_some() && is_contended;
            add(bytes, if is_lent { LENT_SILENT_SWEEPS_MAX } else { FRAME_SWEEPS_MAX });
        }
        exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns after how many periods a connection is closed, and the limit that it exceeds.
    fn closed_after(mut late: Lateness, role: ConnRole, contended: bool) -> Option<(u32, u8)> {
        (1..100).find_map(|nth| Some((nth, late.count(role, contended)?)))
    }

    #[test]
    fn each_deadline_ends_a_connection() {
        let none = Lateness::default();
        let begun = Lateness { bytes: Some(0), ..none };
        let lent = Lateness { frame: Some(0), ..begun };
        let steady = Lateness { bytes: None, ..lent };
        let client = ConnRole::Client;
        assert_eq!(closed_after(none, ConnRole::New, false), Some((6, 5)));
        assert_eq!(closed_after(none, client, true), None, "an idle client may stay for ever");
        assert_eq!(closed_after(begun, client, true), Some((31, 30)));
        assert_eq!(closed_after(lent, client, false), Some((31, 30)));
        assert_eq!(closed_after(lent, client, true), Some((6, 5)));
        assert_eq!(closed_after(steady, client, true), Some((31, 30)));
        assert_eq!(closed_after(steady, client, false), None);
    }
}
