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
    /// The number of requests.
    len: usize,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of requests that watch an object.
    pub(super) fn count(&self, object: ObjectId) -> usize {
        self.waiting.get(&object).map_or(0, BTreeSet::len)
    }

    /// Iterates over the requests that watch an object.
    pub(super) fn of(&self, object: ObjectId) -> impl Iterator<Item = WaiterId> {
        self.waiting.get(&object).into_iter().flatten().map(|(_, waiter)| *waiter)
    }

    /// Adds a request that waits for a version above `version`.
    pub(super) fn insert(&mut self, object: ObjectId, waiter: WaiterId, version: u64) {
        let is_new = self.waiting.entry(object).or_default().insert((version, waiter));
        self.len += usize::from(is_new);
    }

    /// Removes a watcher, which has seen `version`, because its wait has ended.
    pub(super) fn cancel(&mut self, object: ObjectId, waiter: WaiterId, version: u64) {
        let waiting = self.waiting.get_mut(&object).expect("a watcher waits for its object");
        let was_there = waiting.remove(&(version, waiter));
        assert!(was_there, "a wait ends once");
        self.len -= 1;
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
        self.len -= due.len();
        let answer = StoredReply::of(&Reply::Number(version), &mut Vec::new());
        released.extend(due.into_iter().map(|(_, waiter)| (waiter, answer.clone())));
    }

    /// Removes and returns all watchers of an object that is deleted.
    pub(super) fn take(&mut self, object: ObjectId) -> Vec<WaiterId> {
        let waiting = self.waiting.remove(&object).unwrap_or_default();
        self.len -= waiting.len();
        waiting.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// Checks that the requests are counted; for debugging.
    pub(super) fn check_invariants(&self) {
        let waiting: usize = self.waiting.values().map(BTreeSet::len).sum();
        assert_eq!(waiting, self.len, "every watcher is counted");
        assert!(
            !self.waiting.values().any(BTreeSet::is_empty),
            "shard invariant 5: no entry is empty"
        );
    }
}
