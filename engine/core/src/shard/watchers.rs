//! Requests that wait for an object to change, whatever it is, or is going to be.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use catena_protocol::{ObjectId, Reply};

use crate::objects::{StoredReply, WaiterId};

/// Who waits for which object to have a version above which.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// By object, whoever waits for the lowest version first: a change finds those it concerns
    /// without a look at the others.
    waiting: BTreeMap<ObjectId, BTreeSet<(u64, WaiterId)>>,
    /// Which version each of them has seen.
    seen: BTreeMap<WaiterId, u64>,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// How many wait for one object.
    pub(super) fn count(&self, object: ObjectId) -> usize {
        self.waiting.get(&object).map_or(0, BTreeSet::len)
    }

    /// Lets a request wait for a version above `version`.
    pub(super) fn insert(&mut self, object: ObjectId, waiter: WaiterId, version: u64) {
        self.waiting.entry(object).or_default().insert((version, waiter));
        self.seen.insert(waiter, version);
    }

    /// Which version a watcher has seen; `None` if it is none.
    pub(super) fn seen(&self, waiter: WaiterId) -> Option<u64> {
        self.seen.get(&waiter).copied()
    }

    /// Forgets one whose time is up.
    pub(super) fn cancel(&mut self, object: ObjectId, waiter: WaiterId) {
        let seen = self.seen.remove(&waiter).expect("a watcher has seen a version");
        let waiting = self.waiting.get_mut(&object).expect("a watcher waits for its object");
        waiting.remove(&(seen, waiter));
        if waiting.is_empty() {
            self.waiting.remove(&object);
        }
    }

    /// Releases those who waited for a version below `version`, which the object has now.
    pub(super) fn changed(
        &mut self,
        object: ObjectId,
        version: u64,
        released: &mut Vec<(WaiterId, StoredReply)>,
    ) {
        let Some(waiting) = self.waiting.get_mut(&object) else { return };
        let later = waiting.split_off(&(version, WaiterId(0)));
        let due = core::mem::replace(waiting, later);
        if waiting.is_empty() {
            self.waiting.remove(&object);
        }
        let answer = StoredReply::of(&Reply::Number(version), &mut Vec::new());
        for (_, waiter) in due {
            self.seen.remove(&waiter);
            released.push((waiter, answer.clone()));
        }
    }

    /// Hands over all who wait for an object that is gone.
    pub(super) fn take(&mut self, object: ObjectId) -> Vec<WaiterId> {
        let waiting = self.waiting.remove(&object).unwrap_or_default();
        let waiters: Vec<WaiterId> = waiting.into_iter().map(|(_, waiter)| waiter).collect();
        for waiter in &waiters {
            self.seen.remove(waiter);
        }
        waiters
    }

    /// Both tables say the same; for debugging.
    pub(super) fn check_invariants(&self) {
        let waiting: usize = self.waiting.values().map(BTreeSet::len).sum();
        assert_eq!(waiting, self.seen.len(), "every watcher waits for one object");
        assert!(!self.waiting.values().any(BTreeSet::is_empty), "I5: nobody waits for nothing");
    }
}
