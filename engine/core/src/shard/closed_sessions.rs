//! The ids of closed sessions, which must not be opened again while copies of their requests may
//! still arrive.
//!
//! There may be far more of them than open sessions, so one takes little memory. They are forgotten
//! together, those of one second at a time.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Time;
use super::table::{Seed, Table};
use crate::config::{CLOSED_BYTES, CLOSED_MAX, CLOSED_MS};
use crate::objects::{RestoreError, check};

/// The ids of the sessions that were closed lately.
#[derive(Debug)]
pub(super) struct ClosedSessions {
    ids: Table<u64, ()>,
    /// In the order in which they were closed, with the times at which they are forgotten.
    queue: VecDeque<ClosedSession>,
    /// The walk of a snapshot over the queue.
    walk: Option<QueueWalk>,
}

/// A walk over those that were in the queue when it began.
#[derive(Debug, Default)]
struct QueueWalk {
    /// Those that were passed and are still in the queue.
    passed: usize,
    /// Those that were not passed.
    left: usize,
    /// Those that were forgotten before they were passed, which come first.
    forgotten: VecDeque<ClosedSession>,
}

/// A closed session.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ClosedSession {
    until: Time,
    pub(super) id: u64,
}

/// What is forgotten at times within this many microseconds is forgotten together.
const BATCH_US: u64 = 1_000_000;

impl ClosedSessions {
    pub(super) fn new(seed: Seed) -> ClosedSessions {
        ClosedSessions { ids: Table::new(seed), queue: VecDeque::new(), walk: None }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.ids.get(&id).is_some()
    }

    /// Adds a session that is closed now. If there are too many, the one that was closed first is
    /// forgotten early.
    pub(super) fn insert(&mut self, id: u64, now: Time) {
        if self.queue.len() >= CLOSED_MAX {
            self.forget_first();
        }
        let until = Time(now.plus_ms(CLOSED_MS).0.next_multiple_of(BATCH_US));
        self.ids.insert(id, ());
        self.queue.push_back(ClosedSession { until, id });
    }

    /// Returns when the first of them is forgotten.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.queue.front().map(|closed| closed.until)
    }

    /// Forgets those whose time has passed.
    pub(super) fn forget_due(&mut self, now: Time) {
        while self.queue.front().is_some_and(|closed| closed.until <= now) {
            self.forget_first();
        }
        if self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
    }

    /// Returns the memory that they take, in bytes, near enough for a budget.
    pub(super) fn bytes(&self) -> u64 {
        self.queue.len() as u64 * CLOSED_BYTES
    }

    /// Iterates over them in the order in which they were closed.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = ClosedSession> {
        self.queue.iter().copied()
    }

    /// Restores one, behind those restored before.
    pub(super) fn put_back(&mut self, closed: ClosedSession) -> Result<(), RestoreError> {
        let is_in_order = self.queue.back().is_none_or(|last| last.until <= closed.until);
        check(is_in_order, "closed sessions are not in their order")?;
        check(self.queue.len() < CLOSED_MAX, "there are too many closed sessions")?;
        let is_new = closed.id != 0 && self.ids.insert(closed.id, ()).is_none();
        check(is_new, "a closed session is listed twice, or has the id 0")?;
        self.queue.push_back(closed);
        Ok(())
    }

    /// Checks that both tables match; for debugging.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.ids.len(), self.queue.len(), "every closed session is in the queue");
    }

    /// Begins a walk over the present ones, in their order.
    pub(super) fn begin_walk(&mut self) {
        self.walk = Some(QueueWalk { left: self.queue.len(), ..QueueWalk::default() });
    }

    /// Passes the next ones of the walk to `put`. Returns whether it has ended.
    pub(super) fn continue_walk(
        &mut self,
        count: usize,
        mut put: impl FnMut(ClosedSession),
    ) -> bool {
        let Some(walk) = &mut self.walk else { return true };
        for _ in 0..count {
            if let Some(closed) = walk.forgotten.pop_front() {
                put(closed);
            } else if walk.left > 0 {
                put(self.queue[walk.passed]);
                (walk.passed, walk.left) = (walk.passed + 1, walk.left - 1);
            } else {
                self.walk = None;
                return true;
            }
        }
        false
    }

    /// Ends the walk.
    pub(super) fn end_walk(&mut self) {
        self.walk = None;
    }

    fn forget_first(&mut self) {
        let Some(closed) = self.queue.pop_front() else { return };
        self.ids.remove(&closed.id);
        if let Some(walk) = &mut self.walk {
            if walk.passed > 0 {
                walk.passed -= 1;
            } else if walk.left > 0 {
                walk.left -= 1;
                walk.forgotten.push_back(closed);
            }
        }
    }
}
