//! The context of an update: what its object may read and do besides changing its own state.

use alloc::vec::Vec;
use catena_protocol::limits::{HOLD_FROM_GRANT, HOLD_MS_MAX};
use catena_protocol::{ObjectId, Reply};

use super::discarded::DiscardedItems;
use super::holds::{Hold, Holds};
use super::{Discarded, HoldId, StoredReply, WaiterId};
use crate::time::Time;

/// State that all updates of a shard share: buffers to encode in, released requests, and holds.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(super) scratch: Vec<u8>,
    /// The archive of the reply of a user-defined object.
    pub(crate) value: Vec<u8>,
    /// Waiting requests that updates have released, with the replies to send.
    pub(crate) released: Vec<(WaiterId, StoredReply)>,
    pub(crate) holds: Holds,
    /// Items that updates have removed, and that are to be freed.
    pub(crate) discarded: Discarded,
}

/// Where an update takes effect: its object, its session, the time, and its position in the shard's
/// order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdatePlace {
    pub(crate) object: ObjectId,
    /// The session of the request; 0 for an update by the shard itself.
    pub(crate) session: u64,
    pub(crate) now: Time,
    /// The version of the object before the update: the position of its last change.
    pub(crate) version_before: u64,
    /// The position of the update in the shard's order: the object's version if it changes it.
    pub(crate) version: u64,
}

/// The context of one update.
pub(crate) struct Turn<'t> {
    /// The id of the request if it has to wait.
    pub(crate) waiter: WaiterId,
    /// The version of the object before the update.
    pub(crate) version_before: u64,
    /// Its version after the update, unless the update leaves it [`unchanged`](Turn::unchanged).
    pub(crate) version: u64,
    object: ObjectId,
    session: u64,
    pub(super) now: Time,
    changed: bool,
    pub(super) workspace: &'t mut Workspace,
}

/// Bits of a fencing token below the version.
pub(super) const TOKEN_SHIFT: u32 = 16;

/// The outcome of an update.
#[derive(Debug)]
pub(crate) enum Applied {
    /// Done, and the reply is this number: a [`StoredReply::Word`] that is still in a register.
    Word(u64),
    /// Done, with this reply.
    Done(StoredReply),
    /// The request waits; the object keeps its [`WaiterId`].
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

    /// Records that the update has not changed the object, so that its version stays.
    pub(super) fn unchanged(&mut self) {
        self.changed = false;
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Returns the object's version after the update.
    pub(super) fn version_now(&self) -> u64 {
        if self.changed { self.version } else { self.version_before }
    }

    /// Returns the [fencing token] for the `nth` grant of this update: a number that no earlier
    /// grant has and that all later ones exceed.
    ///
    /// [fencing token]: https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
    pub(super) fn token(&self, nth: u16) -> u64 {
        self.version << TOKEN_SHIFT | u64::from(nth)
    }

    /// Gives the session of the request a hold for `hold_ms` milliseconds from now, or until the
    /// session ends if that is 0.
    pub(super) fn hold(&mut self, hold_ms: u32) -> HoldId {
        let until = self.until(hold_ms);
        self.workspace.holds.take(Hold { object: self.object, session: self.session, until })
    }

    /// Gives the session of a request that waits a hold, as [`Turn::hold`] does. Returns it, and for
    /// how long to hold it from the grant on, if its time begins then.
    pub(super) fn hold_later(&mut self, hold_ms: u32) -> (HoldId, Option<u32>) {
        if hold_ms & HOLD_FROM_GRANT == 0 {
            return (self.hold(hold_ms), None);
        }
        (self.hold(0), Some(hold_ms))
    }

    /// Moves the end of a hold, as in [`Turn::hold`].
    pub(super) fn extend(&mut self, hold: HoldId, hold_ms: u32) {
        let until = self.until(hold_ms);
        self.workspace.holds.extend(hold, until);
    }

    /// Gives an existing hold, of this or another session, to the session of the request, as in
    /// [`Turn::hold`].
    pub(super) fn take_over(&mut self, hold: HoldId, hold_ms: u32) {
        let until = self.until(hold_ms);
        self.workspace.holds.hand_over(hold, self.session, until);
    }

    /// Ends a hold.
    pub(super) fn let_go(&mut self, hold: HoldId) {
        self.workspace.holds.end(hold);
    }

    fn until(&self, hold_ms: u32) -> Option<Time> {
        let hold_ms = hold_ms & !HOLD_FROM_GRANT;
        (hold_ms != 0).then(|| self.now.plus_ms(hold_ms.min(HOLD_MS_MAX)))
    }

    /// Takes items that the update has removed, however many.
    pub(super) fn discard(&mut self, items: DiscardedItems) {
        self.workspace.discarded.add(items);
    }

    /// Encodes a reply for the session to keep.
    pub(super) fn store(&mut self, reply: &Reply<'_>) -> StoredReply {
        StoredReply::of(reply, &mut self.workspace.scratch)
    }

    /// Completes the request with a reply.
    pub(super) fn done(&mut self, reply: &Reply<'_>) -> Applied {
        match reply.word() {
            Some(word) => Applied::Word(word),
            None => Applied::Done(self.store(reply)),
        }
    }

    /// Releases waiting requests, all with the same reply.
    pub(super) fn release(
        &mut self,
        waiters: impl IntoIterator<Item = WaiterId>,
        answer: &StoredReply,
    ) {
        let released = waiters.into_iter().map(|waiter| (waiter, answer.clone()));
        self.workspace.released.extend(released);
    }
}
