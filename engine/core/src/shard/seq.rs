//! Positions in a shard's order.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The position of an update in the shard's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// The limit of positions, because fencing tokens have room for no more: years after any shard
/// begins.
pub(crate) const SEQ_MAX: u64 = 1 << 48;

/// How much later shards begin that were founded a second later: more updates than one shard makes
/// in a second over a long time.
const SEQS_PER_SECOND: u64 = 1 << 18;

/// The beginning of 2025, in seconds since 1970.
const FIRST_SECOND: u64 = 1_735_689_600;

impl Seq {
    /// Returns the position at which a shard begins that is founded at a time, given since 1970: above
    /// all positions of shards that were founded earlier, unless they made more updates than
    /// 262,144 a second.
    pub fn begun_at(unix_time: Duration) -> Seq {
        let since = unix_time.saturating_sub(Duration::from_secs(FIRST_SECOND));
        Seq(0).after_us(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns the position at which a shard begins that is founded so many microseconds later.
    pub(crate) fn after_us(self, us: u64) -> Seq {
        let seqs = u128::from(us) * u128::from(SEQS_PER_SECOND) / 1_000_000;
        let seq = self.0.saturating_add(u64::try_from(seqs).unwrap_or(u64::MAX));
        // Half of the positions are left for updates whatever the clock says.
        Seq(seq.min(SEQ_MAX / 2))
    }
}
