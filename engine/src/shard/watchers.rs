//! Requests that wait for an object to change, whatever it is, or is going to be.

use std::collections::BTreeMap;

use catena_protocol::{ObjectId, Reply};

use crate::objects::{Answer, WaiterId};

/// Who waits for which object to have a version above which.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    waiting: BTreeMap<(ObjectId, WaiterId), u64>,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many wait for one object.
    pub(super) fn count(&self, object: ObjectId) -> usize {
        self.of(object).count()
    }

    /// Lets a request wait for a version above `version`.
    pub(super) fn insert(&mut self, object: ObjectId, waiter: WaiterId, version: u64) {
        self.waiting.insert((object, waiter), version);
    }

    /// Forgets one whose time is up.
    pub(super) fn cancel(&mut self, object: ObjectId, waiter: WaiterId) {
        self.waiting.remove(&(object, waiter)).expect("a watcher waits for its object");
    }

    /// Releases those who waited for a version below `version`, which the object has now.
    pub(super) fn changed(
        &mut self,
        object: ObjectId,
        version: u64,
        released: &mut Vec<(WaiterId, Answer)>,
    ) {
        let before = released.len();
        let answer = || Answer::reply(&Reply::Number(version), &mut Vec::new());
        let due = self.of(object).filter(|(_, seen)| *seen < version);
        released.extend(due.map(|(waiter, _)| (waiter, answer())));
        for (waiter, _) in &released[before..] {
            self.waiting.remove(&(object, *waiter));
        }
    }

    /// Hands over all who wait for an object that is gone.
    pub(super) fn take(&mut self, object: ObjectId) -> Vec<WaiterId> {
        let waiters: Vec<WaiterId> = self.of(object).map(|(waiter, _)| waiter).collect();
        for waiter in &waiters {
            self.waiting.remove(&(object, *waiter));
        }
        waiters
    }

    fn of(&self, object: ObjectId) -> impl Iterator<Item = (WaiterId, u64)> {
        let all = (object, WaiterId(0))..=(object, WaiterId(u64::MAX));
        self.waiting.range(all).map(|((_, waiter), version)| (*waiter, *version))
    }
}
