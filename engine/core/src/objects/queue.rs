//! First come, first served: requests that wait in line, and what is given out to those served.
//!
//! A place in line is numbered by the version of the update that took it, a grant by its fencing
//! token; both only grow. Whoever waits or holds is found without a search, for many may give up at
//! once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::state::check;
use super::turn::TOKEN_SHIFT;
use super::{HoldId, WaiterId};

/// Requests in line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaitQueue<T> {
    waiting: BTreeMap<u64, QueuedRequest<T>>,
    #[serde(skip)]
    by_waiter: BTreeMap<WaiterId, u64>,
    #[serde(skip)]
    by_hold: BTreeMap<HoldId, u64>,
}

/// A request in line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueuedRequest<T> {
    pub(super) waiter: WaiterId,
    /// What it is going to hold once it is served, if it then holds anything.
    pub(super) hold: Option<HoldId>,
    pub(super) wants: T,
}

/// What a place in line costs, near enough.
const PLACE_BYTES: usize = 96;

impl<T> Default for WaitQueue<T> {
    fn default() -> WaitQueue<T> {
        WaitQueue { waiting: BTreeMap::new(), by_waiter: BTreeMap::new(), by_hold: BTreeMap::new() }
    }
}

impl<T> WaitQueue<T> {
    /// Takes the last place. `version` is that of the update that asks for it.
    pub(super) fn push(&mut self, version: u64, waiting: QueuedRequest<T>) {
        self.by_waiter.insert(waiting.waiter, version);
        self.by_hold.extend(waiting.hold.map(|hold| (hold, version)));
        self.waiting.insert(version, waiting);
    }

    pub(super) fn first(&self) -> Option<&QueuedRequest<T>> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting)
    }

    /// Serves the first in line.
    pub(super) fn pop(&mut self) -> Option<QueuedRequest<T>> {
        let place = *self.waiting.first_key_value()?.0;
        self.remove(place)
    }

    /// Lets a request leave that does not wait any longer.
    pub(super) fn cancel(&mut self, waiter: WaiterId) -> QueuedRequest<T> {
        let place = self.by_waiter.get(&waiter).copied();
        place.and_then(|place| self.remove(place)).expect("a waiter has a place in line")
    }

    /// Lets a request leave that lost what it was going to hold, if there is such a one.
    pub(super) fn lose(&mut self, hold: HoldId) -> Option<QueuedRequest<T>> {
        let place = self.by_hold.get(&hold).copied()?;
        self.remove(place)
    }

    fn remove(&mut self, place: u64) -> Option<QueuedRequest<T>> {
        let waiting = self.waiting.remove(&place)?;
        self.by_waiter.remove(&waiting.waiter);
        if let Some(hold) = waiting.hold {
            self.by_hold.remove(&hold);
        }
        Some(waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
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

    /// Everybody in line, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &QueuedRequest<T>> {
        self.waiting.values()
    }

    /// Works out what a snapshot leaves out. `seq` is the shard's: the places to come are behind it.
    pub(super) fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        for (place, waiting) in &self.waiting {
            check(*place <= seq, "a place in line is still to be taken")?;
            let first = self.by_waiter.insert(waiting.waiter, *place).is_none();
            check(first, "a request stands in line twice")?;
            let hold = waiting.hold.and_then(|hold| self.by_hold.insert(hold, *place));
            check(hold.is_none(), "two in line are going to have one hold")?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.waiting.len() * (PLACE_BYTES + size_of::<T>())) as u64
    }
}

/// What is given out, by fencing token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TokenGrants<T> {
    given: BTreeMap<u64, (HoldId, T)>,
    #[serde(skip)]
    by_hold: BTreeMap<HoldId, u64>,
}

/// What a grant costs, near enough.
const GRANT_BYTES: usize = 64;

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

    /// Who holds what was given out with a token.
    pub(super) fn hold(&self, token: u64) -> Option<HoldId> {
        self.given.get(&token).map(|(hold, _)| *hold)
    }

    /// Takes back what was given out with a token.
    pub(super) fn take(&mut self, token: u64) -> Option<(HoldId, T)> {
        let (hold, what) = self.given.remove(&token)?;
        self.by_hold.remove(&hold);
        Some((hold, what))
    }

    /// Takes back what a hold stood for, if it was given out.
    pub(super) fn lose(&mut self, hold: HoldId) -> Option<T> {
        let token = self.by_hold.remove(&hold)?;
        self.given.remove(&token).map(|(_, what)| what)
    }

    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    /// Tokens, holds and what they stand for, in the order they were given out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, HoldId, &T)> {
        self.given.iter().map(|(token, (hold, what))| (*token, *hold, what))
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = HoldId> {
        self.by_hold.keys().copied()
    }

    /// Works out what a snapshot leaves out. `seq` is the shard's: the tokens to come are above it.
    pub(super) fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        for (token, (hold, _)) in &self.given {
            check(token >> TOKEN_SHIFT <= seq, "a token is still to be given")?;
            check(self.by_hold.insert(*hold, *token).is_none(), "one hold has two tokens")?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.given.len() * (GRANT_BYTES + size_of::<T>())) as u64
    }
}
