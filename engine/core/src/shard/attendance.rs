//! The ends of connections: waits that nobody attends are passed over, and forgotten a while later.
//!
//! The head notices that a connection has ended, and detaches its waits: an event in the shard's
//! order, which all replicas apply. A retry attaches the wait again, in its former place. What only
//! one request can have, an item or a permit, is never given to one that is detached.

use alloc::vec::Vec;

use catena_protocol::Header;
use catena_protocol::limits::DETACHED_MS;

use super::{ConnId, Outbox, Shard, Time};
use crate::config::DETACHED_MAX;
use crate::objects::WaiterId;

impl Shard {
    /// Returns whether a request waits for a reply on a connection.
    pub fn has_waits_of(&self, conn: ConnId) -> bool {
        self.waiters.of_conn(conn).is_some()
    }

    /// Takes the connection from the requests that wait for a reply on it. That changes no state
    /// until they are detached.
    pub fn on_disconnect(&mut self, conn: ConnId) {
        self.waiters.disconnect(conn);
    }

    /// Returns whether requests wait without a connection and are not detached.
    pub(crate) fn has_unattended(&self) -> bool {
        self.waiters.has_unattended()
    }

    /// Returns requests that wait without a connection and are not detached, as many as one event
    /// takes.
    pub(crate) fn unattended(&self) -> Vec<WaiterId> {
        self.waiters.unattended().take(DETACHED_MAX).collect()
    }

    /// Passes these requests over from now on. Returns whether any of them was attended until now.
    pub(crate) fn detach(
        &mut self,
        now: Time,
        waiters: impl IntoIterator<Item = WaiterId>,
        out: &mut impl Outbox,
    ) -> bool {
        let before = self.seq;
        self.advance(now);
        let until = now.plus_ms(DETACHED_MS);
        for waiter in waiters {
            // One before it may have released it.
            let is_attended = |it: &super::Waiter| it.detached.is_none();
            if self.waiters.get(waiter).is_some_and(is_attended) {
                self.waiters.detach(waiter, until);
                self.attend(waiter, false, out);
            }
        }
        self.expect_due(self.waiters.next_due());
        self.seq > before
    }

    /// Sends the reply to a waiting request to `conn`, on which it was retried.
    pub(super) fn attach(&mut self, waiter: WaiterId, conn: ConnId, out: &mut impl Outbox) {
        if self.waiters.attach(waiter, conn, self.now) {
            self.attend(waiter, true, out);
        }
    }

    /// Ends a wait that was detached for too long, as if it had never begun.
    pub(super) fn forget(&mut self, waiter: WaiterId, out: &mut impl Outbox) {
        self.cancel(waiter);
        let Header { session, number, .. } = self.waiters.remove(waiter).header;
        self.sessions.forget(session, number);
        self.release(out);
    }

    /// Lets the object of a waiting request pass it over, or serve it again.
    fn attend(&mut self, waiter: WaiterId, attended: bool, out: &mut impl Outbox) {
        let found = self.waiters.parked(waiter);
        let object = found.header.object;
        if found.seen.is_some() {
            self.seq.0 += 1;
            return;
        }
        self.change(object, |object, turn| {
            object.set_attended(waiter, attended);
            object.serve(turn);
        });
        self.release(out);
    }
}
