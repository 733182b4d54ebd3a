//! The clocks of a node.
//!
//! The node's own clock counts from some moment, at an even rate, also while the machine sleeps, and
//! nobody sets it: leases are measured by it. The time of day is the own clock ahead by what it was
//! behind when the node started, so it does not jump either; it is about the same on all nodes.

use nix::time::{ClockId, clock_gettime};

use crate::shard::Time;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    ahead_us: u64,
}

impl Clock {
    /// Looks at what the time of day is.
    pub(crate) fn new() -> Clock {
        let ahead_us = read(ClockId::CLOCK_REALTIME).saturating_sub(read(ClockId::CLOCK_BOOTTIME));
        Clock { ahead_us }
    }

    /// The node's own clock.
    pub(crate) fn now(self) -> Time {
        Time(read(ClockId::CLOCK_BOOTTIME))
    }

    /// The time of day when the own clock shows `now`.
    pub(crate) fn day(self, now: Time) -> Time {
        Time(now.0 + self.ahead_us)
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has had this clock since 2.6.39");
    let (seconds, nanoseconds) = (time.tv_sec().cast_unsigned(), time.tv_nsec().cast_unsigned());
    seconds * 1_000_000 + nanoseconds / 1_000
}
