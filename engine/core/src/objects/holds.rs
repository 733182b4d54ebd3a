//! Holds: the permits, locks, claims and seats that sessions have of objects, and when they end.
//!
//! The object keeps the [`HoldId`]; the shard keeps the session and the deadline. A hold ends when
//! the object ends it, at its deadline, or with its session, whichever comes first. There are no
//! heartbeats: a function that dies loses its holds at a deadline by which it cannot be running any
//! more.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::ObjectId;

use super::HoldId;
use crate::config::HOLD_BYTES;
use crate::time::Time;
use crate::walk::IdWalk;

/// One hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The object.
    pub(crate) object: ObjectId,
    /// The session that has it.
    pub(crate) session: u64,
    /// Its deadline; `None` if it ends only with its session.
    pub(crate) until: Option<Time>,
}

/// All holds of a shard.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    taken: BTreeMap<HoldId, ListedHold>,
    /// The id of the next hold. Ids are never reused.
    next: HoldId,
    /// When to check whether a hold has ended: at its deadline or earlier. A deadline that moves
    /// back is not updated here until then, because a seat is extended in every round.
    deadlines: BTreeSet<(Time, HoldId)>,
    by_session: BTreeSet<(u64, HoldId)>,
    /// The walk of a snapshot over the holds.
    walk: Option<IdWalk<Hold>>,
}

#[derive(Debug)]
struct ListedHold {
    hold: Hold,
    /// Its entry among the deadlines; never later than its deadline.
    listed: Option<Time>,
}

impl Holds {
    pub(crate) fn take(&mut self, hold: Hold) -> HoldId {
        let id = self.next;
        self.next.0 += 1;
        self.put_back(id, hold);
        id
    }

    /// Restores a hold under its id.
    pub(crate) fn put_back(&mut self, id: HoldId, hold: Hold) {
        self.taken.insert(id, ListedHold { hold, listed: hold.until });
        self.by_session.insert((hold.session, id));
        self.deadlines.extend(hold.until.map(|until| (until, id)));
    }

    /// Returns the id of the next hold.
    pub(crate) fn next_id(&self) -> HoldId {
        self.next
    }

    /// Sets the id of the next hold.
    pub(crate) fn go_on_from(&mut self, next: HoldId) {
        self.next = next;
    }

    /// Iterates over all holds in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (HoldId, Hold)> {
        self.taken.iter().map(|(id, taken)| (*id, taken.hold))
    }

    /// Returns the hold with an id, if there is one.
    pub(crate) fn find(&self, id: HoldId) -> Option<Hold> {
        self.taken.get(&id).map(|taken| taken.hold)
    }

    /// Ends a hold.
    pub(crate) fn end(&mut self, id: HoldId) -> Hold {
        self.preserve(id);
        let ListedHold { hold, listed } = self.taken.remove(&id).expect("a hold ends once");
        self.by_session.remove(&(hold.session, id));
        if let Some(listed) = listed {
            self.deadlines.remove(&(listed, id));
        }
        hold
    }

    /// Moves the deadline of a hold.
    pub(crate) fn extend(&mut self, id: HoldId, until: Option<Time>) {
        self.preserve(id);
        let taken = self.taken.get_mut(&id).expect("a hold of an object exists");
        taken.hold.until = until;
        match (taken.listed, until) {
            (None, None) => {}
            (Some(listed), Some(until)) if listed <= until => {}
            (listed, until) => {
                taken.listed = until;
                if let Some(listed) = listed {
                    self.deadlines.remove(&(listed, id));
                }
                self.deadlines.extend(until.map(|until| (until, id)));
            }
        }
    }

    /// Gives a hold to a session, which may be the one that has it, with a new deadline.
    pub(crate) fn hand_over(&mut self, id: HoldId, session: u64, until: Option<Time>) {
        self.preserve(id);
        let taken = self.taken.get_mut(&id).expect("a hold of an object exists");
        let before = core::mem::replace(&mut taken.hold.session, session);
        if before != session {
            self.by_session.remove(&(before, id));
            self.by_session.insert((session, id));
        }
        self.extend(id, until);
    }

    pub(crate) fn get(&self, id: HoldId) -> Hold {
        self.taken[&id].hold
    }

    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    /// Returns the memory that the holds take here, in bytes, near enough for a budget.
    pub(crate) fn bytes(&self) -> u64 {
        self.taken.len() as u64 * HOLD_BYTES
    }

    /// Returns when to check for holds that have ended.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(listed, _)| *listed)
    }

    /// Returns the hold with the earliest deadline that has passed, and the deadline. Entries of
    /// holds that were extended are moved to their new deadlines.
    pub(crate) fn first_due(&mut self, now: Time) -> Option<(Time, HoldId)> {
        while let Some((listed, id)) = self.deadlines.first().copied() {
            if listed > now {
                return None;
            }
            let taken = self.taken.get_mut(&id).expect("a deadline has a hold");
            if taken.hold.until == Some(listed) {
                return Some((listed, id));
            }
            taken.listed = taken.hold.until;
            self.deadlines.pop_first();
            self.deadlines.extend(taken.listed.map(|until| (until, id)));
        }
        None
    }

    /// Returns the newest hold of a session: items that were claimed from the front of a list go
    /// back in their former order.
    pub(crate) fn last_of(&self, session: u64) -> Option<HoldId> {
        let of_session = (session, HoldId(0))..=(session, HoldId(u64::MAX));
        self.by_session.range(of_session).next_back().map(|(_, id)| *id)
    }

    /// Begins a walk over the present holds, which sees them as they are now.
    pub(crate) fn begin_walk(&mut self) {
        self.walk = Some(IdWalk::until(self.next.0));
    }

    /// Passes the next holds of the walk to `put`. Returns whether it has ended.
    pub(crate) fn continue_walk(
        &mut self,
        count: usize,
        mut put: impl FnMut(HoldId, Hold),
    ) -> bool {
        let Some(mut walk) = self.walk.take() else { return true };
        let present = self.taken.range(HoldId(walk.from())..).map(|(id, it)| (id.0, it.hold));
        let has_ended = walk.advance(present, count, |id, hold| put(HoldId(id), hold));
        self.walk = Some(walk).filter(|_| !has_ended);
        has_ended
    }

    /// Ends the walk.
    pub(crate) fn end_walk(&mut self) {
        self.walk = None;
    }

    /// Keeps a hold for the walk as it is before it changes.
    fn preserve(&mut self, id: HoldId) {
        if let Some(walk) = &mut self.walk {
            walk.before_change(id.0, || self.taken[&id].hold);
        }
    }

    /// Checks that the indices match the holds; for debugging.
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.by_session.len(), self.taken.len(), "every hold has a session");
        let listed = |taken: &&ListedHold| taken.listed.is_some();
        let dated = self.taken.values().filter(listed).count();
        assert_eq!(self.deadlines.len(), dated, "every deadline is listed");
        for ListedHold { hold, listed } in self.taken.values() {
            let is_in_time = hold.until.is_none_or(|until| listed.is_some_and(|at| at <= until));
            assert!(is_in_time, "{hold:?} is checked in time: {listed:?}");
        }
    }
}
