//! Requests that wait for an object of any kind to change, or to be created.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use catena_protocol::{ObjectId, Reply};

use crate::objects::{StoredReply, WaiterId};

/// Requests that wait for an object to have a version above the one they have seen.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// By object, ordered by the version seen, so that a change finds the requests it releases
    /// without visiting the others.
    waiting: BTreeMap<ObjectId, BTreeSet<(u64, WaiterId)>>,
    /// The version that each request has seen.
    seen: BTreeMap<WaiterId, u64>,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Returns the number of requests that watch an object.
    pub(super) fn count(&self, object: ObjectId) -> usize {
        self.waiting.get(&object).map_or(0, BTreeSet::len)
    }

    /// Adds a request that waits for a version above `version`.
    pub(super) fn insert(&mut self, object: ObjectId, waiter: WaiterId, version: u64) {
        self.waiting.entry(object).or_default().insert((version, waiter));
        self.seen.insert(waiter, version);
    }

    /// Returns the version that a watcher has seen; `None` if the waiter is not a watcher.
    pub(super) fn seen(&self, waiter: WaiterId) -> Option<u64> {
        self.seen.get(&waiter).copied()
    }

    /// Removes a watcher whose wait has ended.
    pub(super) fn cancel(&mut self, object: ObjectId, waiter: WaiterId) {
        let seen = self.seen.remove(&waiter).expect("a watcher has seen a version");
        let waiting = self.waiting.get_mut(&object).expect("a watcher waits for its object");
        waiting.remove(&(seen, waiter));
        if waiting.is_empty() {
            self.waiting.remove(&object);
        }
    }

    /// Releases the watchers of an object that have seen a version below its new one.
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

    /// Removes and returns all watchers of an object that is deleted.
    pub(super) fn take(&mut self, object: ObjectId) -> Vec<WaiterId> {
        let waiting = self.waiting.remove(&object).unwrap_or_default();
        let waiters: Vec<WaiterId> = waiting.into_iter().map(|(_, waiter)| waiter).collect();
        for waiter in &waiters {
            self.seen.remove(waiter);
        }
        waiters
    }

    /// Checks that both tables match; for debugging.
    pub(super) fn check_invariants(&self) {
        let waiting: usize = self.waiting.values().map(BTreeSet::len).sum();
        assert_eq!(waiting, self.seen.len(), "every watcher waits for one object");
        assert!(
            !self.waiting.values().any(BTreeSet::is_empty),
            "shard invariant 5: no entry is empty"
        );
    }
}
