//! Requests that wait, and when their time is up.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::Header;

use super::{ConnId, Time};
use crate::config::WAITING_BYTES;
use crate::objects::WaiterId;

/// A parked request: a record, never a thread.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The request's header, to answer it.
    pub(super) header: Header,
    /// Who gets the answer, if anybody does; a retry on another connection takes its place.
    pub(super) conn: Option<ConnId>,
    /// Since when: since the retry, if one took its place.
    pub(super) since: Time,
    /// When the wait ends without what it waits for.
    pub(super) deadline: Time,
}

impl Waiter {
    /// How long it has waited. Since a retry, time may have been turned back, see `Shard::turn_back`.
    pub(super) fn waited_us(&self, now: Time) -> u64 {
        now.0.saturating_sub(self.since.0)
    }
}

/// All parked requests of a shard.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    parked: BTreeMap<WaiterId, Waiter>,
    /// The id the next one gets. Ids are never used again, so that whoever applies the same updates
    /// gives the same ones.
    next: WaiterId,
    deadlines: BTreeSet<(Time, WaiterId)>,
}

impl Waiters {
    /// The id the next parked request will have.
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

    /// Puts a request back under the id it had.
    pub(super) fn put_back(&mut self, id: WaiterId, waiter: Waiter) {
        self.deadlines.insert((waiter.deadline, id));
        self.parked.insert(id, waiter);
    }

    /// Lets the next one have this id.
    pub(super) fn go_on_from(&mut self, next: WaiterId) {
        self.next = next;
    }

    /// All of them, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WaiterId, &Waiter)> {
        self.parked.iter().map(|(id, waiter)| (*id, waiter))
    }

    pub(super) fn remove(&mut self, waiter: WaiterId) -> Waiter {
        let removed = self.parked.remove(&waiter).expect("a waiter is answered once");
        let had_deadline = self.deadlines.remove(&(removed.deadline, waiter));
        assert!(had_deadline, "every waiter has a deadline");
        removed
    }

    /// Lets `conn` get the answer, which has asked for it now.
    pub(super) fn attach(&mut self, waiter: WaiterId, conn: ConnId, now: Time) {
        let waiter = self.parked.get_mut(&waiter).expect("a session knows who waits");
        (waiter.conn, waiter.since) = (Some(conn), now);
    }

    /// Whether it still waits.
    pub(super) fn contains(&self, waiter: WaiterId) -> bool {
        self.parked.contains_key(&waiter)
    }

    pub(super) fn get(&self, waiter: WaiterId) -> Option<&Waiter> {
        self.parked.get(&waiter)
    }

    /// What a waiter asked for.
    pub(super) fn header(&self, waiter: WaiterId) -> &Header {
        &self.parked[&waiter].header
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A waiter whose time is up, and when it was.
    pub(super) fn first_due(&self, now: Time) -> Option<(Time, WaiterId)> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Memory they take here, in bytes, near enough for a budget.
    pub(super) fn bytes(&self) -> u64 {
        self.parked.len() as u64 * WAITING_BYTES
    }

    /// Hands over who would get the answers; from now on nobody does.
    pub(super) fn detach(&mut self, mut hand: impl FnMut(ConnId, &Waiter)) {
        for waiter in self.parked.values_mut() {
            if let Some(conn) = waiter.conn.take() {
                hand(conn, waiter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_protocol::FrameKind;

    /// A head that hands its shards on forgets time in which nothing took effect, a retry included.
    #[test]
    fn a_wait_outlives_that_time_is_turned_back() {
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
