//! What a shard knows of objects besides their state: names, expiry times, quotas.
//!
//! Objects are found by id, and most ops never come here. A request that creates an object may
//! carry its name, so that people can list objects. An object without a name works the same but is
//! not listed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Bound;

use catena_protocol::ObjectId;

use super::Time;
use super::quotas::{COUNTED_IN_STEP, Quotas, Used};
use super::table::{Seed, Table};
use crate::config::{DATED_BYTES, NAMED_BYTES};

/// Names, expiry times and quotas of a shard's objects.
#[derive(Debug)]
pub(super) struct Directory {
    details: Table<ObjectId, Details>,
    by_name: BTreeMap<Arc<str>, ObjectId>,
    ends: BTreeSet<(Time, ObjectId)>,
    pub(super) quotas: Quotas,
    /// Memory that the directory takes, in bytes, near enough for a budget.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Details {
    name: Option<Arc<str>>,
    ends: Option<Time>,
}

impl Directory {
    pub(super) fn new(seed: Seed) -> Directory {
        Directory {
            details: Table::new(seed),
            by_name: BTreeMap::new(),
            ends: BTreeSet::new(),
            quotas: Quotas::default(),
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of objects with a name.
    pub(super) fn named(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn name(&self, object: ObjectId) -> Option<&str> {
        self.details.get(&object)?.name.as_deref()
    }

    /// Returns when an object expires.
    pub(super) fn ends(&self, object: ObjectId) -> Option<Time> {
        self.details.get(&object)?.ends
    }

    /// Names an object that takes `bytes`, unless it has a name.
    pub(super) fn put_name(&mut self, object: ObjectId, name: &str, bytes: u64) {
        let details = self.details.or_default(object);
        if details.name.is_some() {
            return;
        }
        let name: Arc<str> = name.into();
        details.name = Some(name.clone());
        self.bytes += NAMED_BYTES + name.len() as u64;
        for used in self.quotas.used_with(&name) {
            *used += Used { objects: 1, bytes };
        }
        self.by_name.insert(name, object);
    }

    /// Sets when an object expires; `None` is never.
    pub(super) fn put_end(&mut self, object: ObjectId, ends: Option<Time>) {
        let details = self.details.or_default(object);
        if let Some(before) = core::mem::replace(&mut details.ends, ends) {
            self.ends.remove(&(before, object));
            self.bytes -= DATED_BYTES;
        }
        if let Some(ends) = ends {
            self.ends.insert((ends, object));
            self.bytes += DATED_BYTES;
        } else if details.name.is_none() {
            self.details.remove(&object);
        }
    }

    /// Removes an object that took `bytes`.
    pub(super) fn forget(&mut self, object: ObjectId, bytes: u64) {
        let Some(Details { name, ends }) = self.details.remove(&object) else { return };
        if let Some(ends) = ends {
            self.ends.remove(&(ends, object));
            self.bytes -= DATED_BYTES;
        }
        if let Some(name) = name {
            self.by_name.remove(&name);
            self.bytes -= NAMED_BYTES + name.len() as u64;
            for used in self.quotas.used_with(&name) {
                used.objects -= 1;
                used.bytes -= bytes;
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// Returns the object that expired first by `now`, and when.
    pub(super) fn first_due(&self, now: Time) -> Option<(Time, ObjectId)> {
        self.ends.first().filter(|(ends, _)| *ends <= now).copied()
    }

    /// Iterates over the names with a prefix that are greater than `after`, in the order of their
    /// bytes.
    pub(super) fn names<'d>(
        &'d self,
        prefix: &'d str,
        after: &str,
    ) -> impl Iterator<Item = (&'d str, ObjectId)> {
        self.keys(prefix, after).map(|(name, object)| (&**name, object))
    }

    fn keys<'d>(
        &'d self,
        prefix: &'d str,
        after: &str,
    ) -> impl Iterator<Item = (&'d Arc<str>, ObjectId)> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.by_name
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(name, object)| (name, *object))
            .take_while(move |(name, _)| name.starts_with(prefix))
    }

    /// Returns when the first quota was set that still has to count objects.
    pub(super) fn counting_since(&self) -> Option<Time> {
        self.quotas.first_counting().map(|(since, ..)| since)
    }

    /// Lets the quota count some more objects that has been counting for longest. `bytes_of` returns
    /// the memory of an object.
    pub(super) fn count_more(&mut self, bytes_of: impl Fn(ObjectId) -> u64) {
        let Some((_, prefix, last)) = self.quotas.first_counting() else { return };
        let mut used = Used::default();
        let mut names = self.keys(prefix, last);
        let mut last = None;
        for (name, object) in names.by_ref().take(COUNTED_IN_STEP) {
            used += Used { objects: 1, bytes: bytes_of(object) };
            last = Some(name);
        }
        let last = last.filter(|_| names.next().is_some()).cloned();
        drop(names);
        let prefix: Box<str> = prefix.into();
        self.quotas.on_counted(&prefix, used, last);
    }

    /// Accounts for a change of an object's memory.
    pub(super) fn resized(&mut self, object: ObjectId, before: u64, after: u64) {
        let name = self.details.get(&object).and_then(|details| details.name.as_ref());
        if let Some(name) = name {
            for used in self.quotas.used_with(name) {
                used.bytes = used.bytes + after - before;
            }
        }
    }

    /// Checks that tables and sums match; for debugging. `bytes_of` returns the memory of an
    /// object.
    pub(super) fn check_invariants(&self, bytes_of: impl Fn(ObjectId) -> u64) {
        let named = || self.details.values().filter_map(|details| details.name.as_ref());
        let bytes: u64 = named().map(|name| NAMED_BYTES + name.len() as u64).sum();
        let bytes = bytes + DATED_BYTES * self.ends.len() as u64;
        assert_eq!(
            bytes, self.bytes,
            "shard invariant 5: names and expiry times are accounted for"
        );
        assert_eq!(named().count(), self.by_name.len(), "every name is listed");
        let dated = self.details.values().filter(|details| details.ends.is_some()).count();
        assert_eq!(dated, self.ends.len(), "every expiry time is listed");
        let idle = |details: &Details| details.name.is_none() && details.ends.is_none();
        assert!(!self.details.values().any(idle), "shard invariant 5: no entry is empty");
        for (prefix, quota, counting) in self.quotas.iter() {
            let is_counted = |name: &str| counting.is_none_or(|counting| name <= &*counting.last);
            let mut used = Used::default();
            for (_, object) in self.names(prefix, "").take_while(|(name, _)| is_counted(name)) {
                used += Used { objects: 1, bytes: bytes_of(object) };
            }
            assert_eq!(used, quota.used, "usage of {prefix}");
        }
    }
}
