//! Waiting requests: their connections and their deadlines.
//!
//! A wait whose connection has ended is detached: it is passed over, but keeps its place for a
//! short time, in which a retry attaches it again. Detaching and attaching take a place in the
//! shard's order, so that all replicas pass over the same requests. Which connection a request has
//! is known to the head alone.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::Header;

use super::snapshot::WaiterRow;
use super::{ConnId, Time};
use crate::config::WAITING_BYTES;
use crate::objects::WaiterId;
use crate::walk::IdWalk;

/// A waiting request: a record, not a thread.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The header of the request, for its reply.
    pub(super) header: Header,
    /// The connection that gets the reply, if any: that of the latest retry. It is not part of the
    /// state: a replica that is not the head has none.
    conn: Option<ConnId>,
    /// When the request, or its latest retry, arrived.
    since: Time,
    /// When the wait times out.
    pub(super) deadline: Time,
    /// Until when a detached wait keeps its place; `None` while it is attended.
    pub(super) detached: Option<Time>,
    /// The version it has seen, if it watches its object.
    pub(super) seen: Option<u64>,
}

impl Waiter {
    pub(super) fn new(header: Header, deadline: Time, seen: Option<u64>, since: Time) -> Waiter {
        Waiter { header, conn: None, since, deadline, detached: None, seen }
    }

    /// Returns the connection that gets the reply, if there is one.
    pub(super) fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// Returns how long it has waited; 0 if the clock was rolled back further, see
    /// `Shard::turn_back`.
    pub(super) fn waited_us(&self, now: Time) -> u64 {
        now.0.saturating_sub(self.since.0)
    }

    /// Returns whether it ends without a reply at [`Waiter::due`], because it is detached.
    pub(super) fn is_forgotten(&self) -> bool {
        self.detached.is_some_and(|end| end < self.deadline)
    }

    /// Returns when the wait ends if nothing happens.
    fn due(&self) -> Time {
        self.detached.map_or(self.deadline, |end| end.min(self.deadline))
    }

    /// Returns it as a snapshot has it.
    fn row(&self, id: WaiterId) -> WaiterRow {
        let Header { op, epoch, session, number, object, .. } = self.header;
        let Waiter { deadline, detached, seen, .. } = *self;
        let object = object.0;
        WaiterRow { id, op, epoch, session, number, object, deadline, detached, seen }
    }

    /// Returns whether it has no connection, and its place in the shard's order does not say so.
    fn is_unattended(&self) -> bool {
        self.conn.is_none() && self.detached.is_none()
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
    by_conn: BTreeSet<(ConnId, WaiterId)>,
    /// Waiters without a connection that are not detached.
    unattended: BTreeSet<WaiterId>,
    /// The walk of a snapshot over the waiters.
    walk: Option<IdWalk<WaiterRow>>,
}

impl Waiters {
    /// Returns the id of the next waiter.
    pub(super) fn next_id(&self) -> WaiterId {
        self.next
    }

    /// Adds a waiter whose reply goes to `conn`.
    pub(super) fn insert(&mut self, waiter: Waiter, conn: ConnId) -> WaiterId {
        let id = self.next;
        self.next.0 += 1;
        self.put_back(id, Waiter { conn: conn.known(), ..waiter });
        id
    }

    /// Restores a waiter under its id.
    pub(super) fn put_back(&mut self, id: WaiterId, waiter: Waiter) {
        self.list(id, &waiter);
        self.parked.insert(id, waiter);
    }

    /// Sets the id of the next waiter.
    pub(super) fn go_on_from(&mut self, next: WaiterId) {
        self.next = next;
    }

    /// Iterates over the waiters, as a snapshot has them, in the order of their ids.
    pub(super) fn rows(&self) -> impl Iterator<Item = WaiterRow> {
        self.parked.iter().map(|(id, waiter)| waiter.row(*id))
    }

    /// Begins a walk over the present waiters, which sees them as they are now.
    pub(super) fn begin_walk(&mut self) {
        self.walk = Some(IdWalk::until(self.next.0));
    }

    /// Passes the next waiters of the walk to `put`. Returns whether it has ended.
    pub(super) fn continue_walk(&mut self, count: usize, mut put: impl FnMut(WaiterRow)) -> bool {
        let Some(mut walk) = self.walk.take() else { return true };
        let present = self.parked.range(WaiterId(walk.from())..);
        let present = present.map(|(id, waiter)| (id.0, waiter.row(*id)));
        let has_ended = walk.advance(present, count, |_, row| put(row));
        self.walk = Some(walk).filter(|_| !has_ended);
        has_ended
    }

    /// Ends the walk.
    pub(super) fn end_walk(&mut self) {
        self.walk = None;
    }

    /// Keeps a waiter for the walk as it is before it changes.
    fn preserve(&mut self, id: WaiterId) {
        if let Some(walk) = &mut self.walk
            && let Some(waiter) = self.parked.get(&id)
        {
            walk.before_change(id.0, || waiter.row(id));
        }
    }

    pub(super) fn remove(&mut self, waiter: WaiterId) -> Waiter {
        self.preserve(waiter);
        let removed = self.parked.remove(&waiter).expect("a wait ends once");
        self.unlist(waiter, &removed);
        removed
    }

    /// Sends the reply to `conn`, on which a retry has arrived. Returns whether the wait was
    /// detached until now.
    pub(super) fn attach(&mut self, waiter: WaiterId, conn: ConnId, now: Time) -> bool {
        let mut was_detached = false;
        self.modify(waiter, |waiter| {
            (waiter.conn, waiter.since) = (conn.known(), now);
            was_detached = waiter.detached.take().is_some();
        });
        was_detached
    }

    /// Returns a request whose reply goes to `conn`, if there is one.
    pub(super) fn of_conn(&self, conn: ConnId) -> Option<WaiterId> {
        let of_conn = (conn, WaiterId(0))..=(conn, WaiterId(u64::MAX));
        self.by_conn.range(of_conn).next().map(|(_, waiter)| *waiter)
    }

    /// Takes the connection from the requests whose replies go to it.
    pub(super) fn disconnect(&mut self, conn: ConnId) {
        while let Some(waiter) = self.of_conn(conn) {
            self.modify(waiter, |waiter| waiter.conn = None);
        }
    }

    /// Lets a wait end at `until` unless it is attached again.
    pub(super) fn detach(&mut self, waiter: WaiterId, until: Time) {
        self.modify(waiter, |waiter| (waiter.conn, waiter.detached) = (None, Some(until)));
    }

    /// Returns whether there are waiters for [`Waiters::unattended`].
    pub(super) fn has_unattended(&self) -> bool {
        !self.unattended.is_empty()
    }

    /// Iterates over the waiters without a connection that are not detached.
    pub(super) fn unattended(&self) -> impl Iterator<Item = WaiterId> {
        self.unattended.iter().copied()
    }

    pub(super) fn get(&self, waiter: WaiterId) -> Option<&Waiter> {
        self.parked.get(&waiter)
    }

    /// Returns whether a request still waits.
    pub(super) fn contains(&self, waiter: WaiterId) -> bool {
        self.parked.contains_key(&waiter)
    }

    /// Returns a request that is known to wait.
    pub(super) fn parked(&self, waiter: WaiterId) -> &Waiter {
        &self.parked[&waiter]
    }

    /// Returns when the first wait ends if nothing happens.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Returns the waiter that is due first, if that is up to `now`, and when it is.
    pub(super) fn first_due(&self, now: Time) -> Option<(Time, WaiterId)> {
        self.deadlines.first().filter(|(due, _)| *due <= now).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Returns the memory that the waiters take here, in bytes, near enough for a budget.
    pub(super) fn bytes(&self) -> u64 {
        self.parked.len() as u64 * WAITING_BYTES
    }

    /// Removes the connections of all waiters, and passes them to `taken`.
    pub(super) fn take_conns(&mut self, mut taken: impl FnMut(ConnId, &Waiter)) {
        while let Some((conn, waiter)) = self.by_conn.first().copied() {
            self.modify(waiter, |waiter| waiter.conn = None);
            taken(conn, &self.parked[&waiter]);
        }
    }

    /// Checks that the indices match the waiters; for debugging.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.deadlines.len(), self.parked.len(), "every waiter has a deadline");
        let attached = self.parked.values().filter(|waiter| waiter.conn.is_some()).count();
        assert_eq!(self.by_conn.len(), attached, "every connection of a waiter is listed");
        let unattended = self.parked.values().filter(|waiter| waiter.is_unattended()).count();
        assert_eq!(self.unattended.len(), unattended, "every unattended waiter is listed");
        let is_either = |waiter: &Waiter| waiter.conn.is_none() || waiter.detached.is_none();
        assert!(self.parked.values().all(is_either), "a detached waiter has no connection");
    }

    /// Changes a waiter, and its entries in the indices.
    fn modify(&mut self, id: WaiterId, change: impl FnOnce(&mut Waiter)) {
        self.preserve(id);
        let mut waiter = self.parked.remove(&id).expect("a parked request waits");
        self.unlist(id, &waiter);
        change(&mut waiter);
        self.put_back(id, waiter);
    }

    fn list(&mut self, id: WaiterId, waiter: &Waiter) {
        self.deadlines.insert((waiter.due(), id));
        self.by_conn.extend(waiter.conn.map(|conn| (conn, id)));
        if waiter.is_unattended() {
            self.unattended.insert(id);
        }
    }

    fn unlist(&mut self, id: WaiterId, waiter: &Waiter) {
        let had_deadline = self.deadlines.remove(&(waiter.due(), id));
        assert!(had_deadline, "every waiter has a deadline");
        if let Some(conn) = waiter.conn {
            self.by_conn.remove(&(conn, id));
        }
        self.unattended.remove(&id);
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
        let header = Header::new(FrameKind::Request);
        let waiter = Waiter::new(header, Time(90), None, Time(10));
        let id = waiters.insert(waiter, ConnId::NONE);
        waiters.attach(id, ConnId(1), Time(50));
        assert_eq!(waiters.parked[&id].waited_us(Time(60)), 10);
        assert_eq!(waiters.parked[&id].waited_us(Time(40)), 0);
    }
}
