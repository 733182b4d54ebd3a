//! What sessions hold of objects: permits, locks, claims, seats; and when they lose it.
//!
//! A hold is a record like a waiter: the object keeps its [`HoldId`], the shard knows whose it is and
//! until when. It ends when the object lets go of it, when its time is up, or with its session,
//! whichever comes first. Nobody has to be heard from in between, so a function that dies lets go of
//! what it held when it could not have been running any more.

use std::collections::{BTreeMap, BTreeSet};

use catena_protocol::ObjectId;

use super::Time;
use crate::objects::HoldId;

/// One thing that a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// Of which object.
    pub(crate) object: ObjectId,
    /// Whose it is.
    pub(crate) session: u64,
    /// When it ends; `None` if only with its session.
    pub(crate) until: Option<Time>,
}

/// All holds of a shard.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    taken: BTreeMap<HoldId, Hold>,
    /// The id the next one gets; none is used again.
    next: HoldId,
    deadlines: BTreeSet<(Time, HoldId)>,
    by_session: BTreeSet<(u64, HoldId)>,
}

impl Holds {
    pub(crate) fn take(&mut self, hold: Hold) -> HoldId {
        let id = self.next;
        self.next.0 += 1;
        self.taken.insert(id, hold);
        self.by_session.insert((hold.session, id));
        self.deadlines.extend(hold.until.map(|until| (until, id)));
        id
    }

    /// Ends a hold.
    pub(crate) fn end(&mut self, id: HoldId) -> Hold {
        let hold = self.taken.remove(&id).expect("a hold ends once");
        self.by_session.remove(&(hold.session, id));
        if let Some(until) = hold.until {
            self.deadlines.remove(&(until, id));
        }
        hold
    }

    /// Moves the end of a hold.
    pub(crate) fn extend(&mut self, id: HoldId, until: Option<Time>) {
        let hold = self.taken.get_mut(&id).expect("an object keeps what is held");
        if let Some(before) = std::mem::replace(&mut hold.until, until) {
            self.deadlines.remove(&(before, id));
        }
        self.deadlines.extend(until.map(|until| (until, id)));
    }

    pub(crate) fn get(&self, id: HoldId) -> Hold {
        self.taken[&id]
    }

    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// A hold whose time is up.
    pub(super) fn first_due(&self, now: Time) -> Option<HoldId> {
        self.deadlines.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    /// A hold of a session, the one it took first of those that are left.
    pub(super) fn first_of(&self, session: u64) -> Option<HoldId> {
        let of_session = (session, HoldId(0))..=(session, HoldId(u64::MAX));
        self.by_session.range(of_session).next().map(|(_, id)| *id)
    }

    /// The indices say what the holds say; for debugging.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.by_session.len(), self.taken.len(), "every hold has a session");
        let dated = self.taken.values().filter(|hold| hold.until.is_some()).count();
        assert_eq!(self.deadlines.len(), dated, "every end is expected");
    }
}
