//! What sessions hold of objects: permits, locks, claims, seats; and when they lose it.
//!
//! A hold is a record like a waiter: the object keeps its [`HoldId`], the shard knows whose it is and
//! until when. It ends when the object lets go of it, when its time is up, or with its session,
//! whichever comes first. Nobody has to be heard from in between, so a function that dies lets go of
//! what it held when it could not have been running any more.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::ObjectId;

use super::HoldId;
use crate::config::HOLD_BYTES;
use crate::time::Time;

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
    taken: BTreeMap<HoldId, ListedHold>,
    /// The id the next one gets; none is used again.
    next: HoldId,
    /// When to look whether a hold is over: at its end as it was known when it was put here, or
    /// before. A seat is held for longer in every round, and most rounds then change nothing here.
    deadlines: BTreeSet<(Time, HoldId)>,
    by_session: BTreeSet<(u64, HoldId)>,
}

#[derive(Debug)]
struct ListedHold {
    hold: Hold,
    /// Under which end it stands among the deadlines; never later than its own.
    listed: Option<Time>,
}

impl Holds {
    pub(crate) fn take(&mut self, hold: Hold) -> HoldId {
        let id = self.next;
        self.next.0 += 1;
        self.put_back(id, hold);
        id
    }

    /// Puts a hold back under the id it had.
    pub(crate) fn put_back(&mut self, id: HoldId, hold: Hold) {
        self.taken.insert(id, ListedHold { hold, listed: hold.until });
        self.by_session.insert((hold.session, id));
        self.deadlines.extend(hold.until.map(|until| (until, id)));
    }

    /// The id the next one gets.
    pub(crate) fn next_id(&self) -> HoldId {
        self.next
    }

    /// Lets the next one have this id.
    pub(crate) fn go_on_from(&mut self, next: HoldId) {
        self.next = next;
    }

    /// All of them, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (HoldId, Hold)> {
        self.taken.iter().map(|(id, taken)| (*id, taken.hold))
    }

    /// A hold, if there is one of this id.
    pub(crate) fn find(&self, id: HoldId) -> Option<Hold> {
        self.taken.get(&id).map(|taken| taken.hold)
    }

    /// Ends a hold.
    pub(crate) fn end(&mut self, id: HoldId) -> Hold {
        let ListedHold { hold, listed } = self.taken.remove(&id).expect("a hold ends once");
        self.by_session.remove(&(hold.session, id));
        if let Some(listed) = listed {
            self.deadlines.remove(&(listed, id));
        }
        hold
    }

    /// Moves the end of a hold.
    pub(crate) fn extend(&mut self, id: HoldId, until: Option<Time>) {
        let taken = self.taken.get_mut(&id).expect("an object keeps what is held");
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

    /// Gives a hold to a session, which may be the one that has it, with a new end.
    pub(crate) fn hand_over(&mut self, id: HoldId, session: u64, until: Option<Time>) {
        let taken = self.taken.get_mut(&id).expect("an object keeps what is held");
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

    /// Memory they take here, in bytes, near enough for a budget.
    pub(crate) fn bytes(&self) -> u64 {
        self.taken.len() as u64 * HOLD_BYTES
    }

    /// When to look for holds that are over.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.deadlines.first().map(|(listed, _)| *listed)
    }

    /// A hold whose time is up, and when it was. Those that were made longer since they were put among
    /// the deadlines are put back with their new end.
    pub(crate) fn first_due(&mut self, now: Time) -> Option<(Time, HoldId)> {
        while let Some((listed, id)) = self.deadlines.first().copied() {
            if listed > now {
                return None;
            }
            let taken = self.taken.get_mut(&id).expect("a deadline is a hold's");
            if taken.hold.until == Some(listed) {
                return Some((listed, id));
            }
            taken.listed = taken.hold.until;
            self.deadlines.pop_first();
            self.deadlines.extend(taken.listed.map(|until| (until, id)));
        }
        None
    }

    /// A hold of a session, the one it took last of those that are left: what was taken off the front
    /// of something goes back in the order in which it lay there.
    pub(crate) fn last_of(&self, session: u64) -> Option<HoldId> {
        let of_session = (session, HoldId(0))..=(session, HoldId(u64::MAX));
        self.by_session.range(of_session).next_back().map(|(_, id)| *id)
    }

    /// The indices say what the holds say; for debugging.
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.by_session.len(), self.taken.len(), "every hold has a session");
        let listed = |taken: &&ListedHold| taken.listed.is_some();
        let dated = self.taken.values().filter(listed).count();
        assert_eq!(self.deadlines.len(), dated, "every end is expected");
        for ListedHold { hold, listed } in self.taken.values() {
            let is_in_time = hold.until.is_none_or(|until| listed.is_some_and(|at| at <= until));
            assert!(is_in_time, "{hold:?} is looked at in time: {listed:?}");
        }
    }
}
