//! The clocks of a node.
//!
//! The node's own clock counts at an even rate, also while the machine sleeps, and nobody sets it:
//! leases are measured by it. What shards are told is the own clock of a node that is alone, and about
//! the time of day in a cluster, so that it is about the same on all nodes: the own clock, ahead by what
//! it was behind when the node started. It does not jump either.

use nix::time::{ClockId, clock_gettime};

use catena_core::time::Time;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When the own clock showed 0.
    zero_us: u64,
    ahead_us: u64,
}

impl Clock {
    /// The clocks of a node that is alone: both begin now.
    pub(crate) fn alone() -> Clock {
        Clock { zero_us: read(ClockId::CLOCK_BOOTTIME), ahead_us: 0 }
    }

    /// The clocks of a node in a cluster.
    pub(crate) fn in_a_cluster() -> Clock {
        let (day, own) = (read(ClockId::CLOCK_REALTIME), read(ClockId::CLOCK_BOOTTIME));
        Clock { zero_us: 0, ahead_us: day.saturating_sub(own) }
    }

    /// The node's own clock.
    pub(crate) fn now(self) -> Time {
        Time(read(ClockId::CLOCK_BOOTTIME).saturating_sub(self.zero_us))
    }

    /// What shards are told when the own clock shows `now`.
    pub(crate) fn shards_time(self, now: Time) -> Time {
        Time(now.0 + self.ahead_us)
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has had this clock since 2.6.39");
    let (seconds, nanoseconds) = (time.tv_sec().cast_unsigned(), time.tv_nsec().cast_unsigned());
    seconds * 1_000_000 + nanoseconds / 1_000
}
