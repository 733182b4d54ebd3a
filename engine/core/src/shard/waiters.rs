//! Waiting requests and their deadlines.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::Header;

use super::{ConnId, Time};
use crate::config::WAITING_BYTES;
use crate::objects::WaiterId;

/// A waiting request: a record, not a thread.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The header of the request, for its reply.
    pub(super) header: Header,
    /// The connection that gets the reply, if any: that of the latest retry.
    pub(super) conn: Option<ConnId>,
    /// When the request, or its latest retry, arrived.
    pub(super) since: Time,
    /// When the wait times out.
    pub(super) deadline: Time,
}

impl Waiter {
    /// Returns how long it has waited; 0 if the clock was rolled back further, see
    /// `Shard::turn_back`.
    pub(super) fn waited_us(&self, now: Time) -> u64 {
        now.0.saturating_sub(self.since.0)
    }
}

/// All waiting requests of a shard.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    parked: BTreeMap<WaiterId, Waiter>,
    /// The id of the next waiter. Ids are never reused, so all nodes that apply the same updates
    /// assign the same ids.
    next: WaiterId,
    deadlines: BTreeSet<(Time, WaiterId)>,
}

impl Waiters {
    /// Returns the id of the next waiter.
    pub(super) fn next_id(&self) -> WaiterId {
        self.next
    }

    pub(super) fn insert(&mut self, waiter: Waiter) -> WaiterId {
        let id = self.next;
        self.next.0 += 1;
        self.deadlines.insert((waiter.deadline, id));
        self.parked.insert(id, waiter);
        id
    }

    /// Restores a waiter under its id.
    pub(super) fn put_back(&mut self, id: WaiterId, waiter: Waiter) {
        self.deadlines.insert((waiter.deadline, id));
        self.parked.insert(id, waiter);
    }

    /// Sets the id of the next waiter.
    pub(super) fn go_on_from(&mut self, next: WaiterId) {
        self.next = next;
    }

    /// Iterates over the waiters in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WaiterId, &Waiter)> {
        self.parked.iter().map(|(id, waiter)| (*id, waiter))
    }

    pub(super) fn remove(&mut self, waiter: WaiterId) -> Waiter {
        let removed = self.parked.remove(&waiter).expect("a wait ends once");
        let had_deadline = self.deadlines.remove(&(removed.deadline, waiter));
        assert!(had_deadline, "every waiter has a deadline");
        removed
    }

    /// Sends the reply to `conn`, on which a retry has arrived.
    pub(super) fn attach(&mut self, waiter: WaiterId, conn: ConnId, now: Time) {
        let waiter = self.parked.get_mut(&waiter).expect("a parked request of a session waits");
        (waiter.conn, waiter.since) = (Some(conn), now);
    }

    /// Returns whether a request still waits.
    pub(super) fn contains(&self, waiter: WaiterId) -> bool {
        self.parked.contains_key(&waiter)
    }

    pub(super) fn get(&self, waiter: WaiterId) -> Option<&Waiter> {
        self.parked.get(&waiter)
    }

    /// Returns the header of a waiting request.
    pub(super) fn header(&self, waiter: WaiterId) -> &Header {
        &self.parked[&waiter].header
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Returns the waiter with the earliest deadline up to `now`, and the deadline.
    pub(super) fn first_due(&self, now: Time) -> Option<(Time, WaiterId)> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Returns the memory that the waiters take here, in bytes, near enough for a budget.
    pub(super) fn bytes(&self) -> u64 {
        self.parked.len() as u64 * WAITING_BYTES
    }

    /// Removes the connections of all waiters, and passes them to `detached`.
    pub(super) fn detach(&mut self, mut detached: impl FnMut(ConnId, &Waiter)) {
        for waiter in self.parked.values_mut() {
            if let Some(conn) = waiter.conn.take() {
                detached(conn, waiter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_protocol::FrameKind;

    /// A head that hands over its shards rolls their clocks back to the last update, also if a
    /// retry has arrived since.
    #[test]
    fn a_wait_survives_a_clock_that_is_rolled_back() {
        let mut waiters = Waiters::default();
        let id = waiters.next_id();
        let header = Header::new(FrameKind::Request);
        let waiter = Waiter { header, conn: None, since: Time(10), deadline: Time(90) };
        waiters.parked.insert(id, waiter);
        waiters.attach(id, ConnId(1), Time(50));
        assert_eq!(waiters.parked[&id].waited_us(Time(60)), 10);
        assert_eq!(waiters.parked[&id].waited_us(Time(40)), 0);
    }
}
