//! The clocks of a node.
//!
//! The node's own clock runs at an even rate, also while the machine is suspended, and is never set:
//! leases are measured by it. The shards' clock is the own clock plus a constant. The constant is 0 on
//! a node that stands alone; in a cluster it is the time of day when the node started, so that all
//! nodes have about the same time. It does not jump either.

use std::time::Duration;

use catena_core::time::Time;
use nix::time::{ClockId, clock_gettime};

/// The two clocks of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What the kernel's clock showed at 0 of the own clock.
    zero_us: u64,
    /// How far the shards' clock is ahead of the own clock.
    ahead_us: u64,
}

impl Clock {
    /// The clocks of a node that stands alone: both begin at 0 now.
    pub(crate) fn standalone() -> Clock {
        Clock { zero_us: read(ClockId::CLOCK_BOOTTIME), ahead_us: 0 }
    }

    /// The clocks of a node in a cluster.
    pub(crate) fn clustered() -> Clock {
        let (day, own) = (read(ClockId::CLOCK_REALTIME), read(ClockId::CLOCK_BOOTTIME));
        Clock { zero_us: 0, ahead_us: day.saturating_sub(own) }
    }

    /// Reads the node's own clock.
    pub(crate) fn now(self) -> Time {
        Time(read(ClockId::CLOCK_BOOTTIME).saturating_sub(self.zero_us))
    }

    /// Returns the shards' time at `now` of the own clock.
    pub(crate) fn shards_time(self, now: Time) -> Time {
        Time(now.0 + self.ahead_us)
    }
}

/// Returns the time since 1970, by the clock of the machine.
pub(crate) fn unix_time() -> Duration {
    Duration::from_micros(read(ClockId::CLOCK_REALTIME))
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has had this clock since 2.6.39");
    let (seconds, nanoseconds) = (time.tv_sec().cast_unsigned(), time.tv_nsec().cast_unsigned());
    seconds * 1_000_000 + nanoseconds / 1_000
}
