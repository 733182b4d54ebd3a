//! First come, first served: a queue of waiting requests, and the grants of those that were served.
//!
//! Requests are ordered by the version of the update that enqueued them, grants by their fencing
//! tokens; both only grow. Requests and grants are indexed by waiter and by hold, because many may
//! end at once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::state::check;
use super::tree::tree_bytes;
use super::turn::TOKEN_SHIFT;
use super::{HoldId, WaiterId};

/// Waiting requests, in the order of their service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaitQueue<T> {
    waiting: BTreeMap<u64, QueuedRequest<T>>,
    /// Those that are attended, which alone are served. A snapshot has them with the waiters.
    #[serde(skip)]
    attended: BTreeSet<u64>,
    #[serde(skip)]
    by_waiter: BTreeMap<WaiterId, u64>,
    #[serde(skip)]
    by_hold: BTreeMap<HoldId, u64>,
}

/// A waiting request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueuedRequest<T> {
    pub(super) waiter: WaiterId,
    /// The hold that it gets when it is served, if it gets one.
    pub(super) hold: Option<HoldId>,
    /// For how long to hold it from the grant on, if its time begins then.
    pub(super) hold_ms: Option<u32>,
    pub(super) wants: T,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> WaitQueue<T> {
        WaitQueue {
            waiting: BTreeMap::new(),
            attended: BTreeSet::new(),
            by_waiter: BTreeMap::new(),
            by_hold: BTreeMap::new(),
        }
    }
}

impl<T> WaitQueue<T> {
    /// Enqueues a request. `version` is that of its update.
    pub(super) fn push(&mut self, version: u64, waiting: QueuedRequest<T>) {
        self.by_waiter.insert(waiting.waiter, version);
        self.by_hold.extend(waiting.hold.map(|hold| (hold, version)));
        self.attended.insert(version);
        self.waiting.insert(version, waiting);
    }

    /// Passes a request over from now on, or no longer does so; it keeps its place.
    pub(super) fn set_attended(&mut self, waiter: WaiterId, attended: bool) {
        let version = *self.by_waiter.get(&waiter).expect("a waiter is in the queue");
        if attended {
            self.attended.insert(version);
        } else {
            self.attended.remove(&version);
        }
    }

    /// Returns whether no request is to be served.
    pub(super) fn is_idle(&self) -> bool {
        self.attended.is_empty()
    }

    /// Returns the request to be served first.
    pub(super) fn first(&self) -> Option<&QueuedRequest<T>> {
        self.attended.first().map(|version| &self.waiting[version])
    }

    /// Removes the first request, to serve it.
    pub(super) fn pop(&mut self) -> Option<QueuedRequest<T>> {
        let version = *self.attended.first()?;
        self.remove(version)
    }

    /// Removes a request that no longer waits.
    pub(super) fn cancel(&mut self, waiter: WaiterId) -> QueuedRequest<T> {
        let version = self.by_waiter.get(&waiter).copied();
        version.and_then(|version| self.remove(version)).expect("a waiter is in the queue")
    }

    /// Removes the request that was to get a hold, if there is one.
    pub(super) fn lose(&mut self, hold: HoldId) -> Option<QueuedRequest<T>> {
        let version = self.by_hold.get(&hold).copied()?;
        self.remove(version)
    }

    fn remove(&mut self, version: u64) -> Option<QueuedRequest<T>> {
        let waiting = self.waiting.remove(&version)?;
        self.attended.remove(&version);
        self.by_waiter.remove(&waiting.waiter);
        if let Some(hold) = waiting.hold {
            self.by_hold.remove(&hold);
        }
        Some(waiting)
    }

    /// Returns the number of requests that are not passed over.
    pub(super) fn attended(&self) -> usize {
        self.attended.len()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn waiters(&self) -> Vec<WaiterId> {
        self.by_waiter.keys().copied().collect()
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = HoldId> {
        self.by_hold.keys().copied()
    }

    /// Iterates over the requests in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &QueuedRequest<T>> {
        self.waiting.values()
    }

    /// Rebuilds the indices, which a snapshot leaves out. Versions are at most `seq`, the shard's.
    pub(super) fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        for (version, waiting) in &self.waiting {
            check(*version <= seq, "a request has waited since a later update")?;
            self.attended.insert(*version);
            let first = self.by_waiter.insert(waiting.waiter, *version).is_none();
            check(first, "a request waits twice in one queue")?;
            let hold = waiting.hold.and_then(|hold| self.by_hold.insert(hold, *version));
            check(hold.is_none(), "two waiting requests have the same hold")?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        let (requests, holds) = (self.waiting.len(), self.by_hold.len());
        tree_bytes::<u64, QueuedRequest<T>>(requests)
            + tree_bytes::<u64, ()>(requests)
            + tree_bytes::<WaiterId, u64>(requests)
            + tree_bytes::<HoldId, u64>(holds)
    }
}

/// Grants, by fencing token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TokenGrants<T> {
    given: BTreeMap<u64, (HoldId, T)>,
    #[serde(skip)]
    by_hold: BTreeMap<HoldId, u64>,
}

impl<T> Default for TokenGrants<T> {
    fn default() -> TokenGrants<T> {
        TokenGrants { given: BTreeMap::new(), by_hold: BTreeMap::new() }
    }
}

impl<T> TokenGrants<T> {
    pub(super) fn put(&mut self, token: u64, hold: HoldId, what: T) {
        self.given.insert(token, (hold, what));
        self.by_hold.insert(hold, token);
    }

    /// Returns the hold of the grant with a token.
    pub(super) fn hold(&self, token: u64) -> Option<HoldId> {
        self.given.get(&token).map(|(hold, _)| *hold)
    }

    /// Removes the grant with a token.
    pub(super) fn take(&mut self, token: u64) -> Option<(HoldId, T)> {
        let (hold, what) = self.given.remove(&token)?;
        self.by_hold.remove(&hold);
        Some((hold, what))
    }

    /// Removes the grant of a hold, if there is one.
    pub(super) fn lose(&mut self, hold: HoldId) -> Option<T> {
        let token = self.by_hold.remove(&hold)?;
        self.given.remove(&token).map(|(_, what)| what)
    }

    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    /// Iterates over tokens, holds and what is granted, in the order of the grants.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, HoldId, &T)> {
        self.given.iter().map(|(token, (hold, what))| (*token, *hold, what))
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = HoldId> {
        self.by_hold.keys().copied()
    }

    /// Rebuilds the index, which a snapshot leaves out. Tokens are of updates up to `seq`, the
    /// shard's.
    pub(super) fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        for (token, (hold, _)) in &self.given {
            check(token >> TOKEN_SHIFT <= seq, "a fencing token is of a later update")?;
            check(self.by_hold.insert(*hold, *token).is_none(), "one hold has two fencing tokens")?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        let grants = self.given.len();
        tree_bytes::<u64, (HoldId, T)>(grants) + tree_bytes::<HoldId, u64>(grants)
    }
}
