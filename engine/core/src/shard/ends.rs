//! The ends of waits, holds, objects and sessions: by time, or because their session is closed.

use core::cmp::Reverse;

use catena_protocol::{Fault, Missing, ObjectId, Refusal, Status};

use super::waiters::Waiter;
use super::{Outbox, Shard, Time};
use crate::config::ENDS_MAX;
use crate::objects::holds::Hold;
use crate::objects::{AnyObject, HoldId, LossCause, StoredReply, Turn, UpdatePlace, WaiterId};

impl Shard {
    /// Ends the waits, holds, objects and sessions whose time has passed. Returns whether there
    /// were any. After [`ENDS_MAX`] of them the next call continues, and [`Shard::next_due`] says
    /// that it is due, so that requests can come in between.
    pub fn on_time(&mut self, now: Time, out: &mut impl Outbox) -> bool {
        let before = self.seq;
        self.advance(now);
        // In the order of their ends, so that a late call has the same effects as calls in time.
        for _ in 0..ENDS_MAX {
            let Some(end) = self.first_end() else { break };
            match end {
                End::Waiter(waiter) => self.end_wait(waiter, out),
                End::Hold(hold) => self.lose(hold, LossCause::Expired, out),
                End::Object(object) => _ = self.delete(object, out),
                End::Session(session) => self.close_session(session, out),
                End::Closed => {
                    self.sessions.forget_closed(self.now);
                    self.seq.0 += 1;
                }
                End::Counting => {
                    self.count_for_quota();
                    self.seq.0 += 1;
                }
            }
        }
        self.due = self.earliest_due();
        self.check_invariants();
        self.seq > before
    }

    /// Returns what ended first. A wait ends before a hold that ends at the same time, so the
    /// request does not get what the hold frees.
    fn first_end(&mut self) -> Option<End> {
        let sessions = self.sessions.first_due(self.now);
        let closed = self.sessions.closed_due().filter(|due| *due <= self.now);
        let ends = [
            self.waiters.first_due(self.now).map(|(due, waiter)| (due, End::Waiter(waiter))),
            self.workspace.holds.first_due(self.now).map(|(due, hold)| (due, End::Hold(hold))),
            self.directory.first_due(self.now).map(|(due, object)| (due, End::Object(object))),
            sessions.map(|(due, session)| (due, End::Session(session))),
            closed.map(|due| (due, End::Closed)),
            self.directory.counting_since().map(|since| (since, End::Counting)),
        ];
        ends.into_iter().flatten().min_by_key(|(due, _)| *due).map(|(_, end)| end)
    }

    /// Ends the waits and holds of a session, and closes it.
    pub(super) fn close_session(&mut self, session: u64, out: &mut impl Outbox) {
        let mut parked = self.sessions.parked(session);
        // The newest first: the end of a wait may release later requests, which must not be the
        // session's own.
        parked.sort_unstable_by_key(|waiter| Reverse(*waiter));
        for waiter in parked {
            // The end of an earlier one may have released it.
            if self.waiters.contains(waiter) {
                self.cancel(waiter);
                let answer = StoredReply::refusal(&Fault::new(Status::SessionUnknown).into());
                self.answer_waiter(waiter, answer, out);
                self.release(out);
            }
        }
        while let Some(hold) = self.workspace.holds.last_of(session) {
            self.lose(hold, LossCause::SessionEnded, out);
        }
        self.sessions.close(session, self.now);
        self.expect_due(self.sessions.next_due());
        self.seq.0 += 1;
    }

    fn end_wait(&mut self, waiter: WaiterId, out: &mut impl Outbox) {
        if self.waiters.get(waiter).is_some_and(Waiter::is_forgotten) {
            return self.forget(waiter, out);
        }
        let missing = self.cancel(waiter);
        self.answer_waiter(waiter, StoredReply::refusal(&Refusal::Timeout(missing)), out);
        self.release(out);
    }

    /// Removes a waiter from its object.
    pub(super) fn cancel(&mut self, waiter: WaiterId) -> Missing {
        let found = self.waiters.parked(waiter);
        let (object, seen) = (found.header.object, found.seen);
        if let Some(version) = seen {
            self.watchers.cancel(object, waiter, version);
            self.seq.0 += 1;
            return Missing::default();
        }
        self.change(object, |object, turn| object.cancel(waiter, turn))
    }

    /// Ends a hold and takes it back from its session.
    fn lose(&mut self, hold: HoldId, cause: LossCause, out: &mut impl Outbox) {
        let Hold { object, .. } = self.workspace.holds.end(hold);
        self.change(object, |object, turn| object.lose(hold, cause, turn));
        self.release(out);
    }

    /// Changes an object by an event that is not a request.
    pub(super) fn change<T>(
        &mut self,
        id: ObjectId,
        change: impl FnOnce(&mut AnyObject, &mut Turn<'_>) -> T,
    ) -> T {
        self.seq.0 += 1;
        self.preserve(id);
        let entry = self.objects.get_mut(&id).expect("the object of a wait or a hold exists");
        let place = UpdatePlace {
            object: id,
            session: 0,
            now: self.now,
            version_before: entry.version.0,
            version: self.seq.0,
        };
        let mut turn = Turn::new(WaiterId(u64::MAX), place, &mut self.workspace);
        let bytes_before = entry.object.bytes();
        let result = change(&mut entry.object, &mut turn);
        let changed = turn.has_changed();
        if changed {
            entry.version = self.seq;
        }
        let bytes = entry.object.bytes();
        self.resized(id, bytes_before, bytes);
        self.release_watchers(id, changed);
        result
    }
}

/// Something whose time has passed.
#[derive(Clone, Copy)]
enum End {
    Waiter(WaiterId),
    Hold(HoldId),
    Object(ObjectId),
    Session(u64),
    /// The closed sessions of a second.
    Closed,
    /// A part of what quotas still have to count.
    Counting,
}
