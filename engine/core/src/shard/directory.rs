//! What a shard knows of objects besides their state: names, expiry times, quotas.
//!
//! Objects are found by id, and most ops never come here. A request that creates an object may
//! carry its name, so that people can list objects. An object without a name works the same but is
//! not listed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Bound;

use catena_protocol::{Fault, ObjectId, Status};

use super::Time;
use super::table::{Seed, Table};
use crate::config::{DATED_BYTES, NAMED_BYTES, QUOTAS_MAX};

/// Names, expiry times and quotas of a shard's objects.
#[derive(Debug)]
pub(super) struct Directory {
    details: Table<ObjectId, Details>,
    by_name: BTreeMap<Arc<str>, ObjectId>,
    ends: BTreeSet<(Time, ObjectId)>,
    quotas: BTreeMap<Box<str>, Quota>,
    /// Memory that the directory takes, in bytes, near enough for a budget.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Details {
    name: Option<Arc<str>>,
    ends: Option<Time>,
}

/// The limits of the objects whose names have a prefix, and their current usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quota {
    /// Maximum number of objects; 0 is no limit.
    pub(super) objects_max: u64,
    /// Maximum of their memory, in bytes; 0 is no limit.
    pub(super) bytes_max: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

impl Directory {
    pub(super) fn new(seed: Seed) -> Directory {
        Directory {
            details: Table::new(seed),
            by_name: BTreeMap::new(),
            ends: BTreeSet::new(),
            quotas: BTreeMap::new(),
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
        for quota in quotas_of(&mut self.quotas, &name) {
            quota.objects += 1;
            quota.bytes += bytes;
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
            for quota in quotas_of(&mut self.quotas, &name) {
                quota.objects -= 1;
                quota.bytes -= bytes;
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
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.by_name
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(name, object)| (&**name, *object))
            .take_while(move |(name, _)| name.starts_with(prefix))
    }

    /// Sets a quota, which has its current usage, or removes it if it has no limits.
    pub(super) fn put_quota(&mut self, prefix: &str, quota: Quota) -> Result<(), Fault> {
        if quota.objects_max == 0 && quota.bytes_max == 0 {
            self.quotas.remove(prefix);
            return Ok(());
        }
        if !self.quotas.contains_key(prefix) && self.quotas.len() >= QUOTAS_MAX {
            let (limit, got) = (QUOTAS_MAX as u64, QUOTAS_MAX as u64 + 1);
            return Err(Fault::expected(Status::QuotaExceeded, limit, got));
        }
        self.quotas.insert(prefix.into(), quota);
        Ok(())
    }

    pub(super) fn quota(&self, prefix: &str) -> Option<Quota> {
        self.quotas.get(prefix).copied()
    }

    /// Iterates over the quotas in the order of their prefixes.
    pub(super) fn quotas(&self) -> impl Iterator<Item = (&str, Quota)> {
        self.quotas.iter().map(|(prefix, quota)| (&**prefix, *quota))
    }

    pub(super) fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// Refuses `objects` more objects and `bytes` more bytes under a name, if they exceed a quota.
    pub(super) fn check_quota(&self, name: &str, objects: u64, bytes: u64) -> Result<(), Fault> {
        for (prefix, quota) in &self.quotas {
            if !name.starts_with(&**prefix) {
                continue;
            }
            let limits = [
                (quota.objects_max, quota.objects, objects),
                (quota.bytes_max, quota.bytes, bytes),
            ];
            for (limit, used, more) in limits {
                if limit != 0 && more != 0 && used.saturating_add(more) > limit {
                    let got = used.saturating_add(more);
                    return Err(Fault::expected(Status::QuotaExceeded, limit, got));
                }
            }
        }
        Ok(())
    }

    /// Accounts for a change of an object's memory.
    pub(super) fn resized(&mut self, object: ObjectId, before: u64, after: u64) {
        let name = self.details.get(&object).and_then(|details| details.name.as_ref());
        if let Some(name) = name {
            for quota in quotas_of(&mut self.quotas, name) {
                quota.bytes = quota.bytes + after - before;
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
        for (prefix, quota) in &self.quotas {
            let of_prefix = || self.names(prefix, "");
            assert_eq!(of_prefix().count() as u64, quota.objects, "objects of {prefix}");
            let bytes: u64 = of_prefix().map(|(_, object)| bytes_of(object)).sum();
            assert_eq!(bytes, quota.bytes, "bytes of {prefix}");
        }
    }
}

/// Iterates over the quotas whose prefix a name has.
fn quotas_of<'q>(
    quotas: &'q mut BTreeMap<Box<str>, Quota>,
    name: &str,
) -> impl Iterator<Item = &'q mut Quota> {
    quotas.iter_mut().filter(|(prefix, _)| name.starts_with(&***prefix)).map(|(_, quota)| quota)
}
