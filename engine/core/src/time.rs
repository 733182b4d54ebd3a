//! The logical time of shards and members.

use serde::{Deserialize, Serialize};

/// A point in the logical time of a shard or a member, in microseconds. Time never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// Returns the point `ms` milliseconds later.
    pub fn plus_ms(self, ms: u32) -> Time {
        Time(self.0.saturating_add(u64::from(ms) * 1_000))
    }

    /// Returns the milliseconds until `then`, rounded up and at least 1.
    pub fn ms_until(self, then: Time) -> u64 {
        then.0.saturating_sub(self.0).div_ceil(1_000).max(1)
    }
}
