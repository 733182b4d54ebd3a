//! The turn of an update: what its object may know and do beside changing itself.

use alloc::vec::Vec;
use catena_protocol::limits::HOLD_MS_MAX;
use catena_protocol::{ObjectId, Reply};

use super::holds::{Hold, Holds};
use super::{HoldId, StoredReply, WaiterId};
use crate::time::Time;

/// What the turns of a shard share and reuse: room to encode, who was released, who holds what.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(super) scratch: Vec<u8>,
    /// The archive of what a user-defined object answers.
    pub(crate) value: Vec<u8>,
    /// Requests that were released and are still to be answered.
    pub(crate) released: Vec<(WaiterId, StoredReply)>,
    pub(crate) holds: Holds,
}

/// Whose turn it is, and where in the shard's order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdatePlace {
    pub(crate) object: ObjectId,
    /// The session of the request; 0 if the update comes from the shard itself.
    pub(crate) session: u64,
    pub(crate) now: Time,
    /// The version of the object before the update: where it was changed last.
    pub(crate) version_before: u64,
    /// Where the update stands in the shard's order: the object's version if it changes it.
    pub(crate) version: u64,
}

/// What an update may know and do beside changing its object.
pub(crate) struct Turn<'t> {
    /// The request itself, should it have to wait.
    pub(crate) waiter: WaiterId,
    /// The version of the object before the update.
    pub(crate) version_before: u64,
    /// Its version after the update, unless that leaves it [`unchanged`](Turn::unchanged).
    pub(crate) version: u64,
    object: ObjectId,
    session: u64,
    pub(super) now: Time,
    changed: bool,
    pub(super) workspace: &'t mut Workspace,
}

/// Bits of a token behind the version.
pub(super) const TOKEN_SHIFT: u32 = 16;

/// How an update ended.
#[derive(Debug)]
pub(crate) enum Applied {
    /// With this number: an [`StoredReply::Word`] that is still in a register.
    Word(u64),
    /// With this answer.
    Done(StoredReply),
    /// The request waits; the object holds its [`WaiterId`].
    Parked,
}

impl<'t> Turn<'t> {
    pub(crate) fn new(
        waiter: WaiterId,
        place: UpdatePlace,
        workspace: &'t mut Workspace,
    ) -> Turn<'t> {
        let UpdatePlace { object, session, now, version_before, version } = place;
        Turn { waiter, version_before, version, object, session, now, changed: true, workspace }
    }

    /// Says that the object is as it was, so that its version stays.
    pub(super) fn unchanged(&mut self) {
        self.changed = false;
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// The version the object has once the update is done.
    pub(super) fn version_now(&self) -> u64 {
        if self.changed { self.version } else { self.version_before }
    }

    /// A number for the `nth` grant of this update, which no grant ever had and all later ones
    /// exceed: what a [fencing token](https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html)
    /// needs.
    pub(super) fn token(&self, nth: u16) -> u64 {
        self.version << TOKEN_SHIFT | u64::from(nth)
    }

    /// Lets the session that asks hold something for so many milliseconds from now on, or as long as
    /// it lives if that is 0.
    pub(super) fn hold(&mut self, hold_ms: u32) -> HoldId {
        let until = self.until(hold_ms);
        self.workspace.holds.take(Hold { object: self.object, session: self.session, until })
    }

    /// Lets whoever holds something hold it for so long from now on.
    pub(super) fn extend(&mut self, hold: HoldId, hold_ms: u32) {
        let until = self.until(hold_ms);
        self.workspace.holds.extend(hold, until);
    }

    /// Lets the session that asks have what was held before, by itself or another, for so long from
    /// now on.
    pub(super) fn take_over(&mut self, hold: HoldId, hold_ms: u32) {
        let until = self.until(hold_ms);
        self.workspace.holds.hand_over(hold, self.session, until);
    }

    /// Takes something back.
    pub(super) fn let_go(&mut self, hold: HoldId) {
        self.workspace.holds.end(hold);
    }

    fn until(&self, hold_ms: u32) -> Option<Time> {
        (hold_ms != 0).then(|| self.now.plus_ms(hold_ms.min(HOLD_MS_MAX)))
    }

    /// Makes an answer of a reply.
    pub(super) fn store(&mut self, reply: &Reply<'_>) -> StoredReply {
        StoredReply::of(reply, &mut self.workspace.scratch)
    }

    /// Answers the request.
    pub(super) fn done(&mut self, reply: &Reply<'_>) -> Applied {
        match reply.word() {
            Some(word) => Applied::Word(word),
            None => Applied::Done(self.store(reply)),
        }
    }

    /// Answers requests that were waiting, all alike.
    pub(super) fn release(
        &mut self,
        waiters: impl IntoIterator<Item = WaiterId>,
        answer: &StoredReply,
    ) {
        let released = waiters.into_iter().map(|waiter| (waiter, answer.clone()));
        self.workspace.released.extend(released);
    }
}
