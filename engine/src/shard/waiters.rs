//! Requests that wait, and when their time is up.

use std::collections::BTreeSet;

use catena_protocol::Header;
use slab::Slab;

use super::{ConnId, Time};
use crate::objects::WaiterId;

/// A parked request: a record, never a thread.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The request's header, to answer it.
    pub(super) header: Header,
    /// Who gets the answer, if anybody does; a retry on another connection takes its place.
    pub(super) conn: Option<ConnId>,
    /// When the wait ends without what it waits for.
    pub(super) deadline: Time,
}

/// All parked requests of a shard.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    slots: Slab<Waiter>,
    deadlines: BTreeSet<(Time, WaiterId)>,
}

impl Waiters {
    /// The id the next parked request will have.
    pub(super) fn next_id(&self) -> WaiterId {
        id(self.slots.vacant_key())
    }

    pub(super) fn insert(&mut self, waiter: Waiter) -> WaiterId {
        let deadline = waiter.deadline;
        let waiter = id(self.slots.insert(waiter));
        self.deadlines.insert((deadline, waiter));
        waiter
    }

    pub(super) fn remove(&mut self, waiter: WaiterId) -> Waiter {
        let removed = self.slots.remove(key(waiter));
        let had_deadline = self.deadlines.remove(&(removed.deadline, waiter));
        assert!(had_deadline, "every waiter has a deadline");
        removed
    }

    /// Lets `conn` get the answer.
    pub(super) fn attach(&mut self, waiter: WaiterId, conn: ConnId) {
        self.slots[key(waiter)].conn = Some(conn);
    }

    /// What a waiter asked for.
    pub(super) fn header(&self, waiter: WaiterId) -> &Header {
        &self.slots[key(waiter)].header
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A waiter whose time is up.
    pub(super) fn first_due(&self, now: Time) -> Option<WaiterId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, waiter)| *waiter)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Hands over who would get the answers; from now on nobody does.
    pub(super) fn detach(&mut self, mut hand: impl FnMut(ConnId, &Header)) {
        for (_, waiter) in &mut self.slots {
            if let Some(conn) = waiter.conn.take() {
                hand(conn, &waiter.header);
            }
        }
    }
}

fn id(key: usize) -> WaiterId {
    WaiterId(u32::try_from(key).expect("waiters of a shard are far fewer than 2^32"))
}

fn key(id: WaiterId) -> usize {
    id.0 as usize
}
