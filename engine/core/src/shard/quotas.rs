//! Quotas: limits of the objects whose names have a prefix, and their current usage.
//!
//! A quota is checked from the moment it is set. The objects that there are then are counted in the
//! order of their names, [`COUNTED_IN_STEP`] in a step, so that no step takes long; the quota knows up
//! to which name it has counted, and from then on counts each change of an object up to there.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::AddAssign;

use catena_protocol::{Fault, Status};

use crate::config::QUOTAS_MAX;
use crate::time::Time;

/// The quotas of a shard.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    by_prefix: BTreeMap<Box<str>, KeptQuota>,
    /// How many of them are still being counted.
    counting: usize,
}

/// The limits of the objects whose names have a prefix, and their current usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) limits: Limits,
    pub(super) used: Used,
}

/// The limits of a quota; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) objects: u64,
    /// Their memory, in bytes.
    pub(super) bytes: u64,
}

/// A number of objects and their memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) objects: u64,
    /// In bytes.
    pub(super) bytes: u64,
}

/// How far a quota has counted.
#[derive(Clone, Debug)]
pub(super) struct Counting {
    /// When the quota was set.
    pub(super) since: Time,
    /// The last name that was counted; empty before the first.
    pub(super) last: Arc<str>,
}

#[derive(Debug)]
struct KeptQuota {
    quota: Quota,
    /// [`None`] once all objects are counted.
    counting: Option<Counting>,
}

/// Names that are counted in one step.
pub(super) const COUNTED_IN_STEP: usize = 64;

impl Limits {
    fn are_none(self) -> bool {
        self == Limits::default()
    }
}

impl AddAssign for Used {
    fn add_assign(&mut self, more: Used) {
        self.objects += more.objects;
        self.bytes += more.bytes;
    }
}

impl Quotas {
    /// Sets the limits of a prefix, or removes its quota if there are none. A new quota has nothing
    /// counted at first.
    pub(super) fn put(&mut self, prefix: &str, limits: Limits, now: Time) -> Result<(), Fault> {
        if limits.are_none() {
            self.remove(prefix);
            return Ok(());
        }
        if let Some(kept) = self.by_prefix.get_mut(prefix) {
            kept.quota.limits = limits;
            return Ok(());
        }
        let nothing = Counting { since: now, last: "".into() };
        self.insert(prefix, limits, Some(nothing))
    }

    /// Adds a quota that has counted so far, and has used nothing.
    pub(super) fn insert(
        &mut self,
        prefix: &str,
        limits: Limits,
        counting: Option<Counting>,
    ) -> Result<(), Fault> {
        if self.by_prefix.len() >= QUOTAS_MAX {
            let (limit, got) = (QUOTAS_MAX as u64, QUOTAS_MAX as u64 + 1);
            return Err(Fault::expected(Status::QuotaExceeded, limit, got));
        }
        self.counting += usize::from(counting.is_some());
        let quota = Quota { limits, used: Used::default() };
        self.by_prefix.insert(prefix.into(), KeptQuota { quota, counting });
        Ok(())
    }

    fn remove(&mut self, prefix: &str) {
        if let Some(removed) = self.by_prefix.remove(prefix) {
            self.counting -= usize::from(removed.counting.is_some());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    pub(super) fn get(&self, prefix: &str) -> Option<Quota> {
        self.by_prefix.get(prefix).map(|kept| kept.quota)
    }

    /// Iterates over the quotas, and how far they have counted, in the order of their prefixes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Quota, Option<&Counting>)> {
        self.by_prefix.iter().map(|(prefix, kept)| (&**prefix, kept.quota, kept.counting.as_ref()))
    }

    /// Refuses `more` under a name, if a quota would be exceeded.
    pub(super) fn check(&self, name: &str, more: Used) -> Result<(), Fault> {
        for (prefix, KeptQuota { quota: Quota { limits, used }, .. }) in &self.by_prefix {
            if !name.starts_with(&**prefix) {
                continue;
            }
            let objects = (limits.objects, used.objects, more.objects);
            let bytes = (limits.bytes, used.bytes, more.bytes);
            for (limit, used, more) in [objects, bytes] {
                let got = used.saturating_add(more);
                if limit != 0 && more != 0 && got > limit {
                    return Err(Fault::expected(Status::QuotaExceeded, limit, got));
                }
            }
        }
        Ok(())
    }

    /// Iterates over what the objects use with whom an object is counted.
    pub(super) fn used_with(&mut self, name: &str) -> impl Iterator<Item = &mut Used> {
        let counts = move |prefix: &str, kept: &KeptQuota| {
            let is_counted = kept.counting.as_ref().is_none_or(|counting| name <= &*counting.last);
            name.starts_with(prefix) && is_counted
        };
        let quotas = self.by_prefix.iter_mut().filter(move |(prefix, kept)| counts(prefix, kept));
        quotas.map(|(_, kept)| &mut kept.quota.used)
    }

    /// Returns the quota that has been counting for longest: since when, its prefix, and the last name
    /// that it has counted.
    pub(super) fn first_counting(&self) -> Option<(Time, &str, &Arc<str>)> {
        if self.counting == 0 {
            return None;
        }
        let counting = self.by_prefix.iter().filter_map(|(prefix, kept)| {
            kept.counting.as_ref().map(|counting| (counting.since, &**prefix, &counting.last))
        });
        counting.min_by_key(|(since, ..)| *since)
    }

    /// Adds what was counted up to a name, or to the end if that is [`None`].
    pub(super) fn on_counted(&mut self, prefix: &str, used: Used, last: Option<Arc<str>>) {
        let kept = self.by_prefix.get_mut(prefix).expect("a quota that is counting is kept");
        let counting = kept.counting.as_mut().expect("it is counting");
        kept.quota.used += used;
        match last {
            Some(last) => counting.last = last,
            None => {
                kept.counting = None;
                self.counting -= 1;
            }
        }
    }
}
